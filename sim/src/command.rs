//! The command line of a simulation: many seeds, one seed with its trace, or every planted bug.
//!
//! ```text
//! --seeds A..B [--cores N] [--seconds N]    every seed from A up to but not including B; a violation ends it with exit 1
//! --seed N [--trace]                        one seed; with a line an event
//! --planted [--few] [--seconds N]           for each bug: seeds until an invariant catches it, as many as are stated for it, and at
//!                                           most so long; or for those alone that few seeds catch
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::tally::Totals;
use crate::{Ran, Trace, Violation};

const USAGE: &str =
    "usage: --seeds A..B [--cores N] [--seconds N] | --seed N [--trace] | --planted [--few] [--seconds N]";

/// What `--few` looks for is caught within so many chunks of seeds.
#[cfg(planted)]
const FEW: u64 = 100;

/// What a bug was caught by may tell two whole states.
#[cfg(planted)]
const LINE_MAX: usize = 300;

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
    Planted { few: bool, limit: Option<Duration> },
}

/// Does what the command line asks.
pub fn main(program: Program) -> ExitCode {
    match parse(std::env::args().skip(1).collect()) {
        Ok(Asked::Seeds { seeds, cores, limit }) => many(program, &seeds, cores, limit),
        Ok(Asked::Seed(seed, trace)) => one(program, seed, trace),
        Ok(Asked::Planted { few, limit }) => planted(program, few, limit),
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: Vec<String>) -> Result<Asked, String> {
    let (mut seeds, mut seed, mut planted, mut trace) = (None, None, false, Trace::Off);
    let (mut few, mut cores, mut seconds) = (false, None, None);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--seeds" => seeds = Some(range(&value()?)?),
            "--seed" => seed = Some(number(&value()?)?),
            "--cores" => cores = Some(number(&value()?)?.clamp(1, 1_024) as usize),
            "--seconds" => seconds = Some(Duration::from_secs(number(&value()?)?)),
            "--planted" => planted = true,
            "--few" => few = true,
            "--trace" => trace = Trace::Kept,
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    let every = || std::thread::available_parallelism().map_or(1, usize::from);
    match (seeds, seed, planted) {
        (Some(_), _, _) | (_, Some(_), _) if few => Err("--few goes with --planted".to_owned()),
        (Some(_), None, false) if trace == Trace::Kept => Err("--trace goes with --seed".to_owned()),
        (Some(seeds), None, false) => {
            Ok(Asked::Seeds { seeds, cores: cores.unwrap_or_else(every), limit: seconds })
        }
        (None, Some(seed), false) => Ok(Asked::Seed(seed, trace)),
        (None, None, true) => Ok(Asked::Planted { few, limit: seconds }),
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
    let (violation, runs) = search(program, seeds, cores, limit);
    print!("{}", runs.totals);
    if let Some(violation) = violation {
        println!("{violation}");
        return ExitCode::FAILURE;
    }
    println!("{runs}");
    ExitCode::SUCCESS
}

/// What many runs came to.
#[derive(Default)]
struct Runs {
    clean: u64,
    /// By voters.
    sizes: BTreeMap<u64, Size>,
    totals: Totals,
}

/// What the runs of one size came to.
#[derive(Clone, Copy, Default)]
struct Size {
    runs: u64,
    /// How long they lasted, in simulated time.
    lived: Duration,
    /// How long a core was busy with them.
    busy: Duration,
}

impl Runs {
    fn add(&mut self, ran: &Ran, is_clean: bool) {
        self.clean += u64::from(is_clean);
        self.totals.add(&ran.tally);
        let size = self.sizes.entry(ran.voters).or_default();
        size.runs += 1;
        size.lived += ran.lived;
        size.busy += ran.took;
    }
}

impl fmt::Display for Runs {
    /// Seconds in which a core was busy, whoever else uses the machine.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |runs: u64, busy: Duration| runs as f64 / busy.as_secs_f64().max(1e-9);
        let busy = self.sizes.values().map(|size| size.busy).sum();
        let runs = self.sizes.values().map(|size| size.runs).sum();
        write!(f, "{} seeds clean, {:.1} seeds/s a core", self.clean, rate(runs, busy))?;
        for (voters, size) in self.sizes.iter().filter(|(voters, _)| **voters > 0) {
            let rate = rate(size.runs, size.busy);
            let lived = size.lived.as_secs_f64() / size.runs as f64;
            write!(f, "; of {voters} voters {}, {rate:.1}/s, each of {lived:.0} simulated s", size.runs)?;
        }
        Ok(())
    }
}

/// Runs seeds until all are done, the time is over or one is broken; with the lowest of the broken ones that were found.
fn search(
    program: Program,
    seeds: &Range<u64>,
    cores: usize,
    limit: Option<Duration>,
) -> (Option<Violation>, Runs) {
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (found, runs) = (Mutex::new(None::<Violation>), Mutex::new(Runs::default()));
    let is_over = || stop.load(Ordering::Relaxed) || limit.is_some_and(|limit| began.elapsed() >= limit);
    let work = || {
        loop {
            let from = next.fetch_add(program.chunk, Ordering::Relaxed);
            for seed in from..seeds.end.min(from.saturating_add(program.chunk)) {
                let (ran, kept) = (program.run)(seed, Trace::Off);
                runs.lock().unwrap_or_else(PoisonError::into_inner).add(&ran, kept.is_ok());
                if let Err(violation) = kept {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    if found.as_ref().is_none_or(|other| violation.seed < other.seed) {
                        *found = Some(violation);
                    }
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
            }
            if from >= seeds.end || is_over() {
                return;
            }
        }
    };
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    (found, runs.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Builds this program anew with bugs in it, and runs that.
#[cfg(not(planted))]
fn planted(program: Program, few: bool, limit: Option<Duration>) -> ExitCode {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/planted");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let few = few.then(|| "--few".to_owned());
    let seconds = limit.map(|limit| ["--seconds".to_owned(), limit.as_secs().to_string()]);
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
        .args(["--", "--planted"])
        .args(few)
        .args(seconds.into_iter().flatten())
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
fn planted(program: Program, few: bool, limit: Option<Duration>) -> ExitCode {
    use lease::planted::{Bug, plant};

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let is_wanted = |bug: &&Bug| !few || bug.seeds() <= FEW * program.chunk;
    let (mut caught, mut wanted) = (0, 0);
    for bug in program.bugs.iter().filter(is_wanted) {
        wanted += 1;
        plant(*bug);
        let (bug, seeds, began) = (bug.as_str(), bug.seeds(), Instant::now());
        let (violation, runs) = search(program, &(0..seeds), cores, limit);
        let took = began.elapsed().as_secs_f64();
        match violation {
            Some(violation) => {
                caught += 1;
                let (ran, invariant) = (runs.clean + 1, violation.invariant);
                let why: String = violation.to_string().chars().take(LINE_MAX).collect();
                println!("{bug} -> {invariant}, {ran} of {seeds} seeds, {took:.1} s ({why})");
            }
            None => println!("{bug} -> NOT CAUGHT in {} of {seeds} seeds, {took:.1} s", runs.clean),
        }
    }
    plant(Bug::None);
    println!("planted bugs caught: {caught} of {wanted}");
    if caught == wanted { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
        assert_eq!(parsed("--planted"), Ok(Asked::Planted { few: false, limit: None }));
        assert_eq!(parsed("--planted --few --seconds 9"), Ok(Asked::Planted { few: true, limit }));
        for wrong in [
            "",
            "--seed",
            "--seed x",
            "--seeds 3..3",
            "--seeds 3",
            "--seed 1 --planted",
            "--seed 1 --few",
            "--fast",
            "--seeds 1..2 --trace",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
