//! One holder's life: claim, extend for ever, and wait where another has the lease.
//!
//! ```text
//!            granted                 renewtime
//!   claim ────────────▶ hold ─────────────────────▶ extend ──┐
//!    ▲ │ held            ▲                            │  │   │
//!    │ ▼                 └────────────────────────────┘  │ lost
//!    │ wait ── free ─▶ claim                             ▼   │
//!    └───────────────────────────────────────────────────────┘
//! ```
//!
//! Nothing is fatal but a call that can never be right. What was surely not done is tried again when the server says,
//! or after a back-off; what may have happened is repeated under its number; a connection that breaks is opened again,
//! and the grant is extended over it as if nothing had been.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::history::{Call, Event, Nanos, What};
use crate::target::{Attempt, Granted, No, Seat, Session, Target};
use crate::workload::{Pace, backoff};

/// How long after a failed connection the next is tried, at most.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// What the holders of a process share.
pub(crate) struct Room<T> {
    /// What is claimed against.
    pub(crate) target: T,
    /// The times.
    pub(crate) pace: Pace,
    /// How many may connect at once: a few, as a process that opened one after another did.
    pub(crate) connecting: Semaphore,
    /// The clock.
    pub(crate) now: fn() -> Nanos,
    /// Takes what the holders see.
    pub(crate) sink: Box<dyn Fn(Event)>,
    /// This process.
    pub(crate) pid: u32,
    /// Connections opened so far.
    pub(crate) opened: std::cell::Cell<u32>,
}

/// A grant that is held.
#[derive(Clone, Copy)]
struct Hold {
    token: u64,
    since: Nanos,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Next {
    Claim(Attempt),
    Extend(Hold),
    Wait { after: Option<u64> },
}

pub(crate) struct Holder<T> {
    seat: Seat,
    room: Rc<Room<T>>,
    next: Next,
    /// Tries of the next call so far that came to nothing.
    tries: u32,
}

impl<T: Target> Holder<T> {
    /// A holder that has nothing yet.
    pub(crate) fn new(seat: Seat, room: Rc<Room<T>>) -> Holder<T> {
        Holder { seat, room, next: Next::Claim(Attempt::New), tries: 0 }
    }

    /// Lives until it is dropped or a call turns out to be wrong.
    pub(crate) async fn live(mut self) {
        loop {
            let mut session = self.connect().await;
            match self.converse(&mut session).await {
                Over::Gone => self.tell(What::Disconnected),
                Over::Wrong(why) => return self.tell(What::Wrong { why }),
            }
        }
    }

    async fn connect(&mut self) -> T::Session {
        let mut tries = 0;
        loop {
            let error = {
                // A semaphore's queue is fair: holders connect in their order.
                let _turn = self.room.connecting.acquire().await;
                let began = (self.room.now)();
                match self.room.target.connect(&self.seat).await {
                    Ok(session) => {
                        self.tell_connected(began);
                        return session;
                    }
                    Err(error) => error,
                }
            };
            self.tell(What::ConnectFailed { to: self.seat.endpoint.clone(), why: error });
            tokio::time::sleep(backoff(tries, self.seat.number, RECONNECT_MAX * 8)).await;
            tries += 1;
        }
    }

    fn tell_connected(&self, began: Nanos) {
        let number = self.room.opened.get() + 1;
        self.room.opened.set(number);
        self.tell(What::Connected { took: (self.room.now)().since(began), pid: self.room.pid, number });
    }

    /// Makes calls until the connection is gone.
    async fn converse(&mut self, session: &mut T::Session) -> Over {
        loop {
            let sent = (self.room.now)();
            let (call, answer) = match self.next {
                Next::Claim(attempt) => (Call::Claim, session.claim(attempt).await.map(Some)),
                Next::Extend(hold) => (Call::Extend, session.extend(hold.token).await.map(Some)),
                Next::Wait { after } => (Call::Wait, session.wait(after).await.map(|()| None)),
            };
            let took = (self.room.now)().since(sent);
            let pause = match answer {
                Ok(Some(granted)) => self.granted(granted, took),
                Ok(None) => self.waited(took),
                Err(no) => match self.refused(call, no, took) {
                    Ok(pause) => pause,
                    Err(over) => return over,
                },
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn granted(&mut self, Granted { token, until }: Granted, took: Duration) -> Duration {
        let now = (self.room.now)();
        self.tries = 0;
        self.next = match self.next {
            Next::Extend(hold) => {
                self.tell(What::Extended { token, until, held: now.since(hold.since), took });
                Next::Extend(hold)
            }
            _ => {
                self.tell(What::Claimed { token, until, took });
                Next::Extend(Hold { token, since: now })
            }
        };
        self.room.pace.real(self.room.pace.renew_time)
    }

    fn waited(&mut self, took: Duration) -> Duration {
        self.tries = 0;
        self.next = Next::Claim(Attempt::New);
        self.tell(What::Waited { took });
        Duration::ZERO
    }

    /// What to do after a no: how long to pause, or that this conversation is over.
    fn refused(&mut self, call: Call, no: No, took: Duration) -> Result<Duration, Over> {
        match no {
            No::Held { after } => {
                self.tries = 0;
                self.next = Next::Wait { after };
                self.tell(What::Denied { took });
                Ok(Duration::ZERO)
            }
            No::Lost => {
                if let Next::Extend(hold) = self.next {
                    self.tell(What::Lost { held: (self.room.now)().since(hold.since), took });
                }
                self.tries = 0;
                self.next = Next::Claim(Attempt::New);
                Ok(Duration::ZERO)
            }
            No::Again { after, why } => {
                self.tell(What::Failed { call, took, why });
                Ok(after.unwrap_or_else(|| self.pause()))
            }
            No::Unknown { why } => {
                self.tell(What::TimedOut { call, took, why });
                self.repeat();
                Ok(self.pause())
            }
            No::Gone { why } => {
                self.tell(What::TimedOut { call, took, why });
                self.repeat();
                Err(Over::Gone)
            }
            No::Wrong { why } => Err(Over::Wrong(why)),
        }
    }

    /// A claim that may have happened is repeated as itself; extends and waits are the same each time.
    fn repeat(&mut self) {
        if let Next::Claim(_) = self.next {
            self.next = Next::Claim(Attempt::Repeat);
        }
    }

    fn pause(&mut self) -> Duration {
        self.tries += 1;
        let ttl = self.room.pace.real(self.room.pace.claim_time);
        backoff(self.tries - 1, self.seat.number, ttl)
    }

    fn tell(&self, what: What) {
        (self.room.sink)(Event { at: (self.room.now)(), holder: self.seat.number, what });
    }
}

/// Why a conversation is over.
enum Over {
    /// The connection is gone.
    Gone,
    /// A call can never be right.
    Wrong(String),
}

#[cfg(test)]
mod tests;
