//! What is asked, before it costs an entry: checked against the applied table, and behind a barrier where it would be refused.
//!
//! A refusal must not be an old leader's: it is decided from applied state once ReadIndex has confirmed that this member still
//! leads, and decided again then; where it no longer stands the command is proposed. One barrier serves all who came before
//! it left. Where another member leads, a barrier is that one's: its index, once it is reached here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use lease::{
    CREDENTIALS_SINCE, Command, GrantOf, Holder, Instance, Outcome, Refusal, TTL_DEFAULT, Time, Token, Ttl,
};

use super::role::Role;
use super::{Driver, TRY_AGAIN};
use crate::batch::{Asker, Pending};
use crate::clock::{CLAMP, Mono};
use crate::engine::Engine;
use crate::handle::{Answer, HeirMust, Named, Read, ReplyFn, Unavailable, Whose};
use crate::queue::{comes_again, confirm};
use crate::shared::{State, Watching};

/// A round of ReadIndex under way, and who waits for it.
pub(super) struct Barrier {
    /// The newest batch that was sealed before it: what that may do yet must be seen by whoever waits.
    pub(super) sealed: u64,
    /// Up to which entry this member must have applied; none where the barrier has failed.
    pub(super) passed: Pin<Box<dyn Future<Output = Option<u64>> + Send>>,
    pub(super) done: Option<Option<u64>>,
    pub(super) behind: Vec<Behind>,
}

/// Who waits for a barrier.
pub(super) enum Behind {
    Read(Read, Mono),
    Refusal(Pending),
    Wait(u64),
    Watch(Watching),
    /// Another member's barrier.
    Index(ReplyFn<Option<u64>>, Mono),
}

impl<E: Engine> Driver<E> {
    /// Looks at what has come against the applied table: what would be refused waits for a barrier, the rest for a batch.
    pub(super) fn check_new(&mut self, now: Mono) {
        let Some(clock) = &self.clock else { return };
        if self.unchecked.is_empty() {
            return;
        }
        if self.engine.no_room().is_some_and(|no_room| no_room.waiting) {
            return self.refuse_new(Unavailable::DiskFull);
        }
        let in_grace = now < clock.grace_ends();
        let (mut answers, mut joining) = (Vec::new(), Vec::new());
        let state = self.shared.state();
        let (at, lease_now) = (state.reading(), clock.read(state.table.now(), now));
        let unchecked = std::mem::take(&mut self.unchecked);
        state.table.warm(unchecked.iter().map(|pending| &pending.request.command));
        for mut pending in unchecked {
            if !pending.is_passed_on {
                pending.request.not_after = Some(lease_now.after(CLAMP).after(pending.due.since(now)));
            }
            match check(&state, lease_now, in_grace, &mut pending) {
                Check::Passes => {
                    let full = self.batcher.push(pending, now);
                    answers.extend(full.map(|pending| self.turned_away(pending)));
                }
                Check::NotYours { whose, held } => {
                    answers.push((pending.asker, Answer::NotYours { whose, held, at }));
                }
                Check::Joins(id) => joining.push(id),
                Check::Refused(_) | Check::Queued | Check::NotWaiting => {
                    self.behind_barrier.push(Behind::Refusal(pending));
                }
            }
        }
        drop(state);
        joining.into_iter().for_each(|id| self.join(id));
        answers.into_iter().for_each(|(asker, answer)| self.answer(asker, answer));
    }

    /// There is no room for it, or its turn would come too late.
    pub(super) fn turned_away(&self, pending: Pending) -> (Asker, Answer) {
        let retry_after = self.batcher.retry_after();
        (pending.asker, Answer::Unavailable(Unavailable::Overloaded { retry_after }))
    }

    /// What has just come is surely not done.
    fn refuse_new(&mut self, why: Unavailable) {
        let new = std::mem::take(&mut self.unchecked);
        self.answer_all(new, &Answer::Unavailable(why));
    }

    pub(super) fn start_barrier(&mut self, now: Mono) {
        if now < self.barrier_not_before || self.barrier.is_some() || self.behind_barrier.is_empty() {
            return;
        }
        if self.behind {
            return self.refuse_reads(Unavailable::Behind);
        }
        let passed: Pin<Box<dyn Future<Output = Option<u64>> + Send>> = match self.role {
            Role::Leads if self.clock.is_some() => {
                let passed = self.engine.read_barrier();
                Box::pin(async move { passed.await.then_some(0) })
            }
            Role::Follows(leader) => self.ask_index(leader),
            _ => return,
        };
        let behind = std::mem::take(&mut self.behind_barrier);
        self.barrier = Some(Barrier { sealed: self.sealed, passed, done: None, behind });
    }

    pub(super) fn settle_barrier(&mut self, now: Mono) {
        // On one voter ReadIndex knows nothing of what is in the log and not yet synced: a read that passed it would see a lease
        // free that a claim under way is about to take, and whoever looks once would look too early.
        let oldest = self.in_flight.iter().map(|in_flight| in_flight.number).min();
        let applied = self.shared.state().applied.map_or(0, |id| id.index);
        let is_over = |barrier: &mut Barrier| {
            let reached = |index| index <= applied && oldest.is_none_or(|oldest| oldest > barrier.sealed);
            barrier.done.is_some_and(|passed| passed.is_none_or(reached))
        };
        let Some(Barrier { done: Some(passed), behind, .. }) = self.barrier.take_if(is_over) else {
            return;
        };
        match passed {
            Some(_) => behind.into_iter().for_each(|behind| self.pass(behind)),
            // Nobody could tell who leads: the next barrier may.
            None => {
                self.barrier_not_before = now.after(TRY_AGAIN);
                self.behind_barrier.extend(behind);
            }
        }
    }

    /// Answers who waited for a barrier that has passed.
    fn pass(&mut self, behind: Behind) {
        match behind {
            Behind::Read(read, due) => self.reads.push_back((read, due)),
            Behind::Wait(id) => {
                let mut state = self.shared.state();
                let reading = state.reading();
                let State { table, waits, .. } = &mut *state;
                let told = waits.admit(id, reading, |key| table.is_free(key));
                drop(state);
                told.into_iter().for_each(|(reply, waited)| reply(waited));
            }
            Behind::Watch(Watching { id, watched, after, wake, reply, .. }) => {
                let mut state = self.shared.state();
                if !state.events.take_asked(id) {
                    return;
                }
                let begun = state.events.watch(id, watched, after, Arc::clone(&wake));
                drop(state);
                reply(begun);
                // There may be something to pull already.
                wake();
            }
            Behind::Refusal(pending) => self.decide_again(pending),
            Behind::Index(reply, _) => reply(self.shared.state().applied.map(|id| id.index)),
        }
    }

    /// A refusal is decided again at the state that the barrier gave; where it no longer stands the command is proposed.
    fn decide_again(&mut self, pending: Pending) {
        if self.clock.is_none() {
            return self.unchecked.push(pending);
        }
        let state = self.shared.state();
        let mut pending = pending;
        // At the table's time, and not at what the clock reads by now: a refusal must be true of a state that the log has. What
        // only the clock would refuse is proposed, and its own stamp decides.
        let check = check(&state, state.table.now(), false, &mut pending);
        let at = state.reading();
        drop(state);
        let answer = match check {
            Check::Passes => {
                let full = self.batcher.push(pending, self.shared.clock.now());
                let turned_away = full.map(|pending| self.turned_away(pending));
                return turned_away.into_iter().for_each(|(asker, answer)| self.answer(asker, answer));
            }
            Check::Joins(id) => return self.join(id),
            Check::NotYours { whose, held } => Answer::NotYours { whose, held, at },
            Check::NotWaiting => Answer::NotWaiting { at },
            Check::Queued => Answer::Queued { at },
            Check::Refused(refusal) => Answer::Decided { outcome: Outcome::Refused(refusal), at },
        };
        self.answer(pending.asker, answer);
    }
}

/// What the applied table and the queue say of a command before it costs an entry.
enum Check {
    /// It would take effect.
    Passes,
    /// The grant is another's than the caller says. That is so for good: a token never changes its key.
    NotYours { whose: Whose, held: Option<(Holder, Token)> },
    /// It would not.
    Refused(Refusal),
    /// It would pass by others that wait for the lease.
    Queued,
    /// It would hand the lease on to one who does not wait for it.
    NotWaiting,
    /// The acquire of that number has to wait in line.
    Joins(u64),
}

fn check(state: &State, lease_now: Time, in_grace: bool, pending: &mut Pending) -> Check {
    let command = &mut pending.request.command;
    // Of an ended grant too: another's end must not be told as one's own.
    if let (Some(named), Some(token)) = (&pending.named, token_of(command))
        && let Some(grant) = state.table.whose(token)
        && let Some(whose) = misnamed(named, grant).or_else(|| for_another(state, named, token))
    {
        let grant = state.table.get(&named.key).and_then(|lease| lease.grant);
        return Check::NotYours { whose, held: grant.map(|grant| (grant.holder, grant.token)) };
    }
    if let Command::Extend { token, ttl } = command
        && *ttl == Ttl::ZERO
    {
        *ttl = state.table.grant(*token).map_or(TTL_DEFAULT, |(_, grant)| grant.ttl);
    }
    let found = name_heir(state, command);
    match (state.table.refusal(lease_now, command), &pending.asker) {
        (Some(refusal), Asker::Acquire(id)) if comes_again(&refusal) => return Check::Joins(*id),
        (Some(refusal), _) => return Check::Refused(refusal),
        (None, _) => {}
    }
    match (command, &pending.asker) {
        (Command::Transfer { .. }, _) if !found && pending.heir == HeirMust::Wait => Check::NotWaiting,
        // A claim of the holder's own grant, or of one that a cooldown admits, passes nobody by.
        (Command::Claim(claim), asker) if state.table.is_open(lease_now, &claim.key) => match asker {
            // One that an earlier leader had in line has its place among the others, and has been told nothing of a claim.
            Asker::Acquire(id) if in_grace || state.queue.place(*id).is_some() || state.queue.bars(claim) => {
                Check::Joins(*id)
            }
            Asker::Caller(_) if state.queue.bars(claim) => Check::Queued,
            _ => Check::Passes,
        },
        _ => Check::Passes,
    }
}

/// Whose a grant is, where it is not as the caller names it.
fn misnamed(named: &Named, grant: GrantOf<'_>) -> Option<Whose> {
    match named.instance {
        _ if !grant.is_of(&named.key) => Some(Whose::AnotherLeases),
        Some(named) if named != grant.instance => Some(Whose::AnotherInstances),
        _ => None,
    }
}

impl<E: Engine> Driver<E> {
    /// Looks by this member's own state whether a grant is of another than the only holder that the caller may act for, and names that
    /// holder to the leader no more: as long as the cluster has no credentials, the leader may be of a version that cannot read it.
    pub(super) fn for_another_here(&self, pending: &mut Pending) -> Option<Answer> {
        let state = self.shared.state();
        if state.table.settings().cluster_version >= CREDENTIALS_SINCE {
            return None;
        }
        let token = token_of(&pending.request.command);
        let named = pending.named.as_mut()?;
        let whose = token.and_then(|token| for_another(&state, named, token));
        named.holder = None;
        let grant = || state.table.get(&named.key)?.grant.map(|grant| (grant.holder, grant.token));
        whose.map(|whose| Answer::NotYours { whose, held: grant(), at: state.reading() })
    }
}

/// A grant of another holder than the only one that the caller may act for. One that has ended is nobody's.
fn for_another(state: &State, named: &Named, token: Token) -> Option<Whose> {
    let only = named.holder.as_ref()?;
    let (_, grant) = state.table.grant(token)?;
    (grant.holder != *only).then_some(Whose::AnotherInstances)
}

/// Finds the one in line that a command hands a lease on to. False where nobody of that name waits: then its grant is there for
/// the holder's first claim.
fn name_heir(state: &State, command: &mut Command) -> bool {
    let (token, heir) = match command {
        Command::Transfer { token, to } => (*token, to),
        Command::Revoke { token, heir: Some(heir), .. } => (*token, heir),
        _ => return false,
    };
    let Some((key, grant)) = state.table.grant(token) else { return false };
    let waiter = state.queue.waiter(&key, &heir.holder);
    let (instance, ttl) = waiter.unwrap_or((Instance(0), grant.ttl));
    if heir.ttl == Ttl::ZERO {
        heir.ttl = ttl;
    }
    (heir.instance, heir.confirm) = (instance, confirm(heir.ttl));
    waiter.is_some()
}

fn token_of(command: &Command) -> Option<Token> {
    match command {
        Command::Extend { token, .. }
        | Command::Release { token }
        | Command::Transfer { token, .. }
        | Command::Revoke { token, .. } => Some(*token),
        Command::Claim(_)
        | Command::Succeed(_)
        | Command::Pin { .. }
        | Command::Unpin { .. }
        | Command::Set { .. } => None,
    }
}
