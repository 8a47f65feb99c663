//! The bytes of the log. All numbers are little-endian; every checksum is CRC-32C (Castagnoli).
//!
//! The log is a row of files, `segment-0000000000000001.log` and on, numbered in decimal without gaps. Each has the
//! length that its header tells, from the first day: it is made ahead of time, full of zeros, as `spare.tmp`, synced,
//! renamed, and the folder synced. So a crash never leaves a short segment, and a short one is damage.
//!
//! ```text
//! segment   ┌ header 64 B ┬ zeros to 512 ┬ batch ┬ batch ┬ ··· ┬ zeros ┐
//!
//! header      0  magic "TENURLOG"          8    batch       0  magic "BTCH"                    4
//!             8  format version      u32   4    header      4  bytes of records          u32   4
//!            12  group               u16   2    (64 B)      8  batch number              u64   8
//!            14  zero                      2               16  segment number            u64   8
//!            16  cluster id          u128 16               24  offset of this batch      u64   8
//!            32  node id             u64   8               32  synced: segment number    u64   8
//!            40  segment number      u64   8               40  synced: offset            u64   8
//!            48  segment's bytes     u64   8               48  records                   u32   4
//!            56  CRC of 0..56        u32   4               52  CRC word of the batch before u32 4
//!            60  end mark                  4               56  CRC of 0..56              u32   4
//!                                                          60  end mark                        4
//!
//! batch     ┌ header 64 B ┬ record ┬ record ┬ ··· ┬ zeros to a multiple of 64 ┐
//!
//! record      0  bytes of body       u32   4    (header 32 B, body, end mark 1 B)
//!             4  kind                u8    1    1 entry  2 vote  3 committed  4 truncate
//!                                               5 purge  6 checkpoint  7 closed
//!             5  flags               u8    1    1: the vote is committed; 2: the truncate keeps something
//!             6  group               u16   2
//!             8  term                u64   8
//!            16  index               u64   8    a vote's node; a truncate's last kept index; closed: next segment
//!            24  CRC of the body     u32   4
//!            28  CRC of 0..28        u32   4
//!            32  body                           an entry's payload, a checkpoint's fields, or nothing
//!             +  end mark 0xA5       u8    1
//!
//! checkpoint  0  flags: 1 vote, 2 vote is committed, 4 committed, 8 purged   u8 1
//! (body)      1  zeros 7 · vote's term, node · committed term, index · purged term, index · next index, u64 each
//! ```
//!
//! * A batch is what one sync made durable. It begins at a multiple of 64, and is written only when all before it is
//!   synced; `synced` says up to where, so damage below it cannot be a write that never happened.
//! * An end mark is not zero, nor is it when one of its bits flips. So a record that was written whole never looks
//!   like a write that stopped short, whose rest is zeros.
//! * The first batch of a segment is one checkpoint: what the log knew there, so that segments before it may go. It
//!   also holds the segment's first index, which is not known yet when the header is written.
//! * The last batch of a segment that is done is one `closed`: the next segment must exist. What follows it is dead.
//! * What a record's kind gives no meaning to is zero, and its body empty; a flag or a field that this version does not know is
//!   refused, and not overlooked.
//! * A batch without records is a seal. It says only that what precedes it was synced.

use super::record::{LogId, Vote};

/// The version of the format that this code writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Where the first batch of a segment begins: past the header's sector, which is never written again.
pub const FIRST_BATCH: u64 = 512;
/// Bytes of a batch's header.
pub const BATCH_HEADER_BYTES: usize = 64;
/// Batches begin at multiples of this many bytes.
pub const BATCH_ALIGN: u64 = 64;
/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 32;
/// The most bytes of a record's body: far above an entry's 64 KiB, and low enough that sums fit in 32 bits.
pub const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The last byte of every record.
pub const END_MARK: u8 = 0xA5;
/// Bytes of a checkpoint's body.
pub const CHECKPOINT_BYTES: usize = 64;
/// Bytes of a batch that holds one checkpoint, or one `closed`, padding included.
pub const CHECKPOINT_BATCH_BYTES: u64 =
    padded(BATCH_HEADER_BYTES + RECORD_HEADER_BYTES + CHECKPOINT_BYTES + 1);
/// Bytes kept free at a segment's end, so that it can always be closed.
pub const CLOSED_BATCH_BYTES: u64 = padded(BATCH_HEADER_BYTES + RECORD_HEADER_BYTES + 1);

const SEGMENT_MAGIC: [u8; 8] = *b"TENURLOG";
const BATCH_MAGIC: [u8; 4] = *b"BTCH";
const HEADER_END: [u8; 4] = [END_MARK; 4];

const _: () = assert!(FIRST_BATCH.is_multiple_of(BATCH_ALIGN));
const _: () = assert!(BODY_BYTES_MAX < u32::MAX as usize / 4, "a batch's bytes are counted in 32 bits");

/// `bytes` with padding to the next multiple of [`BATCH_ALIGN`].
pub const fn padded(bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(BATCH_ALIGN)
}

/// Whose log it is. A segment of another cluster, node or group is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: u128,
    /// The member's id.
    pub node: u64,
    /// The Raft group; 0 while there is but one.
    pub group: u16,
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The format it is written in.
    pub version: u32,
    /// Whose it is.
    pub identity: Identity,
    /// Its place in the row of segments, from 1.
    pub number: u64,
    /// Its length, header included.
    pub bytes: u64,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[0..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&self.version.to_le_bytes());
        out[12..14].copy_from_slice(&self.identity.group.to_le_bytes());
        out[16..32].copy_from_slice(&self.identity.cluster.to_le_bytes());
        out[32..40].copy_from_slice(&self.identity.node.to_le_bytes());
        out[40..48].copy_from_slice(&self.number.to_le_bytes());
        out[48..56].copy_from_slice(&self.bytes.to_le_bytes());
        seal_header(&mut out);
        out
    }

    /// The header at the start of `bytes`, or `None` when it is damaged. Every version keeps magic, version and CRC
    /// where they are, so that an old program can tell a newer format from damage.
    pub fn decode(bytes: &[u8]) -> Option<SegmentHeader> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES)?;
        if bytes[0..8] != SEGMENT_MAGIC || !header_is_sealed(bytes) {
            return None;
        }
        let identity =
            Identity { cluster: u128_at(bytes, 16), node: u64_at(bytes, 32), group: u16_at(bytes, 12) };
        let (version, number) = (u32_at(bytes, 8), u64_at(bytes, 40));
        let header = SegmentHeader { version, identity, number, bytes: u64_at(bytes, 48) };
        // A newer version may have other things where this one has zeros; there is none before the first.
        (version > FORMAT_VERSION || (version > 0 && header.encode() == *bytes)).then_some(header)
    }
}

/// A place in the row of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment's number.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
}

/// The first bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of records that follow, padding not counted.
    pub body_bytes: u32,
    /// The batch's number, from 1, one more with each batch, over all segments.
    pub number: u64,
    /// Where it is.
    pub place: Place,
    /// Everything before this was durable when the batch was written.
    pub synced: Place,
    /// How many records follow.
    pub records: u32,
    /// The CRC word of the batch before: files that were put together from two histories do not fit.
    pub before: u32,
}

impl BatchHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut out = [0; BATCH_HEADER_BYTES];
        out[0..4].copy_from_slice(&BATCH_MAGIC);
        out[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[8..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..24].copy_from_slice(&self.place.segment.to_le_bytes());
        out[24..32].copy_from_slice(&self.place.offset.to_le_bytes());
        out[32..40].copy_from_slice(&self.synced.segment.to_le_bytes());
        out[40..48].copy_from_slice(&self.synced.offset.to_le_bytes());
        out[48..52].copy_from_slice(&self.records.to_le_bytes());
        out[52..56].copy_from_slice(&self.before.to_le_bytes());
        seal_header(&mut out);
        out
    }

    /// The header at the start of `bytes`, or `None` when there is none that is whole.
    pub fn decode(bytes: &[u8]) -> Option<BatchHeader> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        if bytes[0..4] != BATCH_MAGIC || !header_is_sealed(bytes) {
            return None;
        }
        Some(BatchHeader {
            body_bytes: u32_at(bytes, 4),
            number: u64_at(bytes, 8),
            place: Place { segment: u64_at(bytes, 16), offset: u64_at(bytes, 24) },
            synced: Place { segment: u64_at(bytes, 32), offset: u64_at(bytes, 40) },
            records: u32_at(bytes, 48),
            before: u32_at(bytes, 52),
        })
    }

    /// Bytes of the batch on the disk, header and padding included.
    pub fn bytes(&self) -> u64 {
        padded(BATCH_HEADER_BYTES + self.body_bytes as usize)
    }
}

/// The CRC word of an encoded batch header, which the next batch repeats.
pub fn crc_word(header: &[u8]) -> u32 {
    u32_at(header, 56)
}

/// What a checkpoint says: all that the log knew when the segment began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last commit mark.
    pub committed: Option<LogId>,
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// The index that the next entry must have.
    pub next: u64,
}

impl Checkpoint {
    /// The checkpoint's bytes.
    pub fn encode(&self) -> [u8; CHECKPOINT_BYTES] {
        let mut out = [0; CHECKPOINT_BYTES];
        let vote = self.vote.unwrap_or(Vote { term: 0, node: 0, committed: false });
        let committed = self.committed.unwrap_or(LogId { term: 0, index: 0 });
        let purged = self.purged.unwrap_or(LogId { term: 0, index: 0 });
        out[0] = u8::from(self.vote.is_some())
            | u8::from(vote.committed) << 1
            | u8::from(self.committed.is_some()) << 2
            | u8::from(self.purged.is_some()) << 3;
        let words =
            [vote.term, vote.node, committed.term, committed.index, purged.term, purged.index, self.next];
        for (slot, word) in out[8..].chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// The checkpoint in `bytes`, whose CRC has been checked.
    pub fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        if bytes.len() != CHECKPOINT_BYTES || bytes[0] > 0b1111 {
            return None;
        }
        let has = |bit: u8| bytes[0] & bit != 0;
        let id = |at: usize| LogId { term: u64_at(bytes, at), index: u64_at(bytes, at + 8) };
        let vote = Vote { term: u64_at(bytes, 8), node: u64_at(bytes, 16), committed: has(2) };
        let checkpoint = Checkpoint {
            vote: has(1).then_some(vote),
            committed: has(4).then(|| id(24)),
            purged: has(8).then(|| id(40)),
            next: u64_at(bytes, 56),
        };
        // What nothing here accounts for, a newer program may have meant something by.
        (checkpoint.encode() == *bytes).then_some(checkpoint)
    }
}

fn seal_header(header: &mut [u8; 64]) {
    let crc = crc32c::crc32c(&header[..56]);
    header[56..60].copy_from_slice(&crc.to_le_bytes());
    header[60..64].copy_from_slice(&HEADER_END);
}

fn header_is_sealed(header: &[u8]) -> bool {
    header[60..64] == HEADER_END && u32_at(header, 56) == crc32c::crc32c(&header[..56])
}

// The four below read at fixed places of slices whose length has been checked.

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    let mut word = [0; 16];
    word.copy_from_slice(&bytes[at..at + 16]);
    u128::from_le_bytes(word)
}
