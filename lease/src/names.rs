//! The names of a namespace in order, as the slots of their records, which have the texts.
//!
//! ```text
//!     bound ""      [slot slot slot …]        at most 128 to a chunk, sorted by the names in their records
//!     bound "m"     [slot slot …]             a bound is at or below each name of its chunk,
//!     bound "t/7"   [slot slot slot …]        and above each of the chunk before
//! ```
//!
//! Four bytes a name and a little, where a tree that has the names takes 35. The price is that a search looks
//! into about seven records; the bounds are few, and lie in the processor's cache.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::check;
use crate::record::{Lease, Slot};
use crate::slab::Slab;

const CHUNK: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Names {
    chunks: BTreeMap<Box<str>, Vec<Slot>>,
    len: usize,
}

impl Names {
    /// The index of these records; none where a name comes twice. All at once, which takes a third of the time that one
    /// insert after the other does.
    pub(crate) fn index(slots: &[Slot], slab: &Slab) -> Option<Names> {
        let mut named: Vec<(&str, Slot)> = slots.iter().map(|slot| (name(slab, *slot), *slot)).collect();
        named.sort_unstable();
        let is_each_once = named.is_sorted_by(|a, b| a.0 < b.0);
        // Not full, so that the next ones find room.
        let chunks = named.chunks(CHUNK * 3 / 4).enumerate().map(|(number, chunk)| {
            let bound = if number == 0 { "" } else { chunk[0].0 };
            (bound.into(), chunk.iter().map(|(_, slot)| *slot).collect())
        });
        is_each_once.then(|| Names { chunks: chunks.collect(), len: named.len() })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, wanted: &str, slab: &Slab) -> Option<Slot> {
        let (_, chunk) = self.chunks.range::<str, _>(upto(wanted)).next_back()?;
        find(chunk, wanted, slab).ok().map(|at| chunk[at])
    }

    /// Adds the record at `slot`, whose name is not here yet.
    pub(crate) fn insert(&mut self, slot: Slot, slab: &Slab) {
        let new = name(slab, slot);
        let is_last = self.chunks.last_key_value().is_none_or(|(bound, _)| **bound <= *new);
        let (bound, chunk) = match self.chunks.range_mut::<str, _>(upto(new)).next_back() {
            Some(found) => found,
            None => return self.begin("", slot),
        };
        let Err(at) = find(chunk, new, slab) else { check::broken("a name has two records") };
        if chunk.len() < CHUNK {
            chunk.insert(at, slot);
            self.len += 1;
        } else if at == CHUNK && is_last {
            // Names that come in order leave full chunks behind.
            self.begin(new, slot);
        } else {
            let upper = chunk.split_off(CHUNK / 2);
            chunk.shrink_to_fit();
            let middle = name(slab, upper[0]);
            debug_assert!(**bound < *middle, "a chunk begins below its bound");
            self.chunks.insert(middle.into(), upper);
            self.insert(slot, slab);
        }
    }

    fn begin(&mut self, bound: &str, slot: Slot) {
        self.chunks.insert(bound.into(), vec![slot]);
        self.len += 1;
    }

    /// Takes out the record at `slot`, which is still there.
    pub(crate) fn remove(&mut self, slot: Slot, slab: &Slab) {
        let gone = name(slab, slot);
        let Some((bound, chunk)) = self.chunks.range_mut::<str, _>(upto(gone)).next_back() else { return };
        let Ok(at) = find(chunk, gone, slab) else { return };
        chunk.remove(at);
        self.len -= 1;
        if chunk.is_empty() {
            // What its bound kept out of the chunk before may go there from now on; the least has nobody before it.
            let bound = bound.clone();
            self.chunks.remove(&bound);
            self.keep_least();
        } else if chunk.len() < chunk.capacity() / 4 {
            chunk.shrink_to(chunk.len() * 2);
        }
    }

    /// Every name has a chunk: the first one's bound is the empty text.
    fn keep_least(&mut self) {
        match self.chunks.first_entry() {
            Some(first) if !first.key().is_empty() => {
                let chunk = first.remove();
                self.chunks.insert("".into(), chunk);
            }
            _ => {}
        }
    }

    /// The slots from `start` on, by name.
    pub(crate) fn from<'a>(
        &'a self,
        start: Bound<&'a str>,
        slab: &'a Slab,
    ) -> impl Iterator<Item = Slot> + 'a {
        let least = match start {
            Bound::Included(least) | Bound::Excluded(least) => least,
            Bound::Unbounded => "",
        };
        let home = self.chunks.range::<str, _>(upto(least)).next_back();
        let home = home.map_or("", |(bound, _)| bound);
        let chunks = self.chunks.range::<str, _>((Bound::Included(home), Bound::Unbounded));
        let is_before = move |slot: &Slot| match start {
            Bound::Included(start) => name(slab, *slot) < start,
            Bound::Excluded(start) => name(slab, *slot) <= start,
            Bound::Unbounded => false,
        };
        chunks.flat_map(|(_, chunk)| chunk.iter().copied()).skip_while(is_before)
    }

    /// All slots, by name.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.chunks.values().flatten().copied()
    }
}

fn upto(text: &str) -> (Bound<&str>, Bound<&str>) {
    (Bound::Unbounded, Bound::Included(text))
}

fn name(slab: &Slab, slot: Slot) -> &str {
    slab.get(slot).map_or_else(|| check::broken("a name leads to no record"), Lease::name)
}

fn find(chunk: &[Slot], wanted: &str, slab: &Slab) -> Result<usize, usize> {
    chunk.binary_search_by(|slot| name(slab, *slot).cmp(wanted))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The index, the records that it leads to, and a tree that has the names: its naive twin.
    #[derive(Default)]
    struct Both {
        names: Names,
        slab: Slab,
        twin: BTreeMap<String, Slot>,
    }

    impl Both {
        fn insert(&mut self, name: &str) {
            let slot = self.slab.insert(Lease::new(0, name, None));
            self.names.insert(slot, &self.slab);
            self.twin.insert(name.to_owned(), slot);
        }

        fn remove(&mut self, name: &str) {
            let slot = self.twin.remove(name).unwrap_or_else(|| panic!("{name} is not there"));
            self.names.remove(slot, &self.slab);
            self.slab.remove(slot);
        }

        fn check(&self) {
            assert_eq!(self.names.len(), self.twin.len());
            assert!(self.names.slots().eq(self.twin.values().copied()));
            let (names, slab) = (&self.names, &self.slab);
            for (name, slot) in &self.twin {
                assert_eq!(names.get(name, slab), Some(*slot));
                assert_eq!(names.get(&format!("{name}~"), slab), None);
            }
            for start in ["", "a", "n0400", "n0400+", "zz"] {
                let starts = [Bound::Included(start), Bound::Excluded(start), Bound::Unbounded];
                for start in starts {
                    let twin = self.twin.range::<str, _>((start, Bound::Unbounded)).map(|(_, slot)| *slot);
                    assert!(names.from(start, slab).eq(twin), "from {start:?}");
                }
            }
        }
    }

    fn numbered(number: usize) -> String {
        format!("n{number:04}")
    }

    #[test]
    fn names_that_come_and_go_in_any_order_are_found_in_their_own() {
        // In order, backwards, and scattered by a stride that hits each number once.
        for order in [|n: usize| n, |n: usize| 999 - n, |n: usize| n * 377 % 1_000] {
            let mut both = Both::default();
            (0..1_000).for_each(|n| both.insert(&numbered(order(n))));
            both.check();
            (0..1_000).filter(|n| n % 3 > 0).for_each(|n| both.remove(&numbered(order(n))));
            both.check();
            ["a", "n0400+", "z"].into_iter().for_each(|name| both.insert(name));
            both.check();
            let all: Vec<String> = both.twin.keys().cloned().collect();
            all.iter().for_each(|name| both.remove(name));
            both.check();
            assert!(both.names.is_empty() && both.names.chunks.is_empty());
        }
    }

    #[test]
    fn a_full_chunk_with_others_behind_it_is_split_and_not_followed_by_chunks_of_one() {
        let mut both = Both::default();
        (0..CHUNK).for_each(|n| both.insert(&format!("a{n:03}")));
        (0..500).for_each(|n| both.insert(&format!("z{:03}", 999 - n)));
        both.check();
        assert!(both.names.chunks.len() <= (CHUNK + 500) / (CHUNK / 2) + 1, "{}", both.names.chunks.len());
    }

    #[test]
    fn an_index_made_at_once_is_as_one_made_of_inserts_and_refuses_a_name_that_comes_twice() {
        let mut both = Both::default();
        (0..1_000).for_each(|n| both.insert(&numbered(n * 377 % 1_000)));
        let slots: Vec<Slot> = (0..1_000).collect();
        both.names = Names::index(&slots, &both.slab).unwrap_or_else(|| panic!("each comes once"));
        both.check();
        both.insert("n0400+");
        both.remove("n0000");
        both.check();
        assert!(Names::index(&[1, 2, 1], &both.slab).is_none());
    }

    #[test]
    fn chunks_are_well_filled_whether_names_come_in_order_or_scattered() {
        for order in [|n: usize| n, |n: usize| n * 377 % 1_000] {
            let mut both = Both::default();
            (0..1_000).for_each(|n| both.insert(&numbered(order(n))));
            let room: usize = both.names.chunks.values().map(Vec::capacity).sum();
            assert!(room <= 2_000, "{room} places for 1000 names");
        }
    }
}
