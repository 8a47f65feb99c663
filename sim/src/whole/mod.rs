//! The whole-cluster simulation: from one seed, real members over real Raft, with a time, a network and disks of our own.
//!
//! ```text
//!   seed ─▶ chance ─▶ faults: crashes, power cuts in a sync, pauses, cuts, stalls
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
//! The rooms: `executor` is time and order, `runtime` what openraft asks of it; `cluster` starts and crashes members over `network` and
//! `disk`; `clients` use them, `faults` strike; `judge` hears of everything and asks the invariants.

mod clients;
mod cluster;
mod disk;
mod executor;
mod faults;
mod judge;
mod network;
mod runtime;

use replica::World;
use replica::log::{Log, LogId, OnFatal, OpenError, Writer};

use crate::chance::{MILLI, SECOND};
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
}

/// Faults strike for so long.
const FAULTS: u64 = 60 * SECOND;

/// Lives through one seed, on a thread of its own.
pub fn run(seed: u64, trace: Trace) -> (Ran, Result<(), Violation>) {
    let ran = std::thread::scope(|scope| scope.spawn(|| run_here(seed, trace)).join());
    ran.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        let what = what.unwrap_or_else(|| "a panic without words".to_owned());
        (Ran::default(), Err(Violation { seed, at: 0, invariant: "nothing panics", what }))
    })
}

fn run_here(seed: u64, trace: Trace) -> (Ran, Result<(), Violation>) {
    judge::begin(seed, trace);
    disk::clear();
    executor::run(seed, FAULTS + 2 * cluster::HEALS_WITHIN, live(), judge::is_broken);
    let polls = executor::polls();
    judge::say(|| format!("the end, after {polls} polls"));
    executor::clear();
    judge::end()
}

async fn live() {
    let size = executor::chance(|it| it.pick(&[1, 3, 3, 3, 5]));
    let cluster = cluster::Cluster::new(size);
    cluster.ids().into_iter().for_each(|id| cluster.start(id));
    for number in 0..executor::chance(|it| it.between(2, 4)) as usize {
        executor::spawn_in(0, clients::live(number, cluster.clone()));
    }
    executor::spawn_in(0, clients::read(cluster.clone()));
    // A member that crashes while its cluster forms may take its own folder for a lost one, and then needs a hand.
    while !cluster.is_whole() && executor::now() < cluster::HEALS_WITHIN {
        executor::sleep(20 * MILLI).await;
    }
    faults::strike(cluster.clone(), FAULTS).await;
    executor::sleep(cluster::HEALS_WITHIN).await;
    if !cluster.is_whole() {
        judge::judge("the cluster heals", Err("a member does not serve, or is behind".to_owned()));
    }
    let before = judge::answered();
    executor::sleep(5 * SECOND).await;
    if judge::answered() == before {
        judge::judge("the cluster heals", Err("no claim and no extend was answered for 5 s".to_owned()));
    }
}
