//! Snapshots: the whole state in one file, so that the log behind it may go.
//!
//! ```text
//! header    magic "TENUSNAP" │ version u16, from 1 │ group u16 = 0 │ header length u32
//!           cluster u128 │ member u64: who wrote it
//!           last entry: present u8, term u64, index u64
//!           membership's entry: present u8, term u64, index u64 │ its length u32 │ its bytes (raft/codec.rs)
//!           version 2, written where members were ever removed: their count u32, each an id u64, ascending
//!           crc32c u32 of all before
//! chunk     'C' u8 │ length u32 │ crc32c u32 of the section │ section (lease/src/snapshot.rs)     as often as needed
//! trailer   'E' u8 │ chunks u32 │ crc32c u32 of the chunks' checksums, in order
//! ```
//!
//! Little-endian. Where an entry is not present, its term and index are 0. A file appears under its name `snapshot-<term>-<index>` only when it is whole: it is written aside, synced,
//! renamed, and the folder is synced; then older ones are unlinked. What stands under such a name and cannot be read is
//! damage, and the member refuses to start: the log behind it is gone. So is a file that stands under another's name. Every version
//! keeps the header's length and checksum where they are, so that a newer one is told from damage.

mod backup;
mod error;
mod frozen;
#[cfg(any(test, feature = "parsers"))]
pub(crate) mod parsers;
mod read;
mod survivor;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use lease::Table;

pub use backup::{Backup, BackupError, Home, Restored};
pub use error::SnapshotError;
pub use frozen::FrozenState;

use crate::log::{Disk, LogFile};
use crate::raft::types::{Snapshot, SnapshotMeta};

const MAGIC: &[u8; 8] = b"TENUSNAP";
/// The newest version that is read.
const VERSION: u16 = 2;
/// What is written where no member was ever removed, so that older programs read it too.
const VERSION_NOBODY_REMOVED: u16 = 1;
/// Where the last entry is told, in bytes from the start.
const LAST_ENTRY_AT: u64 = 40;
const CHUNK: u8 = b'C';
const TRAILER: u8 = b'E';
/// What comes from another member, until it is whole.
const INCOMING: &str = "incoming.tmp";

/// A whole snapshot on the disk.
#[derive(Clone)]
pub struct SnapshotFile {
    disk: Arc<dyn Disk>,
    name: String,
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.disk.path(&self.name))
    }
}

/// Whose snapshots these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) cluster: u128,
    pub(crate) member: u64,
}

/// Which state a snapshot is of, and what of it is not in the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) meta: SnapshotMeta,
    /// Ids of members that were removed.
    pub(crate) removed: BTreeSet<u64>,
}

/// A folder of snapshots.
#[derive(Clone)]
pub(crate) struct Snapshots {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) owner: Owner,
}

impl Snapshots {
    /// The newest snapshot, read and checked whole.
    pub(crate) fn newest(&self) -> Result<Option<(Head, Table)>, SnapshotError> {
        let Some((_, file)) = self.newest_file()? else { return Ok(None) };
        let (head, table) = file.read(self.owner)?;
        // Its name may not be on the disk yet, where the last run was killed between its rename and the sync of the folder: a power
        // cut could then take it after the older one is gone.
        let removed = self
            .disk
            .sync_folder()
            .and_then(|()| self.remove_unfinished())
            .and_then(|()| self.remove_older(&file.name));
        removed.map_err(|error| SnapshotError::Io { path: self.disk.path(""), error })?;
        Ok(Some((head, table)))
    }

    /// The newest snapshot, of which only the header is read.
    pub(crate) fn newest_file(&self) -> Result<Option<(SnapshotMeta, SnapshotFile)>, SnapshotError> {
        let folder = |error| SnapshotError::Io { path: self.disk.path(""), error };
        let names = self.disk.list().map_err(folder)?;
        let Some(name) = names.into_iter().filter(|name| is_snapshot(name)).max() else { return Ok(None) };
        let file = SnapshotFile { disk: Arc::clone(&self.disk), name };
        let meta = file.meta(self.owner)?;
        match name_of(&meta) {
            named if named == file.name => Ok(Some((meta, file))),
            // An older copy under the newer one's name: what it lacks may be gone from the log.
            named => Err(SnapshotError::Damaged {
                path: self.disk.path(&file.name),
                offset: LAST_ENTRY_AT,
                what: format!("its header is that of {named}"),
            }),
        }
    }

    /// Where the snapshot of this head is, or without one the folder.
    pub(crate) fn path(&self, head: Option<&Head>) -> String {
        self.disk.path(&head.map(|head| name_of(&head.meta)).unwrap_or_default())
    }

    /// A file aside for a snapshot that comes from another member.
    pub(crate) fn create_incoming(&self) -> io::Result<Box<dyn LogFile>> {
        if self.disk.list()?.iter().any(|name| name == INCOMING) {
            self.disk.remove(INCOMING)?;
        }
        self.disk.create(INCOMING)
    }

    /// Checks what has come, and puts it in the place of the older snapshots.
    pub(crate) fn take_incoming(&self, file: Box<dyn LogFile>) -> io::Result<Snapshot> {
        file.sync_data()?;
        drop(file);
        let incoming = SnapshotFile { disk: Arc::clone(&self.disk), name: INCOMING.to_owned() };
        let (Head { meta, .. }, _) = incoming.read(self.owner).map_err(io::Error::other)?;
        let name = name_of(&meta);
        self.disk.rename(INCOMING, &name)?;
        self.disk.sync_folder()?;
        self.remove_older(&name)?;
        Ok(Snapshot { meta, snapshot: SnapshotFile { name, ..incoming } })
    }

    /// Removes older snapshots, and no newer one: that may have come from another member while this one was written, and the log may
    /// have given back what it covers.
    fn remove_older(&self, name: &str) -> io::Result<()> {
        self.remove_where(|other| is_snapshot(other) && other < name)
    }

    /// Removes what interrupted writes have left behind: at a start, when nobody writes.
    fn remove_unfinished(&self) -> io::Result<()> {
        self.remove_where(|other| other.ends_with(".tmp"))
    }

    fn remove_where(&self, goes: impl Fn(&str) -> bool) -> io::Result<()> {
        for other in self.disk.list()?.iter().filter(|name| goes(name)) {
            self.disk.remove(other)?;
        }
        Ok(())
    }
}

fn name_of(meta: &SnapshotMeta) -> String {
    let (term, index) = meta.last_log_id.map_or((0, 0), |id| (id.leader_id.term, id.index));
    format!("snapshot-{term:016x}-{index:016x}")
}

fn is_snapshot(name: &str) -> bool {
    name.starts_with("snapshot-") && !name.ends_with(".tmp")
}
