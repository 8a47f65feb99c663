//! From a backup, or from what a cluster's last member has, to the data folder of a new cluster's first member: offline, whole or not
//! at all.
//!
//! ```text
//!   FILE ───────────read, checked whole──▶ an empty folder ──▶ log, snapshot of a new cluster ──▶ identity.toml, the last
//!   OLD FOLDER ──────┘ which stays as it is
//! ```
//!
//! This is the one place where a wall clock decides something: its seconds since 2020 are the least epoch of the tokens, so that a
//! backup restored twice gives higher tokens the second time. Therefore a clock that cannot be right is refused.

#![allow(
    clippy::disallowed_types,
    reason = "the epoch of a restore: the one number that must rise over clusters that know nothing of each other"
)]

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use lease::Recovery;
use replica::log::Folder;
use replica::{Backup, BackupError, Home, Restored, StartError};

use crate::config::Config;
use crate::data::{Data, DataError, Identity, NewData};
use crate::error::ExitKind;

/// The first second of 2020, since 1970.
const SECONDS_2020: u64 = 1_577_836_800;
/// The first second of 2026: before that, this program was not.
const SECONDS_LEAST: u64 = 1_767_225_600;

/// Where a new cluster begins, and as what.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Its first member's data folder: not there, empty, or with nothing in it but the identity that `tenure init` gives a cluster
    /// of one.
    pub data: PathBuf,
    /// Its id, of which no cluster was ever; none for a random one.
    pub cluster: Option<u128>,
    /// Its first member's id; none for the one of the member that is left, and 1 where it is a backup that is restored.
    pub member: Option<u64>,
    /// Allow a data folder on a file system that forgets.
    pub allow_volatile_data: bool,
}

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The backup.
    pub file: PathBuf,
    /// Where to.
    pub new: Beginning,
    /// Whether keys whose grants ended are free at once: where nobody can believe in them any more.
    pub discard_grants: bool,
}

/// Whose state to go on with, where a cluster's majority is lost for good, and where to.
#[derive(Clone, Debug)]
pub struct Recover {
    /// The data folder of the member that is left. It stays as it is.
    pub survivor: PathBuf,
    /// Where to.
    pub new: Beginning,
}

/// What the member had that is left of a cluster.
#[derive(Clone, Debug)]
pub struct Survivor {
    /// The old cluster's id.
    pub cluster: u128,
    /// The member's, which it keeps.
    pub member: u64,
    /// The old cluster's voters.
    pub voters: Vec<u64>,
    /// The term and the index of the last entry of its log.
    pub last: (u64, u64),
    /// How many leases are held.
    pub held: u64,
}

/// What a restore has made.
#[derive(Clone, Copy, Debug)]
pub struct NewCluster {
    /// Its id.
    pub cluster: u128,
    /// Its first member's.
    pub member: u64,
    /// What became of the grants.
    pub restored: Restored,
}

/// Why a backup cannot be read or restored. No folder was changed.
#[derive(Debug)]
pub enum RestoreError {
    /// The file cannot be opened.
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What is to be recovered from is no member's data folder.
    NoMember {
        /// The folder.
        path: PathBuf,
        /// What it lacks.
        lacks: &'static str,
    },
    /// The member was never in step with its cluster.
    NeverInStep {
        /// The folder.
        path: PathBuf,
    },
    /// The new cluster would have the id of the old one.
    SameCluster {
        /// That id.
        cluster: u128,
    },
    /// The configuration is of a member that does not begin a cluster alone.
    NotAlone {
        /// The setting that says so.
        setting: &'static str,
    },
    /// The backup is no good, or what it becomes could not be written.
    Backup(BackupError),
    /// What the member has that is left cannot be read.
    Survivor(StartError),
    /// The data folder cannot be used.
    Data(DataError),
    /// The wall clock cannot be right.
    Clock {
        /// The seconds since 1970 that it shows; 0 where it shows less.
        seconds: u64,
    },
}

/// Reads a backup and checks all of it.
///
/// # Errors
/// [`RestoreError`] names the file, the byte and what is wrong.
pub fn read_backup(path: &Path) -> Result<Backup, RestoreError> {
    let open = |error| RestoreError::Open { path: path.to_owned(), error };
    let file = File::open(path).map_err(open)?;
    if !file.metadata().map_err(open)?.is_file() {
        return Err(open(io::Error::other("it is no file")));
    }
    Ok(Backup::read(path.display().to_string(), Box::new(file))?)
}

/// Restores a backup.
///
/// # Errors
/// [`RestoreError`]; the folder is as it was.
pub fn restore(restore: &Restore) -> Result<NewCluster, RestoreError> {
    let epoch = epoch(SystemTime::now())?;
    let backup = read_backup(&restore.file)?;
    let how = if restore.discard_grants { Recovery::DiscardGrants } else { Recovery::Restore };
    restore.new.begin(backup, 1, epoch, how)
}

/// Begins a new cluster with what the last member of an old one has. Its grants stay, with as long a time to run as they were given;
/// what only the lost members had is lost.
///
/// # Errors
/// [`RestoreError`]; neither folder has changed.
pub fn recover(recover: &Recover) -> Result<(Survivor, NewCluster), RestoreError> {
    let epoch = epoch(SystemTime::now())?;
    check_whole(&recover.survivor)?;
    let old = Data::of_stopped(&recover.survivor)?;
    let Identity { cluster, member, begun, .. } = old.identity();
    if !begun {
        return Err(RestoreError::NeverInStep { path: recover.survivor.clone() });
    }
    let home = home(cluster, member, old.log(), old.snapshots())?;
    let left = Backup::of_survivor(&home).map_err(RestoreError::Survivor)?;
    let last = (left.term(), left.index());
    let survivor = Survivor { cluster, member, voters: left.voters(), last, held: left.held() };
    let new = recover.new.begin(left, member, epoch, Recovery::SoleSurvivor)?;
    Ok((survivor, new))
}

/// Refuses a folder that lacks what every member's has.
fn check_whole(path: &Path) -> Result<(), RestoreError> {
    match ["identity.toml", "log", "snapshots"].into_iter().find(|part| !path.join(part).exists()) {
        Some(lacks) => Err(RestoreError::NoMember { path: path.to_owned(), lacks }),
        None => Ok(()),
    }
}

impl Beginning {
    /// Where and as what a configuration says: that of a member that begins a cluster alone.
    ///
    /// # Errors
    /// [`RestoreError::NotAlone`].
    pub fn configured(config: &Config) -> Result<Beginning, RestoreError> {
        let joins = config.peer_join.then_some("peer.join");
        let several = (config.peer_voters.len() > 1).then_some("peer.voters");
        match joins.or(several) {
            Some(setting) => Err(RestoreError::NotAlone { setting }),
            None => Ok(Beginning {
                data: config.data.clone(),
                cluster: config.cluster,
                member: config.member,
                allow_volatile_data: config.allow_volatile_data,
            }),
        }
    }

    fn begin(
        &self,
        backup: Backup,
        member: u64,
        epoch: u32,
        how: Recovery,
    ) -> Result<NewCluster, RestoreError> {
        let (cluster, member) = (self.cluster.unwrap_or_else(rand::random), self.member.unwrap_or(member));
        if cluster == backup.cluster() {
            return Err(RestoreError::SameCluster { cluster });
        }
        let data = NewData::make_of(&self.data, (cluster, member), self.allow_volatile_data)?;
        let restored = backup.restore(&home(cluster, member, data.log(), data.snapshots())?, epoch, how)?;
        data.keep(cluster, member)?;
        Ok(NewCluster { cluster, member, restored })
    }
}

fn home(cluster: u128, member: u64, log: PathBuf, snapshots: PathBuf) -> Result<Home, RestoreError> {
    let folder = |path: PathBuf| match Folder::open(&path) {
        Ok(folder) => Ok(Arc::new(folder)),
        Err(error) => Err(RestoreError::Open { path, error }),
    };
    Ok(Home { cluster, member, log_disk: folder(log)?, snapshot_disk: folder(snapshots)? })
}

/// The seconds since 2020; until 2156 they fit.
fn epoch(now: SystemTime) -> Result<u32, RestoreError> {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match seconds < SECONDS_LEAST {
        true => Err(RestoreError::Clock { seconds }),
        false => Ok(u32::try_from(seconds - SECONDS_2020).unwrap_or(u32::MAX)),
    }
}

impl RestoreError {
    /// Which kind of exit it is.
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            RestoreError::Open { error, .. } => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::Other => {
                    ExitKind::Usage
                }
                _ => ExitKind::Unavailable,
            },
            RestoreError::NoMember { .. } | RestoreError::NotAlone { .. } => ExitKind::Usage,
            RestoreError::SameCluster { .. } => ExitKind::Refused,
            RestoreError::NeverInStep { .. } => ExitKind::Refused,
            RestoreError::Backup(BackupError::Write(_)) | RestoreError::Clock { .. } => ExitKind::Unavailable,
            RestoreError::Backup(_) => ExitKind::Refused,
            RestoreError::Survivor(_) => ExitKind::Unavailable,
            RestoreError::Data(error) => error.exit_kind(),
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Open { path, error } => {
                write!(f, "{}: {error}; name a backup that can be read", path.display())
            }
            RestoreError::NoMember { path, lacks } => write!(
                f,
                "{} has no {lacks}, and so is no member's data folder: name that of a stopped member, with identity.toml, log and \
                 snapshots in it",
                path.display()
            ),
            RestoreError::NeverInStep { path } => write!(
                f,
                "the member of {} was never in step with its cluster, and may lack most of what that had: recover from a member that \
                 was, or restore a backup",
                path.display()
            ),
            RestoreError::SameCluster { cluster } => write!(
                f,
                "the configuration names {cluster:032x}, the old cluster, whose members a new one of that name could be taken for: make a \
                 folder with a new id, CAs and certificates, with `tenure init`, and give its tenure.toml"
            ),
            RestoreError::NotAlone { setting } => write!(
                f,
                "the configuration has {setting}, and what is restored begins with one member, which the others join: give that of a \
                 member alone, as `tenure init` without --voters makes it"
            ),
            RestoreError::Backup(error) => error.fmt(f),
            RestoreError::Survivor(error) => error.fmt(f),
            RestoreError::Data(error) => error.fmt(f),
            RestoreError::Clock { seconds } => write!(
                f,
                "this machine's wall clock is at {seconds} s since 1970, years before this program was written: set it, since tokens \
                 of a restore lie above those of an earlier one by it"
            ),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<BackupError> for RestoreError {
    fn from(error: BackupError) -> RestoreError {
        RestoreError::Backup(error)
    }
}

impl From<DataError> for RestoreError {
    fn from(error: DataError) -> RestoreError {
        RestoreError::Data(error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_epoch_is_the_seconds_since_2020_of_a_clock_that_can_be_right() {
        let at = |seconds| epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(SECONDS_LEAST).unwrap(), (SECONDS_LEAST - SECONDS_2020) as u32);
        assert!(at(SECONDS_LEAST + 1).unwrap() > at(SECONDS_LEAST).unwrap());
        let error = at(0).unwrap_err();
        assert_eq!(error.exit_kind(), ExitKind::Unavailable);
        assert!(error.to_string().contains("at 0 s since 1970"), "{error}");
        assert_eq!(at(u64::from(u32::MAX) + SECONDS_2020 + 9).unwrap(), u32::MAX, "in 2156");
    }
}
