//! What can be wrong with a snapshot, in words that name the file, the place and the way out.

use std::fmt;
use std::io;

use lease::DecodeError;

use super::VERSION;
use crate::log::START_ANEW;

/// Why a snapshot cannot be read.
#[derive(Debug)]
pub enum SnapshotError {
    /// The disk failed.
    Io {
        /// Which file.
        path: String,
        /// How.
        error: io::Error,
    },
    /// Something stands there that was not written so.
    Damaged {
        /// Which file.
        path: String,
        /// Where, in bytes: the start of the header, chunk or trailer that is wrong.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A newer program wrote it.
    Version {
        /// Which file.
        path: String,
        /// The version found.
        found: u16,
    },
    /// A part of it is newer than this program.
    Newer {
        /// Which file.
        path: String,
        /// Which part, and its version.
        part: DecodeError,
    },
    /// It does not begin as a snapshot does.
    NoSnapshot {
        /// Which file.
        path: String,
    },
    /// Another cluster's, or another member's.
    Foreign {
        /// Which file.
        path: String,
        /// Whose it is: cluster and member.
        found: (u128, u64),
        /// Whose it should be.
        wanted: (u128, u64),
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Io { path, error } => write!(f, "{path}: {error}"),
            SnapshotError::Damaged { path, offset, what } => write!(
                f,
                "{path} is damaged at byte {offset}: {what}; the log behind it is gone; nothing was changed: {START_ANEW}"
            ),
            SnapshotError::Version { path, found } => write!(
                f,
                "{path} has format version {found}, and this program reads up to {VERSION}; upgrade this program to the one that wrote it"
            ),
            SnapshotError::Newer { path, part } => write!(f, "{path}: {part} to the one that wrote it"),
            SnapshotError::NoSnapshot { path } => write!(
                f,
                "{path} is damaged at byte 0: it does not begin as a snapshot does; nothing was changed: {START_ANEW}"
            ),
            SnapshotError::Foreign { path, found, wanted } => write!(
                f,
                "{path} belongs to member {} of cluster {:032x}, and this is member {} of cluster {:032x}; point it at its own folder",
                found.1, found.0, wanted.1, wanted.0
            ),
        }
    }
}

impl std::error::Error for SnapshotError {}
