//! Records and ends in bytes, as drawn in the module above.

use std::sync::Arc;

use crate::codec::{Reader, Writer};
use crate::history::Item;
use crate::record::{Cooldown, Grant, Lease, Revoked, Slot, SpaceId};
use crate::{DecodeError, End, Entity, Holder, Instance, Name, PINS_MAX, Reason, Seq, Token, Value, Why};

const HELD: u8 = 1;
const CONFIRMED: u8 = 2;
const VALUE: u8 = 4;
const LAST_END: u8 = 8;
const PINS: u8 = 16;
const ENDING: u8 = 32;
const COOLDOWN: u8 = 64;

/// The fewest bytes of a lease.
pub(crate) const LEASE_BYTES_MIN: usize = 4 + 4 + 2 + 1;
/// The fewest bytes of an end in history.
pub(crate) const ITEM_BYTES_MIN: usize = 4 + 4 + 1;

impl Writer<'_> {
    pub(crate) fn lease(&mut self, slot: Slot, namespace: u32, lease: &Lease) {
        self.u32(slot);
        self.u32(namespace);
        self.text(lease.name());
        self.u8(flags_of(lease));
        lease.grant.iter().for_each(|grant| self.grant(lease.holder(), grant));
        lease.value().into_iter().for_each(|value| self.text(value.as_str()));
        lease.last_end().into_iter().for_each(|end| self.ended(end));
        self.pins(lease.pins());
        if let Some(revoked) = lease.revoked() {
            self.text(revoked.why.as_str());
            self.option(revoked.heir.as_ref(), Writer::heir);
        }
        lease.cooldown().into_iter().for_each(|cooldown| self.cooldown(cooldown));
    }

    fn grant(&mut self, holder: &str, grant: &Grant) {
        self.text(holder);
        self.u64(grant.instance.0);
        self.u64(grant.seq.0);
        self.u64(grant.token.as_u64());
        self.ttl(grant.ttl);
        self.time(grant.deadline);
        self.ttl(grant.remained);
    }

    pub(crate) fn ended(&mut self, end: &End) {
        self.u64(end.token.as_u64());
        self.text(end.holder.as_str());
        self.u64(end.instance.0);
        self.u64(end.seq.0);
        self.why(&end.why);
        self.time(end.at);
        self.ttl(end.remained);
    }

    fn why(&mut self, why: &Why) {
        match why {
            Why::Expired => self.u8(0),
            Why::Unconfirmed => self.u8(1),
            Why::Released => self.u8(2),
            Why::Transferred => self.u8(3),
            Why::Revoked(reason) => {
                self.u8(4);
                self.text(reason.as_str());
            }
            Why::Restored => self.u8(5),
        }
    }

    fn pins(&mut self, pins: &[(Entity, Reason)]) {
        if pins.is_empty() {
            return;
        }
        self.u8(pins.len() as u8);
        for (entity, why) in pins {
            self.text(entity.as_str());
            self.text(why.as_str());
        }
    }

    fn cooldown(&mut self, cooldown: &Cooldown) {
        self.time(cooldown.until);
        self.option(cooldown.admitted.as_ref(), |writer, holder| writer.text(holder.as_str()));
        self.why(&cooldown.why);
        self.u64(cooldown.token.as_u64());
    }

    /// An end in history; `lease` is its slot's, whose last end is not written twice.
    pub(crate) fn item(&mut self, namespace: u32, item: &Item, lease: Option<&Lease>) {
        let is_last = lease.and_then(Lease::last_end).is_some_and(|end| end.token == item.token);
        self.u32(namespace);
        self.u32(item.slot);
        self.u8(u8::from(is_last));
        if !is_last {
            self.ended(&item.end);
        }
    }
}

fn flags_of(lease: &Lease) -> u8 {
    let flag = |flag, is_set| if is_set { flag } else { 0 };
    flag(HELD, lease.grant.is_some())
        | flag(CONFIRMED, lease.confirmed)
        | flag(VALUE, lease.value().is_some())
        | flag(LAST_END, lease.last_end().is_some())
        | flag(PINS, !lease.pins().is_empty())
        | flag(ENDING, lease.revoked().is_some())
        | flag(COOLDOWN, lease.cooldown().is_some())
}

/// No table writes these: parts of a grant without one, or a cooldown beside one.
fn is_possible(flags: u8) -> bool {
    let has = |flag| flags & flag != 0;
    match has(HELD) {
        true => !has(COOLDOWN) && flags < 128,
        false => !has(CONFIRMED) && !has(VALUE) && !has(ENDING) && flags < 128,
    }
}

impl Reader<'_> {
    pub(crate) fn lease(
        &mut self,
        space_of: impl FnOnce(u32) -> Option<SpaceId>,
    ) -> Result<(Slot, Lease), DecodeError> {
        let slot = self.u32()?;
        let Some(space) = space_of(self.u32()?) else { return self.damaged_before(4) };
        let name = self.text(Name::stored)?;
        let flags = self.u8()?;
        if !is_possible(flags) {
            return self.damaged_before(1);
        }
        let has = |flag| flags & flag != 0;
        let holder = if has(HELD) { Some(self.text(Holder::stored)?) } else { None };
        let mut lease = Lease::new(space, name.as_str(), holder.as_ref().map(Holder::as_str));
        lease.confirmed = has(CONFIRMED);
        if let Some(holder) = holder {
            lease.hold(holder.as_str(), self.grant()?);
        }
        if has(VALUE) {
            lease.extras_mut().value = Some(self.text(Value::stored)?);
        }
        if has(LAST_END) {
            lease.extras_mut().last_end = Some(Arc::new(self.ended()?));
        }
        if has(PINS) {
            lease.extras_mut().pins = self.pins()?;
        }
        if has(ENDING) {
            let revoked = Revoked { why: self.text(Reason::stored)?, heir: self.option(Reader::heir)? };
            lease.extras_mut().revoked = Some(Box::new(revoked));
        }
        if has(COOLDOWN) {
            lease.extras_mut().cooldown = Some(Box::new(self.cooldown()?));
        }
        Ok((slot, lease))
    }

    fn grant(&mut self) -> Result<Grant, DecodeError> {
        Ok(Grant {
            instance: Instance(self.u64()?),
            seq: Seq(self.u64()?),
            token: Token::from_u64(self.u64()?),
            ttl: self.ttl()?,
            deadline: self.time()?,
            remained: self.ttl()?,
        })
    }

    pub(crate) fn ended(&mut self) -> Result<End, DecodeError> {
        Ok(End {
            token: Token::from_u64(self.u64()?),
            holder: self.text(Holder::stored)?,
            instance: Instance(self.u64()?),
            seq: Seq(self.u64()?),
            why: self.why()?,
            at: self.time()?,
            remained: self.ttl()?,
        })
    }

    fn why(&mut self) -> Result<Why, DecodeError> {
        Ok(match self.u8()? {
            0 => Why::Expired,
            1 => Why::Unconfirmed,
            2 => Why::Released,
            3 => Why::Transferred,
            4 => Why::Revoked(self.text(Reason::stored)?),
            5 => Why::Restored,
            _ => return self.damaged_before(1),
        })
    }

    fn pins(&mut self) -> Result<Vec<(Entity, Reason)>, DecodeError> {
        let count = usize::from(self.u8()?);
        if count == 0 || count > PINS_MAX {
            return self.damaged_before(1);
        }
        let mut pins: Vec<(Entity, Reason)> = Vec::with_capacity(count);
        for _ in 0..count {
            let pin = (self.text(Entity::stored)?, self.text(Reason::stored)?);
            if pins.last().is_some_and(|last| last.0 >= pin.0) {
                return self.damaged();
            }
            pins.push(pin);
        }
        Ok(pins)
    }

    fn cooldown(&mut self) -> Result<Cooldown, DecodeError> {
        Ok(Cooldown {
            until: self.time()?,
            admitted: self.option(|reader| reader.text(Holder::stored))?,
            why: self.why()?,
            token: Token::from_u64(self.u64()?),
        })
    }
}
