//! How late leases end that nobody extends: one by one, and very many at once.
//!
//! ```text
//!     many    claim all, extend each to one instant ────────── deadline ▼ ended … ended
//!                                                                       └ first ─ last ┘  first_to_last
//!             one waits for each ────────────────────────────────────── ▼ · · · · told    last_told
//!     one     claim ─── ttl ─── deadline ▼ told                                           lateness
//! ```
//!
//! What is measured: a watch tells of each end and how long ago it was on the lease clock, so that `first_to_last` is the time that
//! ends took in the table; the extends that gave all leases one deadline are spread over several batches, and that spread is
//! in it. `last_told` is from that deadline to the last answer of those who wait, one for each lease. `lateness` is of leases
//! that end alone: from the deadline as their holder reckons it, from before its claim was sent, to the answer of one who waits. So two
//! ways through the client crate and a commit are in it.
//!
//! It is checked that every lease ends once, by expiry, that each wait is answered once, and that nothing is free before
//! its holder's deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::{Reply, What};
use client::{Claim, Session, Step};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::granted::granted;
use super::reach::Reach;
use super::{At, Place, Report, Times, broken};
use crate::RunError;

/// Leases of one session, and waits of another.
const SESSION_LEASES: usize = 1_000;
/// Leases that end alone, in each run, and how long there is between two of them.
const ALONE: usize = 50;
const ALONE_EVERY: Duration = Duration::from_millis(23);
/// Their ttl: the shortest of a namespace without settings.
const ALONE_TTL: Duration = Duration::from_secs(1);
/// How long claims, waits and extends of a thousand leases may take.
const A_THOUSAND_WITHIN: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
/// A leader's lease clock stands still at first: its holders have that time to be heard. No figure is to have that in it.
const GRACE_OVER: Duration = Duration::from_secs(1);

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Expiry {
    /// How many leases end at once.
    pub leases: usize,
    /// How many times.
    pub runs: u32,
    /// How many members there are, where they are its own.
    pub members: u64,
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.runs == 1 { "" } else { "s" };
        write!(f, "{} time{s} {} leases at once, and {ALONE} one by one", self.runs, self.leases)
    }
}

/// Measures at these endpoints, or at a node or cluster of its own where there are none.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(expiry: Expiry, at: &At, program: &Path) -> Result<Report<Expiry>, RunError> {
    let place = Place::find(at, program, expiry.members)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut first_to_last, mut last_told, mut lateness) = (Times::new()?, Times::new()?, Times::new()?);
    runtime.block_on(async {
        let crowd = Crowd::gather(expiry.leases, &place.reach).await?;
        for run in 0..expiry.runs {
            let end = crowd.end_at_once(run).await?;
            first_to_last.record(end.first_to_last);
            last_told.record(end.last_told);
            for late in crowd.end_alone(run).await? {
                lateness.record(late);
            }
        }
        crowd.disperse().await;
        Ok::<_, RunError>(())
    })?;
    let figures = BTreeMap::from([
        ("first_to_last_ms", first_to_last.figure()),
        ("last_told_ms", last_told.figure()),
        ("lateness_ms", lateness.figure()),
    ]);
    Ok(Report {
        bench: "expiry",
        run: expiry,
        setting: place.setting(),
        results: BTreeMap::from([("tenure", figures)]),
        ratio: None,
        checked: vec![
            format!("each of {} leases ended once, and by expiry", expiry.leases * expiry.runs as usize),
            "each wait was answered once".to_owned(),
            "nothing was free before its holder's deadline".to_owned(),
        ],
    })
}

/// Those who hold, each with one who waits for the same leases.
struct Crowd {
    pairs: Vec<(Session, Session)>,
    leases: usize,
    reach: Reach,
    prefix: String,
}

/// How very many leases ended at once.
struct End {
    first_to_last: Duration,
    last_told: Duration,
}

impl Crowd {
    async fn gather(leases: usize, reach: &Reach) -> Result<Crowd, RunError> {
        let mut pairs = Vec::new();
        for at in 0..leases.div_ceil(SESSION_LEASES) {
            pairs.push((reach.session(at, PATIENCE).await?, reach.session(at + 1, PATIENCE).await?));
        }
        let prefix = format!("bench/expiry/{}/", pairs[0].0.instance());
        sleep(GRACE_OVER).await;
        Ok(Crowd { pairs, leases, reach: reach.clone(), prefix })
    }

    /// Has all leases end at one instant.
    async fn end_at_once(&self, run: u32) -> Result<End, RunError> {
        let prefix = format!("{}{run}/", self.prefix);
        let ends = Ends::watch(self.reach.clone(), prefix.clone(), self.leases).await?;
        let within = A_THOUSAND_WITHIN * (self.leases.div_ceil(SESSION_LEASES) as u32 + 4);
        let (mut grants, mut told) = (Vec::new(), JoinSet::new());
        for (at, (holder, waiter)) in self.pairs.iter().enumerate() {
            let numbers = at * SESSION_LEASES..self.leases.min((at + 1) * SESSION_LEASES);
            let claims = numbers
                .map(|number| Claim { ttl: within, ..Claim::new(format!("{prefix}{number}"), "holder") });
            let claims: Vec<Claim> = claims.collect();
            grants.push(granted(holder, claims.iter().cloned().map(Step::Claim).collect()).await?);
            claims.iter().for_each(|claim| drop(told.spawn(told_free(waiter.clone(), claim.clone()))));
        }
        // Behind all that was claimed, so that each can be moved there.
        let deadline = Instant::now() + within;
        for ((holder, _), grants) in self.pairs.iter().zip(grants) {
            let ttl = deadline.saturating_duration_since(Instant::now());
            granted(holder, grants.into_iter().map(|grant| Step::Extend(grant, ttl)).collect()).await?;
        }
        let mut last_told = deadline;
        while let Some(at) = told.join_next().await {
            let at = at.map_err(broken)??;
            check_not_early(at, deadline, within)?;
            last_told = last_told.max(at);
        }
        Ok(End { first_to_last: ends.first_to_last().await?, last_told: last_told - deadline })
    }

    /// Has leases end one after the other.
    async fn end_alone(&self, run: u32) -> Result<Vec<Duration>, RunError> {
        let (holder, waiter) = &self.pairs[0];
        let mut told = JoinSet::new();
        for number in 0..ALONE {
            let name = format!("{}{run}/alone/{number}", self.prefix);
            let claim = Claim { ttl: ALONE_TTL, ..Claim::new(name, "holder") };
            let asked = Instant::now();
            holder.claim(claim.clone()).await.into_result().map_err(broken)?;
            let told_free = told_free(waiter.clone(), claim);
            told.spawn(async move { told_free.await.map(|at| (asked + ALONE_TTL, at)) });
            sleep(ALONE_EVERY).await;
        }
        let mut late = Vec::new();
        while let Some(ended) = told.join_next().await {
            let (deadline, at) = ended.map_err(broken)??;
            check_not_early(at, deadline, ALONE_TTL)?;
            late.push(at.saturating_duration_since(deadline));
        }
        Ok(late)
    }

    async fn disperse(self) {
        for (holder, waiter) in self.pairs {
            holder.close().await;
            waiter.close().await;
        }
    }
}

/// When a wait for the claim's lease is answered.
async fn told_free(session: Session, claim: Claim) -> Result<Instant, RunError> {
    match session.call(super::wait(&claim), PATIENCE).await {
        Ok(Reply::Free(_)) => Ok(Instant::now()),
        other => Err(RunError::Broken(format!("a wait was answered {other:?}"))),
    }
}

/// Clocks may err in rate by one per cent each.
fn check_not_early(at: Instant, deadline: Instant, ttl: Duration) -> Result<(), RunError> {
    match deadline.checked_duration_since(at + ttl / 50) {
        Some(early) => Err(RunError::Broken(format!("a lease was free {early:?} before its deadline"))),
        None => Ok(()),
    }
}

/// A watch that counts ends, on a thread of its own: it must not wait for what reads the answers to the waits.
struct Ends {
    thread: JoinHandle<Result<Duration, RunError>>,
}

impl Ends {
    /// Watches for so many ends of leases whose names start so; returns once it does.
    async fn watch(reach: Reach, prefix: String, count: usize) -> Result<Ends, RunError> {
        let (begun, begins) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let session = reach.session(0, PATIENCE).await?;
                let watch = api::Watch {
                    namespace: api::NAMESPACE_DEFAULT.to_owned(),
                    prefix: Some(prefix),
                    ..api::Watch::default()
                };
                let mut watcher = session.watch(watch).await.into_result().map_err(broken)?;
                let _ = begun.send(());
                let (mut ended, mut times) = (BTreeSet::new(), Vec::new());
                while ended.len() < count {
                    let event = timeout(PATIENCE, watcher.next()).await;
                    let event = event.map_err(|_| broken(format!("only {} leases ended", ended.len())))?;
                    let Some(event) = event.transpose().map_err(broken)? else { break };
                    let What::Ended(end) = event.what else { continue };
                    if end.why != "expired" || !ended.insert(event.name.clone()) {
                        return Err(RunError::Broken(format!(
                            "{} ended a second time, or otherwise: {end:?}",
                            event.name
                        )));
                    }
                    times.push(Instant::now() - Duration::from_millis(end.ago_ms));
                }
                let (first, last) = (times.iter().min(), times.iter().max());
                Ok(first.zip(last).map(|(first, last)| *last - *first).unwrap_or_default())
            })
        });
        match begins.await {
            Ok(()) => Ok(Ends { thread }),
            Err(_) => {
                Err(Ends { thread }.first_to_last().await.err().unwrap_or_else(|| broken("the watch ended")))
            }
        }
    }

    /// From the first end to the last.
    async fn first_to_last(self) -> Result<Duration, RunError> {
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await.map_err(broken)?;
        joined.map_err(|_| broken("the watch's thread panicked"))?
    }
}
