//! The network between members.
//!
//! A cluster of one has no peers: [`Alone`] is its network, and whatever is asked of it is unreachable.

use std::future::Future;
use std::marker::PhantomData;

use openraft::async_runtime::AsyncRuntime;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::types::{Peer, Types, Vote};
use crate::snapshot::SnapshotFile;

/// How members reach each other: what makes openraft's clients for them.
pub trait Network<R: AsyncRuntime>:
    RaftNetworkFactory<Types<R>, Network: openraft::network::NetSnapshot<Types<R>, SnapshotData = SnapshotFile>>
{
}

impl<R, N> Network<R> for N
where
    R: AsyncRuntime,
    N: RaftNetworkFactory<
            Types<R>,
            Network: openraft::network::NetSnapshot<Types<R>, SnapshotData = SnapshotFile>,
        >,
{
}

/// The network of a cluster of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl<R: AsyncRuntime> RaftNetworkFactory<Types<R>> for Alone {
    type Network = NoPeer<R>;

    async fn new_client(&mut self, _: u64, _: &Peer) -> NoPeer<R> {
        NoPeer(PhantomData)
    }
}

/// A member that cannot be reached.
#[derive(Debug)]
pub struct NoPeer<R>(PhantomData<fn() -> R>);

fn no_peers<R: AsyncRuntime>() -> Unreachable<Types<R>> {
    Unreachable::from_string("this member was started without a network")
}

impl<R: AsyncRuntime> RaftNetworkV2<Types<R>> for NoPeer<R> {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<Types<R>>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        Err(no_peers().into())
    }

    async fn vote(
        &mut self,
        _: VoteRequest<Types<R>>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        Err(no_peers().into())
    }

    // The default grants every pre-vote.
    async fn pre_vote(
        &mut self,
        _: VoteRequest<Types<R>>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        Err(no_peers().into())
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: SnapshotOf<Types<R>, SnapshotFile>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        Err(no_peers().into())
    }
}
