//! What a run came to: the figures, as JSON for programs and as a few lines for people.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use crate::duration::GoDuration;
use crate::history::{Event, What};
use crate::process::Usage;
use crate::verdict::Verdict;

/// The longest latency that is told apart from longer ones: a day, in microseconds.
const LATENCY_MICROS_MAX: u64 = 24 * 60 * 60 * 1_000_000;

/// Latencies of one kind of call.
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        // Three digits of 1 us to a day: the bounds are constants, so that this cannot fail at run time.
        match Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3) {
            Ok(histogram) => Latencies(histogram),
            Err(error) => unreachable!("the histogram's bounds are wrong: {error}"),
        }
    }
}

impl Latencies {
    /// Takes one.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The figures that are told; zeros where there is none.
    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        match self.0.is_empty() {
            true => Quantiles::default(),
            false => {
                Quantiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: self.0.max() as f64 / 1_000.0 }
            }
        }
    }
}

/// Latencies in milliseconds, to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half were at most this.
    pub p50: f64,
    /// 99 % were at most this.
    pub p99: f64,
    /// 99.9 % were at most this.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {} ms, p99 {} ms, p99.9 {} ms, max {} ms", self.p50, self.p99, self.p999, self.max)
    }
}

/// Counts what happens while a run goes on.
#[derive(Default)]
pub struct Tally {
    /// Connections that stand.
    pub connections: u64,
    /// Whether one ever stood.
    pub reached: bool,
    /// Grants that ended without their holder's will.
    pub lost: u64,
    /// Calls and connections that were surely not made, and were tried again.
    pub errors: u64,
    /// Calls without an answer: they may have happened, and were repeated.
    pub timeouts: u64,
    /// Latencies of granted and denied claims.
    pub claim: Latencies,
    /// Latencies of extends.
    pub extend: Latencies,
    /// How long answered waits lasted.
    pub wait: Latencies,
}

impl Tally {
    /// Takes one event.
    pub fn observe(&mut self, event: &Event) {
        match &event.what {
            What::Connected { .. } => {
                self.connections += 1;
                self.reached = true;
            }
            What::Disconnected => self.connections = self.connections.saturating_sub(1),
            What::Claimed { took, .. } | What::Denied { took } => self.claim.record(*took),
            What::Extended { took, .. } => self.extend.record(*took),
            What::Lost { took, .. } => {
                self.lost += 1;
                self.extend.record(*took);
            }
            What::Waited { took } => self.wait.record(*took),
            What::ConnectFailed { .. } | What::Failed { .. } => self.errors += 1,
            What::TimedOut { .. } => self.timeouts += 1,
            What::Wrong { .. } => {}
        }
    }
}

/// The figures of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Leases competed for.
    pub leases: usize,
    /// Holders that competed.
    pub holders: usize,
    /// Connections that stood at the end.
    pub connections: u64,
    /// Leases held at the end.
    pub held: usize,
    /// Grants that ended without their holder's will.
    pub lost: u64,
    /// Calls and connections that were surely not made, and were tried again.
    pub errors: u64,
    /// Calls without an answer.
    pub timeouts: u64,
    /// `"clean"`, or the reasons why it is not.
    #[serde(serialize_with = "clean_or_reasons")]
    pub verdict: Verdict,
    /// Claims, granted and denied.
    pub claim_ms: Quantiles,
    /// Extends.
    pub extend_ms: Quantiles,
    /// Waits that were answered.
    pub wait_ms: Quantiles,
    /// Seconds since the start, scaled times as told, and how many leases were held then.
    pub held_over_time: Vec<(f64, usize)>,
    /// What the servers that we started have used.
    pub servers: Vec<Usage>,
    /// How long the run lasted, and how many calls each figure rests on: for people.
    #[serde(skip)]
    pub footing: Footing,
}

/// What the figures rest on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Footing {
    /// How long the run really lasted.
    pub lasted: Duration,
    /// How many claims were answered.
    pub claims: u64,
    /// How many extends were answered.
    pub extends: u64,
    /// How many waits were answered.
    pub waits: u64,
}

fn clean_or_reasons<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    match verdict.is_clean() {
        true => serializer.serialize_str("clean"),
        false => serializer.collect_seq(&verdict.reasons),
    }
}

impl Report {
    /// Puts a run's figures together.
    pub fn new(
        holders: usize,
        lasted: Duration,
        tally: &Tally,
        verdict: Verdict,
        held_over_time: Vec<(f64, usize)>,
        servers: Vec<Usage>,
    ) -> Report {
        Report {
            leases: verdict.leases,
            holders,
            connections: tally.connections,
            held: verdict.held,
            lost: tally.lost,
            errors: tally.errors,
            timeouts: tally.timeouts,
            verdict,
            claim_ms: tally.claim.quantiles(),
            extend_ms: tally.extend.quantiles(),
            wait_ms: tally.wait.quantiles(),
            held_over_time,
            servers,
            footing: Footing {
                lasted,
                claims: tally.claim.count(),
                extends: tally.extend.count(),
                waits: tally.wait.count(),
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let footing = &self.footing;
        let lasted = GoDuration::from(footing.lasted).to_millis();
        writeln!(f, "leases    {} of {} held after {lasted}", self.held, self.leases)?;
        writeln!(f, "holders   {} on {} connections", self.holders, self.connections)?;
        writeln!(f, "trouble   {} lost, {} errors, {} timeouts", self.lost, self.errors, self.timeouts)?;
        if let (gaps @ 1.., Some(longest)) = (self.verdict.gaps, self.verdict.gap_longest) {
            writeln!(f, "gaps      {gaps}, the longest {}", GoDuration::from(longest).to_millis())?;
        }
        writeln!(f, "claims    {}", Series(footing.claims, self.claim_ms))?;
        writeln!(f, "extends   {}", Series(footing.extends, self.extend_ms))?;
        writeln!(f, "waits     {}", Series(footing.waits, self.wait_ms))?;
        for server in &self.servers {
            let mebibytes = server.rss_bytes as f64 / 1_048_576.0;
            writeln!(
                f,
                "server    pid {}: {mebibytes:.1} MiB, {:.2} s of CPU",
                server.pid, server.cpu_seconds
            )?;
        }
        write!(f, "verdict   {}", self.verdict)
    }
}

/// How many calls of a kind there were, and how long they took: of none, nothing can be said.
struct Series(u64, Quantiles);

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0: -"),
            count => write!(f, "{count}: {}", self.1),
        }
    }
}

#[cfg(test)]
mod tests;
