//! A failed write or sync ends the log: every waiter gets the error, the hook is called first and once, nothing more is
//! written, and nothing that was acknowledged is missing after a restart, be it after a kill or after a power cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use log_support::{Bench, check_between, cutting, entry, history, open_memory, small, told};
use replica::log::{Act, Fatal, Log, MemoryDisk, Step};

/// Fails the act number `nth` of those that `which` picks, and counts what is written after it.
fn fail(disk: &MemoryDisk, nth: usize, which: fn(Act<'_>) -> bool) -> Arc<AtomicUsize> {
    let (seen, after) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let written = after.clone();
    disk.on_act(Arc::new(move |act| {
        if seen.load(Ordering::SeqCst) > nth {
            written.fetch_add(1, Ordering::SeqCst);
        }
        if which(act) && seen.fetch_add(1, Ordering::SeqCst) == nth {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }));
    after
}

/// Runs the whole history until the failure; false when there were fewer acts than `nth`.
fn run(nth: usize, which: fn(Act<'_>) -> bool) -> bool {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    let after = fail(&disk, nth, which);
    let mut fatal = None;
    for records in history() {
        bench.submit(records);
        if let Err(error) = bench.flush() {
            fatal = Some(error);
            break;
        }
    }
    let Some(fatal) = fatal else { return false };
    assert!(fatal.to_string().contains("segment-") && fatal.to_string().contains("failed"), "{fatal}");
    let before = bench.progress().acknowledged;
    bench.submit(Vec::new());
    assert_eq!(bench.flush(), Err(fatal), "it stays dead");
    assert_eq!(bench.progress().acknowledged, before, "nothing is acknowledged after the failure");
    assert_eq!(after.load(Ordering::SeqCst), 0, "nothing is done to the disk after the failure");

    let power_cuts = [disk.fork(), disk.power_cut(|_| false), disk.power_cut(|_| true)];
    for disk in power_cuts {
        let (recovered, _) = open_memory(&disk, cutting()).unwrap_or_else(|error| panic!("{nth}: {error}"));
        check_between(&bench.states, bench.progress(), &told(&recovered), &format!("failure {nth}"));
    }
    true
}

#[test]
fn at_every_sync() {
    let runs = (0..).take_while(|nth| run(*nth, |act| matches!(act, Act::Sync | Act::SyncFolder))).count();
    assert!(runs > 60, "{runs}");
}

#[test]
fn at_every_write() {
    let runs = (0..).take_while(|nth| run(*nth, |act| matches!(act, Act::Write { .. }))).count();
    assert!(runs > 60, "{runs}");
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again_at_open() {
    let disk = MemoryDisk::new();
    let mut bench = Bench::new(&disk, small());
    bench.write(vec![entry(1, 0)]);
    fail(&disk, 0, |act| act == Act::Sync);
    bench.submit(vec![entry(1, 1)]);
    assert!(bench.flush().is_err());
    // After a kill the cache shows entry 1, but it is not on the platter, and the cache thinks it is.
    let disk = disk.fork();
    let (recovered, _) = open_memory(&disk, small()).unwrap();
    assert_eq!(recovered.entries.len(), 2, "the cache shows it");
    // It was told, so it must survive a power cut from now on.
    let disk = disk.power_cut(|_| false);
    let (recovered, _) = open_memory(&disk, small()).unwrap();
    assert_eq!(recovered.entries.len(), 2, "and it is there for good");
}

#[test]
fn everyone_is_told_after_the_hook() {
    let disk = MemoryDisk::new();
    let writer = open_memory(&disk, small()).unwrap().1;
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = told.clone();
    let on_fatal = move |error: &io::Error| {
        let fatal =
            error.get_ref().and_then(|inner| inner.downcast_ref::<Fatal>()).expect("a Fatal is inside");
        hook.lock().unwrap().push(format!("hook: {}", fatal.what));
    };
    let (log, mut pump) = Log::manual(writer, Box::new(on_fatal));
    fail(&disk, 0, |act| act == Act::Sync);
    let append = |name: &'static str, index| {
        let told = told.clone();
        let done =
            move |result: io::Result<()>| told.lock().unwrap().push(format!("{name}: {}", result.is_ok()));
        log.append(vec![entry(1, index)], Box::new(done));
    };
    append("first", 0);
    append("second", 1);
    assert!(log.oldest_unsynced().is_some());
    assert_eq!(pump.step(), Step::Dead);
    append("late", 2);
    assert_eq!(pump.step(), Step::Dead);
    assert!(log.fatal().is_some() && log.oldest_unsynced().is_none());
    assert_eq!(
        *told.lock().unwrap(),
        ["hook: syncing a batch", "first: false", "second: false", "late: false"]
    );
}

#[test]
fn a_stalled_disk_is_seen_and_holds_up_nobody_who_appends() {
    let disk = MemoryDisk::new();
    let writer = open_memory(&disk, small()).unwrap().1;
    let (release, released) = mpsc::channel::<()>();
    let (stall, stalled) = mpsc::channel();
    let (released, stall) = (Mutex::new(released), Mutex::new(Some(stall)));
    disk.on_act(Arc::new(move |act| {
        if act == Act::Sync
            && let Some(stall) = stall.lock().unwrap().take()
        {
            stall.send(()).unwrap();
            // Until the test lets go of its end.
            let _ = released.lock().unwrap().recv();
        }
        Ok(())
    }));
    let log = Log::start(writer, Box::new(|error| panic!("{error}"))).unwrap();
    let (told, heard) = mpsc::channel();
    for index in 0..1000 {
        let told = told.clone();
        log.append(
            vec![entry(1, index)],
            Box::new(move |result| told.send((index, result.is_ok())).unwrap()),
        );
        if index == 0 {
            stalled.recv().unwrap();
        }
    }
    assert!(log.oldest_unsynced().is_some(), "the watchdog sees its age");
    assert!(heard.try_recv().is_err(), "nothing is acknowledged while the disk stands still");
    drop(release);
    let all: Vec<_> = heard.iter().take(1000).collect();
    assert!(
        all.iter().enumerate().all(|(at, told)| *told == (at as u64, true)),
        "in the order of the appends"
    );
    log.stop();
    assert_eq!(log.oldest_unsynced(), None);
}
