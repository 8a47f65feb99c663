//! Two ways in which a disk stops taking records: one ends the process, the other ends by itself.

use std::fmt;
use std::io;

/// The disk failed while writing: nobody knows what is on it, and nothing more is written. The process must end, and a
/// restart reads what is really there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// What was being done.
    pub what: &'static str,
    /// To which file, with its path.
    pub file: String,
    /// The kind of the disk's error.
    pub kind: io::ErrorKind,
    /// What the disk said.
    pub cause: String,
}

impl Fatal {
    pub(super) fn new(what: &'static str, file: String, error: &io::Error) -> Fatal {
        Fatal { what, file, kind: error.kind(), cause: error.to_string() }
    }

    /// The same, for who waits for a record.
    pub fn to_io(&self) -> io::Error {
        io::Error::new(self.kind, self.clone())
    }
}

impl std::error::Error for Fatal {}

/// There is no room for the next segment. Nothing is lost, and what was queued waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// The segment that cannot be made, with its path.
    pub file: String,
    /// The bytes that it takes.
    pub bytes: u64,
    /// The bytes that are free, where the disk says so.
    pub free: Option<u64>,
    /// What the disk said.
    pub cause: String,
    /// Whether records wait already. Until then they go into what is left of the present segment: use it for handing
    /// on leadership, for a snapshot and for the purge that frees room.
    pub waiting: bool,
}

impl NoRoom {
    /// The same, for who waits for a record when the log is stopped.
    pub fn to_io(&self) -> io::Error {
        io::Error::new(io::ErrorKind::StorageFull, self.to_string())
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} failed: {}; the process ends, because what is on the disk can only be told by reading it again",
            self.file, self.what, self.cause
        )
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk full: {} of {} B cannot be made", self.file, self.bytes)?;
        if let Some(free) = self.free {
            write!(f, ", {free} B are free")?;
        }
        let state = if self.waiting { "records wait" } else { "the present segment still takes records" };
        write!(f, ": {}; {state}. Free some room; it goes on by itself", self.cause)
    }
}
