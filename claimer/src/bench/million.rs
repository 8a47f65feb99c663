//! What very many leases do to those who extend theirs: while snapshots of them are made, and while all of them expire at once; and how
//! long a member takes to come back with them.
//!
//! ```text
//!     claim all ─▶ quiet ─▶ snapshots ─▶ a member is killed ─▶ extend all to one instant ──▶ deadline ▼ ended … none left
//!                    │          │                 └ ready again: restart_ready_s                      └──────────┘
//!     others         ├ extend ──┤  extend_…_ms, snapshot_…_ms                                    extend: expiry_…_ms
//! ```
//!
//! The others are a few sessions, with leases that lie among all the rest, each with one extend on its way and a pause behind it, so
//! that they wait for the service and not for each other. The longest of their extends is how long the service stood still for them.
//! What fills the log until snapshots are due is claims of a few more leases with a long value, released again at once, which cost
//! little else.
//!
//! It is checked that every member has made a snapshot meanwhile, that no extend of the others was refused, and that the service
//! counts all leases before the deadline and the others' alone after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{Claim, Grant, Session, Step};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::cluster::Cluster;
use super::cost::Cost;
use super::granted::granted;
use super::reach::Reach;
use super::{At, Figure, Report, Setting, Times, Whose, broken};
use crate::RunError;

/// How many sessions hold all the leases, and how many steps a frame of theirs has.
const SESSIONS: usize = 8;
const FRAME_STEPS: usize = 2_000;
/// How many sessions the others have, and leases each of these.
const OTHERS: usize = 16;
const OTHERS_LEASES: usize = 256;
const OTHERS_PAUSE: Duration = Duration::from_millis(4);
const OTHERS_TTL: Duration = Duration::from_secs(3_600);
/// What fills the log: so many claims in a frame, each with so long a value, and a frame so often.
const FILLER_STEPS: usize = 400;
const FILLER_VALUE: usize = 1_000;
const FILLER_EVERY: Duration = Duration::from_millis(50);
const QUIET: Duration = Duration::from_secs(5);
/// How long until each member has made its snapshots, and until all leases have expired, at most.
const SNAPSHOTS_WITHIN: Duration = Duration::from_secs(180);
const GONE_WITHIN: Duration = Duration::from_secs(120);
/// Snapshots of each member that are waited for, at least.
const SNAPSHOTS_EACH: usize = 1;
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it takes at the most to claim so many leases, or to extend them: as long, and a little for each.
const ALL_WITHIN: Duration = Duration::from_secs(60);
const EACH_WITHIN: Duration = Duration::from_micros(60);

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Million {
    /// How many leases there are.
    pub leases: usize,
    /// How many members there are.
    pub members: u64,
}

impl fmt::Display for Million {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leases, beside {OTHERS} sessions that extend theirs in turn", self.leases)
    }
}

/// Measures at a cluster of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(million: Million, at: &At, program: &Path) -> Result<Report<Million>, RunError> {
    let mut cluster = Cluster::start(program, million.members, at)?;
    let setting = Setting::of(&cluster.reach().endpoints, Whose::Ours);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(run(million, &mut cluster))?;
    Ok(Report {
        bench: "million",
        run: million,
        setting,
        results: BTreeMap::from([("tenure", figures)]),
        ratio: None,
        checked: vec![
            format!("the members made {SNAPSHOTS_EACH} snapshot each, or more, while the others extended"),
            "no extend of the others was refused".to_owned(),
            format!("of {} leases the service counted all, and none after their deadline", million.leases),
        ],
    })
}

type Figured = BTreeMap<&'static str, Figure>;

async fn run(million: Million, cluster: &mut Cluster) -> Result<Figured, RunError> {
    let reach = cluster.reach().clone();
    let mut figures = Figured::new();
    let within = ALL_WITHIN + EACH_WITHIN * million.leases as u32;
    let began = Instant::now();
    let fleet = Fleet::claim(million.leases, within, &reach).await?;
    let claimed = Instant::now();
    figures.insert("claims_per_s", per_second(million.leases, claimed - began));
    let ((), quiet) = fleet
        .beside(async {
            sleep(QUIET).await;
            Ok(())
        })
        .await?;
    add(&mut figures, ["extend_p50_ms", "extend_p99_ms", "extend_max_ms"], &quiet);
    let (made, snapshots) = fleet.beside(fill_log(&reach, cluster)).await?;
    figures.insert("snapshots", Figure::Count(made as u64));
    add(&mut figures, ["snapshot_p50_ms", "snapshot_p99_ms", "snapshot_max_ms"], &snapshots);
    figures.insert("restart_ready_s", Figure::Number(restart(cluster)?.as_secs_f64()));
    if let Some(cost) = Cost::of(&cluster.pids()) {
        figures.insert("rss_bytes_each", Figure::Counts(cost.rss_bytes));
    }
    // Behind what was claimed, so that each can be moved there.
    let deadline = (claimed + within).max(Instant::now() + within / 2);
    let began = Instant::now();
    fleet.extend_to(deadline).await?;
    figures.insert("extends_per_s", per_second(million.leases, began.elapsed()));
    if Instant::now() > deadline {
        return Err(RunError::Broken(format!("{} leases were not extended in time", million.leases)));
    }
    fleet.check_count(million.leases).await?;
    let (gone, expiry) = fleet.beside(fleet.expire(deadline)).await?;
    figures.insert("expired_s", Figure::Number(gone.as_secs_f64()));
    add(&mut figures, ["expiry_p50_ms", "expiry_p99_ms", "expiry_max_ms"], &expiry);
    Ok(figures)
}

fn per_second(count: usize, time: Duration) -> Figure {
    Figure::Number(count as f64 / time.as_secs_f64())
}

fn add(figures: &mut Figured, names: [&'static str; 3], times: &Times) {
    for (name, quantile) in names.into_iter().zip([0.5, 0.99, 1.0]) {
        figures.insert(name, Figure::Number(times.millis_at(quantile)));
    }
}

/// A session, and what it holds.
#[derive(Clone)]
struct Owner {
    session: Session,
    grants: Arc<Vec<Grant>>,
}

/// All who hold leases.
struct Fleet {
    many: Vec<Owner>,
    others: Vec<Owner>,
}

impl Fleet {
    /// Claims all: the many frame by frame, and a part of the others' behind each.
    async fn claim(leases: usize, within: Duration, reach: &Reach) -> Result<Fleet, RunError> {
        let (mut many, mut others) = (Vec::new(), Vec::new());
        for number in 0..SESSIONS {
            let session = reach.session(number, PATIENCE).await?;
            let part = (leases + SESSIONS - 1 - number) / SESSIONS;
            many.push(tokio::spawn(claim(session, format!("many{number}"), part, FRAME_STEPS, within)));
        }
        let frames = leases.div_ceil(SESSIONS * FRAME_STEPS).max(1);
        for number in 0..OTHERS {
            let session = reach.session(number, PATIENCE).await?;
            let frame = OTHERS_LEASES.div_ceil(frames);
            let claims = claim(session, format!("other{number}"), OTHERS_LEASES, frame, OTHERS_TTL);
            others.push(tokio::spawn(claims));
        }
        let mut fleet = Fleet { many: Vec::new(), others: Vec::new() };
        for task in many {
            fleet.many.push(task.await.map_err(broken)??);
        }
        for task in others {
            fleet.others.push(task.await.map_err(broken)??);
        }
        Ok(fleet)
    }

    /// Has the others extend their leases in turn for as long as `work` takes; gives how long each extend took.
    async fn beside<T>(
        &self,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<(T, Times), RunError> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for owner in &self.others {
            tasks.spawn(extend_in_turn(owner.clone(), Arc::clone(&stop)));
        }
        let done = work.await;
        stop.store(true, Ordering::Release);
        let mut times = Times::new()?;
        while let Some(took) = tasks.join_next().await {
            took.map_err(broken)??.into_iter().for_each(|time| times.record(time));
        }
        Ok((done?, times))
    }

    /// Extends all of the many to one instant.
    async fn extend_to(&self, deadline: Instant) -> Result<(), RunError> {
        let extends = self.many.iter().map(async |owner| {
            for grants in owner.grants.chunks(FRAME_STEPS) {
                let ttl = deadline.saturating_duration_since(Instant::now());
                let steps = grants.iter().map(|grant| Step::Extend(grant.clone(), ttl)).collect();
                granted(&owner.session, steps).await?;
            }
            Ok(())
        });
        let extends: Vec<_> = extends.collect();
        stream::iter(extends).buffer_unordered(SESSIONS).try_collect::<()>().await
    }

    /// Waits for the deadline, and until all but the others' have expired; gives how long that took behind it.
    async fn expire(&self, deadline: Instant) -> Result<Duration, RunError> {
        tokio::time::sleep_until(deadline.into()).await;
        loop {
            let left = self.counted().await?;
            let took = deadline.elapsed();
            if left == 0 {
                return Ok(took);
            }
            if took > GONE_WITHIN {
                return Err(RunError::Broken(format!(
                    "{left} leases are held {took:?} after their deadline"
                )));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn check_count(&self, leases: usize) -> Result<(), RunError> {
        match self.counted().await? {
            counted if counted == leases as u64 => Ok(()),
            counted => Err(RunError::Broken(format!("{leases} are held, and the service counts {counted}"))),
        }
    }

    /// How many of the many the service says are held.
    async fn counted(&self) -> Result<u64, RunError> {
        let all = api::Count { namespace: Some(api::NAMESPACE_DEFAULT.to_owned()), ..api::Count::default() };
        let held = self.many[0].session.count(all).await.into_result().map_err(broken)?.held;
        Ok(held - (OTHERS * OTHERS_LEASES) as u64)
    }
}

/// Claims so many leases with names and holders of 32 bytes, a frame at a time.
async fn claim(
    session: Session,
    group: String,
    count: usize,
    frame: usize,
    ttl: Duration,
) -> Result<Owner, RunError> {
    let mut grants = Vec::with_capacity(count);
    for first in (0..count).step_by(frame) {
        let claims = (first..count.min(first + frame)).map(|number| {
            let (name, holder) = (format!("{group:0>12}{number:020}"), format!("{number:032}"));
            Step::Claim(Claim { ttl, ..Claim::new(name, holder) })
        });
        grants.extend(granted(&session, claims.collect()).await?);
    }
    Ok(Owner { session, grants: Arc::new(grants) })
}

async fn extend_in_turn(owner: Owner, stop: Arc<AtomicBool>) -> Result<Vec<Duration>, RunError> {
    let mut took = Vec::new();
    for grant in owner.grants.iter().cycle() {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let sent = Instant::now();
        owner.session.extend(grant, OTHERS_TTL).await.into_result().map_err(broken)?;
        took.push(sent.elapsed());
        sleep(OTHERS_PAUSE).await;
    }
    Ok(took)
}

/// Fills the log until each member has made its snapshots; gives how many all have made.
async fn fill_log(reach: &Reach, cluster: &Cluster) -> Result<usize, RunError> {
    let session = reach.session(0, PATIENCE).await?;
    let mut seen = snapshots(cluster.data())?;
    let before = seen.len();
    let wanted = before + SNAPSHOTS_EACH * cluster.pids().len();
    let began = Instant::now();
    while seen.len() < wanted {
        let claims = (0..FILLER_STEPS).map(|number| {
            let (name, value) = (format!("filler/{number}"), Some("x".repeat(FILLER_VALUE)));
            Step::Claim(Claim { ttl: OTHERS_TTL, value, ..Claim::new(name, "filler") })
        });
        let grants = granted(&session, claims.collect()).await?;
        session.bulk(grants.into_iter().map(Step::Release).collect()).await.map_err(broken)?;
        sleep(FILLER_EVERY).await;
        seen.extend(snapshots(cluster.data())?);
        if began.elapsed() > SNAPSHOTS_WITHIN {
            return Err(RunError::Broken(format!(
                "after {SNAPSHOTS_WITHIN:?} of filling their logs the members had made {} snapshots, and not {}",
                seen.len() - before,
                wanted - before
            )));
        }
    }
    Ok(seen.len() - before)
}

/// The snapshots in the members' folders, by their paths: each has the number of its last entry in its name.
fn snapshots(data: &Path) -> Result<BTreeSet<PathBuf>, RunError> {
    let mut found = BTreeSet::new();
    for member in std::fs::read_dir(data)? {
        let Ok(files) = std::fs::read_dir(member?.path().join("snapshots")) else { continue };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let is_whole = |path: &PathBuf| path.extension().is_none();
        found.extend(paths.filter(is_whole));
    }
    Ok(found)
}

/// Kills a member that does not lead, where there is one, and waits until it is in step again.
fn restart(cluster: &mut Cluster) -> Result<Duration, RunError> {
    tokio::task::block_in_place(|| {
        let member = cluster.another_than_the_leader()?;
        let killed = cluster.kill(&member)?;
        cluster.until_back()?;
        Ok(killed.elapsed())
    })
}
