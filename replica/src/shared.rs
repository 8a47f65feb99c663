//! What the replica's parts share: the inbox that doors fill, and the state that applied entries make.
//!
//! Two locks, never held together but in the order inbox, state; and none while a reply is given, but for reads, which need
//! the table. Whoever changes something the driver must see wakes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use lease::{Key, Revision, Table, Ttl};

use crate::clock::{Clock, Mono};
use crate::handle::{Answer, Proposal, Read, Reading, ReplyFn, Status, Unavailable, WaitId, Waited};
use crate::raft::{LogId, Membership};
use crate::waits::{Waits, tell_free};

pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    driver: AtomicWaker,
    poked: AtomicBool,
    inbox: Mutex<Inbox>,
    state: Mutex<State>,
    status: Mutex<Status>,
    next_wait: AtomicU64,
}

/// What doors have asked and the driver has not yet taken.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) proposals: Vec<(Proposal, Mono)>,
    pub(crate) reads: Vec<(Read, Mono)>,
    pub(crate) waits: Vec<u64>,
    pub(crate) stage: Stage,
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

/// What applied entries make.
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) waits: Waits,
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: Membership,
}

impl State {
    pub(crate) fn reading(&self) -> Reading {
        Reading { revision: self.table.revision(), now: self.table.now() }
    }
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, table: Table) -> Shared {
        let state =
            State { table, waits: Waits::default(), applied: None, membership: Membership::default() };
        Shared {
            clock,
            driver: AtomicWaker::new(),
            poked: AtomicBool::new(false),
            inbox: Mutex::new(Inbox::default()),
            state: Mutex::new(state),
            status: Mutex::new(Status::default()),
            next_wait: AtomicU64::new(1),
        }
    }

    // A panic under one of these locks has ended the replica's thread already; what it left is still there to be read.
    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(crate) fn submit(&self, proposals: impl IntoIterator<Item = Proposal>) {
        let now = self.clock.now();
        let mut inbox = self.inbox();
        if inbox.stage == Stage::Running {
            inbox.proposals.extend(proposals.into_iter().map(|proposal| {
                let due = now.after(proposal.deadline);
                (proposal, due)
            }));
            drop(inbox);
            self.poke();
        } else {
            drop(inbox);
            for proposal in proposals {
                (proposal.reply)(Answer::Unavailable(Unavailable::Stopping));
            }
        }
    }

    pub(crate) fn read(&self, read: Read) {
        if read.freshness == crate::Freshness::Local {
            let state = self.state();
            return (read.reply)(Ok((&state.table, state.reading())));
        }
        let due = self.clock.now().after(read.deadline);
        let mut inbox = self.inbox();
        if inbox.stage == Stage::Running {
            inbox.reads.push((read, due));
            drop(inbox);
            self.poke();
        } else {
            drop(inbox);
            (read.reply)(Err(Unavailable::Stopping));
        }
    }

    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Table, Reading) -> T) -> T {
        let state = self.state();
        look(&state.table, state.reading())
    }

    pub(crate) fn wait(&self, key: Key, after: Option<Revision>, reply: ReplyFn<Waited>) -> WaitId {
        let id = self.next_wait.fetch_add(1, Ordering::Relaxed);
        let mut inbox = self.inbox();
        if inbox.stage != Stage::Running {
            drop(inbox);
            reply(Waited::Unavailable(Unavailable::Stopping));
            return WaitId(id);
        }
        // Without a revision, the wait stays behind every state until a barrier, asked for after it, has passed.
        let mut state = self.state();
        state.waits.register(id, key, after.unwrap_or(Revision(u64::MAX)), reply);
        match after {
            Some(_) => {
                drop(inbox);
                let reading = state.reading();
                let State { table, waits, .. } = &mut *state;
                let due = waits.batch_applied(&[], reading.revision, |key| table.is_free(key));
                drop(state);
                tell_free(due, reading);
            }
            None => {
                drop(state);
                inbox.waits.push(id);
                drop(inbox);
                self.poke();
            }
        }
        WaitId(id)
    }

    pub(crate) fn cancel(&self, wait: WaitId) -> bool {
        self.state().waits.cancel(wait.0)
    }

    pub(crate) fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = self.state();
        status.reading = state.reading();
        status.applied = state.applied.map_or(0, |id| id.index);
        status.held = state.table.count(&lease::Filter::default());
        status.waits = state.waits.len() as u64;
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

/// How soon another try is likelier to pass, when the queue is full.
pub(crate) const RETRY_AFTER: Ttl = Ttl::from_millis(100);
