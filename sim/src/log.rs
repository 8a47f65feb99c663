//! One perfect log, and the engine of each member over it. There is no Raft: who leads is said from outside, what is committed
//! never changes, and what is not may be cut when the leader changes.
//!
//! A member may believe for a while that it leads when another does. What it proposes then goes nowhere, and it learns only
//! when it steps down that it does not know what came of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use lease::{Applied, Batch};
use replica::engine::{Engine, Leadership, Proposed};
use replica::{Asked, Unreached};

/// An outcome that will come, or not.
pub(crate) struct Promise<T>(Arc<Mutex<Option<T>>>);

impl<T> Promise<T> {
    fn new() -> Promise<T> {
        Promise(Arc::new(Mutex::new(None)))
    }

    /// Gives it; the first counts.
    pub(crate) fn give(&self, value: T) {
        lock(&self.0).get_or_insert(value);
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise(Arc::clone(&self.0))
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    // Whoever polls it is polled again by the simulation whenever something was given.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        match lock(&self.0).take() {
            Some(value) => Poll::Ready(value),
            None => Poll::Pending,
        }
    }
}

pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) by: usize,
    pub(crate) batch: Option<Arc<Batch>>,
    /// What it did, once it is committed.
    pub(crate) applied: Option<Applied>,
}

/// What one member knows of it.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) leadership: Leadership,
    /// Proposals without an outcome, each with the index of its entry, if it has one.
    pub(crate) pending: Vec<(Option<usize>, Promise<Proposed>)>,
    /// Barriers that have not passed.
    pub(crate) barriers: Vec<Promise<bool>>,
    /// What it asks of others.
    pub(crate) asks: Vec<Ask>,
}

/// A frame from one member to another, and its answer.
pub(crate) struct Ask {
    pub(crate) to: usize,
    pub(crate) frame: Vec<u8>,
    pub(crate) patience: Duration,
    pub(crate) answer: Promise<Result<Vec<u8>, Unreached>>,
}

pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    /// How many are committed.
    pub(crate) committed: usize,
    pub(crate) term: u64,
    pub(crate) leader: usize,
    pub(crate) views: Vec<View>,
    /// How many entries the world has seen.
    pub(crate) seen: usize,
}

impl Log {
    pub(crate) fn append(&mut self, by: usize, batch: Option<Arc<Batch>>) {
        let entry = Entry { term: self.term, by, batch, applied: None };
        self.entries.push(entry);
    }

    fn propose(&mut self, me: usize, batch: Arc<Batch>) -> Promise<Proposed> {
        let Leadership { term, leads, .. } = self.views[me].leadership;
        // What openraft's `with_leader` does.
        let refused = !leads || batch.term != term;
        let is_leader = self.leader == me && self.term == term;
        #[cfg(planted)]
        let is_leader = is_leader || lease::planted::is(lease::planted::Bug::BatchOfAnotherTerm);
        if refused {
            let promise = Promise::new();
            promise.give(Proposed::NotAppended);
            return promise;
        }
        let promise = Promise::new();
        let index = is_leader.then_some(self.entries.len());
        if is_leader {
            self.append(me, Some(batch));
        }
        self.views[me].pending.push((index, promise.clone()));
        promise
    }
}

/// An empty log.
pub(crate) fn new(members: usize) -> Shared {
    let views = (0..members).map(|_| View::default()).collect();
    let log = Log { entries: Vec::new(), committed: 0, term: 0, leader: 0, views, seen: 0 };
    Shared(Arc::new(Mutex::new(log)))
}

/// The log, as all members share it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Log>>);

impl Shared {
    pub(crate) fn get(&self) -> MutexGuard<'_, Log> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One member's consensus.
pub(crate) struct Perfect {
    pub(crate) log: Shared,
    pub(crate) me: usize,
}

impl Engine for Perfect {
    type Proposing = Promise<Proposed>;

    fn leadership(&self) -> Leadership {
        self.log.get().views[self.me].leadership
    }

    async fn propose(&self, batch: Arc<Batch>) -> Option<Promise<Proposed>> {
        Some(self.log.get().propose(self.me, batch))
    }

    fn read_barrier(&self) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let promise = Promise::new();
        self.log.get().views[self.me].barriers.push(promise.clone());
        Box::pin(promise)
    }

    async fn snapshot(&self) {}

    fn oldest_unsynced(&self) -> Option<Duration> {
        None
    }

    fn no_room(&self) -> Option<replica::log::NoRoom> {
        None
    }

    fn ask(&self, member: u64, frame: Vec<u8>, patience: Duration) -> Asked {
        let answer = Promise::new();
        let ask = Ask { to: member as usize, frame, patience, answer: answer.clone() };
        self.log.get().views[self.me].asks.push(ask);
        Box::pin(answer)
    }

    // Members that fall behind are left out.
    fn news_age(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    fn change(
        &self,
        _: replica::MemberChange,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<replica::MemberView>, replica::Unchanged>> + Send>> {
        Box::pin(std::future::ready(Err(replica::Unchanged::NoLeader)))
    }

    fn drains(&self) -> bool {
        false
    }

    async fn hand_on(&self) -> bool {
        false
    }
}
