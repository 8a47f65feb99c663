//! openraft behind a few words of our own, so that it can be replaced: [`Engine`].
//!
//! * [`types`] says which types openraft is used with;
//! * [`log`] puts our segmented log behind its storage trait;
//! * [`machine`] puts the lease table behind its state machine;
//! * [`codec`] has our own encodings of what openraft wants kept: its serde layout is neither on disk nor on the wire;
//! * [`peers`] is its network.
//!
//! Settings, and why: a restarted leader does not lead on without an election (`enable_leader_restore` off: it would report
//! itself leader of a term that may be over); candidates ask before they raise the term (`enable_pre_vote`), so that a
//! member that was cut off does not disturb; one leader a term (`leader_id_std`), so that a term fences; reads are ReadIndex
//! only, because lease reads are unsafe across a voter's restart.

pub(crate) mod codec;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod peers;
pub(crate) mod types;

pub use peers::{
    Alone, Answering, Asked, Connection, Link, Network, PEER_FRAME_BYTES_MAX, Peers, Unreached, WireError,
};
pub use types::{Data, Peer, Types};
pub(crate) use types::{LogId, Membership};

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lease::Batch;
use openraft::async_runtime::AsyncRuntime;
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::type_config::async_runtime::oneshot::Oneshot;
use openraft::{Config, ReadPolicy, ServerState, SnapshotPolicy};
use openraft_rt::watch::WatchReceiver;

use crate::engine::{Engine, Leadership, Proposed};
use crate::log::{Log, NoRoom};
use crate::shared::Shared;
use crate::snapshot::Snapshots;
use crate::{StartError, World};
use machine::Machine;

/// One group's consensus, as openraft has it.
pub(crate) type Group<W> = openraft::Raft<Types<<W as World>::Runtime>, Machine<W>>;

/// One group's consensus, and the log that it writes.
pub(crate) struct Raft<W: World> {
    raft: Group<W>,
    log: Log,
}

impl<W: World> Clone for Raft<W> {
    fn clone(&self) -> Raft<W> {
        Raft { raft: self.raft.clone(), log: self.log.clone() }
    }
}

/// A proposal under way.
pub(crate) struct Proposing<W: World>(Answered<W>);

type Answered<W> = <<<W as World>::Runtime as AsyncRuntime>::Oneshot as Oneshot>::Receiver<
    ClientWriteResult<Types<<W as World>::Runtime>>,
>;

impl<W: World> Future for Proposing<W> {
    type Output = Proposed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Proposed> {
        Pin::new(&mut self.0).poll(cx).map(proposed)
    }
}

/// Entries in one append: so many at their fullest fit into a frame.
pub(crate) const ENTRIES_MAX: u64 = 512;

fn config(cluster: u128) -> Result<Arc<Config>, StartError> {
    let config = Config {
        cluster_name: format!("{cluster:032x}"),
        heartbeat_interval: 50,
        election_timeout_min: 250,
        election_timeout_max: 500,
        max_payload_entries: ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 1_000,
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        quorum_loss_probe_interval: Some(1_000),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| StartError::Engine(error.to_string()))
}

impl<W: World> Raft<W> {
    pub(crate) async fn start(
        cluster: u128,
        member: u64,
        network: W::Network,
        log: Log,
        store: log::Store<W::Runtime>,
        machine: Machine<W>,
    ) -> Result<Raft<W>, StartError> {
        let network = peers::Remotes { network };
        let raft = openraft::Raft::new(member, config(cluster)?, network, store, machine)
            .await
            .map_err(|error| StartError::Engine(error.to_string()))?;
        Ok(Raft { raft, log })
    }

    /// Makes these the voters of a new cluster, where this member has no log yet. Each of them may say so.
    pub(crate) async fn form(&self, members: BTreeMap<u64, Peer>) -> Result<(), StartError> {
        let engine = |error: String| StartError::Engine(error);
        if self.raft.is_initialized().await.map_err(|error| engine(error.to_string()))? {
            return Ok(());
        }
        self.raft.initialize(members).await.map_err(|error| engine(error.to_string()))
    }

    /// This member, as the others ask it.
    pub(crate) fn peers(&self, snapshots: Snapshots) -> Peers<W> {
        Peers::new(self.raft.clone(), snapshots)
    }

    /// Pokes `shared` whenever who leads may have changed, and tells it when the engine has ended.
    pub(crate) async fn watch(self, shared: Arc<Shared>) {
        let mut metrics = self.raft.server_metrics();
        while metrics.changed().await.is_ok() {
            shared.poke();
        }
        shared.end_engine();
    }

    pub(crate) async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the engine did not end as it should");
        }
    }
}

impl<W: World> Engine for Raft<W> {
    type Proposing = Proposing<W>;

    fn leadership(&self) -> Leadership {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Leadership {
            term: metrics.current_term,
            leader: metrics.current_leader,
            leads: metrics.state == ServerState::Leader,
        }
    }

    async fn propose(&self, batch: Arc<Batch>) -> Option<Proposing<W>> {
        let (responder, outcome) = openraft::impls::OneshotResponder::new_pair();
        let term = types::CommittedLeaderId::new(batch.term);
        let write = self.raft.write(Data(batch)).with_leader(term).responder(responder);
        write.await.ok().map(|()| Proposing(outcome))
    }

    fn read_barrier(&self) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let raft = self.raft.clone();
        Box::pin(async move { raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_ok() })
    }

    async fn snapshot(&self) {
        if let Err(error) = self.raft.trigger().snapshot().await {
            tracing::warn!(%error, "a snapshot could not be started");
        }
    }

    fn oldest_unsynced(&self) -> Option<Duration> {
        self.log.oldest_unsynced()
    }

    fn no_room(&self) -> Option<NoRoom> {
        self.log.no_room()
    }
}

/// What openraft's answer to a proposal means for those who wait for it.
fn proposed<R: AsyncRuntime, E>(result: Result<ClientWriteResult<Types<R>>, E>) -> Proposed {
    match result {
        Ok(Ok(response)) => Proposed::Applied(response.data),
        Ok(Err(ClientWriteError::ForwardToLeader(_) | ClientWriteError::PreconditionFailed(_))) => {
            Proposed::NotAppended
        }
        Ok(Err(ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::ChangeMembershipError(_))) => {
            Proposed::Unknown
        }
        Err(_) => Proposed::Ended,
    }
}
