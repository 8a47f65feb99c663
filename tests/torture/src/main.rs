//! `torture`: runs a cluster under faults, and says whether it kept its promises.
//!
//! Exit codes: 0 every rule was kept; 1 one was broken, and what shows it is kept; 2 usage; 3 the rig itself failed, or was
//! interrupted; 4 this machine lacks what a run needs, and nothing was done.

mod answer;
mod clock;
mod recorder;
mod rig;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use rig::{Ended, Kind, Length, Run, Scenario};

/// The rig itself failed.
pub(crate) const EXIT_RIG: i32 = 3;

/// Real members under real faults, and a verdict.
#[derive(Debug, Parser)]
#[command(name = "torture", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    other: Option<Other>,
    /// For how long to strike.
    #[arg(long, value_name = "N", default_value_t = 60, conflicts_with_all = ["hours", "each"])]
    seconds: u64,
    /// Runs of a minute, each with the next seed, for so long or until a rule is broken.
    #[arg(long, value_name = "H", conflicts_with = "each")]
    hours: Option<f64>,
    /// Strike with each nemesis once, for so many seconds.
    #[arg(long, value_name = "SECONDS")]
    each: Option<u64>,
    /// What everything by chance is made of [default: from the clock; it is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Which nemeses, with commas between, or mixed: all that the promises cover.
    #[arg(long, default_value = "mixed")]
    nemesis: String,
    /// Show one scenario, see `scenarios`: its nemesis, for as long as its promise says, and its own checks.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["hours", "each", "nemesis", "scenarios"])]
    scenario: Vec<Scenario>,
    /// Show all scenarios in turn.
    #[arg(long, conflicts_with_all = ["hours", "each", "nemesis"])]
    scenarios: bool,
    /// How many members.
    #[arg(long, value_name = "N", default_value_t = 3)]
    members: u64,
    /// The program under torture [default: beside this one]
    #[arg(long, value_name = "PROGRAM")]
    tenure: Option<PathBuf>,
    /// Where histories and logs of a run that failed are kept.
    #[arg(long, value_name = "DIR", default_value = "target/torture")]
    keep: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Judge a history that was kept: files of JSON lines, put together by `cat`.
    Check {
        /// The history.
        file: PathBuf,
    },
    /// List the nemeses.
    Nemeses,
    /// List the scenarios.
    Scenarios,
    /// A process of clients; the rig starts it.
    #[command(hide = true)]
    Workload(workload::Workload),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.other {
        Some(Other::Check { file }) => rig::judge_file(file),
        Some(Other::Nemeses) => {
            Kind::ALL.iter().for_each(|kind| println!("{:<12} {}", kind.word(), kind.doc()));
            Ok(Ended::Clean)
        }
        Some(Other::Scenarios) => {
            Scenario::ALL.iter().for_each(|(_, word, doc)| println!("{word:<15} {doc}"));
            Ok(Ended::Clean)
        }
        Some(Other::Workload(workload)) => {
            return match workload::run(workload) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error.to_string()),
            };
        }
        None => match kinds(&cli.nemesis) {
            Ok(kinds) => torture(&cli, kinds),
            Err(error) => {
                eprintln!("torture: --nemesis: {error}");
                return ExitCode::from(2);
            }
        },
    };
    match ended {
        Ok(Ended::Clean) => ExitCode::SUCCESS,
        Ok(Ended::Broken) => ExitCode::from(1),
        Ok(Ended::Skipped(why)) => {
            println!("SKIPPED ({} nemeses): the torture rig did not run: {why}", Kind::ALL.len());
            ExitCode::from(4)
        }
        Ok(Ended::Interrupted) => failed("interrupted"),
        Err(trouble) => failed(&trouble.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("torture: {why}");
    ExitCode::from(EXIT_RIG as u8)
}

fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    match text {
        "mixed" => Ok(Kind::mixed()),
        words => words.split(',').map(|word| word.trim().parse()).collect(),
    }
}

/// One run, or one after the other.
fn torture(cli: &Cli, kinds: Vec<Kind>) -> Result<Ended, rig::Trouble> {
    listen_for_signals()?;
    let length = match (cli.each, cli.hours) {
        (Some(seconds), _) => Length::Each(Duration::from_secs(seconds)),
        (None, Some(_)) => Length::For(Duration::from_secs(60)),
        (None, None) => Length::For(Duration::from_secs(cli.seconds)),
    };
    let tenure = cli.tenure.clone().or_else(beside).ok_or_else(|| {
        rig::Trouble::Rig(
            "there is no tenure beside this program: build it, or name it with --tenure".to_owned(),
        )
    })?;
    let tenure = tenure.canonicalize()?;
    let seed = cli.seed.unwrap_or_else(|| clock::now() % 1_000_000_000);
    let mut run = Run { tenure, members: cli.members, seed, kinds, length, keep: cli.keep.clone() };
    if cli.scenarios || !cli.scenario.is_empty() {
        return scenarios(cli, &run);
    }
    let until = cli.hours.map(|hours| Instant::now() + Duration::from_secs_f64(hours.max(0.0) * 3_600.0));
    loop {
        println!("seed {}, {} members, {}", run.seed, run.members, cli.nemesis);
        let ended = rig::run(&run)?;
        if !matches!(ended, Ended::Clean) || until.is_none_or(|until| Instant::now() >= until) {
            return Ok(ended);
        }
        run.seed += 1;
    }
}

/// Each in a world of its own; one that is broken does not keep the others from being shown.
fn scenarios(cli: &Cli, run: &Run) -> Result<Ended, rig::Trouble> {
    let wanted = match cli.scenarios {
        true => Scenario::ALL.iter().map(|(scenario, ..)| *scenario).collect(),
        false => cli.scenario.clone(),
    };
    let mut all = Ended::Clean;
    for scenario in wanted {
        match rig::run_scenario(run, scenario, Duration::from_secs(cli.seconds))? {
            Ended::Clean => {}
            Ended::Broken => all = Ended::Broken,
            other => return Ok(other),
        }
    }
    Ok(all)
}

fn beside() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.parent().map(|folder: &Path| folder.join("tenure"))?;
    program.exists().then_some(program)
}

/// The first signal asks for an orderly end, with all that was made removed; the second ends at once.
fn listen_for_signals() -> std::io::Result<()> {
    // Handled and not held back: what is held back stays so in every process that is started.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if rig::INTERRUPTED.swap(true, Ordering::AcqRel) {
                    std::process::exit(EXIT_RIG);
                }
            }
        });
    });
    Ok(())
}
