//! How cost grows: what an extend takes and costs, at ever more leases; what a lease takes in memory, and a connection, plain and by
//! TLS, at ever more of them.
//!
//! ```text
//!     leases        1,000 ─ 10,000 ─ 100,000 ─ 1,000,000     extend p99, processor time an extend    three members, bench extend
//!                                                            memory a lease                          one member,    bench memory
//!     connections   1,000 ─ 4,000 ─ 15,000                   memory a connection, plain and by TLS   one member,    bench memory
//! ```
//!
//! Each figure is the other benches' own, on servers that were started for it, and is checked as they check it. Memory a lease and
//! memory a connection are taken in runs of their own: what connections leave to the allocator would be filled with leases. A slope
//! over few is no finer than the pages that the allocator takes at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::{At, Figure, Report, Setting, extend, memory};
use crate::RunError;
use crate::chart::{Chart, Line};

/// The least of leases and of connections.
const LEAST: usize = 1_000;
/// How many times as many the next has.
const LEASES_TIMES: usize = 10;
const CONNECTIONS_TIMES: usize = 4;
/// Of what is not measured: what a run of `memory` has beside.
const BESIDE: usize = 1;
/// The names of the figures that come of the other benches.
const EXTEND: [&str; 4] = ["extend_p99_ms", "extend_p50_ms", "server_cpu_us_per_op", "extends_per_s"];

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Growth {
    /// How many leases there are in the end.
    pub leases: usize,
    /// By how many holders at most they are extended.
    pub holders: usize,
    /// How many connections there are in the end.
    pub connections: usize,
    /// How long extends are measured at each size, in seconds.
    pub seconds: u64,
    /// How many rounds of extends at each size.
    pub runs: u32,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Growth { leases, holders, connections, seconds, runs } = self;
        write!(
            f,
            "up to {leases} leases, extended by {holders} holders for {runs} x {seconds} s at each size; up to {connections} \
             connections"
        )
    }
}

/// Measures on members of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(growth: Growth, program: &Path) -> Result<Report<Growth>, RunError> {
    let mut table = Table::default();
    let mut setting = Setting::unknown();
    let mut checked = Vec::new();
    for leases in sizes(growth.leases, LEASES_TIMES) {
        let extends = extended(growth, leases, program)?;
        table.add("leases", leases as f64);
        let names = ["p99_ms", "p50_ms", "server_cpu_us_per_op", "ops_per_s"];
        for (name, of_extend) in EXTEND.into_iter().zip(names) {
            table.add(name, figure(&extends, of_extend)?);
        }
        checked.extend(extends.checked.into_iter().skip(1));
        setting = extends.setting;
        let filled = filled(leases, BESIDE, &At::default(), program)?;
        table.add("rss_bytes_per_lease", figure(&filled, "rss_bytes_per_lease")?);
    }
    let tls = At { tls: true, ..At::default() };
    for connections in sizes(growth.connections, CONNECTIONS_TIMES) {
        table.add("connections", connections as f64);
        for (name, at) in
            [("rss_bytes_per_connection", &At::default()), ("rss_bytes_per_connection_tls", &tls)]
        {
            let filled = filled(BESIDE, connections, at, program)?;
            table.add(name, figure(&filled, "rss_bytes_per_connection")?);
        }
    }
    checked.push("each wait still stood, and each lease was held, when memory was looked at".to_owned());
    Ok(Report { bench: "growth", run: growth, setting, results: table.results(), ratio: None, checked })
}

/// From the least on, so many times as many each time, up to `most`.
fn sizes(most: usize, times: usize) -> Vec<usize> {
    let below = std::iter::successors(Some(LEAST), |size| size.checked_mul(times));
    below.take_while(|size| *size < most).chain([most]).collect()
}

/// What extends take and cost at so many leases.
fn extended(growth: Growth, leases: usize, program: &Path) -> Result<Report<extend::Extend>, RunError> {
    let extend = extend::Extend {
        leases,
        holders: growth.holders.min(leases),
        seconds: growth.seconds,
        runs: growth.runs,
        members: 3,
        vs: None,
    };
    let report = extend::measure(extend, &At::default(), program)?;
    let failed = ["lost", "errors"].into_iter().find(|name| figure(&report, name).is_ok_and(|it| it > 0.0));
    match failed {
        None => Ok(report),
        Some(name) => Err(RunError::Broken(format!(
            "at {leases} leases there were {name}: {}",
            report.checked.last().map_or("nobody knows why", String::as_str)
        ))),
    }
}

/// What so many leases take in memory, and so many connections.
fn filled(
    leases: usize,
    holders: usize,
    at: &At,
    program: &Path,
) -> Result<Report<memory::Memory>, RunError> {
    memory::measure(memory::Memory { leases, holders, members: 1 }, at, program)
}

fn figure<P>(report: &Report<P>, name: &str) -> Result<f64, RunError> {
    let figure = report.results.get("tenure").and_then(|figures| figures.get(name)).map(Figure::size);
    figure.ok_or_else(|| RunError::Broken(format!("the bench {} gave no {name}", report.bench)))
}

/// Figures as they come, a column each.
#[derive(Default)]
struct Table(BTreeMap<&'static str, Vec<f64>>);

impl Table {
    fn add(&mut self, name: &'static str, value: f64) {
        self.0.entry(name).or_default().push(value);
    }

    fn results(self) -> BTreeMap<&'static str, BTreeMap<&'static str, Figure>> {
        let figures = self.0.into_iter().map(|(name, values)| (name, Figure::Numbers(values))).collect();
        BTreeMap::from([("tenure", figures)])
    }
}

/// The charts of what was measured, each with the name of its file.
pub fn charts(report: &Report<Growth>) -> Vec<(&'static str, Chart)> {
    let column = |name| match report.results.get("tenure").and_then(|figures| figures.get(name)) {
        Some(Figure::Numbers(values)) => values.clone(),
        _ => Vec::new(),
    };
    let line = |name: &str, x, y| Line {
        name: name.to_owned(),
        points: column(x).into_iter().zip(column(y)).collect(),
    };
    let chart = |title: &str, x: &str, y: &str, lines| Chart {
        title: title.to_owned(),
        x: x.to_owned(),
        y: y.to_owned(),
        lines,
    };
    let holders = report.run.holders;
    let extends = format!("An extend, {holders} holders with one on its way each");
    vec![
        (
            "growth-extend.svg",
            chart(
                &extends,
                "leases held",
                "milliseconds",
                vec![line("p99", "leases", "extend_p99_ms"), line("p50", "leases", "extend_p50_ms")],
            ),
        ),
        (
            "growth-cpu.svg",
            chart(
                "Processor time of three servers an extend",
                "leases held",
                "microseconds",
                vec![line("", "leases", "server_cpu_us_per_op")],
            ),
        ),
        (
            "growth-lease.svg",
            chart(
                "Memory of one member a lease, names and holders of 32 bytes",
                "leases held",
                "bytes",
                vec![line("", "leases", "rss_bytes_per_lease")],
            ),
        ),
        (
            "growth-connection.svg",
            chart(
                "Memory of one member a connection, idle, with a wait",
                "connections",
                "bytes",
                vec![
                    line("plain", "connections", "rss_bytes_per_connection"),
                    line("TLS", "connections", "rss_bytes_per_connection_tls"),
                ],
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_by_the_same_factor_up_to_what_is_asked_for() {
        assert_eq!(sizes(1_000_000, 10), [1_000, 10_000, 100_000, 1_000_000]);
        assert_eq!(sizes(15_000, 4), [1_000, 4_000, 15_000]);
        assert_eq!(sizes(300, 10), [300]);
        assert_eq!(sizes(1_000, 10), [1_000]);
    }

    #[test]
    fn a_chart_has_the_columns_that_were_measured() {
        let mut table = Table::default();
        for (leases, cpu) in [(1_000.0, 20.0), (10_000.0, 21.0)] {
            table.add("leases", leases);
            table.add("server_cpu_us_per_op", cpu);
        }
        let run = Growth { leases: 10_000, holders: 512, connections: 1_000, seconds: 1, runs: 1 };
        let setting = Setting::unknown();
        let results = table.results();
        let report = Report { bench: "growth", run, setting, results, ratio: None, checked: Vec::new() };
        let charts = charts(&report);
        let (_, cpu) = charts.iter().find(|(file, _)| *file == "growth-cpu.svg").unwrap();
        assert_eq!(cpu.lines[0].points, [(1_000.0, 20.0), (10_000.0, 21.0)]);
    }
}
