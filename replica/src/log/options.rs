//! What may be chosen about a log, and within which bounds.

use std::time::Duration;

use super::format::{BATCH_ALIGN, BODY_BYTES_MAX};

/// Bytes of a segment, unless told otherwise.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// The fewest bytes of a segment; tests use them.
pub const SEGMENT_BYTES_MIN: u64 = 4096;
/// The most bytes of a segment.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Once a batch has as many bytes, what else is queued waits for the next one.
pub(super) const BATCH_BYTES_ENOUGH: u64 = 8 * 1024 * 1024;

const _: () =
    assert!(SEGMENT_BYTES_DEFAULT <= SEGMENT_BYTES_MAX && SEGMENT_BYTES_MIN <= SEGMENT_BYTES_DEFAULT);
const _: () = assert!(SEGMENT_BYTES_MIN.is_multiple_of(BATCH_ALIGN));
const _: () = assert!(
    BATCH_BYTES_ENOUGH as usize + BODY_BYTES_MAX < u32::MAX as usize,
    "a batch that was nearly full when the largest entry joined is still counted in 32 bits"
);

/// What to do with damage in the last batch, which may or may not have been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnprovableTail {
    /// Do not open: for a single voter, whose log is the only one.
    Refuse,
    /// Cut it, and say so in `Recovered::cut`: where other voters have what is lost, or with `--accept-torn-tail`.
    Cut,
}

/// What the folder should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A log, or nothing yet.
    Any,
    /// A log: this member has run before, and without its vote it could vote twice.
    Log,
}

/// What may be chosen about a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of each new segment; an entry that does not fit gets a segment of its own size.
    pub segment_bytes: u64,
    /// What to do with damage in the last batch.
    pub unprovable_tail: UnprovableTail,
    /// What the folder should hold.
    pub expect: Expect,
    /// How long to wait before a full disk is asked again.
    pub room_retry: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            unprovable_tail: UnprovableTail::Refuse,
            expect: Expect::Any,
            room_retry: Duration::from_millis(500),
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), String> {
        let bytes = self.segment_bytes;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) {
            return Err(format!(
                "segment_bytes is {bytes}, and must be within {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}"
            ));
        }
        if !bytes.is_multiple_of(BATCH_ALIGN) {
            return Err(format!("segment_bytes is {bytes}, and must be a multiple of {BATCH_ALIGN}"));
        }
        Ok(())
    }

    /// How many bytes of records make a batch full enough.
    pub(super) fn batch_bytes_enough(&self) -> usize {
        (self.segment_bytes / 4).min(BATCH_BYTES_ENOUGH) as usize
    }
}
