//! Benchmarks of one property each: they start their own node or cluster or take one, check their result, and only then give
//! figures.
//!
//! ```text
//!   a bench ──▶ Place: its own, or the one that it is given ──▶ measure, check ──▶ Figures ──▶ Report: text, JSON
//! ```
//!
//! A bench is a file with a `measure` that takes where to measure; this one has what they share. Those that compare services run their
//! `rounds` in turn, and `closed_loop` is what most of them do to each; `tenure` and `etcd` are the services, as that loop sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use client::{Claim, Endpoint};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::RunError;
pub use crate::embedded::Door;
use crate::embedded::Embedded;
pub use crate::target::Contender;
use crate::workload::Trust;
use cluster::Cluster;
use reach::Reach;

mod agents;
pub mod bulk;
pub mod claim;
mod closed_loop;
mod cluster;
mod cost;
mod crowd;
mod etcd;
pub mod expiry;
pub mod extend;
pub mod failover;
mod granted;
pub mod growth;
pub mod handover;
mod in_turn;
pub mod memory;
pub mod million;
pub mod overload;
mod reach;
mod rounds;
pub mod storm;
mod tenure;

/// How many connections are opened at a time, where very many are.
const AT_ONCE: usize = 64;

/// Where to measure, as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct At {
    /// At these members; where there are none, at its own.
    pub endpoints: Vec<Endpoint>,
    /// What these are known by.
    pub trust: Option<Trust>,
    /// Whether its own are reached by TLS.
    pub tls: bool,
    /// How many observers its own have beside the voters: they serve clients, and have no vote.
    pub observers: u64,
    /// By which door its own are reached.
    pub door: Door,
}

/// Where a bench measures.
pub(crate) struct Place {
    pub(crate) reach: Reach,
    /// By which door clients come.
    pub(crate) door: Door,
    whose: Whose,
    /// Gone with the place.
    own: Own,
}

/// What was started for a bench; it ends when it is dropped.
enum Own {
    Nothing,
    Node(Embedded),
    Cluster(Cluster),
}

/// Whose the servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The bench's own.
    Ours,
    /// Those that it was given.
    Theirs,
}

impl Place {
    /// At the endpoints; where there are none, at a node or a cluster of its own, started from `program`.
    pub(crate) fn find(at: &At, program: &Path, members: u64) -> Result<Place, RunError> {
        if !at.endpoints.is_empty() {
            let reach = Reach::new(at.endpoints.clone(), at.trust.clone())?;
            return Ok(Place { reach, door: at.door, whose: Whose::Theirs, own: Own::Nothing });
        }
        let (reach, own) = if members > 1 || at.tls || at.observers > 0 {
            let cluster = Cluster::start(program, members, at)?;
            (cluster.reach().clone(), Own::Cluster(cluster))
        } else {
            let node = Embedded::start(program, at.door)?;
            let endpoint = node.endpoint.parse().map_err(|_| broken("the node has no address"))?;
            (Reach::new(vec![endpoint], None)?, Own::Node(node))
        };
        Ok(Place { reach, door: at.door, whose: Whose::Ours, own })
    }

    /// Waits until every member of a cluster of its own is in step.
    pub(crate) fn until_in_step(&self) -> Result<(), RunError> {
        match &self.own {
            Own::Cluster(cluster) => cluster.until_in_step(),
            Own::Nothing | Own::Node(_) => Ok(()),
        }
    }

    /// Whether the servers are somebody else's.
    pub(crate) fn is_theirs(&self) -> bool {
        self.whose == Whose::Theirs
    }

    /// The servers' processes, where they are its own.
    pub(crate) fn pids(&self) -> Vec<u32> {
        match &self.own {
            Own::Nothing => Vec::new(),
            Own::Node(node) => vec![node.pid()],
            Own::Cluster(cluster) => cluster.pids(),
        }
    }

    pub(crate) fn setting(&self) -> Setting {
        Setting { door: self.door, ..Setting::of(&self.reach.endpoints, self.whose) }
    }
}

/// Where and with what a bench was run.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    version: &'static str,
    build: &'static str,
    processors: usize,
    own_node: bool,
    tls: bool,
    door: Door,
    endpoints: Vec<String>,
    /// What another service says of itself, that was measured beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
}

impl Setting {
    /// What a reader must know to judge the figures.
    pub(crate) fn of(endpoints: &[Endpoint], whose: Whose) -> Setting {
        Setting {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            own_node: whose == Whose::Ours,
            tls: endpoints.iter().any(Endpoint::is_tls),
            door: Door::Session,
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
            beside: None,
        }
    }

    /// Of nothing that was measured.
    pub(crate) fn unknown() -> Setting {
        Setting::of(&[], Whose::Ours)
    }

    /// The same, with another service beside.
    pub(crate) fn beside(self, other: Option<String>) -> Setting {
        Setting { beside: other, ..self }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = match (self.own_node, self.endpoints.len()) {
            (false, _) => self.endpoints.join(", "),
            (true, 1) => "a node of its own".to_owned(),
            (true, members) => format!("a cluster of {members} of its own"),
        };
        let door = match self.door {
            Door::Session => "",
            Door::Juju => ", by Juju's door",
        };
        let tls = if self.tls && self.own_node { ", by TLS" } else { "" };
        write!(
            f,
            "{node}{door}{tls}; tenure {}, {} build, {} processors",
            self.version, self.build, self.processors
        )?;
        self.beside.iter().try_for_each(|other| write!(f, "; beside {other}"))
    }
}

/// What a bench came to. `P` is what it was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Report<P> {
    /// Which bench.
    pub bench: &'static str,
    /// What it was asked for.
    pub run: P,
    /// Where.
    pub setting: Setting,
    /// Its figures: the service's name, then the figure's.
    pub results: BTreeMap<&'static str, BTreeMap<&'static str, Figure>>,
    /// How many times better ours is than the other service, in what the bench is about; none where it was alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What was checked before the figures were given.
    pub checked: Vec<String>,
}

impl<P: fmt::Display> fmt::Display for Report<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}; {}", self.bench, self.run, self.setting)?;
        for (service, figures) in &self.results {
            for (name, figure) in figures {
                writeln!(f, "  {service}  {name:23}  {figure}")?;
            }
        }
        if let Some(ratio) = self.ratio {
            writeln!(f, "  ratio  {ratio:.2}")?;
        }
        write!(f, "  checked: {}", self.checked.join("; "))
    }
}

/// What was found out of one property.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// How long it took.
    Times(Figures),
    /// How many there were.
    Count(u64),
    /// How many of each.
    Counts(Vec<u64>),
    /// How much, in the unit that its name ends with.
    Number(#[serde(serialize_with = "rounded")] f64),
    /// How much at each size, in the unit that its name ends with.
    Numbers(#[serde(serialize_with = "each_rounded")] Vec<f64>),
}

/// To thousandths: further digits are noise.
fn rounded<S: serde::Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((number * 1_000.0).round() / 1_000.0)
}

fn each_rounded<S: serde::Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().map(|number| (number * 1_000.0).round() / 1_000.0))
}

impl Figure {
    /// What it is compared by.
    pub(crate) fn size(&self) -> f64 {
        match self {
            Figure::Times(times) => times.p50,
            Figure::Count(count) => *count as f64,
            Figure::Counts(counts) => counts.iter().sum::<u64>() as f64,
            Figure::Number(number) => *number,
            Figure::Numbers(numbers) => numbers.iter().sum(),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Times(times) => times.fmt(f),
            Figure::Count(count) => count.fmt(f),
            Figure::Counts(counts) => {
                f.write_str(&counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            }
            Figure::Number(number) => write!(f, "{number:.3}"),
            Figure::Numbers(numbers) => f.write_str(
                &numbers.iter().map(|number| format!("{number:.3}")).collect::<Vec<_>>().join("  "),
            ),
        }
    }
}

/// Times as their reader wants them, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Half of them took at most so long.
    pub p50: f64,
    /// Of a hundred, 99 did.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.3}  p99 {:.3}  max {:.3}", self.p50, self.p99, self.max)
    }
}

/// Times that are taken one by one.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub(crate) fn new() -> Result<Times, RunError> {
        // A thousandth of what it is, up to a minute.
        let minute = 60 * 1_000_000_000;
        let times = Histogram::new_with_bounds(1, minute, 3);
        times.map(Times).map_err(|error| RunError::Broken(error.to_string()))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes in what another has.
    pub(crate) fn add(&mut self, other: &Times) {
        // Both have the same bounds, which is all that could be wrong.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok(), "{added:?}");
    }

    /// What this part of them took at most, in milliseconds.
    pub(crate) fn millis_at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile).min(self.0.max()) as f64 / 1e6
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures { p50: self.millis_at(0.5), p99: self.millis_at(0.99), max: self.millis_at(1.0) }
    }

    pub(crate) fn figure(&self) -> Figure {
        Figure::Times(self.figures())
    }
}

/// A wait for the lease of a claim.
pub(crate) fn wait(claim: &Claim) -> api::Call {
    api::Call::Wait(api::Wait {
        namespace: claim.namespace.clone(),
        name: claim.name.clone(),
        ..api::Wait::default()
    })
}

/// The services that take turns.
fn services(vs: Option<Contender>) -> Vec<Contender> {
    std::iter::once(Contender::Tenure).chain(vs).collect()
}

/// What the other service says of itself, where one is measured beside.
///
/// # Errors
/// It is not on this machine.
fn beside(vs: Option<Contender>) -> Result<Option<String>, RunError> {
    match vs {
        Some(Contender::Etcd) => crate::etcd::servers::version().map(Some),
        Some(Contender::Tenure) | None => Ok(None),
    }
}

/// What the names of one run's leases begin with: no other run's do.
fn prefix(bench: &str) -> String {
    format!("bench/{bench}/{:x}/", crate::clock::now().0)
}

/// Checks that so many connections fit into one process, and lets it have them.
///
/// # Errors
/// They do not.
fn check_holders(holders: usize) -> Result<(), RunError> {
    crate::worker::raise_descriptors(holders).map_err(|error| RunError::Wrong(error.to_string()))
}

/// Runs on this thread alone, with what it spawns.
fn on_one_thread<T>(future: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(future))
}

pub(crate) fn broken(error: impl fmt::Display) -> RunError {
    RunError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_milliseconds_and_the_longest_is_among_them() {
        let mut times = Times::new().unwrap();
        (1..=100).for_each(|ms| times.record(Duration::from_millis(ms)));
        let Figures { p50, p99, max } = times.figures();
        assert!((p50 - 50.0).abs() < 0.1 && (p99 - 99.0).abs() < 0.1 && (max - 100.0).abs() < 0.1);
        assert_eq!(
            serde_json::to_string(&Figures { p50: 1.0, p99: 2.0, max: 3.5 }).unwrap(),
            r#"{"p50":1.0,"p99":2.0,"max":3.5}"#
        );
    }
}
