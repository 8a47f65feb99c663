//! One holder's life: it picks a lease and something to do with it, again and again, and writes down each call and answer.

use std::time::Duration;

use client::{Acquire, Claim, Grant, Outcome, Session, Transfer};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;

use torture::history::{Answer, Call};

use super::NAMESPACE;
use super::board::Board;
use crate::answer;
use crate::recorder::Recorder;

/// How long a call waits for its answer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(3);
/// How long a wait waits, or an acquire in line.
const PATIENCE: Duration = Duration::from_secs(3);
/// The ttls that are asked for.
const TTLS_MS: [u64; 4] = [1_000, 1_500, 2_000, 3_000];

/// A client with a session of its own.
pub(super) struct Holder {
    pub(super) name: String,
    pub(super) leases: usize,
    pub(super) session: Session,
    pub(super) board: Board,
    pub(super) recorder: Recorder,
    pub(super) chance: StdRng,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Holder {
    pub(super) async fn run(mut self) {
        while !*self.stopping.borrow() {
            let lease = format!("l{}", self.chance.random_range(0..self.leases));
            let ttl = Duration::from_millis(TTLS_MS[self.chance.random_range(0..TTLS_MS.len())]);
            match self.chance.random_range(0..100) {
                0..45 => self.hold(&lease, ttl).await,
                45..80 => self.claim(&lease, ttl).await,
                _ => self.look(&lease).await,
            }
            self.rest(0, 200).await;
        }
    }

    /// In line, kept for a while, and given up in one of three ways.
    async fn hold(&mut self, lease: &str, ttl: Duration) {
        let acquire = Acquire {
            namespace: NAMESPACE.to_owned(),
            ttl,
            timeout: Some(PATIENCE),
            ..Acquire::new(lease, &self.name)
        };
        let op = self.recorder.invoke(&self.name, lease, None, Call::Acquire { ttl_ms: millis(ttl) });
        let outcome = self.session.acquire(acquire).await;
        self.recorder.returns(op, answer::of(&outcome, granted));
        let Outcome::Done(grant) = outcome else { return };
        // From here on its session extends it.
        let guard = self.session.guard(grant.clone());
        self.board.add(&self.name, lease, &grant, true);
        tokio::select! {
            _ = guard.lost() => {}
            () = self.rest(20, 2_500) => {}
        }
        self.board.give_up(&self.name, grant.token());
        match self.chance.random_range(0..10) {
            0 => drop(guard),
            1 => {
                let _ = guard.into_grant();
                self.transfer(lease, &grant).await;
            }
            _ => {
                let _ = guard.into_grant();
                self.release(lease, &grant).await;
            }
        }
    }

    /// At once or not at all; extended by hand, and given up or left to its time. Where it is held, wait for its end.
    async fn claim(&mut self, lease: &str, ttl: Duration) {
        let claim = Claim { namespace: NAMESPACE.to_owned(), ttl, ..Claim::new(lease, &self.name) };
        let op = self.recorder.invoke(&self.name, lease, None, Call::Claim { ttl_ms: millis(ttl) });
        let outcome = self.session.claim(claim).await;
        self.recorder.returns(op, answer::of(&outcome, granted));
        match outcome {
            Outcome::Done(grant) => self.keep_by_hand(lease, &grant).await,
            Outcome::Refused(problem) => self.wait(lease, problem.revision).await,
            Outcome::Unavailable(_) | Outcome::Unknown(_) => self.rest(100, 500).await,
        }
    }

    async fn keep_by_hand(&mut self, lease: &str, grant: &Grant) {
        self.board.add(&self.name, lease, grant, false);
        for _ in 0..self.chance.random_range(0..4) {
            tokio::time::sleep(grant.ttl() / 3).await;
            let call = Call::Extend { token: grant.token(), ttl_ms: millis(grant.ttl()) };
            let op = self.recorder.invoke(&self.name, lease, None, call);
            let outcome = self.session.extend(grant, grant.ttl()).await;
            self.recorder.returns(op, answer::of(&outcome, granted));
            if !matches!(outcome, Outcome::Done(_)) {
                break;
            }
        }
        if self.chance.random_bool(0.5) {
            self.rest(0, 500).await;
            self.board.give_up(&self.name, grant.token());
            self.release(lease, grant).await;
        } else {
            tokio::time::sleep(grant.remaining() + Duration::from_millis(5)).await;
        }
    }

    async fn wait(&mut self, lease: &str, after: Option<u64>) {
        let call = Call::Wait { after, timeout_ms: millis(PATIENCE) };
        let op = self.recorder.invoke(&self.name, lease, None, call);
        let outcome = self.session.wait(NAMESPACE, lease, after, Some(PATIENCE)).await;
        self.recorder.returns(op, answer::of(&outcome, |free| Answer::Free { revision: free.revision }));
    }

    async fn look(&mut self, lease: &str) {
        let op = self.recorder.invoke(&self.name, lease, None, Call::Get);
        let outcome = self.session.get(NAMESPACE, lease).await;
        let seen = |lease: &api::Lease| Answer::Seen {
            token: lease.held.as_ref().map(|held| held.token),
            revision: lease.revision,
        };
        self.recorder.returns(op, answer::of(&outcome, seen));
    }

    async fn release(&self, lease: &str, grant: &Grant) {
        let op = self.recorder.invoke(&self.name, lease, None, Call::Release { token: grant.token() });
        let outcome = self.session.release(grant).await;
        self.recorder.returns(op, answer::of(&outcome, |()| Answer::Done));
    }

    async fn transfer(&mut self, lease: &str, grant: &Grant) {
        let to = format!("h1-{}", self.chance.random_range(0..12));
        let op = self.recorder.invoke(&self.name, lease, None, Call::Transfer { token: grant.token() });
        let outcome = self.session.transfer(grant, Transfer::to(to)).await;
        self.recorder.returns(op, answer::of(&outcome, |()| Answer::Done));
    }

    async fn rest(&mut self, ms_min: u64, ms_max: u64) {
        let ms = self.chance.random_range(ms_min..=ms_max);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            _ = self.stopping.changed() => {}
        }
    }
}

pub(super) fn granted(grant: &Grant) -> Answer {
    Answer::Granted { token: grant.token() }
}

pub(super) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
