//! Benchmarks of one property each: they start their own node or cluster or take one, check their result, and only then give
//! figures.
//!
//! ```text
//!   a bench ──▶ Place: its own, or the one that it is given ──▶ measure, check ──▶ Figures ──▶ Report: text, JSON
//! ```
//!
//! A bench is a file with a `measure` that takes endpoints; this one has what they share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use client::{Claim, Endpoint};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::RunError;
use crate::embedded::Embedded;
use cluster::Cluster;

mod cluster;
mod crowd;
pub mod expiry;
pub mod failover;
pub mod handover;

/// Where a bench measures.
pub(crate) struct Place {
    pub(crate) endpoints: Vec<Endpoint>,
    whose: Whose,
    /// Gone with the place.
    _own: Own,
}

/// What was started for a bench; it ends when it is dropped.
#[expect(dead_code, reason = "it is kept, and not asked")]
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
    /// At these endpoints; where there are none, at a node or a cluster of its own, started from `program`.
    pub(crate) fn find(endpoints: &[Endpoint], program: &Path, members: u64) -> Result<Place, RunError> {
        if !endpoints.is_empty() {
            return Ok(Place { endpoints: endpoints.to_vec(), whose: Whose::Theirs, _own: Own::Nothing });
        }
        let (endpoints, own) = if members > 1 {
            let cluster = Cluster::start(program, members)?;
            (cluster.endpoints()?, Own::Cluster(cluster))
        } else {
            let node = Embedded::start(program)?;
            let endpoint = node.endpoint.parse().map_err(|_| broken("the node has no address"))?;
            (vec![endpoint], Own::Node(node))
        };
        Ok(Place { endpoints, whose: Whose::Ours, _own: own })
    }

    pub(crate) fn setting(&self) -> Setting {
        Setting::of(&self.endpoints, self.whose)
    }
}

/// Where and with what a bench was run.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    version: &'static str,
    build: &'static str,
    processors: usize,
    own_node: bool,
    endpoints: Vec<String>,
}

impl Setting {
    /// What a reader must know to judge the figures.
    pub(crate) fn of(endpoints: &[Endpoint], whose: Whose) -> Setting {
        Setting {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            own_node: whose == Whose::Ours,
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = match (self.own_node, self.endpoints.len()) {
            (false, _) => self.endpoints.join(", "),
            (true, 1) => "a node of its own".to_owned(),
            (true, members) => format!("a cluster of {members} of its own"),
        };
        write!(f, "{node}; tenure {}, {} build, {} processors", self.version, self.build, self.processors)
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
        write!(f, "  checked: {}", self.checked.join("; "))
    }
}

/// What was found out of one property.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// How long it took.
    Times(Figures),
    /// How many there were.
    Count(u64),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Times(times) => times.fmt(f),
            Figure::Count(count) => count.fmt(f),
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

    pub(crate) fn figures(&self) -> Figures {
        let millis = |nanos: u64| nanos as f64 / 1e6;
        let at = |quantile| millis(self.0.value_at_quantile(quantile));
        Figures { p50: at(0.5), p99: at(0.99), max: millis(self.0.max()) }
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
