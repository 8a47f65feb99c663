//! When the machine wants to be woken: one entry a thing that waits, however often its time changes.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::KeyName;
use super::{LinkId, OpId};
use crate::Instant;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Op(OpId),
    Key(KeyName),
    Link(LinkId),
    Seek,
    Home,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    times: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets when `timer` is due, in place of what was set before; none means never.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        if let Some(old) = self.times.remove(&timer) {
            self.by_time.remove(&(old, timer.clone()));
        }
        if let Some(at) = at {
            self.times.insert(timer.clone(), at);
            self.by_time.insert((at, timer));
        }
    }

    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.times.contains_key(timer)
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out one that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.first()? > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.times.remove(&timer);
        Some(timer)
    }
}
