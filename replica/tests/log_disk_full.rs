//! A full disk ends nothing: it is said as soon as the next segment cannot be made, records wait when there is no room left
//! at all, and everything goes on by itself when there is some.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use log_support::{Bench, entry, open_memory, small, told};
use replica::log::{Act, Disk, Folder, Log, MemoryDisk, Options, Written};

#[test]
fn is_told_while_there_is_still_room_in_the_segment() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    disk.set_room(Some(5000));
    bench.write(vec![entry(1, 0)]);
    let full = bench.writer.no_room().expect("the next segment cannot be made").clone();
    for part in
        ["disk full", "segment-0000000000000002.log", "4096 B", "904 B are free", "still takes records"]
    {
        assert!(full.to_string().contains(part), "{full}");
    }
    bench.write(vec![entry(1, 1)]);
    disk.set_room(None);
    bench.writer.retry_room();
    while bench.writer.prepare().unwrap() {}
    assert_eq!(bench.writer.no_room(), None);
}

#[test]
fn is_found_out_by_trying_where_the_disk_does_not_say() {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::ReadOnlyFilesystem];
    for kind in kinds {
        let disk = MemoryDisk::new();
        let mut bench = Bench::new(&disk, small());
        disk.on_act(Arc::new(move |act| match act {
            Act::Write { file: "spare.tmp", .. } => Err(kind.into()),
            _ => Ok(()),
        }));
        bench.write(vec![entry(1, 0)]);
        assert!(bench.writer.no_room().is_some(), "{kind}");
        assert_eq!(disk.read("spare.tmp"), None, "what could not be finished takes no room");
        disk.calm();
        bench.writer.retry_room();
        while bench.writer.prepare().unwrap() {}
        assert_eq!(bench.writer.no_room(), None, "{kind}");
    }
}

#[test]
fn is_asked_of_a_real_folder() {
    let folder = tempfile::tempdir().unwrap();
    let free = Folder::open(folder.path()).unwrap().free_bytes().expect("Linux tells");
    assert!(free > 0 && free < 1 << 60, "{free}");
}

#[test]
fn makes_records_wait_and_loses_none() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    disk.set_room(Some(5000));
    let mut index = 0;
    let waiting = loop {
        bench.submit(vec![entry(1, index)]);
        index += 1;
        if bench.flush() == Ok(Written::NoRoom) {
            break bench.progress();
        }
    };
    assert_eq!(waiting.acknowledged, waiting.submitted - 1, "all but the one that does not fit");
    let (recovered, _) = open_memory(&disk.fork(), small()).unwrap();
    assert_eq!(told(&recovered), bench.states[waiting.acknowledged], "what was acknowledged is there");
    assert_eq!(bench.flush(), Ok(Written::NoRoom), "asking again changes nothing");
    disk.set_room(None);
    assert_eq!(bench.flush(), Ok(Written::Done(0)));
    let (recovered, _) = open_memory(&disk, small()).unwrap();
    assert_eq!(&told(&recovered), bench.state());
    assert!(bench.refused.lock().unwrap().is_empty());
}

#[test]
fn in_the_middle_of_a_segment_makes_the_batch_again() {
    // A file system that copies on write may find no room where zeros have been.
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    bench.write(vec![entry(1, 0)]);
    disk.on_act(Arc::new(|act| match act {
        Act::Write { file, .. } if file.starts_with("segment") => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    }));
    bench.submit((1..9).map(|index| entry(1, index)).collect());
    assert_eq!(bench.flush(), Ok(Written::NoRoom));
    // Part of it may be in the file all the same.
    disk.damage("segment-0000000000000001.log", |bytes| bytes[1100..1200].fill(0xEE));
    disk.calm();
    bench.queue.clear();
    bench.states.pop();
    bench.progress.lock().unwrap().submitted -= 1;
    bench.write(vec![entry(1, 1)]);
    let (recovered, _) = open_memory(&disk, small()).unwrap();
    assert_eq!(
        (&told(&recovered), recovered.cut),
        (bench.state(), None),
        "nothing is left behind the shorter batch"
    );
}

#[test]
fn recovers_by_itself_and_may_be_stopped() {
    let disk = MemoryDisk::new();
    let options = Options { room_retry: Duration::from_millis(1), ..small() };
    let log =
        Log::start(open_memory(&disk, options).unwrap().1, Box::new(|error| panic!("{error}"))).unwrap();
    disk.set_room(Some(5000));
    let (told, heard) = mpsc::channel();
    let append = |index| {
        let told = told.clone();
        log.append(
            vec![entry(1, index)],
            Box::new(move |result| told.send(result.map_err(|e| e.kind())).unwrap()),
        );
    };
    (0..100).for_each(append);
    // Wait for the log to say it, for as long as it takes.
    while !log.no_room().is_some_and(|full| full.waiting) {
        std::thread::yield_now();
    }
    disk.set_room(None);
    for _ in 0..100 {
        assert_eq!(heard.recv().unwrap(), Ok(()));
    }
    disk.set_room(Some(0));
    (100..200).for_each(append);
    while !log.no_room().is_some_and(|full| full.waiting) {
        std::thread::yield_now();
    }
    log.stop();
    let results: Vec<_> = heard.try_iter().collect();
    assert_eq!(results.len(), 100, "everyone is told");
    let failed = results.iter().skip_while(|result| result.is_ok());
    assert!(
        failed.clone().count() > 0 && failed.copied().all(|result| result == Err(io::ErrorKind::StorageFull))
    );
    assert_eq!(log.fatal(), None);
}
