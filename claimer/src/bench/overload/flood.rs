//! Claims of new leases: as many as can be done, and then more than that.
//!
//! They go in bulk calls, whose steps the session never tries again by itself: the first answer to each is what counts here, where a
//! program would come again when it is told to. In frames of many, because where one machine has all of it, whoever offers too
//! much by single calls has no processor left for anyone to refuse them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use client::{Claim, Failure, Outcome, Session, Step, Stepped, Unavailable};
use tokio::task::JoinSet;
use tokio::time::{Instant as Tick, sleep, sleep_until};

use crate::RunError;
use crate::bench::reach::Reach;
use crate::bench::{Times, broken, on_one_thread};

/// Threads that claim: two, so that one processor's worth of claiming is no bound.
const THREADS: usize = 2;
/// Frames of each connection on their way, in the closed loop.
const EACH: usize = 2;
/// Of what is claimed: nobody extends it.
const TTL: Duration = Duration::from_secs(10);
/// A claim's deadline: the service's own default.
const WITHIN: Duration = Duration::from_secs(5);
/// An answer is not late that left in time, and took so long here.
const SLACK: Duration = Duration::from_millis(250);
const WARM_UP: Duration = Duration::from_secs(1);
/// How often it is looked how many are due.
const TICK: Duration = Duration::from_millis(2);
/// A member that does not answer must not fill this machine's memory: with so many on their way on a thread no more are sent.
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

    fn take(&mut self, took: Duration, claims: usize, answer: Result<Vec<Outcome<Stepped>>, Failure>) {
        match answer {
            Ok(steps) => steps.into_iter().for_each(|step| self.take_one(took, step.into_result())),
            Err(failure) => (0..claims).for_each(|_| self.take_one(took, Err(failure.clone()))),
        }
    }

    fn take_one(&mut self, took: Duration, answer: Result<Stepped, Failure>) {
        match answer {
            Ok(Stepped::Granted(grant)) => {
                self.tokens.push(grant.token());
                self.claims.record(took);
            }
            Err(Failure::Unavailable(Unavailable::Answered(problem)))
                if problem.code == api::Code::Overloaded =>
            {
                self.overloaded += 1;
                self.too_late += u64::from(took > WITHIN + SLACK);
                self.without_when += u64::from(problem.retry_after_ms.is_none());
                self.refusals.record(took);
            }
            Err(Failure::Unknown(doubt)) => {
                self.timed_out += 1;
                self.why.get_or_insert_with(|| Failure::Unknown(doubt).to_string());
            }
            other => {
                self.failed += 1;
                self.why.get_or_insert_with(|| format!("{other:?}"));
            }
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
        let frame = self.frame;
        let granted = self.on_threads(|sessions, prefix| async move {
            let from = Instant::now() + WARM_UP;
            let until = from + lasts;
            let granted = Rc::new(Cell::new(0_u64));
            let mut loops = JoinSet::new();
            for (number, session) in (0..EACH).flat_map(|_| sessions.clone()).enumerate() {
                let (granted, prefix) = (Rc::clone(&granted), format!("{prefix}closed/{number}/"));
                loops.spawn_local(async move {
                    for turn in 0_u64.. {
                        let answer = claim(&session, &format!("{prefix}{turn}/"), frame).await;
                        let now = Instant::now();
                        let is_done = |step: &&Outcome<Stepped>| matches!(step, Outcome::Done(_));
                        let done = answer.map_or(0, |steps| steps.iter().filter(is_done).count());
                        if from <= now && now <= until {
                            granted.set(granted.get() + done as u64);
                        }
                        if now > until {
                            break;
                        }
                        if done == 0 {
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
        let parts = self.on_threads(|sessions, prefix| offer(sessions, prefix, (each, self.frame), lasts))?;
        Ok(parts.into_iter().fold(Offered::none()?, Offered::add))
    }

    /// Does the same on each thread, with its part of the connections and names of its own.
    fn on_threads<T: Send, F: Future<Output = Result<T, RunError>>>(
        &self,
        what: impl Fn(Vec<Session>, String) -> F + Sync,
    ) -> Result<Vec<T>, RunError> {
        let each = self.claimers.div_ceil(THREADS);
        let one = |thread: usize| {
            on_one_thread(async {
                let mut sessions = Vec::new();
                for number in 0..each {
                    sessions.push(self.reach.session(thread * each + number, WITHIN).await?);
                }
                let done = what(sessions.clone(), format!("{}{thread}/", self.prefix)).await?;
                for session in sessions {
                    session.close().await;
                }
                Ok(done)
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn({ let one = &one; move || one(thread) })).collect();
            let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| broken("a claimer panicked"))?);
            ended.collect()
        })
    }
}

async fn offer(
    sessions: Vec<Session>,
    prefix: String,
    (per_s, frame): (f64, usize),
    lasts: Duration,
) -> Result<Offered, RunError> {
    let offered = Rc::new(RefCell::new(Offered::none()?));
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    let mut sent = 0_u64;
    while begun.elapsed() < lasts {
        let due = (begun.elapsed().as_secs_f64() * per_s / frame as f64) as u64;
        for number in sent..due {
            if calls.len() >= ON_THEIR_WAY_MAX / frame {
                break;
            }
            let session = sessions[number as usize % sessions.len()].clone();
            let (offered, prefix) = (Rc::clone(&offered), format!("{prefix}open/{number}/"));
            calls.spawn_local(async move {
                let asked = Instant::now();
                let answer = claim(&session, &prefix, frame).await;
                offered.borrow_mut().take(asked.elapsed(), frame, answer);
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

/// Claims so many leases whose names start so.
async fn claim(session: &Session, prefix: &str, count: usize) -> Result<Vec<Outcome<Stepped>>, Failure> {
    let claim = |number| Claim { ttl: TTL, ..Claim::new(format!("{prefix}{number}"), "claimer") };
    session.bulk((0..count).map(claim).map(Step::Claim).collect()).await
}
