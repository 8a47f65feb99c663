//! The lease table: what a batch does to it.
//!
//! ```text
//!     batch {term, stamp, N, requests} ──▶ now = max(now, stamp) ──▶ sweep at most N ──▶ each request, in order
//!                                                                                          │
//!     Applied {outcomes, events, freed} ◀── its outcome ◀── effect or refusal ◀── what it touches is settled
//! ```
//!
//! Invariants ([`Table::check`] checks them):
//! * A name has at most one holder.
//! * Tokens only grow; none is issued twice, not even after a restart.
//! * A grant never becomes shorter while it is held; only a revoke ends it before its deadline.
//! * `now` never runs backwards, and the same batches give the same table, to the byte.
//!
//! Finer points:
//! * A command **touches** the lease of its key, or of its token as long as history knows the token. What is
//!   over there ends first, whatever becomes of the command; one refused `late` by its `not_after`, and one of
//!   another term, touches nothing. What the command itself makes over (an unpin of an overdue grant, say)
//!   waits for the next sweep or touch.
//! * A key counts as a lease while it is held, pinned or cooling down; a free key that is only remembered does
//!   not count, and is bounded by the history's length.
//! * `Granted::ttl` of a claim or extend is what was *asked*, and never more than is left: a holder may
//!   reckon its belief from it. [`GrantView::ttl`] is the ttl that the deadline came from.
//! * A claim that acts as an extend raises the grant's seq to its own.
//! * A pin again by the same entity takes its new reason, and is no event.
//! * A second revoke keeps of the first what it leaves out: an heir, and a reason that is not empty. It is an event
//!   if reason or heir is new.
//! * A new value is an event only where it differs.
//! * When a grant is handed on, its end is told before the new grant.

use crate::deadline::Deadlines;
use crate::record::{Lease, Revoked, Slot};
use crate::slab::Slab;
use crate::space::Spaces;
use crate::tokens::{Tokens, Trace};
use crate::*;

/// How many commands ahead their records are fetched into the processor's cache.
const WARM: usize = 32;

/// Who holds which name, until when, under which token.
#[derive(Debug, Default)]
pub struct Table {
    pub(crate) now: Time,
    pub(crate) revision: Revision,
    pub(crate) next_token: Token,
    pub(crate) settings: Settings,
    pub(crate) slab: Slab,
    pub(crate) spaces: Spaces,
    pub(crate) tokens: Tokens,
    pub(crate) deadlines: Deadlines,
    pub(crate) held: u64,
    pub(crate) cooling: u64,
}

/// What a batch has done so far.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) applied: Applied,
    /// The first token that this batch could mint: a grant with a lower one was there before.
    pub(crate) first: Token,
    /// The record that the command may have left without a reason to be kept.
    pub(crate) untidy: Option<Slot>,
}

impl Table {
    /// An empty table whose tokens start in `epoch` (the upper 32 bits). Token 0 is never given out.
    pub fn new(epoch: u32) -> Table {
        Table { next_token: Token::from_u64(u64::from(epoch) << 32 | 1), ..Table::default() }
    }

    /// Applies one committed batch of an entry of `term`.
    pub fn apply(&mut self, term: u64, batch: &Batch) -> Applied {
        let foreign = batch.term != term;
        #[cfg(planted)]
        let foreign = foreign && !planted::is(planted::Bug::BatchOfAnotherTerm);
        if foreign {
            return Applied {
                outcomes: vec![Outcome::Refused(Refusal::Retry); batch.requests.len()],
                ..Applied::default()
            };
        }
        self.now = self.now.max(batch.stamp);
        let mut step = self.step(batch.requests.len());
        self.sweep(batch.sweep, &mut step);
        for group in batch.requests.chunks(WARM) {
            self.warm(group.iter().map(|request| &request.command));
            for request in group {
                let outcome = self.perform(request, &mut step);
                step.applied.outcomes.push(outcome);
            }
        }
        self.finish(step)
    }

    pub(crate) fn step(&self, requests: usize) -> Step {
        let applied = Applied { outcomes: Vec::with_capacity(requests), ..Applied::default() };
        Step { applied, first: self.next_token, untidy: None }
    }

    /// Of the keys that were not claimable when the batch came, those that are now.
    pub(crate) fn finish(&self, mut step: Step) -> Applied {
        step.applied.freed.retain(|key| self.is_free(key));
        step.applied
    }

    /// Reads what the extends among `commands` will need, and does nothing with it. Among a million leases each is
    /// a chain of cache misses; here the chains of many run side by side, which one command after the
    /// other does not let them, and the extends take half the time.
    pub fn warm<'a>(&self, commands: impl Iterator<Item = &'a Command>) {
        let mut commands = commands.peekable();
        while commands.peek().is_some() {
            let mut slots = [Slot::MAX; WARM];
            for (slot, command) in slots.iter_mut().zip(&mut commands) {
                if let Command::Extend { token, .. } = command {
                    *slot = self.tokens.get(*token).map_or(Slot::MAX, |(slot, _)| slot);
                }
            }
            for slot in slots {
                std::hint::black_box(self.slab.touch(slot));
            }
        }
    }

    fn perform(&mut self, request: &Request, step: &mut Step) -> Outcome {
        let late = request.not_after.is_some_and(|not_after| not_after < self.now);
        #[cfg(planted)]
        let late = late
            && !(planted::is(planted::Bug::LateRelease)
                && matches!(request.command, Command::Release { .. }));
        if late {
            return Outcome::Refused(Refusal::Late);
        }
        let slot = self.locate(&request.command);
        slot.into_iter().for_each(|slot| self.settle(slot, step));
        let lease = slot.and_then(|slot| self.slab.get(slot));
        let outcome = match self.judge(self.now, lease, &request.command) {
            Ok(()) => self.carry_out(slot, &request.command, step),
            Err(refusal) => Outcome::Refused(refusal),
        };
        step.untidy.take().into_iter().for_each(|slot| self.tidy(slot));
        outcome
    }

    /// The effect of a command that was judged good.
    fn carry_out(&mut self, slot: Option<Slot>, command: &Command, step: &mut Step) -> Outcome {
        match command {
            Command::Claim(claim) => self.claim(slot, claim, step),
            Command::Succeed(succeed) => self.succeed(slot, succeed, step),
            Command::Extend { ttl, .. } => self.extend(there(slot), *ttl, step),
            Command::Release { token } => self.release(there(slot), *token, step),
            Command::Transfer { to, .. } => self.transfer(there(slot), to, step),
            Command::Revoke { token, why, when, heir } => {
                let revoked = Revoked { why: why.clone(), heir: heir.clone() };
                self.revoke(there(slot), *token, revoked, *when, step)
            }
            Command::Pin { key, entity, why } => self.pin(slot, key, entity, why, step),
            Command::Unpin { key, entity } => self.unpin(slot, key, entity, step),
            Command::Set { version, changes } => self.set(*version, changes, step),
        }
    }

    fn claim(&mut self, slot: Option<Slot>, claim: &Claim, step: &mut Step) -> Outcome {
        let slot = slot.unwrap_or_else(|| self.admit(&claim.key, Some(claim.holder.as_str())));
        if self.lease(slot).grant.is_some() {
            return self.claim_again(slot, claim, step);
        }
        // It was not everyone's to claim, and may be by the batch's end; unless what it cools down from ended in this very batch,
        // which has noted it.
        if self.lease(slot).cooldown().is_some() && !step.applied.freed.contains(&claim.key) {
            step.applied.freed.push(claim.key.clone());
        }
        let (now, token) = (self.now, self.mint(slot));
        self.edit(slot, |lease| lease.grant_claim(now, token, claim));
        self.tell_granted(slot, claim.key.clone(), claim.holder.clone(), step)
    }

    /// A claim of the grant's own holder: as an extend, same token.
    fn claim_again(&mut self, slot: Slot, claim: &Claim, step: &mut Step) -> Outcome {
        let Outcome::Extended(granted) = self.extend(slot, claim.ttl, step) else {
            check::broken("an extend did not extend")
        };
        let lease = self.lease_mut(slot);
        if let Some(grant) = &mut lease.grant {
            grant.instance = claim.instance;
            grant.seq = claim.seq;
        }
        if let Some(value) = claim.value.as_ref().filter(|value| lease.value() != Some(value)) {
            lease.extras_mut().value = Some(value.clone());
            let what = What::Valued { key: self.key(slot), token: granted.token, value: value.clone() };
            self.tell(what, step);
        }
        Outcome::Granted(granted)
    }

    fn succeed(&mut self, slot: Option<Slot>, succeed: &Succeed, step: &mut Step) -> Outcome {
        let slot = slot.unwrap_or_else(|| self.admit(&succeed.key, Some(succeed.to.holder.as_str())));
        let (now, token) = (self.now, self.mint(slot));
        self.edit(slot, |lease| lease.grant_heir(now, token, &succeed.to));
        self.tell_granted(slot, succeed.key.clone(), succeed.to.holder.clone(), step)
    }

    /// The hot path: it writes the record, and nothing else.
    fn extend(&mut self, slot: Slot, ttl: Ttl, step: &mut Step) -> Outcome {
        let now = self.now;
        let lease = self.lease_mut(slot);
        let confirms = lease.extend(now, ttl);
        let granted = granted(lease, ttl);
        if confirms {
            let what = What::Confirmed { key: self.key(slot), token: granted.token };
            self.tell(what, step);
        }
        Outcome::Extended(granted)
    }

    fn release(&mut self, slot: Slot, token: Token, step: &mut Step) -> Outcome {
        self.end(slot, Why::Released, None, step);
        Outcome::Released { token }
    }

    fn transfer(&mut self, slot: Slot, to: &Heir, step: &mut Step) -> Outcome {
        self.end(slot, Why::Transferred, Some(to.clone()), step);
        Outcome::Granted(granted(self.lease(slot), to.ttl))
    }

    fn revoke(
        &mut self,
        slot: Slot,
        token: Token,
        by: Revoked,
        when: RevokeWhen,
        step: &mut Step,
    ) -> Outcome {
        let before = self.lease(slot).revoked();
        let by = by.after(before);
        let is_news = before.is_none_or(|it| (&it.why, it.heirs_holder()) != (&by.why, by.heirs_holder()));
        let (why, heir) = (by.why.clone(), by.heirs_holder().cloned());
        self.edit(slot, |lease| lease.extras_mut().revoked = Some(Box::new(by)));
        match (when, &self.lease(slot).grant) {
            (RevokeWhen::AtDeadline, Some(grant)) => {
                let deadline = grant.deadline;
                if is_news {
                    self.tell(What::Ending { key: self.key(slot), token, why, heir }, step);
                }
                Outcome::Ending { token, deadline }
            }
            _ => {
                self.end(slot, Why::Revoked(why), None, step);
                Outcome::Released { token }
            }
        }
    }

    fn pin(
        &mut self,
        slot: Option<Slot>,
        key: &Key,
        entity: &Entity,
        why: &Reason,
        step: &mut Step,
    ) -> Outcome {
        let slot = slot.unwrap_or_else(|| self.admit(key, None));
        let is_new = self.edit(slot, |lease| {
            let pins = &mut lease.extras_mut().pins;
            let place = pins.binary_search_by(|(present, _)| present.cmp(entity));
            match place {
                Ok(at) => pins[at].1 = why.clone(),
                Err(at) => pins.insert(at, (entity.clone(), why.clone())),
            }
            place.is_err()
        });
        if is_new {
            self.tell(What::Pinned { key: key.clone(), entity: entity.clone() }, step);
        }
        Outcome::Done
    }

    fn unpin(&mut self, slot: Option<Slot>, key: &Key, entity: &Entity, step: &mut Step) -> Outcome {
        let Some(slot) = slot else { return Outcome::Done };
        if self.lease(slot).pins().iter().any(|(present, _)| present == entity) {
            self.edit(slot, |lease| lease.extras_mut().pins.retain(|(present, _)| present != entity));
            self.tell(What::Unpinned { key: key.clone(), entity: entity.clone() }, step);
            step.untidy = Some(slot);
        }
        Outcome::Done
    }

    fn set(&mut self, version: u64, changes: &[Change], step: &mut Step) -> Outcome {
        let Ok(next) = self.judge_set(version, changes) else {
            check::broken("a change was judged twice, and twice otherwise")
        };
        self.settings = next;
        for namespace in changes.iter().filter_map(Change::namespace) {
            let settings = self.settings.of(namespace);
            let id = self.spaces.enter(namespace, settings);
            self.spaces.get_mut(id).settings = settings;
            self.trim(id);
        }
        let version = self.settings.version;
        self.tell(What::Settings { version }, step);
        Outcome::Set { version }
    }

    /// The next token, for the grant that `slot` is about to get.
    pub(crate) fn mint(&mut self, slot: Slot) -> Token {
        #[cfg(planted)]
        if self.held == 0 && planted::is(planted::Bug::TokensCountedAnew) {
            self.next_token = Token::from_u64(1);
        }
        let token = self.next_token;
        self.next_token = Token::from_u64(token.as_u64() + 1);
        self.tokens.set(token, slot, Trace::Lives);
        token
    }

    pub(crate) fn tell(&mut self, what: What, step: &mut Step) {
        self.revision.0 += 1;
        step.applied.events.push(Event { revision: self.revision, what });
    }

    /// Tells of the grant of `slot`, whose key and holder these are: who made it has them at hand, to be shared.
    pub(crate) fn tell_granted(&mut self, slot: Slot, key: Key, holder: Holder, step: &mut Step) -> Outcome {
        let lease = self.lease(slot);
        let Some(grant) = &lease.grant else { check::broken("a grant was made and is not there") };
        let outcome = granted(lease, grant.ttl);
        let what = What::Granted {
            key,
            holder,
            token: grant.token,
            confirmed: lease.confirmed,
            value: lease.value().cloned(),
        };
        self.tell(what, step);
        Outcome::Granted(outcome)
    }
}

/// What the holder is told of the grant, for the `ttl` that it asked.
fn granted(lease: &Lease, ttl: Ttl) -> Granted {
    let Some(grant) = &lease.grant else { check::broken("a grant is told of and is not there") };
    Granted { token: grant.token, ttl, deadline: grant.deadline, confirmed: lease.confirmed }
}

/// The record that the judge saw.
fn there(slot: Option<Slot>) -> Slot {
    slot.unwrap_or_else(|| check::broken("a command was judged good on a lease that is not there"))
}
