//! What goes into the next batch: what was asked for, a tick that is due, and the successions of those whose turn it is.
//!
//! A lease that a batch frees is granted on in the same batch: behind the release, or, where the sweep frees it, in front of all
//! that was asked for. It is the fast path of a rule by level, which the queue keeps. And no claim passes the line by, whatever
//! has become of its lease since the claim was looked at: the line's next one goes in front of it.

use std::sync::Arc;

use lease::{BATCH_BYTES_SEAL, BATCH_COMMANDS_MAX, Command, Key, RevokeWhen, SWEEP_MAX, Succeed, Table};

use super::{Driver, IN_FLIGHT_MAX, InFlight};
use crate::batch::{Sealed, Turn, size_of_succeed};
use crate::clock::{LeaseClock, Mono, TICK};
use crate::engine::Engine;
use crate::handle::Answer;
use crate::shared::State;

/// Successions that no command in their batch made: they leave half of it to what is asked for.
#[derive(Default)]
struct Turns {
    turns: Vec<Succeed>,
    bytes: usize,
}

impl Turns {
    fn has_room(&self) -> bool {
        self.turns.len() < BATCH_COMMANDS_MAX / 2 && self.bytes < BATCH_BYTES_SEAL / 2
    }

    fn push(&mut self, turn: Succeed) {
        self.bytes += size_of_succeed(&turn);
        self.turns.push(turn);
    }
}

impl<E: Engine> Driver<E> {
    /// Seals and proposes what there is to propose, ticks among it; answers when the next tick is due.
    pub(super) async fn propose_batches(&mut self, now: Mono) -> Option<Mono> {
        while self.in_flight.len() < IN_FLIGHT_MAX && now >= self.append_not_before {
            let tick_at = self.tick_at();
            let turns = self.turns();
            if self.batcher.len() == 0 && turns.turns.is_empty() && tick_at.is_none_or(|at| at > now) {
                return tick_at;
            }
            if let Some(at) = self.paced(&turns, tick_at).filter(|at| *at > now) {
                return Some(at);
            }
            let Some(sealed) = self.seal(turns) else { return tick_at };
            self.propose(sealed).await;
        }
        // A completed batch wakes the driver, which looks again.
        None
    }

    /// Until when the next entry waits for company; nobody whose turn it is, and no tick, waits with it.
    fn paced(&self, turns: &Turns, tick_at: Option<Mono>) -> Option<Mono> {
        let at = self.entries.not_before(self.batcher.len()).filter(|_| turns.turns.is_empty())?;
        Some(tick_at.map_or(at, |tick_at| tick_at.min(at)))
    }

    /// Until when nobody is granted a lease by waiting: a new leader's queue is not complete yet.
    pub(crate) fn grace_ends(&self) -> Option<Mono> {
        self.clock.as_ref().map(LeaseClock::grace_ends)
    }

    fn turns(&self) -> Turns {
        let over = self.grace_ends().is_some_and(|at| at <= self.shared.clock.now());
        let mut state = self.shared.state();
        let State { table, queue, .. } = &mut *state;
        let mut turns = Turns::default();
        while over && turns.has_room() {
            let Some(turn) = queue.turn(table) else { break };
            turns.push(turn);
        }
        turns
    }

    /// The clock is read when the batch is sealed, after which nothing joins it.
    fn seal(&mut self, mut turns: Turns) -> Option<Sealed> {
        let clock = self.clock.as_mut()?;
        let mut state = self.shared.state();
        let State { table, queue, .. } = &mut *state;
        let mono = self.shared.clock.now();
        if !table.needs_ticks() && self.in_flight.is_empty() {
            clock.rest(table.now(), mono);
        }
        let read = mono;
        #[cfg(planted)]
        let read = match lease::planted::is(lease::planted::Bug::StampBeforeLastCommand) {
            true => self.opened,
            false => read,
        };
        let stamp = clock.stamp(table.now(), read);
        self.last_stamp = stamp;
        self.last_sealed = mono;
        let mut sweep = SWEEP_MAX;
        let serves_queue = queue.has_lines() && clock.grace_ends() <= mono;
        if serves_queue {
            for (swept, freed) in table.sweep_ahead(stamp, SWEEP_MAX).into_iter().enumerate() {
                if !turns.has_room() {
                    sweep = swept as u32;
                    break;
                }
                if let Some(turn) = freed.and_then(|key| queue.succeed(&key)) {
                    turns.push(turn);
                }
            }
        }
        let turn = |command: &Command| match command {
            _ if !serves_queue => Turn::None,
            // It was looked at in a table that may be older than what is in flight, and than this stamp: its holder's own grant
            // then, and over since.
            Command::Claim(claim) if queue.bars(claim) => {
                queue.succeed(&claim.key).map_or(Turn::Later, Turn::Before)
            }
            command => {
                let freed = frees(table, command).and_then(|key| queue.succeed(&key));
                freed.map_or(Turn::None, Turn::Behind)
            }
        };
        Some(self.batcher.seal(clock.term(), stamp, sweep, mono, turns.turns, turn))
    }

    async fn propose(&mut self, sealed: Sealed) {
        let Sealed { batch, pending, later } = sealed;
        self.entries.went(self.last_sealed, pending.len(), self.batcher.len());
        self.unchecked.extend(later);
        match self.engine.propose(Arc::new(batch)).await {
            Some(outcome) => {
                self.sealed += 1;
                let pending = pending.into_iter().map(Some).collect();
                self.in_flight.push(InFlight { number: self.sealed, outcome, pending });
            }
            None => {
                self.ended = true;
                self.answer_all(pending, &Answer::Unknown);
            }
        }
    }

    /// When the next tick is due, while anything needs time to pass: as soon as the clock reads the next deadline + 1 ns, and
    /// at least every 250 ms.
    fn tick_at(&self) -> Option<Mono> {
        let clock = self.clock.as_ref()?;
        let mut state = self.shared.state();
        if !state.table.needs_ticks() {
            return None;
        }
        let at_least = self.last_sealed.after(TICK);
        // A batch in flight may have swept already what the applied table still shows as due.
        let next = state
            .table
            .next_deadline()
            .filter(|deadline| self.in_flight.is_empty() || self.last_stamp <= *deadline);
        Some(next.map_or(at_least, |deadline| clock.when_over(deadline).min(at_least)))
    }
}

/// The key that a command frees, if it is carried out.
fn frees(table: &Table, command: &Command) -> Option<Key> {
    match command {
        Command::Release { token } | Command::Revoke { token, when: RevokeWhen::Now, heir: None, .. } => {
            table.grant(*token).map(|(key, _)| key)
        }
        _ => None,
    }
}
