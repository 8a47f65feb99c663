//! One replica on a disk that breaks: nothing acknowledged is lost, and what cannot be verified is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod common;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::*;
use lease::{Command, Outcome, Token, Ttl};
use replica::log::{Act, Unsynced};
use replica::{Answer, Clock, Mono, Options, Unavailable};

const SEGMENT: u64 = 16 * 1024;

fn small() -> Options {
    Options { segment_bytes: Some(SEGMENT), snapshot_log_bytes: 8 * 1024, ..options() }
}

fn begun() -> Options {
    Options { begun: true, ..small() }
}

/// This process's monotonic clock, which a test can move on.
struct JumpingClock {
    process: ProcessClock,
    ahead: AtomicU64,
}

impl Default for JumpingClock {
    fn default() -> JumpingClock {
        JumpingClock { process: ProcessClock(Instant::now()), ahead: AtomicU64::new(0) }
    }
}

impl JumpingClock {
    fn jump(&self, ahead: Ttl) {
        self.ahead.fetch_add(ahead.as_nanos(), Ordering::SeqCst);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Mono {
        self.process.now().after(Ttl::from_nanos(self.ahead.load(Ordering::SeqCst)))
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): enough chance for a test, from a seed that it prints.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// What the replica has acknowledged: who holds which name, under which token.
type Acknowledged = BTreeMap<String, Option<Token>>;

/// Claims and releases names, and keeps the book of what was acknowledged.
async fn work(handle: &replica::Handle, chance: &mut Chance, seq: &mut u64, acknowledged: &mut Acknowledged) {
    let name = format!("lease-{}", chance.below(12));
    *seq += 1;
    match acknowledged.get(&name).copied().flatten() {
        Some(token) => {
            let answer = ask(handle, Command::Release { token }).await;
            assert!(
                matches!(answer, Answer::Decided { outcome: Outcome::Released { .. }, .. }),
                "{answer:?}"
            );
            acknowledged.insert(name, None);
        }
        None => {
            let granted = token(&ask(handle, claim(&name, "h", *seq, 3_600_000)).await);
            acknowledged.insert(name, Some(granted));
        }
    }
}

async fn assert_all_there(handle: &replica::Handle, acknowledged: &Acknowledged, seed: u64) {
    let acknowledged = acknowledged.clone();
    read(handle, move |table, _| {
        for (name, token) in &acknowledged {
            let held = table.get(&key(name)).and_then(|lease| lease.grant).map(|grant| grant.token);
            assert_eq!(held, *token, "{name} after the power cut, seed {seed}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_power_cut_loses_nothing_acknowledged() {
    for seed in 0..40 {
        let mut chance = Chance(seed);
        let (mut disks, mut acknowledged, mut seq) = (Disks::default(), Acknowledged::new(), 0);
        let mut options = small();
        for _ in 0..4 {
            let member = disks.start(options).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let handle = member.handle();
            assert_all_there(&handle, &acknowledged, seed).await;
            for _ in 0..chance.below(150) {
                work(&handle, &mut chance, &mut seq, &mut acknowledged).await;
            }
            // Everything is as it was at this instant, but that of what was not synced chance keeps some.
            let mut keep = |_: Unsynced<'_>| chance.below(2) == 0;
            let snapshots = disks.snapshots.power_cut(&mut keep);
            let log = disks.log.power_cut(&mut keep);
            member.stop().await;
            (disks, options) = (Disks { log, snapshots }, begun());
        }
    }
}

#[tokio::test]
async fn a_failed_sync_ends_it_and_nothing_is_acknowledged_any_more() {
    let disks = Disks::default();
    let told = Arc::new(Mutex::new(String::new()));
    let on_fatal = {
        let told = Arc::clone(&told);
        Box::new(move |fatal: &io::Error| *told.lock().unwrap() = fatal.to_string())
    };
    let member = replica::start(small(), disks.parts(on_fatal)).await.unwrap();
    let handle = member.handle();
    token(&ask(&handle, claim("before", "h", 1, 3_600_000)).await);
    disks.log.on_act(Arc::new(|act| match act {
        Act::Sync => Err(io::Error::other("the cable came off")),
        _ => Ok(()),
    }));
    // Both that come now are answered.
    let answers = tokio::join!(
        ask_named(&handle, claim("during", "h", 2, 3_600_000), None, 500),
        ask_named(&handle, claim("at once", "h", 3, 3_600_000), None, 500)
    );
    assert!(matches!(answers, (Answer::Unknown, Answer::Unknown)), "they may be on the disk: {answers:?}");
    assert!(told.lock().unwrap().contains("the cable came off"), "{}", told.lock().unwrap());
    let answer = ask_named(&handle, claim("after", "h", 4, 3_600_000), None, 500).await;
    assert!(!matches!(answer, Answer::Decided { .. }), "{answer:?}");
    member.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_goes_on_by_itself_once_there_is_room() {
    let disks = Disks::default();
    // No snapshots: nothing but the operator makes room.
    let options = Options { snapshot_log_bytes: u64::MAX, ..small() };
    let member = disks.start(options).await.unwrap();
    let handle = member.handle();
    disks.log.set_room(Some(3 * SEGMENT));
    let mut acknowledged = Acknowledged::new();
    let (mut chance, mut seq) = (Chance(1), 0);
    // What is acknowledged until it is full, is; then a claim is refused, or its outcome is unknown.
    let full = loop {
        seq += 1;
        let name = format!("lease-{seq}");
        match ask_named(&handle, claim(&name, "h", seq, 3_600_000), None, 300).await {
            Answer::Decided { outcome: Outcome::Granted(granted), .. } => {
                acknowledged.insert(name, Some(granted.token))
            }
            other => break other,
        };
        assert!(seq < 5_000, "the disk never got full");
    };
    assert!(matches!(full, Answer::Unknown | Answer::Unavailable(Unavailable::DiskFull)), "{full:?}");
    let answer = ask_named(&handle, claim("more", "h", seq + 1, 3_600_000), None, 300).await;
    assert_eq!(answer, Answer::Unavailable(Unavailable::DiskFull));
    assert_eq!(handle.status().trouble, Some(Unavailable::DiskFull));
    disks.log.set_room(None);
    // Nobody has to lift a hand: it tries again every half second.
    let served = loop {
        match ask_named(&handle, claim("more", "h", seq + 2, 3_600_000), None, 5_000).await {
            Answer::Unavailable(Unavailable::DiskFull) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    acknowledged.insert("more".to_owned(), Some(token(&served)));
    assert_all_there(&handle, &acknowledged, 0).await;
    work(&handle, &mut chance, &mut seq, &mut acknowledged).await;
    member.stop().await;
    let member = disks.start(begun()).await.unwrap();
    assert_all_there(&member.handle(), &acknowledged, 0).await;
    member.stop().await;
}

#[tokio::test]
async fn a_snapshot_waits_for_room_and_goes_on_by_itself() {
    let disks = Disks::default();
    let member = disks.start(small()).await.unwrap();
    let handle = member.handle();
    disks.snapshots.set_room(Some(100));
    let (mut acknowledged, mut chance, mut seq) = (Acknowledged::new(), Chance(5), 0);
    while handle.status().trouble != Some(Unavailable::DiskFull) {
        // Enough work that a snapshot is due; the log has room, so that all of it is acknowledged.
        work(&handle, &mut chance, &mut seq, &mut acknowledged).await;
        assert!(seq < 100_000, "no snapshot was due");
    }
    let left = replica::log::Disk::list(&disks.snapshots).unwrap();
    assert!(left.is_empty(), "half a snapshot keeps the room that it waits for: {left:?}");
    disks.snapshots.set_room(None);
    while handle.status().trouble.is_some() {
        tokio::task::yield_now().await;
    }
    assert_all_there(&handle, &acknowledged, 5).await;
    member.stop().await;
    let member = disks.start(begun()).await.unwrap();
    assert_all_there(&member.handle(), &acknowledged, 5).await;
    member.stop().await;
}

#[tokio::test]
async fn a_snapshot_waits_out_a_read_only_disk_as_the_log_does() {
    let disks = Disks::default();
    let member = disks.start(small()).await.unwrap();
    let handle = member.handle();
    disks.snapshots.on_act(Arc::new(|act| match act {
        Act::Create => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        _ => Ok(()),
    }));
    let (mut acknowledged, mut chance, mut seq) = (Acknowledged::new(), Chance(6), 0);
    while handle.status().trouble != Some(Unavailable::DiskFull) {
        work(&handle, &mut chance, &mut seq, &mut acknowledged).await;
        assert!(seq < 100_000, "no snapshot was due");
    }
    disks.snapshots.calm();
    while handle.status().trouble.is_some() {
        tokio::task::yield_now().await;
    }
    assert_all_there(&handle, &acknowledged, 6).await;
    member.stop().await;
}

#[tokio::test]
async fn a_start_unlinks_an_older_snapshot_only_once_the_newer_ones_name_is_synced() {
    let disks = Disks::default();
    let member = disks.start(small()).await.unwrap();
    let (mut acknowledged, mut chance, mut seq) = (Acknowledged::new(), Chance(7), 0);
    for _ in 0..400 {
        work(&member.handle(), &mut chance, &mut seq, &mut acknowledged).await;
    }
    member.stop().await;
    // As a kill between the rename and the sync of the folder leaves it: the older one is there still.
    let older = format!("snapshot-{:016x}-{:016x}", 0, 1);
    disks.snapshots.put(&older, Vec::new());
    let acts = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&acts);
    disks.snapshots.on_act(Arc::new(move |act| {
        match act {
            Act::SyncFolder => hook.lock().unwrap().push("sync"),
            Act::Remove => hook.lock().unwrap().push("remove"),
            _ => {}
        }
        Ok(())
    }));
    let member = disks.start(begun()).await.unwrap();
    assert_eq!(acts.lock().unwrap()[..2], ["sync", "remove"]);
    assert_eq!(disks.snapshots.read(&older), None);
    member.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_ends_the_member_and_loses_nothing() {
    let disks = Disks::default();
    let mut member = disks.start(small()).await.unwrap();
    let handle = member.handle();
    disks.snapshots.on_act(Arc::new(|act| match act {
        Act::Write { .. } => Err(io::Error::other("the cable came off")),
        _ => Ok(()),
    }));
    let mut acknowledged = Acknowledged::new();
    for seq in 0.. {
        let name = format!("lease-{seq}");
        match ask(&handle, claim(&name, "h", seq, 3_600_000)).await {
            Answer::Decided { outcome: Outcome::Granted(granted), .. } => {
                acknowledged.insert(name, Some(granted.token));
            }
            // The last one may be in the log and may not.
            Answer::Unknown | Answer::Unavailable(Unavailable::Stopping) => break,
            other => panic!("{other:?}"),
        }
        assert!(seq < 5_000, "the engine outlived its snapshot");
    }
    member.ended().await;
    let answer = ask(&handle, claim("after", "h", 1, 3_600_000)).await;
    assert_eq!(answer, Answer::Unavailable(Unavailable::Stopping));
    member.stop().await;
    disks.snapshots.calm();
    let member = disks.start(begun()).await.unwrap();
    assert_all_there(&member.handle(), &acknowledged, 0).await;
    member.stop().await;
}

#[tokio::test]
async fn a_stalled_disk_delays_answers_and_ends_nothing_early() {
    let disks = Disks::default();
    let clock = Arc::new(JumpingClock::default());
    let parts = disks.parts(Box::new(|fatal| panic!("{fatal}")));
    let parts = replica::Parts { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..parts };
    let member = replica::start(small(), parts).await.unwrap();
    let handle = member.handle();
    let granted = token(&ask(&handle, claim("a", "h", 1, 60_000)).await);
    let bystander = token(&ask(&handle, claim("b", "h", 2, 60_000)).await);
    let stalled = Arc::new(AtomicBool::new(true));
    let hook = Arc::clone(&stalled);
    disks.log.on_act(Arc::new(move |_| {
        while hook.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Ok(())
    }));
    // The extend is in flight when its caller stops waiting: it may be done yet.
    let answer = ask_named(&handle, extend(granted, 60_000), None, 200).await;
    assert_eq!(answer, Answer::Unknown);
    // It stands for an hour, sixty times as long as the grants.
    clock.jump(Ttl::from_millis(3_600_000));
    stalled.store(false, Ordering::Release);
    // These are stamped after the stall, of which at most a second counts: both grants are there, also the one that nobody
    // extended before.
    assert_eq!(token(&ask(&handle, extend(granted, 60_000)).await), granted);
    assert_eq!(token(&ask(&handle, extend(bystander, 60_000)).await), bystander);
    read(&handle, |table, _| assert_eq!(table.count(&lease::Filter::default()), 2)).await;
    let skipped = handle.status().lease_clock_skipped;
    assert!(skipped > Ttl::from_millis(3_590_000), "only {skipped} were skipped");
    member.stop().await;
}

#[tokio::test]
async fn every_flipped_bit_of_a_snapshot_is_refused_with_its_file() {
    let disks = Disks::default();
    let member = disks.start(small()).await.unwrap();
    let handle = member.handle();
    let (mut acknowledged, mut chance, mut seq) = (Acknowledged::new(), Chance(3), 0);
    for _ in 0..400 {
        work(&handle, &mut chance, &mut seq, &mut acknowledged).await;
    }
    member.stop().await;
    let name = replica::log::Disk::list(&disks.snapshots).unwrap().pop().expect("a snapshot");
    let whole = disks.snapshots.read(&name).unwrap();
    // Each byte, and over them each bit in turn; a start reads the snapshot before anything else.
    for position in 0..whole.len() {
        let snapshots = disks.snapshots.fork();
        snapshots.damage(&name, |bytes| bytes[position] ^= 1 << (position % 8));
        let damaged = Disks { log: disks.log.fork(), snapshots };
        let error = damaged
            .start(begun())
            .await
            .err()
            .unwrap_or_else(|| panic!("byte {position} was accepted"))
            .to_string();
        assert!(error.contains(&name), "byte {position}: {error}");
    }
    for length in (0..whole.len()).step_by(7) {
        let snapshots = disks.snapshots.fork();
        snapshots.damage(&name, |bytes| bytes.truncate(length));
        let damaged = Disks { log: disks.log.fork(), snapshots };
        assert!(damaged.start(begun()).await.is_err(), "a snapshot of {length} bytes was accepted");
    }
}

#[tokio::test]
async fn a_log_without_its_snapshot_is_refused() {
    let disks = Disks::default();
    let member = disks.start(small()).await.unwrap();
    let (mut acknowledged, mut chance, mut seq) = (Acknowledged::new(), Chance(3), 0);
    // Enough entries that the log behind the snapshot has been purged: a thousand are kept.
    for _ in 0..2_500 {
        work(&member.handle(), &mut chance, &mut seq, &mut acknowledged).await;
    }
    member.stop().await;
    let bare = Disks { log: disks.log.fork(), ..Disks::default() };
    let error = bare.start(begun()).await.err().expect("it was accepted").to_string();
    assert!(error.contains("no snapshot"), "{error}");
}
