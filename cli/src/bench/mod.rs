//! `bench`: measurements of one property each. What they do is in the crate `claimer`.

mod compare;
mod crowds;
mod growth;

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use claimer::RunError;
use claimer::bench::expiry::{self, Expiry};
use claimer::bench::failover::{self, Failover, Fault};
use claimer::bench::handover::{self, Handover};
use claimer::bench::{At, Door, Report};
use claimer::workload;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::claimer::Wire;
use crate::exit::{Exit, Failure};
use crate::output::{json_line, say, write_out};
use crate::parse::{self, Endpoints};
use crate::trust::Trust;

/// Handovers where nobody says how many: fewer where forming the line is most of the work.
const RUNS: u32 = 1_000;
const RUNS_OF_MANY: u32 = 200;
/// From so many waiters on, they are many.
const MANY: usize = 1_000;

/// Measure one property of the service; every result is checked before it is printed.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Handover(HandoverArgs),
    Failover(FailoverArgs),
    Expiry(ExpiryArgs),
    Extend(compare::Extend),
    Claim(compare::Claim),
    Storm(compare::Storm),
    Bulk(crowds::Bulk),
    Memory(crowds::Memory),
    Overload(crowds::Overload),
    Growth(growth::Growth),
    Million(crowds::Million),
}

/// Where to measure.
#[derive(Debug, Args)]
struct Where {
    /// Where the servers are: HOST:PORT, with commas between; https://HOST:PORT by TLS [default: a node or cluster of its own, in a
    /// temporary folder].
    #[arg(long, value_parser = parse::endpoints())]
    endpoints: Option<Endpoints>,
    #[command(flatten)]
    trust: Trust,
    /// Give its own servers certificates, and come to them by TLS.
    #[arg(long, conflicts_with = "endpoints")]
    tls: bool,
}

impl Where {
    fn at(&self) -> Result<At, Failure> {
        let Some(Endpoints(endpoints)) = &self.endpoints else {
            // What this shell has set for other servers is not for its own.
            return Ok(At { tls: self.tls, ..At::default() });
        };
        let trust = self.trust.load(endpoints)?.and(self.trust.files(endpoints)?);
        let trust = trust
            .map(|files| workload::Trust { ca: files.ca, own: files.own.map(|own| (own.cert, own.key)) });
        Ok(At { endpoints: endpoints.clone(), trust, ..At::default() })
    }
}

/// By which door its own servers are measured.
#[derive(Debug, Args)]
struct Target {
    /// What to speak to servers of its own: tenure, the session; or juju, the wire of Juju's agents, at their Juju door.
    #[arg(long, value_name = "WIRE", default_value = "tenure")]
    target: Wire,
}

impl Target {
    fn door(&self) -> Door {
        match self.target {
            Wire::Tenure => Door::Session,
            Wire::Juju => Door::Juju,
        }
    }
}

/// Where to put the figures.
#[derive(Debug, Args)]
struct Common {
    /// Write the figures as JSON to FILE; "-" is stdout, and the text then goes to stderr.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// From a release to the grant of the next one in line, and until that one may believe.
#[derive(Debug, Args)]
struct HandoverArgs {
    /// How many wait in line at each release.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    waiters: u32,
    /// How many handovers to measure [default: 1000; 200 from 1000 waiters on].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: Option<u32>,
    /// How many members its own cluster has.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse::members(), conflicts_with = "endpoints")]
    members: u64,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    common: Common,
}

/// What a leader's death, or a wave of reconnects, costs those who hold leases: a cluster of its own, which suffers it again and again.
#[derive(Debug, Args)]
struct FailoverArgs {
    /// How many leases are held.
    #[arg(long, value_name = "N", default_value = "4000", value_parser = clap::value_parser!(u32).range(200..=100_000))]
    leases: u32,
    /// How many there are for each lease: one who holds it, and others who wait in line, each on a connection of its own.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10))]
    holders: u32,
    /// What is done to the cluster.
    #[arg(long, default_value = "kill")]
    fault: FaultArg,
    /// How often it is done; about six seconds each, or of a wave of reconnects.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// How many members its cluster has: 3, 5 or 7.
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse::members())]
    members: u64,
    /// Give its members certificates, and come to them by TLS.
    #[arg(long)]
    tls: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FaultArg {
    /// Its leader is killed, and started again.
    Kill,
    /// One in three of those who wait in line loses its connection, and comes again.
    Reconnect,
}

/// How late leases end that nobody extends: one by one, and very many at once.
#[derive(Debug, Args)]
struct ExpiryArgs {
    /// How many leases end at once.
    #[arg(long, value_name = "N", default_value = "16000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    leases: u32,
    /// How many times.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// How many members its own cluster has.
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse::members(), conflicts_with = "endpoints")]
    members: u64,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn bench(args: &Bench) -> Result<Exit, Failure> {
    match &args.what {
        What::Handover(args) => handover(args),
        What::Failover(args) => failover(args),
        What::Expiry(args) => expiry(args),
        What::Extend(args) => args.run(),
        What::Claim(args) => args.run(),
        What::Storm(args) => args.run(),
        What::Bulk(args) => args.run(),
        What::Memory(args) => args.run(),
        What::Overload(args) => args.run(),
        What::Growth(args) => args.run(),
        What::Million(args) => args.run(),
    }
}

fn handover(args: &HandoverArgs) -> Result<Exit, Failure> {
    let waiters = args.waiters as usize;
    let runs = args.runs.unwrap_or(if waiters < MANY { RUNS } else { RUNS_OF_MANY });
    let handover = Handover { waiters, runs, members: args.members };
    let at = args.at.at()?;
    args.common.run(|program| handover::measure(handover, &at, program))
}

fn failover(args: &FailoverArgs) -> Result<Exit, Failure> {
    let failover = Failover {
        fault: match args.fault {
            FaultArg::Kill => Fault::Kill,
            FaultArg::Reconnect => Fault::Reconnect,
        },
        leases: args.leases as usize,
        holders: args.holders as usize,
        runs: args.runs,
        members: args.members,
    };
    let at = At { tls: args.tls, ..At::default() };
    args.common.run(|program| failover::measure(failover, &at, program))
}

fn expiry(args: &ExpiryArgs) -> Result<Exit, Failure> {
    let expiry = Expiry { leases: args.leases as usize, runs: args.runs, members: args.members };
    let at = args.at.at()?;
    args.common.run(|program| expiry::measure(expiry, &at, program))
}

impl Common {
    fn run<P: Display + Serialize>(
        &self,
        measure: impl FnOnce(&std::path::Path) -> Result<Report<P>, RunError>,
    ) -> Result<Exit, Failure> {
        let on_stdout = self.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
        // Opened before the run: a long measurement must not end at a folder that is missing.
        let file = match &self.json {
            Some(path) if !on_stdout => Some(File::create(path).map_err(|error| {
                Failure::usage(format!(
                    "--json {} cannot be written: {error}; name another file",
                    path.display()
                ))
            })?),
            _ => None,
        };
        let program = std::env::current_exe().map_err(|error| {
            Failure::unavailable(format!("this program's own file cannot be found: {error}"))
        })?;
        let report = measure(&program).map_err(failed)?;
        match (file, on_stdout) {
            (Some(mut file), _) => {
                file.write_all(json_line(&report)?.as_bytes())?;
                write_out(format!("{report}\n").as_bytes())?;
            }
            (None, true) => {
                say(&report);
                write_out(json_line(&report)?.as_bytes())?;
            }
            (None, false) => write_out(format!("{report}\n").as_bytes())?,
        }
        Ok(Exit::Done)
    }
}

fn failed(error: RunError) -> Failure {
    match error {
        RunError::Wrong(why) => Failure::usage(why),
        RunError::Broken(why) => Failure::unavailable(why),
        RunError::Unread => Failure::unavailable("nobody reads the figures"),
    }
}
