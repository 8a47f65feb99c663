//! What can be wrong with a data folder: which path, what was found, what is wanted, what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::service::Echo;

/// Why a data folder was not opened. It is as it was, but for the pid in `lock`.
#[derive(Debug)]
pub enum DataError {
    /// The file system failed.
    Io {
        /// What was being done.
        what: &'static str,
        /// To which path.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// There is something, and it is no folder.
    NoFolder {
        /// Where.
        path: PathBuf,
    },
    /// It has no identity, and files that are no member's.
    Strange {
        /// Which folder.
        path: PathBuf,
        /// Those files.
        names: Vec<String>,
    },
    /// It should be empty, and is not.
    NotEmpty {
        /// Which folder.
        path: PathBuf,
        /// What is in it.
        names: Vec<String>,
    },
    /// Others may read it.
    Loose {
        /// Which folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A living process has it.
    Locked {
        /// Which folder.
        path: PathBuf,
        /// That process, where it said.
        pid: Option<u32>,
    },
    /// It has no identity, and its member would begin a cluster alone that has a name already.
    Begins {
        /// Which folder.
        path: PathBuf,
        /// That cluster.
        cluster: u128,
    },
    /// It belongs to another cluster or member than the configuration says.
    Foreign {
        /// The file that says so.
        path: PathBuf,
        /// Whose it is: cluster and member.
        found: (u128, u64),
        /// Whose it should be.
        wanted: (u128, u64),
    },
    /// A newer program wrote it.
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The newest version that this program reads.
        supported: i64,
    },
    /// Its identity cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// There is a log, and nothing that says whose it is.
    Nameless {
        /// The file that is missing.
        path: PathBuf,
    },
    /// The file system cannot be trusted with promises.
    Volatile {
        /// Which folder.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
        /// What it does not promise.
        why: &'static str,
    },
}

impl DataError {
    pub(super) fn io(what: &'static str, path: &Path, error: io::Error) -> DataError {
        DataError::Io { what, path: path.to_owned(), error }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::Io { what, path, error } => {
                write!(f, "{}: {what}: {error}", path.display())?;
                f.write_str(remedy(error.kind()))
            }
            DataError::NoFolder { path } => {
                write!(f, "{} is no folder: name another, or move it away", path.display())
            }
            DataError::Strange { path, names } => {
                let names = some_of(names);
                write!(
                    f,
                    "{} has no identity.toml, and files that are no member's: {names}; name an empty folder, or one that is yet \
                     to be made",
                    path.display()
                )
            }
            DataError::NotEmpty { path, names } => write!(
                f,
                "{} is not empty: there is {}; nothing was changed: name an empty folder, or one that is yet to be made",
                path.display(),
                some_of(names)
            ),
            DataError::Loose { path, mode } => write!(
                f,
                "{} has mode {mode:04o}, so that others may reach into it; mode 0700 is wanted: chmod 700 {}",
                path.display(),
                path.display()
            ),
            DataError::Locked { path, pid } => {
                write!(f, "{} is in use by ", path.display())?;
                match pid {
                    Some(pid) => write!(f, "the process with pid {pid}")?,
                    None => f.write_str("another process")?,
                }
                f.write_str(": stop that one, or name another folder")
            }
            DataError::Begins { path, cluster } => write!(
                f,
                "{} is empty, and the configuration names cluster {cluster:032x}, and nobody who begins it with this member: where it was \
                 begun already, what this member had is lost, and it may not begin it anew. Give it its folder back, or have a new member take \
                 its place: `tenure members invite`, then `replace`. The folder that a new cluster begins with is `data` in what `tenure init` has \
                 made; without cluster in the configuration a new one is begun",
                path.display()
            ),
            DataError::Foreign { path, found, wanted } => write!(
                f,
                "{} says that this is member {} of cluster {:032x}, and the configuration says member {} of cluster {:032x}: \
                 name the right folder, or the right ids",
                path.display(),
                found.1,
                found.0,
                wanted.1,
                wanted.0
            ),
            DataError::NewerFormat { path, found, supported } => write!(
                f,
                "{} has format {found}, and this program reads up to {supported}; nothing was changed: upgrade this \
                 program to the one that wrote it",
                path.display()
            ),
            DataError::Unreadable { path, cause } => write!(
                f,
                "{} cannot be read: {cause}; nothing was changed: put it back from a copy",
                path.display()
            ),
            DataError::Nameless { path } => write!(
                f,
                "{} is missing, and there is a log: nothing says whose it is; put it back from a copy, or name an empty folder",
                path.display()
            ),
            DataError::Volatile { path, kind, why } => write!(
                f,
                "{} is on {kind}, {why}: name a folder on a local disk, or say --allow-volatile-data",
                path.display()
            ),
        }
    }
}

fn some_of(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| Echo(name).to_string()).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    shown.join(", ") + more
}

fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "; the folder must belong to the user that runs the server, with mode 0700"
        }
        io::ErrorKind::StorageFull => "; the disk is full: free space on it, then start again",
        io::ErrorKind::QuotaExceeded => "; the quota is used up: raise it or free space, then start again",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; the file system is read-only: mount it for writing, then start again"
        }
        _ => "",
    }
}

impl std::error::Error for DataError {}
