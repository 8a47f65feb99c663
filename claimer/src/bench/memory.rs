//! What a connection and a lease cost the servers in memory: the slope between few and very many of them.
//!
//! ```text
//!     rss of all members   a ─ so many sessions, each with a wait that is not answered ─▶ b ─ so many leases, in bulk ─▶ c
//!
//!     rss_bytes_per_connection = (b - a) / connections          of the member that has it
//!     rss_bytes_per_lease      = (c - b) / leases / members     each member has them all
//! ```
//!
//! Before the first look the members have had a few of both, so that what they take once is not in it. Names and holders of the leases
//! have 32 bytes. What is resident is counted, also where it is free for the allocator to use again.
//!
//! By Juju's door a connection is that of an agent which logged in and is idle but for its pings, and has no wait: see `agents`.
//!
//! It is checked that every wait still stands at the end, or that every agent is still logged in, and of the service, that it holds as many leases as were granted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use client::{Claim, Session, Step};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::agents::Agents;
use super::cost::Cost;
use super::granted::granted;
use super::reach::Reach;
use super::{AT_ONCE, At, Door, Figure, Place, Report, broken, check_holders, on_one_thread};
use crate::RunError;

/// Of both, before the first look.
const WARM_UP: usize = 200;
/// Steps in one frame: a session keeps the room of its largest one.
const FRAME_STEPS: usize = 1_000;
/// Leases of one session.
const SESSION_LEASES: usize = 50_000;
/// How long the members are left alone before each look.
const SETTLE: Duration = Duration::from_secs(3);
const WITHIN: Duration = Duration::from_secs(60);
/// Longer than any run.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// How many leases are held; with none, what one takes is not told.
    pub leases: usize,
    /// How many connections stand beside: each with a wait, or an agent of Juju's, which is idle.
    pub holders: usize,
    /// How many members there are.
    pub members: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Memory { leases, holders, .. } = self;
        write!(f, "{holders} connections, and {leases} leases with names and holders of 32 bytes")
    }
}

/// Measures at members of its own: the memory of others cannot be seen.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(memory: Memory, at: &At, program: &Path) -> Result<Report<Memory>, RunError> {
    check_holders(memory.holders)?;
    let place = Place::find(at, program, memory.members)?;
    let figures = on_one_thread(look(memory, &place))?;
    let connections = memory.holders + WARM_UP;
    let stood = match at.door {
        Door::Session => format!("each of {connections} waits still stood at the end"),
        Door::Juju => format!("each of {connections} agents was still logged in at the end"),
    };
    Ok(Report {
        bench: "memory",
        run: memory,
        setting: place.setting(),
        results: BTreeMap::from([("tenure", figures)]),
        ratio: None,
        checked: vec![stood, format!("{} leases are held, says the service", memory.leases + WARM_UP + 1)],
    })
}

async fn look(memory: Memory, place: &Place) -> Result<BTreeMap<&'static str, Figure>, RunError> {
    let reach = &place.reach;
    let prefix = super::prefix("memory");
    let owner = reach.session(0, WITHIN).await?;
    let wanted = Claim { ttl: TTL, ..Claim::new(format!("{prefix}wanted"), "owner") };
    owner.claim(wanted.clone()).await.into_result().map_err(broken)?;
    let mut crowd = match place.door {
        Door::Session => Crowd::Waiters(Waiters { wanted, sessions: Vec::new(), waits: JoinSet::new() }),
        Door::Juju => Crowd::Agents(Agents::new(reach)?),
    };
    crowd.come(reach, WARM_UP).await?;
    let mut owners = vec![claim(reach, "few", WARM_UP).await?];
    let before = rss(place).await?;
    crowd.come(reach, memory.holders).await?;
    let connected = rss(place).await?;
    for first in (0..memory.leases).step_by(SESSION_LEASES) {
        let count = SESSION_LEASES.min(memory.leases - first);
        owners.push(claim(reach, &first.to_string(), count).await?);
    }
    let full = rss(place).await?;
    crowd.check().await?;
    let count = api::Count { namespace: Some(api::NAMESPACE_DEFAULT.to_owned()), ..api::Count::default() };
    let counted = owner.count(count).await.into_result().map_err(broken)?.held;
    let granted = (memory.leases + WARM_UP + 1) as u64;
    if counted != granted {
        return Err(RunError::Broken(format!(
            "{granted} leases were granted, and the service counts {counted}"
        )));
    }
    let slope = |from: &Cost, to: &Cost, count: usize| {
        let grown = to.rss_bytes_all() as f64 - from.rss_bytes_all() as f64;
        Figure::Number(grown / count as f64)
    };
    let mut figures = BTreeMap::from([
        ("rss_bytes_per_connection", slope(&before, &connected, memory.holders)),
        ("rss_bytes_before", Figure::Count(before.rss_bytes_all())),
        ("rss_bytes", Figure::Count(full.rss_bytes_all())),
        ("rss_bytes_each", Figure::Counts(full.rss_bytes.clone())),
        ("connections", Figure::Count(memory.holders as u64)),
        ("leases", Figure::Count(memory.leases as u64)),
    ]);
    if memory.leases > 0 {
        let per_lease = slope(&connected, &full, memory.leases * place.pids().len());
        figures.insert("rss_bytes_per_lease", per_lease);
    }
    Ok(figures)
}

/// Those who are connected.
enum Crowd {
    Waiters(Waiters),
    Agents(Agents),
}

impl Crowd {
    async fn come(&mut self, reach: &Reach, count: usize) -> Result<(), RunError> {
        match self {
            Crowd::Waiters(waiters) => waiters.come(reach, count).await,
            Crowd::Agents(agents) => agents.come(reach, count).await,
        }
    }

    /// All of them still are, as they were.
    async fn check(&mut self) -> Result<(), RunError> {
        match self {
            Crowd::Waiters(waiters) => waiters.check(),
            Crowd::Agents(agents) => agents.check().await,
        }
    }
}

/// Those who wait for a lease that somebody else has.
struct Waiters {
    wanted: Claim,
    sessions: Vec<Session>,
    waits: JoinSet<String>,
}

impl Waiters {
    async fn come(&mut self, reach: &Reach, count: usize) -> Result<(), RunError> {
        let numbers = self.sessions.len()..self.sessions.len() + count;
        let come =
            stream::iter(numbers).map(|number| reach.session(number, WITHIN)).buffer_unordered(AT_ONCE);
        let came: Vec<Session> = come.try_collect().await?;
        for session in &came {
            let (session, wait) = (session.clone(), super::wait(&self.wanted));
            self.waits.spawn(async move { format!("{:?}", session.call(wait, TTL).await) });
        }
        self.sessions.extend(came);
        Ok(())
    }

    /// None of them was answered.
    fn check(&mut self) -> Result<(), RunError> {
        match self.waits.try_join_next() {
            None => Ok(()),
            Some(answer) => {
                Err(RunError::Broken(format!("a wait for a lease that is held was answered {answer:?}")))
            }
        }
    }
}

/// Has a session hold so many leases.
async fn claim(reach: &Reach, group: &str, count: usize) -> Result<Session, RunError> {
    let session = reach.session(0, WITHIN).await?;
    for first in (0..count).step_by(FRAME_STEPS) {
        let numbers = first..count.min(first + FRAME_STEPS);
        let claims = numbers.map(|number| {
            let (name, holder) = (format!("{group:0>12}{number:020}"), format!("{number:032}"));
            Step::Claim(Claim { ttl: TTL, ..Claim::new(name, holder) })
        });
        granted(&session, claims.collect()).await?;
    }
    Ok(session)
}

async fn rss(place: &Place) -> Result<Cost, RunError> {
    sleep(SETTLE).await;
    Cost::of(&place.pids()).ok_or_else(|| {
        RunError::Wrong(
            "the memory of servers that are not its own cannot be seen: leave --endpoints out".into(),
        )
    })
}
