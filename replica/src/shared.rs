//! What the replica's parts share: the inbox that doors fill, and the state that applied entries make.
//!
//! The locks: `inbox` may be held while `state` is taken, never the other way round; `status` and the small ones are held with no other.
//! None is held while a reply is given, but `state` for reads, which need the table. Whoever changes something the driver must see wakes it.

mod asked;
mod hearing;
mod load;
mod members;
mod state;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use lease::{Applied, Batch, QUEUE_MAX, Revision, Table};

use crate::beginning::Far;
use crate::clock::{Clock, Mono};
use crate::desks::Registration;
use crate::driver::Changing;
use crate::events::{Events, Unwatchable, Wake, Watched, Window};
use crate::handle::{Answer, Proposal, Read, Reading, ReplyFn, Status};
use crate::queue::{Queue, Via};
use crate::raft::{LogId, Membership};
use crate::serve::Incoming;
use crate::waits::Waits;
pub(crate) use asked::RETRY_AFTER;
use hearing::Hearing;
use load::Seen;
pub(crate) use state::State;

pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    driver: AtomicWaker,
    poked: AtomicBool,
    inbox: Mutex<Inbox>,
    state: Mutex<State>,
    status: Mutex<Status>,
    next_wait: AtomicU64,
    /// What the driver has taken and not yet put into its bounded queue.
    backlog: AtomicUsize,
    /// Reads that the driver has taken and not yet made.
    reads: AtomicUsize,
    /// The consensus engine is gone.
    engine_ended: AtomicBool,
    /// A snapshot waits for room on the disk.
    snapshot_waits: AtomicBool,
    /// How much waits at the driver.
    seen: Seen,
    /// Commands of a kind that may wait.
    room: usize,
    hearing: Hearing,
    far: Mutex<Far>,
    /// Why the member cannot go on.
    why_ended: Mutex<Option<String>>,
}

/// What doors have asked and the driver has not yet taken.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) proposals: Vec<(Proposal, Mono)>,
    pub(crate) reads: Vec<(Read, Mono)>,
    pub(crate) waits: Vec<u64>,
    pub(crate) acquires: Vec<u64>,
    pub(crate) watches: Vec<Watching>,
    /// From other members.
    pub(crate) incoming: Vec<Incoming>,
    /// What acquires that came through other members were answered.
    pub(crate) letters: Vec<(Via, Registration, Answer)>,
    pub(crate) changes: Vec<Changing>,
    pub(crate) stage: Stage,
}

/// A watch that has not begun.
pub(crate) struct Watching {
    pub(crate) id: u64,
    pub(crate) watched: Watched,
    pub(crate) after: Option<Revision>,
    pub(crate) wake: Wake,
    pub(crate) due: Mono,
    pub(crate) reply: ReplyFn<Result<Revision, Unwatchable>>,
}

/// How far the replica is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It takes whatever is asked.
    #[default]
    Running,
    /// It finishes what is in flight.
    Stopping,
    /// It is gone; whatever is asked is answered at once.
    Stopped,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, table: Table, window: Window) -> Shared {
        let state = State {
            table,
            waits: Waits::default(),
            queue: Queue::default(),
            events: Events::new(window),
            applied: None,
            membership: Membership::default(),
            removed: BTreeSet::new(),
            led: None,
        };
        Shared {
            clock,
            driver: AtomicWaker::new(),
            poked: AtomicBool::new(false),
            inbox: Mutex::new(Inbox::default()),
            state: Mutex::new(state),
            status: Mutex::new(Status::default()),
            next_wait: AtomicU64::new(1),
            backlog: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            engine_ended: AtomicBool::new(false),
            snapshot_waits: AtomicBool::new(false),
            seen: Seen::default(),
            room: QUEUE_MAX,
            hearing: Hearing::default(),
            far: Mutex::default(),
            why_ended: Mutex::default(),
        }
    }

    /// The same, where so many commands of a kind may wait.
    pub(crate) fn with_room_for(self, commands: usize) -> Shared {
        Shared { room: commands.min(QUEUE_MAX), ..self }
    }

    /// How many commands of a kind may wait.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    // Nothing can panic halfway through a change of the inbox.
    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state. Where applying an entry broke an invariant the table may be half changed, and nobody may read it: each who
    /// tries stops there, and so does the member.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        match self.state.lock() {
            Ok(state) => state,
            Err(_) => panic!("the lease table broke an invariant, and this member has stopped serving"),
        }
    }

    /// Applies a committed entry, and tells whoever waits for what it did. `batch` is none where the entry carries no commands.
    pub(crate) fn apply(&self, id: LogId, batch: Option<&Batch>) -> (Applied, Reading) {
        let mut state = self.state();
        state.applied = Some(id);
        let Some(batch) = batch else { return (Applied::default(), state.reading()) };
        let applied = state.table.apply(id.leader_id.term, batch);
        let reading = state.reading();
        let told = state.take_in(id.leader_id.term, &applied, reading, self.clock.now());
        drop(state);
        told.tell(reading);
        (applied, reading)
    }

    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Table, Reading) -> T) -> T {
        let state = self.state();
        look(&state.table, state.reading())
    }

    pub(crate) fn set_backlog(&self, commands: usize, reads: usize) {
        self.backlog.store(commands, Ordering::Relaxed);
        self.reads.store(reads, Ordering::Relaxed);
    }

    pub(crate) fn engine_has_ended(&self) -> bool {
        self.engine_ended.load(Ordering::Acquire)
    }

    pub(crate) fn end_engine(&self) {
        self.engine_ended.store(true, Ordering::Release);
        self.poke();
    }

    /// Ends the member, and remembers why.
    pub(crate) fn end_because(&self, why: String) {
        *self.why_ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.end_engine();
    }

    pub(crate) fn why_ended(&self) -> Option<String> {
        self.why_ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far the member is on its way to its first vote.
    pub(crate) fn far(&self) -> Far {
        *self.far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_far(&self, far: Far) {
        *self.far.lock().unwrap_or_else(PoisonError::into_inner) = far;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inbox().stage != Stage::Running
    }

    pub(crate) fn snapshot_waits(&self) -> bool {
        self.snapshot_waits.load(Ordering::Relaxed)
    }

    /// Tells that a snapshot waits for room on the disk, or no longer.
    pub(crate) fn set_snapshot_waits(&self, waits: bool) {
        self.snapshot_waits.store(waits, Ordering::Relaxed);
        self.poke();
    }

    /// Has the driver look again.
    pub(crate) fn poke(&self) {
        self.poked.store(true, Ordering::Release);
        self.driver.wake();
    }

    /// Whether the driver has been poked since it last asked; if not, it will be woken.
    pub(crate) fn poll_poked(&self, cx: &Context<'_>) -> bool {
        // Registered before the look: a poke in between is seen by one of the two.
        self.driver.register(cx.waker());
        self.poked.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = self.state();
        status.reading = state.reading();
        status.applied = state.applied.map_or(0, |id| id.index);
        status.last = status.last.max(status.applied);
        status.held = state.table.count(&lease::Filter::default());
        status.waits = state.waits.len() as u64;
        status.watches = state.events.watches() as u64;
        status.acquires = state.queue.len() as u64;
        status.in_line = state.queue.placed_count() as u64;
        status
    }

    pub(crate) fn publish(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asks the replica to stop: what is asked from now on is refused.
    pub(crate) fn begin_stop(&self) {
        let mut inbox = self.inbox();
        if inbox.stage == Stage::Running {
            inbox.stage = Stage::Stopping;
        }
        drop(inbox);
        self.poke();
    }
}

#[cfg(test)]
mod tests;
