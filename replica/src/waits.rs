//! Waits: who is to be told once a lease is free.
//!
//! ```text
//!           register                    barrier passed, or revision reached
//! (nothing) ────────▶ behind ───────────────────────────────▶ watching
//!                       │                    free? answered      │  its key was freed by a batch, and is still
//!                       ▼ cancel, or the barrier passed          ▼  free at that batch's end: answered
//!                         below its revision: answered
//! ```
//!
//! The rule is by level, at the ends of batches: a wait is answered when the lease *is* free then. A lease that was freed and
//! granted on in one batch wakes nobody. Checking and registering are one step, under the lock that the table is under, so
//! that no free lease slips in between.
//!
//! Promises: each wait is answered at most once, and never after [`Waits::cancel`] said true.

use std::collections::{BTreeMap, BTreeSet};

use lease::{Key, Revision, WAITS_MAX};

use crate::handle::{Reading, ReplyFn, Waited};

/// Every wait of one member. `Table` questions come in as arguments: this is pure.
pub(crate) struct Waits {
    /// How many it keeps at most.
    room: usize,
    waits: BTreeMap<u64, Wait>,
    by_key: BTreeMap<Key, BTreeSet<u64>>,
    by_revision: BTreeSet<(Revision, u64)>,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits {
            room: WAITS_MAX,
            waits: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_revision: BTreeSet::new(),
        }
    }
}

struct Wait {
    key: Key,
    /// None until its barrier has passed, where it names no revision.
    after: Option<Revision>,
    reply: ReplyFn<Waited>,
}

/// Answers that are due, to be given once the lock is released.
pub(crate) type Due = Vec<ReplyFn<Waited>>;

impl Waits {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether it is still here.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.waits.contains_key(&id)
    }

    /// Whether there are as many as one member keeps.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.room
    }

    #[cfg(test)]
    pub(crate) fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// Keeps a wait that may be answered from a revision of at least `after`, or else once its barrier has passed; nothing is
    /// checked yet.
    pub(crate) fn register(&mut self, id: u64, key: Key, after: Option<Revision>, reply: ReplyFn<Waited>) {
        self.by_revision.extend(after.map(|after| (after, id)));
        self.waits.insert(id, Wait { key, after, reply });
    }

    /// Lets a wait in whose barrier has passed at `at`. Where the lease is free it is answered; and where it names a revision that
    /// does not exist yet: it would wait for something that nobody has seen.
    pub(crate) fn admit(
        &mut self,
        id: u64,
        at: Reading,
        is_free: impl Fn(&Key) -> bool,
    ) -> Option<(ReplyFn<Waited>, Waited)> {
        let wait = self.waits.get_mut(&id)?;
        match wait.after {
            Some(after) if after > at.revision => {
                self.take(id).map(|reply| (reply, Waited::Ahead { after, newest: at.revision }))
            }
            // The state came as far before the barrier did, and it has been looked at.
            Some(_) => None,
            None => {
                wait.after = Some(at.revision);
                self.watch_or_answer(id, is_free).map(|reply| (reply, Waited::Free(at)))
            }
        }
    }

    /// After a batch: answers who waits for one of `freed` that is still free, and whom the state has now caught up with.
    pub(crate) fn batch_applied(
        &mut self,
        freed: &[Key],
        revision: Revision,
        is_free: impl Fn(&Key) -> bool,
    ) -> Due {
        let mut due = Due::new();
        for key in freed.iter().filter(|key| is_free(key)) {
            let ids = self.by_key.remove(key).unwrap_or_default();
            due.extend(ids.into_iter().filter_map(|id| self.waits.remove(&id)).map(|wait| wait.reply));
        }
        while let Some(&(after, id)) = self.by_revision.first().filter(|(after, _)| *after <= revision) {
            self.by_revision.remove(&(after, id));
            due.extend(self.watch_or_answer(id, &is_free));
        }
        due
    }

    /// After a snapshot replaced the state: looks at every wait anew.
    pub(crate) fn recheck(&mut self, revision: Revision, is_free: impl Fn(&Key) -> bool) -> Due {
        let keys: Vec<Key> = self.by_key.keys().cloned().collect();
        #[cfg(planted)]
        let keys = match lease::planted::is(lease::planted::Bug::WaitsNotRechecked) {
            true => Vec::new(),
            false => keys,
        };
        self.batch_applied(&keys, revision, is_free)
    }

    /// Gives a wait up; false where it is not here any more.
    pub(crate) fn cancel(&mut self, id: u64) -> bool {
        self.take(id).is_some()
    }

    /// Takes every wait, to be told that it cannot be kept.
    pub(crate) fn drain(&mut self) -> Due {
        let waits = std::mem::take(self);
        waits.waits.into_values().map(|wait| wait.reply).collect()
    }

    /// Takes one wait, to be told that it cannot be kept.
    pub(crate) fn take(&mut self, id: u64) -> Option<ReplyFn<Waited>> {
        let wait = self.waits.remove(&id)?;
        if let Some(after) = wait.after {
            self.by_revision.remove(&(after, id));
        }
        if let Some(ids) = self.by_key.get_mut(&wait.key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_key.remove(&wait.key);
            }
        }
        Some(wait.reply)
    }

    fn watch_or_answer(&mut self, id: u64, is_free: impl Fn(&Key) -> bool) -> Option<ReplyFn<Waited>> {
        let wait = self.waits.get(&id)?;
        let free = is_free(&wait.key);
        #[cfg(planted)]
        let free = free && !lease::planted::is(lease::planted::Bug::WaitAfterRead);
        if free {
            return self.waits.remove(&id).map(|wait| wait.reply);
        }
        self.by_key.entry(wait.key.clone()).or_default().insert(id);
        None
    }
}

/// Gives the answers that are due.
pub(crate) fn tell_free(due: Due, reading: Reading) {
    for reply in due {
        reply(Waited::Free(reading));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use lease::{Name, Namespace};

    use super::*;

    type Told = Arc<Mutex<Vec<u64>>>;

    fn key(name: &str) -> Key {
        let namespace = Namespace::parse("n").unwrap_or_else(|error| panic!("{error}"));
        let name = Name::parse(name).unwrap_or_else(|error| panic!("{error}"));
        Key { namespace, name }
    }

    fn wait(waits: &mut Waits, told: &Told, id: u64, name: &str, after: Option<u64>) {
        let told = Arc::clone(told);
        waits.register(
            id,
            key(name),
            after.map(Revision),
            Box::new(move |_| told.lock().unwrap_or_else(|e| e.into_inner()).push(id)),
        );
    }

    fn told(due: Due, told: &Told) -> Vec<u64> {
        tell_free(due, Reading::default());
        std::mem::take(&mut *told.lock().unwrap_or_else(|e| e.into_inner()))
    }

    fn at(revision: u64) -> Reading {
        Reading { revision: Revision(revision), ..Reading::default() }
    }

    #[test]
    fn a_wait_on_a_held_lease_is_answered_by_the_batch_that_frees_it() {
        let (mut waits, list) = (Waits::default(), Told::default());
        wait(&mut waits, &list, 1, "a", None);
        assert!(waits.admit(1, at(5), |_| false).is_none());
        assert!(told(waits.batch_applied(&[key("b")], Revision(6), |_| true), &list).is_empty());
        assert_eq!(told(waits.batch_applied(&[key("a")], Revision(7), |_| true), &list), [1]);
        assert_eq!(waits.len(), 0);
    }

    #[test]
    fn a_lease_freed_and_granted_on_in_one_batch_wakes_nobody() {
        let (mut waits, list) = (Waits::default(), Told::default());
        wait(&mut waits, &list, 1, "a", None);
        assert!(waits.admit(1, at(5), |_| false).is_none());
        assert!(told(waits.batch_applied(&[key("a")], Revision(7), |_| false), &list).is_empty());
        assert_eq!(waits.len(), 1);
    }

    #[test]
    fn a_wait_behind_its_revision_is_looked_at_once_the_state_has_caught_up() {
        let (mut waits, list) = (Waits::default(), Told::default());
        wait(&mut waits, &list, 1, "a", Some(9));
        assert!(
            told(waits.batch_applied(&[], Revision(8), |_| true), &list).is_empty(),
            "too old a state to answer from"
        );
        assert_eq!(told(waits.batch_applied(&[], Revision(9), |_| true), &list), [1]);
    }

    #[test]
    fn a_wait_for_a_revision_that_a_barrier_shows_is_not_there_yet_is_told_so() {
        let (mut waits, list) = (Waits::default(), Told::default());
        for id in [1, 2] {
            wait(&mut waits, &list, id, "a", Some(9));
        }
        let (_, said) =
            waits.admit(1, at(8), |_| true).unwrap_or_else(|| panic!("it waits for what nobody has seen"));
        assert_eq!(said, Waited::Ahead { after: Revision(9), newest: Revision(8) });
        // The other's revision comes before its barrier has passed.
        assert!(told(waits.batch_applied(&[], Revision(9), |_| false), &list).is_empty());
        assert!(waits.admit(2, at(9), |_| false).is_none());
        assert_eq!(told(waits.batch_applied(&[key("a")], Revision(10), |_| true), &list), [2]);
        assert!(waits.by_key.is_empty() && waits.by_revision.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_cancelled_wait_is_told_nothing_whatever_its_stage() {
        let (mut waits, list) = (Waits::default(), Told::default());
        wait(&mut waits, &list, 1, "a", Some(9));
        wait(&mut waits, &list, 2, "a", None);
        assert!(waits.admit(2, at(3), |_| false).is_none());
        assert!(waits.cancel(1) && waits.cancel(2) && !waits.cancel(2));
        assert!(told(waits.batch_applied(&[key("a")], Revision(9), |_| true), &list).is_empty());
        assert!(waits.by_key.is_empty() && waits.by_revision.is_empty(), "nothing is left behind");
    }
}
