//! What can be written in the log: five records, and the ids they speak of.

use std::fmt;
use std::io;
use std::sync::Arc;

/// The bytes of one entry, made on the writer thread so that the Raft thread does not spend its time encoding.
pub trait Payload: Send + Sync {
    /// Appends this payload's bytes to `into`, and touches nothing that is there already.
    fn encode(&self, into: &mut Vec<u8>);
}

impl Payload for Vec<u8> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }
}

impl Payload for bytes::Bytes {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }
}

/// Which entry: its index, and the term of the leader that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// The term of the leader that made the entry.
    pub term: u64,
    /// The entry's place in the log; the first entry of a cluster has index 0.
    pub index: u64,
}

/// Whom this member supports in which term. Losing one could let it vote twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The term voted in.
    pub term: u64,
    /// The candidate, or the leader.
    pub node: u64,
    /// Whether a quorum granted it: `node` leads, or led, `term`.
    pub committed: bool,
}

/// One thing to write down.
#[derive(Clone)]
pub enum Record {
    /// The entry that follows the last one: indexes have no gaps.
    Entry {
        /// Where it goes.
        id: LogId,
        /// What it says.
        payload: Arc<dyn Payload>,
    },
    /// This member's vote.
    Vote(Vote),
    /// Everything up to here is committed.
    Committed(LogId),
    /// Entries behind `after` never were; `None` takes all of them.
    Truncate {
        /// The last index that stays.
        after: Option<u64>,
    },
    /// Entries up to here, inclusive, are in a snapshot, and their room may be given back.
    Purge {
        /// The last entry that goes. It may lie past the end of the log, after a snapshot came from a leader.
        upto: LogId,
    },
}

/// Called once, on the writer thread, when its records are on the disk or will never be.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Records that go in together, and who wants to know.
pub struct Job {
    /// In the order in which they apply.
    pub records: Vec<Record>,
    /// Whom to tell.
    pub done: Done,
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.committed { "leads" } else { "voted for" };
        write!(f, "n{} {word} @{}", self.node, self.term)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Entry { id, .. } => write!(f, "Entry {id}"),
            Record::Vote(vote) => write!(f, "Vote {vote}"),
            Record::Committed(id) => write!(f, "Committed {id}"),
            Record::Truncate { after: Some(index) } => write!(f, "Truncate after={index}"),
            Record::Truncate { after: None } => write!(f, "Truncate all"),
            Record::Purge { upto } => write!(f, "Purge upto={upto}"),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
