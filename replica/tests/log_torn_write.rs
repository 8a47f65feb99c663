//! A write that stops short, at any byte of any write, is cut; the log goes on behind it, and nothing acknowledged is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::sync::{Arc, Mutex};

use log_support::{Bench, Progress, check_between, entry, history, open_memory, small, told};
use replica::log::{Act, CutKind, MemoryDisk};

/// The disk right before a write, and the write.
struct Moment {
    disk: MemoryDisk,
    progress: Progress,
    file: String,
    offset: u64,
    bytes: Vec<u8>,
}

fn moments(bench: &mut Bench, disk: &MemoryDisk) -> Vec<Moment> {
    let moments = Arc::new(Mutex::new(Vec::new()));
    let (seen, watched, progress) = (moments.clone(), disk.clone(), bench.progress.clone());
    disk.on_act(Arc::new(move |act| {
        if let Act::Write { file, offset, bytes } = act {
            let (disk, progress) = (watched.fork(), *progress.lock().unwrap());
            let (file, bytes) = (file.to_string(), bytes.to_vec());
            seen.lock().unwrap().push(Moment { disk, progress, file, offset, bytes });
        }
        Ok(())
    }));
    for records in history() {
        bench.write(records);
    }
    disk.calm();
    Arc::into_inner(moments).map_or_else(Vec::new, |moments| moments.into_inner().unwrap())
}

fn lengths(moment: &Moment) -> Vec<usize> {
    // Zeros for a spare may stop anywhere with the same result.
    let step = if moment.bytes.len() > 2000 { 97 } else { 1 };
    (0..=moment.bytes.len()).step_by(step).collect()
}

fn check(bench: &Bench, moment: &Moment, length: usize) -> bool {
    let disk = moment.disk.fork();
    let from = moment.offset as usize;
    disk.damage(&moment.file, |bytes| {
        bytes.resize(bytes.len().max(from + length), 0);
        bytes[from..from + length].copy_from_slice(&moment.bytes[..length]);
    });
    let when = format!("{} byte {from} + {length}", moment.file);
    let (recovered, writer) = open_memory(&disk, small()).unwrap_or_else(|error| panic!("{when}: {error}"));
    check_between(&bench.states, moment.progress, &told(&recovered), &when);
    let torn = recovered.cut.is_some();
    if let Some(cut) = &recovered.cut {
        assert_eq!((cut.kind, cut.offset), (CutKind::Torn, moment.offset), "{when}: {cut}");
    }

    // The log goes on where it was cut, and what was cut does not come back.
    drop(writer);
    let mut again = Bench::new(&disk, small());
    let next = again.state().next();
    again.write(vec![entry(9, next)]);
    let (recovered, _) = open_memory(&disk, small()).unwrap_or_else(|error| panic!("{when}, again: {error}"));
    assert_eq!(&told(&recovered), again.state(), "{when}, again");
    assert_eq!(recovered.cut, None, "{when}, again");
    torn
}

#[test]
fn every_write_may_stop_at_every_byte() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    let moments = moments(&mut bench, &disk);
    let (mut tried, mut torn) = (0, 0);
    for moment in &moments {
        for length in lengths(moment) {
            tried += 1;
            torn += usize::from(check(&bench, moment, length));
        }
    }
    println!("{} writes, {tried} places to stop, {torn} cuts", moments.len());
    assert!(
        moments.len() > 80 && tried > 10_000 && torn > tried / 2,
        "{} writes, {tried}, {torn}",
        moments.len()
    );
}
