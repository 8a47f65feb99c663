//! The way from callers to the session's task: a queue and a waker, with no memory of its own while it is empty, for a
//! process may have thousands of sessions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::cell::Cell;
use crate::machine::{Ask, Done, OpId};
use crate::watcher::Feed;
use crate::{Failure, Instant, LostWhy};

/// What a caller wants of the session.
pub(crate) enum Letter {
    /// Do this, and answer.
    Ask { op: OpId, ask: Ask, ends: Option<Instant>, answer: oneshot::Sender<Result<Done, Failure>> },
    /// Watch this: answer once it has begun, then feed.
    Watch {
        op: OpId,
        watch: api::Watch,
        ends: Option<Instant>,
        answer: oneshot::Sender<Result<Done, Failure>>,
        feed: Arc<Feed>,
    },
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
    cells: Mutex<Cells>,
}

/// The beliefs that callers ask for without the session, by token.
#[derive(Default)]
struct Cells {
    living: BTreeMap<u64, Arc<Cell>>,
    /// Those that lapsed and may come back, for as long as a caller has the grant in its hands.
    lapsed: BTreeMap<u64, Weak<Cell>>,
    /// How many lapsed ones there were after the last look for those that nobody has any more.
    lapsed_kept: usize,
    /// The last that ended: whoever reads its answer only now is to learn why.
    ended: VecDeque<(u64, Arc<Cell>)>,
}

/// So many lapsed beliefs are not worth a look.
const LAPSED_FEW: usize = 16;
/// So many answers may wait to be read while their grants end, without losing the reason.
const ENDED_MAX: usize = 16;

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

    /// Leaves a letter; to a session that has ended it is dropped, and its answer with it. Whether it was left.
    pub(crate) fn post(&self, letter: Letter) -> bool {
        let mut queue = self.lock();
        if queue.closed {
            return false;
        }
        queue.letters.push_back(letter);
        drop(queue);
        self.waker.wake();
        true
    }

    /// No more letters: the last handle is gone, or the task has ended.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.waker.wake();
    }

    /// Drops what nobody will read. Grants are believed to their time, but what is unconfirmed nobody will confirm.
    pub(crate) fn clear(&self) {
        let letters = std::mem::take(&mut self.lock().letters);
        drop(letters);
        let living = std::mem::take(&mut self.cells().living);
        for cell in living.values().filter(|cell| cell.safe_until().is_none()) {
            cell.end(LostWhy::Expired);
        }
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

    /// The belief in a grant, where it has not ended long ago.
    pub(crate) fn cell(&self, token: u64) -> Option<Arc<Cell>> {
        let cells = self.cells();
        let ended = || cells.ended.iter().rev().find(|(ended, _)| *ended == token).map(|(_, cell)| cell);
        cells.living.get(&token).or_else(ended).cloned()
    }

    /// Moves the end of belief later. One that had lapsed is the same belief again, in the hands of whoever has its grant.
    pub(crate) fn hold(&self, token: u64, until: Option<Instant>) {
        let cells = &mut *self.cells();
        let lapsed = cells.lapsed.remove(&token).and_then(|cell| cell.upgrade());
        cells.living.entry(token).or_insert_with(|| lapsed.unwrap_or_else(Cell::new)).hold(until);
    }

    pub(crate) fn doom(&self, token: u64, why: LostWhy) {
        if let Some(cell) = self.cells().living.get(&token) {
            cell.doom(why);
        }
    }

    /// The session expects no more of this grant, but it may still stand in the cluster. Its belief has run out by itself.
    pub(crate) fn lapse(&self, token: u64) {
        let cells = &mut *self.cells();
        let Some(cell) = cells.living.remove(&token) else { return };
        cells.lapsed.insert(token, Arc::downgrade(&cell));
        drop(cell);
        if cells.lapsed.len() > LAPSED_FEW + 2 * cells.lapsed_kept {
            cells.lapsed.retain(|_, cell| cell.strong_count() > 0);
            cells.lapsed_kept = cells.lapsed.len();
        }
    }

    /// Ends belief for good, also in a grant that had lapsed.
    pub(crate) fn end(&self, token: u64, why: LostWhy) {
        let cells = &mut *self.cells();
        let lapsed = cells.lapsed.remove(&token).and_then(|cell| cell.upgrade());
        let Some(cell) = cells.living.remove(&token).or(lapsed) else { return };
        cell.end(why);
        // Where its caller has it already, there is nobody left to tell.
        if Arc::strong_count(&cell) == 1 {
            cells.ended.push_back((token, cell));
            if cells.ended.len() > ENDED_MAX {
                cells.ended.pop_front();
            }
        }
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Instant = Instant::from_millis;

    #[test]
    fn a_lapsed_belief_comes_back_as_the_same_and_an_ended_one_does_not() {
        let mailbox = Mailbox::default();
        mailbox.hold(7, Some(T(10)));
        let cell = mailbox.cell(7).unwrap();
        mailbox.lapse(7);
        assert!(mailbox.cell(7).is_none() && !cell.is_over());
        mailbox.hold(7, Some(T(30)));
        assert_eq!(cell.safe_until(), Some(T(30)), "the caller's own");
        mailbox.lapse(7);
        mailbox.end(7, LostWhy::Released);
        assert!(cell.is_over(), "lost or released after it had lapsed");
        mailbox.hold(7, Some(T(50)));
        assert_eq!(cell.safe_until(), None);
    }

    #[test]
    fn lapsed_beliefs_that_nobody_has_are_forgotten() {
        let mailbox = Mailbox::default();
        let mut hands = Vec::new();
        for token in 0..10_000 {
            mailbox.hold(token, Some(T(10)));
            hands.push(mailbox.cell(token).unwrap());
            mailbox.lapse(token);
            if hands.len() > 50 {
                hands.clear();
            }
        }
        assert!(mailbox.cells().lapsed.len() < 200, "{} are kept", mailbox.cells().lapsed.len());
    }
}
