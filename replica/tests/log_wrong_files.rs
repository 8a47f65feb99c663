//! Files that are missing, short, swapped, of another member or of a newer version: refused, in words that name the file,
//! both sides of what does not fit, and the way out. What is refused is not changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::sync::Arc;

use log_support::{Bench, IDENTITY, entry, history, id, open_memory, segment, small, told, vote};
use replica::log::format::SegmentHeader;
use replica::log::{Disk, Expect, Identity, MemoryDisk, OpenError, Options, Record, open};

fn filled() -> (MemoryDisk, Bench) {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    bench.write(vec![vote(1, 1)]);
    for index in 0..120 {
        bench.write(vec![entry(1, index)]);
    }
    while bench.writer.prepare().unwrap() {}
    (disk, bench)
}

fn contents(disk: &MemoryDisk) -> Vec<(String, Option<Vec<u8>>)> {
    disk.list().unwrap().into_iter().map(|name| (name.clone(), disk.read(&name))).collect()
}

/// Opens what must be refused, and looks that nothing has changed.
fn refusal(disk: &MemoryDisk, identity: Identity, options: Options) -> OpenError {
    let before = contents(disk);
    let error = open(Arc::new(disk.clone()), identity, options).err().expect("this must be refused");
    assert_eq!(contents(disk), before, "{error}");
    error
}

fn assert_says(error: &OpenError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[test]
fn of_another_cluster_or_node_or_group() {
    let (disk, _) = filled();
    let other = Identity { cluster: 8, ..IDENTITY };
    let error = refusal(&disk, other, small());
    let said = ["segment-0000000000000001.log", "00000007 node 1", "00000008 node 1", "its own data folder"];
    assert_says(&error, &said);
    assert_says(&refusal(&disk, Identity { node: 2, ..IDENTITY }, small()), &["node 1", "node 2"]);
    assert_says(&refusal(&disk, Identity { group: 1, ..IDENTITY }, small()), &["belongs to", "group 1"]);
}

#[test]
fn of_a_newer_version() {
    let (disk, _) = filled();
    disk.damage(&segment(2), |bytes| {
        let header = SegmentHeader::decode(bytes).unwrap();
        bytes[..64].copy_from_slice(&SegmentHeader { version: 9, ..header }.encode());
    });
    let said = [
        "segment-0000000000000002.log",
        "version 9",
        "reads up to 1",
        "upgrade this program to the one that wrote it",
    ];
    assert_says(&refusal(&disk, IDENTITY, small()), &said);
}

#[test]
fn missing() {
    let (disk, bench) = filled();
    let names = disk.list().unwrap();
    assert!(names.len() > 4, "{names:?}");
    for (at, name) in names.iter().enumerate() {
        let disk = disk.fork();
        disk.remove(name).unwrap();
        disk.sync_folder().unwrap();
        if at == names.len() - 1 {
            // The spare held nothing.
            assert_eq!(&told(&open_memory(&disk, small()).unwrap().0), bench.state());
            continue;
        }
        let error = refusal(&disk, IDENTITY, small());
        assert!(matches!(error, OpenError::MissingSegment { .. }), "{error:?}");
        assert_says(
            &error,
            &[name, "missing, with entries from", "nothing was changed", "copy the data folder aside"],
        );
    }
    // The newest segment and the spare behind it: the segment before says that there was more.
    disk.remove(&names[names.len() - 1]).unwrap();
    disk.remove(&names[names.len() - 2]).unwrap();
    assert_says(&refusal(&disk, IDENTITY, small()), &[&names[names.len() - 2], "missing"]);
}

#[test]
fn missing_all() {
    let disk = MemoryDisk::new();
    let begun = Options { expect: Expect::Log, ..small() };
    assert_says(&refusal(&disk, IDENTITY, begun), &["no log here", "vote twice"]);
    let mut bench = Bench::new(&disk, small());
    bench.write(vec![vote(1, 1)]);
    assert_eq!(&told(&open_memory(&disk, begun).unwrap().0), bench.state());
}

#[test]
fn an_old_segment_that_came_back_is_taken_out() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    bench.write(vec![entry(1, 0)]);
    let first = disk.read(&segment(1)).unwrap();
    for index in 1..120 {
        bench.write(vec![entry(1, index)]);
    }
    bench.write(vec![Record::Purge { upto: id(1, 100) }]);
    assert_eq!(disk.read(&segment(1)), None, "what is purged is unlinked");
    disk.put(&segment(1), first);
    assert_eq!(&told(&open_memory(&disk, small()).unwrap().0), bench.state());
    assert_eq!(disk.read(&segment(1)), None, "below a gap, and purged");
}

#[test]
fn shorter_by_any_length() {
    let (disk, bench) = filled();
    let names = disk.list().unwrap();
    for (at, name) in names.iter().enumerate() {
        for length in 0..4096 {
            let disk = disk.fork();
            disk.damage(name, |bytes| bytes.truncate(length));
            if at == names.len() - 1 {
                assert_eq!(&told(&open_memory(&disk, small()).unwrap().0), bench.state(), "{length}");
                continue;
            }
            match refusal(&disk, IDENTITY, small()) {
                OpenError::WrongLength { file, found, wanted, .. } => {
                    assert!(
                        file.ends_with(name) && (found, wanted) == (length as u64, 4096),
                        "{file} {found} {wanted}"
                    );
                }
                OpenError::Damaged { file, offset: 0, .. } => {
                    assert!(file.ends_with(name) && length < 64, "{length}")
                }
                error => panic!("{name} {length}: {error}"),
            }
        }
    }
}

#[test]
fn swapped_with_an_older_copy() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    let mut older = Vec::new();
    for records in history() {
        older.push(contents(&disk));
        bench.write(records);
    }
    let mut names = disk.list().unwrap();
    names.retain(|name| name.starts_with("segment-"));
    let newest = names.iter().rposition(|name| disk.read(name).unwrap()[512] != 0).unwrap();
    let (mut swapped, mut as_shorter) = (0, 0);
    for (name, bytes) in older.into_iter().flatten() {
        let same = disk.read(&name) == bytes;
        if same || !names.contains(&name) {
            continue;
        }
        swapped += 1;
        let disk = disk.fork();
        disk.put(&name, bytes.unwrap());
        match open_memory(&disk, small()) {
            // The newest segment alone may look like a log that ends earlier, but never like anything else.
            Ok((recovered, _)) => {
                as_shorter += 1;
                assert!(name == names[newest] && bench.states.contains(&told(&recovered)), "{name} opened");
            }
            Err(OpenError::Damaged { file, .. } | OpenError::MissingSegment { file, .. }) => {
                assert!(names.iter().any(|name| file.ends_with(name)), "{file}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    println!("{swapped} swaps, {as_shorter} look like a log that ends earlier");
    assert!(swapped > 30 && as_shorter < swapped / 2, "{swapped} {as_shorter}");
}

#[test]
fn renamed_to_another_number() {
    let (disk, _) = filled();
    disk.rename(&segment(1), "aside").unwrap();
    disk.rename(&segment(2), &segment(1)).unwrap();
    disk.rename("aside", &segment(2)).unwrap();
    assert_says(
        &refusal(&disk, IDENTITY, small()),
        &["segment-0000000000000001.log", "byte 0", "this is segment 2"],
    );
}
