//! Events in bytes, for whoever keeps very many of them in memory. They are neither stored nor sent, so they have no version.
//!
//! ```text
//! event   revision u64, kind u8, key unless it is of the settings, then by the kind:
//!
//! kind 1  granted     token u64, holder text, confirmed u8, value: option text
//!      2  confirmed   token u64                3  valued    token u64, value text
//!      4  ended       end, as in a snapshot    5  ending    token u64, why text, heir: option text
//!      6  pinned      entity text              7  unpinned  entity text
//!      8  settings    version u64
//! ```

use super::{Reader, Writer};
use crate::{DecodeError, Entity, Event, Holder, Reason, Revision, Value, What};

const SETTINGS: u8 = 8;

impl Event {
    /// Appends the event's bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let mut to = Writer(into);
        to.u64(self.revision.0);
        to.u8(kind_of(&self.what));
        if let Some(key) = self.what.key() {
            to.key(key);
        }
        match &self.what {
            What::Granted { holder, token, confirmed, value, .. } => {
                to.u64(token.as_u64());
                to.text(holder.as_str());
                to.u8(u8::from(*confirmed));
                to.option(value.as_ref(), |to, value| to.text(value.as_str()));
            }
            What::Confirmed { token, .. } => to.u64(token.as_u64()),
            What::Valued { token, value, .. } => {
                to.u64(token.as_u64());
                to.text(value.as_str());
            }
            What::Ended { end, .. } => to.ended(end),
            What::Ending { token, why, heir, .. } => {
                to.u64(token.as_u64());
                to.text(why.as_str());
                to.option(heir.as_ref(), |to, heir| to.text(heir.as_str()));
            }
            What::Pinned { entity, .. } | What::Unpinned { entity, .. } => to.text(entity.as_str()),
            What::Settings { version } => to.u64(*version),
        }
    }

    /// The event that [`Event::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`], where it did not.
    pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
        let mut from = Reader::new(bytes, "an event");
        let revision = Revision(from.u64()?);
        let what = from.what()?;
        from.end()?;
        Ok(Event { revision, what })
    }

    /// The namespace and the name of the lease that an event is about whose bytes these are; none where it is about the settings.
    pub fn encoded_key(bytes: &[u8]) -> Option<(&str, &str)> {
        let mut from = Reader::new(bytes, "an event");
        from.u64().ok()?;
        let kind = from.u8().ok()?;
        if kind == SETTINGS { None } else { Some((from.str().ok()?, from.str().ok()?)) }
    }
}

fn kind_of(what: &What) -> u8 {
    match what {
        What::Granted { .. } => 1,
        What::Confirmed { .. } => 2,
        What::Valued { .. } => 3,
        What::Ended { .. } => 4,
        What::Ending { .. } => 5,
        What::Pinned { .. } => 6,
        What::Unpinned { .. } => 7,
        What::Settings { .. } => SETTINGS,
    }
}

impl Reader<'_> {
    fn what(&mut self) -> Result<What, DecodeError> {
        let kind = self.u8()?;
        if kind == SETTINGS {
            return Ok(What::Settings { version: self.u64()? });
        }
        let key = self.key()?;
        Ok(match kind {
            1 => What::Granted {
                key,
                token: self.token()?,
                holder: self.text(Holder::stored)?,
                confirmed: self.flag()?,
                value: self.option(|from| from.text(Value::stored))?,
            },
            2 => What::Confirmed { key, token: self.token()? },
            3 => What::Valued { key, token: self.token()?, value: self.text(Value::stored)? },
            4 => What::Ended { key, end: self.ended()? },
            5 => What::Ending {
                key,
                token: self.token()?,
                why: self.text(Reason::stored)?,
                heir: self.option(|from| from.text(Holder::stored))?,
            },
            6 => What::Pinned { key, entity: self.text(Entity::stored)? },
            7 => What::Unpinned { key, entity: self.text(Entity::stored)? },
            _ => return self.damaged(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{End, Instance, Key, Name, Namespace, Seq, Time, Token, Ttl, Why};

    use super::*;

    fn each() -> Vec<What> {
        let key = || Key { namespace: Namespace::parse("db").unwrap(), name: Name::parse("a/ü").unwrap() };
        let holder = || Holder::parse("h/1").unwrap();
        let why = || Reason::parse("moved").unwrap();
        let entity = || Entity::parse("e").unwrap();
        let value = || Value::parse("10.0.0.1").unwrap();
        let token = Token::from_u64(7);
        let end = |why| End {
            token,
            holder: holder(),
            instance: Instance(3),
            seq: Seq(4),
            why,
            at: Time::from_nanos(5),
            remained: Ttl::from_nanos(6),
        };
        vec![
            What::Granted { key: key(), holder: holder(), token, confirmed: true, value: None },
            What::Granted { key: key(), holder: holder(), token, confirmed: false, value: Some(value()) },
            What::Confirmed { key: key(), token },
            What::Valued { key: key(), token, value: value() },
            What::Ended { key: key(), end: end(Why::Expired) },
            What::Ended { key: key(), end: end(Why::Revoked(why())) },
            What::Ending { key: key(), token, why: why(), heir: None },
            What::Ending { key: key(), token, why: why(), heir: Some(holder()) },
            What::Pinned { key: key(), entity: entity() },
            What::Unpinned { key: key(), entity: entity() },
            What::Settings { version: 9 },
        ]
    }

    #[test]
    fn each_event_comes_back_as_it_was_and_no_other_bytes_are_one() {
        for what in each() {
            let event = Event { revision: Revision(42), what };
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            assert_eq!(Event::decode(&bytes), Ok(event.clone()));
            let key = event.what.key().map(|key| (key.namespace.as_str(), key.name.as_str()));
            assert_eq!(Event::encoded_key(&bytes), key);
            for cut in 0..bytes.len() {
                assert!(Event::decode(&bytes[..cut]).is_err(), "{event:?} cut at {cut}");
            }
            bytes.push(0);
            assert!(Event::decode(&bytes).is_err(), "{event:?} with a byte more");
        }
    }
}
