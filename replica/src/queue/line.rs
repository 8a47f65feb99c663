//! One line: who waits for a lease at this leader, and how each is there.

use std::collections::BTreeMap;

use lease::{Holder, Instance, Seq, Ttl};

use crate::clock::Mono;

/// A waiter's place: the leader's term, and a number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) term: u64,
    pub(crate) number: u64,
}

pub(super) type Who = (Holder, Instance);

#[derive(Default)]
pub(super) struct Line {
    pub(super) waiters: BTreeMap<Ticket, Waiter>,
    pub(super) places: BTreeMap<Who, Ticket>,
    /// To whom a `succeed` is on its way.
    pub(super) succeeding: Option<Who>,
}

pub(super) struct Waiter {
    pub(super) who: Who,
    pub(super) seq: Seq,
    pub(super) ttl: Ttl,
    pub(super) presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// The acquire of that number is to be answered.
    Here(u64),
    /// The member through which it came is silent.
    Silent(u64),
    /// It is given up, and a `succeed` is on its way to it.
    GivenUp(u64),
    /// Its connection is gone.
    Absent { until: Mono },
}

impl Waiter {
    pub(super) fn ask(&self) -> Option<u64> {
        match self.presence {
            Presence::Here(id) | Presence::Silent(id) | Presence::GivenUp(id) => Some(id),
            Presence::Absent { .. } => None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.presence, Presence::Here(_))
    }
}

impl Line {
    pub(super) fn live(&self) -> impl Iterator<Item = (&Ticket, &Waiter)> {
        self.waiters.iter().filter(|(_, waiter)| waiter.is_live())
    }

    pub(super) fn first(&self) -> Option<(&Ticket, &Waiter)> {
        self.live().next()
    }

    pub(super) fn remove(&mut self, ticket: Ticket) {
        if let Some(waiter) = self.waiters.remove(&ticket) {
            self.places.remove(&waiter.who);
        }
    }
}
