//! The data folder of a member that runs no more: it is read, and stays as it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use super::identity::{self, Identity};
use super::{DataError, lock};

/// A folder that nobody else uses for as long as this lives.
pub(crate) struct OldData {
    root: PathBuf,
    identity: Identity,
    _lock: Flock<File>,
}

impl OldData {
    /// Takes the folder.
    ///
    /// # Errors
    /// [`DataError`]: it is none, it has no identity, or a living process has it.
    pub(crate) fn open(root: &Path) -> Result<OldData, DataError> {
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(DataError::NoFolder { path: root.to_owned() }),
            Err(error) => return Err(DataError::io("reading", root, error)),
        }
        let identity = identity::read(root)?;
        Ok(OldData { root: root.to_owned(), identity, _lock: lock(root)? })
    }

    /// Whose it is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The log's folder.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The snapshots' folder.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
}
