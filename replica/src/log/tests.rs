//! The bytes, one by one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

use std::sync::Arc;

use super::entry::{Found, Parsed, encode, encode_checkpoint, encode_closed, parse};
use super::format::{BatchHeader, Checkpoint, END_MARK, FORMAT_VERSION, Identity, Place, SegmentHeader};
use super::options::{Options, SEGMENT_BYTES_MAX};
use super::record::{LogId, Record, Vote};
use super::spare::{segment_name, segment_number};

const IDENTITY: Identity = Identity { cluster: u128::MAX - 5, node: 3, group: 2 };

fn id(term: u64, index: u64) -> LogId {
    LogId { term, index }
}

/// Every bit of a header, flipped alone, makes it none.
fn no_bit_may_flip<T: PartialEq + std::fmt::Debug>(bytes: &[u8; 64], decode: impl Fn(&[u8]) -> Option<T>) {
    for (byte, bit) in (0..64).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let mut flipped = *bytes;
        flipped[byte] ^= 1 << bit;
        assert_eq!(decode(&flipped), None, "byte {byte} bit {bit}");
    }
    assert_eq!(decode(&bytes[..63]), None);
}

#[test]
fn a_segment_header_is_read_as_it_was_written() {
    let header = SegmentHeader { version: FORMAT_VERSION, identity: IDENTITY, number: 77, bytes: 4096 };
    assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
    no_bit_may_flip(&header.encode(), SegmentHeader::decode);
}

#[test]
fn a_batch_header_is_read_as_it_was_written() {
    let place = |segment, offset| Place { segment, offset };
    let header = BatchHeader {
        body_bytes: 65,
        number: 9,
        place: place(3, 512),
        synced: place(2, 4032),
        records: 2,
        before: 0xDEAD_BEEF,
    };
    assert_eq!(BatchHeader::decode(&header.encode()), Some(header));
    assert_eq!(header.bytes(), 192, "64 B of header, 65 B of records, and padding");
    no_bit_may_flip(&header.encode(), BatchHeader::decode);
}

#[test]
fn an_end_mark_stays_a_mark_when_a_bit_flips() {
    assert!((0..8).all(|bit| END_MARK ^ (1 << bit) != 0));
}

#[test]
fn records_are_read_as_they_were_written() {
    let checkpoint = Checkpoint {
        vote: Some(Vote { term: 5, node: 2, committed: true }),
        committed: Some(id(4, 90)),
        purged: None,
        next: 100,
    };
    let records = [
        Record::Entry { id: id(5, 100), payload: Arc::new(b"hello".to_vec()) },
        Record::Vote(Vote { term: 6, node: 0, committed: false }),
        Record::Committed(id(5, 99)),
        Record::Truncate { after: Some(0) },
        Record::Truncate { after: None },
        Record::Purge { upto: id(5, 50) },
    ];
    let mut bytes = Vec::new();
    for record in &records {
        encode(record, 2, &mut bytes).unwrap();
    }
    encode_checkpoint(&checkpoint, 2, &mut bytes);
    encode_closed(8, 2, &mut bytes);
    let (mut at, mut lines) = (0, Vec::new());
    while let Parsed::Whole(found, next) = parse(&bytes, at, bytes.len(), 2) {
        if let Found::Entry { payload, .. } = &found {
            assert_eq!(&bytes[payload.clone()], b"hello");
        }
        lines.push(found.to_string());
        at = next;
    }
    assert_eq!(at, bytes.len());
    let wanted = [
        "Entry 100@5 5 B",
        "Vote n0 voted for @6",
        "Committed 99@5",
        "Truncate after=0",
        "Truncate all",
        "Purge upto=50@5",
        "Checkpoint next=100 vote=(n2 leads @5) committed=90@4",
        "Closed next=8",
    ];
    assert_eq!(lines, wanted);
    assert!(
        matches!(parse(&bytes, 0, bytes.len(), 1), Parsed::Wrong(what) if what.contains("another Raft group"))
    );
}

#[test]
fn a_record_that_stops_short_is_short_and_one_that_flipped_is_wrong() {
    let mut bytes = Vec::new();
    encode(&Record::Entry { id: id(1, 1), payload: Arc::new(vec![9; 40]) }, 0, &mut bytes).unwrap();
    for length in 0..bytes.len() {
        assert_eq!(parse(&bytes, 0, length, 0), Parsed::Short, "{length}");
    }
    for (byte, bit) in (0..bytes.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1 << bit;
        assert!(matches!(parse(&flipped, 0, bytes.len(), 0), Parsed::Wrong(_)), "byte {byte} bit {bit}");
    }
}

#[test]
fn only_exact_names_are_segments() {
    assert_eq!(segment_number(&segment_name(12)), Some(12));
    for name in
        ["segment-12.log", "segment-000000000000000x.log", "spare.tmp", "segment-0000000000000012.log~"]
    {
        assert_eq!(segment_number(name), None, "{name}");
    }
}

#[test]
fn options_have_bounds() {
    let with = |segment_bytes| Options { segment_bytes, ..Options::default() }.check().is_ok();
    assert!(Options::default().check().is_ok() && with(4096) && with(SEGMENT_BYTES_MAX));
    assert!(!with(4095) && !with(4097) && !with(SEGMENT_BYTES_MAX + 64) && !with(0));
}
