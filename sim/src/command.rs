//! The command line of a simulation: many seeds, one seed with its trace, or every planted bug.
//!
//! ```text
//! --seeds A..B [--cores N] [--seconds N]    every seed from A up to but not including B; a violation ends it with exit 1
//! --seed N [--trace]                        one seed; with a line an event
//! --planted [--seconds N]                   for each bug: seeds until an invariant catches it, at most so long a bug
//! ```

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::tally::Totals;
use crate::{Ran, Trace, Violation};

const USAGE: &str =
    "usage: --seeds A..B [--cores N] [--seconds N] | --seed N [--trace] | --planted [--seconds N]";

/// A simulation, as the command line runs it.
#[derive(Clone, Copy)]
pub struct Program {
    /// Its binary.
    pub name: &'static str,
    /// Lives through one seed.
    pub run: fn(u64, Trace) -> (Ran, Result<(), Violation>),
    /// Seeds that a thread takes at a time.
    pub chunk: u64,
    /// What is planted for it to find.
    #[cfg(planted)]
    pub bugs: &'static [lease::planted::Bug],
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Seeds { seeds: Range<u64>, cores: usize, limit: Option<Duration> },
    Seed(u64, Trace),
    Planted { limit: Duration },
}

/// Does what the command line asks.
pub fn main(program: Program) -> ExitCode {
    match parse(std::env::args().skip(1).collect()) {
        Ok(Asked::Seeds { seeds, cores, limit }) => many(program, &seeds, cores, limit),
        Ok(Asked::Seed(seed, trace)) => one(program, seed, trace),
        Ok(Asked::Planted { limit }) => planted(program, limit),
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: Vec<String>) -> Result<Asked, String> {
    let (mut seeds, mut seed, mut planted, mut trace) = (None, None, false, Trace::Off);
    let (mut cores, mut seconds) = (None, None);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--seeds" => seeds = Some(range(&value()?)?),
            "--seed" => seed = Some(number(&value()?)?),
            "--cores" => cores = Some(number(&value()?)?.clamp(1, 1_024) as usize),
            "--seconds" => seconds = Some(Duration::from_secs(number(&value()?)?)),
            "--planted" => planted = true,
            "--trace" => trace = Trace::Kept,
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    let every = || std::thread::available_parallelism().map_or(1, usize::from);
    match (seeds, seed, planted) {
        (Some(_), None, false) if trace == Trace::Kept => Err("--trace goes with --seed".to_owned()),
        (Some(seeds), None, false) => {
            Ok(Asked::Seeds { seeds, cores: cores.unwrap_or_else(every), limit: seconds })
        }
        (None, Some(seed), false) => Ok(Asked::Seed(seed, trace)),
        (None, None, true) => Ok(Asked::Planted { limit: seconds.unwrap_or(Duration::from_secs(60)) }),
        _ => Err("one of --seeds, --seed and --planted is wanted".to_owned()),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a number"))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or(format!("{text:?} is not a range: write A..B"))?;
    let (from, to) = (number(from)?, number(to)?);
    match from < to {
        true => Ok(from..to),
        false => Err(format!("{text:?} is an empty range")),
    }
}

fn one(program: Program, seed: u64, trace: Trace) -> ExitCode {
    let (ran, kept) = (program.run)(seed, trace);
    let mut totals = Totals::default();
    totals.add(&ran.tally);
    print!("{}{totals}", ran.trace);
    match kept {
        Ok(()) => {
            println!("seed {seed} clean, {} events", ran.events);
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn many(program: Program, seeds: &Range<u64>, cores: usize, limit: Option<Duration>) -> ExitCode {
    let began = Instant::now();
    let (clean, violation, totals) = search(program, seeds, cores, limit);
    print!("{totals}");
    if let Some(violation) = violation {
        println!("{violation}");
        return ExitCode::FAILURE;
    }
    let rate = clean as f64 / began.elapsed().as_secs_f64() / cores as f64;
    println!("{clean} seeds clean, {rate:.1} seeds/s a core");
    ExitCode::SUCCESS
}

/// Runs seeds until all are done, the time is over or one is broken; with the lowest of the broken ones that were found, and what
/// happened in all of them.
fn search(
    program: Program,
    seeds: &Range<u64>,
    cores: usize,
    limit: Option<Duration>,
) -> (u64, Option<Violation>, Totals) {
    let began = Instant::now();
    let (next, clean) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let (stop, found) = (AtomicBool::new(false), Mutex::new(None::<Violation>));
    let totals = Mutex::new(Totals::default());
    let work = || {
        loop {
            let from = next.fetch_add(program.chunk, Ordering::Relaxed);
            for seed in from..seeds.end.min(from.saturating_add(program.chunk)) {
                let (ran, kept) = (program.run)(seed, Trace::Off);
                totals.lock().unwrap_or_else(PoisonError::into_inner).add(&ran.tally);
                if let Err(violation) = kept {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    if found.as_ref().is_none_or(|other| violation.seed < other.seed) {
                        *found = Some(violation);
                    }
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
                clean.fetch_add(1, Ordering::Relaxed);
            }
            let over = limit.is_some_and(|limit| began.elapsed() >= limit);
            if from >= seeds.end || over || stop.load(Ordering::Relaxed) {
                return;
            }
        }
    };
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    (clean.into_inner(), found, totals.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Builds this program anew with bugs in it, and runs that.
#[cfg(not(planted))]
fn planted(program: Program, limit: Duration) -> ExitCode {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/planted");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let seconds = limit.as_secs().to_string();
    let run = std::process::Command::new(cargo)
        .args([
            "run",
            "--quiet",
            "--release",
            "--manifest-path",
            manifest,
            "--target-dir",
            target,
            "--bin",
            program.name,
        ])
        .args(["--", "--planted", "--seconds", &seconds])
        .env("RUSTFLAGS", "--cfg planted")
        .status();
    match run {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("cargo could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(planted)]
fn planted(program: Program, limit: Duration) -> ExitCode {
    use lease::planted::{Bug, plant};

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut caught = 0;
    println!("at most {} s a bug", limit.as_secs());
    for bug in program.bugs {
        plant(*bug);
        let began = Instant::now();
        match search(program, &(0..u64::MAX), cores, Some(limit)) {
            (clean, Some(violation), _) => {
                caught += 1;
                let (took, invariant) = (began.elapsed().as_millis(), violation.invariant);
                println!("{} -> {invariant}, {} seeds, {took} ms ({violation})", bug.as_str(), clean + 1);
            }
            (clean, None, _) => println!("{} -> NOT CAUGHT in {clean} seeds", bug.as_str()),
        }
    }
    plant(Bug::None);
    println!("planted bugs caught: {caught} of {}", program.bugs.len());
    if caught == program.bugs.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Asked, String> {
        parse(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn what_is_asked_is_one_of_three() {
        let limit = Some(Duration::from_secs(9));
        assert_eq!(
            parsed("--seeds 1..1_000 --cores 1 --seconds 9"),
            Ok(Asked::Seeds { seeds: 1..1_000, cores: 1, limit })
        );
        assert_eq!(parsed("--seed 7 --trace"), Ok(Asked::Seed(7, Trace::Kept)));
        assert_eq!(parsed("--planted"), Ok(Asked::Planted { limit: Duration::from_secs(60) }));
        for wrong in [
            "",
            "--seed",
            "--seed x",
            "--seeds 3..3",
            "--seeds 3",
            "--seed 1 --planted",
            "--fast",
            "--seeds 1..2 --trace",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
