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

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use api::{Code, Problem};
use lease::{FRAME_OPERATIONS_MAX, SESSION_CALLS_MAX, SESSION_WAITS_MAX, Ttl};

use crate::service::{Done, Waiting, retry_after_ms};

/// Steps of bulk calls in flight on one session: a few whole frames, so that the next one is under way while one is
/// answered, and a bound on what a session can hold in memory.
const SESSION_STEPS_MAX: usize = 4 * FRAME_OPERATIONS_MAX;
/// Capacity that an emptied queue may keep. A session that was busy once shall not stay large.
const KEPT_CAPACITY: usize = 16;

/// One session's calls and answers.
pub(crate) struct Outbox(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// In order of id, which clients count up: new ones go to the end, and the oldest is near the start.
    flights: VecDeque<Flight>,
    finished: VecDeque<(u64, Done)>,
    waits: usize,
    steps: usize,
    tickets: u64,
    going: Option<Arc<str>>,
    waker: Option<Waker>,
}

struct Flight {
    id: u64,
    ticket: u64,
    due: Option<Instant>,
    what: What,
}

enum What {
    Call { is_command: bool, steps: u32 },
    Wait(Option<Box<Waiting>>),
}

/// What a call is, as far as its session keeps books of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A wait, which counts by itself.
    Wait,
    /// A read, which surely changed nothing.
    Read,
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
    /// A wait that lasted too long.
    Wait(Option<Box<Waiting>>),
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
            Err(at) => at,
            Ok(_) => {
                let message = format!("call {id} is still in flight on this session: number each call anew");
                return Err(Problem::new(Code::BadRequest, message).in_field("id"));
            }
        };
        inner.admit(kind)?;
        inner.tickets += 1;
        let ticket = inner.tickets;
        let what = match kind {
            Kind::Wait => What::Wait(None),
            Kind::Read => What::Call { is_command: false, steps: 0 },
            Kind::Command { steps } => What::Call { is_command: true, steps: steps as u32 },
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

    /// Takes every wait out: the session is going.
    pub(super) fn cancel_all(&self) -> Vec<(u64, Option<Box<Waiting>>)> {
        let mut inner = self.inner();
        let (mut waits, mut calls) = (Vec::new(), VecDeque::new());
        for flight in std::mem::take(&mut inner.flights) {
            match flight.what {
                What::Wait(waiting) => waits.push((flight.id, waiting)),
                What::Call { .. } => calls.push_back(flight),
            }
        }
        inner.flights = calls;
        inner.waits = 0;
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
            } else if let Some(flight) = inner.take(at) {
                let what = match flight.what {
                    What::Call { is_command, .. } => Unanswered::Call { is_command },
                    What::Wait(waiting) => Unanswered::Wait(waiting),
                };
                over.push(Overdue { id: flight.id, what });
            }
        }
        (over, inner.flights.iter().filter_map(|flight| flight.due).min())
    }

    /// Whether every call but waits is answered, and every answer was taken.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.finished.is_empty() && inner.flights.len() == inner.waits
    }

    /// Tells the session to go.
    pub(crate) fn go(&self, why: &Arc<str>) {
        let waker = {
            let mut inner = self.inner();
            inner.going = Some(Arc::clone(why));
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Why to go, once.
    pub(super) fn take_going(&self) -> Option<Arc<str>> {
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
            Kind::Read | Kind::Command { .. } if calls >= SESSION_CALLS_MAX => {
                Err(crowded("calls", SESSION_CALLS_MAX))
            }
            Kind::Read => Ok(()),
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

    fn take(&mut self, at: usize) -> Option<Flight> {
        let flight = self.flights.remove(at)?;
        match flight.what {
            What::Call { steps, .. } => self.steps -= steps as usize,
            What::Wait(_) => self.waits -= 1,
        }
        if self.flights.is_empty() && self.flights.capacity() > KEPT_CAPACITY {
            self.flights.shrink_to(0);
        }
        Some(flight)
    }
}

/// Bad-input row 27: the quota is named, and when to try again.
fn crowded(what: &str, limit: usize) -> Problem {
    let message =
        format!("there are {limit} {what} in flight on this session, the limit: not done; await some first");
    Problem::new(Code::Overloaded, message)
        .retry_after_ms(retry_after_ms(Ttl::from_millis(200), rand::random()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::Reply;

    use super::*;

    fn done() -> Done {
        Done::Reply(Reply::Cancelled)
    }

    #[test]
    fn a_call_is_answered_once() {
        let outbox = Outbox::new();
        let ticket = outbox.begin(7, Kind::Read, None).unwrap();
        outbox.finish(7, ticket, done());
        outbox.finish(7, ticket, done());
        assert!(outbox.pop().is_some());
        assert!(outbox.pop().is_none());
    }

    #[test]
    fn a_late_answer_does_not_answer_a_later_call_of_the_same_number() {
        let outbox = Outbox::new();
        let now = Instant::now();
        let early = outbox.begin(7, Kind::Command { steps: 1 }, Some(now)).unwrap();
        let (over, next) = outbox.overdue(now);
        assert!(matches!(over.as_slice(), [Overdue { id: 7, what: Unanswered::Call { is_command: true } }]));
        assert_eq!(next, None);
        let again = outbox.begin(7, Kind::Command { steps: 1 }, None).unwrap();
        outbox.finish(7, early, done());
        assert!(outbox.pop().is_none(), "the first call's answer is nobody's by now");
        outbox.finish(7, again, done());
        assert!(outbox.pop().is_some());
    }

    #[test]
    fn a_number_in_flight_is_refused_and_answers_come_in_any_order() {
        let outbox = Outbox::new();
        let tickets: Vec<u64> = [5, 1, 3].map(|id| outbox.begin(id, Kind::Read, None).unwrap()).to_vec();
        let problem = outbox.begin(3, Kind::Read, None).unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (Code::BadRequest, Some("id")));
        outbox.finish(3, tickets[2], done());
        outbox.finish(5, tickets[0], done());
        assert!(!outbox.is_idle());
        outbox.finish(1, tickets[1], done());
        let order: Vec<u64> = std::iter::from_fn(|| outbox.pop()).map(|(id, _)| id).collect();
        assert_eq!(order, [3, 5, 1]);
        assert!(outbox.is_idle());
    }

    /// Bad-input row 27: the 10,001st wait.
    #[test]
    fn row_27_quotas_are_named_and_freed() {
        let outbox = Outbox::new();
        for id in 0..SESSION_WAITS_MAX as u64 {
            outbox.begin(id, Kind::Wait, None).unwrap();
        }
        let problem = outbox.begin(90_000, Kind::Wait, None).unwrap_err();
        assert_eq!(problem.code, Code::Overloaded);
        assert!(problem.message.contains("10000 waits"), "{}", problem.message);
        assert!(problem.retry_after_ms.is_some());
        // Waits do not count as calls, and one given up makes room.
        let call = outbox.begin(90_001, Kind::Command { steps: SESSION_STEPS_MAX }, None).unwrap();
        assert!(
            outbox
                .begin(90_002, Kind::Command { steps: 1 }, None)
                .unwrap_err()
                .message
                .contains("40000 steps")
        );
        outbox.finish(90_001, call, done());
        outbox.begin(90_002, Kind::Command { steps: 1 }, None).unwrap();
        assert!(outbox.cancel(17).is_some());
        assert!(outbox.cancel(17).is_none());
        assert!(outbox.cancel(90_002).is_none(), "only waits can be given up");
        outbox.begin(90_000, Kind::Wait, None).unwrap();
        assert_eq!(outbox.cancel_all().len(), SESSION_WAITS_MAX);
        assert!(!outbox.is_idle(), "a command is in flight");
    }

    #[test]
    fn the_next_due_time_is_the_earliest() {
        let outbox = Outbox::new();
        let now = Instant::now();
        let at = |millis| Some(now + Duration::from_millis(millis));
        outbox.begin(1, Kind::Read, at(30)).unwrap();
        outbox.begin(2, Kind::Wait, None).unwrap();
        outbox.begin(3, Kind::Read, at(10)).unwrap();
        let (over, next) = outbox.overdue(now + Duration::from_millis(9));
        assert!(over.is_empty());
        assert_eq!(next, at(10));
        let (over, next) = outbox.overdue(now + Duration::from_millis(10));
        assert_eq!(over.iter().map(|over| over.id).collect::<Vec<_>>(), [3]);
        assert_eq!(next, at(30));
    }

    #[test]
    fn an_emptied_session_is_small_again() {
        let outbox = Outbox::new();
        let tickets: Vec<u64> = (0..1_000).map(|id| outbox.begin(id, Kind::Read, None).unwrap()).collect();
        for (id, ticket) in tickets.into_iter().enumerate() {
            outbox.finish(id as u64, ticket, done());
        }
        while outbox.pop().is_some() {}
        let inner = outbox.inner();
        assert_eq!((inner.flights.capacity(), inner.finished.capacity()), (0, 0));
    }
}
