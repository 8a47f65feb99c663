//! What must hold of a snapshot of any bytes; see [`crate::parsers`].

use std::io;

use lease::Table;

use super::read::Reader;
use super::write::pieces;
use super::{CHUNK, Head, Owner, TRAILER};
use crate::log::LogFile;

/// A snapshot or a backup of these bytes.
pub fn snapshot(bytes: &[u8]) -> bool {
    let Some(read) = read(bytes) else { return false };
    assert_eq!(read.2.check(), Ok(()));
    // Sections may end elsewhere than where they are written to end, so it is the second time that counts.
    let again = written(&read);
    assert!(self::read(&again).is_some_and(|read| written(&read) == again), "it is another the next time");
    true
}

/// The same under checksums that are right, so that what they protect is looked at too: `bytes` is a header without its checksum,
/// whose length is told rightly, then chunks, each a length as u16 and a section.
pub fn sealed_snapshot(bytes: &[u8]) -> bool {
    snapshot(&sealed(bytes))
}

/// As [`sealed_snapshot`] says.
pub(super) fn sealed(bytes: &[u8]) -> Vec<u8> {
    let told = bytes.get(12..16).and_then(|told| told.try_into().ok()).map_or(0, u32::from_le_bytes);
    let (header, mut rest) = bytes.split_at((told as usize).saturating_add(16).min(bytes.len()));
    let mut sealed = header.to_vec();
    sealed.extend_from_slice(&crc32c::crc32c(header).to_le_bytes());
    let (mut chunks, mut checksums) = (0u32, 0);
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (section, after) = after.split_at(length);
        let checksum = crc32c::crc32c(section).to_le_bytes();
        sealed.push(CHUNK);
        sealed.extend_from_slice(&(length as u32).to_le_bytes());
        sealed.extend_from_slice(&checksum);
        sealed.extend_from_slice(section);
        checksums = crc32c::crc32c_append(checksums, &checksum);
        (chunks, rest) = (chunks + 1, after);
    }
    sealed.push(TRAILER);
    sealed.extend_from_slice(&chunks.to_le_bytes());
    sealed.extend_from_slice(&checksums.to_le_bytes());
    sealed
}

type Read = (Owner, Head, Table);

pub(super) fn read(bytes: &[u8]) -> Option<Read> {
    let mut reader = Reader::new("a file".to_owned(), Box::new(Bytes(bytes.to_vec()))).ok()?;
    let (owner, head) = reader.header().ok()?;
    Some((owner, head, reader.table().ok()?))
}

fn written((owner, head, table): &Read) -> Vec<u8> {
    pieces(*owner, head, &table.freeze()).flatten().collect()
}

/// A file that is only read.
struct Bytes(Vec<u8>);

impl LogFile for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let from = offset as usize;
        let bytes = self.0.get(from..from + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
