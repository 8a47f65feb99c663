//! What is asked, before it costs an entry: checked against the applied table, and behind a barrier where it would be refused.
//!
//! A refusal must not be an old leader's: it is decided from applied state once ReadIndex has confirmed that this member still
//! leads, and decided again then; where it no longer stands the command is proposed. One barrier serves all who came before
//! it left.

use std::future::Future;
use std::pin::Pin;

use lease::{Command, Outcome, Refusal, Time, Token};

use super::{Driver, TRY_AGAIN};
use crate::World;
use crate::batch::Pending;
use crate::clock::{CLAMP, Mono};
use crate::handle::{Answer, Read, Unavailable, Waited};
use crate::shared::{RETRY_AFTER, State};

/// A round of ReadIndex under way, and who waits for it.
pub(super) struct Barrier {
    pub(super) passed: Pin<Box<dyn Future<Output = bool> + Send>>,
    pub(super) done: Option<bool>,
    pub(super) behind: Vec<Behind>,
}

/// Who waits for a barrier.
pub(super) enum Behind {
    Read(Read, Mono),
    Refusal(Pending),
    Wait(u64),
}

impl<W: World> Driver<W> {
    /// Looks at what has come against the applied table: what would be refused waits for a barrier, the rest for a batch.
    pub(super) fn check_new(&mut self, now: Mono) {
        let Some(clock) = &self.clock else { return };
        if self.unchecked.is_empty() {
            return;
        }
        if self.log.no_room().is_some_and(|no_room| no_room.waiting) {
            return self.refuse_new(Unavailable::DiskFull);
        }
        let mut answers = Vec::new();
        let state = self.shared.state();
        let lease_now = clock.read(state.table.now(), now);
        for mut pending in std::mem::take(&mut self.unchecked) {
            pending.request.not_after = Some(lease_now.after(CLAMP).after(pending.due.since(now)));
            match check(&state, lease_now, &pending) {
                Check::Passes => answers.extend(self.batcher.push(pending).map(overloaded)),
                Check::NotYours => {
                    let at = state.reading();
                    answers.push((pending.reply, Answer::NotYours { at }));
                }
                Check::Refused(_) => self.behind_barrier.push(Behind::Refusal(pending)),
            }
        }
        drop(state);
        answers.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    /// What has just come is surely not done.
    fn refuse_new(&mut self, why: Unavailable) {
        std::mem::take(&mut self.unchecked)
            .into_iter()
            .for_each(|pending| (pending.reply)(Answer::Unavailable(why)));
    }

    pub(super) fn start_barrier(&mut self, now: Mono) {
        if self.clock.is_none()
            || now < self.barrier_not_before
            || self.barrier.is_some()
            || self.behind_barrier.is_empty()
        {
            return;
        }
        let passed = Box::pin(self.raft.clone().read_barrier());
        let behind = std::mem::take(&mut self.behind_barrier);
        self.barrier = Some(Barrier { passed, done: None, behind });
    }

    pub(super) fn settle_barrier(&mut self, now: Mono) {
        let Some(Barrier { done: Some(passed), behind, .. }) =
            self.barrier.take_if(|barrier| barrier.done.is_some())
        else {
            return;
        };
        match passed {
            true => behind.into_iter().for_each(|behind| self.pass(behind)),
            // It could not tell whether it leads: the next barrier may.
            false => {
                self.barrier_not_before = now.after(TRY_AGAIN);
                self.behind_barrier.extend(behind);
            }
        }
    }

    /// Answers who waited for a barrier that has passed.
    fn pass(&mut self, behind: Behind) {
        match behind {
            Behind::Read(read, _) => {
                let state = self.shared.state();
                (read.reply)(Ok((&state.table, state.reading())));
            }
            Behind::Wait(id) => {
                let mut state = self.shared.state();
                let reading = state.reading();
                let State { table, waits, .. } = &mut *state;
                let reply = waits.admit(id, reading.revision, |key| table.is_free(key));
                drop(state);
                reply.into_iter().for_each(|reply| reply(Waited::Free(reading)));
            }
            Behind::Refusal(pending) => self.decide_again(pending),
        }
    }

    /// A refusal is decided again at the state that the barrier gave; where it no longer stands the command is proposed.
    fn decide_again(&mut self, pending: Pending) {
        if self.clock.is_none() {
            return self.unchecked.push(pending);
        }
        let state = self.shared.state();
        // At the table's time, and not at what the clock reads by now: a refusal must be true of a state that the log has. What
        // only the clock would refuse is proposed, and its own stamp decides.
        let (check, at) = (check(&state, state.table.now(), &pending), state.reading());
        drop(state);
        let answered = match check {
            Check::Passes => self.batcher.push(pending).map(overloaded),
            Check::NotYours => Some((pending.reply, Answer::NotYours { at })),
            Check::Refused(refusal) => {
                let outcome = Outcome::Refused(refusal);
                Some((pending.reply, Answer::Decided { outcome, at }))
            }
        };
        answered.into_iter().for_each(|(reply, answer)| reply(answer));
    }
}

/// What the applied table says of a command before it costs an entry.
enum Check {
    /// It would take effect.
    Passes,
    /// The grant is another's than the caller says. That is so for good: a token never changes its key.
    NotYours,
    /// It would not.
    Refused(Refusal),
}

fn check(state: &State, lease_now: Time, pending: &Pending) -> Check {
    let command = &pending.request.command;
    // Of an ended grant too: another's end must not be told as one's own.
    if let (Some(named), Some(token)) = (&pending.named, token_of(command))
        && let Some((key, instance)) = state.table.owner(token)
        && (key != named.key || named.instance.is_some_and(|named| named != instance))
    {
        return Check::NotYours;
    }
    match state.table.refusal(lease_now, command) {
        Some(refusal) => Check::Refused(refusal),
        None => Check::Passes,
    }
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

fn overloaded(pending: Pending) -> (crate::ReplyFn<Answer>, Answer) {
    (pending.reply, Answer::Unavailable(Unavailable::Overloaded { retry_after: RETRY_AFTER }))
}
