//! What an operator's recovery does to the table: restore from a backup, or a sole survivor going on alone.
//!
//! Both may have lost the last entries of the log, so a holder may believe in a grant that the table knows
//! nothing of, or knows under an older deadline. Therefore tokens go on in a new epoch, above all that can have
//! been given out; and a key that the table knows is kept from everyone, or with its holder, for as long as a
//! belief can last: its grant's whole ttl. A key that the table does not know is not protected.

use crate::record::{Cooldown, Lease, Slot};
use crate::table::Step;
use crate::{Applied, Table, Time, Token, Why};

/// Which recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// From a backup: every grant ends as `restored`, and its key is unclaimable for its whole ttl.
    Restore,
    /// Of a cluster's last member: every grant stays, and ends no earlier than its ttl from now.
    SoleSurvivor,
    /// Either, where the operator knows that nobody believes any more: every grant ends, and every key that an earlier restore
    /// made unclaimable is free too. The cooldowns that follow expiries stay: they are a namespace's own rule.
    DiscardGrants,
}

impl Table {
    /// Recovers the table, once, before it serves a cluster of a new id. Tokens go on in the epoch of `epoch`
    /// (seconds since 2020), or in the next one, where that is higher. Gives the events, and the keys freed.
    ///
    /// The last epoch of all has no next one: tokens then go on behind those that the table knows. By the clock that is in
    /// 2156.
    pub fn recover(&mut self, epoch: u32, how: Recovery) -> Applied {
        let mut step = self.step(0);
        for slot in self.slots_where(|lease| lease.grant.is_some()) {
            match how {
                Recovery::Restore => self.end_restored(slot, Kept::UntilBeliefEnds, &mut step),
                Recovery::SoleSurvivor => self.hold_on(slot),
                Recovery::DiscardGrants => self.end_restored(slot, Kept::Free, &mut step),
            }
        }
        if how == Recovery::DiscardGrants {
            for slot in self.slots_where(Lease::is_unclaimable) {
                self.free_unclaimable(slot, &mut step);
            }
        }
        let next = (u64::from(self.next_token.epoch()) + 1).max(u64::from(epoch)).min(u64::from(u32::MAX));
        self.next_token = self.next_token.max(Token::from_u64(next << 32 | 1));
        self.finish(step)
    }

    /// In the order of their keys.
    fn slots_where(&self, is_wanted: impl Fn(&Lease) -> bool) -> Vec<Slot> {
        let slots = self.spaces.iter().flat_map(|(_, space)| space.names.slots());
        slots.filter(|slot| is_wanted(self.lease(*slot))).collect()
    }

    /// Ends the grant. Nobody inherits it: an heir would be told of a grant while its holder may believe.
    fn end_restored(&mut self, slot: Slot, kept: Kept, step: &mut Step) {
        let Some((ttl, token)) = self.lease(slot).grant.as_ref().map(|grant| (grant.ttl, grant.token)) else {
            return;
        };
        self.edit(slot, |lease| lease.forget_revoke());
        self.end(slot, Why::Restored, None, step);
        if kept == Kept::UntilBeliefEnds {
            let until = self.now.after(ttl);
            let cooldown = Cooldown { until, admitted: None, why: Why::Restored, token };
            self.edit(slot, |lease| lease.extras_mut().cooldown = Some(Box::new(cooldown)));
        }
        step.untidy.take().into_iter().for_each(|slot| self.tidy(slot));
    }

    fn free_unclaimable(&mut self, slot: Slot, step: &mut Step) {
        step.applied.freed.push(self.key(slot));
        self.edit(slot, |lease| lease.end_cooldown());
        self.tidy(slot);
    }

    fn hold_on(&mut self, slot: Slot) {
        let now: Time = self.now;
        self.edit(slot, |lease| {
            if let Some(grant) = &mut lease.grant {
                grant.deadline = grant.deadline.max(now.after(grant.ttl));
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    UntilBeliefEnds,
    Free,
}
