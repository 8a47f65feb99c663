//! Claims of new leases: as many as can be done, and then more than that.
//!
//! They go over plain WebSockets and not over the client crate's sessions: whoever offers more than a machine can do, on that machine, must
//! leave the most of it to the servers, and a session keeps books of every lease. For the same reason they go in frames of many. No claim is
//! tried again: the first answer is what counts here, where a program would come again when it is told to.
//!
//! ```text
//!   ticks ─── due frames, in turn ──▶ a writer a connection ──▶ server ──▶ a reader a connection ──▶ Offered
//! ```

mod wire;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{Instant as Tick, sleep, sleep_until};

use self::wire::{Answered, Wire};
use crate::RunError;
use crate::bench::reach::Reach;
use crate::bench::{Times, broken, on_one_thread};

/// Threads that claim: two, so that one processor's worth of claiming is no bound.
const THREADS: usize = 2;
/// As `nice` counts.
const LEAST_URGENT: i32 = 19;
/// Frames of each connection on their way, in the closed loop.
const EACH: usize = 2;
/// A claim's deadline: the service's own default.
pub(super) const WITHIN: Duration = Duration::from_secs(5);
/// An answer is not late that left in time, and took so long here.
const SLACK: Duration = Duration::from_millis(250);
const WARM_UP: Duration = Duration::from_secs(1);
/// How often it is looked how many are due.
const TICK: Duration = Duration::from_millis(2);
/// A member that does not answer must not fill this machine's memory: with so many claims on their way on a thread no more are sent.
const ON_THEIR_WAY_MAX: usize = 500_000;

/// Where claims are made, over how many connections, and of which names.
#[derive(Clone)]
pub(super) struct Flood {
    pub(super) reach: Reach,
    pub(super) claimers: usize,
    /// Claims of one frame.
    pub(super) frame: usize,
    pub(super) prefix: String,
}

/// What came of the claims that were offered.
pub(super) struct Offered {
    tokens: Vec<u64>,
    /// Answered `overloaded`.
    pub(super) overloaded: u64,
    /// Of them, behind their deadline.
    pub(super) too_late: u64,
    /// Of them, without being told when to come back.
    pub(super) without_when: u64,
    /// Neither done nor refused within their deadline.
    pub(super) timed_out: u64,
    /// Anything else.
    pub(super) failed: u64,
    pub(super) why: Option<String>,
    pub(super) claims: Times,
    pub(super) refusals: Times,
    sent: u64,
    lasted: Duration,
}

impl Offered {
    fn none() -> Result<Offered, RunError> {
        Ok(Offered {
            tokens: Vec::new(),
            overloaded: 0,
            too_late: 0,
            without_when: 0,
            timed_out: 0,
            failed: 0,
            why: None,
            claims: Times::new()?,
            refusals: Times::new()?,
            sent: 0,
            lasted: Duration::ZERO,
        })
    }

    /// How many were granted.
    pub(super) fn done(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// How many were sent a second.
    pub(super) fn per_s(&self) -> f64 {
        self.sent as f64 / self.lasted.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// How many tokens were granted.
    pub(super) fn distinct_tokens(&self) -> u64 {
        let mut tokens = self.tokens.clone();
        tokens.sort_unstable();
        tokens.dedup();
        tokens.len() as u64
    }

    /// Takes in what came of a frame.
    fn take(&mut self, took: Duration, answered: Answered) {
        let Answered { granted, overloaded, without_when, other } = answered;
        let late = took > WITHIN + SLACK;
        granted.iter().for_each(|_| self.claims.record(took));
        self.tokens.extend(granted);
        (0..overloaded).for_each(|_| self.refusals.record(took));
        self.overloaded += overloaded;
        self.too_late += if late { overloaded } else { 0 };
        self.without_when += without_when;
        for (code, why) in other {
            match code.as_str() {
                "unknown" => self.timed_out += 1,
                _ => self.failed += 1,
            }
            self.why.get_or_insert(why);
        }
    }

    fn add(mut self, other: Offered) -> Offered {
        self.tokens.extend(other.tokens);
        self.overloaded += other.overloaded;
        self.too_late += other.too_late;
        self.without_when += other.without_when;
        self.timed_out += other.timed_out;
        self.failed += other.failed;
        self.why = self.why.or(other.why);
        self.claims.add(&other.claims);
        self.refusals.add(&other.refusals);
        self.sent += other.sent;
        self.lasted = self.lasted.max(other.lasted);
        self
    }
}

impl Flood {
    /// The rate at which claims are granted, with a fixed number on their way.
    pub(super) fn saturate(&self, lasts: Duration) -> Result<f64, RunError> {
        let granted = self.on_threads(|wires| async move {
            let from = Instant::now() + WARM_UP;
            let until = from + lasts;
            let granted = Rc::new(Cell::new(0_u64));
            let mut loops = JoinSet::new();
            for wire in (0..EACH).flat_map(|_| wires.clone()) {
                let granted = Rc::clone(&granted);
                loops.spawn_local(async move {
                    while Instant::now() < until {
                        let Some(answered) = wire.claim(WITHIN).await else { break };
                        let now = Instant::now();
                        if from <= now && now <= until {
                            granted.set(granted.get() + answered.granted.len() as u64);
                        }
                        if answered.granted.is_empty() {
                            sleep(TICK).await;
                        }
                    }
                });
            }
            while loops.join_next().await.is_some() {}
            Ok(granted.get())
        })?;
        let all: u64 = granted.into_iter().sum();
        match all {
            0 => Err(broken("no claim was granted: is the cluster overloaded already?")),
            all => Ok(all as f64 / lasts.as_secs_f64()),
        }
    }

    /// Offers so many claims a second, for so long, whatever comes of them; and waits until each has had its time.
    pub(super) fn offer(&self, per_s: f64, lasts: Duration) -> Result<Offered, RunError> {
        let each = per_s / THREADS as f64;
        let parts = self.on_threads(|wires| offer(wires, (each, self.frame), lasts))?;
        Ok(parts.into_iter().fold(Offered::none()?, Offered::add))
    }

    /// Does the same on each thread, with its part of the connections.
    fn on_threads<T: Send, F: Future<Output = Result<T, RunError>>>(
        &self,
        what: impl Fn(Vec<Wire>) -> F + Sync,
    ) -> Result<Vec<T>, RunError> {
        let each = self.claimers.div_ceil(THREADS);
        let one = |thread: usize| {
            // They stand for other machines, which would take no processor from the servers and from those who hold.
            let _ = rustix::process::setpriority_process(None, LEAST_URGENT);
            on_one_thread(async {
                let mut wires = Vec::new();
                for number in thread * each..(thread + 1) * each {
                    let endpoint = &self.reach.endpoints[number % self.reach.endpoints.len()];
                    // Names of an earlier claim are held: the time makes them new.
                    let prefix = format!("{}{number}/{:x}/", self.prefix, crate::clock::now().0);
                    wires.push(Wire::open(endpoint, prefix, self.frame).await?);
                }
                what(wires).await
            })
        };
        std::thread::scope(|scope| {
            let one = &one;
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || one(thread))).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|ended| ended.map_err(|_| broken("a claimer panicked"))?).collect()
        })
    }
}

async fn offer(wires: Vec<Wire>, (per_s, frame): (f64, usize), lasts: Duration) -> Result<Offered, RunError> {
    let offered = Rc::new(RefCell::new(Offered::none()?));
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    let mut sent = 0_u64;
    while begun.elapsed() < lasts {
        let due = (begun.elapsed().as_secs_f64() * per_s / frame as f64) as u64;
        while sent < due && calls.len() < ON_THEIR_WAY_MAX / frame {
            let wire = wires[sent as usize % wires.len()].clone();
            let offered = Rc::clone(&offered);
            calls.spawn_local(async move {
                let asked = Instant::now();
                let answered = wire.claim(WITHIN + SLACK).await;
                let mut offered = offered.borrow_mut();
                match answered {
                    Some(answered) => offered.take(asked.elapsed(), answered),
                    None => offered.timed_out += frame as u64,
                }
            });
            sent += 1;
        }
        while calls.try_join_next().is_some() {}
        sleep_until(Tick::now() + TICK).await;
    }
    let lasted = begun.elapsed();
    while calls.join_next().await.is_some() {}
    let mut offered = offered.replace(Offered::none()?);
    (offered.sent, offered.lasted) = (sent * frame as u64, lasted);
    Ok(offered)
}
