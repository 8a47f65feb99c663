//! Which types openraft is used with.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use lease::Batch;
use openraft::async_runtime::AsyncRuntime;
use openraft::impls::{BoxedErrorSource, InlineBatch, OneshotResponder};
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig};

use crate::engine::Done;

/// openraft's types, over any runtime: tokio's in the server, a simulated one in the simulator.
pub struct Types<R>(PhantomData<fn() -> R>);

pub(crate) type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
pub(crate) type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type Payload = EntryPayload<Data, u64, Peer>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type Membership = openraft::StoredMembership<CommittedLeaderId, u64, Peer>;
pub(crate) type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, Peer, crate::snapshot::SnapshotFile>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, Peer>;

impl<R: AsyncRuntime> RaftTypeConfig for Types<R> {
    type D = Data;
    type R = Done;
    type NodeId = u64;
    type Node = Peer;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = R;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// What an entry carries: a batch, shared by the log, the peers and the table, and encoded where it leaves the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data(pub Arc<Batch>);

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch t{} @{} x{}", self.0.term, self.0.stamp, self.0.requests.len())
    }
}

/// What the members know of each other: where one is reached, and whether it is to be left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Host and port of its peer listener; empty where it has no peers.
    pub address: String,
    /// Whether it is to be left alone: it leads only where nobody else can, and its clients go elsewhere.
    pub drains: bool,
}

impl Peer {
    /// One that is reached there.
    pub fn at(address: impl Into<String>) -> Peer {
        Peer { address: address.into(), drains: false }
    }
}

// By hand, because derives would ask the same of `R`, of which there is never a value.
impl<R> fmt::Debug for Types<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}

impl<R> Clone for Types<R> {
    fn clone(&self) -> Types<R> {
        *self
    }
}

impl<R> Copy for Types<R> {}

impl<R> Default for Types<R> {
    fn default() -> Types<R> {
        Types(PhantomData)
    }
}

impl<R> PartialEq for Types<R> {
    fn eq(&self, _: &Types<R>) -> bool {
        true
    }
}

impl<R> Eq for Types<R> {}

impl<R> PartialOrd for Types<R> {
    fn partial_cmp(&self, other: &Types<R>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Types<R> {
    fn cmp(&self, _: &Types<R>) -> Ordering {
        Ordering::Equal
    }
}
