//! Events: what changed lately, and who watches.
//!
//! ```text
//!   applied batch ──▶ ring of the last events ◀── pull: from where it had got to ── watch
//!                        │                                                          ▲
//!                        └── the first event that concerns it wakes a watch ────────┘
//! ```
//!
//! A watch is a place in the ring and not a queue of its own: one that is slow costs nobody anything, and is told `compacted`
//! once its place has been given up. A watch that has seen all is woken once, by the next event that concerns it; then it pulls
//! until it has seen all again. So events nobody watches wake nobody, and a place is never lost for want of events.
//!
//! The ring keeps every event of the last few minutes, and the newest beyond that, within a bound in bytes. It is this member's own
//! and not stored: after a restart it begins with what the log still has.

mod ledger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lease::{Event, Key, Name, Namespace, Revision, Ttl, WATCHES_MAX};

use crate::clock::Mono;
pub use ledger::Led;
use ledger::Ledger;

/// Which events are kept: the newest so many, and any younger than `age`; but never more than `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many are kept whatever their age.
    pub events: usize,
    /// How long all are kept.
    pub age: Ttl,
    /// About how much memory they may take together.
    pub bytes: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window { events: 262_144, age: Ttl::from_millis(5 * 60 * 1_000), bytes: 48 * 1024 * 1024 }
    }
}

/// What a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// One lease.
    Lease(Key),
    /// Every lease of a namespace whose name starts so.
    Prefix(Namespace, String),
}

/// Called when a watch that had seen everything has something to pull. It must be quick; it may pull.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Why a watch cannot begin, or go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwatchable {
    /// Events that it has not seen are no longer kept: the oldest one that is has this revision.
    Compacted {
        /// From which revision on events are kept.
        first: Revision,
    },
    /// There has been no such revision yet.
    Ahead {
        /// The newest.
        newest: Revision,
    },
    /// This member could not tell.
    Unavailable(crate::Unavailable),
}

/// What a watch sees next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Its next events, in order.
    pub events: Vec<Event>,
    /// Whether to pull again; if not, the watch is woken when there is more.
    pub more: bool,
}

/// Events that one pull looks at, at most: the lock is held meanwhile.
const PULL_LOOKS_MAX: usize = 4_096;

pub(crate) struct Events {
    window: Window,
    /// How many watches there may be.
    room: usize,
    ring: VecDeque<Kept>,
    bytes: usize,
    newest: Revision,
    /// Watches that wait for their barrier.
    asked: BTreeSet<u64>,
    watches: BTreeMap<u64, Watch>,
    by_key: BTreeMap<Key, BTreeSet<u64>>,
    by_prefix: BTreeMap<Namespace, BTreeMap<String, BTreeSet<u64>>>,
    ledger: Option<Ledger>,
}

struct Kept {
    /// The event's, as lease writes them: a third of what it takes in pieces.
    bytes: Box<[u8]>,
    at: Mono,
}

impl Kept {
    /// The event as it is kept; `scratch` is for its bytes to be written in. They are copied from there, since a vector cut to its
    /// size leaves the allocator a remnant behind it that nothing fits into: 13 MB of them among a million leases.
    fn of(event: &Event, at: Mono, scratch: &mut Vec<u8>) -> Kept {
        scratch.clear();
        event.encode(scratch);
        Kept { bytes: scratch.as_slice().into(), at }
    }

    fn event(&self) -> Event {
        match Event::decode(&self.bytes) {
            Ok(event) => event,
            Err(error) => panic!("an event that this member wrote itself cannot be read: {error}"),
        }
    }

    /// About how much memory it takes: its bytes, its place in the ring, and what the allocator adds.
    fn size(&self) -> usize {
        const FIXED: usize = size_of::<Kept>() + 16;
        FIXED + self.bytes.len()
    }
}

struct Watch {
    watched: Watched,
    /// The first event that it has not looked at; none where it has seen all that concerns it.
    next: Option<Revision>,
    wake: Wake,
    /// Why it cannot go on.
    over: Option<crate::Unavailable>,
}

impl Events {
    pub(crate) fn new(window: Window) -> Events {
        Events {
            window,
            room: WATCHES_MAX,
            ring: VecDeque::new(),
            bytes: 0,
            newest: Revision(0),
            asked: BTreeSet::new(),
            watches: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_prefix: BTreeMap::new(),
            ledger: None,
        }
    }

    /// How many watch.
    pub(crate) fn watches(&self) -> usize {
        self.watches.len()
    }

    /// Whether one more may be asked for.
    pub(crate) fn has_room(&self) -> bool {
        self.asked.len() + self.watches.len() < self.room
    }

    #[cfg(test)]
    pub(crate) fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// The state was replaced by one of this revision: nothing is known of what came before it.
    pub(crate) fn restart(&mut self, revision: Revision) -> Vec<Wake> {
        let first = self.first();
        if let Some(ledger) = &mut self.ledger {
            (first.0..).zip(&self.ring).for_each(|(at, kept)| ledger.lose(Revision(at), kept));
        }
        self.ring.clear();
        (self.bytes, self.newest) = (0, revision);
        let missed = self.watches.values_mut();
        missed
            .map(|watch| {
                watch.next = Some(Revision(0));
                Arc::clone(&watch.wake)
            })
            .collect()
    }

    /// No news come here any more: every watch is over, and is to be told so when it pulls.
    pub(crate) fn fall_behind(&mut self) -> Vec<Wake> {
        let all = self.watches.values_mut();
        all.map(|watch| {
            watch.over = Some(crate::Unavailable::Behind);
            Arc::clone(&watch.wake)
        })
        .collect()
    }

    /// Keeps what a batch did; gives the watches that have something to pull now.
    pub(crate) fn take_in(&mut self, events: &[Event], now: Mono) -> Vec<Wake> {
        let (mut wakes, mut scratch) = (Vec::new(), Vec::new());
        for event in events {
            self.wake_for(event, &mut wakes);
            self.newest = event.revision;
            let kept = Kept::of(event, now, &mut scratch);
            self.bytes += kept.size();
            self.ring.push_back(kept);
        }
        self.trim(now);
        wakes
    }

    /// Takes note of a watch that is to begin.
    pub(crate) fn ask(&mut self, id: u64) {
        self.asked.insert(id);
    }

    /// Takes out a watch that was to begin; false where it was given up meanwhile.
    pub(crate) fn take_asked(&mut self, id: u64) -> bool {
        self.asked.remove(&id)
    }

    /// Begins a watch that sees every event after `after`, or from now on; gives the revision that it begins behind.
    pub(crate) fn watch(
        &mut self,
        id: u64,
        watched: Watched,
        after: Option<Revision>,
        wake: Wake,
    ) -> Result<Revision, Unwatchable> {
        let newest = self.newest;
        let after = after.unwrap_or(newest);
        let first = self.first();
        if after > newest {
            return Err(Unwatchable::Ahead { newest });
        }
        if after.0 + 1 < first.0 {
            return Err(Unwatchable::Compacted { first });
        }
        match &watched {
            Watched::Lease(key) => self.by_key.entry(key.clone()).or_default().insert(id),
            Watched::Prefix(namespace, prefix) => {
                let prefixes = self.by_prefix.entry(namespace.clone()).or_default();
                prefixes.entry(prefix.clone()).or_default().insert(id)
            }
        };
        let next = (after < newest).then_some(Revision(after.0 + 1));
        self.watches.insert(id, Watch { watched, next, wake, over: None });
        Ok(after)
    }

    /// Ends a watch.
    pub(crate) fn unwatch(&mut self, id: u64) {
        self.asked.remove(&id);
        let Some(watch) = self.watches.remove(&id) else { return };
        match &watch.watched {
            Watched::Lease(key) => drop_from(&mut self.by_key, key, id),
            Watched::Prefix(namespace, prefix) => {
                let Some(prefixes) = self.by_prefix.get_mut(namespace) else { return };
                drop_from(prefixes, prefix, id);
                if prefixes.is_empty() {
                    self.by_prefix.remove(namespace);
                }
            }
        }
    }

    /// The next events of a watch, at most `limit`. One that is told why it cannot go on has ended.
    pub(crate) fn pull(&mut self, id: u64, limit: usize) -> Result<Pulled, Unwatchable> {
        let first = self.first();
        let Some(watch) = self.watches.get_mut(&id) else { return Ok(Pulled::default()) };
        if let Some(why) = watch.over {
            self.unwatch(id);
            return Err(Unwatchable::Unavailable(why));
        }
        let Some(next) = watch.next else { return Ok(Pulled::default()) };
        if next < first {
            self.unwatch(id);
            return Err(Unwatchable::Compacted { first });
        }
        let from = (next.0 - first.0) as usize;
        let mut pulled = Pulled::default();
        let mut at = from;
        while let Some(kept) = self.ring.get(at) {
            if pulled.events.len() >= limit || at - from >= PULL_LOOKS_MAX {
                break;
            }
            if watch.watched.concerns(&kept.bytes) {
                pulled.events.push(kept.event());
            }
            at += 1;
        }
        pulled.more = at < self.ring.len();
        watch.next = pulled.more.then_some(Revision(first.0 + at as u64));
        Ok(pulled)
    }

    /// The revision from which on events are kept.
    fn first(&self) -> Revision {
        // Each has the number after the one before.
        Revision(self.newest.0 + 1 - self.ring.len() as u64)
    }

    fn wake_for(&mut self, event: &Event, wakes: &mut Vec<Wake>) {
        let Some(key) = event.what.key() else { return };
        let Events { watches, by_key, by_prefix, .. } = self;
        let prefixes =
            by_prefix.get(&key.namespace).into_iter().flat_map(|prefixes| matching(prefixes, &key.name));
        for id in by_key.get(key).into_iter().chain(prefixes).flatten() {
            if let Some(watch) = watches.get_mut(id).filter(|watch| watch.next.is_none()) {
                watch.next = Some(event.revision);
                wakes.push(Arc::clone(&watch.wake));
            }
        }
    }

    fn trim(&mut self, now: Mono) {
        let Window { events, age, bytes } = self.window;
        while let Some(oldest) = self.ring.front() {
            let is_old = self.ring.len() > events && oldest.at.after(age) < now;
            if !is_old && self.bytes <= bytes {
                break;
            }
            self.bytes -= oldest.size();
            let revision = Revision(self.newest.0 + 1 - self.ring.len() as u64);
            self.ledger.iter_mut().for_each(|ledger| ledger.lose(revision, oldest));
            self.ring.pop_front();
        }
    }
}

impl Watched {
    /// Whether it is about the event of these bytes.
    fn concerns(&self, event: &[u8]) -> bool {
        let Some((namespace, name)) = Event::encoded_key(event) else { return false };
        match self {
            Watched::Lease(wanted) => (namespace, name) == (wanted.namespace.as_str(), wanted.name.as_str()),
            Watched::Prefix(within, prefix) => {
                namespace == within.as_str() && name.starts_with(prefix.as_str())
            }
        }
    }
}

/// The sets of those prefixes that `name` starts with.
fn matching<'a>(
    prefixes: &'a BTreeMap<String, BTreeSet<u64>>,
    name: &'a Name,
) -> impl Iterator<Item = &'a BTreeSet<u64>> {
    let name = name.as_str();
    let ends = (0..=name.len()).filter(|end| name.is_char_boundary(*end));
    ends.filter_map(|end| prefixes.get(&name[..end]))
}

fn drop_from<K: Ord>(map: &mut BTreeMap<K, BTreeSet<u64>>, key: &K, id: u64) {
    if let Some(ids) = map.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
