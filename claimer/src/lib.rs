//! The load tool: a fleet of holders that compete for leases, and a judge that says whether the service kept its word.
//!
//! ```text
//!   workload ──▶ shares ──▶ crew: worker threads or child processes ──▶ recorder ──▶ lines, report
//!                             │ holder: claim, extend, wait                 │
//!                             ▼                                             ▼
//!                           target: Tenure's session                     verdict
//! ```
//!
//! It descends from the tool that "Lease Scale testing (2.5.0 vs 2.5.1)" measured Juju's leases with, "the article" in what
//! follows: the same flags, the same lines, one connection a holder. Unlike that tool it retries what can be retried, and it verifies its result before it prints a
//! number: see [`verdict`].
//!
//! The module `bench` has measurements of one property each, at a node or a cluster of their own.
//!
//! What decides is pure (`workload`, `lines`, `verdict`, `report`, and `holder` but for sleeping); what touches
//! processes, clocks and sockets stands apart (`crew`, `worker`, `embedded`, `clock`, `process`, `targets`).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub mod bench;
pub mod chart;
mod clock;
mod crew;
pub mod duration;
mod embedded;
mod etcd;
pub mod history;
mod holder;
pub mod juju;
mod lines;
mod printer;
mod process;
mod recorder;
pub mod report;
pub mod target;
pub mod targets;
pub mod verdict;
mod worker;
pub mod workload;

pub use crew::{CHILD_FLAG, child};
pub use embedded::TIED_FLAG;
pub use lines::Style;
pub use printer::LinesTo;
pub use process::Usage;

use crate::crew::Crew;
use crate::embedded::{Door, Embedded};
use crate::report::{Report, Tally};
use crate::workload::{InvalidWorkload, Workload};

/// A run, as the user asked for it.
pub struct Run {
    /// What to do.
    pub workload: Workload,
    /// From how many processes; none is as many as needed.
    pub processes: Option<usize>,
    /// Whether to start a node of our own; the workload's endpoints are then replaced by its address.
    pub embedded: bool,
    /// How much the lines say.
    pub style: Style,
    /// Where they go.
    pub lines_to: LinesTo,
    /// This binary: children and the embedded node are started from it.
    pub program: PathBuf,
    /// Raised to end the run early, in order.
    pub stop: Arc<AtomicBool>,
}

/// Why a run came to no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// What was asked for can never be right.
    Wrong(String),
    /// This machine or a process of the run could not do its part.
    Broken(String),
    /// Whoever read our lines has seen enough. A run cut short by that has nothing to judge, and is no failure.
    Unread,
}

impl From<InvalidWorkload> for RunError {
    fn from(invalid: InvalidWorkload) -> RunError {
        RunError::Wrong(invalid.0)
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> RunError {
        RunError::Broken(error.to_string())
    }
}

/// Runs a workload to its end, and judges it.
///
/// # Errors
/// [`RunError`], where there is nothing to judge.
pub fn run(mut run: Run) -> Result<Report, RunError> {
    let processes = run.processes.unwrap_or_else(|| run.workload.processes_default());
    // Checked before anything is started, so that a wrong number leaves nothing behind.
    run.workload.split(processes, history::Nanos(0))?;
    let door = if run.workload.juju.is_some() { Door::Juju } else { Door::Session };
    let node = if run.embedded { Some(Embedded::start(&run.program, door)?) } else { None };
    if let Some(node) = &node {
        run.workload.endpoints = vec![node.endpoint.clone()];
    }
    let pace = run.workload.pace;
    let start = clock::now().plus(pace.real(pace.sleep));
    let mut crew = Crew::start(run.workload.split(processes, start)?, &run.program)?;
    let mut recorder = recorder::Recorder {
        judge: verdict::Judge::new(&run.workload.holders, run.workload.tokens()),
        printer: printer::Printer::new(run.lines_to, run.workload.leases()),
        writer: lines::Writer { style: run.style, holders: run.workload.holders, pace, start },
        tally: Tally::default(),
        held_over_time: Vec::new(),
        causes: BTreeMap::new(),
    };
    let until = pace.duration.map(|duration| start.plus(pace.real(duration)));
    let end = recorder.record(&mut crew, until, &run.stop)?;
    let servers = node.iter().filter_map(|node| process::usage(node.pid())).collect();
    crew.stop();
    recorder.finish(&crew, end, servers)
}
