//! A snapshot on its way to the disk: written aside, synced, renamed.

use std::io;
use std::sync::Arc;

use lease::Frozen;

use super::{
    CHUNK, Head, MAGIC, Owner, SnapshotFile, Snapshots, TRAILER, VERSION, VERSION_NOBODY_REMOVED, name_of,
};
use crate::log::LogFile;
use crate::raft::codec::encode_membership;
use crate::raft::types::LogId;

/// What is gathered before it is written.
const WRITE_BYTES: usize = 256 * 1024;
/// What is written before it is synced. A disk that is given a whole snapshot at the end lets the log's next sync wait for all of it.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;

impl Snapshots {
    /// Writes a snapshot and unlinks the older ones.
    pub(crate) fn write(&self, head: &Head, table: &Frozen) -> io::Result<SnapshotFile> {
        let name = name_of(&head.meta);
        let aside = format!("{name}.tmp");
        let written = self.write_aside(&name, &aside, head, table);
        if written.is_err() {
            // Half a snapshot must not keep the room that it waits for.
            let _ = self.disk.remove(&aside);
        }
        written
    }

    fn write_aside(&self, name: &str, aside: &str, head: &Head, table: &Frozen) -> io::Result<SnapshotFile> {
        if self.disk.list()?.iter().any(|other| other == aside) {
            self.disk.remove(aside)?;
        }
        let mut writer = Writer { file: self.disk.create(aside)?, offset: 0, synced: 0, buffer: Vec::new() };
        for piece in pieces(self.owner, head, table) {
            writer.put(&piece)?;
        }
        writer.finish()?;
        self.disk.rename(aside, name)?;
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::SnapshotNameNotSynced) {
            return Ok(SnapshotFile { disk: Arc::clone(&self.disk), name: name.to_owned() });
        }
        self.disk.sync_folder()?;
        self.remove_older(name)?;
        Ok(SnapshotFile { disk: Arc::clone(&self.disk), name: name.to_owned() })
    }
}

/// A whole snapshot, in pieces of at most a few hundred KiB: the header, the chunks, the trailer.
pub(super) fn pieces<'a>(
    owner: Owner,
    head: &Head,
    table: &'a Frozen,
) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let mut sections = table.sections();
    let (mut chunks, mut checksums, mut ended) = (0u32, 0u32, false);
    std::iter::once(header(owner, head)).chain(std::iter::from_fn(move || {
        let Some(section) = sections.next() else {
            return (!std::mem::replace(&mut ended, true)).then(|| trailer(chunks, checksums));
        };
        let checksum = crc32c::crc32c(&section);
        checksums = crc32c::crc32c_append(checksums, &checksum.to_le_bytes());
        chunks += 1;
        Some(chunk(checksum, &section))
    }))
}

fn chunk(checksum: u32, section: &[u8]) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(9 + section.len());
    chunk.push(CHUNK);
    chunk.extend_from_slice(&(section.len() as u32).to_le_bytes());
    chunk.extend_from_slice(&checksum.to_le_bytes());
    chunk.extend_from_slice(section);
    chunk
}

fn trailer(chunks: u32, checksums: u32) -> Vec<u8> {
    let mut trailer = vec![TRAILER];
    trailer.extend_from_slice(&chunks.to_le_bytes());
    trailer.extend_from_slice(&checksums.to_le_bytes());
    trailer
}

struct Writer {
    file: Box<dyn LogFile>,
    offset: u64,
    synced: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.offset;
        }
        Ok(())
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

fn header(owner: Owner, Head { meta, removed }: &Head) -> Vec<u8> {
    let mut rest = Vec::new();
    rest.extend_from_slice(&owner.cluster.to_le_bytes());
    rest.extend_from_slice(&owner.member.to_le_bytes());
    put_id(meta.last_log_id.as_ref(), &mut rest);
    put_id(meta.last_membership.log_id().as_ref(), &mut rest);
    let mut membership = Vec::new();
    encode_membership(meta.last_membership.membership(), &mut membership);
    rest.extend_from_slice(&(membership.len() as u32).to_le_bytes());
    rest.extend_from_slice(&membership);
    let version = match removed.is_empty() {
        true => VERSION_NOBODY_REMOVED,
        false => {
            rest.extend_from_slice(&(removed.len() as u32).to_le_bytes());
            removed.iter().for_each(|id| rest.extend_from_slice(&id.to_le_bytes()));
            VERSION
        }
    };
    let mut header = Vec::from(MAGIC);
    header.extend_from_slice(&version.to_le_bytes());
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
