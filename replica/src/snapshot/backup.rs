//! A backup: a snapshot that was carried off, and what a new cluster begins with.
//!
//! ```text
//!   a member's state ──give──▶ FILE ──read──▶ Backup ──restore──▶ snapshots/snapshot-<term>-<index>
//!                                             checked whole       log/segment-…1   vote, purged up to there
//! ```
//!
//! A restore gives the state a new cluster id, one voter, and tokens of a new epoch; what it does to the grants is the table's to
//! say ([`lease::Recovery`]). The log begins behind the snapshot: its first records are a vote, so that the member never
//! votes in a term of the backup's again, and that all entries up to the snapshot's last are purged. So a start finds what it
//! finds after any snapshot, and a log that is lost later is missed. Neither folder has anything before; whoever calls it takes
//! both away where it fails, and writes whose they are last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::channel;

use lease::{Filter, Recovery, Revision, Table, Token};

use super::read::Reader;
use super::{Head, Owner, SnapshotError, Snapshots, VERSION};
use crate::log::{self, Disk, Identity, Log, LogFile, Record, Vote};
use crate::raft::types::{LogId, Membership, Peer, SnapshotMeta};

/// A backup that was read and checked whole; or what a member's folder has, which is the same.
pub struct Backup {
    pub(super) owner: Owner,
    pub(super) meta: SnapshotMeta,
    pub(super) table: Table,
    pub(super) bytes: u64,
}

/// Where a member's state is.
pub struct Home {
    /// The cluster's id. Of a new one: random, made for it.
    pub cluster: u128,
    /// The member's. Of a new cluster: its only voter's.
    pub member: u64,
    /// The folder of its log. Of a new cluster: empty.
    pub log_disk: Arc<dyn Disk>,
    /// The folder of its snapshots. Of a new cluster: empty.
    pub snapshot_disk: Arc<dyn Disk>,
}

/// What a restore has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Grants that it ended.
    pub ended: u64,
    /// Keys that nobody may claim until their grants' ttl has passed, those of an earlier restore among them.
    pub unclaimable: u64,
    /// Every token from now on is at least this one.
    pub next_token: Token,
    /// Credentials of clients that the new cluster does not know.
    pub forgotten: usize,
}

/// Why a backup cannot be read or restored.
#[derive(Debug)]
pub enum BackupError {
    /// The file cannot be used.
    File(SnapshotError),
    /// It has no entry: no member that serves writes one so.
    Empty {
        /// Which file.
        path: String,
    },
    /// What it becomes cannot be written.
    Write(String),
}

impl Backup {
    /// Reads a backup of this name and checks all of it: checksums, trailer, and whether it is a table at all.
    ///
    /// # Errors
    /// [`BackupError`] names the file, the byte and what is wrong.
    pub fn read(path: String, file: Box<dyn LogFile>) -> Result<Backup, BackupError> {
        let mut reader = Reader::new(path.clone(), file).map_err(BackupError::File)?;
        let (owner, Head { meta, .. }) = reader.header().map_err(BackupError::File)?;
        if meta.last_log_id.is_none() {
            return Err(BackupError::Empty { path });
        }
        let bytes = reader.length();
        let table = reader.table().map_err(BackupError::File)?;
        Ok(Backup { owner, meta, table, bytes })
    }

    /// The id of the cluster that it is of.
    pub fn cluster(&self) -> u128 {
        self.owner.cluster
    }

    /// The member that wrote it.
    pub fn member(&self) -> u64 {
        self.owner.member
    }

    /// The last entry that it has.
    pub fn index(&self) -> u64 {
        self.meta.last_log_id.map_or(0, |id| id.index)
    }

    /// The cluster's voters at that entry.
    pub fn voters(&self) -> Vec<u64> {
        self.meta.last_membership.membership().voter_ids().collect()
    }

    /// The state's revision.
    pub fn revision(&self) -> Revision {
        self.table.revision()
    }

    /// How many leases are held.
    pub fn held(&self) -> u64 {
        self.table.count(&Filter::default())
    }

    /// The term of the last entry that it has.
    pub fn term(&self) -> u64 {
        self.meta.last_log_id.map_or(0, |id| id.leader_id.term)
    }

    /// The length of its file; 0 of a member's folder.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the beginning of a new cluster of it, in the empty folders of `home`. `epoch` is the seconds since 2020.
    ///
    /// # Errors
    /// [`BackupError::Write`]; what stands in the folders then is nothing that could be started.
    pub fn restore(mut self, home: &Home, epoch: u32, how: Recovery) -> Result<Restored, BackupError> {
        let Some(last) = self.meta.last_log_id else {
            return Err(BackupError::Empty { path: String::new() });
        };
        let (held, known) = (self.held(), self.table.settings().credentials.len());
        self.table.recover(epoch, how);
        self.table.readdress(home.cluster, how);
        let restored = Restored {
            ended: held - self.held(),
            unclaimable: self.table.unclaimable(),
            next_token: self.table.next_token(),
            forgotten: known - self.table.settings().credentials.len(),
        };
        let alone = openraft::Membership::new(
            vec![BTreeSet::from([home.member])],
            BTreeMap::from([(home.member, Peer::default())]),
        );
        let alone = alone.map_err(|error| BackupError::Write(error.to_string()))?;
        let meta =
            SnapshotMeta { last_log_id: Some(last), last_membership: Membership::new(Some(last), alone) };
        // Who was removed from the old cluster is nobody in the new one.
        let head = Head { meta, ..Head::default() };
        let owner = Owner { cluster: home.cluster, member: home.member };
        let snapshots = Snapshots { disk: Arc::clone(&home.snapshot_disk), owner };
        snapshots
            .write(&head, &self.table.freeze())
            .map_err(|error| BackupError::Write(format!("{}: {error}", home.snapshot_disk.path(""))))?;
        begin_log(home, last)?;
        Ok(restored)
    }
}

/// A log that begins behind `last`.
fn begin_log(home: &Home, last: LogId) -> Result<(), BackupError> {
    let identity = Identity { cluster: home.cluster, node: home.member, group: 0 };
    let failed = |error: &dyn fmt::Display| BackupError::Write(error.to_string());
    let opened = log::open(Arc::clone(&home.log_disk), identity, log::Options::default());
    let (_, writer) = opened.map_err(|error| failed(&error))?;
    // Its error reaches us by `done`.
    let log = Log::start(writer, Box::new(|_| {})).map_err(|error| failed(&error))?;
    let (term, index) = (last.leader_id.term, last.index);
    let vote = Vote { term: term + 1, node: home.member, committed: false };
    let records = vec![Record::Vote(vote), Record::Purge { upto: log::LogId { term, index } }];
    let (told, done) = channel();
    log.append(records, Box::new(move |result| drop(told.send(result))));
    // It ends once these are on the disk, or find no room there.
    log.stop();
    match done.try_recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(BackupError::Write(format!("{}: {error}", home.log_disk.path("")))),
        Err(error) => Err(failed(&error)),
    }
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backup of {:032x} at entry {}", self.cluster(), self.index())
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::File(SnapshotError::Damaged { path, offset, what }) => {
                write!(f, "{path} is damaged at byte {offset}: {what}; use another copy of the backup")
            }
            BackupError::File(SnapshotError::NoSnapshot { path }) => {
                write!(
                    f,
                    "{path} is no backup: it does not begin as one does; name the file that `tenure backup` wrote"
                )
            }
            BackupError::File(SnapshotError::Version { path, found }) => write!(
                f,
                "{path} has format version {found}, and this program reads up to {VERSION}; upgrade this program to the one that wrote it"
            ),
            BackupError::File(error) => error.fmt(f),
            BackupError::Empty { path } => {
                write!(f, "{path} is no backup of a cluster: it has no entry; use another copy of the backup")
            }
            BackupError::Write(what) => write!(f, "the backup could not be restored: {what}"),
        }
    }
}

impl std::error::Error for BackupError {}
