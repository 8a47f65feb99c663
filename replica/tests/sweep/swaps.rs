//! Every file lost, and every file put back from an older copy beside newer ones.

use std::collections::BTreeMap;
use std::path::Path;

use replica::Options;

use crate::common::*;
use crate::folder::{Data, Truth, life};

/// Entries that stay in the log behind a snapshot, with room to spare.
const ENTRIES: usize = 550;

/// A member that was stopped several times, and its folder as it was each time. It has made snapshots and given back segments.
fn grown(parent: &Path) -> (Data, Vec<Data>, Truth) {
    let options = Options { segment_bytes: Some(8 * 1024), snapshot_log_bytes: 24 * 1024, ..options() };
    let mut data = Data { root: parent.join("data"), options };
    let (mut copies, mut held) = (Vec::new(), Vec::new());
    let mut seq = 0;
    // A little and much in turn, so that a segment and a snapshot are there before and after.
    for more in [2, 350, 3, ENTRIES, 3, 300, 3].into_iter().chain(std::iter::repeat(3)) {
        let before = if data.root.exists() { newest_snapshot(&data) } else { None };
        life(async {
            let member = start(&data.root, data.options.clone()).await.unwrap();
            let handle = member.handle();
            for _ in 0..more {
                seq += 1;
                let name = format!("lease-{}", seq % 20);
                let granted = token(&ask(&handle, claim(&name, "h", seq, 3_600_000)).await);
                held.retain(|(other, _)| *other != name);
                held.push((name, granted));
            }
            // What was begun is to be there, so that the copies differ by a whole snapshot.
            while more > 300 && newest_snapshot(&data) == before {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            member.stop().await;
        });
        data.options.begun = true;
        // Until there is an older copy of the last segment too.
        if copies.len() >= 7 && copies.last().is_some_and(|copy: &Data| copy.tail() == data.tail()) {
            break;
        }
        copies.push(data.copy(&parent.join(format!("copy-{}", copies.len()))));
    }
    let truth = Truth::of(&data, held);
    (data, copies, truth)
}

/// Whether it is refused, and in which words: with the path of a file of that room. Panics where something is lost in silence.
fn judge(data: &Data, truth: &Truth, name: &str, what: &str) -> Option<String> {
    let error = truth.started(data).err()?;
    let room = name.split('/').next().unwrap();
    assert!(error.contains(data.root.join(room).to_str().unwrap()), "{what}: {error}");
    Some(error)
}

#[test]
fn a_file_that_is_missing_is_refused_by_name_or_harmless() {
    let parent = tempfile::tempdir().unwrap();
    let (data, _, truth) = grown(parent.path());
    let mut files = data.files();
    files.retain(|(name, _)| name.starts_with("log/") || is_snapshot(name));
    let mut harmless = Vec::new();
    for (number, (name, _)) in files.iter().enumerate() {
        let copy = data.copy(&parent.path().join(format!("without-{number}")));
        copy.remove(name);
        match judge(&copy, &truth, name, name) {
            None => harmless.push(name.as_str()),
            // Of a snapshot nothing but its absence is known.
            Some(error) => {
                assert!(error.contains(name) || error.contains("there is no snapshot"), "{name}: {error}")
            }
        }
    }
    // Only what was made ahead of time holds nothing.
    let tail = data.tail();
    assert!(
        harmless.iter().all(|name| *name > tail.as_str() && name.starts_with("log/")),
        "{harmless:?}, and the last is {tail}"
    );
    assert!(files.len() > 10 && harmless.len() <= 1, "{harmless:?} of {}", files.len());
}

#[test]
fn an_older_copy_of_a_file_is_refused_or_harmless_but_for_that_of_the_last_segment() {
    let parent = tempfile::tempdir().unwrap();
    let (data, copies, truth) = grown(parent.path());
    let files = data.files();
    let tail = data.tail();
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for (older, copy) in copies.iter().enumerate() {
        for (name, bytes) in copy.files() {
            let now = files.iter().find(|(other, _)| *other == name);
            if now.is_some_and(|(_, now)| *now == bytes) {
                continue;
            }
            let mixed = data.copy(&parent.path().join(format!("mixed-{older}-{}", name.replace('/', "-"))));
            mixed.put(&name, &bytes);
            let what = format!("{name} of copy {older}");
            if name == tail && mixed.log().is_ok() {
                assert_is_an_earlier_end(&mixed, &truth, &what);
                *classes.entry("an earlier end").or_default() += 1;
                continue;
            }
            let class = if judge(&mixed, &truth, &name, &what).is_some() { "refused" } else { "harmless" };
            *classes.entry(class).or_default() += 1;
            std::fs::remove_dir_all(&mixed.root).unwrap();
        }
    }
    println!("{classes:?}");
    assert!(classes.values().sum::<usize>() >= 10, "{classes:?}");
}

/// What the log cannot see, and docs/contract.md says so: its last segment as it was. No other file says how far it had come.
fn assert_is_an_earlier_end(mixed: &Data, truth: &Truth, what: &str) {
    let found = mixed.log().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(truth.begins_with(&found), "{what}: what is there is not what was");
}

#[test]
fn older_snapshots_are_never_taken_for_the_newest() {
    let parent = tempfile::tempdir().unwrap();
    let (data, copies, truth) = grown(parent.path());
    let newest = newest_snapshot(&data).unwrap();
    let older: BTreeMap<String, Vec<u8>> = copies
        .iter()
        .flat_map(Data::files)
        .filter(|(name, _)| is_snapshot(name) && *name != newest)
        .collect();
    assert!(older.len() >= 2, "{older:?}");
    let (mut gaps, mut harmless) = (0, 0);
    for (number, (name, bytes)) in older.iter().enumerate() {
        let at = |what: &str| parent.path().join(format!("{what}-{number}"));
        // Under the newest one's name.
        let renamed = data.copy(&at("renamed"));
        renamed.put(&newest, bytes);
        let error = judge(&renamed, &truth, &newest, name).expect("another's name is refused");
        let own = name.rsplit('/').next().unwrap();
        assert!(
            error.contains(&newest) && error.contains(&format!("its header is that of {own}")),
            "{error}"
        );
        // In its place, under its own name: refused where the log has given back what follows it.
        let replaced = data.copy(&at("replaced"));
        replaced.remove(&newest);
        replaced.put(name, bytes);
        match judge(&replaced, &truth, name, name) {
            Some(error) => {
                assert!(error.contains(own) && error.contains("the entries between are lost"), "{error}");
                gaps += 1;
            }
            None => harmless += 1,
        }
        // Beside it: the newer one counts, and the older one goes.
        let beside = data.copy(&at("beside"));
        beside.put(name, bytes);
        assert_eq!(judge(&beside, &truth, name, name), None);
        assert!(beside.files().iter().all(|(other, _)| other != name), "{name} is still there");
    }
    println!("{} older snapshots: {gaps} refused, {harmless} harmless", older.len());
    assert!(gaps >= 1);
}

fn newest_snapshot(data: &Data) -> Option<String> {
    data.files().into_iter().map(|(name, _)| name).rfind(|name| is_snapshot(name))
}

/// What one that is being written leaves is none.
fn is_snapshot(name: &str) -> bool {
    name.starts_with("snapshots/") && !name.ends_with(".tmp")
}

#[test]
fn the_last_segment_from_an_older_copy_is_a_log_that_ends_there() {
    let parent = tempfile::tempdir().unwrap();
    let mut data = Data { root: parent.path().join("data"), options: options() };
    let (mut held, mut older) = (Vec::new(), Vec::new());
    for run in 0..2 {
        older = if run > 0 { data.files() } else { Vec::new() };
        life(async {
            let member = start(&data.root, data.options.clone()).await.unwrap();
            let name = format!("lease-{run}");
            let granted = token(&ask(&member.handle(), claim(&name, "h", 1, 3_600_000)).await);
            held.push((name, granted));
            member.stop().await;
        });
        data.options.begun = true;
    }
    let truth = Truth::of(&data, held);
    let tail = data.tail();
    let (name, bytes) = older.iter().find(|(name, _)| *name == tail).unwrap();
    data.put(name, bytes);
    assert_is_an_earlier_end(&data, &truth, name);
}
