//! Records as bytes: putting one into a batch, and finding it there again.

use std::fmt;
use std::ops::Range;

use super::format::{
    BODY_BYTES_MAX, CHECKPOINT_BYTES, Checkpoint, END_MARK, RECORD_HEADER_BYTES, u16_at, u32_at, u64_at,
};
use super::record::{LogId, Record, Vote};

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const TRUNCATE: u8 = 4;
const PURGE: u8 = 5;
const CHECKPOINT: u8 = 6;
const CLOSED: u8 = 7;

const VOTE_COMMITTED: u8 = 1;
const KEEPS_SOME: u8 = 2;

/// A record as it is found in a segment. An entry's payload is told by where it is in the segment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// See [`Record::Entry`].
    Entry {
        /// Which entry.
        id: LogId,
        /// Where its payload is, in the bytes that were read.
        payload: Range<usize>,
    },
    /// See [`Record::Vote`].
    Vote(Vote),
    /// See [`Record::Committed`].
    Committed(LogId),
    /// See [`Record::Truncate`].
    Truncate {
        /// The last index that stays.
        after: Option<u64>,
    },
    /// See [`Record::Purge`].
    Purge {
        /// The last entry that goes.
        upto: LogId,
    },
    /// What the log knew when the segment began.
    Checkpoint(Checkpoint),
    /// The segment is done.
    Closed {
        /// The number of the segment that goes on.
        next: u64,
    },
}

/// What stands at some place where a record should.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole record, and where the next one begins.
    Whole(Found, usize),
    /// The bytes end inside it, and as far as they go they are right.
    Short,
    /// Something that was never written here.
    Wrong(&'static str),
}

/// The fixed part of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) term: u64,
    pub(super) index: u64,
}

/// Appends a record. `Err` is the number of bytes of a body that is above [`BODY_BYTES_MAX`]; what was appended then is
/// for the caller to take away.
pub(super) fn encode(record: &Record, group: u16, into: &mut Vec<u8>) -> Result<(), usize> {
    let (head, payload) = match record {
        Record::Entry { id, payload } => (head(ENTRY, 0, id.term, id.index), Some(payload)),
        Record::Vote(vote) => (head_of_vote(vote), None),
        Record::Committed(id) => (head(COMMITTED, 0, id.term, id.index), None),
        Record::Truncate { after } => (head_of_truncate(*after), None),
        Record::Purge { upto } => (head(PURGE, 0, upto.term, upto.index), None),
    };
    put(&head, group, into, |into| {
        if let Some(payload) = payload {
            payload.encode(into);
        }
    })
}

/// Appends a checkpoint.
pub(super) fn encode_checkpoint(checkpoint: &Checkpoint, group: u16, into: &mut Vec<u8>) {
    let body = checkpoint.encode();
    let put = put(&head(CHECKPOINT, 0, 0, 0), group, into, |into| into.extend_from_slice(&body));
    debug_assert!(put.is_ok(), "a checkpoint has {CHECKPOINT_BYTES} bytes");
}

/// Appends the mark that closes a segment.
pub(super) fn encode_closed(next: u64, group: u16, into: &mut Vec<u8>) {
    let put = put(&head(CLOSED, 0, 0, next), group, into, |_| {});
    debug_assert!(put.is_ok(), "a closing mark has no body");
}

fn head(kind: u8, flags: u8, term: u64, index: u64) -> Head {
    Head { kind, flags, term, index }
}

/// Appends a record of this head with the body that `body` appends.
pub(super) fn put(
    head: &Head,
    group: u16,
    into: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) -> Result<(), usize> {
    let start = into.len();
    into.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
    body(into);
    let (header, body) = into[start..].split_at_mut(RECORD_HEADER_BYTES);
    if body.len() > BODY_BYTES_MAX {
        return Err(body.len());
    }
    header[0..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    header[4] = head.kind;
    header[5] = head.flags;
    header[6..8].copy_from_slice(&group.to_le_bytes());
    header[8..16].copy_from_slice(&head.term.to_le_bytes());
    header[16..24].copy_from_slice(&head.index.to_le_bytes());
    header[24..28].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let crc = crc32c::crc32c(&header[..28]);
    header[28..32].copy_from_slice(&crc.to_le_bytes());
    into.push(END_MARK);
    Ok(())
}

/// Reads the record at `at`, in `bytes` that end at `end`: the end of the batch's records, or of what was written.
pub(super) fn parse(bytes: &[u8], at: usize, end: usize, group: u16) -> Parsed {
    let Some(header) = bytes.get(at..at + RECORD_HEADER_BYTES).filter(|_| at + RECORD_HEADER_BYTES <= end)
    else {
        return Parsed::Short;
    };
    if u32_at(header, 28) != crc32c::crc32c(&header[..28]) {
        return Parsed::Wrong("the record's header does not match its checksum");
    }
    let body = at + RECORD_HEADER_BYTES;
    let mark = body + u32_at(header, 0) as usize;
    if mark >= end {
        return Parsed::Short;
    }
    if bytes[mark] != END_MARK {
        return Parsed::Wrong("the record's end mark is wrong");
    }
    let wrong = u32_at(header, 24) != crc32c::crc32c(&bytes[body..mark]);
    #[cfg(planted)]
    let wrong = wrong && !lease::planted::is(lease::planted::Bug::LogChecksumIgnored);
    if wrong {
        return Parsed::Wrong("the record's body does not match its checksum");
    }
    if u16_at(header, 6) != group {
        return Parsed::Wrong("the record belongs to another Raft group");
    }
    match understand(header, bytes, body..mark) {
        Some(found) => Parsed::Whole(found, mark + 1),
        None => Parsed::Wrong("the record is of no kind that this version knows"),
    }
}

fn understand(header: &[u8], bytes: &[u8], body: Range<usize>) -> Option<Found> {
    let head = head(header[4], header[5], u64_at(header, 8), u64_at(header, 16));
    let (flags, id) = (head.flags, LogId { term: head.term, index: head.index });
    let has_body = !body.is_empty();
    let found = match head.kind {
        ENTRY => Found::Entry { id, payload: body },
        VOTE => Found::Vote(Vote { term: id.term, node: id.index, committed: flags & VOTE_COMMITTED != 0 }),
        COMMITTED => Found::Committed(id),
        TRUNCATE => Found::Truncate { after: (flags & KEEPS_SOME != 0).then_some(id.index) },
        PURGE => Found::Purge { upto: id },
        CHECKPOINT => Found::Checkpoint(Checkpoint::decode(&bytes[body])?),
        CLOSED => Found::Closed { next: id.index },
        _ => return None,
    };
    // What nothing here accounts for, a newer program may have meant something by.
    let may_have_body = matches!(found, Found::Entry { .. } | Found::Checkpoint(_));
    (head == head_of(&found) && (may_have_body || !has_body)).then_some(found)
}

/// The fixed part that a record is written with.
fn head_of(found: &Found) -> Head {
    match found {
        Found::Entry { id, .. } => head(ENTRY, 0, id.term, id.index),
        Found::Vote(vote) => head_of_vote(vote),
        Found::Committed(id) => head(COMMITTED, 0, id.term, id.index),
        Found::Truncate { after } => head_of_truncate(*after),
        Found::Purge { upto } => head(PURGE, 0, upto.term, upto.index),
        Found::Checkpoint(_) => head(CHECKPOINT, 0, 0, 0),
        Found::Closed { next } => head(CLOSED, 0, 0, *next),
    }
}

fn head_of_vote(vote: &Vote) -> Head {
    head(VOTE, u8::from(vote.committed) * VOTE_COMMITTED, vote.term, vote.node)
}

fn head_of_truncate(after: Option<u64>) -> Head {
    head(TRUNCATE, u8::from(after.is_some()) * KEEPS_SOME, 0, after.unwrap_or(0))
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Entry { id, payload } => write!(f, "Entry {id} {} B", payload.len()),
            Found::Vote(vote) => write!(f, "Vote {vote}"),
            Found::Committed(id) => write!(f, "Committed {id}"),
            Found::Truncate { after: Some(index) } => write!(f, "Truncate after={index}"),
            Found::Truncate { after: None } => write!(f, "Truncate all"),
            Found::Purge { upto } => write!(f, "Purge upto={upto}"),
            Found::Checkpoint(checkpoint) => write!(f, "Checkpoint {checkpoint}"),
            Found::Closed { next } => write!(f, "Closed next={next}"),
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "next={}", self.next)?;
        if let Some(vote) = self.vote {
            write!(f, " vote=({vote})")?;
        }
        if let Some(id) = self.committed {
            write!(f, " committed={id}")?;
        }
        if let Some(id) = self.purged {
            write!(f, " purged={id}")?;
        }
        Ok(())
    }
}
