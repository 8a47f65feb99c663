//! Who belongs to the cluster, and how that changes: what may be asked is decided here, by what stands.
//!
//! ```text
//!              add                    promote, replace
//!  (nobody) ─────────▶ observer ──────────────────────────▶ voter
//!                         │ remove                            │ remove, replace
//!                         ▼                                   ▼
//!                      removed ◀──────────────────────────────┘
//! ```
//!
//! A new member is an observer first: it takes the log in and serves clients, and has no vote. Voters change through a joint
//! configuration, of which there is one at a time. Their number stays odd, because an even one bears no more losses than the odd
//! one below it, and has one more member to lose.
//!
//! Pure: [`plan`] says what to ask of Raft.

mod address;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use lease::Ttl;

pub use address::is_address;
pub(crate) use plan::plan;

/// Voters of one cluster, at most.
pub const VOTERS_MAX: usize = 7;
/// Members of one cluster, at most.
pub const MEMBERS_MAX: usize = 64;
/// Why a change has to wait.
pub(crate) const UNDER_WAY: &str = "another change of the members is under way: wait until it is over";
/// Whoever is handed the lead, or could take it, was heard so lately.
pub(crate) const HEARD_LATELY: Duration = Duration::from_millis(500);
/// Entries of the log that an observer may lack to be made a voter.
const NEAR: u64 = 4_096;

/// One member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub id: u64,
    /// Where the others reach it.
    pub address: String,
    /// Whether it has a vote.
    pub is_voter: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it is to be left alone.
    pub drains: bool,
    /// How many entries of the leader's log it does not have yet; none where the leader has not heard of it.
    pub lacks: Option<u64>,
    /// How long ago the leader heard it last; none of the leader itself, and where it has not.
    pub heard_ago: Option<Ttl>,
}

/// What an operator asks of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// To see its members.
    List,
    /// To take a new member in, as an observer.
    Add {
        /// Its id, which no member has or had.
        id: u64,
        /// Where the others reach it.
        address: String,
    },
    /// To be taken in itself, as a new member asks by a token that is good once.
    Join {
        /// Its id, which no member has or had.
        id: u64,
        /// Where the others reach it.
        address: String,
    },
    /// To make observers voters.
    Promote(BTreeSet<u64>),
    /// To take members out.
    Remove(BTreeSet<u64>),
    /// To have an observer take a voter's place, who goes.
    Replace {
        /// The voter.
        old: u64,
        /// The observer.
        new: u64,
    },
    /// To reach a member at another address from now on, where it answers already. A leader's own is taken as it is said, and only
    /// where no other voter could lead.
    Move {
        /// Which.
        id: u64,
        /// Where it is reached.
        address: String,
    },
    /// To have a member left alone, or no longer: its clients go elsewhere, and so does the lead.
    Drain {
        /// Which.
        id: u64,
        /// Whether, or no longer.
        on: bool,
    },
    /// To have another voter lead: this one, or the fittest.
    Lead(Option<u64>),
    /// Change nothing, and say whether every member reads what comes with this cluster version.
    Knows(u32),
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// Surely not made: no leader was found in time.
    NoLeader,
    /// It may have been made, or may be yet: look with a list.
    Unknown,
    /// It would break a rule: which, by what stands, and what to do.
    Refused(String),
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unchanged::NoLeader => {
                f.write_str("no leader with a quorum was found in time; nothing was changed")
            }
            Unchanged::Unknown => f.write_str("no answer came in time: it may have been done, or may be yet"),
            Unchanged::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unchanged {}

/// What to ask of Raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Look,
    /// A learner more, at this address.
    Add(u64, String),
    /// Another address, once the member answers there.
    Move(u64, String),
    /// To be left alone, or no longer.
    Drain(u64, bool),
    /// These voters more, and these members fewer, in one change.
    Change { promote: BTreeSet<u64>, remove: BTreeSet<u64> },
    /// The lead goes there.
    Lead(Option<u64>),
}

/// How things stand when a change is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The members, by id.
    pub(crate) members: BTreeMap<u64, MemberView>,
    /// Ids of those that were removed.
    pub(crate) removed: BTreeSet<u64>,
    /// A change is under way.
    pub(crate) changing: bool,
}
