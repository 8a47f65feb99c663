//! What was acknowledged is there after a restart: entries, votes, marks, truncations and purges.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

use std::sync::{Arc, mpsc};

use replica::log::{Disk, Folder, Identity, Log, LogId, MemoryDisk, Options, Record, Vote, open};

const IDENTITY: Identity = Identity { cluster: 7, node: 1, group: 0 };

fn small() -> Options {
    Options { segment_bytes: 4096, ..Options::default() }
}

fn entry(term: u64, index: u64) -> Record {
    Record::Entry {
        id: LogId { term, index },
        payload: Arc::new(format!("entry {index} of term {term}").into_bytes()),
    }
}

fn append(log: &Log, records: Vec<Record>) {
    let (told, heard) = mpsc::channel();
    log.append(records, Box::new(move |result| told.send(result).unwrap()));
    heard.recv().unwrap().unwrap();
}

fn start(disk: &Arc<dyn Disk>) -> (replica::log::Recovered, Log) {
    let (recovered, writer) = open(disk.clone(), IDENTITY, small()).unwrap();
    (recovered, Log::start(writer, Box::new(|error| panic!("{error}"))).unwrap())
}

fn tour(disk: Arc<dyn Disk>) {
    let (recovered, log) = start(&disk);
    assert!(recovered.entries.is_empty() && recovered.vote.is_none() && recovered.cut.is_none());
    append(&log, vec![Record::Vote(Vote { term: 1, node: 1, committed: true })]);
    for index in 0..500 {
        append(&log, vec![entry(1, index), Record::Committed(LogId { term: 1, index: index / 2 })]);
    }
    append(&log, vec![Record::Truncate { after: Some(449) }, entry(2, 450)]);
    append(&log, vec![Record::Purge { upto: LogId { term: 1, index: 200 } }]);
    append(&log, vec![entry(2, 451)]);
    log.stop();
    assert!(log.fatal().is_none());
    let names = disk.list().unwrap();
    assert!(!names.contains(&"segment-0000000000000001.log".to_string()), "purged segments go: {names:?}");

    let (recovered, log) = start(&disk);
    assert_eq!(recovered.cut, None);
    assert_eq!(recovered.vote, Some(Vote { term: 1, node: 1, committed: true }));
    assert_eq!(recovered.committed, Some(LogId { term: 1, index: 249 }));
    assert_eq!(recovered.purged, Some(LogId { term: 1, index: 200 }));
    assert_eq!(recovered.entries.len(), 451 - 200);
    for (entry, index) in recovered.entries.iter().zip(201..) {
        let term = if index < 450 { 1 } else { 2 };
        assert_eq!(entry.id, LogId { term, index });
        assert_eq!(entry.payload, format!("entry {index} of term {term}"));
    }
    append(&log, vec![entry(2, 452)]);
    log.stop();
}

#[test]
fn in_memory() {
    tour(Arc::new(MemoryDisk::new()));
}

#[test]
fn in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    tour(Arc::new(Folder::open(folder.path()).unwrap()));
}
