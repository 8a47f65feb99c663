//! Where the records lie: pages of 32, shared with snapshots and copied on the first write after one.
//!
//! A snapshot of a million leases is a clone of 31,250 pointers, and an extend after it copies one page
//! of less than 3 KiB at most once; the texts are not copied. A new record takes the lowest free slot, so that two members that applied the same
//! log have the same slots, and so the same bytes in their snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::record::{Lease, Slot};

const PAGE: usize = 32;

#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    leases: [Option<Lease>; PAGE],
}

#[derive(Debug, Default)]
pub(crate) struct Slab {
    pages: Vec<Arc<Page>>,
    /// The pages with a free slot.
    vacant: BTreeSet<u32>,
}

impl Slab {
    pub(crate) fn get(&self, slot: Slot) -> Option<&Lease> {
        find(&self.pages, slot)
    }

    /// Reads the cache lines that a change of the record at `slot` will need.
    pub(crate) fn touch(&self, slot: Slot) -> Option<(usize, u64, bool)> {
        let page = self.pages.get(slot as usize / PAGE)?;
        let lease = page.leases[slot as usize % PAGE].as_ref()?;
        let deadline = lease.grant.as_ref().map_or(0, |grant| grant.deadline.as_nanos());
        Some((Arc::strong_count(page), deadline, lease.confirmed))
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Lease> {
        let page = self.pages.get_mut(slot as usize / PAGE)?;
        Arc::make_mut(page).leases[slot as usize % PAGE].as_mut()
    }

    /// Puts `lease` into the lowest free slot.
    pub(crate) fn insert(&mut self, lease: Lease) -> Slot {
        let slot = self.lowest_free();
        self.put(slot, lease);
        slot
    }

    fn lowest_free(&self) -> Slot {
        let page = self.vacant.first().map_or(self.pages.len(), |page| *page as usize);
        let within = self.pages.get(page).and_then(|page| page.leases.iter().position(Option::is_none));
        (page * PAGE + within.unwrap_or(0)) as Slot
    }

    /// Puts `lease` where a snapshot had it. Returns false where the slot is taken.
    pub(crate) fn put(&mut self, slot: Slot, lease: Lease) -> bool {
        let at = slot as usize / PAGE;
        if self.pages.len() <= at {
            // A snapshot may have gaps: their empty pages are one page until they are written.
            self.vacant.extend(self.pages.len() as u32..=at as u32);
            self.pages.resize(at + 1, Arc::default());
        }
        let page = Arc::make_mut(&mut self.pages[at]);
        let cell = &mut page.leases[slot as usize % PAGE];
        if cell.is_some() {
            return false;
        }
        *cell = Some(lease);
        if page.leases.iter().all(Option::is_some) {
            self.vacant.remove(&(at as u32));
        }
        true
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Lease> {
        let at = slot as usize / PAGE;
        let lease = Arc::make_mut(self.pages.get_mut(at)?).leases[slot as usize % PAGE].take()?;
        self.vacant.insert(at as u32);
        while self.pages.last().is_some_and(|page| page.leases.iter().all(Option::is_none)) {
            self.pages.pop();
            self.vacant.remove(&(self.pages.len() as u32));
        }
        Some(lease)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Lease)> {
        walk(&self.pages)
    }

    /// The pages as they are now; later writes copy.
    pub(crate) fn share(&self) -> Vec<Arc<Page>> {
        self.pages.clone()
    }
}

/// The record at `slot` of `pages`.
pub(crate) fn find(pages: &[Arc<Page>], slot: Slot) -> Option<&Lease> {
    pages.get(slot as usize / PAGE)?.leases[slot as usize % PAGE].as_ref()
}

/// The records of `pages` with their slots, in slot order.
pub(crate) fn walk(pages: &[Arc<Page>]) -> impl Iterator<Item = (Slot, &Lease)> {
    let cells = pages.iter().flat_map(|page| page.leases.iter());
    (0..).zip(cells).filter_map(|(slot, cell)| Some((slot, cell.as_ref()?)))
}
