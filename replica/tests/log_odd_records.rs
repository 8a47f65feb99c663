//! Records that do not fit, or are very large, or are none at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::io::ErrorKind;
use std::sync::{Arc, mpsc};

use log_support::{Bench, entry, id, open_memory, small, told, vote};
use replica::log::{Log, MemoryDisk, Payload, Record, Vote};

fn refused(before: Vec<Record>, bad: Vec<Record>) {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    bench.write(before);
    let state = bench.state().clone();
    bench.submit(bad);
    // What is queued behind it goes in all the same, in the same batch.
    bench.submit(vec![vote(9, 1)]);
    bench.flush().unwrap();
    assert_eq!(*bench.refused.lock().unwrap(), [ErrorKind::InvalidInput]);
    assert_eq!(bench.progress().acknowledged, 2);
    let found = told(&open_memory(&disk, small()).unwrap().0);
    assert_eq!((found.entries, found.committed), (state.entries, state.committed));
    assert_eq!(found.vote.map(|vote| vote.term), Some(9));
}

fn led(term: u64, node: u64) -> Record {
    Record::Vote(Vote { term, node, committed: true })
}

#[test]
fn a_gap_is_refused() {
    refused(vec![entry(1, 0)], vec![entry(1, 2)]);
    refused(vec![entry(1, 0)], vec![entry(1, 1), entry(1, 3)]);
    refused(vec![entry(1, 0)], vec![entry(1, 0)]);
    refused(vec![], vec![entry(1, 7)]);
}

#[test]
fn a_vote_taken_back_is_refused() {
    refused(vec![vote(5, 1)], vec![vote(4, 1)]);
    refused(vec![vote(5, 1)], vec![vote(5, 2)]);
    refused(vec![led(5, 1)], vec![vote(5, 1)]);
    refused(vec![led(5, 1)], vec![led(5, 2)]);
}

#[test]
fn cutting_what_is_committed_is_refused() {
    let five = || (0..5).map(|index| entry(1, index)).chain([Record::Committed(id(1, 3))]).collect();
    refused(five(), vec![Record::Truncate { after: Some(2) }]);
    refused(five(), vec![Record::Truncate { after: None }]);
}

#[test]
fn a_leader_elected_by_others_follows_an_own_vote() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    bench.write(vec![vote(5, 1)]);
    bench.write(vec![led(5, 2)]);
    assert_eq!(&told(&open_memory(&disk, small()).unwrap().0), bench.state());
}

#[test]
fn an_entry_larger_than_a_segment_gets_a_segment_of_its_own() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    let large =
        |index, bytes| Record::Entry { id: id(1, index), payload: Arc::new(vec![index as u8 + 1; bytes]) };
    bench.write(vec![large(0, 10)]);
    bench.write(vec![large(1, 100_000)]);
    bench.write(vec![large(2, 10), large(3, 4096), large(4, 3500)]);
    bench.write(vec![large(5, 5000)]);
    let entries = open_memory(&disk, small()).unwrap().0.entries;
    let found: Vec<_> = entries.iter().map(|entry| (entry.id.index, entry.payload.len())).collect();
    assert_eq!(found, [(0, 10), (1, 100_000), (2, 10), (3, 4096), (4, 3500), (5, 5000)]);
    assert!(
        entries.iter().all(|entry| entry.payload.iter().all(|byte| u64::from(*byte) == entry.id.index + 1))
    );
}

/// More bytes than any entry may have.
struct TooMuch;

impl Payload for TooMuch {
    fn encode(&self, into: &mut Vec<u8>) {
        into.resize(into.len() + replica::log::format::BODY_BYTES_MAX + 1, 0);
    }
}

#[test]
fn an_entry_above_the_limit_is_refused() {
    refused(vec![entry(1, 0)], vec![Record::Entry { id: id(1, 1), payload: Arc::new(TooMuch) }]);
}

#[test]
fn no_record_at_all_is_acknowledged_in_its_turn_and_a_stopped_log_says_so() {
    let disk = MemoryDisk::new();
    let log =
        Log::start(open_memory(&disk, small()).unwrap().1, Box::new(|error| panic!("{error}"))).unwrap();
    let (told, heard) = mpsc::channel();
    for (at, records) in [vec![entry(1, 0)], vec![], vec![entry(1, 1)]].into_iter().enumerate() {
        let told = told.clone();
        log.append(records, Box::new(move |result| told.send((at, result.is_ok())).unwrap()));
    }
    assert_eq!(heard.iter().take(3).collect::<Vec<_>>(), [(0, true), (1, true), (2, true)]);
    log.stop();
    log.append(vec![entry(1, 2)], Box::new(move |result| told.send((3, result.is_ok())).unwrap()));
    assert_eq!(heard.recv(), Ok((3, false)));
    log.stop();
}
