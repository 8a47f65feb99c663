//! What can be wrong with a log, in words that name the file, the place and the way out.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::format::{FORMAT_VERSION, Identity};
use super::record::LogId;

/// A log that was not opened. Nothing in the folder was changed.
#[derive(Debug)]
pub enum OpenError {
    /// The disk failed.
    Io {
        /// What was asked of it.
        what: &'static str,
        /// Which file, with its path.
        file: String,
        /// What it said.
        error: io::Error,
    },
    /// The options ask for what cannot be.
    Options(String),
    /// There is no log where there must be one.
    NoLog {
        /// The folder.
        folder: String,
    },
    /// The log belongs to another cluster, node or group.
    NotOurs {
        /// The segment that says so.
        file: String,
        /// Whose it is.
        found: Identity,
        /// Who we are.
        wanted: Identity,
    },
    /// A newer program wrote it.
    NewerFormat {
        /// The segment that says so.
        file: String,
        /// The version found.
        found: u32,
    },
    /// A segment between the oldest needed and the newest is not there.
    MissingSegment {
        /// Its name, with its path.
        file: String,
        /// The first entry that may be in it.
        index: u64,
    },
    /// The file's length is not the one that its header tells.
    WrongLength {
        /// Which file.
        file: String,
        /// Bytes found.
        found: u64,
        /// Bytes that it was made with.
        wanted: u64,
        /// The first entry that may be lost with the rest.
        index: u64,
    },
    /// Synced bytes are not what was written.
    Damaged {
        /// Which file.
        file: String,
        /// The first byte of the header, batch or record that is wrong.
        offset: u64,
        /// The first entry that may be lost with it.
        index: u64,
        /// What is wrong, and why it cannot be a write that stopped short.
        what: String,
    },
    /// The last batch is damaged, and whether it had been acknowledged cannot be told.
    UnprovableTail(Cut),
}

/// Why the end of the log was cut, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// A write stopped short: nobody was told that it is done, so nothing acknowledged is lost.
    Torn,
    /// Damage in the last batch: its entries may have been acknowledged, and were cut because the operator said so. Votes,
    /// truncations and purges are not among what was cut: see `Writer::write`.
    Unprovable,
}

/// The end of the log, cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment, with its path.
    pub file: String,
    /// Where the cut is: all that follows is zeros now.
    pub offset: u64,
    /// How many bytes were cut, up to the last one that was not zero.
    pub bytes: u64,
    /// The first entry that is not in the log any more, or never was.
    pub from_index: u64,
    /// The newest entry that could still be read in what was cut. There may have been more.
    pub seen: Option<LogId>,
    /// Why.
    pub kind: CutKind,
    /// What was wrong at `offset`.
    pub what: &'static str,
}

/// What a single member can do. The copy is from before the damage, so both ways forget: the reader must know.
pub(crate) const START_ANEW: &str = "copy the data folder aside; then put your own earlier copy in its place, or begin \
                                     with an empty one. Either way leases are forgotten and tokens may come again";

impl OpenError {
    pub(super) fn io(disk: &Arc<dyn Disk>, what: &'static str, name: &str, error: io::Error) -> OpenError {
        OpenError::Io { what, file: disk.path(name), error }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io { what, file, error } => write!(f, "{file}: {what}: {error}"),
            OpenError::Options(what) => write!(f, "the log's options: {what}"),
            OpenError::NoLog { folder } => {
                write!(
                    f,
                    "{folder}: no log here, but this member has had one; it could vote twice; nothing was changed: {START_ANEW}"
                )
            }
            OpenError::NotOurs { file, found, wanted } => write!(
                f,
                "{file}: this log belongs to {found}, and this is {wanted}; nothing was changed. \
                 Give this member its own data folder"
            ),
            OpenError::NewerFormat { file, found } => write!(
                f,
                "{file}: format version {found}; this program reads up to {FORMAT_VERSION}; nothing was changed: \
                 upgrade this program to the one that wrote it"
            ),
            OpenError::MissingSegment { file, index } => {
                write!(f, "{file}: missing, with entries from {index} on; nothing was changed: {START_ANEW}")
            }
            OpenError::WrongLength { file, found, wanted, index } => {
                write!(
                    f,
                    "{file}: {found} B long, made with {wanted} B; entries from {index} on may be lost; nothing was changed: {START_ANEW}"
                )
            }
            OpenError::Damaged { file, offset, index, what } => {
                write!(
                    f,
                    "{file}: damaged at byte {offset}: {what}; entries from {index} on may be lost; nothing was changed: {START_ANEW}"
                )
            }
            OpenError::UnprovableTail(cut) => write!(
                f,
                "{}: damaged at byte {}: {}; this is the last batch, and whether entries from {} on were acknowledged \
                 cannot be told; nothing was changed: copy the data folder aside, then give up what was in the batch with \
                 `--accept-torn-tail`",
                cut.file, cut.offset, cut.what, cut.from_index
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            CutKind::Torn => "a write that stopped short and was never acknowledged",
            CutKind::Unprovable => {
                "DAMAGED, may have been acknowledged; cut because --accept-torn-tail (or --dev) was given"
            }
        };
        write!(
            f,
            "{}: cut at byte {}, {} B, entries from {} on: {why} ({})",
            self.file, self.offset, self.bytes, self.from_index, self.what
        )?;
        match self.seen {
            Some(id) => write!(f, "; the newest entry seen in it is {id}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {:032x} node {}", self.cluster, self.node)?;
        if self.group == 0 { Ok(()) } else { write!(f, " group {}", self.group) }
    }
}
