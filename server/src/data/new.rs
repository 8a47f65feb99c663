//! A data folder in the making: of a restore or a recovery, or of a member that asks to be taken in.
//!
//! ```text
//!   make ──▶ lock, log/, snapshots/ ──▶ filled by the caller ──▶ keep: identity.toml
//!     │                          └────▶ join: identity.toml ────▶ settle, once it is taken in
//!     │                                        │
//!     └────────────── taken away again ◀───────┘ dropped
//! ```
//!
//! Until its identity is there, a server refuses the folder, and so does another restore.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use super::identity::{self, Identity};
use super::{DataError, lock, make_private, mount, sync_folder};

/// A folder that is being filled. Dropped before it is kept, what it has made is gone again.
pub(crate) struct NewData {
    root: PathBuf,
    /// Whether it was there before.
    was_there: bool,
    /// Whether it has the identity of whom it is made for, as `tenure init` leaves it.
    is_founders: bool,
    lock: Option<Flock<File>>,
}

const INNER: [&str; 2] = ["log", "snapshots"];

impl NewData {
    /// Begins with a folder that is empty, or not there.
    ///
    /// # Errors
    /// [`DataError`]; the folder is as it was.
    pub(crate) fn make(root: &Path, allow_volatile: bool) -> Result<NewData, DataError> {
        NewData::begin(root, None, allow_volatile)
    }

    /// As [`NewData::make`]; it may also hold what `tenure init` has made for this member, of this cluster, to begin alone with.
    ///
    /// # Errors
    /// [`DataError`]; the folder is as it was.
    pub(crate) fn make_of(
        root: &Path,
        (cluster, member): (u128, u64),
        allow_volatile: bool,
    ) -> Result<NewData, DataError> {
        let founder = Identity { cluster, member, begun: false, joined: false };
        NewData::begin(root, Some(founder), allow_volatile)
    }

    fn begin(root: &Path, founder: Option<Identity>, allow_volatile: bool) -> Result<NewData, DataError> {
        mount::check(root, allow_volatile)?;
        let was_there = root.exists();
        let is_founders = was_there && founder.is_some() && identity::read(root).ok() == founder;
        if was_there {
            check_empty(root, is_founders)?;
        }
        make_private(root)?;
        let mut new = NewData { root: root.to_owned(), was_there, is_founders, lock: None };
        new.lock = Some(lock(root)?);
        for inner in INNER {
            make_private(&root.join(inner))?;
        }
        Ok(new)
    }

    /// The log's folder.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The snapshots' folder.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Makes it the folder of a member that asks to be taken in; until it is [`NewData::settle`]d, it is gone again where it is
    /// dropped.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub(crate) fn join(&self, cluster: u128, member: u64) -> Result<(), DataError> {
        sync_folder(&self.root)?;
        identity::write(&self.root, &Identity { cluster, member, begun: false, joined: true })
    }

    /// From now on it stays.
    pub(crate) fn settle(mut self) {
        self.lock = None;
    }

    /// Makes it the folder of this member, which from now on must have its log.
    ///
    /// # Errors
    /// [`DataError::Io`]; the folder is gone again.
    pub(crate) fn keep(mut self, cluster: u128, member: u64) -> Result<(), DataError> {
        sync_folder(&self.root)?;
        identity::write(&self.root, &Identity { cluster, member, begun: true, joined: false })?;
        self.lock = None;
        Ok(())
    }
}

impl Drop for NewData {
    fn drop(&mut self) {
        if self.lock.take().is_none() {
            return;
        }
        // Where it cannot be taken away it stays a folder without an identity, which nothing starts from.
        for inner in INNER {
            let _ = fs::remove_dir_all(self.root.join(inner));
        }
        let made = ["identity.toml.tmp", "lock"].into_iter();
        for file in made.chain((!self.is_founders).then_some("identity.toml")) {
            let _ = fs::remove_file(self.root.join(file));
        }
        if !self.was_there {
            let _ = fs::remove_dir(&self.root);
        }
    }
}

/// A new disk's own folder counts as nothing.
fn check_empty(root: &Path, is_founders: bool) -> Result<(), DataError> {
    let unreadable = |error| DataError::io("reading", root, error);
    if !root.is_dir() {
        return Err(DataError::NoFolder { path: root.to_owned() });
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name != "lost+found" && !(is_founders && name == "identity.toml"));
    names.sort();
    match names.is_empty() {
        true => Ok(()),
        false => Err(DataError::NotEmpty { path: root.to_owned(), names }),
    }
}
