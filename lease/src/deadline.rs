//! What ends next: an index of deadlines that extends never touch, and that is exact all the same.
//!
//! Each slot with a deadline has one entry, in the bucket of some time **at or before** its deadline. An
//! extend only moves the deadline further off, so the entry stays good. When a bucket is the first one, it
//! is opened: each entry is looked up, and moves on to the bucket of its deadline as it stands by then, or
//! stays in the opened bucket, which is an exact ordered set. So the first entry of the first bucket, looked up
//! once more, is the earliest deadline of all, in order of (deadline, token), whatever the index went
//! through before: a restored table has another inner state and gives the same answers.
//!
//! ```text
//!     buckets  ──▶  [opened: (at, token) → slot, ordered] [closed: slots] [closed: slots] ...
//!     marks    ──▶  slot → the bucket that has its one good entry
//! ```
//!
//! An entry whose slot is marked elsewhere is stale. Each bucket counts its stale entries and is cleaned
//! when half of it is stale, so a key that is claimed and released for ever takes no more room than its peak.

use std::collections::{BTreeMap, BTreeSet};

use crate::Time;
use crate::record::{Due, Slot};

/// A bucket is 2^22 ns wide: about 4 ms, a few hundred entries of a million leases of 15 s.
const BUCKET_BITS: u32 = 22;
/// Smaller buckets are cleaned only when all of their entries are stale.
const CLEAN_MIN: usize = 32;
const NOWHERE: u64 = u64::MAX;
/// Marks of one chunk.
const MARKS: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    buckets: BTreeMap<u64, Bucket>,
    marks: Marks,
}

/// Of each slot, the bucket that has its one good entry. They lie in chunks that are made as they are needed, so that a lone record in
/// a slot far away, which a snapshot may have, takes no memory for all those before it.
#[derive(Debug, Default)]
struct Marks(Vec<Option<Box<[u64; MARKS]>>>);

#[derive(Debug)]
struct Bucket {
    entries: Entries,
    stale: usize,
}

#[derive(Debug)]
enum Entries {
    Closed(Vec<Slot>),
    Opened(BTreeSet<(Due, Slot)>),
}

fn bucket_of(at: Time) -> u64 {
    at.as_nanos() >> BUCKET_BITS
}

impl Deadlines {
    /// Makes sure that `slot` is met no later than `due`.
    pub(crate) fn place(&mut self, slot: Slot, due: Due) {
        let bucket = bucket_of(due.at);
        let mark = self.marks.of(slot);
        if mark < bucket {
            return;
        }
        if mark > bucket {
            self.leave(slot);
            self.marks.set(slot, bucket);
        }
        let home = self.buckets.entry(bucket).or_insert_with(Bucket::new);
        match &mut home.entries {
            Entries::Closed(_) if mark == bucket => {}
            Entries::Closed(slots) => slots.push(slot),
            // A second key of one slot is harmless, but it is one entry too many: it counts as stale.
            Entries::Opened(set) => home.stale += usize::from(set.insert((due, slot)) && mark == bucket),
        }
        self.clean(bucket);
    }

    /// Forgets `slot`, whose record is gone or will be met earlier.
    pub(crate) fn leave(&mut self, slot: Slot) {
        let mark = self.marks.set(slot, NOWHERE);
        if let Some(bucket) = self.buckets.get_mut(&mark) {
            bucket.stale += 1;
            self.clean(mark);
        }
    }

    /// The earliest of what is due, by (deadline, token); `due_of` tells what a slot's record says now.
    pub(crate) fn first(&mut self, due_of: impl Fn(Slot) -> Option<Due>) -> Option<(Due, Slot)> {
        loop {
            let (&at, bucket) = self.buckets.iter_mut().next()?;
            let Entries::Opened(set) = &mut bucket.entries else {
                self.open(at, &due_of);
                continue;
            };
            let Some(&(key, slot)) = set.first() else {
                self.buckets.remove(&at);
                continue;
            };
            if self.marks.of(slot) != at {
                set.pop_first();
                bucket.stale = bucket.stale.saturating_sub(1);
                continue;
            }
            match due_of(slot) {
                Some(due) if due == key => return Some((due, slot)),
                due => {
                    set.pop_first();
                    self.marks.set(slot, NOWHERE);
                    due.into_iter().for_each(|due| self.place(slot, due));
                }
            }
        }
    }

    /// The first `limit` of what is due before `at`, by (deadline, token), and changes nothing.
    pub(crate) fn before(
        &self,
        at: Time,
        limit: usize,
        due_of: impl Fn(Slot) -> Option<Due>,
    ) -> Vec<(Due, Slot)> {
        let mut due: Vec<(Due, Slot)> = Vec::new();
        for (&bucket, Bucket { entries, .. }) in self.buckets.range(..=bucket_of(at)) {
            let mut look = |slot: Slot| {
                let good = self.marks.of(slot) == bucket;
                due.extend(
                    good.then(|| due_of(slot)).flatten().filter(|due| due.at < at).map(|due| (due, slot)),
                );
            };
            match entries {
                Entries::Closed(slots) => slots.iter().for_each(|slot| look(*slot)),
                Entries::Opened(set) => set.iter().for_each(|(_, slot)| look(*slot)),
            }
        }
        due.sort_unstable();
        // A slot may stand twice in the bucket that is its own.
        due.dedup();
        due.truncate(limit);
        due
    }

    /// Turns the first bucket into an ordered set of those that are still due in it; the others move on. All are looked up before any
    /// is moved, so that the cache misses of many run side by side, and the set is made at once.
    fn open(&mut self, at: u64, due_of: &impl Fn(Slot) -> Option<Due>) {
        let slots = self.good_slots(at).into_iter();
        let due: Vec<(Option<Due>, Slot)> = slots.map(|slot| (due_of(slot), slot)).collect();
        let stays = |due: Option<Due>| due.filter(|due| bucket_of(due.at) == at);
        let set = due.iter().filter_map(|(due, slot)| Some((stays(*due)?, *slot))).collect();
        self.buckets.insert(at, Bucket { entries: Entries::Opened(set), stale: 0 });
        for (due, slot) in due.into_iter().filter(|(due, _)| stays(*due).is_none()) {
            self.marks.set(slot, NOWHERE);
            due.into_iter().for_each(|due| self.place(slot, due));
        }
    }

    fn clean(&mut self, at: u64) {
        let Some(bucket) = self.buckets.get(&at) else { return };
        let len = bucket.entries.len();
        let dirty = bucket.stale >= len || (len >= CLEAN_MIN && bucket.stale > len / 2);
        if bucket.stale == 0 || !dirty {
            return;
        }
        let slots = self.good_slots(at);
        match slots.is_empty() {
            true => self.buckets.remove(&at),
            false => self.buckets.insert(at, Bucket { entries: Entries::Closed(slots), stale: 0 }),
        };
    }

    /// Takes the bucket away and gives the slots that are marked as being in it, each once.
    fn good_slots(&mut self, at: u64) -> Vec<Slot> {
        let mut slots = match self.buckets.remove(&at).map(|bucket| bucket.entries) {
            Some(Entries::Closed(slots)) => slots,
            Some(Entries::Opened(set)) => set.into_iter().map(|(_, slot)| slot).collect(),
            None => Vec::new(),
        };
        slots.retain(|slot| self.marks.of(*slot) == at);
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Whether `slot` will be met no later than `due`.
    pub(crate) fn meets(&self, slot: Slot, due: Due) -> bool {
        let mark = self.marks.of(slot);
        let Some(bucket) = self.buckets.get(&mark) else { return false };
        mark <= bucket_of(due.at)
            && match &bucket.entries {
                Entries::Closed(slots) => slots.contains(&slot),
                Entries::Opened(set) => set.iter().any(|(key, of)| *of == slot && *key <= due),
            }
    }

    /// How many entries there are, stale ones too.
    pub(crate) fn len(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.entries.len()).sum()
    }
}

impl Marks {
    fn of(&self, slot: Slot) -> u64 {
        let chunk = self.0.get(slot as usize / MARKS).and_then(Option::as_deref);
        chunk.map_or(NOWHERE, |chunk| chunk[slot as usize % MARKS])
    }

    /// Marks `slot`, and gives its mark before.
    fn set(&mut self, slot: Slot, bucket: u64) -> u64 {
        let at = slot as usize / MARKS;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        let chunk = self.0[at].get_or_insert_with(|| Box::new([NOWHERE; MARKS]));
        std::mem::replace(&mut chunk[slot as usize % MARKS], bucket)
    }
}

impl Bucket {
    fn new() -> Bucket {
        Bucket { entries: Entries::Closed(Vec::new()), stale: 0 }
    }
}

impl Entries {
    fn len(&self) -> usize {
        match self {
            Entries::Closed(slots) => slots.len(),
            Entries::Opened(set) => set.len(),
        }
    }
}
