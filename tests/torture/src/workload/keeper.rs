//! Clients of the scenarios, who do one thing each: keep a lease, wait for one in vain, or extend one by hand and be timed.

use std::time::Duration;

use client::{Acquire, Claim, Grant, Outcome, Session};
use tokio::sync::watch;

use torture::history::Call;

use super::NAMESPACE;
use super::board::Board;
use super::holder::{granted, millis};
use crate::answer;
use crate::recorder::Recorder;

/// How long one that waits in line does so at a time.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a call that came to nothing.
const REST: Duration = Duration::from_millis(100);

/// What one of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its session keeps it, until it is lost or all end.
    Keep,
    /// Stands in line for what another keeps, again and again; what it is given in the end it gives back.
    Wait,
    /// Extends it by hand, so often, through one member alone.
    Extend {
        /// The only member it knows.
        through: u64,
        every: Duration,
    },
}

/// A client with a session of its own.
pub(super) struct Keeper {
    pub(super) name: String,
    pub(super) lease: String,
    pub(super) ttl: Duration,
    pub(super) part: Part,
    pub(super) session: Session,
    pub(super) board: Board,
    pub(super) recorder: Recorder,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Keeper {
    pub(super) async fn run(mut self) {
        while !self.is_stopping() {
            match self.part {
                Part::Wait => self.wait().await,
                Part::Keep | Part::Extend { .. } => self.hold().await,
            }
            self.sleep(REST).await;
        }
    }

    async fn hold(&mut self) {
        let claim =
            Claim { namespace: NAMESPACE.to_owned(), ttl: self.ttl, ..Claim::new(&self.lease, &self.name) };
        let op = self.invoke(Call::Claim { ttl_ms: millis(self.ttl) });
        let outcome = self.session.claim(claim).await;
        self.recorder.returns(op, answer::of(&outcome, granted));
        let Outcome::Done(grant) = outcome else { return };
        self.board.add(&self.name, &self.lease, &grant, self.part == Part::Keep);
        match self.part {
            Part::Extend { every, .. } => self.extend(&grant, every).await,
            _ => {
                let guard = self.session.guard(grant.clone());
                tokio::select! {
                    _ = guard.lost() => {}
                    _ = self.stopping.wait_for(|stopping| *stopping) => {}
                }
                let _ = guard.into_grant();
            }
        }
        if !grant.is_over() {
            self.board.give_up(&self.name, grant.token());
            self.release(&grant).await;
        }
    }

    /// Until it is lost. One that is late for its next turn makes it at once.
    async fn extend(&mut self, grant: &Grant, every: Duration) {
        let mut turns = tokio::time::interval(every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_stopping() && !grant.is_over() {
            turns.tick().await;
            let op = self.invoke(Call::Extend { token: grant.token(), ttl_ms: millis(self.ttl) });
            let outcome = self.session.extend(grant, self.ttl).await;
            self.recorder.returns(op, answer::of(&outcome, granted));
            if matches!(outcome, Outcome::Refused(_)) {
                return;
            }
        }
    }

    async fn wait(&mut self) {
        let acquire = Acquire {
            namespace: NAMESPACE.to_owned(),
            ttl: self.ttl,
            timeout: Some(PATIENCE),
            ..Acquire::new(&self.lease, &self.name)
        };
        let op = self.invoke(Call::Acquire { ttl_ms: millis(self.ttl) });
        let outcome = self.session.acquire(acquire).await;
        self.recorder.returns(op, answer::of(&outcome, granted));
        if let Outcome::Done(grant) = outcome {
            self.release(&grant).await;
        }
    }

    async fn release(&self, grant: &Grant) {
        let op = self.invoke(Call::Release { token: grant.token() });
        let outcome = self.session.release(grant).await;
        self.recorder.returns(op, answer::of(&outcome, |()| torture::history::Answer::Done));
    }

    fn invoke(&self, call: Call) -> u64 {
        let through = match self.part {
            Part::Extend { through, .. } => Some(through),
            Part::Keep | Part::Wait => None,
        };
        self.recorder.invoke(&self.name, &self.lease, through, call)
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    async fn sleep(&mut self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            _ = self.stopping.changed() => {}
        }
    }
}
