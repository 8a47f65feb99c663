//! Benchmarks of one property each: they start their own node or take one, check their result, and only then give figures.
//!
//! ```text
//!   a bench ──▶ Place: its own node, or the one that it is given ──▶ measure, check ──▶ Figures ──▶ Report: text, JSON
//! ```
//!
//! A bench is a file with a `measure` that takes endpoints; this one has what they share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use client::Endpoint;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::RunError;
use crate::embedded::Embedded;

pub mod handover;

/// Where a bench measures.
pub(crate) struct Place {
    pub(crate) endpoints: Vec<Endpoint>,
    /// Gone with the place.
    node: Option<Embedded>,
}

impl Place {
    /// At these endpoints; where there are none, at a node of its own, started from `program`.
    pub(crate) fn find(endpoints: &[Endpoint], program: &Path) -> Result<Place, RunError> {
        if !endpoints.is_empty() {
            return Ok(Place { endpoints: endpoints.to_vec(), node: None });
        }
        let node = Embedded::start(program)?;
        let endpoint =
            node.endpoint.parse().map_err(|_| RunError::Broken("the node has no address".into()))?;
        Ok(Place { endpoints: vec![endpoint], node: Some(node) })
    }

    /// What a reader must know to judge the figures.
    pub(crate) fn setting(&self) -> Setting {
        Setting {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            own_node: self.node.is_some(),
            endpoints: self.endpoints.iter().map(ToString::to_string).collect(),
        }
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

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = if self.own_node { "a node of its own".to_owned() } else { self.endpoints.join(", ") };
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
    pub results: BTreeMap<&'static str, BTreeMap<&'static str, Figures>>,
    /// What was checked before the figures were given.
    pub checked: Vec<String>,
}

impl<P: fmt::Display> fmt::Display for Report<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}; {}", self.bench, self.run, self.setting)?;
        for (service, figures) in &self.results {
            for (name, figures) in figures {
                writeln!(f, "  {service}  {name:23}  {figures}")?;
            }
        }
        write!(f, "  checked: {}", self.checked.join("; "))
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
