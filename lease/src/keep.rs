//! Keeping the books: every change of a record goes through [`Table::edit`], which keeps counts and index in
//! step with it, and a record goes when nothing keeps it.

use crate::record::{Lease, Slot, SpaceId};
use crate::tokens::Trace;
use crate::{Key, Namespace, NamespaceSettings, Table, check};

/// What a record adds to the counts.
struct Weight {
    held: bool,
    cooling: bool,
    counts: bool,
}

impl Weight {
    fn of(lease: &Lease) -> Weight {
        Weight { held: lease.grant.is_some(), cooling: lease.cooldown().is_some(), counts: lease.counts() }
    }
}

impl Table {
    pub(crate) fn lease(&self, slot: Slot) -> &Lease {
        self.slab.get(slot).unwrap_or_else(|| check::broken("a slot is empty"))
    }

    /// For changes that neither free nor grant, and bring no deadline nearer; all others go through `edit`.
    pub(crate) fn lease_mut(&mut self, slot: Slot) -> &mut Lease {
        self.slab.get_mut(slot).unwrap_or_else(|| check::broken("a slot is empty"))
    }

    /// The record of `key`.
    pub(crate) fn slot(&self, key: &Key) -> Option<Slot> {
        self.spaces.find(&key.namespace)?.names.get(key.name.as_str(), &self.slab)
    }

    pub(crate) fn key(&self, slot: Slot) -> Key {
        let lease = self.lease(slot);
        self.spaces.get(lease.space).key(lease)
    }

    pub(crate) fn settings_of(&self, namespace: &Namespace) -> NamespaceSettings {
        self.spaces.find(namespace).map_or_else(NamespaceSettings::default, |space| space.settings)
    }

    /// Changes a record, and the counts and the index with it.
    pub(crate) fn edit<R>(&mut self, slot: Slot, change: impl FnOnce(&mut Lease) -> R) -> R {
        let lease = self.lease_mut(slot);
        let before = Weight::of(lease);
        let result = change(lease);
        let (after, due, space) = (Weight::of(lease), lease.due(), lease.space);
        self.weigh(space, &before, &after);
        due.into_iter().for_each(|due| self.deadlines.place(slot, due));
        result
    }

    /// Counts a record that a snapshot has brought.
    pub(crate) fn weigh_new(&mut self, lease: &Lease) {
        let nothing = Weight { held: false, cooling: false, counts: false };
        self.weigh(lease.space, &nothing, &Weight::of(lease));
    }

    fn weigh(&mut self, space: SpaceId, before: &Weight, after: &Weight) {
        let space = self.spaces.get_mut(space);
        let shift = |count: &mut u64, before: bool, after: bool| {
            *count = *count + u64::from(after) - u64::from(before)
        };
        shift(&mut space.held, before.held, after.held);
        shift(&mut space.leases, before.counts, after.counts);
        shift(&mut self.held, before.held, after.held);
        shift(&mut self.cooling, before.cooling, after.cooling);
    }

    /// A new record for `key`, without a grant; `holder` is who is about to get one.
    pub(crate) fn admit(&mut self, key: &Key, holder: Option<&str>) -> Slot {
        let settings = self.settings.of(&key.namespace);
        let space = self.spaces.enter(&key.namespace, settings);
        let slot = self.slab.insert(Lease::new(space, key.name.as_str(), holder));
        self.spaces.get_mut(space).names.insert(slot, &self.slab);
        slot
    }

    /// Lets the namespace's history roll, and the record go if nothing keeps it.
    pub(crate) fn tidy(&mut self, slot: Slot) {
        let space = self.lease(slot).space;
        let Some(lease) = self.slab.get(slot) else { return };
        let end = lease.last_end().map(|end| end.token);
        let in_history =
            end.and_then(|token| self.tokens.get(token)).is_some_and(|(_, it)| it == Trace::InHistory);
        if !lease.counts() && !in_history {
            self.forget(slot);
        }
        self.trim(space);
    }

    /// Forgets the oldest ends beyond the namespace's limit, and the namespace if nothing is left of it.
    pub(crate) fn trim(&mut self, id: SpaceId) {
        if !self.spaces.is_there(id) {
            return;
        }
        loop {
            let space = self.spaces.get_mut(id);
            if space.history.len() <= space.settings.history_max as usize {
                break;
            }
            let Some(item) = space.history.pop() else { break };
            let lease = self.lease(item.slot);
            let is_last = lease.last_end().is_some_and(|end| end.token == item.token);
            match (is_last, lease.counts()) {
                (true, true) => self.tokens.set(item.token, item.slot, Trace::LastEnd),
                (true, false) => self.forget_record(item.slot),
                (false, _) => self.tokens.remove(item.token),
            }
        }
        self.spaces.leave(id);
    }

    fn forget(&mut self, slot: Slot) {
        let space = self.lease(slot).space;
        self.forget_record(slot);
        self.spaces.leave(space);
    }

    fn forget_record(&mut self, slot: Slot) {
        let space = self.lease(slot).space;
        self.spaces.get_mut(space).names.remove(slot, &self.slab);
        let Some(lease) = self.slab.remove(slot) else { check::broken("a slot is empty") };
        self.deadlines.leave(slot);
        lease.last_end().into_iter().for_each(|end| self.tokens.remove(end.token));
    }
}
