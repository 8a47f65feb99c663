//! The data folder: who it belongs to, who uses it, and whether it can be trusted with promises.
//!
//! ```text
//! DIR/                 0700
//!   lock               the pid of the process that has it, and a lock that ends with that process
//!   identity.toml      which cluster, which member, and whether it may have voted
//!   log/               replica::log's
//!   snapshots/         the replica's
//! ```
//!
//! It is checked before anything else is written, so that a folder that is refused is as it was, but for the pid in `lock`.

mod error;
mod identity;
mod mount;
mod new;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use replica::OnBegun;

pub use error::DataError;
pub(crate) use identity::{Identity, founder, has_joined};
#[cfg(any(test, feature = "parsers"))]
pub(crate) use identity::{parse as parse_identity, text_of as text_of_identity};
pub(crate) use new::NewData;

use crate::config::Config;

/// An open data folder. It is ours for as long as this lives.
#[derive(Debug)]
pub(crate) struct Data {
    root: PathBuf,
    identity: Identity,
    _lock: Flock<File>,
}

impl Data {
    /// Opens the folder that `config` names, and makes it where it is missing.
    ///
    /// # Errors
    /// [`DataError`]; the folder is as it was, but for the pid in `lock`.
    pub(crate) fn open(config: &Config) -> Result<Data, DataError> {
        let root = config.data.clone();
        mount::check(&root, config.allow_volatile_data)?;
        make_private(&root)?;
        identity::check_nobody_elses(&root)?;
        let lock = lock(&root)?;
        let identity = identity::open(&root, config)?;
        for inner in ["log", "snapshots"] {
            make_private(&root.join(inner))?;
        }
        sync_folder(&root)?;
        Ok(Data { root, identity, _lock: lock })
    }

    /// Takes the folder of a member that runs no more, to be read: it stays as it is, but for the pid in `lock`.
    ///
    /// # Errors
    /// [`DataError`]: it is none, it has no identity, or a living process has it.
    pub(crate) fn of_stopped(root: &Path) -> Result<Data, DataError> {
        let identity = identity::read(root)?;
        Ok(Data { root: root.to_owned(), identity, _lock: lock(root)? })
    }

    /// Who this member is.
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

    /// What remembers that this member may vote: from then on its log must be there. It writes once the folder is opened, and
    /// while it is.
    pub(crate) fn on_begun(&self) -> OnBegun {
        let (root, identity) = (self.root.clone(), Identity { begun: true, ..self.identity });
        Arc::new(move || identity::write(&root, &identity).map_err(io::Error::other))
    }
}

/// Makes a folder that only we may read, or checks that it is one.
fn make_private(folder: &Path) -> Result<(), DataError> {
    let failed = |what, error| DataError::io(what, folder, error);
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(folder)
                .map_err(|error| failed("making it", error))?;
            // The mode that was asked for is cut by the process's mask.
            fs::set_permissions(folder, Permissions::from_mode(0o700))
                .map_err(|error| failed("its mode", error))?;
            match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => sync_folder(parent),
                None => sync_folder(Path::new(".")),
            }
        }
        Err(error) => Err(failed("looking at it", error)),
        Ok(found) if !found.is_dir() => Err(DataError::NoFolder { path: folder.to_owned() }),
        Ok(found) => match found.permissions().mode() & 0o777 {
            mode if mode & 0o077 != 0 => Err(DataError::Loose { path: folder.to_owned(), mode }),
            _ => Ok(()),
        },
    }
}

/// Takes the folder for this process. The lock ends with the process, however that ends.
fn lock(root: &Path) -> Result<Flock<File>, DataError> {
    let path = root.join("lock");
    let failed = |error| DataError::io("locking", &path, error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
            writeln!(lock, "{}", std::process::id()).map_err(failed)?;
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            drop(file.read_to_string(&mut pid));
            Err(DataError::Locked { path: root.to_owned(), pid: pid.trim().parse().ok() })
        }
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

/// Makes what was created or renamed in a folder durable.
fn sync_folder(folder: &Path) -> Result<(), DataError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| DataError::io("syncing", folder, error))
}
