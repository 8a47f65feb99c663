//! A backup from a running replica, and a new cluster from it: what is kept, what ends, and what is refused by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod common;

use std::sync::Arc;

use common::*;
use lease::{Command, Outcome, Recovery, Refusal, Token, Ttl, Why};
use replica::log::{Disk, MemoryDisk};
use replica::{Answer, Backup, BackupError, Handle, Home, Options, Restored};

const NEW_CLUSTER: u128 = 77;
const EPOCH: u32 = 200_000_000;

/// What `handle`'s member gives as a backup.
fn given(handle: &Handle) -> Vec<u8> {
    let mut bytes = Vec::new();
    let all = handle.freeze().give(options().cluster, 1, |piece| {
        bytes.extend_from_slice(&piece);
        Ok::<(), ()>(())
    });
    all.unwrap();
    bytes
}

fn read_back(bytes: &[u8]) -> Result<Backup, BackupError> {
    let disk = MemoryDisk::new();
    let file = disk.create("b").unwrap();
    file.write_at(0, bytes).unwrap();
    Backup::read("b".to_owned(), file)
}

fn restored_on(disks: &Disks, backup: Backup, how: Recovery) -> Restored {
    let home = Home {
        cluster: NEW_CLUSTER,
        member: 4,
        log_disk: Arc::new(disks.log.clone()),
        snapshot_disk: Arc::new(disks.snapshots.clone()),
    };
    backup.restore(&home, EPOCH, how).unwrap()
}

fn new_options() -> Options {
    Options { cluster: NEW_CLUSTER, member: 4, begun: true, segment_bytes: None, ..options() }
}

/// A backup with two grants, one of them pinned, and the two tokens.
async fn backup_of_two() -> (Vec<u8>, [Token; 2]) {
    let disks = Disks::default();
    let member = disks.start(options()).await.unwrap();
    let handle = member.handle();
    let short = token(&ask(&handle, claim("short", "h1", 1, 1_000)).await);
    let long = token(&ask(&handle, claim("long", "h2", 1, 600_000)).await);
    let pin = Command::Pin {
        key: key("long"),
        entity: lease::Entity::parse("machine-0").unwrap(),
        why: lease::Reason::parse("repair").unwrap(),
    };
    ask(&handle, pin).await;
    let bytes = given(&handle);
    member.stop().await;
    (bytes, [short, long])
}

fn refused(answer: Answer) -> Refusal {
    match answer {
        Answer::Decided { outcome: Outcome::Refused(refusal), .. } => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_new_cluster_begins_with_it_and_keeps_its_keys_for_their_ttl() {
    let (bytes, [short, long]) = backup_of_two().await;
    let backup = read_back(&bytes).unwrap();
    assert_eq!((backup.cluster(), backup.member(), backup.held()), (7, 1, 2));
    assert_eq!((backup.voters(), backup.bytes()), (vec![1], bytes.len() as u64));
    let revision = backup.revision();

    let disks = Disks::default();
    let restored = restored_on(&disks, backup, Recovery::Restore);
    assert_eq!((restored.ended, restored.unclaimable, restored.next_token.epoch()), (2, 2, EPOCH));
    let member = disks.start(new_options()).await.unwrap();
    let handle = member.handle();
    for lost in [short, long] {
        let Refusal::Lost { end: Some(end) } = refused(ask(&handle, extend(lost, 5_000)).await) else {
            panic!()
        };
        assert_eq!(end.why, Why::Restored);
    }
    for name in ["short", "long"] {
        let answer = ask(&handle, claim(name, "h3", 1, 5_000)).await;
        assert!(matches!(refused(answer), Refusal::Cooldown { holder: None, .. }), "{name} is unclaimable");
    }
    // By the lease clock: a wait fires once the key is free, and no sooner.
    let (sender, freed) = tokio::sync::oneshot::channel();
    let before = read(&handle, |_, at| at.now).await;
    let tell = move |waited| sender.send(waited).unwrap();
    handle.wait(key("short"), None, Box::new(tell));
    let replica::Waited::Free(at) = freed.await.unwrap() else { panic!() };
    assert!(
        before.until(at.now) >= Ttl::from_millis(400),
        "the rest of the second passed on the lease clock"
    );
    assert!(at.revision > revision);
    let next = token(&ask(&handle, claim("short", "h3", 1, 5_000)).await);
    assert!(next >= restored.next_token && next > long);
    assert_eq!(read(&handle, |table, _| table.get(&key("long")).unwrap().pins.len()).await, 1);
    member.stop().await;

    // It is a member as any other: it starts again, and its next snapshot takes the restored one's place.
    let member = disks.start(Options { snapshot_log_bytes: 1, ..new_options() }).await.unwrap();
    let handle = member.handle();
    assert_eq!(token(&ask(&handle, extend(next, 60_000)).await), next);
    let first = snapshot_of(&disks);
    let mut seq = 2;
    while snapshot_of(&disks) == first {
        ask(&handle, claim(&format!("more-{seq}"), "h3", seq, 60_000)).await;
        seq += 1;
    }
    member.stop().await;
    let member = disks.start(new_options()).await.unwrap();
    assert_eq!(token(&ask(&member.handle(), extend(next, 60_000)).await), next);
    member.stop().await;
}

fn snapshot_of(disks: &Disks) -> Vec<String> {
    let names = disks.snapshots.list().unwrap();
    names.into_iter().filter(|name| !name.ends_with(".tmp")).collect()
}

#[tokio::test]
async fn discarded_grants_leave_every_key_free() {
    let (bytes, [short, long]) = backup_of_two().await;
    let disks = Disks::default();
    let restored = restored_on(&disks, read_back(&bytes).unwrap(), Recovery::DiscardGrants);
    assert_eq!((restored.ended, restored.unclaimable), (2, 0));
    let member = disks.start(new_options()).await.unwrap();
    let next = token(&ask(&member.handle(), claim("long", "h3", 1, 5_000)).await);
    assert!(next > short && next > long);
    member.stop().await;
}

#[tokio::test]
async fn a_restored_member_whose_log_is_lost_does_not_begin_another() {
    let (bytes, _) = backup_of_two().await;
    let disks = Disks::default();
    restored_on(&disks, read_back(&bytes).unwrap(), Recovery::Restore);
    let lost = Disks { log: MemoryDisk::new(), snapshots: disks.snapshots };
    let error = lost.start(new_options()).await.err().expect("its vote is gone").to_string();
    assert!(error.contains("log"), "{error}");
}

#[tokio::test]
async fn nor_is_it_taken_for_a_member_of_the_cluster_that_it_comes_from() {
    let (bytes, _) = backup_of_two().await;
    let disks = Disks::default();
    restored_on(&disks, read_back(&bytes).unwrap(), Recovery::Restore);
    let error = disks.start(options()).await.err().expect("it is another cluster's").to_string();
    assert!(error.contains(&format!("{NEW_CLUSTER:032x}")), "{error}");
}

#[tokio::test]
async fn every_cut_and_every_flipped_bit_is_refused() {
    let (bytes, _) = backup_of_two().await;
    for length in 0..bytes.len() {
        assert!(read_back(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
    for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        assert!(read_back(&flipped).is_err(), "byte {at}, bit {bit}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let error = read_back(&longer).unwrap_err().to_string();
    assert!(error.contains("bytes follow the trailer") && error.contains("use another copy"), "{error}");
}

#[tokio::test]
async fn what_is_no_backup_or_newer_is_named() {
    let (bytes, _) = backup_of_two().await;
    let said = |bytes: &[u8]| read_back(bytes).unwrap_err().to_string();
    let other = b"# a file with notes, and of no backup".as_slice();
    assert!(said(other).contains("b is no backup") && said(other).contains("`tenure backup` wrote"));

    let mut newer = bytes.clone();
    newer[8] = 3;
    assert!(said(&newer).contains("is damaged at byte 0: the header's checksum"), "{}", said(&newer));
    let end = 16 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let checksum = crc32c::crc32c(&newer[..end]);
    newer[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
    let text = said(&newer);
    assert!(
        text.contains("format version 3, and this program reads up to 2; upgrade this program"),
        "{text}"
    );

    // A section of tomorrow, under checksums that are right.
    let header = 16 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize + 4;
    let mut section = bytes.clone();
    let length = u32::from_le_bytes(section[header + 1..header + 5].try_into().unwrap()) as usize;
    section[header + 10] = 2;
    let checksum = crc32c::crc32c(&section[header + 9..header + 9 + length]);
    section[header + 5..header + 9].copy_from_slice(&checksum.to_le_bytes());
    let text = said(&section);
    assert!(text.contains("head section is in version 2, and this program reads up to 1: upgrade"), "{text}");
}
