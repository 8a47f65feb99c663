//! Records and segments of any bytes, and what stands under checksums that are right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::format::{Checkpoint, crc_word};
use super::*;
use crate::parsers::edits::{edited, edits, within_bounds};

/// A record of a plan, as [`records`] reads it.
fn planned(kind: u8, flags: u8, term: u8, index: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, flags, term, index, body.len() as u8], body].concat()
}

/// The plan of a sound segment: a checkpoint, then records that follow each other.
fn sound() -> Vec<u8> {
    let checkpoint = Checkpoint { next: 3, ..Checkpoint::default() }.encode();
    [
        planned(6, 128, 0, 0, &checkpoint),
        planned(2, 1, 5, 2, &[]),
        planned(1, 0, 5, 3, b"hello"),
        planned(1, 128, 5, 4, b""),
        planned(3, 0, 5, 4, &[]),
        planned(1, 0, 5, 5, &[7; 90]),
        planned(4, 130, 0, 4, &[]),
        planned(5, 0, 5, 3, &[]),
        planned(2, 0, 6, 1, &[]),
        planned(7, 128, 0, 2, &[]),
    ]
    .concat()
}

/// Records that are likely to be understood, in any order.
fn plan() -> impl Strategy<Value = Vec<u8>> {
    let small = || prop_oneof![0_u8..6, Just(255)];
    let flags = prop_oneof![4 => 0_u8..4, 1 => Just(128_u8), 1 => any::<u8>()];
    let checkpoint = (0_u8..16, small()).prop_map(|(flags, next)| {
        let mut body = [0; 64];
        (body[0], body[56]) = (flags, next);
        body.to_vec()
    });
    let body = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..8), checkpoint];
    let record = (0_u8..9, flags, small(), small(), body);
    vec(record.prop_map(|(kind, flags, term, index, body)| planned(kind, flags, term, index, &body)), 0..12)
        .prop_map(|records| records.concat())
}

/// A record of these fields, under checksums that are right.
fn sealed_record(kind: u8, flags: u8, term: u64, index: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&Head { kind, flags, term, index }, 0, &mut bytes, |into| into.extend_from_slice(body)).unwrap();
    bytes
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_the_record_that_they_say_or_none(bytes in vec(any::<u8>(), 0..200)) {
        within_bounds(&bytes, record);
        within_bounds(&bytes, segment);
    }

    #[test]
    fn a_sealed_record_is_what_its_fields_say_or_none(
        kind in 0_u8..9, flags in 0_u8..5, term in any::<u64>(), index in any::<u64>(), body in vec(0_u8..16, 0..70),
    ) {
        record(&sealed_record(kind, flags, term, index, &body));
    }

    #[test]
    fn sealed_records_in_any_order_are_a_log_or_refused(plan in plan()) {
        let segment = sealed(&plan);
        within_bounds(&segment, self::segment);
    }

    #[test]
    fn a_sound_segment_that_was_changed_before_it_was_sealed_is_a_log_or_refused(edits in edits()) {
        let segment = sealed(&edited(sound(), &edits));
        within_bounds(&segment, self::segment);
    }

    #[test]
    fn a_segment_that_was_changed_behind_its_header_is_never_another(at in any::<prop::sample::Index>(), by in 1_u8..) {
        let bytes = sealed(&sound());
        let mut changed = bytes.clone();
        let at = SEGMENT_HEADER_BYTES + at.index(bytes.len() - SEGMENT_HEADER_BYTES);
        changed[at] ^= by;
        // What is read is the same up to somewhere, and nothing else.
        let (whole, found) = (entries(&bytes), entries(&changed));
        assert!(whole.starts_with(&found), "byte {at} by {by}: {found:?}");
    }
}

fn entries(segment: &[u8]) -> Vec<(Found, Vec<u8>)> {
    let mut found = Vec::new();
    let read = Segment { bytes: segment, number: 1, group: 0 };
    drop(read.scan(&mut Some(Chain::START), |_, record| {
        let bytes = again(&record, segment);
        found.push((record, bytes));
        Ok(())
    }));
    found
}

#[test]
fn what_is_sound_is_accepted() {
    assert!(segment(&sealed(&sound())));
    assert_eq!(entries(&sealed(&sound())).len(), 10);
    for (kind, flags, term, index) in [(1, 0, 9, 9), (2, 0, 9, 9), (2, 1, 9, 9), (3, 0, 9, 9), (4, 0, 0, 0)] {
        assert!(record(&sealed_record(kind, flags, term, index, &[])), "{kind} {flags}");
    }
}

/// What it is; then kind, flags, term, index and body.
type Case<'a> = (&'a str, u8, u8, u64, u64, &'a [u8]);

#[test]
fn what_no_version_yet_has_written_is_refused_and_not_overlooked() {
    let zeros = [0; 64];
    let none_committed = [&[4], &zeros[1..]].concat();
    let told_without_its_flag = [&[0], &zeros[1..24], &[1], &zeros[25..]].concat();
    let cases: [Case<'_>; 9] = [
        ("an entry with a flag", 1, 1, 5, 5, b"x"),
        ("a vote with a body", 2, 0, 5, 5, b"x"),
        ("a vote with a flag of tomorrow", 2, 2, 5, 5, &[]),
        ("a truncate that keeps nothing up to 7", 4, 0, 0, 7, &[]),
        ("a truncate with a term", 4, 2, 5, 7, &[]),
        ("a checkpoint with an index", 6, 0, 0, 7, &zeros),
        ("a checkpoint that is short", 6, 0, 0, 0, &zeros[1..]),
        ("a checkpoint with a mark that it says it has not", 6, 0, 0, 0, &told_without_its_flag),
        ("a closing mark with a term", 7, 0, 5, 7, &[]),
    ];
    for (what, kind, flags, term, index, body) in cases {
        assert!(!record(&sealed_record(kind, flags, term, index, body)), "{what}");
    }
    assert!(record(&sealed_record(6, 0, 0, 0, &none_committed)), "and what it has written is accepted");
}

#[test]
fn a_segment_header_of_no_version_or_with_more_in_it_is_none() {
    let identity = Identity { cluster: 7, node: 1, group: 0 };
    let with = |version, zero| {
        let mut bytes = SegmentHeader { version, identity, number: 1, bytes: 4096 }.encode();
        bytes[14] = zero;
        let crc = crc32c::crc32c(&bytes[..56]);
        bytes[56..60].copy_from_slice(&crc.to_le_bytes());
        SegmentHeader::decode(&bytes).is_some()
    };
    assert!(with(FORMAT_VERSION, 0));
    assert!(!with(FORMAT_VERSION, 1) && !with(0, 0));
    assert!(with(FORMAT_VERSION + 1, 1), "a newer version is told as that, whatever else it has");
}

#[test]
fn lengths_and_counts_that_promise_gigabytes_take_no_memory() {
    let mut long = sealed_record(1, 0, 1, 1, b"");
    long[..4].fill(0xff);
    let crc = crc32c::crc32c(&long[..28]);
    long[28..32].copy_from_slice(&crc.to_le_bytes());
    assert!(!within_bounds(&long, record));
    for (body_bytes, records) in [(u32::MAX, 1), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let place = Place { segment: 1, offset: FIRST_BATCH };
        let synced = Place { segment: 0, offset: 0 };
        let header = BatchHeader { body_bytes, number: 1, place, synced, records, before: 0 }.encode();
        let mut segment = sealed(&[]);
        segment.truncate(FIRST_BATCH as usize);
        segment.extend_from_slice(&header);
        assert!(entries(&segment).is_empty(), "{:x}", crc_word(&header));
        within_bounds(&segment, self::segment);
    }
}

#[test]
fn numbers_at_their_ends_are_refused_and_do_not_wrap() {
    let checkpoint = Checkpoint { next: u64::MAX, ..Checkpoint::default() }.encode();
    let last = [planned(6, 128, 0, 0, &checkpoint), planned(1, 0, 1, 255, b"")].concat();
    assert!(!records(&last), "no index follows the last one");
    let purged = [planned(6, 128, 0, 0, &[0; 64]), planned(5, 0, 1, 255, &[]), planned(1, 0, 1, 255, &[])];
    assert!(!records(&purged.concat()));
}
