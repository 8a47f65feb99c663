//! The log: what this member has promised to remember.
//!
//! Raft's entries, votes and marks are records; records that were queued together become a batch; a batch is made durable
//! by one sync; batches fill segments, files of zeros that are made ahead of time.
//!
//! ```text
//!     append(records, done) ─▶ queue ─▶ Writer ─▶ segment-…1.log  segment-…2.log  (spare)
//!                                          │
//!     done(Ok) ◀── one sync for all ───────┘
//!
//!     open ─▶ Recovered { vote, committed, purged, entries, cut }
//! ```
//!
//! Promises:
//! * What `done` was told is there after a kill or a power cut, or the log refuses to open and says which file, at which
//!   byte, is damaged. Only in the last batch can damage be such that nobody can tell whether it was acknowledged; it
//!   then holds entries and commit marks and nothing else, and [`Options::unprovable_tail`] decides.
//! * A write that stopped short was never acknowledged, and is cut.
//! * A failed write or sync ends the log: nothing is written behind it. A full disk does not: records wait.
//! * Who appends never waits, and never touches a file.
//!
//! It does not know Raft: it keeps records in order, and refuses those that could not be read again. What it cannot see
//! is a folder, or its newest segment, put back from an older copy: that looks like a log that ends earlier.
//!
//! The bytes are told in [`mod@format`].

mod batch;
mod disk;
mod entry;
mod error;
mod failure;
mod folder;
pub mod format;
mod memory;
mod mend;
mod open;
mod options;
#[cfg(any(test, feature = "parsers"))]
pub(crate) mod parsers;
mod record;
mod replay;
mod scan;
mod shell;
mod spare;
#[cfg(test)]
mod tests;
mod track;
mod writer;

pub use disk::{Disk, LogFile};
pub use entry::Found;
pub(crate) use error::START_ANEW;
pub use error::{Cut, CutKind, OpenError};
pub use failure::{Fatal, NoRoom};
pub use folder::Folder;
pub use format::Identity;
pub use memory::{Act, Hook, MemoryDisk, SECTOR_BYTES, Unsynced};
pub use open::{Recovered, open, read};
pub use options::{
    Expect, Options, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, UnprovableTail,
};
pub use record::{Done, Job, LogId, Payload, Record, Vote};
pub use replay::Entry;
pub use shell::{Elapsed, Log, OnFatal, Pump, Step};
pub(crate) use spare::is_room;
pub use track::Misfit;
pub use writer::{Writer, Written};
