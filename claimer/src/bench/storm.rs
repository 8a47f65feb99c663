//! What a whole fleet does to a service that starts at once: each holder on a connection of its own, as fast as they can be opened, several
//! for each lease.
//!
//! ```text
//!     connect ── claim ─▶ granted ── extend ── extend ──▶            one of the holders of each lease
//!     connect ── claim ─▶ held ──── wait ─────────────── ·  ·  ▶     the others
//!     ├───────── storm ────────────┤ settled ├──── steady ────┤
//!     0                            all held                   end
//! ```
//!
//! The holders are those of `tenure claimer`, in as many processes as their descriptors need, and so is the judge: at no time may two
//! holders believe in one lease, tokens rise, and every lease is held in the end. Then the service is asked who holds each.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use api::JujuNamespace;
use serde::Serialize;

use super::agents;
use super::closed_loop::Service;
use super::cost::Cost;
use super::etcd::Etcd;
use super::rounds::{Round, alternate};
use super::tenure::Tenure;
use super::{At, Contender, Door, Figure, Place, Report, Times, beside, broken, on_one_thread, services};
use crate::RunError;
use crate::clock;
use crate::crew::{Crew, Message};
use crate::etcd::servers::Servers;
use crate::history::{Event, Nanos, What};
use crate::juju::{CLAIM_SECONDS, Login};
use crate::verdict::{Judge, Tokens};
use crate::workload::{Pace, Trust, Workload, lease_of, make_holders};

/// How long the processes have to start before the first holder connects.
const START_IN: Duration = Duration::from_secs(1);
/// How long it may take until all leases are held.
const PATIENCE: Duration = Duration::from_secs(600);
/// What the names of all leases begin with.
const PREFIX: &str = "a";
/// How often it is looked whether the storm has passed, where nothing is heard.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of a lease's ttl, how much passes between the storm and the steady state that is measured.
const SETTLES_IN: u32 = 12;

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Storm {
    /// How many leases are wanted.
    pub leases: usize,
    /// By how many holders each, every one on a connection of its own.
    pub holders: usize,
    /// The leases' ttl, which is extended at half of it, in seconds.
    pub ttl_s: u64,
    /// How long the steady state behind the storm is measured, in seconds.
    pub seconds: u64,
    /// How many rounds.
    pub runs: u32,
    /// How many voters there are, where they are its own.
    pub members: u64,
    /// How many observers beside them.
    pub observers: u64,
    /// What is measured beside.
    pub vs: Option<Contender>,
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Storm { leases, holders, seconds, runs, .. } = self;
        write!(f, "{leases} leases x {holders} holders at once, and {seconds} s of steady state; {runs} x")
    }
}

/// Measures at this place, or at members of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(storm: Storm, at: &At, program: &Path) -> Result<Report<Storm>, RunError> {
    if storm.seconds * 2 < storm.ttl_s {
        return Err(RunError::Wrong(format!(
            "in {} s not every lease is extended, whose ttl is {} s: give --seconds {} or more, or a shorter --ttl",
            storm.seconds,
            storm.ttl_s,
            storm.ttl_s.div_ceil(2)
        )));
    }
    if at.door == Door::Juju && !CLAIM_SECONDS.contains(&storm.ttl_s) {
        return Err(RunError::Wrong(format!(
            "--ttl {}: Juju takes claims of {} s to {} s; give one of these",
            storm.ttl_s,
            CLAIM_SECONDS.start(),
            CLAIM_SECONDS.end()
        )));
    }
    let other = beside(storm.vs)?;
    let mut setting = None;
    let rounds = alternate(storm.runs, &services(storm.vs), |service| match service {
        Contender::Tenure => {
            let at = At { observers: storm.observers, ..at.clone() };
            let place = Place::find(&at, program, storm.members)?;
            setting.get_or_insert_with(|| place.setting());
            let juju = (place.door == Door::Juju).then(agents::login);
            let arena = Arena {
                endpoints: place.reach.endpoints.iter().map(ToString::to_string).collect(),
                trust: place.reach.trust.clone(),
                juju: juju.clone(),
                pids: place.pids(),
            };
            let held = || on_one_thread(held(&Tenure::at(&place), juju.as_ref()));
            let round = round(storm, service, arena, held, program)?;
            place.until_in_step()?;
            Ok(round)
        }
        Contender::Etcd => {
            let servers = Servers::start()?;
            let (endpoints, pids) = (servers.urls.clone(), servers.pids());
            let arena = Arena { endpoints, trust: None, juju: None, pids };
            let held = || on_one_thread(Etcd::at(&servers).held(PREFIX)).map(by_token);
            round(storm, service, arena, held, program)
        }
    })?;
    Ok(Report {
        bench: "storm",
        run: storm,
        setting: setting.unwrap_or_else(super::Setting::unknown).beside(other),
        ratio: rounds.less_than(storm.vs, "all_held_s"),
        checked: rounds.checked(match at.door {
            Door::Session => "no two holders believed in one lease at once, tokens rose, and every member of ours was in step at the end",
            Door::Juju => "no two holders believed in one lease at once, and every member was in step at the end; tokens are not told",
        }),
        results: rounds.results,
    })
}

/// Where a round's holders go.
struct Arena {
    endpoints: Vec<String>,
    trust: Option<Trust>,
    /// By Juju's wire, logged in so.
    juju: Option<Login>,
    /// The servers' processes.
    pids: Vec<u32>,
}

/// What tells one grant from another: its token, or its holder, where tokens are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Token(u64),
    Holder(String),
}

fn by_token(held: BTreeMap<String, u64>) -> BTreeMap<String, Mark> {
    held.into_iter().map(|(lease, token)| (lease, Mark::Token(token))).collect()
}

/// What our service says of each lease; of the agents', that this holder has it.
async fn held(tenure: &Tenure, juju: Option<&Login>) -> Result<BTreeMap<String, Mark>, RunError> {
    let Some(login) = juju else { return tenure.held(PREFIX).await.map(by_token) };
    let namespace = JujuNamespace::ApplicationLeadership.of_model(&login.model);
    let held = tenure.list(&namespace, PREFIX).await?;
    Ok(held.into_iter().map(|(lease, held)| (lease, Mark::Holder(held.holder))).collect())
}

fn round(
    storm: Storm,
    contender: Contender,
    arena: Arena,
    held: impl FnOnce() -> Result<BTreeMap<String, Mark>, RunError>,
    program: &Path,
) -> Result<Round, RunError> {
    let ttl = Duration::from_secs(storm.ttl_s);
    let pace = Pace {
        claim_time: ttl,
        renew_time: ttl / 2,
        sleep: Duration::ZERO,
        ramp: Duration::ZERO,
        duration: None,
        scale: 1.0,
    };
    let holders = make_holders(storm.leases, storm.holders)?;
    let namespace = api::NAMESPACE_DEFAULT.to_owned();
    let Arena { endpoints, trust, juju, pids } = arena;
    let workload = Workload { endpoints, trust, juju, namespace, holders, pace };
    let start = clock::now().plus(START_IN);
    let mut shares = workload.split(workload.processes_default(), start)?;
    shares.iter_mut().for_each(|share| share.service = contender);
    let mut seen = Seen::new(&workload)?;
    let before = Cost::of(&pids);
    let mut crew = Crew::start(shares, program)?;
    let patience = start.plus(PATIENCE);
    seen.until(&crew, patience, |seen| seen.all_held.is_some())?;
    let Some(all_held) = seen.all_held else {
        return Err(RunError::Broken(format!(
            "{} of {} leases were held after {PATIENCE:?}, with {} errors{}",
            seen.first_claims,
            storm.leases,
            seen.errors,
            seen.why.as_ref().map_or_else(String::new, |why| format!(": {why}"))
        )));
    };
    let stormed = Cost::of(&pids);
    let settled = all_held.plus(ttl / SETTLES_IN);
    seen.until(&crew, settled, |_| false)?;
    seen.steady = true;
    let ends = settled.plus(Duration::from_secs(storm.seconds));
    seen.until(&crew, ends, |_| false)?;
    let steady = Cost::of(&pids);
    // While the holders still extend: what they believe and what the service says is then of one time.
    let held = held()?;
    let end = clock::now();
    crew.stop();
    for message in crew.inbox.try_iter() {
        if let Message::Saw(event) = message
            && event.at <= end
        {
            seen.see(&event);
        }
    }
    let mut round = seen.round(contender, all_held, start, &held, end)?;
    if let (Some(before), Some(stormed), Some(steady)) = (before, stormed, steady) {
        round.add("storm_server_cpu_s", Figure::Number(stormed.cpu_since(&before).as_secs_f64()));
        round.add("steady_server_cpu_s", Figure::Number(steady.cpu_since(&stormed).as_secs_f64()));
        round.add_memory(&steady);
    }
    Ok(round)
}

/// What the holders have seen so far.
struct Seen {
    judge: Judge,
    holders: Vec<String>,
    leases: usize,
    /// Whether grants have tokens.
    tokens: Tokens,
    /// Of each lease that has been claimed, the newest grant.
    grants: BTreeMap<String, (Nanos, Mark)>,
    first_claims: usize,
    /// When the latest of these was.
    last_claim: Nanos,
    all_held: Option<Nanos>,
    steady: bool,
    connections: u64,
    claims: Times,
    extends: Times,
    lost: u64,
    errors: u64,
    why: Option<String>,
}

impl Seen {
    fn new(workload: &Workload) -> Result<Seen, RunError> {
        Ok(Seen {
            judge: Judge::new(&workload.holders, workload.tokens()),
            holders: workload.holders.clone(),
            leases: workload.leases(),
            tokens: workload.tokens(),
            grants: BTreeMap::new(),
            first_claims: 0,
            last_claim: Nanos(0),
            all_held: None,
            steady: false,
            connections: 0,
            claims: Times::new()?,
            extends: Times::new()?,
            lost: 0,
            errors: 0,
            why: None,
        })
    }

    /// Takes what the crew sends until this time, or until it is enough.
    fn until(&mut self, crew: &Crew, time: Nanos, enough: impl Fn(&Seen) -> bool) -> Result<(), RunError> {
        while !enough(self) && clock::now() < time {
            match crew.inbox.recv_timeout(LOOK_EVERY.min(time.since(clock::now()))) {
                Ok(Message::Saw(Event { what: What::Wrong { why }, .. })) => {
                    return Err(RunError::Wrong(why));
                }
                Ok(Message::Saw(event)) => self.see(&event),
                Ok(Message::Ended(Err(why))) => return Err(RunError::Broken(why)),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Ended(Ok(()))) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(broken("a process of the storm ended before its time; its stderr says why"));
                }
            }
        }
        Ok(())
    }

    fn see(&mut self, event: &Event) {
        self.judge.observe(event);
        let lease = lease_of(&self.holders[event.holder as usize]);
        match &event.what {
            What::Connected { .. } => self.connections += 1,
            What::Disconnected => self.connections = self.connections.saturating_sub(1),
            What::Claimed { token, took, .. } => {
                self.claims.record(*took);
                let mark = match self.tokens {
                    Tokens::Told => Mark::Token(*token),
                    Tokens::Untold => Mark::Holder(self.holders[event.holder as usize].clone()),
                };
                // Events of several processes come in any order: the latest of these claims may not be the last to be seen.
                let before = self.grants.get(lease).map(|(at, _)| *at);
                if before.is_none_or(|before| before <= event.at) {
                    self.grants.insert(lease.to_owned(), (event.at, mark));
                }
                if before.is_none() {
                    self.first_claims += 1;
                    self.last_claim = self.last_claim.max(event.at);
                    if self.first_claims == self.leases {
                        self.all_held = Some(self.last_claim);
                    }
                }
            }
            What::Denied { took } => self.claims.record(*took),
            What::Extended { took, .. } if self.steady => self.extends.record(*took),
            What::Extended { .. } | What::Waited { .. } => {}
            What::Lost { .. } => {
                self.lost += 1;
                self.why.get_or_insert_with(|| format!("{lease} was lost"));
            }
            What::ConnectFailed { why, .. }
            | What::Failed { why, .. }
            | What::TimedOut { why, .. }
            | What::Wrong { why } => {
                self.errors += 1;
                self.why.get_or_insert_with(|| why.clone());
            }
        }
    }

    /// The figures, once what was seen has been judged and the service has said who holds each lease.
    fn round(
        self,
        contender: Contender,
        all_held: Nanos,
        start: Nanos,
        held: &BTreeMap<String, Mark>,
        end: Nanos,
    ) -> Result<Round, RunError> {
        let wrong =
            self.grants.iter().filter(|(lease, (_, grant))| held.get(*lease) != Some(grant)).count() as u64;
        let mut round = Round {
            lost: self.lost.max(wrong),
            errors: self.errors,
            why: self.why,
            looked_at: self.grants.len() as u64,
            ..Round::default()
        };
        let verdict = self.judge.finish(end);
        match (verdict.is_clean(), contender) {
            (true, _) => {}
            (false, Contender::Tenure) => return Err(broken(verdict)),
            // It makes other promises, and is measured for what it does; that is told with its figures.
            (false, Contender::Etcd) => round.why = Some(verdict.to_string()),
        }
        round.add("all_held_s", Figure::Number(all_held.since(start).as_secs_f64()));
        round.add("connections", Figure::Count(self.connections));
        round.add_times("claim", &self.claims);
        round.add_times("extend", &self.extends);
        Ok(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_held_at_the_latest_first_claim_whichever_is_seen_last() {
        let pace = Pace {
            claim_time: Duration::from_secs(60),
            renew_time: Duration::from_secs(30),
            sleep: Duration::ZERO,
            ramp: Duration::ZERO,
            duration: None,
            scale: 1.0,
        };
        let holders = make_holders(2, 2).unwrap();
        let namespace = api::NAMESPACE_DEFAULT.to_owned();
        let workload = Workload { endpoints: Vec::new(), trust: None, juju: None, namespace, holders, pace };
        let mut seen = Seen::new(&workload).unwrap();
        let claimed = |holder, at, token| Event {
            at: Nanos(at),
            holder,
            what: What::Claimed { token, until: Nanos(u64::MAX), took: Duration::from_millis(2) },
        };
        seen.see(&claimed(2, 900, 8));
        seen.see(&Event { at: Nanos(950), holder: 3, what: What::Denied { took: Duration::from_millis(1) } });
        assert_eq!(seen.all_held, None);
        seen.see(&claimed(0, 700, 7));
        assert_eq!(seen.all_held, Some(Nanos(900)));
        let held = by_token(BTreeMap::from([("a0000".to_owned(), 7), ("a0001".to_owned(), 9)]));
        let round = seen.round(Contender::Tenure, Nanos(900), Nanos(0), &held, Nanos(1_000)).unwrap();
        assert_eq!((round.lost, round.looked_at), (1, 2), "the service says that another grant is there");
    }
}
