//! The whole-cluster simulation: from one seed, real members over real Raft, with a time, a network and disks of our own.
//!
//! ```text
//!   seed ─▶ chance ─▶ faults: crashes, power cuts at aimed points, pauses, cuts; disks that stall, fill up, fail, decay
//!                        │
//!   client::Machine ─▶ door ─▶ replica::Member ─▶ openraft ─▶ log (real bytes) ─▶ disk in memory
//!      (real)                     ▲    └──frames──▶ network ──▶ the other members
//!                                 └─ tasks, sleeps and chance: `executor`, in the order that the seed gives
//! ```
//!
//! What is real: everything from the handle down to the bytes of log and snapshot, the frames between members, and the session's
//! machine. What is not: sockets, the log's thread, the server's doors. A minute passes in faults; then they stop, and the cluster
//! has to serve within a bound. A run is a function of its seed, to the byte of the trace.
//!
//! The rooms: `executor` is time and order, `runtime` what openraft asks of it; `cluster` is who there is, `lives` how they start and
//! end, over `network` and `disk`. `clients` use them through `asks`, the `operator` meddles, the `steward` changes who belongs to the
//! cluster, `faults` strike. The `lookout` looks on; `judge` hears of everything and asks the invariants.

mod asks;
mod clients;
mod cluster;
mod disk;
mod executor;
mod faults;
mod judge;
mod lives;
mod lookout;
mod network;
mod operator;
mod outage;
mod runtime;
mod steward;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use replica::World;
use replica::log::{Log, LogId, OnFatal, OpenError, Writer};

use self::cluster::{Cluster, Sizes};
use self::executor::Life;
use crate::caller::Lines;
use crate::chance::SECOND;
use crate::clock::Rate;
use crate::tally::Happened;
use crate::{Ran, Trace, Violation};

/// What a simulated member runs in.
pub(crate) struct Whole;

impl World for Whole {
    type Runtime = runtime::Simulated;
    type Network = network::Port;

    fn start_log(writer: Writer, on_fatal: OnFatal) -> Result<Log, OpenError> {
        Ok(disk::start_log(writer, on_fatal))
    }

    fn applied(member: u64, id: LogId, batch: &lease::Batch, applied: &lease::Applied, table: &lease::Table) {
        judge::applied(member, id, batch, applied, table);
    }

    fn installed(member: u64, last: Option<LogId>, table: &lease::Table) {
        judge::count(Happened::SnapshotInstalled);
        judge::say(|| format!("m{member} installs a snapshot"));
        judge::restored(member, last.map(|id| id.index), table);
        judge::came_upon(executor::life(), table);
    }

    fn entries_kept() -> u64 {
        ENTRIES_KEPT.get()
    }
}

thread_local! {
    static ENTRIES_KEPT: Cell<u64> = const { Cell::new(0) };
}

/// Faults strike for so long.
const FAULTS: u64 = 60 * SECOND;

/// Lives through one seed, on a thread of its own.
pub fn run(seed: u64, trace: Trace) -> (Ran, Result<(), Violation>) {
    let end = FAULTS + 2 * cluster::HEALS_WITHIN;
    on_a_thread(seed, || run_here(seed, trace, end, live()))
}

/// The same, of a seed in which nothing goes wrong but that three members hear nothing of each other for 75 s.
pub fn run_outage(seed: u64, trace: Trace) -> (Ran, Result<(), Violation>) {
    on_a_thread(seed, || run_here(seed, trace, outage::END, outage::live()))
}

fn on_a_thread<T: Send>(seed: u64, run: impl FnOnce() -> T + Send) -> T {
    let ran = std::thread::scope(|scope| scope.spawn(run).join());
    ran.unwrap_or_else(|_| panic!("seed {seed}: what a run leaves behind cannot be cleared away"))
}

fn run_here(
    seed: u64,
    trace: Trace,
    end: u64,
    story: impl Future<Output = ()> + Send + 'static,
) -> (Ran, Result<(), Violation>) {
    judge::begin(seed, trace);
    disk::clear();
    let lived = catch_unwind(AssertUnwindSafe(|| executor::run(seed, end, story, judge::is_over)));
    if let Err(panic) = lived {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        judge::judge("nothing panics", Err(what.unwrap_or_else(|| "a panic without words".to_owned())));
    }
    let polls = executor::polls();
    judge::say(|| format!("the end, after {polls} polls"));
    let lived = Duration::from_nanos(executor::now());
    executor::clear();
    let (mut ran, kept) = judge::end();
    // The thread is the run's own.
    (ran.lived, ran.took) = (lived, crate::busy());
    (ran, kept)
}

async fn live() {
    ENTRIES_KEPT.set(executor::chance(|it| it.pick(&[0, 10, 100, 1_000])));
    let sizes = executor::chance(|it| Sizes {
        voters: it.pick(&[1, 3, 3, 3, 5]),
        segment_bytes: it.pick(&[16, 64]) * 1_024,
        snapshot_log_bytes: it.pick(&[1_000, 4_000, 20_000]),
        lines: it.pick(&[Lines::Often, Lines::Often, Lines::Never]),
    });
    judge::voters(sizes.voters);
    let cluster = Cluster::new(sizes);
    let _over = Over(cluster.clone());
    judge::watches_over(cluster.waits.clone());
    cluster.ids().into_iter().for_each(|id| cluster.start(id));
    let clients = (0..executor::chance(|it| it.between(2, clients::CLIENTS_MAX as u64)) as usize)
        .map(|number| begin_client(number, &cluster))
        .collect();
    executor::spawn_in(0, asks::read(cluster.clone()));
    executor::spawn_in(0, asks::stand_by(cluster.clone()));
    executor::spawn_in(0, lookout::look(cluster.clone()));
    executor::spawn_in(0, operator::live(cluster.clone(), FAULTS));
    executor::spawn_in(0, steward::live(cluster.clone(), FAULTS));
    faults::strike(cluster.clone(), clients, FAULTS).await;
    heals(&cluster).await;
    judge::close();
    // The cluster goes with the run.
    std::future::pending::<()>().await;
}

/// Ends a run, however it comes to its end.
struct Over(Cluster);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn begin_client(number: usize, cluster: &Cluster) -> Life {
    let life = cluster.new_life();
    let rate = match executor::chance(|it| it.one_in(40)) {
        true => {
            judge::client_strays(number);
            executor::chance(Rate::stray)
        }
        false => executor::chance(Rate::any),
    };
    executor::spawn_in(life, clients::live(number, rate, cluster.clone()));
    life
}

/// Nothing goes wrong any more: the cluster serves within a bound, with nobody's help but the steward's.
async fn heals(cluster: &Cluster) {
    executor::sleep(cluster::HEALS_WITHIN).await;
    if let Some(lacks) = cluster.lacks() {
        judge::judge("the cluster heals", Err(lacks));
    }
    let before = judge::grants();
    executor::sleep(5 * SECOND).await;
    if judge::grants() == before {
        judge::judge("the cluster heals", Err("no claim and no extend was answered for 5 s".to_owned()));
    }
}
