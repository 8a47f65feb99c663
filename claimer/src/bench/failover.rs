//! What a leader's death, or a wave of reconnects, costs those who hold leases.
//!
//! ```text
//!     each session   extend ✓ extend ✓ extend · · · · · · · ✓ extend ✓        one after the other, on one connection
//!                                      ▲                    ▲
//!                              kill -9 the leader           └ gap: from answer to answer
//!     one lease      claimed ──────────┼──────────── deadline ─▶ free: told    that nobody extends
//!                                                      late_ms
//! ```
//!
//! What is measured: each session holds up to a hundred leases and extends them in turn, with one extend on its way at a time. The gap
//! of a kill is the longest time that any session was without an answer around it: so the loss of its connection, the election,
//! the next leader's first entries and the pause between two extends are in it. Beside them, a lease that nobody extends runs out
//! while the leader is dead: late is from its deadline, as its holder reckons it, to the answer of one who waits for it. The killed
//! member is started again, and is in step before the next kill.
//!
//! Beside the holders, as many as asked for wait in line for each lease, each on a connection of its own; none of them may be
//! granted anything. In a wave of reconnects one in three of them goes away and comes again, and no leader should be elected.
//!
//! A lease is lost where it is not held under its first token at the end. It is checked that the one that nobody extends is never
//! free before its holder's deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::Reply;
use client::{Claim, Grant, Options, Outcome, Session, Step};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::cluster::Cluster;
use super::crowd::{Crowd, HOME_AFTER};
use super::granted::granted;
use super::reach::Reach;
use super::{At, Figure, Report, Setting, Times, Whose, broken};
use crate::RunError;

/// Leases of one session.
const SESSION_LEASES: usize = 100;
/// Between two extends of one session.
const PAUSE: Duration = Duration::from_millis(10);
const TTL: Duration = Duration::from_secs(15);
/// Of the lease that nobody extends: it runs out while there is no leader, or little later.
const SHORT: Duration = Duration::from_secs(1);
/// A session goes on with one call for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the cluster is left alone before each kill, so that one has nothing of the one before: every session is back where it
/// was.
const QUIET: Duration = Duration::from_secs(3);
/// How long it is left alone between two waves of reconnects.
const BETWEEN_WAVES: Duration = Duration::from_secs(5);
/// The clocks of server and holder may differ by so much in rate: two per cent of the ttl.
const RATE_ERROR: Duration = Duration::from_millis(20);

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Failover {
    /// What is done to it.
    pub fault: Fault,
    /// How many leases are held.
    pub leases: usize,
    /// How many there are for each lease: one who holds it, and those who wait for it.
    pub holders: usize,
    /// How often the fault is injected.
    pub runs: u32,
    /// How many members there are.
    pub members: u64,
}

/// What is done to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Its leader is killed, and started again.
    Kill,
    /// One in three of those who wait loses its connection, and comes again at once.
    Reconnect,
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Kill => "kills of the leader of",
            Fault::Reconnect => "waves of reconnects at",
        };
        write!(f, "{} {fault} {} members, with {} leases held", self.runs, self.members, self.leases)?;
        match self.holders - 1 {
            0 => Ok(()),
            waiting => write!(f, " and {waiting} in line for each"),
        }
    }
}

/// Measures at a cluster of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(failover: Failover, at: &At, program: &Path) -> Result<Report<Failover>, RunError> {
    if failover.members == 1 {
        return Err(RunError::Wrong("of one member nobody is left to lead: give --members 3, 5 or 7".into()));
    }
    if failover.fault == Fault::Reconnect && failover.holders == 1 {
        return Err(RunError::Wrong(
            "nobody is there to come again: give --holders 3, so that two wait for each lease".into(),
        ));
    }
    let mut cluster = Cluster::start(program, failover.members, at)?;
    let reach = cluster.reach().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut gap, mut late) = (Times::new()?, Times::new()?);
    let (lost, granted, connections, elections) = runtime.block_on(async {
        let fleet = Fleet::claim(failover.leases, &reach).await?;
        let mut crowd =
            Crowd::gather(0..failover.leases, failover.holders - 1, lease, &reach, PATIENCE).await?;
        let connections = (fleet.beats.len() + crowd.len()) as u64;
        let before = tokio::task::block_in_place(|| cluster.term())?;
        for run in 0..failover.runs {
            match failover.fault {
                Fault::Kill => {
                    sleep(QUIET).await;
                    let leader = tokio::task::block_in_place(|| cluster.leader())?;
                    fleet.go_on();
                    let short = Short::claim(&fleet, run).await?;
                    let killed = cluster.kill(&leader)?;
                    gap.record(fleet.recover(killed).await?);
                    late.record(short.late().await?);
                    tokio::task::block_in_place(|| cluster.until_back())?;
                }
                Fault::Reconnect => {
                    sleep(BETWEEN_WAVES).await;
                    fleet.go_on();
                    crowd.stir(run as usize).await?;
                    gap.record(fleet.recover(Instant::now()).await?);
                }
            }
        }
        let elections = tokio::task::block_in_place(|| cluster.term())? - before;
        let granted = crowd.disperse().await;
        let lost = fleet.lost().await?;
        if granted > lost {
            return Err(RunError::Broken(format!(
                "{granted} who waited were granted a lease, and {lost} were lost"
            )));
        }
        Ok((lost, granted, connections, elections))
    })?;
    let mut checked = vec![
        format!("of {} leases, all but {lost} are held under their first tokens", failover.leases),
        format!("who waited for them was granted {granted}"),
    ];
    if failover.fault == Fault::Kill {
        checked.push("what nobody extended was never free before its deadline".to_owned());
    }
    let mut figures = BTreeMap::from([
        ("gap_ms", gap.figure()),
        ("lost", Figure::Count(lost)),
        ("connections", Figure::Count(connections)),
        ("elections", Figure::Count(elections)),
    ]);
    if failover.fault == Fault::Kill {
        figures.insert("late_ms", late.figure());
    }
    Ok(Report {
        bench: "failover",
        run: failover,
        setting: Setting::of(&reach.endpoints, Whose::Ours),
        results: BTreeMap::from([("tenure", figures)]),
        ratio: None,
        checked,
    })
}

fn lease(number: usize) -> String {
    format!("bench/failover/{number}")
}

/// All who hold leases.
struct Fleet {
    beats: Vec<Beat>,
}

/// One session, which extends its leases in turn.
struct Beat {
    session: Session,
    grants: Vec<Grant>,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What a session has seen.
#[derive(Default)]
struct Seen {
    pulse: Mutex<Pulse>,
    stop: AtomicBool,
}

#[derive(Default)]
struct Pulse {
    /// When the last extend was sent that was answered, and when that was.
    sent: Option<Instant>,
    answered: Option<Instant>,
    /// The longest between two answers.
    gap: Duration,
    /// It has lost a lease, and extends no more.
    is_over: bool,
}

impl Pulse {
    fn beat(&mut self, sent: Instant, answered: Instant) {
        let before = self.answered.replace(answered).unwrap_or(sent);
        self.gap = self.gap.max(answered - before);
        self.sent = Some(sent);
    }
}

impl Seen {
    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    /// Claims all leases, over as many sessions as they need, with as many of them at each member.
    async fn claim(leases: usize, reach: &Reach) -> Result<Fleet, RunError> {
        let mut beats = Vec::new();
        for first in (0..leases).step_by(SESSION_LEASES) {
            let options = Options { home_after: HOME_AFTER, ..reach.options(beats.len(), PATIENCE) };
            let session = Session::connect(options).await.map_err(broken)?;
            let claim = |number| Claim { ttl: TTL, ..Claim::new(lease(number), "holder") };
            let steps = (first..leases.min(first + SESSION_LEASES)).map(|number| Step::Claim(claim(number)));
            let grants = granted(&session, steps.collect()).await?;
            beats.push(Beat::start(session, grants));
        }
        Ok(Fleet { beats })
    }

    /// Forgets the gaps so far.
    fn go_on(&self) {
        self.beats.iter().for_each(|beat| beat.seen.pulse().gap = Duration::ZERO);
    }

    /// Waits until each session has had an extend that was sent after `killed` and answered, and gives the longest gap.
    async fn recover(&self, killed: Instant) -> Result<Duration, RunError> {
        let mut longest = Duration::ZERO;
        for beat in &self.beats {
            let is_over = || {
                let pulse = beat.seen.pulse();
                pulse.sent.is_some_and(|sent| sent > killed) || pulse.is_over
            };
            while !is_over() {
                if killed.elapsed() > PATIENCE {
                    return Err(RunError::Broken(format!("a session had no extend for {PATIENCE:?}")));
                }
                sleep(PAUSE).await;
            }
            longest = longest.max(beat.seen.pulse().gap);
        }
        Ok(longest)
    }

    /// How many leases are not held under the token under which they were claimed.
    async fn lost(self) -> Result<u64, RunError> {
        let mut lost = 0;
        for beat in self.beats {
            beat.seen.stop.store(true, Ordering::Release);
            let ended = timeout(PATIENCE, beat.task).await;
            ended
                .map_err(|_| RunError::Broken("a session did not end".into()))?
                .map_err(std::io::Error::from)?;
            for grant in &beat.grants {
                let lease = beat.session.get(grant.namespace(), grant.name()).await.into_result();
                let held = lease.map_err(broken)?.held;
                let is_lost = held.is_none_or(|held| held.token != grant.token()) || !grant.is_held();
                lost += u64::from(is_lost);
            }
            beat.session.close().await;
        }
        Ok(lost)
    }
}

impl Beat {
    fn start(session: Session, grants: Vec<Grant>) -> Beat {
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(extend_in_turn(session.clone(), grants.clone(), Arc::clone(&seen)));
        Beat { session, grants, seen, task }
    }
}

async fn extend_in_turn(session: Session, grants: Vec<Grant>, seen: Arc<Seen>) {
    for grant in grants.iter().cycle() {
        let sent = Instant::now();
        match session.extend(grant, TTL).await {
            Outcome::Done(_) => seen.pulse().beat(sent, Instant::now()),
            Outcome::Refused(_) => {
                seen.pulse().is_over = true;
                return;
            }
            // The next one tells.
            Outcome::Unavailable(_) | Outcome::Unknown(_) => {}
        }
        if seen.stop.load(Ordering::Acquire) {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// A lease that nobody extends, and one who waits for it.
struct Short {
    /// When its holder must not believe any more.
    deadline: Instant,
    told: JoinHandle<Result<Instant, RunError>>,
}

impl Short {
    async fn claim(fleet: &Fleet, run: u32) -> Result<Short, RunError> {
        let [holder, .., waiter] = fleet.beats.as_slice() else {
            return Err(RunError::Wrong("it takes two sessions".into()));
        };
        let claim = Claim { ttl: SHORT, ..Claim::new(format!("bench/short/{run}"), "holder") };
        let asked = Instant::now();
        holder.session.claim(claim.clone()).await.into_result().map_err(broken)?;
        let (session, wait) = (waiter.session.clone(), super::wait(&claim));
        let told = tokio::spawn(async move {
            match session.call(wait, PATIENCE).await {
                Ok(Reply::Free(_)) => Ok(Instant::now()),
                other => Err(RunError::Broken(format!("a wait was answered {other:?}"))),
            }
        });
        Ok(Short { deadline: asked + SHORT, told })
    }

    /// How long after its deadline it was told to be free.
    async fn late(self) -> Result<Duration, RunError> {
        let told = self.told.await.map_err(std::io::Error::from)??;
        if told + RATE_ERROR < self.deadline {
            return Err(RunError::Broken(format!(
                "a lease was free {:?} before its deadline",
                self.deadline - told
            )));
        }
        Ok(told.saturating_duration_since(self.deadline))
    }
}
