//! Any records, any batches, the power cut at any moment, any part of what was not synced lost: what is found lies between
//! what was acknowledged and what was submitted. Then on from there, and again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use log_support::{
    Bench, Model, Progress, check_between, cutting, entry, id, open_memory, small, told, vote,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use replica::log::{MemoryDisk, OpenError, Record};

/// A wish, made a record that fits when its turn comes.
#[derive(Clone, Debug)]
enum Wish {
    Entry,
    Entries(u64),
    Vote,
    Commit(u64),
    Truncate(u64),
    Purge(u64),
    /// A snapshot came from a leader that is ahead.
    Leap(u64),
    /// What was submitted so far goes into batches.
    Flush,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = prop_oneof![
        6 => Just(Wish::Entry),
        3 => (2..40_u64).prop_map(Wish::Entries),
        1 => Just(Wish::Vote),
        2 => (0..10_u64).prop_map(Wish::Commit),
        1 => (0..10_u64).prop_map(Wish::Truncate),
        1 => (0..60_u64).prop_map(Wish::Purge),
        1 => (1..30_u64).prop_map(Wish::Leap),
        6 => Just(Wish::Flush),
    ];
    prop::collection::vec(wish, 1..80)
}

/// The records that grant a wish, given what is there.
fn grant(wish: &Wish, state: &Model) -> Vec<Record> {
    let next = state.next();
    let term = state.entries.last().or(state.purged.as_ref()).map_or(1, |id| id.term);
    let back = |steps: u64| state.entries.iter().rev().nth(steps as usize).copied();
    match wish {
        Wish::Flush => Vec::new(),
        Wish::Entry => vec![entry(term, next)],
        Wish::Entries(count) => (next..next + count).map(|index| entry(term, index)).collect(),
        Wish::Vote => vec![vote(state.vote.map_or(1, |vote| vote.term + 1), 2)],
        Wish::Commit(steps) => back(*steps).map(Record::Committed).into_iter().collect(),
        Wish::Truncate(steps) => {
            let after =
                back(*steps).filter(|id| state.committed.is_none_or(|committed| committed.index <= id.index));
            let records = after
                .map(|id| vec![Record::Truncate { after: Some(id.index) }, entry(term + 1, id.index + 1)]);
            records.unwrap_or_default()
        }
        Wish::Purge(steps) => back(*steps).map(|upto| Record::Purge { upto }).into_iter().collect(),
        Wish::Leap(steps) => vec![Record::Purge { upto: id(term, next + steps) }],
    }
}

/// A stream of bits from a seed (splitmix64).
fn bits(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) & 1 == 1
    }
}

struct Survivor {
    disk: MemoryDisk,
    progress: Progress,
}

/// Arranges that the power is cut before act number `moment`: what survives it is kept, and the run goes on unharmed.
fn cut_power(disk: &MemoryDisk, bench: &Bench, moment: usize, seed: u64) -> Arc<Mutex<Option<Survivor>>> {
    let survivor = Arc::new(Mutex::new(None));
    let (kept, watched, progress) = (survivor.clone(), disk.clone(), bench.progress.clone());
    let acts = AtomicUsize::new(0);
    disk.on_act(Arc::new(move |_| {
        if acts.fetch_add(1, Ordering::SeqCst) == moment {
            let mut bits = bits(seed);
            let disk = watched.power_cut(|_| bits());
            *kept.lock().unwrap() = Some(Survivor { disk, progress: *progress.lock().unwrap() });
        }
        Ok(())
    }));
    survivor
}

fn run(bench: &mut Bench, wishes: &[Wish]) {
    for wish in wishes {
        let records = grant(wish, bench.state());
        if records.is_empty() {
            bench.flush().expect("this disk does not fail");
        } else {
            bench.submit(records);
        }
    }
    bench.flush().expect("this disk does not fail");
}

static REFUSED: AtomicU64 = AtomicU64::new(0);

/// One life: from what `disk` holds until the power is cut, or the wishes end. The disk of the next life.
fn live(disk: &MemoryDisk, wishes: &[Wish], moment: usize, seed: u64) -> MemoryDisk {
    let mut bench = Bench::new(disk, cutting());
    let survivor = cut_power(disk, &bench, moment, seed);
    run(&mut bench, wishes);
    disk.calm();
    assert!(bench.refused.lock().unwrap().is_empty(), "the wishes are made to fit");
    let survivor = survivor.lock().unwrap().take();
    let Survivor { disk, progress } =
        survivor.unwrap_or_else(|| Survivor { disk: disk.fork(), progress: bench.progress() });
    // A single voter may refuse, but what it opens must be the same.
    let strict = match open_memory(&disk.fork(), small()) {
        Ok((recovered, _)) => Some(told(&recovered)),
        Err(OpenError::UnprovableTail(_)) => None,
        Err(error) => panic!("a power cut is not damage: {error}"),
    };
    REFUSED.fetch_add(u64::from(strict.is_none()), Ordering::SeqCst);
    let (recovered, _) = open_memory(&disk.fork(), cutting()).unwrap_or_else(|error| panic!("{error}"));
    let found = told(&recovered);
    check_between(&bench.states, progress, &found, "after the power cut");
    assert!(strict.is_none_or(|strict| strict == found));
    disk
}

#[test]
fn leaves_a_state_between_acknowledged_and_submitted() {
    let config = ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() };
    let lives = prop::collection::vec((wishes(), 0..200_usize, any::<u64>()), 1..4);
    let ran = TestRunner::new(config).run(&lives, |lives| {
        let mut disk = MemoryDisk::new();
        for (wishes, moment, seed) in lives {
            disk = live(&disk, &wishes, moment, seed);
        }
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    let refused = REFUSED.load(Ordering::SeqCst);
    println!("{refused} ends that a single voter would refuse");
    assert!(refused > 5, "{refused}: the cuts do not reach batches of several sectors");
}
