//! How things end: by the sweep, by a touch, or by a command.
//!
//! A grant is *over* when its deadline lies before now and it is unpinned, unconfirmed or ending; a cooldown
//! when its end lies before now. The sweep ends at most N of them a batch, by (deadline, token), where a
//! cooldown goes by the token of the grant that it followed. What is over and not swept ends when it is
//! touched, so no outcome depends on N.
//!
//! Finer points:
//! * A grant that expires ends at the *now* of the batch that ends it, not at its deadline: until then every
//!   reader was told that it is held. Its cooldown starts then too.
//! * Only a confirmed grant that nobody revoked expires into a cooldown. One that was revoked ends as revoked,
//!   one that was never confirmed as unconfirmed.
//! * A cooldown or unclaimable key that is over counts towards N like a grant, makes no event, and its key is in
//!   [`Applied::freed`](crate::Applied::freed).
//! * `freed` is in the order in which the keys came to be free, and names none that was claimable before.

use crate::record::{Due, Slot};
use crate::table::Step;
use crate::tokens::Trace;
use crate::{Heir, Holder, Key, Table, Time, Ttl, What, Why};

impl Table {
    /// Ends at most `limit` of what is over.
    pub(crate) fn sweep(&mut self, limit: u32, step: &mut Step) {
        for _ in 0..limit {
            let Some((_, slot)) = self.first_due().filter(|(due, _)| due.at < self.now) else { return };
            self.settle(slot, step);
            step.untidy.take().into_iter().for_each(|slot| self.tidy(slot));
        }
    }

    /// The earliest deadline of what can still expire: a grant that is unpinned, unconfirmed or ending, a
    /// cooldown, an unclaimable key. It may move entries of the index, which no outcome shows.
    pub fn next_deadline(&mut self) -> Option<Time> {
        self.first_due().map(|(due, _)| due.at)
    }

    /// What a batch of stamp `now` would sweep with a limit of `limit`, if it were applied next, in the order of the sweep: of
    /// each its key, where the sweep leaves that free, for whoever adds a succession behind it.
    pub fn sweep_ahead(&self, now: Time, limit: u32) -> Vec<Option<Key>> {
        let due = self.deadlines.before(now, limit as usize, |slot| self.slab.get(slot)?.due());
        let freed = |slot: Slot| {
            let lease = self.lease(slot);
            let cools = self.spaces.get(lease.space).settings.cooldown > Ttl::ZERO;
            let goes_on = match (&lease.grant, lease.revoked()) {
                (Some(_), Some(revoked)) => revoked.heir.is_some(),
                (Some(_), None) => lease.confirmed && cools,
                (None, _) => false,
            };
            (!goes_on).then(|| self.key(slot))
        };
        due.into_iter().map(|(_, slot)| freed(slot)).collect()
    }

    fn first_due(&mut self) -> Option<(Due, Slot)> {
        let slab = &self.slab;
        self.deadlines.first(|slot| slab.get(slot)?.due())
    }

    /// Ends what is over on the lease, grant or cooldown.
    pub(crate) fn settle(&mut self, slot: Slot, step: &mut Step) {
        let lease = self.lease(slot);
        if !lease.is_over(self.now) {
            return;
        }
        if lease.grant.is_some() {
            let why = lease.why_over();
            return self.end(slot, why, None, step);
        }
        step.applied.freed.push(self.key(slot));
        self.edit(slot, |lease| lease.end_cooldown());
        step.untidy = Some(slot);
    }

    /// Ends the living grant of `slot`, and grants to `heir`, or else to the heir that its revoke named, in
    /// the same step.
    pub(crate) fn end(&mut self, slot: Slot, why: Why, heir: Option<Heir>, step: &mut Step) {
        let (now, next, key) = (self.now, self.next_token, self.key(slot));
        let lease = self.lease(slot);
        let before = lease.last_end().map(|end| end.token);
        let cooldown = self.spaces.get(lease.space).settings.cooldown;
        let space = lease.space;
        let Some(end) = self.edit(slot, |lease| lease.finish(now, why, heir, cooldown, next)) else { return };
        if let Some(before) = before.filter(|token| self.tokens.get(*token) == Some((slot, Trace::LastEnd))) {
            self.tokens.remove(before);
        }
        self.tokens.set(end.token, slot, Trace::InHistory);
        self.spaces.get_mut(space).history.push(slot, end.clone());
        step.untidy = Some(slot);
        // A grant of this very batch was made on a key that was free before, or that was noted already.
        if end.token < step.first {
            step.applied.freed.push(key.clone());
        }
        self.tell(What::Ended { key: key.clone(), end: (*end).clone() }, step);
        if self.lease(slot).grant.is_some() {
            self.mint(slot);
            let holder = Holder::kept(self.lease(slot).holder());
            self.tell_granted(slot, key, holder, step);
        }
    }
}
