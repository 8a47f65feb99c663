//! The way from callers to the session's task: a queue and a waker, with no memory of its own while it is empty, for a
//! process may have thousands of sessions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::belief::Cell;
use crate::machine::{Ask, Done, OpId};
use crate::{Failure, Instant};

/// What a caller wants of the session.
pub(crate) enum Letter {
    /// Do this, and answer.
    Ask { op: OpId, ask: Ask, ends: Option<Instant>, answer: oneshot::Sender<Result<Done, Failure>> },
    /// Nobody waits for this any more.
    Abandon { op: OpId },
    /// Extend this grant from now on.
    Keep { namespace: String, name: String, token: u64 },
    /// A caller went away with the answer unread: nobody wants this grant.
    Disown { namespace: String, name: String, token: u64 },
    /// Say goodbye and end.
    Close { done: oneshot::Sender<()> },
}

#[derive(Default)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
    ops: AtomicU64,
    /// The beliefs that callers ask for without the session, by token.
    cells: Mutex<BTreeMap<u64, Arc<Cell>>>,
}

#[derive(Default)]
struct Queue {
    letters: VecDeque<Letter>,
    closed: bool,
}

impl Mailbox {
    /// The next operation's number, from 1.
    pub(crate) fn next_op(&self) -> OpId {
        OpId(self.ops.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Leaves a letter; to a session that has ended it is dropped, and its answer with it.
    pub(crate) fn post(&self, letter: Letter) {
        let mut queue = self.lock();
        if !queue.closed {
            queue.letters.push_back(letter);
            drop(queue);
            self.waker.wake();
        }
    }

    /// No more letters: the last handle is gone, or the task has ended.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.waker.wake();
    }

    /// Drops what nobody will read.
    pub(crate) fn clear(&self) {
        let letters = std::mem::take(&mut self.lock().letters);
        drop(letters);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes all letters; memory that a burst needed is given back with them.
    pub(crate) fn take(&self) -> VecDeque<Letter> {
        std::mem::take(&mut self.lock().letters)
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The belief in a grant, where it has not ended for good.
    pub(crate) fn cell(&self, token: u64) -> Option<Arc<Cell>> {
        self.cells().get(&token).cloned()
    }

    pub(crate) fn hold(&self, token: u64, until: Option<Instant>) {
        self.cells().entry(token).or_insert_with(|| Cell::new(None)).hold(until);
    }

    pub(crate) fn end(&self, token: u64) {
        if let Some(cell) = self.cells().remove(&token) {
            cell.end();
        }
    }

    fn cells(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
