//! What applied entries make, and whom they have news for.

use std::collections::BTreeSet;

use lease::{Applied, Table};

use crate::clock::Mono;
use crate::events::{Events, Wake};
use crate::handle::Reading;
use crate::queue::{self, Queue};
use crate::raft::{LogId, Membership};
use crate::waits::{self, Waits, tell_free};

/// What applied entries make.
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) waits: Waits,
    pub(crate) queue: Queue,
    pub(crate) events: Events,
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: Membership,
    /// Ids of members that were removed, which no other may have: what one of them has voted and acknowledged stands.
    pub(crate) removed: BTreeSet<u64>,
    /// The last term that this member has anchored the lease clock in as its leader, in this life.
    pub(crate) led: Option<u64>,
}

/// Whom an applied batch has news for, to be told once the lock is released.
pub(crate) struct Told {
    free: waits::Due,
    granted: Vec<queue::Due>,
    watches: Vec<Wake>,
}

impl Told {
    pub(crate) fn tell(self, reading: Reading) {
        self.granted.into_iter().for_each(|(reply, answer)| reply(answer));
        tell_free(self.free, reading);
        self.watches.iter().for_each(|wake| wake());
    }
}

impl State {
    /// Takes in what a batch of this term did.
    pub(crate) fn take_in(&mut self, term: u64, applied: &Applied, at: Reading, now: Mono) -> Told {
        let State { table, waits, queue, events, led, .. } = self;
        let free = waits.batch_applied(&applied.freed, at.revision, |key| table.is_free(key));
        let granted = queue.take_in(applied, table, at);
        let reader = led.filter(|led| *led == term).and_then(|_| events.lead(&applied.events));
        let watches = events.take_in(&applied.events, now).into_iter().chain(reader).collect();
        Told { free, granted, watches }
    }

    pub(crate) fn reading(&self) -> Reading {
        Reading { revision: self.table.revision(), now: self.table.now() }
    }
}
