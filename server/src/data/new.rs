//! A data folder in the making: of a restore or a recovery, or of a member that asks to be taken in.
//!
//! ```text
//!   make ──▶ lock, log/, snapshots/ ──▶ filled by the caller ──▶ keep: identity.toml
//!     │                          └────▶ join: identity.toml ────▶ settle, once it is taken in
//!     │                                        │
//!     └────────────── taken away again ◀───────┘ dropped
//! ```
//!
//! Until its identity is there, a server refuses the folder, and so does another restore. An identity that `tenure init` has left for a
//! cluster of one is put aside meanwhile: with it, a server would begin an empty cluster in a folder that was half filled.

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
    /// The identity of whom it is made for, where `tenure init` has left one: it is put aside meanwhile.
    founder: Option<Identity>,
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
        let founder = founder.filter(|founder| was_there && identity::read(root).ok() == Some(*founder));
        let check = |mine: &[&str]| if was_there { check_empty(root, mine) } else { Ok(()) };
        let identity = founder.map_or(&[] as &[&str], |_| &["identity.toml", "lock"]);
        check(identity.get(..1).unwrap_or_default())?;
        make_private(root)?;
        let locked = lock(root)?;
        // Whoever had it until now may have begun in it.
        if founder.is_some() && identity::read(root).ok() != founder {
            check(&[])?;
        }
        check(if founder.is_some() { identity } else { &["lock"] })?;
        let new = NewData { root: root.to_owned(), was_there, founder, lock: Some(locked) };
        if founder.is_some() {
            let path = root.join("identity.toml");
            fs::remove_file(&path).map_err(|error| DataError::io("putting it aside", &path, error))?;
            sync_folder(root)?;
        }
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
        // Nobody else may take it before all of it is gone.
        let Some(_lock) = self.lock.take() else { return };
        // Where it cannot be taken away it stays a folder without an identity, which nothing starts from.
        for inner in INNER {
            let _ = fs::remove_dir_all(self.root.join(inner));
        }
        for file in ["identity.toml.tmp", "identity.toml", "lock"] {
            let _ = fs::remove_file(self.root.join(file));
        }
        if let Some(founder) = &self.founder {
            let _ = identity::write(&self.root, founder);
        }
        if !self.was_there {
            let _ = fs::remove_dir(&self.root);
        }
    }
}

/// A new disk's own folder counts as nothing, and so does what is `mine`.
fn check_empty(root: &Path, mine: &[&str]) -> Result<(), DataError> {
    let unreadable = |error| DataError::io("reading", root, error);
    if !root.is_dir() {
        return Err(DataError::NoFolder { path: root.to_owned() });
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name != "lost+found" && !mine.contains(&name.as_str()));
    names.sort();
    match names.is_empty() {
        true => Ok(()),
        false => Err(DataError::NotEmpty { path: root.to_owned(), names }),
    }
}
