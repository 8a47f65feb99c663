//! A run: a cluster of real processes is made, used, struck, healed, and judged.
//!
//! ```text
//!   lacks? ─▶ sweep ─▶ world: network, disks, members ─▶ ready ─▶ clients ─▶ strokes of the plan
//!                                                                               │
//!   verdict ◀── check ◀── histories of all processes ◀── stop ◀── healed, calm ◀┘
//! ```
//!
//! All that it makes goes with [`World`], also where a step fails or a signal comes; what a kill -9 leaves is swept by the
//! next run.

mod clients;
mod command;
mod disk;
mod doors;
mod faked;
mod host;
mod lacks;
mod member;
mod nemesis;
mod net;
mod observers;
mod scenario;
mod schedule;
mod sweep;
mod tools;
mod world;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use torture::check::{Limits, Report, Verdict, check, order};
use torture::history::{self, Record};

pub(crate) use scenario::{Scenario, run as run_scenario};
pub(crate) use schedule::Kind;

use clients::Crowd;
use lacks::{lacks, lacks_for};
use member::Setup;
use nemesis::Struck;
use schedule::Stroke;
use tools::Tools;
use world::World;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The program under torture.
    pub(crate) tenure: PathBuf,
    pub(crate) members: u64,
    pub(crate) seed: u64,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) length: Length,
    /// Where what shows a failure is kept.
    pub(crate) keep: PathBuf,
}

/// For how long it is struck.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// By chance, for so long.
    For(Duration),
    /// By each kind once, each for so long.
    Each(Duration),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Every rule was kept.
    Clean,
    /// Something was broken, and is kept.
    Broken,
    /// This machine cannot.
    Skipped(String),
    /// A signal asked for it.
    Interrupted,
}

/// Why a run could not go on.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// The rig's own.
    Rig(String),
    /// A promise that the rig itself saw broken.
    Broken(String),
    /// A signal came.
    Interrupted,
}

/// Set by SIGINT and SIGTERM.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The limits of these runs: those of the contract, but for what a machine that does everything at once adds to times that are
/// promised to one that does not.
fn limits() -> Limits {
    let default = Limits::default();
    Limits { late: 4 * default.late, told: 8 * default.told, ..default }
}

/// Does it all, and prints what happens.
pub(crate) fn run(run: &Run) -> Result<Ended, Trouble> {
    if let Some(why) = lacks() {
        return Ok(Ended::Skipped(why));
    }
    let (possible, lacking): (Vec<Kind>, Vec<Kind>) =
        run.kinds.iter().partition(|kind| lacks_for(**kind).is_none());
    for kind in &lacking {
        println!("skipped: {kind}: {}", lacks_for(*kind).unwrap_or_default());
    }
    if possible.is_empty() {
        return Ok(Ended::Skipped("none of these nemeses is possible here".to_owned()));
    }
    judged(&run.keep.join(format!("seed-{}", run.seed)), |folder| in_folder(run, &possible, folder))
}

/// Does it in a folder of its own, judges the histories that are there then, and keeps what shows a failure.
fn judged(keep_in: &Path, work: impl FnOnce(&Path) -> Result<(), Trouble>) -> Result<Ended, Trouble> {
    let temporary = std::env::temp_dir();
    let swept = sweep::sweep(&temporary);
    if swept > 0 {
        println!("swept {swept} leftovers of runs that were killed");
    }
    let folder = Folder::make(temporary.join(format!("{}{}", sweep::FOLDERS, std::process::id())))?;
    let outcome = work(&folder.0);
    if matches!(outcome, Err(Trouble::Interrupted)) {
        // Half a run, in which nothing had time to heal, would be judged unjustly.
        return Ok(Ended::Interrupted);
    }
    let verdict = judge(&folder.0);
    let ended = match (outcome, verdict) {
        (Err(trouble @ (Trouble::Rig(_) | Trouble::Interrupted)), _) => Err(trouble),
        (Err(Trouble::Broken(what)), verdict) => {
            println!("BROKEN: {what}");
            verdict.map(|_| Ended::Broken)
        }
        (Ok(()), Ok(true)) => Ok(Ended::Clean),
        (Ok(()), Ok(false)) => Ok(Ended::Broken),
        (Ok(()), Err(trouble)) => Err(trouble),
    };
    if !matches!(ended, Ok(Ended::Clean)) {
        keep(&folder.0, keep_in)?;
    }
    ended
}

fn in_folder(run: &Run, kinds: &[Kind], folder: &Path) -> Result<(), Trouble> {
    let strokes = match run.length {
        Length::For(length) => schedule::plan(run.seed, kinds, length),
        Length::Each(hold) => schedule::each(run.seed, kinds, hold, Duration::from_secs(2)),
    };
    let mut world = make_world(run, folder)?;
    if kinds.iter().any(|kind| matches!(kind, Kind::Clock | Kind::WildClock)) {
        faked::prove(&world)?;
    }
    world.until_ready(Duration::from_secs(30))?;
    (0..3).try_for_each(|_| world.start_clients(Crowd::MIXED))?;
    strike_all(&mut world, &strokes)?;
    finish(world)
}

fn make_world(run: &Run, folder: &Path) -> Result<World, Trouble> {
    let setup = Setup {
        tenure: run.tenure.clone(),
        tools: Tools::make(folder)?,
        folder: folder.to_owned(),
        members: run.members,
        cluster: u128::from(run.seed) + 1,
    };
    World::make(setup, &format!("{}{}", sweep::NAMESPACES, std::process::id()), run.seed)
}

/// Goes on until all is well, and ends clients and observers: the histories are whole then.
fn finish(mut world: World) -> Result<(), Trouble> {
    until_healed(&world, limits())?;
    world.stop_clients()?;
    // The watches of all members see the last of it.
    pause(Duration::from_secs(1))?;
    println!(
        "{:>6.1}s {} changes of the leader",
        world.since().as_secs_f64(),
        world.observers.seen.leader_changes()
    );
    Ok(world.observers.stop()?)
}

/// Strikes and heals as the plan says, and heals what lasts in the end.
fn strike_all(world: &mut World, strokes: &[Stroke]) -> Result<(), Trouble> {
    let start = Instant::now();
    let mut next = strokes.iter();
    let mut coming = next.next();
    let mut lasting: Vec<Struck> = Vec::new();
    while coming.is_some() || !lasting.is_empty() {
        let now = start.elapsed();
        if let Some(stroke) = coming.filter(|stroke| stroke.from <= now) {
            lasting.extend(world.strike(*stroke)?);
            coming = next.next();
        }
        let (over, still): (Vec<Struck>, Vec<Struck>) =
            lasting.into_iter().partition(|struck| struck.stroke.to <= now);
        over.iter().try_for_each(|struck| world.heal(struck))?;
        lasting = still;
        lasting.iter_mut().try_for_each(|struck| world.turn(struck))?;
        pause(Duration::from_millis(20))?;
    }
    Ok(())
}

/// Goes on without faults until all is well, and a little longer; no longer than that may take.
fn until_healed(world: &World, limits: Limits) -> Result<(), Trouble> {
    let (calm, most) = (Duration::from_secs(5), Duration::from_nanos(limits.heal));
    let start = Instant::now();
    world.observers.probe();
    let well = || {
        let looks = world.numbers().into_iter().map(|member| world.observers.seen.look(member));
        looks.into_iter().all(|look| look.ready && look.probes > 0)
    };
    while start.elapsed() < most && !(start.elapsed() > calm && well()) {
        pause(Duration::from_millis(50))?;
    }
    println!(
        "{:>6.1}s {}",
        world.since().as_secs_f64(),
        if well() { "all is well" } else { "not all is well" }
    );
    Ok(())
}

/// Sleeps, unless a signal has come.
fn pause(length: Duration) -> Result<(), Trouble> {
    std::thread::sleep(length);
    if INTERRUPTED.load(Ordering::Acquire) { Err(Trouble::Interrupted) } else { Ok(()) }
}

/// Whether the histories in the folder keep every rule.
fn judge(folder: &Path) -> Result<bool, Trouble> {
    Ok(print_verdict(&read_all(folder)?)?.is_clean())
}

/// The histories of all processes, ordered by time.
fn read_all(folder: &Path) -> Result<Vec<Record>, Trouble> {
    let mut records = Vec::new();
    for file in World::histories(folder)? {
        records.extend(read(&file)?);
    }
    order(&mut records);
    Ok(records)
}

/// Judges one file.
pub(crate) fn judge_file(file: &Path) -> Result<Ended, Trouble> {
    let mut records = read(file)?;
    order(&mut records);
    Ok(if print_verdict(&records)?.is_clean() { Ended::Clean } else { Ended::Broken })
}

fn read(file: &Path) -> Result<Vec<Record>, Trouble> {
    let input = BufReader::new(File::open(file)?);
    history::read(input).map_err(|bad| Trouble::Rig(format!("{}: {bad}", file.display())))
}

fn print_verdict(records: &[Record]) -> Result<Verdict, Trouble> {
    let verdict = check(records, limits()).map_err(|malformed| Trouble::Rig(malformed.to_string()))?;
    println!("\n{} records\n{}", records.len(), Report { verdict: &verdict, records });
    Ok(verdict)
}

/// Keeps histories, logs and settings of a run that failed; not its disks.
fn keep(folder: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())) {
        let wanted = file.extension().is_some_and(|kind| kind == "jsonl" || kind == "log" || kind == "toml");
        if let (true, Some(name)) = (wanted, file.file_name()) {
            fs::copy(&file, to.join(name))?;
        }
    }
    println!("kept in {}: histories, logs and settings", to.display());
    Ok(())
}

/// A run's folder, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn make(path: PathBuf) -> io::Result<Folder> {
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        sweep::clear(&self.0);
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Rig(why) | Trouble::Broken(why) => f.write_str(why),
            Trouble::Interrupted => f.write_str("it was interrupted"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Rig(error.to_string())
    }
}

impl From<command::Failed> for Trouble {
    fn from(failed: command::Failed) -> Trouble {
        Trouble::Rig(failed.to_string())
    }
}
