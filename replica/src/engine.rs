//! Consensus, as the driver sees it: what is proposed, what came of it, who leads, and how the log fares.
//!
//! openraft's is in `raft`; a simulation drives the same driver over a log of its own. Promises that the driver
//! builds on, of whoever implements it:
//! * A batch is appended to an entry of its own term, or not at all.
//! * [`Proposed::Applied`] comes after the entry was applied here; [`Proposed::NotAppended`] only where it never will be.
//! * A barrier that passes was confirmed by a quorum after it was asked for, and everything that was answered before is applied
//!   here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lease::{Batch, Outcome};

use crate::handle::Reading;
use crate::log::NoRoom;
use crate::members::{MemberChange, MemberView, Unchanged};
use crate::raft::Asked;

/// One group's consensus.
pub trait Engine: Send + Sync + 'static {
    /// A proposal under way.
    type Proposing: Future<Output = Proposed> + Send + Unpin;

    /// Who leads, as far as this member knows.
    fn leadership(&self) -> Leadership;

    /// Proposes `batch`, for its own term only. None where the engine has ended.
    fn propose(&self, batch: Arc<Batch>) -> impl Future<Output = Option<Self::Proposing>> + Send;

    /// Passes once every command answered before this call is applied here. False where this member cannot tell.
    fn read_barrier(&self) -> Pin<Box<dyn Future<Output = bool> + Send>>;

    /// Begins a snapshot; it is made elsewhere.
    fn snapshot(&self) -> impl Future<Output = ()> + Send;

    /// How long the log's oldest record has waited for its sync.
    fn oldest_unsynced(&self) -> Option<Duration>;

    /// Why the log takes no more records, where its disk is full.
    fn no_room(&self) -> Option<NoRoom>;

    /// The last entry of the log, where the engine says so.
    fn last_index(&self) -> Option<u64> {
        None
    }

    /// Asks another member, which takes the frame as [`Peers`](crate::Peers) do. The answer comes within `patience`, or not.
    fn ask(&self, member: u64, frame: Vec<u8>, patience: Duration) -> Asked;

    /// Whether this member is to be left alone, by the newest membership in its log.
    fn drains(&self) -> bool;

    /// How long ago this member had news of a quorum: from a leader, or as the leader from so many others. None where it has had
    /// none in its present part.
    fn news_age(&self) -> Option<Duration>;

    /// Changes who belongs to the cluster, as the leader, and answers how the members stand then.
    fn change(
        &self,
        change: MemberChange,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<MemberView>, Unchanged>> + Send>>;

    /// Has another member take the lead, where this one has it and another is fit, and says whether one is; who leads then is seen by
    /// who leads.
    fn hand_on(&self) -> impl Future<Output = bool> + Send;
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest term that this member has heard of.
    pub term: u64,
    /// Who leads it.
    pub leader: Option<u64>,
    /// Whether this member does.
    pub leads: bool,
}

/// What came of proposing a batch.
#[derive(Debug)]
pub enum Proposed {
    /// It was applied.
    Applied(Done),
    /// It was surely not appended: it may be made anew.
    NotAppended,
    /// It may have been appended, and may yet be applied.
    Unknown,
    /// The engine has ended.
    Ended,
}

/// What applying an entry answers: an outcome for each of its commands, and the state that they were read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// In order.
    pub outcomes: Vec<Outcome>,
    /// After the entry.
    pub reading: Reading,
}
