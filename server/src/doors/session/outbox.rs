//! What a session has in flight, and what has come of it: shared by the session's task and by whoever answers.
//!
//! ```text
//! session's task ── begin ──▶ flights          replica's thread
//!       ▲                       │  ◀── finish ──────┘
//!       └────── pop ── finished ◀
//! ```
//!
//! A call is answered once: whoever takes its flight out answers it, the replica or, at its due time, the session. What
//! the replica says after that finds no flight and is dropped.
//!
//! An idle session costs this struct and one slot: no task, future or channel for a call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use api::{Code, Problem};
use lease::{
    SESSION_CALLS_MAX, SESSION_READS_MAX, SESSION_STEPS_MAX, SESSION_WAITS_MAX, SESSION_WATCHES_MAX, Ttl,
};

use crate::service::{Done, TURN_SLACK, Waiting, Watching, retry_after_ms};

/// Capacity that an emptied queue may keep. A session that was busy once shall not stay large.
const KEPT_CAPACITY: usize = 16;

/// Why a session should go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    /// It is closed once what is in flight is answered.
    Must(Arc<str>),
    /// It is closed as well: whoever opened it is known no more.
    NoMore,
    /// It may stay: whoever knows no other member is served on.
    Should(Arc<str>),
}

/// One session's calls and answers.
pub(crate) struct Outbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// In order of id, which clients count up: new ones go to the end, and the oldest is near the start.
    flights: VecDeque<Flight>,
    finished: VecDeque<(u64, Done)>,
    waits: usize,
    steps: usize,
    reads: usize,
    /// By the id of the call that began each; most sessions have none.
    watches: BTreeMap<u64, Watch>,
    /// Watches that have something to pull, each once.
    ready: VecDeque<u64>,
    tickets: u64,
    going: Option<Going>,
    waker: Option<Waker>,
}

struct Watch {
    watching: Arc<Watching>,
    is_ready: bool,
}

struct Flight {
    id: u64,
    ticket: u64,
    due: Option<Instant>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CallKind {
    Command,
    Read,
    Watch,
}

enum What {
    Call { kind: CallKind, steps: u32 },
    Wait(Option<Box<Waiting>>),
}

/// What a call is, as far as its session keeps books of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A wait, which counts by itself.
    Wait,
    /// A read, which surely changed nothing.
    Read,
    /// The beginning of a watch, which counts by itself.
    Watch,
    /// A command of so many steps.
    Command {
        /// One, or a bulk call's.
        steps: usize,
    },
}

/// A call that was not answered by its due time.
pub(super) struct Overdue {
    /// Its number.
    pub(super) id: u64,
    /// What to answer.
    pub(super) what: Unanswered,
}

/// What is left of a call that was not answered in time.
pub(super) enum Unanswered {
    /// A call whose answer the replica owes.
    Call {
        /// Whether it may have been done.
        is_command: bool,
    },
    /// A wait or an acquire that lasted too long, and is to be given up. An acquire is answered then.
    Wait(Box<Waiting>),
    /// An acquire that was given up, and left without an answer.
    GivenUp,
}

impl Outbox {
    pub(super) fn new() -> Arc<Outbox> {
        Arc::new(Outbox(Mutex::new(Inner::default())))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change below is whole before it can panic, so what a panic left is still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is to be woken when something has come.
    pub(super) fn register(&self, waker: &Waker) {
        let mut inner = self.inner();
        if !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
    }

    /// Takes call `id` into the books. The ticket goes with its answer.
    ///
    /// # Errors
    /// The id is in use, or there are as many calls as there may be.
    pub(super) fn begin(&self, id: u64, kind: Kind, due: Option<Instant>) -> Result<u64, Problem> {
        let mut inner = self.inner();
        let at = match inner.flights.binary_search_by_key(&id, |flight| flight.id) {
            Err(at) if !inner.watches.contains_key(&id) => at,
            _ => {
                let message = format!("call {id} is still in flight on this session: number each call anew");
                return Err(Problem::new(Code::BadRequest, message).in_field("id"));
            }
        };
        inner.admit(kind)?;
        inner.tickets += 1;
        let ticket = inner.tickets;
        let what = match kind {
            Kind::Wait => What::Wait(None),
            Kind::Read => What::Call { kind: CallKind::Read, steps: 0 },
            Kind::Watch => What::Call { kind: CallKind::Watch, steps: 0 },
            Kind::Command { steps } => What::Call { kind: CallKind::Command, steps: steps as u32 },
        };
        inner.flights.insert(at, Flight { id, ticket, due, what });
        Ok(ticket)
    }

    /// Keeps what ends a wait with its flight, and until when it may last; unless it was answered meanwhile.
    pub(super) fn attach(&self, id: u64, ticket: u64, waiting: Waiting, due: Option<Instant>) {
        let mut inner = self.inner();
        if let Some(flight) = inner.find(id, ticket).and_then(|at| inner.flights.get_mut(at)) {
            flight.due = due;
            flight.what = What::Wait(Some(Box::new(waiting)));
        }
    }

    /// What came of call `id`. Any thread may say so.
    pub(super) fn finish(&self, id: u64, ticket: u64, done: Done) {
        let waker = {
            let mut inner = self.inner();
            let Some(at) = inner.find(id, ticket) else { return };
            inner.take(at);
            inner.finished.push_back((id, done));
            inner.waker.take()
        };
        // Outside the lock, which the woken task takes first.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes call `id` out, which could not begin.
    pub(super) fn drop_call(&self, id: u64) {
        self.inner().take_call(id);
    }

    /// Takes wait `id` out, so that it is not answered. None where there is no such wait.
    pub(super) fn cancel(&self, id: u64) -> Option<Option<Box<Waiting>>> {
        let mut inner = self.inner();
        let at = inner.flights.binary_search_by_key(&id, |flight| flight.id).ok()?;
        match inner.flights.get(at)?.what {
            What::Call { .. } => None,
            What::Wait(_) => match inner.take(at)?.what {
                What::Wait(waiting) => Some(waiting),
                What::Call { .. } => None,
            },
        }
    }

    /// Keeps a watch with the call that began it. What it has to pull may have been told before.
    pub(super) fn keep_watch(&self, id: u64, watching: Arc<Watching>) {
        let mut inner = self.inner();
        let is_ready = inner.ready.contains(&id);
        inner.watches.insert(id, Watch { watching, is_ready });
    }

    /// Watch `id` has something to pull. Any thread may say so.
    pub(super) fn ready(&self, id: u64) {
        let waker = {
            let mut inner = self.inner();
            let Inner { watches, ready, .. } = &mut *inner;
            match watches.get_mut(&id) {
                Some(watch) if watch.is_ready => return,
                Some(watch) => watch.is_ready = true,
                // It is told before it is kept.
                None if ready.contains(&id) => return,
                None => {}
            }
            inner.ready.push_back(id);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next watch that has something to pull. It is ready no more.
    pub(super) fn pop_ready(&self) -> Option<(u64, Arc<Watching>)> {
        let mut inner = self.inner();
        while let Some(id) = inner.ready.pop_front() {
            if let Some(watch) = inner.watches.get_mut(&id) {
                watch.is_ready = false;
                return Some((id, Arc::clone(&watch.watching)));
            }
        }
        None
    }

    /// Ends a watch, which is answered no more where it has not begun. False where there is none of that number.
    pub(super) fn end_watch(&self, id: u64) -> bool {
        let watch = {
            let mut inner = self.inner();
            let watch = inner.watches.remove(&id);
            if watch.is_some() {
                inner.take_call(id);
            }
            watch
        };
        // Outside the lock: its end takes the replica's.
        watch.is_some()
    }

    /// Ends every watch; gives their numbers.
    pub(super) fn end_watches(&self) -> Vec<u64> {
        let watches = {
            let mut inner = self.inner();
            let watches = std::mem::take(&mut inner.watches);
            watches.keys().for_each(|id| inner.take_call(*id));
            watches
        };
        watches.into_keys().collect()
    }

    /// Gives what ends each acquire, for it to be given up: its answer is due then, for the claim of one may be on its way.
    pub(super) fn give_up_acquires(&self, due: Instant) -> Vec<Waiting> {
        let mut inner = self.inner();
        let mut given_up = Vec::new();
        for flight in &mut inner.flights {
            if let What::Wait(waiting) = &mut flight.what
                && let Some(waiting) = waiting.take_if(|waiting| waiting.is_acquire())
            {
                flight.due = Some(due);
                given_up.push(*waiting);
            }
        }
        given_up
    }

    /// Takes every wait out: the session is going. Acquires that were given up and are not answered yet stay.
    pub(super) fn cancel_all(&self) -> Vec<(u64, Box<Waiting>)> {
        let mut inner = self.inner();
        let mut waits = Vec::new();
        let mut left = VecDeque::new();
        for flight in std::mem::take(&mut inner.flights) {
            match flight.what {
                What::Wait(Some(waiting)) => waits.push((flight.id, waiting)),
                _ => left.push_back(flight),
            }
        }
        inner.flights = left;
        inner.waits -= waits.len();
        waits
    }

    /// The next answer to be sent.
    pub(super) fn pop(&self) -> Option<(u64, Done)> {
        let mut inner = self.inner();
        let next = inner.finished.pop_front();
        if next.is_none() && inner.finished.capacity() > KEPT_CAPACITY {
            inner.finished.shrink_to(0);
        }
        next
    }

    /// Takes out what is due by `now`, and says when the next call is due.
    pub(super) fn overdue(&self, now: Instant) -> (Vec<Overdue>, Option<Instant>) {
        let mut inner = self.inner();
        let is_over = |flight: &Flight| flight.due.is_some_and(|due| due <= now);
        let mut over = Vec::new();
        let mut at = 0;
        while at < inner.flights.len() {
            if !inner.flights.get(at).is_some_and(is_over) {
                at += 1;
                continue;
            }
            if let Some(flight) = inner.flights.get_mut(at)
                && let What::Wait(waiting) = &mut flight.what
                && let Some(waiting) = waiting.take_if(|waiting| waiting.is_acquire())
            {
                flight.due = Some(now + TURN_SLACK);
                over.push(Overdue { id: flight.id, what: Unanswered::Wait(waiting) });
                at += 1;
            } else if let Some(flight) = inner.take(at) {
                let what = match flight.what {
                    What::Call { kind, .. } => Unanswered::Call { is_command: kind == CallKind::Command },
                    What::Wait(Some(waiting)) => Unanswered::Wait(waiting),
                    What::Wait(None) => Unanswered::GivenUp,
                };
                over.push(Overdue { id: flight.id, what });
            }
        }
        (over, inner.flights.iter().filter_map(|flight| flight.due).min())
    }

    /// Whether every call but waits that go on is answered, and every answer was taken.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        let waits = |flight: &Flight| matches!(flight.what, What::Wait(Some(_)));
        inner.finished.is_empty() && inner.flights.iter().all(waits)
    }

    /// Tells the session to go.
    pub(crate) fn go(&self, going: &Going) {
        let waker = {
            let mut inner = self.inner();
            // Who must go is not told instead that they may stay.
            if inner.going.is_none() || !matches!(going, Going::Should(_)) {
                inner.going = Some(going.clone());
            }
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether and why to go, once.
    pub(super) fn take_going(&self) -> Option<Going> {
        self.inner().going.take()
    }
}

impl Inner {
    fn admit(&mut self, kind: Kind) -> Result<(), Problem> {
        let calls = self.flights.len() - self.waits;
        match kind {
            Kind::Wait if self.waits >= SESSION_WAITS_MAX => Err(crowded("waits", SESSION_WAITS_MAX)),
            Kind::Wait => {
                self.waits += 1;
                Ok(())
            }
            Kind::Read | Kind::Watch | Kind::Command { .. } if calls >= SESSION_CALLS_MAX => {
                Err(crowded("calls", SESSION_CALLS_MAX))
            }
            Kind::Read if self.reads >= SESSION_READS_MAX => Err(crowded("reads", SESSION_READS_MAX)),
            Kind::Read => {
                self.reads += 1;
                Ok(())
            }
            Kind::Watch if self.watches.len() >= SESSION_WATCHES_MAX => {
                Err(crowded("watches", SESSION_WATCHES_MAX))
            }
            Kind::Watch => Ok(()),
            Kind::Command { steps } if self.steps + steps > SESSION_STEPS_MAX => {
                Err(crowded("steps", SESSION_STEPS_MAX))
            }
            Kind::Command { steps } => {
                self.steps += steps;
                Ok(())
            }
        }
    }

    fn find(&self, id: u64, ticket: u64) -> Option<usize> {
        let at = self.flights.binary_search_by_key(&id, |flight| flight.id).ok()?;
        (self.flights.get(at)?.ticket == ticket).then_some(at)
    }

    fn take_call(&mut self, id: u64) {
        if let Ok(at) = self.flights.binary_search_by_key(&id, |flight| flight.id) {
            self.take(at);
        }
    }

    fn take(&mut self, at: usize) -> Option<Flight> {
        let flight = self.flights.remove(at)?;
        match flight.what {
            What::Call { steps, kind } => {
                self.steps -= steps as usize;
                self.reads -= usize::from(kind == CallKind::Read);
            }
            What::Wait(_) => self.waits -= 1,
        }
        if self.flights.is_empty() && self.flights.capacity() > KEPT_CAPACITY {
            self.flights.shrink_to(0);
        }
        Some(flight)
    }
}

/// The answer beyond a quota: which one it is, and when to try again.
fn crowded(what: &str, limit: usize) -> Problem {
    let message =
        format!("there are {limit} {what} in flight on this session, the limit: not done; await some first");
    Problem::new(Code::Overloaded, message)
        .retry_after_ms(retry_after_ms(Ttl::from_millis(200), rand::random()))
}

#[cfg(test)]
mod tests;
