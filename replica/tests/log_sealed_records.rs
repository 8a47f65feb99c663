//! Damage in the last batch, which nobody can prove, never takes a vote, a truncation or a purge with it: a seal behind
//! them says that they were synced. Nor does it take anything after an orderly stop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use log_support::{Bench, cutting, entry, id, open_memory, segment, told, vote};
use replica::log::{Log, MemoryDisk, OpenError, Record};

/// Flips every bit from `from` on, with leave to cut: the log is refused, or all that was acknowledged is there.
fn flip_all(disk: &MemoryDisk, bench: &Bench, from: usize) -> (usize, usize) {
    let (mut refused, mut whole) = (0, 0);
    for (byte, bit) in (from..4096).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let disk = disk.fork();
        disk.damage(&segment(1), |bytes| bytes[byte] ^= 1 << bit);
        match open_memory(&disk, cutting()) {
            Ok((recovered, _)) => {
                assert_eq!(&told(&recovered), bench.state(), "byte {byte} bit {bit}");
                whole += 1;
            }
            Err(OpenError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    (refused, whole)
}

fn end(disk: &MemoryDisk) -> usize {
    let bytes = disk.read(&segment(1)).unwrap();
    (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(64)
}

#[test]
fn votes_truncations_and_purges() {
    let records = [vote(5, 2), Record::Truncate { after: Some(1) }, Record::Purge { upto: id(1, 1) }];
    for record in records {
        let disk = MemoryDisk::new();
        let mut bench = Bench::new(&disk, cutting());
        bench.write((0..5).map(|index| entry(1, index)).collect());
        let from = end(&disk);
        bench.write(vec![record]);
        let (refused, whole) = flip_all(&disk, &bench, from);
        assert_eq!(refused, 128 * 8, "the batch, padding and all; {whole} are behind it");
    }
}

#[test]
fn everything_after_an_orderly_stop() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, cutting());
    let from = end(&disk);
    bench.write((0..5).map(|index| entry(1, index)).collect());
    let batch = end(&disk) - from;
    drop(open_memory(&disk, cutting()));
    let log =
        Log::start(open_memory(&disk, cutting()).unwrap().1, Box::new(|error| panic!("{error}"))).unwrap();
    log.stop();
    assert_eq!(flip_all(&disk, &bench, from).0, batch * 8);
}
