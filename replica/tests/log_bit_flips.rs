//! Every single bit of a log of three segments and a spare is flipped, one at a time. Each flip is refused with file and
//! offset, or changes nothing, or is in the last batch, of which nobody can tell whether it was acknowledged. None is silent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::collections::BTreeMap;
use std::thread;

use log_support::{Bench, Model, cutting, entry, id, open_memory, segment, small, told, vote};
use replica::log::{CutKind, Disk, MemoryDisk, OpenError, Record};

/// What became of a flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Not opened; the error names the file and a byte at or before the flip.
    Refused,
    /// Opened as if nothing were wrong: the bit is in bytes that mean nothing.
    Harmless,
    /// Opened and cut behind the last batch, where nothing had been written.
    CutOfNothing,
    /// Not opened, because it is at the log's very end; with leave to cut, what comes before is there.
    Unprovable,
}

struct Case {
    disk: MemoryDisk,
    whole: Model,
    /// What is there without the last batch.
    before_last: Model,
    tail: String,
    /// Where the last batch begins, and ends.
    last: (usize, usize),
}

impl Case {
    fn three_segments() -> Case {
        let disk = MemoryDisk::new();
        let mut bench = Bench::new(&disk, small());
        bench.write(vec![vote(1, 1)]);
        let mut index = 0;
        while disk.read(&segment(3)).is_none_or(|bytes| bytes[800..].iter().all(|byte| *byte == 0)) {
            bench.write(vec![entry(1, index), Record::Committed(id(1, index))]);
            index += 1;
        }
        bench.write(vec![vote(2, 3), Record::Truncate { after: Some(index) }]);
        let end = |disk: &MemoryDisk| {
            let bytes = disk.read(&segment(3)).unwrap();
            bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
        };
        let (before_last, from) = (bench.state().clone(), end(&disk).next_multiple_of(64));
        bench.write(vec![entry(2, index), entry(2, index + 1), entry(2, index + 2)]);
        while bench.writer.prepare().unwrap() {}
        let names = disk.list().unwrap();
        assert_eq!(names, (1..=4).map(segment).collect::<Vec<_>>(), "three segments and a spare");
        let last = (from, end(&disk));
        Case { whole: bench.state().clone(), before_last, tail: segment(3), last, disk }
    }

    fn flip(&self, file: &str, byte: usize, bit: u8) -> Class {
        let disk = self.disk.fork();
        disk.damage(file, |bytes| bytes[byte] ^= 1 << bit);
        let names = |at: &str, offset: u64| at.ends_with(file) && offset as usize <= byte;
        match open_memory(&disk, small()) {
            Ok((recovered, _)) => {
                assert_eq!(told(&recovered), self.whole, "{file} byte {byte} bit {bit}: silent");
                let Some(cut) = recovered.cut else { return Class::Harmless };
                assert!(names(&cut.file, cut.offset) && cut.offset as usize >= self.last.1, "{cut}");
                assert_eq!(cut.kind, CutKind::Torn, "{cut}");
                Class::CutOfNothing
            }
            Err(OpenError::Damaged { file: at, offset, index, what }) => {
                assert!(names(&at, offset), "{file} byte {byte} bit {bit}: {at} {offset} {what}");
                assert!(index <= self.whole.next(), "{index}");
                Class::Refused
            }
            Err(OpenError::UnprovableTail(cut)) => {
                assert!(names(&cut.file, cut.offset) && file == self.tail && byte >= self.last.0, "{cut}");
                self.check_cut(&disk, byte);
                Class::Unprovable
            }
            Err(error) => panic!("{file} byte {byte} bit {bit}: {error}"),
        }
    }

    fn check_cut(&self, disk: &MemoryDisk, byte: usize) {
        let (recovered, _) = open_memory(disk, cutting()).expect("with leave to cut it opens");
        let there = if byte < self.last.1.next_multiple_of(64) { &self.before_last } else { &self.whole };
        assert_eq!(&told(&recovered), there, "byte {byte}");
        let cut = recovered.cut.expect("a cut is told");
        assert_eq!(cut.from_index, there.next(), "{cut}");
        assert_eq!(cut.kind, CutKind::Unprovable, "{cut}");
    }

    fn flip_all(&self, file: &str) -> BTreeMap<Class, usize> {
        let bytes = self.disk.read(file).unwrap().len();
        let mut classes = BTreeMap::new();
        for (byte, bit) in (0..bytes).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            *classes.entry(self.flip(file, byte, bit)).or_default() += 1;
        }
        classes
    }
}

#[test]
fn every_bit() {
    let case = Case::three_segments();
    let files = case.disk.list().unwrap();
    let counts: Vec<BTreeMap<Class, usize>> = thread::scope(|scope| {
        let runs: Vec<_> = files.iter().map(|file| scope.spawn(|| case.flip_all(file))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for (file, classes) in files.iter().zip(&counts) {
        println!("{file}: {classes:?}");
    }
    let count = |file: usize, class: Class| counts[file].get(&class).copied().unwrap_or(0);
    for (file, classes) in counts.iter().enumerate() {
        assert_eq!(classes.values().sum::<usize>(), 4096 * 8, "every bit of {}", files[file]);
    }
    // A closed segment: header and batches are refused; padding behind the header and behind `closed` means nothing.
    for file in [0, 1] {
        assert!(count(file, Class::Refused) > 3000 * 8, "{:?}", counts[file]);
        assert_eq!(
            count(file, Class::Unprovable) + count(file, Class::CutOfNothing),
            0,
            "{:?}",
            counts[file]
        );
    }
    let last_bits = (case.last.1 - case.last.0) * 8;
    assert!(count(2, Class::Unprovable) >= last_bits, "{:?}", counts[2]);
    // In the header's length behind the last batch nothing whole could have been written.
    assert_eq!(count(2, Class::CutOfNothing), 64 * 8, "{:?}", counts[2]);
    assert_eq!(count(3, Class::Harmless), 4096 * 8, "a spare holds nothing: {:?}", counts[3]);
}
