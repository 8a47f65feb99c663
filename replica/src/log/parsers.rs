//! What must hold of segments and records of any bytes; see [`crate::parsers`].

use std::sync::Arc;

use bytes::Bytes;

use super::entry::{Found, Head, Parsed, encode, encode_checkpoint, encode_closed, parse, put};
use super::format::{
    BATCH_HEADER_BYTES, BatchHeader, FIRST_BATCH, FORMAT_VERSION, Identity, Place, SEGMENT_HEADER_BYTES,
    SegmentHeader, padded,
};
use super::record::Record;
use super::replay::Replay;
use super::scan::{Chain, End, Segment};

/// A record of these bytes.
pub fn record(bytes: &[u8]) -> bool {
    let Parsed::Whole(found, next) = parse(bytes, 0, bytes.len(), 0) else { return false };
    assert!(again(&found, bytes) == bytes[..next], "{bytes:?} was accepted as {found}");
    true
}

/// The bytes of a record that was found in `bytes`.
fn again(found: &Found, bytes: &[u8]) -> Vec<u8> {
    let record = match found {
        Found::Entry { id, payload } => {
            Record::Entry { id: *id, payload: Arc::new(bytes[payload.clone()].to_vec()) }
        }
        Found::Vote(vote) => Record::Vote(*vote),
        Found::Committed(id) => Record::Committed(*id),
        Found::Truncate { after } => Record::Truncate { after: *after },
        Found::Purge { upto } => Record::Purge { upto: *upto },
        Found::Checkpoint(checkpoint) => {
            let mut again = Vec::new();
            encode_checkpoint(checkpoint, 0, &mut again);
            return again;
        }
        Found::Closed { next } => {
            let mut again = Vec::new();
            encode_closed(*next, 0, &mut again);
            return again;
        }
    };
    let mut again = Vec::new();
    assert_eq!(encode(&record, 0, &mut again), Ok(()));
    again
}

/// A segment of these bytes, the first of a log or a later one. Accepted is what has a sound header, and no damage in its batches.
pub fn segment(bytes: &[u8]) -> bool {
    let header = SegmentHeader::decode(bytes).filter(|header| header.version <= FORMAT_VERSION);
    assert!(
        header.is_none_or(|header| header.encode() == bytes[..SEGMENT_HEADER_BYTES]),
        "a header was accepted as {header:?}"
    );
    let bytes = Bytes::copy_from_slice(bytes);
    let sound = [Some(Chain::START), None].map(|chain| scanned(&bytes, chain));
    header.is_some() && sound == [true, true]
}

/// Whether the batches from here on are those of a log.
fn scanned(bytes: &Bytes, mut chain: Option<Chain>) -> bool {
    let segment = Segment { bytes, number: 1, group: 0 };
    let mut replay = Replay::default();
    let scan = segment.scan(&mut chain, |offset, found| replay.add(bytes, offset, found));
    let indexes = replay.entries.iter().map(|entry| entry.id.index);
    assert!(indexes.clone().is_sorted_by(|a, b| a.checked_add(1) == Some(*b)), "entries with gaps between");
    assert!(indexes.last().is_none_or(|last| last < replay.state.next), "the next entry is there already");
    !matches!(scan.end, End::Damaged { .. })
}

/// A segment under checksums that are right, with records of any kind in any order, so that what they protect is looked at too. Of
/// `bytes`, each record takes: kind and flags, then term, index and the length of its body as a byte each, where 255 stands for the
/// largest number; then the body. The flag 128 is none of the record's: it ends the batch.
pub fn records(bytes: &[u8]) -> bool {
    segment(&sealed(bytes))
}

pub(super) fn sealed(mut bytes: &[u8]) -> Vec<u8> {
    let (mut batches, mut records) = (Vec::new(), (Vec::new(), 0));
    let number = |byte: u8| if byte == u8::MAX { u64::MAX } else { u64::from(byte) };
    while let Some((&[kind, flags, term, index, length], rest)) = bytes.split_first_chunk() {
        let (body, rest) = rest.split_at(usize::from(length).min(rest.len()));
        let head = Head { kind, flags: flags & 127, term: number(term), index: number(index) };
        let put = put(&head, 0, &mut records.0, |into| into.extend_from_slice(body));
        assert_eq!(put, Ok(()));
        records.1 += 1;
        if flags & 128 != 0 {
            batches.push(std::mem::take(&mut records));
        }
        bytes = rest;
    }
    batches.push(records);
    let length: u64 = batches.iter().map(|(bytes, _)| padded(BATCH_HEADER_BYTES + bytes.len())).sum();
    let identity = Identity { cluster: 7, node: 1, group: 0 };
    let header = SegmentHeader { version: FORMAT_VERSION, identity, number: 1, bytes: FIRST_BATCH + length };
    let mut segment = header.encode().to_vec();
    segment.resize(FIRST_BATCH as usize, 0);
    let (mut before, mut synced) = (0, Place { segment: 0, offset: 0 });
    for ((body, records), number) in batches.into_iter().zip(1..) {
        let place = Place { segment: 1, offset: segment.len() as u64 };
        let body_bytes = body.len() as u32;
        let header = BatchHeader { body_bytes, number, place, synced, records, before }.encode();
        before = super::format::crc_word(&header);
        segment.extend_from_slice(&header);
        segment.extend_from_slice(&body);
        segment.resize(padded(segment.len()) as usize, 0);
        synced = Place { segment: 1, offset: segment.len() as u64 };
    }
    segment
}

#[cfg(test)]
mod tests;
