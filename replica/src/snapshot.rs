//! Snapshots: the whole state in one file, so that the log behind it may go.
//!
//! ```text
//! header    magic "TENUSNAP" │ version u16 │ group u16 │ header length u32
//!           cluster u128 │ member u64
//!           last entry: present u8, term u64, index u64
//!           membership's entry: present u8, term u64, index u64 │ its length u32 │ its bytes (raft/codec.rs)
//!           crc32c u32 of all before
//! chunk     'C' u8 │ length u32 │ crc32c u32 of the section │ section (lease/src/snapshot.rs)     as often as needed
//! trailer   'E' u8 │ chunks u32 │ crc32c u32 of the chunks' checksums, in order
//! ```
//!
//! Little-endian. A file appears under its name `snapshot-<term>-<index>` only when it is whole: it is written aside, synced,
//! renamed, and the folder is synced; then older ones are unlinked. What stands under such a name and cannot be read is
//! damage, and the member refuses to start: the log behind it is gone.

use std::fmt;
use std::io;
use std::sync::Arc;

use lease::{DecodeError, Frozen, Table};

use crate::log::{Disk, LogFile, START_ANEW};
use crate::raft::codec::{decode_membership, encode_membership};
use crate::raft::types::{CommittedLeaderId, LogId, Membership, SnapshotMeta};

const MAGIC: &[u8; 8] = b"TENUSNAP";
const VERSION: u16 = 1;
const CHUNK: u8 = b'C';
const TRAILER: u8 = b'E';
/// The longest header: a membership of a few members with long addresses.
const HEADER_BYTES_MAX: u32 = 1024 * 1024;
/// The longest section of the table.
const SECTION_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// What is gathered before it is written.
const WRITE_BYTES: usize = 256 * 1024;

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
        /// Where, in bytes.
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
                "{path} has format version {found}, and this program reads up to {VERSION}; start the newer program that wrote it"
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

/// Whose snapshots these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) cluster: u128,
    pub(crate) member: u64,
}

/// A folder of snapshots.
#[derive(Clone)]
pub(crate) struct Snapshots {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) owner: Owner,
}

impl Snapshots {
    /// Writes a snapshot and unlinks the older ones.
    pub(crate) fn write(&self, meta: &SnapshotMeta, table: &Frozen) -> io::Result<SnapshotFile> {
        let name = name_of(meta);
        let aside = format!("{name}.tmp");
        let written = self.write_aside(&name, &aside, meta, table);
        if written.is_err() {
            // Half a snapshot must not keep the room that it waits for.
            let _ = self.disk.remove(&aside);
        }
        written
    }

    fn write_aside(
        &self,
        name: &str,
        aside: &str,
        meta: &SnapshotMeta,
        table: &Frozen,
    ) -> io::Result<SnapshotFile> {
        if self.disk.list()?.iter().any(|other| other == aside) {
            self.disk.remove(aside)?;
        }
        let mut writer = Writer { file: self.disk.create(aside)?, offset: 0, buffer: Vec::new() };
        writer.put(&header(self.owner, meta))?;
        let (mut chunks, mut checksums) = (0u32, 0u32);
        for section in table.sections() {
            let checksum = crc32c::crc32c(&section);
            checksums = crc32c::crc32c_append(checksums, &checksum.to_le_bytes());
            chunks += 1;
            writer.put(&[CHUNK])?;
            writer.put(&(section.len() as u32).to_le_bytes())?;
            writer.put(&checksum.to_le_bytes())?;
            writer.put(&section)?;
        }
        writer.put(&[TRAILER])?;
        writer.put(&chunks.to_le_bytes())?;
        writer.put(&checksums.to_le_bytes())?;
        writer.finish()?;
        self.disk.rename(aside, name)?;
        self.disk.sync_folder()?;
        self.remove_all_but(name)?;
        Ok(SnapshotFile { disk: Arc::clone(&self.disk), name: name.to_owned() })
    }

    /// The newest snapshot, read and checked whole.
    pub(crate) fn newest(&self) -> Result<Option<(SnapshotMeta, Table)>, SnapshotError> {
        let Some((_, file)) = self.newest_file()? else { return Ok(None) };
        let (meta, table) = file.read(self.owner)?;
        let removed = self.remove_all_but(&file.name);
        removed.map_err(|error| SnapshotError::Io { path: self.disk.path(""), error })?;
        Ok(Some((meta, table)))
    }

    /// The newest snapshot, of which only the header is read.
    pub(crate) fn newest_file(&self) -> Result<Option<(SnapshotMeta, SnapshotFile)>, SnapshotError> {
        let folder = |error| SnapshotError::Io { path: self.disk.path(""), error };
        let names = self.disk.list().map_err(folder)?;
        let Some(name) = names.into_iter().filter(|name| is_snapshot(name)).max() else { return Ok(None) };
        let file = SnapshotFile { disk: Arc::clone(&self.disk), name };
        let meta = file.reader()?.header(self.owner)?;
        Ok(Some((meta, file)))
    }

    /// What an older snapshot or an interrupted write left behind.
    fn remove_all_but(&self, name: &str) -> io::Result<()> {
        for other in self.disk.list()? {
            if other != name && (is_snapshot(&other) || other.ends_with(".tmp")) {
                self.disk.remove(&other)?;
            }
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

struct Writer {
    file: Box<dyn LogFile>,
    offset: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.offset, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_data()
    }
}

fn header(owner: Owner, meta: &SnapshotMeta) -> Vec<u8> {
    let mut rest = Vec::new();
    rest.extend_from_slice(&owner.cluster.to_le_bytes());
    rest.extend_from_slice(&owner.member.to_le_bytes());
    put_id(meta.last_log_id.as_ref(), &mut rest);
    put_id(meta.last_membership.log_id().as_ref(), &mut rest);
    let mut membership = Vec::new();
    encode_membership(meta.last_membership.membership(), &mut membership);
    rest.extend_from_slice(&(membership.len() as u32).to_le_bytes());
    rest.extend_from_slice(&membership);
    let mut header = Vec::from(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&0u16.to_le_bytes());
    header.extend_from_slice(&(rest.len() as u32).to_le_bytes());
    header.extend_from_slice(&rest);
    let checksum = crc32c::crc32c(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

fn put_id(id: Option<&LogId>, into: &mut Vec<u8>) {
    into.push(u8::from(id.is_some()));
    let (term, index) = id.map_or((0, 0), |id| (id.leader_id.term, id.index));
    into.extend_from_slice(&term.to_le_bytes());
    into.extend_from_slice(&index.to_le_bytes());
}

impl SnapshotFile {
    /// Reads and checks the whole file.
    pub(crate) fn read(&self, owner: Owner) -> Result<(SnapshotMeta, Table), SnapshotError> {
        let mut reader = self.reader()?;
        let meta = reader.header(owner)?;
        let mut chunks = Chunks { reader: &mut reader, count: 0, checksums: 0, ended: false, failed: None };
        let table = Table::thaw(&mut chunks);
        match (chunks.failed.take(), chunks.ended, table) {
            (Some(error), _, _) => Err(error),
            (None, _, Err(error)) => Err(reader.damaged(error.to_string())),
            (None, false, Ok(_)) => Err(reader.damaged("the table ends before the trailer")),
            (None, true, Ok(table)) => Ok((meta, table)),
        }
    }
}

impl SnapshotFile {
    fn reader(&self) -> Result<Reader, SnapshotError> {
        let path = self.disk.path(&self.name);
        let opened = self.disk.open(&self.name).and_then(|file| Ok((file.len()?, file)));
        let (length, file) = opened.map_err(|error| SnapshotError::Io { path: path.clone(), error })?;
        Ok(Reader { path, file, length, offset: 0 })
    }
}

struct Reader {
    path: String,
    file: Box<dyn LogFile>,
    length: u64,
    offset: u64,
}

impl Reader {
    fn damaged(&self, what: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { path: self.path.clone(), offset: self.offset, what: what.into() }
    }

    fn take(&mut self, length: u32) -> Result<Vec<u8>, SnapshotError> {
        if u64::from(length) > self.length.saturating_sub(self.offset) {
            return Err(self.damaged(format!(
                "{length} bytes should follow, and the file ends at byte {}",
                self.length
            )));
        }
        let mut bytes = vec![0; length as usize];
        let read = self.file.read_at(self.offset, &mut bytes);
        read.map_err(|error| SnapshotError::Io { path: self.path.clone(), error })?;
        self.offset += u64::from(length);
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, SnapshotError> {
        Ok(u32::from_le_bytes(array(&self.take(4)?)))
    }

    fn header(&mut self, owner: Owner) -> Result<SnapshotMeta, SnapshotError> {
        let start = self.take(16)?;
        if !start.starts_with(MAGIC) {
            self.offset = 0;
            return Err(self.damaged("it does not begin as a snapshot does"));
        }
        let version = u16::from_le_bytes(array(&start[8..]));
        let length = u32::from_le_bytes(array(&start[12..]));
        if version > VERSION {
            return Err(SnapshotError::Version { path: self.path.clone(), found: version });
        }
        if length > HEADER_BYTES_MAX {
            return Err(self.damaged(format!("a header of {length} bytes; the limit is {HEADER_BYTES_MAX}")));
        }
        let rest = self.take(length)?;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&start), &rest);
        if self.number()? != checksum {
            self.offset = 0;
            return Err(self.damaged("the header's checksum does not match"));
        }
        self.meta(owner, &rest)
    }

    fn meta(&self, owner: Owner, header: &[u8]) -> Result<SnapshotMeta, SnapshotError> {
        const FIXED: usize = 16 + 8 + 17 + 17 + 4;
        let (fixed, membership) =
            header.split_at_checked(FIXED).ok_or_else(|| self.damaged("the header is too short"))?;
        let found = (u128::from_le_bytes(array(fixed)), u64::from_le_bytes(array(&fixed[16..])));
        let wanted = (owner.cluster, owner.member);
        if found != wanted {
            return Err(SnapshotError::Foreign { path: self.path.clone(), found, wanted });
        }
        let membership = decode_membership(membership).map_err(|error| self.damaged(error.to_string()))?;
        Ok(SnapshotMeta {
            last_log_id: id_at(&fixed[24..]),
            last_membership: Membership::new(id_at(&fixed[41..]), membership),
        })
    }
}

fn id_at(bytes: &[u8]) -> Option<LogId> {
    let term = u64::from_le_bytes(array(&bytes[1..]));
    let index = u64::from_le_bytes(array(&bytes[9..]));
    (bytes[0] == 1).then(|| LogId::new(CommittedLeaderId::new(term), index))
}

/// The first `N` bytes; the caller has checked that there are so many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

/// A snapshot's sections, each checked; ends at a trailer that matches.
struct Chunks<'a> {
    reader: &'a mut Reader,
    count: u32,
    checksums: u32,
    /// Whether the trailer was read, and matched.
    ended: bool,
    failed: Option<SnapshotError>,
}

impl Chunks<'_> {
    fn next_section(&mut self) -> Result<Option<Vec<u8>>, SnapshotError> {
        match self.reader.take(1)?[0] {
            CHUNK => self.chunk().map(Some),
            TRAILER => self.trailer().map(|()| None),
            other => {
                Err(self.reader.damaged(format!("neither a chunk nor the trailer begins with {other:#04x}")))
            }
        }
    }

    fn chunk(&mut self) -> Result<Vec<u8>, SnapshotError> {
        let length = self.reader.number()?;
        if length > SECTION_BYTES_MAX {
            return Err(self
                .reader
                .damaged(format!("a chunk of {length} bytes; the limit is {SECTION_BYTES_MAX}")));
        }
        let checksum = self.reader.number()?;
        let section = self.reader.take(length)?;
        if crc32c::crc32c(&section) != checksum {
            return Err(self.reader.damaged("the checksum of the chunk that ends here does not match"));
        }
        self.count += 1;
        self.checksums = crc32c::crc32c_append(self.checksums, &checksum.to_le_bytes());
        Ok(section)
    }

    fn trailer(&mut self) -> Result<(), SnapshotError> {
        let (count, checksums) = (self.reader.number()?, self.reader.number()?);
        if (count, checksums) != (self.count, self.checksums) {
            return Err(self
                .reader
                .damaged(format!("the trailer speaks of {count} chunks, and there are {}", self.count)));
        }
        self.ended = self.reader.offset == self.reader.length;
        match self.ended {
            true => Ok(()),
            false => Err(self.reader.damaged("bytes follow the trailer")),
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Vec<u8>, DecodeError>;

    fn next(&mut self) -> Option<Result<Vec<u8>, DecodeError>> {
        match self.next_section() {
            Ok(section) => section.map(Ok),
            Err(error) => {
                let offset = self.reader.offset as usize;
                self.failed = Some(error);
                Some(Err(DecodeError { what: "a snapshot", offset }))
            }
        }
    }
}
