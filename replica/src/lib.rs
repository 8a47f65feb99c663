//! Raft around the lease table: storage, batches, time, waits and reads; no door, so that another service can embed it.
//!
//! ```text
//!   Handle ──asks──▶ driver ──batches──▶ raft (openraft) ──▶ log (segments on a disk)
//!     ▲                 │ stamps: clock        │
//!     │                 ▼                      ▼ committed
//!     └───answers── waits, reads ◀────── machine: lease::Table ──▶ snapshot
//! ```
//!
//! What decides is pure and takes the time as an argument: [`clock`] (anchor, grace, stamp, clamp), `batch` (order and
//! size), `admission` (who is let in), `waits`, `queue` and `desks` (the line), `members` (who may be in or out). The rest carries, over four traits: [`Clock`], [`Network`], [`log::Disk`] with its files, and
//! openraft's `AsyncRuntime`. Nothing here reads a clock, opens a file or a socket, or starts a thread but through them. The
//! one exception is [`log::Log`], which runs the log's writer on a thread of its own and has that thread's clock, for its retries
//! of a full disk and for how long a record waits; the simulator runs the writer without it.

mod admission;
mod batch;
mod beginning;
pub mod clock;
mod desks;
mod driver;
pub mod engine;
mod events;
mod handle;
mod joining;
pub mod log;
mod members;
mod pace;
#[cfg(any(test, feature = "parsers"))]
#[doc(hidden)]
pub mod parsers;
mod promise;
mod queue;
mod raft;
mod roster;
mod serve;
mod shared;
#[doc(hidden)]
pub mod simulation;
mod snapshot;
mod waits;

pub use beginning::OnBegun;
pub use clock::{Clock, Mono};
pub use events::{Led, Pulled, Unwatchable, Wake, Watched, Window};
pub use handle::*;
pub use joining::{Asks, ask_to_join};
pub use members::{MEMBERS_MAX, MemberChange, MemberView, Unchanged, VOTERS_MAX, is_address};
pub use queue::PLACE_KEPT;
pub use raft::{
    Alone, Answering, Asked, Connection, Data, Link, Network, PEER_FRAME_BYTES_MAX, Peer, Peers, Types,
    Unreached, WireError,
};
pub use snapshot::{Backup, BackupError, FrozenState, Home, Restored, SnapshotError, SnapshotFile};

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use openraft::async_runtime::AsyncRuntime;

use crate::driver::{Driver, Me, SnapshotTrigger};
use crate::log::{Cut, Identity, Log, OpenError, START_ANEW, UnprovableTail};
use crate::raft::Raft;
use crate::raft::log::Store;
use crate::raft::machine::Machine;
use crate::shared::Shared;
use crate::snapshot::{Head, Owner, Snapshots};

/// What a replica runs in: tokio and sockets in the server, a simulation in the simulator.
pub trait World: 'static {
    /// Tasks, sleeps, channels and chance.
    type Runtime: AsyncRuntime;
    /// How members reach each other.
    type Network: Network;

    /// Starts what writes the log: a thread, unless the world has none.
    ///
    /// # Errors
    /// The thread could not be started.
    fn start_log(writer: log::Writer, on_fatal: log::OnFatal) -> Result<Log, OpenError> {
        Log::start(writer, on_fatal)
    }

    /// Looks on as a member applies an entry: a batch, with what came of it, and the table behind it.
    fn applied(
        _member: u64,
        _id: log::LogId,
        _batch: &lease::Batch,
        _applied: &lease::Applied,
        _: &lease::Table,
    ) {
    }

    /// Looks on as a member puts a snapshot in the place of its state: the last entry that it has, and the table in it.
    fn installed(_member: u64, _last: Option<log::LogId>, _: &lease::Table) {}

    /// How many entries stay in the log behind a snapshot, so that a member that lags by no more than these need not take it: about
    /// a second of them under load, in which one that is restarted comes back; at most 16 MiB.
    fn entries_kept() -> u64 {
        250
    }
}

/// Who this member is, and what it may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's id: random, made once.
    pub cluster: u128,
    /// The member's id within it.
    pub member: u64,
    /// How its cluster begins. Of no account once there is a log.
    pub first: First,
    /// Whether it bears the mark that [`OnBegun`] makes: it may have voted, and so must have a log, or it could vote twice.
    pub begun: bool,
    /// What to do with damage in the last batch, which may have been acknowledged.
    pub unprovable_tail: UnprovableTail,
    /// Bytes of the log's segments; none for the default.
    pub segment_bytes: Option<u64>,
    /// Which events are kept for watches.
    pub window: Window,
    /// Bytes of log after which a snapshot is made, and what it covers may go; the first after a start comes earlier, at each member at
    /// another place.
    pub snapshot_log_bytes: u64,
    /// Commands of a kind that may wait for their turn, at most [`lease::QUEUE_MAX`].
    pub commands: usize,
}

/// How a member without a log begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum First {
    /// As a cluster of its own.
    #[default]
    Alone,
    /// As one of the first voters of a new cluster, this member among them, and where each is reached by the others. The cluster
    /// begins once all of them are there.
    With(BTreeMap<u64, Peer>),
    /// By waiting until it is added to a cluster.
    Added,
}

/// What the replica uses of its surroundings.
pub struct Parts<W: World> {
    /// The machine's clock.
    pub clock: Arc<dyn Clock>,
    /// The folder of the log.
    pub log_disk: Arc<dyn log::Disk>,
    /// The folder of the snapshots.
    pub snapshot_disk: Arc<dyn log::Disk>,
    /// How members reach each other.
    pub network: W::Network,
    /// Called before the member's first vote, to make durable that it is [`Options::begun`] from now on.
    pub on_begun: OnBegun,
    /// Called when the log cannot go on: a write or a sync failed. It should end the process at once; whatever it does, nothing
    /// is acknowledged any more.
    pub on_fatal: log::OnFatal,
}

/// A running replica.
pub struct Member<W: World> {
    handle: Handle,
    raft: Raft<W>,
    snapshots: Snapshots,
    log: Log,
    /// None once it has ended.
    driver: Option<<W::Runtime as AsyncRuntime>::JoinHandle<()>>,
    cut: Option<Cut>,
}

/// Why a replica did not start. Its data is as it was.
#[derive(Debug)]
pub enum StartError {
    /// The log could not be opened.
    Log(OpenError),
    /// The snapshot could not be read.
    Snapshot(SnapshotError),
    /// An entry's checksum is right and its contents cannot be read.
    Entry(lease::DecodeError),
    /// Entries between the snapshot and the log are missing.
    Gap {
        /// The newest snapshot, or the folder that has none.
        path: String,
        /// The last entry that the snapshot has.
        snapshot: Option<u64>,
        /// The last entry that the log has given back.
        purged: u64,
    },
    /// The consensus engine refused.
    Engine(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Log(error) => error.fmt(f),
            StartError::Snapshot(error) => error.fmt(f),
            StartError::Entry(error) => {
                write!(f, "an entry of the log cannot be read: {error}")?;
                match error.newer {
                    Some(_) => Ok(()),
                    None => f.write_str("; where a newer program wrote it, upgrade this one to that"),
                }
            }
            StartError::Gap { path, snapshot, purged } => write!(
                f,
                "{path}: {}, and the log begins behind entry {purged}: the entries between are lost; nothing was changed: {START_ANEW}",
                match snapshot {
                    Some(index) => format!("the snapshot ends at entry {index}"),
                    None => "there is no snapshot".to_owned(),
                }
            ),
            StartError::Engine(error) => write!(
                f,
                "the consensus engine did not start: {error}; start again, and report it if it comes back"
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> StartError {
        StartError::Log(error)
    }
}

impl From<SnapshotError> for StartError {
    fn from(error: SnapshotError) -> StartError {
        StartError::Snapshot(error)
    }
}

impl From<lease::DecodeError> for StartError {
    fn from(error: lease::DecodeError) -> StartError {
        StartError::Entry(error)
    }
}

/// Starts a replica: takes its state from the newest snapshot and the log behind it, and begins as [`Options::first`] says where
/// there is nothing yet. To be called within the runtime.
///
/// # Errors
/// [`StartError`]; nothing on the disk was changed but what the log's own rules for a torn tail allow, and entries that the newest
/// snapshot shows never to have been committed.
pub async fn start<W: World>(options: Options, parts: Parts<W>) -> Result<Member<W>, StartError> {
    let owner = Owner { cluster: options.cluster, member: options.member };
    let snapshots = Snapshots { disk: parts.snapshot_disk, owner };
    let newest = snapshots.newest()?;
    let identity = Identity { cluster: options.cluster, node: options.member, group: 0 };
    let (recovered, writer) = log::open(parts.log_disk, identity, log_options(&options, newest.is_some()))?;
    let head = newest.as_ref().map(|(head, _)| head);
    check_gap(&snapshots, head, recovered.purged.map(|id| id.index))?;
    let cut = recovered.cut.clone();
    let log = W::start_log(writer, parts.on_fatal)?;
    let written = Arc::new(AtomicU64::new(0));
    let mut store = Store::new(log.clone(), recovered, Arc::clone(&written))?;
    if let Some(snapshot) = head.and_then(|head| head.meta.last_log_id) {
        store.give_way(snapshot).await.map_err(|error| StartError::Engine(error.to_string()))?;
    }

    let shared = Arc::new(
        Shared::new(parts.clock, lease::Table::new(0), options.window).with_room_for(options.commands),
    );
    shared.publish(|status| status.member = options.member);
    if let Some((Head { meta, removed }, table)) = newest {
        let mut state = shared.state();
        state.table = table;
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership;
        state.removed = removed;
        let revision = state.table.revision();
        state.events.restart(revision);
    }
    let machine = Machine { shared: Arc::clone(&shared), snapshots: snapshots.clone(), world: PhantomData };
    let raft =
        Raft::<W>::start(options.cluster, options.member, parts.network, log.clone(), store, machine).await?;
    beginning::begin(&raft, (options.member, options.begun), options.first, parts.on_begun).await?;
    drop(W::Runtime::spawn(raft.clone().watch()));
    drop(W::Runtime::spawn(raft.clone().look_whether_removed()));
    drop(W::Runtime::spawn(raft.clone().call_leader()));
    let trigger = SnapshotTrigger::new(written, options.snapshot_log_bytes, options.member);
    let me = Me { member: options.member, life: random::<W::Runtime>() };
    let driver = Driver::new(Arc::clone(&shared), raft.clone(), me, trigger);
    let driver = W::Runtime::spawn(driver.run::<W::Runtime>());
    Ok(Member { handle: Handle { shared }, raft, snapshots, log, driver: Some(driver), cut })
}

fn random<R: AsyncRuntime>() -> u64 {
    use rand::Rng as _;
    R::thread_rng().next_u64()
}

fn log_options(options: &Options, has_snapshot: bool) -> log::Options {
    let mut log_options =
        log::Options { unprovable_tail: options.unprovable_tail, ..log::Options::default() };
    if options.begun || has_snapshot {
        log_options.expect = log::Expect::Log;
    }
    if let Some(bytes) = options.segment_bytes {
        log_options.segment_bytes = bytes;
    }
    log_options
}

fn check_gap(snapshots: &Snapshots, newest: Option<&Head>, purged: Option<u64>) -> Result<(), StartError> {
    let snapshot = newest.and_then(|head| head.meta.last_log_id).map(|id| id.index);
    match purged {
        Some(purged) if snapshot.is_none_or(|index| index < purged) => {
            Err(StartError::Gap { path: snapshots.path(newest), snapshot, purged })
        }
        _ => Ok(()),
    }
}

impl<W: World> Member<W> {
    /// A way to ask it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// A way for the others to ask it.
    pub fn peers(&self) -> Peers<W> {
        self.raft.peers(self.snapshots.clone())
    }

    /// What was cut from the log's end when it was opened; to be logged loudly.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// Comes back when the replica has ended without being asked to, with why where that is known: its engine failed, the table
    /// broke an invariant, or it may not take part in its cluster. Nothing is answered any more but `Stopping`, and the process
    /// should end. May be dropped and called again.
    pub async fn ended(&mut self) -> Option<String> {
        if let Some(driver) = &mut self.driver {
            if let Err(error) = driver.await {
                tracing::error!(%error, "the driver broke off");
            }
            self.driver = None;
        }
        self.handle.shared.why_ended()
    }

    /// Stops: what is in flight is finished within 2 s, whoever else waits is told `Stopping`, and the log is closed.
    pub async fn stop(mut self) {
        self.handle.shared.begin_stop();
        drop(self.ended().await);
        self.raft.shutdown().await;
        self.log.stop();
    }
}
