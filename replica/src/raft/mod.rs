//! openraft behind a few words of our own, so that it can be replaced: [`Engine`].
//!
//! * [`types`] says which types openraft is used with;
//! * [`log`] puts our segmented log behind its storage trait, and [`kept`] has its entries in memory;
//! * [`machine`] puts the lease table behind its state machine;
//! * [`codec`] has our own encodings of what openraft wants kept: its serde layout is neither on disk nor on the wire;
//! * [`peers`] is its network, and [`links`] keeps the ways to the other members;
//! * [`members`] changes who they are, [`reached`] looks where they are, [`belonging`] whether this is still one of
//!   them, and [`calling`] whether it can ask who leads.
//!
//! Settings, and why: a restarted leader does not lead on without an election (`enable_leader_restore` off: it would report
//! itself leader of a term that may be over); candidates ask before they raise the term (`enable_pre_vote`), so that a
//! member that was cut off does not disturb; one leader a term (`leader_id_std`), so that a term fences; reads are ReadIndex
//! only, because lease reads are unsafe across a voter's restart.

pub(crate) mod belonging;
mod calling;
pub(crate) mod codec;
mod kept;
mod links;
pub(crate) mod log;
pub(crate) mod machine;
mod members;
pub(crate) mod peers;
mod reached;
pub(crate) mod types;

pub use peers::{
    Alone, Answering, Asked, Connection, Link, Network, PEER_FRAME_BYTES_MAX, Peers, Unreached, WireError,
    asks_for_vote,
};
pub(crate) use peers::{ask_of, asks, frame_of, frame_of_said, said_of, says_removed};
pub use types::{Data, Peer, Types};
pub(crate) use types::{LogId, Membership};

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use lease::Batch;
use openraft::async_runtime::{AsyncRuntime, Instant as _};
use openraft::errors::ClientWriteError;
use openraft::raft::ClientWriteResult;
use openraft::type_config::async_runtime::oneshot::Oneshot;
use openraft::{Config, ReadPolicy, ServerState, SnapshotPolicy};
use openraft_rt::watch::WatchReceiver;

use crate::beginning::Far;
use crate::engine::{Engine, Leadership, Proposed};
use crate::log::{Log, NoRoom};
use crate::members::{HEARD_LATELY, MemberChange, MemberView, Unchanged};
use crate::shared::Shared;
use crate::snapshot::Snapshots;
use crate::{StartError, World};
use belonging::Belonging;
use links::Links;
use machine::Machine;

/// One group's consensus, as openraft has it.
pub(crate) type Group<W> = openraft::Raft<Types<<W as World>::Runtime>, Machine<W>>;

/// One group's consensus, and the log that it writes.
pub(crate) struct Raft<W: World> {
    raft: Group<W>,
    log: Log,
    shared: Arc<Shared>,
    links: Arc<Links<W::Network>>,
    belonging: Belonging,
    /// A change of the members is under way here.
    changing: Arc<AtomicBool>,
}

impl<W: World> Clone for Raft<W> {
    fn clone(&self) -> Raft<W> {
        Raft {
            raft: self.raft.clone(),
            log: self.log.clone(),
            shared: Arc::clone(&self.shared),
            links: Arc::clone(&self.links),
            belonging: self.belonging.clone(),
            changing: Arc::clone(&self.changing),
        }
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

fn config<W: World>(cluster: u128) -> Result<Arc<Config>, StartError> {
    let config = Config {
        cluster_name: format!("{cluster:032x}"),
        heartbeat_interval: 50,
        election_timeout_min: 250,
        election_timeout_max: 500,
        max_payload_entries: ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: W::entries_kept(),
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        enable_elect: false,
        quorum_loss_probe_interval: Some(1_000),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| StartError::Engine(error.to_string()))
}

/// How often it is looked whether a change of the members is left over, besides whenever who leads may have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl<W: World> Raft<W> {
    pub(crate) async fn start(
        cluster: u128,
        member: u64,
        network: W::Network,
        log: Log,
        store: log::Store<W::Runtime>,
        machine: Machine<W>,
    ) -> Result<Raft<W>, StartError> {
        let shared = Arc::clone(&machine.shared);
        let links = Arc::new(Links::new(network));
        let belonging = Belonging::new(Arc::clone(&shared), cluster, member);
        let remotes = peers::Remotes::new(Arc::clone(&links), belonging.clone());
        let raft = openraft::Raft::new(member, config::<W>(cluster)?, remotes, store, machine)
            .await
            .map_err(|error| StartError::Engine(error.to_string()))?;
        Ok(Raft { raft, log, shared, links, belonging, changing: Arc::default() })
    }

    /// Makes these the voters of a new cluster; this member has no log yet. Every one of them may call this, with the same voters.
    pub(crate) async fn form(&self, members: BTreeMap<u64, Peer>) -> Result<(), StartError> {
        let formed = self.raft.initialize(members).await;
        formed.map_err(|error| StartError::Engine(error.to_string()))
    }

    /// This member, as the others ask it.
    pub(crate) fn peers(&self, snapshots: Snapshots) -> Peers<W> {
        Peers::new(self.raft.clone(), snapshots, Arc::clone(&self.shared), self.log.clone())
    }

    /// Pokes `shared` whenever who leads may have changed, and tells it when the engine has ended.
    pub(crate) async fn watch(self) {
        let mut metrics = self.raft.server_metrics();
        // A timeout is no news. But a change of the members that is to be ended may have been refused, as it is until the first
        // entry of a leader's term is committed, and nothing tells when that is over.
        while !matches!(W::Runtime::timeout(LOOK_EVERY, metrics.changed()).await, Ok(Err(_))) {
            self.shared.poke();
            self.follow_members();
            let raft = self.clone();
            drop(W::Runtime::spawn(async move { raft.finish_change().await }));
        }
        self.shared.end_engine();
    }

    /// Members may be at other addresses than before.
    fn follow_members(&self) {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let members = metrics.membership_config.membership().nodes();
        self.links.follow(members.map(|(id, peer)| (*id, peer.address.as_str())));
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
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::ReadWithoutIndex) {
            return Box::pin(std::future::ready(true));
        }
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

    fn ask(&self, member: u64, frame: Vec<u8>, patience: Duration) -> Asked {
        let Some(peer) = self.peer(member) else {
            let why = format!("member {member} is not of this cluster");
            return Box::pin(std::future::ready(Err(Unreached::never_left(why))));
        };
        self.ask_at(member, &peer.address, frame, patience)
    }

    fn change(
        &self,
        change: MemberChange,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<MemberView>, Unchanged>> + Send>> {
        Box::pin(self.clone().change_members(change))
    }

    fn news_age(&self) -> Option<Duration> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader {
            let ago = self.shared.leader_heard_ago();
            return ago.map(|ago| Duration::from_nanos(ago.as_nanos()));
        }
        match metrics.membership_config.membership().voter_ids().count() {
            1 => Some(Duration::ZERO),
            _ => metrics.last_quorum_acked.map(|at| at.elapsed()),
        }
    }

    fn last_index(&self) -> Option<u64> {
        self.raft.metrics().borrow_watched().last_log_index
    }

    fn drains(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&metrics.id).is_some_and(|peer| peer.drains)
    }

    async fn hand_on(&self) -> bool {
        let Some(to) = self.fit_to_lead() else { return false };
        // A leader that hands on takes no commands: one that drains leads on until another has nearly all.
        let last = self.raft.metrics().borrow_watched().last_log_index;
        if self.drains() && self.matched(to).zip(last).is_none_or(|(has, last)| has + NEARLY_ALL < last) {
            return false;
        }
        tracing::info!(to, "handing the lead on");
        if let Err(error) = self.raft.trigger().transfer_leader(to).await {
            tracing::warn!(%error, "the lead could not be handed on");
        }
        true
    }
}

/// Entries of the log that whoever takes the lead from a member that drains may lack yet.
const NEARLY_ALL: u64 = 64;

impl<W: World> Raft<W> {
    /// A member, by the newest membership in the log.
    fn peer(&self, member: u64) -> Option<Peer> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&member).cloned()
    }

    /// Asks whoever is at `address`.
    pub(crate) fn ask_at(&self, member: u64, address: &str, frame: Vec<u8>, patience: Duration) -> Asked {
        let asked = self.links.way(member, address).ask(frame);
        let belonging = self.belonging.clone();
        Box::pin(async move {
            let late = || Unreached::unanswered(format!("no answer within {patience:?}"));
            let answer =
                <W::Runtime as AsyncRuntime>::timeout(patience, asked).await.unwrap_or_else(|_| Err(late()));
            match answer {
                Ok(bytes) if says_removed(&bytes) => {
                    belonging.is_over();
                    Err(Unreached::never_left("this member was removed"))
                }
                answer => answer,
            }
        })
    }

    /// This member gives votes, and asks for them.
    pub(crate) fn vote_from_now_on(&self) {
        self.shared.set_far(Far::Begun);
        self.raft.runtime_config().elect(true);
    }

    /// What this member is by the log that it has.
    pub(crate) fn place(&self) -> Place {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let (vote, committed) = (&metrics.vote, metrics.cluster_committed);
        let of_this_leader =
            committed.is_some_and(|id| vote.committed && id.leader_id.term == vote.leader_id.term);
        match () {
            () if membership.voter_ids().any(|id| id == metrics.id) => Place::Voter,
            () if membership.get_node(&metrics.id).is_some()
                && of_this_leader
                && metrics.last_applied >= committed =>
            {
                Place::InStep
            }
            () => Place::Behind,
        }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Whether it has a log with members in it.
    pub(crate) async fn has_members(&self) -> Result<bool, StartError> {
        let has = self.raft.is_initialized().await;
        has.map_err(|error| StartError::Engine(error.to_string()))
    }

    /// The voter that has most of the log, of those that were heard lately and do not drain.
    fn fit_to_lead(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (replication, heard) = (metrics.replication.as_ref()?, metrics.heartbeat.as_ref()?);
        let membership = metrics.membership_config.membership();
        let drains = |id: &u64| membership.get_node(id).is_some_and(|peer| peer.drains);
        let voters = membership.voter_ids().filter(|id| *id != metrics.id && !drains(id));
        let is_near = |id: &u64| {
            let at = heard.get(id).and_then(Option::as_ref);
            at.is_some_and(|at| at.elapsed() < HEARD_LATELY)
        };
        voters
            .filter(is_near)
            .max_by_key(|id| replication.get(id).and_then(Option::as_ref).map(|id| id.index))
    }
}

/// What a member is by the log that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A voter, as soon as its vote counts to anyone.
    Voter,
    /// An observer that has all that its leader had committed, after something of that leader's own.
    InStep,
    /// None yet, or an observer that lacks some.
    Behind,
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
