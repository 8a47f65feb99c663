//! One batch: put at a segment's end, and synced.

use std::io;

use super::entry::{encode_checkpoint, encode_closed};
use super::format::{
    BATCH_HEADER_BYTES, BatchHeader, CLOSED_BATCH_BYTES, Checkpoint, Place, crc_word, padded,
};
use super::scan::Chain;
use super::spare::{Blank, is_room};

/// The segment that is written to.
pub(super) struct Active {
    pub(super) blank: Blank,
    /// Where the next batch goes.
    pub(super) offset: u64,
    /// The highest entry index in it; it may be purged when this is.
    pub(super) index_max: Option<u64>,
    /// Behind the last byte that a failed write may have left.
    pub(super) soiled: u64,
}

/// Why a batch was not put.
pub(super) enum PutError {
    /// The write found no room (a file system that copies on write): it may be made again.
    Room(io::Error),
    /// The disk failed.
    Disk { what: &'static str, error: io::Error },
}

/// Makes `buffer` ready for the records of a batch.
pub(super) fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(BATCH_HEADER_BYTES, 0);
}

impl Active {
    /// Whether a batch of `bytes` fits, with a seal behind it and a closing mark.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.offset + room_for(bytes) <= self.blank.bytes
    }

    /// Writes the records in `buffer` as one batch, and syncs it. Returns only when it is durable.
    pub(super) fn put(
        &mut self,
        chain: &mut Chain,
        buffer: &mut Vec<u8>,
        records: u32,
    ) -> Result<(), PutError> {
        let place = Place { segment: self.blank.number, offset: self.offset };
        let header = BatchHeader {
            body_bytes: (buffer.len() - BATCH_HEADER_BYTES) as u32,
            number: chain.number,
            place,
            synced: chain.synced,
            records,
            before: chain.before,
        };
        buffer[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
        let after = self.offset + header.bytes();
        buffer.resize((after.max(self.soiled) - self.offset) as usize, 0);
        if let Err(error) = self.blank.file.write_at(self.offset, buffer) {
            self.soiled = self.offset + buffer.len() as u64;
            return Err(if is_room(&error) {
                PutError::Room(error)
            } else {
                PutError::Disk { what: "writing a batch", error }
            });
        }
        self.blank.file.sync_data().map_err(|error| PutError::Disk { what: "syncing a batch", error })?;
        chain.number += 1;
        chain.before = crc_word(buffer);
        chain.synced = Place { segment: place.segment, offset: after };
        self.offset = after;
        Ok(())
    }

    /// Says that all before was synced: damage there is known as damage from now on.
    pub(super) fn seal(&mut self, chain: &mut Chain, buffer: &mut Vec<u8>) -> Result<(), PutError> {
        clear(buffer);
        self.put(chain, buffer, 0)
    }

    /// Says what the log knows where a segment begins.
    pub(super) fn begin(
        &mut self,
        chain: &mut Chain,
        buffer: &mut Vec<u8>,
        state: &Checkpoint,
        group: u16,
    ) -> Result<(), PutError> {
        clear(buffer);
        encode_checkpoint(state, group, buffer);
        self.put(chain, buffer, 1)
    }

    /// Says that the next segment goes on.
    pub(super) fn close(
        &mut self,
        chain: &mut Chain,
        buffer: &mut Vec<u8>,
        group: u16,
    ) -> Result<(), PutError> {
        clear(buffer);
        encode_closed(self.blank.number + 1, group, buffer);
        self.put(chain, buffer, 1)
    }
}

/// What a batch of `bytes` takes in a segment, with what must fit behind it.
pub(super) fn room_for(bytes: u64) -> u64 {
    bytes + padded(BATCH_HEADER_BYTES) + CLOSED_BATCH_BYTES
}
