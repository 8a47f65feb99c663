//! `tenure claimer`: the flags of the load tool. What it does is in the crate `claimer`.

mod juju;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claimer::report::Report;
use claimer::workload::{self, Pace, Workload, check_holder, make_holders};
use claimer::{LinesTo, Run, RunError, Style};
use clap::{Args, ValueEnum};
use client::Endpoint;

use crate::connect::ENDPOINTS_DEFAULT;
use crate::exit::{Exit, Failure};
use crate::output::{json_line, say, write_out};
use crate::parse::{self, Endpoints};
use crate::signals::{Held, end_of};
use crate::trust::Trust;
use crate::usage::is_given;

/// Measure: holders that compete for leases, one connection each, and a verdict at the end.
///
/// Each holder claims its lease, extends it every --renewtime, and waits where another has it. At the end the run is
/// judged: no two holders believed in one lease at once, tokens rose, every lease is held. Exit code 1 where not so.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Claimer {
    /// Holders, each app/N; the lease is app. Without any, and without --leases, it is --unit.
    #[arg(value_parser = parse::prefix())]
    holders: Vec<String>,
    /// Make up N leases (a0000, a0001, …) with --units holders each.
    #[arg(long, value_name = "N", conflicts_with = "holders")]
    leases: Option<usize>,
    /// Holders of each lease of --leases.
    #[arg(long, value_name = "N", default_value_t = 3)]
    units: usize,
    /// How long each claim and extend asks for.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse::ttl())]
    claimtime: Duration,
    /// How long after each success the next extend goes out [default: half of --claimtime].
    #[arg(long, value_name = "TIME", value_parser = parse::span())]
    renewtime: Option<Duration>,
    /// How long to wait before the start.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse::span())]
    sleep: Duration,
    /// Over how long the first connections are spread.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse::span())]
    ramp: Duration,
    /// How long to go on [default: until Ctrl-C].
    #[arg(long, value_name = "TIME", value_parser = parse::span())]
    duration: Option<Duration>,
    /// Divide every time above by F; the lines tell them undivided, and latencies as measured.
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = scale)]
    scale_time: f64,
    /// What to speak: tenure, its own session; or juju, the wire of Juju's agents, at a member's Juju door or at Juju itself.
    #[arg(long, value_name = "WIRE", default_value = "tenure")]
    target: Wire,
    /// Short lines, and none for what was denied or waited for.
    #[arg(long)]
    quiet: bool,
    /// Where the servers are: HOST:PORT, with commas between; https://HOST:PORT by TLS. Holder N starts at number N mod their count.
    #[arg(long, env = "TENURE_ENDPOINTS", value_parser = parse::endpoints())]
    endpoints: Option<Endpoints>,
    #[command(flatten)]
    trust: Trust,
    /// The servers' hosts, with commas between; all listen on --port.
    #[arg(long, visible_alias = "host", value_name = "HOSTS", value_parser = parse::prefix())]
    hosts: Option<String>,
    /// The port of --hosts [default: 7400, and with --target juju 17070].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// With --target juju: reach --hosts without TLS, as `tenure serve --dev` listens.
    #[arg(long)]
    no_tls: bool,
    /// The leases' namespace.
    #[arg(long, env = "TENURE_NAMESPACE", default_value = api::NAMESPACE_DEFAULT, value_parser = parse::namespace())]
    namespace: String,
    /// The Juju model to log in to: its uuid. A Tenure session has none, and passes it over.
    #[arg(long, default_value = "")]
    uuid: String,
    /// The Juju unit to log in as; also the one holder where none is named.
    #[arg(long, default_value = "ubuntu-lite/0", value_parser = parse::prefix())]
    unit: String,
    /// That unit's password [default: the token of --token-file or TENURE_TOKEN]. Others of this machine see what stands on a command
    /// line. A Tenure session has none, and passes it over.
    #[arg(long, default_value = "", hide_default_value = true)]
    password: String,
    /// Split the holders over P processes [default: one for each 8,000 holders].
    #[arg(long, value_name = "P")]
    processes: Option<usize>,
    /// Start a node of our own, in a temporary folder, and measure it.
    #[arg(long, conflicts_with = "hosts")]
    embedded: bool,
    /// Write the figures as JSON to FILE; "-" is stdout, and the lines then go to stderr.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Be a process of another claimer's run: all that it is told is on its stdin, and nothing that its shell has set counts.
    #[arg(long, hide = true)]
    child: bool,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wire {
    /// Tenure's own session.
    Tenure,
    /// Juju's agents'.
    Juju,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.001..=1_000.0).contains(&scale) => Ok(scale),
        _ => Err("it is no number from 0.001 to 1000; 10 makes every time ten times shorter".to_owned()),
    }
}

pub(crate) fn run(args: &Claimer) -> Result<Exit, Failure> {
    if args.child {
        return claimer::child().map(|()| Exit::Done).map_err(Failure::unavailable);
    }
    args.check_place()?;
    let json_on_stdout = args.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    // Opened before the run: two minutes of measuring must not end at a folder that is missing.
    let json_file = match &args.json {
        Some(path) if !json_on_stdout => Some(File::create(path).map_err(|error| {
            Failure::usage(format!("--json {} cannot be written: {error}; name another file", path.display()))
        })?),
        _ => None,
    };
    let run = Run {
        workload: workload(args)?,
        processes: args.processes,
        embedded: args.embedded,
        style: if args.quiet { Style::Quiet } else { Style::Verbose },
        lines_to: if json_on_stdout { LinesTo::Stderr } else { LinesTo::Stdout },
        program: std::env::current_exe().map_err(|error| {
            Failure::unavailable(format!("this program's own file cannot be found: {error}"))
        })?,
        stop: stop_on_signal(),
    };
    let report = match claimer::run(run) {
        Ok(report) => report,
        Err(RunError::Unread) => return Ok(Exit::Done),
        Err(RunError::Wrong(why)) => return Err(Failure::usage(why)),
        Err(RunError::Broken(why)) => return Err(Failure::unavailable(why)),
    };
    say(&report);
    write_json(&report, json_file, json_on_stdout)
        .map_err(|error| Failure::unavailable(format!("the figures cannot be written: {error}")))?;
    Ok(if report.verdict.is_clean() { Exit::Done } else { Exit::Refused })
}

impl Claimer {
    /// A node of our own, hosts, and endpoints: which is meant? TENURE_ENDPOINTS is only a default, and gives way.
    fn check_place(&self) -> Result<(), Failure> {
        let places = [(self.embedded, "--embedded"), (self.hosts.is_some(), "--hosts")];
        match places.into_iter().find(|(is_named, _)| *is_named) {
            Some((_, flag)) if is_given("--endpoints") => {
                Err(Failure::usage(format!("{flag} cannot be used with --endpoints; give one of them")))
            }
            _ => Ok(()),
        }
    }

    /// The endpoints, where nothing else says where the servers are.
    fn named(&self) -> Option<&[Endpoint]> {
        let Endpoints(endpoints) = self.endpoints.as_ref()?;
        (!self.embedded && self.hosts.is_none()).then_some(endpoints)
    }
}

fn workload(args: &Claimer) -> Result<Workload, Failure> {
    let invalid = |error: workload::InvalidWorkload| Failure::usage(error.0);
    let holders = match (args.leases, args.holders.as_slice()) {
        (Some(leases), _) => make_holders(leases, args.units).map_err(invalid)?,
        (None, []) => vec![args.unit.clone()],
        (None, holders) => holders.to_vec(),
    };
    holders.iter().try_for_each(|holder| check_holder(holder)).map_err(invalid)?;
    let pace = Pace {
        claim_time: args.claimtime,
        renew_time: args.renewtime.unwrap_or(args.claimtime / 2),
        sleep: args.sleep,
        ramp: args.ramp,
        duration: args.duration,
        scale: args.scale_time,
    };
    let (endpoints, trust, juju) = match args.target {
        Wire::Tenure if args.no_tls => {
            return Err(Failure::usage(
                "--no-tls goes with --target juju; else an endpoint without https:// is reached without TLS",
            ));
        }
        Wire::Tenure => {
            let endpoints = endpoints(args)?;
            let trust = trust(args, &endpoints)?;
            (endpoints, trust, None)
        }
        Wire::Juju => juju::reached(args)?,
    };
    let endpoints = endpoints.iter().map(ToString::to_string).collect();
    Ok(Workload { endpoints, trust, juju, namespace: args.namespace.clone(), holders, pace })
}

fn trust(args: &Claimer, endpoints: &[Endpoint]) -> Result<Option<workload::Trust>, Failure> {
    let files = match args.embedded {
        true => None,
        // Read now too: what is wrong with a file is the command's fault, and not each holder's.
        false => args.trust.load(endpoints)?.and(args.trust.files(endpoints)?),
    };
    Ok(files.map(|files| workload::Trust { ca: files.ca, own: files.own.map(|own| (own.cert, own.key)) }))
}

fn endpoints(args: &Claimer) -> Result<Vec<Endpoint>, Failure> {
    match (args.named(), &args.hosts) {
        (Some(endpoints), _) => Ok(endpoints.to_vec()),
        (None, None) => parse_hosts(ENDPOINTS_DEFAULT),
        (None, Some(hosts)) => parse_hosts(&at_port(hosts, "", args.port.unwrap_or(api::PORT_DEFAULT))),
    }
}

/// Each of the hosts, at one port.
fn at_port(hosts: &str, scheme: &str, port: u16) -> String {
    let list = hosts.split(',').map(|host| format!("{scheme}{}:{port}", host.trim()));
    list.collect::<Vec<_>>().join(",")
}

fn parse_hosts(list: &str) -> Result<Vec<Endpoint>, Failure> {
    Endpoint::parse_list(list).map_err(|error| Failure::usage(format!("--hosts: {error}")))
}

fn write_json(report: &Report, file: Option<File>, on_stdout: bool) -> std::io::Result<()> {
    match (file, on_stdout) {
        (Some(mut file), _) => file.write_all(json_line(report)?.as_bytes()),
        (None, true) => write_out(json_line(report)?.as_bytes()),
        (None, false) => Ok(()),
    }
}

/// A flag that the first Ctrl-C or SIGTERM raises, for an orderly end; the second ends the program as usual.
fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = stop.clone();
    let signals = Held::hold();
    std::thread::spawn(move || {
        signals.wait();
        say("stopping; once more to stop at once");
        raised.store(true, Ordering::Relaxed);
        end_of(signals.wait())
    });
    stop
}
