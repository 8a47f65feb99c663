//! Another member, as openraft asks it.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use openraft::async_runtime::AsyncRuntime;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftNetworkFactory};
use openraft_rt::Select2;

use super::acknowledged::Acknowledged;
use super::asks::{Ask, Said};
use super::wire::{Lane, Piece, Reply, Request};
use super::{Link, Network, frame_of};
use crate::raft::belonging::Belonging;
use crate::raft::links::{Links, Way};
use crate::raft::types::{Peer, Types, Vote};
use crate::snapshot::SnapshotFile;

/// Appends on their way to one member at a time.
const APPENDS_MAX: usize = 32;
/// How long an append may be without an answer: a disk may stall, and one that takes longer is not waited for by a pipeline.
const APPEND_PATIENCE: Duration = Duration::from_secs(3);
/// How long one that has lost what it had may take to hear of it; it is told again at the next append.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// Bytes of a snapshot in one frame.
const PIECE_BYTES: usize = 256 * 1024;
/// How long a piece may be without an answer; the last one is answered once the snapshot is installed.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of snapshots a second to one member: they must not crowd out what keeps leases.
const SNAPSHOT_BYTES_A_SECOND: u64 = 64 * 1024 * 1024;

/// Makes openraft's ways to the other members.
pub(crate) struct Remotes<N: Network> {
    links: Arc<Links<N>>,
    belonging: Belonging,
    acknowledged: BTreeMap<u64, Arc<Acknowledged>>,
}

impl<R: AsyncRuntime, N: Network> RaftNetworkFactory<Types<R>> for Remotes<N> {
    type Network = Remote<R, N::Link>;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Self::Network {
        self.remote(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Peer) -> Self::Network {
        self.remote(target, node, Lane::Heartbeats)
    }
}

impl<N: Network> Remotes<N> {
    pub(crate) fn new(links: Arc<Links<N>>, belonging: Belonging) -> Remotes<N> {
        Remotes { links, belonging, acknowledged: BTreeMap::new() }
    }

    fn remote<R: AsyncRuntime>(&mut self, target: u64, node: &Peer, lane: Lane) -> Remote<R, N::Link> {
        let acknowledged = Arc::clone(self.acknowledged.entry(target).or_default());
        Remote {
            target,
            way: self.links.way(target, &node.address),
            belonging: self.belonging.clone(),
            lane,
            acknowledged,
            runtime: PhantomData,
        }
    }
}

/// One member.
pub(crate) struct Remote<R, L> {
    target: u64,
    way: Arc<Way<L>>,
    belonging: Belonging,
    lane: Lane,
    acknowledged: Arc<Acknowledged>,
    runtime: PhantomData<fn() -> R>,
}

impl<R: AsyncRuntime, L: Link> Remote<R, L> {
    /// Sends a request behind those before it, at once; its answer comes within `patience`, or not at all.
    fn ask(
        &self,
        request: &Request<R>,
        patience: Duration,
    ) -> impl Future<Output = Result<Reply<R>, RPCError<Types<R>>>> + Send + use<R, L> {
        let (asked, belonging) = (self.way.ask(request.encode()), self.belonging.clone());
        async move {
            let answer = R::timeout(patience, asked).await;
            let answer = answer.map_err(|_| not_reached(format!("no answer within {patience:?}")))?;
            let bytes = answer.map_err(|error| not_reached(error.why))?;
            match Reply::decode(&bytes) {
                Ok(Reply::NotNow(why)) => Err(failed(why)),
                Ok(Reply::Said(Said::Removed)) => {
                    belonging.is_over();
                    Err(failed("this member was removed".to_owned()))
                }
                Ok(reply) => Ok(reply),
                Err(error) => Err(failed(error.to_string())),
            }
        }
    }
}

fn not_reached<R: AsyncRuntime>(why: String) -> RPCError<Types<R>> {
    RPCError::Unreachable(Unreachable::from_string(why))
}

fn failed<R: AsyncRuntime>(why: String) -> RPCError<Types<R>> {
    RPCError::Network(NetworkError::from_string(why))
}

fn nonsense<R: AsyncRuntime>(reply: &Reply<R>) -> RPCError<Types<R>> {
    failed(format!("an answer to something else: {reply:?}"))
}

impl<R: AsyncRuntime, L: Link> NetBackoff<Types<R>> for Remote<R, L> {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl<R: AsyncRuntime, L: Link> NetStreamAppend<Types<R>> for Remote<R, L> {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>>>, RPCError<Types<R>>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Types<R>>> + OptionalSend + Unpin + 'static,
    {
        let patience = match self.lane {
            Lane::Entries => APPEND_PATIENCE,
            Lane::Heartbeats => option.soft_ttl(),
        };
        let remote = &*self;
        // Each is sent when it is taken from the input; the answers come in the same order.
        let answers = input
            .map(move |append| {
                let term = append.vote.leader_id.term;
                let had = remote.acknowledged.in_term(term);
                let asked = remote.ask(&Request::Append(remote.lane, append), patience);
                async move { remote.appended(asked.await?, term, had).await }
            })
            .buffered(APPENDS_MAX);
        // What follows a failure or a conflict was sent in vain.
        let answers = answers.scan(false, |over, answer| {
            let before = std::mem::replace(over, !matches!(answer, Ok(Ok(_))));
            std::future::ready((!before).then_some(answer))
        });
        Box::pin(async move { Ok(Box::pin(answers) as BoxStream<'s, _>) })
    }
}

impl<R: AsyncRuntime, L: Link> Remote<R, L> {
    /// Looks at the answer to an append, before which it `had` acknowledged so much: what it had, it must have.
    async fn appended(
        &self,
        reply: Reply<R>,
        term: u64,
        had: Option<u64>,
    ) -> Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>> {
        match (reply, had) {
            (Reply::Appended(Err(StreamAppendError::Conflict(at))), Some(had)) if at.index <= had => {
                let target = self.target;
                tracing::error!(
                    member = target,
                    acknowledged = had,
                    lacks = at.index,
                    "A MEMBER HAS LOST WHAT IT HAD ACKNOWLEDGED, and is told to end: its data folder is an older one, or was empty"
                );
                let told = R::timeout(TOLD_WITHIN, self.way.ask(frame_of(&Ask::Lost(had)))).await;
                drop(told);
                Err(failed(format!("member {target} has lost entry {} of the log", at.index)))
            }
            (Reply::Appended(result), _) => {
                if let Ok(Some(last)) = &result {
                    self.acknowledged.add(term, last.index);
                }
                Ok(result)
            }
            (other, _) => Err(nonsense(&other)),
        }
    }

    async fn ask_vote(
        &self,
        request: &Request<R>,
        option: &RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.ask(request, option.soft_ttl()).await? {
            Reply::Vote(answer) => Ok(answer),
            other => Err(nonsense(&other)),
        }
    }
}

impl<R: AsyncRuntime, L: Link> NetVote<Types<R>> for Remote<R, L> {
    async fn vote(
        &mut self,
        vote: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        self.ask_vote(&Request::Vote(vote), &option).await
    }

    // openraft's default grants every one.
    async fn pre_vote(
        &mut self,
        vote: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        self.ask_vote(&Request::PreVote(vote), &option).await
    }
}

impl<R: AsyncRuntime, L: Link> NetTransferLeader<Types<R>> for Remote<R, L> {
    async fn transfer_leader(
        &mut self,
        lead: TransferLeaderRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<R>>, RPCError<Types<R>>> {
        match self.ask(&Request::Lead(lead), option.soft_ttl()).await? {
            Reply::Lead(Ok(())) => Ok(Ok(())),
            Reply::Lead(Err(why)) => Err(failed(why)),
            other => Err(nonsense(&other)),
        }
    }
}

impl<R: AsyncRuntime, L: Link> NetSnapshot<Types<R>> for Remote<R, L> {
    type SnapshotData = SnapshotFile;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types<R>, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        let sent = pin!(self.send(vote, &snapshot));
        match R::select2(pin!(cancel), sent).await {
            Select2::First(closed) => Err(closed.into()),
            Select2::Second(sent) => sent.map_err(StreamingError::from),
        }
    }
}

impl<R: AsyncRuntime, L: Link> Remote<R, L> {
    /// Sends a snapshot piece by piece, from wherever the other has it already.
    async fn send(
        &self,
        vote: Vote,
        snapshot: &SnapshotOf<Types<R>, SnapshotFile>,
    ) -> Result<SnapshotResponse<Types<R>>, RPCError<Types<R>>> {
        let last = snapshot.meta.last_log_id;
        let mut offset = 0;
        loop {
            let file = snapshot.snapshot.clone();
            let read = R::spawn_blocking(move || file.piece(offset, PIECE_BYTES)).await;
            let (total, bytes) = read.and_then(|read| read).map_err(|error| failed(error.to_string()))?;
            let pace = Duration::from_micros(bytes.len() as u64 * 1_000_000 / SNAPSHOT_BYTES_A_SECOND);
            let piece = Piece { vote, last, total, offset, bytes };
            match self.ask(&Request::Piece(piece), PIECE_PATIENCE).await? {
                Reply::Have(have) => offset = have,
                Reply::Installed(answer) => return Ok(answer),
                other => return Err(nonsense(&other)),
            }
            R::sleep(pace).await;
        }
    }
}
