//! A member that a simulator drives by hand: the driver, the batcher, the clock, the queue and the waits as they are in a
//! release, over an [`Engine`] of the simulator's own. No task, no timer, no disk.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lease::{Applied, Batch, Claim, Command, Holder, Instance, Key, Table};

use crate::driver::{Driver, Me, SnapshotTrigger};
use crate::engine::Engine;
use crate::handle::Reading;
use crate::raft::asks::{Ask, Change};
pub use crate::raft::asks_for_vote;
use crate::raft::{Answering, LogId, WireError, ask_of, frame_of_said, types};
use crate::shared::Shared;
use crate::{Clock, Handle, Mono, Window};

/// One member.
pub struct Leader<E: Engine> {
    shared: Arc<Shared>,
    driver: Driver<E>,
}

/// A waiter in line: its place within one leader's life, and who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InLine {
    /// The term in which it joined, and its number then.
    pub ticket: (u64, u64),
    /// Who waits.
    pub holder: Holder,
    /// Which life of it.
    pub instance: Instance,
    /// Whether its connection is there, so that it may be granted the lease.
    pub live: bool,
}

/// What a frame from another member brings.
pub struct Served {
    /// The answer to it.
    pub answering: Answering,
    /// Whether it takes somebody out of line.
    pub takes_out: bool,
    /// The claims that are passed on with it.
    pub claims: Vec<Claim>,
}

impl<E: Engine> Leader<E> {
    /// A member whose state is `table`. `life` is a number that none of its other lives has.
    pub fn new(clock: Arc<dyn Clock>, table: Table, engine: E, member: u64, life: u64) -> Leader<E> {
        let window = Window { events: 0, bytes: 0, ..Window::default() };
        let shared = Arc::new(Shared::new(clock, table, window));
        let driver = Driver::new(Arc::clone(&shared), engine, Me { member, life }, SnapshotTrigger::never());
        Leader { shared, driver }
    }

    /// A way to ask it.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Moves everything as far as it goes at what its clock reads now; answers when it wants to look again, at the latest.
    pub fn step(&mut self) -> Mono {
        let mut cx = Context::from_waker(Waker::noop());
        self.driver.poll_outcomes(&mut cx);
        match pin!(self.driver.step()).poll(&mut cx) {
            Poll::Ready(wake_at) => wake_at,
            Poll::Pending => panic!("a simulated engine answers at once"),
        }
    }

    /// Applies a committed entry, as the state machine does: a batch, or none for a new leader's first entry.
    pub fn apply(&self, index: u64, term: u64, batch: Option<&Batch>) -> (Applied, Reading) {
        self.shared.apply(LogId::new(types::CommittedLeaderId::new(term), index), batch)
    }

    /// Takes in a frame from another member; its answer comes about with the steps.
    ///
    /// # Errors
    /// The frame is none of those that [`Engine::ask`] sends.
    pub fn serve(&self, frame: &[u8]) -> Result<Served, WireError> {
        let ask = ask_of(frame)?;
        let leaves = |change: &Change| !matches!(change, Change::Joins { .. });
        let takes_out = matches!(&ask, Ask::Roll(roll) if roll.changes.iter().any(leaves));
        let claims = match &ask {
            Ask::Commands(commands) => commands.iter().filter_map(|it| claim(&it.request.command)).collect(),
            _ => Vec::new(),
        };
        let said = self.shared.serve(ask);
        Ok(Served { answering: Box::pin(async move { frame_of_said(&said.await) }), takes_out, claims })
    }

    /// Whether it passes somebody over, because a member is silent.
    pub fn passes_over(&self) -> bool {
        self.driver.passes_over()
    }

    /// Who waits in line for `key`, the first in line first.
    pub fn line(&self, key: &Key) -> Vec<InLine> {
        self.shared.state().queue.line(key)
    }

    /// Whether it leads and has anchored its lease clock, and since when its grace is over.
    pub fn grace_ends(&self) -> Option<Mono> {
        self.driver.grace_ends()
    }
}

fn claim(command: &Command) -> Option<Claim> {
    match command {
        Command::Claim(claim) => Some(claim.clone()),
        _ => None,
    }
}
