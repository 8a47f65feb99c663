//! A snapshot as it is found: nothing in it is believed before its checksum was.

use std::collections::BTreeSet;

use lease::{DecodeError, Table};

use super::{
    CHUNK, Head, MAGIC, Owner, SnapshotError, SnapshotFile, TRAILER, VERSION, VERSION_NOBODY_REMOVED,
};
use crate::log::LogFile;
use crate::raft::codec::decode_membership;
use crate::raft::types::{CommittedLeaderId, LogId, Membership, SnapshotMeta};

/// The longest header: a membership of a few members with long addresses.
const HEADER_BYTES_MAX: u32 = 1024 * 1024;
/// The longest section of the table.
const SECTION_BYTES_MAX: u32 = 16 * 1024 * 1024;

impl SnapshotFile {
    /// Reads and checks the whole file.
    pub(crate) fn read(&self, owner: Owner) -> Result<(Head, Table), SnapshotError> {
        let mut reader = self.reader()?;
        let head = reader.header_of(owner)?;
        Ok((head, reader.table()?))
    }

    /// Reads and checks the header alone.
    pub(super) fn meta(&self, owner: Owner) -> Result<SnapshotMeta, SnapshotError> {
        Ok(self.reader()?.header_of(owner)?.meta)
    }

    /// At most `length` bytes from `offset` on, as they are, and how many there are in all.
    pub(crate) fn piece(&self, offset: u64, length: usize) -> std::io::Result<(u64, Vec<u8>)> {
        let file = self.disk.open(&self.name)?;
        let total = file.len()?;
        let mut bytes = vec![0; length.min(total.saturating_sub(offset) as usize)];
        file.read_at(offset, &mut bytes)?;
        Ok((total, bytes))
    }

    fn reader(&self) -> Result<Reader, SnapshotError> {
        let path = self.disk.path(&self.name);
        match self.disk.open(&self.name) {
            Ok(file) => Reader::new(path, file),
            Err(error) => Err(SnapshotError::Io { path, error }),
        }
    }
}

pub(super) struct Reader {
    path: String,
    file: Box<dyn LogFile>,
    length: u64,
    offset: u64,
    /// Where the header, chunk or trailer begins that is being read: what is wrong is somewhere from there on.
    part: u64,
}

impl Reader {
    /// A reader of a file of this name, from its start.
    pub(super) fn new(path: String, file: Box<dyn LogFile>) -> Result<Reader, SnapshotError> {
        match file.len() {
            Ok(length) => Ok(Reader { path, file, length, offset: 0, part: 0 }),
            Err(error) => Err(SnapshotError::Io { path, error }),
        }
    }

    /// The file's length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What follows the header, to the end of the file.
    pub(super) fn table(mut self) -> Result<Table, SnapshotError> {
        let mut chunks = Chunks { reader: &mut self, count: 0, checksums: 0, ended: false, failed: None };
        let table = Table::thaw(&mut chunks);
        match (chunks.failed.take(), chunks.ended, table) {
            (Some(error), _, _) => Err(error),
            (None, _, Err(error)) if error.newer.is_some() => {
                Err(SnapshotError::Newer { path: self.path, part: error })
            }
            (None, _, Err(error)) => Err(self.damaged(error.to_string())),
            (None, false, Ok(_)) => Err(self.damaged("the table ends before the trailer")),
            (None, true, Ok(table)) => Ok(table),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { path: self.path.clone(), offset: self.part, what: what.into() }
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

    /// The header, of this owner's cluster. Which member wrote it does not matter: they all have the same state.
    fn header_of(&mut self, owner: Owner) -> Result<Head, SnapshotError> {
        let (found, head) = self.header()?;
        match found.cluster == owner.cluster {
            true => Ok(head),
            false => Err(SnapshotError::Foreign {
                path: self.path.clone(),
                found: (found.cluster, found.member),
                wanted: (owner.cluster, owner.member),
            }),
        }
    }

    /// The header, whoever wrote it.
    pub(super) fn header(&mut self) -> Result<(Owner, Head), SnapshotError> {
        let start = self.take(16)?;
        if !start.starts_with(MAGIC) {
            return Err(SnapshotError::NoSnapshot { path: self.path.clone() });
        }
        let version = u16::from_le_bytes(array(&start[8..]));
        let length = u32::from_le_bytes(array(&start[12..]));
        if length > HEADER_BYTES_MAX {
            return Err(self.damaged(format!("a header of {length} bytes; the limit is {HEADER_BYTES_MAX}")));
        }
        let rest = self.take(length)?;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&start), &rest);
        if self.number()? != checksum {
            return Err(self.damaged("the header's checksum does not match"));
        }
        // Every version has its header's length and checksum where they are, so that a newer one is told from damage.
        if version > VERSION {
            return Err(SnapshotError::Version { path: self.path.clone(), found: version });
        }
        let group = u16::from_le_bytes(array(&start[10..]));
        if version == 0 || group != 0 {
            return Err(
                self.damaged(format!("it says version {version} and group {group}, and there are none such"))
            );
        }
        self.head(version, &rest)
    }

    fn head(&self, version: u16, header: &[u8]) -> Result<(Owner, Head), SnapshotError> {
        const FIXED: usize = 16 + 8 + 17 + 17 + 4;
        let short = || self.damaged("the header is too short");
        let (fixed, rest) = header.split_at_checked(FIXED).ok_or_else(short)?;
        let length = u32::from_le_bytes(array(&fixed[FIXED - 4..])) as usize;
        let (membership, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        let removed = match version {
            ..=VERSION_NOBODY_REMOVED => rest.is_empty().then(BTreeSet::new),
            _ => ids(rest),
        };
        let removed = removed.ok_or_else(|| self.damaged("what follows the membership does not fit"))?;
        let owner = Owner {
            cluster: u128::from_le_bytes(array(fixed)),
            member: u64::from_le_bytes(array(&fixed[16..])),
        };
        let membership = decode_membership(membership).map_err(|error| self.damaged(error.to_string()))?;
        let id =
            |at| id_at(&fixed[at..]).ok_or_else(|| self.damaged("an entry's id is neither there nor not"));
        let meta =
            SnapshotMeta { last_log_id: id(24)?, last_membership: Membership::new(id(41)?, membership) };
        Ok((owner, Head { meta, removed }))
    }
}

/// As many ids as their count says, and one at least, each above the one before it.
fn ids(bytes: &[u8]) -> Option<BTreeSet<u64>> {
    let (count, bytes) = bytes.split_first_chunk()?;
    let (ids, rest) = bytes.as_chunks::<8>();
    let is_right = rest.is_empty() && ids.len() == u32::from_le_bytes(*count) as usize;
    let ids = ids.iter().map(|id| u64::from_le_bytes(*id));
    let is_right = is_right && ids.len() > 0 && ids.clone().is_sorted_by(|a, b| a < b);
    is_right.then(|| ids.collect())
}

/// An id that may not be there; none where the bytes are neither.
fn id_at(bytes: &[u8]) -> Option<Option<LogId>> {
    let term = u64::from_le_bytes(array(&bytes[1..]));
    let index = u64::from_le_bytes(array(&bytes[9..]));
    match (bytes[0], term, index) {
        (0, 0, 0) => Some(None),
        (1, ..) => Some(Some(LogId::new(CommittedLeaderId::new(term), index))),
        _ => None,
    }
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
        self.reader.part = self.reader.offset;
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
        let wrong = crc32c::crc32c(&section) != checksum;
        #[cfg(planted)]
        let wrong = wrong && !lease::planted::is(lease::planted::Bug::SnapshotChecksumIgnored);
        if wrong {
            return Err(self.reader.damaged("the chunk does not match its checksum"));
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
                let offset = self.reader.part as usize;
                self.failed = Some(error);
                Some(Err(DecodeError::damaged("a snapshot", offset)))
            }
        }
    }
}
