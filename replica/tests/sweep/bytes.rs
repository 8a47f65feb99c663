//! Every byte of a small folder: one bit of it flipped, all bits flipped, and the file cut there.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use lease::Recovery;
use replica::log::{self, Disk, Folder, Identity, Log, LogId, MemoryDisk, Record, Vote};
use replica::{Backup, Home, Options};

use crate::common::*;
use crate::folder::{Data, File, Truth, is_written, life, place, place_in_log};

const SEGMENT: u64 = 4096;

/// A member whose cluster began with a backup, so that its log begins behind its snapshot, and that has run twice since: a snapshot,
/// three segments that are written to, and a spare.
fn small(root: &Path) -> (Data, Truth) {
    let options = Options { segment_bytes: Some(SEGMENT), begun: true, ..options() };
    let data = Data { root: root.to_owned(), options };
    begin(&data, life(restored()));
    let mut held = Vec::new();
    for run in 0..2 {
        life(async {
            let member = start(&data.root, data.options.clone()).await.unwrap();
            let handle = member.handle();
            while held.is_empty() || data.segments() < 2 + run {
                let name = format!("lease-{}", held.len());
                let granted = token(&ask(&handle, claim(&name, "h", 1, 3_600_000)).await);
                held.push((name, granted));
            }
            member.stop().await;
        });
    }
    let truth = Truth::of(&data, held);
    (data, truth)
}

/// A snapshot with a few leases in it, and the entry that it ends at.
async fn restored() -> (File, LogId) {
    let old = Disks::default();
    let member = old.start(options()).await.unwrap();
    for name in ["a", "b"] {
        token(&ask(&member.handle(), claim(name, "h", 1, 3_600_000)).await);
    }
    let (backup, disk) = (MemoryDisk::new(), MemoryDisk::new());
    let file = backup.create("b").unwrap();
    let mut end = 0;
    let given = member.handle().freeze().give(7, 1, |piece| {
        end += piece.len() as u64;
        file.write_at(end - piece.len() as u64, &piece)
    });
    given.unwrap();
    member.stop().await;
    let backup = Backup::read("b".to_owned(), file).unwrap();
    let last = LogId { term: backup.term(), index: backup.index() };
    let home = Home {
        cluster: options().cluster,
        member: options().member,
        log_disk: Arc::new(MemoryDisk::new()),
        snapshot_disk: Arc::new(disk.clone()),
    };
    backup.restore(&home, 1, Recovery::DiscardGrants).unwrap();
    let name = disk.list().unwrap().remove(0);
    let bytes = disk.read(&name).unwrap();
    ((format!("snapshots/{name}"), bytes), last)
}

/// What a restore leaves, but with small segments.
fn begin(data: &Data, ((name, bytes), last): (File, LogId)) {
    for room in crate::folder::ROOMS {
        std::fs::create_dir_all(data.root.join(room)).unwrap();
    }
    data.put(&name, &bytes);
    let disk = Arc::new(Folder::open(&data.root.join("log")).unwrap());
    let identity = Identity { cluster: data.options.cluster, node: data.options.member, group: 0 };
    let small = log::Options { segment_bytes: SEGMENT, ..log::Options::default() };
    let log =
        Log::start(log::open(disk, identity, small).unwrap().1, Box::new(|error| panic!("{error}"))).unwrap();
    let vote = Vote { term: last.term + 1, node: 1, committed: false };
    let (told, done) = channel();
    let records = vec![Record::Vote(vote), Record::Purge { upto: last }];
    log.append(records, Box::new(move |result| told.send(result).unwrap()));
    done.recv().unwrap().unwrap();
    log.stop();
}

/// What became of one damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Refused,
    Harmless,
}

/// What one byte of a file becomes.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Xor(u8),
    Cut,
}

const DAMAGES: [Damage; 3] = [Damage::Xor(1), Damage::Xor(0xff), Damage::Cut];

fn damage(data: &Data, (name, bytes): &File, at: usize, damage: Damage) {
    let file = OpenOptions::new().write(true).open(data.root.join(name)).unwrap();
    match damage {
        Damage::Xor(bits) => file.write_all_at(&[bytes[at] ^ bits], at as u64).unwrap(),
        Damage::Cut => file.set_len(at as u64).unwrap(),
    }
}

fn mend(data: &Data, (name, bytes): &File, at: usize, damage: Damage) {
    let file = OpenOptions::new().write(true).open(data.root.join(name)).unwrap();
    match damage {
        Damage::Xor(_) => file.write_all_at(&bytes[at..=at], at as u64).unwrap(),
        Damage::Cut => file.write_all_at(&bytes[at..], at as u64).unwrap(),
    }
}

/// Opens what is damaged at byte `at` of a file. The log is read on its own where the damage is there: the table follows from it.
fn judge(data: &Data, truth: &Truth, (name, _): &File, at: usize, how: Damage) -> Class {
    let what = || format!("{name} byte {at} {how:?}");
    let (path, byte) = match name.starts_with("log/") {
        true => match data.log() {
            Ok(found) => {
                assert!(truth.is_log(&found), "{}: something is gone, and nothing is said", what());
                return Class::Harmless;
            }
            Err(error) => place_in_log(&error),
        },
        false => match data.state() {
            Ok(found) => {
                assert!(truth.is_state(&found), "{}: something is gone, and nothing is said", what());
                return Class::Harmless;
            }
            Err(error) => place(&error),
        },
    };
    assert!(path.ends_with(name.as_str()), "{}: {path} is named instead", what());
    assert!(byte.is_some_and(|byte| byte <= at as u64), "{}: byte {byte:?} is named instead", what());
    Class::Refused
}

/// Every damage of one file, on a copy of the folder, and how often each came to what.
fn sweep(data: &Data, truth: &Truth, file: &File) -> BTreeMap<Class, usize> {
    let mut classes = BTreeMap::new();
    for (at, how) in (0..file.1.len()).flat_map(|at| DAMAGES.map(|how| (at, how))) {
        damage(data, file, at, how);
        *classes.entry(judge(data, truth, file, at, how)).or_default() += 1;
        mend(data, file, at, how);
    }
    assert!(data.files().contains(file), "{} is as it was again", file.0);
    classes
}

#[test]
fn every_byte_flipped_or_cut_off_is_refused_by_name_or_harmless() {
    let parent = tempfile::tempdir().unwrap();
    let (data, truth) = small(&parent.path().join("data"));
    let files = data.files();
    let counts: Vec<BTreeMap<Class, usize>> = thread::scope(|scope| {
        let runs: Vec<_> = files
            .iter()
            .map(|file| {
                let copy = data.copy(&parent.path().join(file.0.replace('/', "-")));
                let truth = &truth;
                scope.spawn(move || sweep(&copy, truth, file))
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let (mut segments, mut snapshots) = (0, 0);
    for ((name, bytes), classes) in files.iter().zip(&counts) {
        println!("{name}, {} B: {classes:?}", bytes.len());
        let all = 3 * bytes.len();
        assert_eq!(classes.values().sum::<usize>(), all);
        let refused = classes.get(&Class::Refused).copied().unwrap_or(0);
        match (name.starts_with("log/"), is_written(name, bytes)) {
            // Cut anywhere, and flipped wherever it says something.
            (true, true) => assert!(refused > 2 * bytes.len(), "{name}: {classes:?}"),
            (true, false) => assert_eq!(refused, 0, "{name} was only made ahead of time"),
            (false, _) => assert_eq!(refused, all, "no byte of a snapshot means nothing"),
        }
        segments += usize::from(is_written(name, bytes));
        snapshots += usize::from(name.starts_with("snapshots/"));
    }
    assert_eq!((segments, snapshots), (3, 1));
}

#[test]
fn a_member_starts_where_it_is_harmless_and_leaves_all_as_it_is_where_it_refuses() {
    let parent = tempfile::tempdir().unwrap();
    let (data, truth) = small(&parent.path().join("data"));
    let mut starts = BTreeMap::from([(Class::Refused, 0), (Class::Harmless, 0)]);
    for (number, file) in data.files().iter().enumerate() {
        for (step, how) in DAMAGES.iter().enumerate() {
            for at in (step * 7..file.1.len()).step_by(1_201) {
                let copy = data.copy(&parent.path().join(format!("{number}-{step}-{at}")));
                damage(&copy, file, at, *how);
                let class = judge(&copy, &truth, file, at, *how);
                let started = truth.started(&copy);
                assert_eq!(
                    started.is_ok(),
                    class == Class::Harmless,
                    "{} byte {at} {how:?}: {started:?}",
                    file.0
                );
                *starts.entry(class).or_default() += 1;
                std::fs::remove_dir_all(&copy.root).unwrap();
            }
        }
    }
    println!("{starts:?}");
    assert!(starts.values().all(|count| *count >= 10), "{starts:?}");
}
