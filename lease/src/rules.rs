//! What is refused, and with what: the one place that decides, for [`Table::apply`] before it does anything
//! and for [`Table::refusal`], which asks ahead.
//!
//! A command is judged against its lease as it stands once what is over has ended. The order is: overtaken
//! (`late`), then what is asked for (ttl), then who has the key, then whether there is room.
//!
//! Finer points:
//! * A claim of the grant's own holder and instance is an extend also where the grant is pinned or
//!   unconfirmed. Where it is *ending*, the claim is refused `ending` like an extend: it must neither move the
//!   deadline nor be told `held`, as if somebody else were in its way.
//! * "The same instance" means the same holder and instance: two holders that share a number by chance, or by
//!   a door's choice, are two.
//! * `late` by seq is decided before anything else, also where somebody else holds the key by now.
//! * `succeed` is refused during a cooldown, whoever is admitted: the queue is served at its end.
//! * Release, transfer and revoke of a grant that has ended are `lost`; only an extend learns `stale_token`.
//! * The heir's ttl is checked when the heir is named, not when it is granted; an heir and a transfer need no
//!   room, since their key is held and counted already.

use std::borrow::Cow;
use std::sync::Arc;

use crate::record::{Grant, Lease, Slot};
use crate::{
    Change, Claim, Command, End, Entity, Full, Heir, Holder, Instance, Key, NAMESPACES_MAX, Namespace,
    PINS_MAX, Refusal, Settings, TTL_MAX, Table, Time, Token, Ttl,
};

impl Table {
    /// What `command` would be refused with if it were applied now, at `now` (the lease clock's reading, at
    /// least [`Table::now`]); none where it would take effect. The same code as apply's decides. Only what the
    /// command itself touches is settled first: a namespace that is full of grants that are over but not yet
    /// swept is still full.
    pub fn refusal(&self, now: Time, command: &Command) -> Option<Refusal> {
        let now = now.max(self.now);
        let lease = self.locate(command).and_then(|slot| self.settled(slot, now));
        self.judge(now, lease.as_deref(), command).err()
    }

    /// Whether a claim on `key` by anyone could be granted if it were applied at `now`: neither held nor cooling down then.
    pub fn is_open(&self, now: Time, key: &Key) -> bool {
        let lease = self.slot(key).and_then(|slot| self.settled(slot, now.max(self.now)));
        lease.is_none_or(|lease| lease.is_free())
    }

    /// The lease as it will be once a command has touched it.
    fn settled(&self, slot: Slot, now: Time) -> Option<Cow<'_, Lease>> {
        let lease = self.slab.get(slot)?;
        if !lease.is_over(now) {
            return Some(Cow::Borrowed(lease));
        }
        let mut lease = lease.clone();
        lease.settle(now, self.spaces.get(lease.space).settings.cooldown, self.next_token);
        Some(Cow::Owned(lease))
    }

    /// The record that `command` touches: its key's, or that of its token where the token is still known.
    pub(crate) fn locate(&self, command: &Command) -> Option<Slot> {
        match command {
            Command::Claim(claim) => self.slot(&claim.key),
            Command::Succeed(succeed) => self.slot(&succeed.key),
            Command::Pin { key, .. } | Command::Unpin { key, .. } => self.slot(key),
            Command::Extend { token, .. }
            | Command::Release { token }
            | Command::Transfer { token, .. }
            | Command::Revoke { token, .. } => self.tokens.get(*token).map(|(slot, _)| slot),
            Command::Set { .. } => None,
        }
    }

    /// Refuses `command`, or lets it take effect on `lease`, of which nothing is over.
    pub(crate) fn judge(&self, now: Time, lease: Option<&Lease>, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Claim(claim) => self.judge_claim(now, lease, claim),
            Command::Succeed(succeed) => self.judge_succeed(now, lease, &succeed.key, &succeed.to),
            Command::Extend { token, ttl } => self.judge_extend(lease, *token, *ttl),
            Command::Release { token } => self.living(lease, *token).map(|_| ()),
            Command::Transfer { token, to } => self.judge_transfer(lease, *token, to),
            Command::Revoke { token, heir, .. } => self.judge_revoke(lease, *token, heir.as_ref()),
            Command::Pin { key, entity, .. } => self.judge_pin(lease, key, entity),
            Command::Unpin { .. } => Ok(()),
            Command::Set { version, changes } => self.judge_set(*version, changes).map(|_| ()),
        }
    }

    fn judge_claim(&self, now: Time, lease: Option<&Lease>, claim: &Claim) -> Result<(), Refusal> {
        if lease.is_some_and(|lease| is_overtaken(lease, claim)) {
            return Err(Refusal::Late);
        }
        self.settings_of(&claim.key.namespace).check_ttl(claim.ttl)?;
        let Some(lease) = lease else { return self.judge_room(&claim.key, None) };
        match (&lease.grant, lease.cooldown()) {
            (Some(grant), _) if !belongs(lease, grant, claim) => Err(held(now, lease, grant, &claim.holder)),
            (Some(_), _) => not_ending(lease),
            (None, Some(cooldown)) if cooldown.admitted.as_ref() != Some(&claim.holder) => {
                Err(cooling(now, lease))
            }
            (None, _) => self.judge_room(&claim.key, Some(lease)),
        }
    }

    fn judge_succeed(&self, now: Time, lease: Option<&Lease>, key: &Key, to: &Heir) -> Result<(), Refusal> {
        self.judge_heir(&key.namespace, to)?;
        match lease {
            Some(lease @ Lease { grant: Some(grant), .. }) => Err(held(now, lease, grant, &to.holder)),
            Some(lease) if lease.cooldown().is_some() => Err(cooling(now, lease)),
            lease => self.judge_room(key, lease),
        }
    }

    fn judge_extend(&self, lease: Option<&Lease>, token: Token, ttl: Ttl) -> Result<(), Refusal> {
        let lease = self.living(lease, token).map_err(|lost| newer_of(lease, lost))?;
        not_ending(lease)?;
        self.spaces.get(lease.space).settings.check_ttl(ttl)
    }

    fn judge_transfer(&self, lease: Option<&Lease>, token: Token, to: &Heir) -> Result<(), Refusal> {
        let lease = self.living(lease, token)?;
        not_ending(lease)?;
        self.judge_heir(&self.spaces.get(lease.space).namespace, to)
    }

    fn judge_revoke(&self, lease: Option<&Lease>, token: Token, heir: Option<&Heir>) -> Result<(), Refusal> {
        #[cfg(planted)]
        let token = match (crate::planted::is(crate::planted::Bug::RevokeWithoutToken), lease) {
            (true, Some(Lease { grant: Some(grant), .. })) => grant.token,
            _ => token,
        };
        let lease = self.living(lease, token)?;
        let namespace = &self.spaces.get(lease.space).namespace;
        heir.map_or(Ok(()), |heir| self.judge_heir(namespace, heir))
    }

    fn judge_pin(&self, lease: Option<&Lease>, key: &Key, entity: &Entity) -> Result<(), Refusal> {
        let pins = lease.map_or(&[][..], Lease::pins);
        if pins.iter().any(|(present, _)| present == entity) {
            return Ok(());
        }
        if pins.len() >= PINS_MAX {
            return Err(Refusal::Full { what: Full::Pins, limit: PINS_MAX as u64 });
        }
        self.judge_room(key, lease)
    }

    /// The settings as they will be.
    pub(crate) fn judge_set(&self, version: u64, changes: &[Change]) -> Result<Settings, Refusal> {
        let next = self.settings.changed(version, changes)?;
        let unset = |namespace: &Namespace| !next.namespaces.contains_key(namespace);
        let in_use =
            self.spaces.iter().filter(|(_, space)| !space.names.is_empty() && unset(&space.namespace));
        match next.namespaces.len() + in_use.count() > NAMESPACES_MAX {
            true => Err(Refusal::Full { what: Full::Namespaces, limit: NAMESPACES_MAX as u64 }),
            false => Ok(next),
        }
    }

    fn judge_heir(&self, namespace: &Namespace, heir: &Heir) -> Result<(), Refusal> {
        self.settings_of(namespace).check_ttl(heir.ttl)?;
        match heir.confirm > TTL_MAX {
            true => Err(Refusal::Ttl { ttl: heir.confirm, min: Ttl::ZERO, max: TTL_MAX }),
            false => Ok(()),
        }
    }

    /// Whether `key` may become one lease more, where it does not count as one already.
    fn judge_room(&self, key: &Key, lease: Option<&Lease>) -> Result<(), Refusal> {
        if lease.is_some_and(Lease::counts) {
            return Ok(());
        }
        let limit = self.settings_of(&key.namespace).leases_max;
        let Some(space) = self.spaces.find(&key.namespace) else {
            return match self.spaces.len() >= NAMESPACES_MAX {
                true => Err(Refusal::Full { what: Full::Namespaces, limit: NAMESPACES_MAX as u64 }),
                false if limit == 0 => Err(Refusal::Full { what: Full::Leases, limit }),
                false => Ok(()),
            };
        };
        // Asked ahead, the record may still count although what is over in it no longer will.
        let recorded = self.slot(key).and_then(|slot| self.slab.get(slot));
        let others = space.leases - u64::from(recorded.is_some_and(Lease::counts));
        match others >= limit {
            true => Err(Refusal::Full { what: Full::Leases, limit }),
            false => Ok(()),
        }
    }

    /// The lease whose living grant has `token`; refused with its end where it has none.
    fn living<'a>(&self, lease: Option<&'a Lease>, token: Token) -> Result<&'a Lease, Refusal> {
        let Some(lease) = lease else { return Err(self.unheard_of(token)) };
        match &lease.grant {
            Some(grant) if grant.token == token => Ok(lease),
            _ => Err(Refusal::Lost { end: self.end_of(lease, token).map(|end| End::clone(end)) }),
        }
    }

    /// A token that neither a grant nor history has: from before what history knows, or never given.
    fn unheard_of(&self, token: Token) -> Refusal {
        match token < self.next_token {
            true => Refusal::Lost { end: None },
            false => Refusal::NeverGiven { newest: self.newest_token() },
        }
    }

    pub(crate) fn end_of<'a>(&'a self, lease: &'a Lease, token: Token) -> Option<&'a Arc<End>> {
        match lease.last_end() {
            Some(end) if end.token == token => Some(end),
            _ => self.spaces.get(lease.space).history.find(token),
        }
    }
}

/// Whether `claim` came after a later claim of the same instance, or after the end of its own grant.
fn is_overtaken(lease: &Lease, claim: &Claim) -> bool {
    let of = |holder: &str, instance: Instance| (holder, instance) == (claim.holder.as_str(), claim.instance);
    let by_grant = |grant: &Grant| of(lease.holder(), grant.instance) && claim.seq < grant.seq;
    let by_end = |end: &Arc<End>| of(end.holder.as_str(), end.instance) && claim.seq <= end.seq;
    lease.grant.as_ref().is_some_and(by_grant) || lease.last_end().is_some_and(by_end)
}

/// Whether the grant is the claimer's own, or was forced on it and waits for its first claim.
fn belongs(lease: &Lease, grant: &Grant, claim: &Claim) -> bool {
    let forced = !lease.confirmed && grant.instance == Instance(0);
    #[cfg(planted)]
    let forced = forced || crate::planted::is(crate::planted::Bug::InstanceIgnored);
    lease.holder() == claim.holder.as_str() && (forced || grant.instance == claim.instance)
}

fn not_ending(lease: &Lease) -> Result<(), Refusal> {
    match (&lease.grant, lease.revoked()) {
        (Some(grant), Some(_)) => Err(Refusal::Ending { deadline: grant.deadline }),
        _ => Ok(()),
    }
}

fn held(now: Time, lease: &Lease, grant: &Grant, asker: &Holder) -> Refusal {
    Refusal::Held {
        holder: Holder::kept(lease.holder()),
        token: grant.token,
        remaining: now.until(grant.deadline),
        by_you: lease.holder() == asker.as_str(),
    }
}

fn cooling(now: Time, lease: &Lease) -> Refusal {
    let (holder, until) = lease.cooldown().map_or((None, now), |it| (it.admitted.clone(), it.until));
    Refusal::Cooldown { holder, remaining: now.until(until) }
}

/// Where the holder and instance of a lost grant have a newer one on its key, that is what they need to know.
fn newer_of(lease: Option<&Lease>, lost: Refusal) -> Refusal {
    let (Some(lease @ Lease { grant: Some(grant), .. }), Refusal::Lost { end: Some(end) }) = (lease, &lost)
    else {
        return lost;
    };
    let is_the_same = lease.holder() == end.holder.as_str() && grant.instance == end.instance;
    match grant.token > end.token && is_the_same {
        true => Refusal::StaleToken { current: grant.token },
        false => lost,
    }
}
