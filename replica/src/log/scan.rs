//! Reading one segment: its batches up to the end, and what the end looks like.
//!
//! The end is where the next batch would begin. What stands there decides:
//!
//! ```text
//!     only zeros up to the segment's end ───────────────────────────▶ Clean
//!     a `closed` batch came before ─────────────────────────────────▶ Closed, the next segment goes on
//!     the start of a batch, then only zeros ────────────────────────▶ Torn: it was never acknowledged
//!     anything else, and a later batch says that this was synced ───▶ Proven: damage
//!     anything else ────────────────────────────────────────────────▶ Unprovable: it may have been acknowledged
//! ```

use super::entry::{Found, Parsed, parse};
use super::error::CutKind;
use super::format::{
    BATCH_ALIGN, BATCH_HEADER_BYTES, BatchHeader, CHECKPOINT_BATCH_BYTES, FIRST_BATCH, Place, crc_word,
};
use super::record::LogId;

/// How one batch follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// The number of the next batch.
    pub(super) number: u64,
    /// The CRC word of the batch before.
    pub(super) before: u32,
    /// Where the batch before ended; all up to there was synced when the next one was written.
    pub(super) synced: Place,
}

impl Chain {
    /// The chain of a log in which nothing has been written.
    pub(super) const START: Chain = Chain { number: 1, before: 0, synced: Place { segment: 0, offset: 0 } };
}

/// What was found at the end of a segment's batches.
#[derive(Debug)]
pub(super) enum End {
    Clean,
    Closed { next: u64 },
    Cut { kind: CutKind, what: &'static str, bytes: u64, seen: Option<LogId> },
    Damaged { offset: u64, what: String },
}

/// One segment, read.
#[derive(Debug)]
pub(super) struct Scan {
    /// Where the next batch goes.
    pub(super) offset: u64,
    /// The last whole batch: where it begins and ends.
    pub(super) last: Option<(u64, u64)>,
    pub(super) end: End,
}

/// Why a batch is none.
struct Fault {
    offset: usize,
    what: &'static str,
    nature: Nature,
}

enum Nature {
    /// The bytes stop inside the batch.
    Short,
    /// The bytes are not a batch; the next one may begin at the offset told here.
    Wrong { beyond: usize },
    /// A whole header that does not belong here: no write makes that, however it ends.
    Foreign,
}

/// Where in the bytes the batches are read, and of which segment and group they must be.
pub(super) struct Segment<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) number: u64,
    pub(super) group: u16,
}

impl Segment<'_> {
    /// Reads batch after batch and hands each record of a whole batch to `visit`, with the offset of its batch. `chain` is
    /// `None` where the segments before are gone, and is then learned from the first batch.
    pub(super) fn scan(
        &self,
        chain: &mut Option<Chain>,
        mut visit: impl FnMut(u64, Found) -> Result<(), String>,
    ) -> Scan {
        let mut offset = FIRST_BATCH;
        let mut last = None;
        let mut records = Vec::new();
        loop {
            let header = match self.batch(offset as usize, chain, &mut records) {
                Ok(header) => header,
                Err(fault) => return Scan { offset, last, end: self.end(offset, &fault, &records) },
            };
            let mut closed = None;
            for found in records.drain(..) {
                if let Found::Closed { next } = found {
                    closed = Some(next);
                }
                if let Err(what) = visit(offset, found) {
                    return Scan { offset, last, end: End::Damaged { offset, what } };
                }
            }
            let after = offset + header.bytes();
            *chain = Some(Chain {
                number: header.number.saturating_add(1),
                before: crc_word(&self.bytes[offset as usize..]),
                synced: Place { segment: self.number, offset: after },
            });
            last = Some((offset, after));
            offset = after;
            if let Some(next) = closed {
                return Scan { offset, last, end: End::Closed { next } };
            }
        }
    }

    /// The first whole batch header at or behind `from`: proof that everything before it was synced.
    pub(super) fn batch_from(&self, from: usize) -> Option<BatchHeader> {
        let mut at = from.max(FIRST_BATCH as usize).next_multiple_of(BATCH_ALIGN as usize);
        while at + BATCH_HEADER_BYTES <= self.bytes.len() {
            if let Some(header) = BatchHeader::decode(&self.bytes[at..])
                && header.place == (Place { segment: self.number, offset: at as u64 })
            {
                return Some(header);
            }
            at += BATCH_ALIGN as usize;
        }
        None
    }

    /// Whether nothing was ever written behind the header.
    pub(super) fn is_blank(&self) -> bool {
        self.extent(FIRST_BATCH as usize) == FIRST_BATCH as usize
    }

    /// Behind the last byte from `from` on that is not zero, or `from`.
    fn extent(&self, from: usize) -> usize {
        let Some(rest) = self.bytes.get(from..) else { return from };
        let zeros = rest
            .rchunks(4096)
            .take_while(|chunk| **chunk == ZEROS[..chunk.len()])
            .map(<[u8]>::len)
            .sum::<usize>();
        let rest = &rest[..rest.len() - zeros];
        from + rest.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
    }

    fn batch(
        &self,
        at: usize,
        chain: &Option<Chain>,
        records: &mut Vec<Found>,
    ) -> Result<BatchHeader, Fault> {
        records.clear();
        let beyond = at + BATCH_HEADER_BYTES;
        let wrong = |offset, what, beyond| Err(Fault { offset, what, nature: Nature::Wrong { beyond } });
        let foreign = |what| Err(Fault { offset: at, what, nature: Nature::Foreign });
        let Some(header) = self.bytes.get(at..).and_then(BatchHeader::decode) else {
            return wrong(at, "the batch's header does not match its checksum", beyond);
        };
        if header.place != (Place { segment: self.number, offset: at as u64 }) {
            return foreign("the batch was written elsewhere");
        }
        if chain.is_some_and(|chain| {
            (header.number, header.before, header.synced) != (chain.number, chain.before, chain.synced)
        }) {
            return foreign("the batch does not follow the one before it");
        }
        let (end, after) = (beyond + header.body_bytes as usize, at + header.bytes() as usize);
        if after > self.bytes.len() {
            return foreign("the batch is longer than its segment");
        }
        let mut next = beyond;
        for _ in 0..header.records {
            match parse(self.bytes, next, end, self.group) {
                Parsed::Whole(found, behind) => {
                    records.push(found);
                    next = behind;
                }
                Parsed::Short => return wrong(next, "the record does not fit in its batch", after),
                Parsed::Wrong(what) => return self.broken(next, what, after),
            }
        }
        if next != end || self.extent_within(end, after) != end {
            return wrong(end, "the batch's end is not as its header tells", after);
        }
        Ok(header)
    }

    /// A record is wrong: is that because the bytes end inside it?
    fn broken<T>(&self, at: usize, what: &'static str, after: usize) -> Result<T, Fault> {
        let written = self.extent(at);
        let short = written < after && parse(self.bytes, at, written, self.group) == Parsed::Short;
        let nature = if short { Nature::Short } else { Nature::Wrong { beyond: after } };
        Err(Fault { offset: at, what, nature })
    }

    fn extent_within(&self, from: usize, to: usize) -> usize {
        Segment { bytes: &self.bytes[..to], number: self.number, group: self.group }.extent(from)
    }

    fn end(&self, offset: u64, fault: &Fault, whole: &[Found]) -> End {
        let start = offset as usize;
        let written = self.extent(start);
        if written <= start {
            return End::Clean;
        }
        let damaged = |what| End::Damaged { offset: fault.offset as u64, what };
        let beyond = match fault.nature {
            Nature::Foreign => return damaged(fault.what.to_string()),
            Nature::Short => written,
            Nature::Wrong { beyond } => beyond,
        };
        let later = self.batch_from(beyond);
        #[cfg(planted)]
        let later = later.filter(|_| !lease::planted::is(lease::planted::Bug::DamageTakenForTorn));
        if let Some(later) = later {
            return damaged(format!(
                "{}, and batch {} at byte {} says that all before it was synced",
                fault.what, later.number, later.place.offset
            ));
        }
        let nothing_in_it = written <= start + BATCH_HEADER_BYTES || self.only_checkpoint(start, written);
        let torn = nothing_in_it || matches!(fault.nature, Nature::Short);
        #[cfg(planted)]
        let torn = torn || lease::planted::is(lease::planted::Bug::DamageTakenForTorn);
        End::Cut {
            kind: if torn { CutKind::Torn } else { CutKind::Unprovable },
            what: fault.what,
            bytes: (written - start) as u64,
            seen: self.seen(start, written, whole),
        }
    }

    /// Where a segment begins, and no further than a checkpoint reaches, nothing can be lost: a checkpoint repeats what
    /// earlier segments say, and they stay until a batch follows it.
    fn only_checkpoint(&self, start: usize, written: usize) -> bool {
        start == FIRST_BATCH as usize && written <= start + CHECKPOINT_BATCH_BYTES as usize
    }

    /// The newest entry that can still be read in a damaged batch.
    fn seen(&self, start: usize, written: usize, whole: &[Found]) -> Option<LogId> {
        let mut at = start + BATCH_HEADER_BYTES;
        let mut seen = newest(whole);
        while let Parsed::Whole(found, next) = parse(self.bytes, at, written, self.group) {
            seen = newest(&[found]).max(seen);
            at = next;
        }
        seen
    }
}

fn newest(records: &[Found]) -> Option<LogId> {
    records.iter().rev().find_map(|found| match found {
        Found::Entry { id, .. } => Some(*id),
        _ => None,
    })
}

static ZEROS: [u8; 4096] = [0; 4096];
