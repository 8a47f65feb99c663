//! The ledger: who was granted what, and whose grant ended, as this member decided it while it led; for one reader, which writes it down.
//!
//! ```text
//!   applied batch, of a term that this member leads ──▶ a stretch of the ring that is unread ──▶ pull ──▶ the reader
//!                                                         └── given up before it was read: counted
//! ```
//!
//! It is a place in the ring, as a watch is, and costs as little. But what another leader's batch did is not in it, so that of all
//! members' ledgers one has each grant and each end; and it is never over: a reader that was too slow is told how many are missing, and
//! reads on.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use lease::{Event, Revision, What};

use super::{Events, Kept, Wake};

/// What the ledger's reader sees next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Led {
    /// The next grants and ends, in order.
    pub events: Vec<Event>,
    /// How many came before these, and are no longer kept.
    pub missed: u64,
    /// Whether to pull again; if not, the reader is woken when there is more.
    pub more: bool,
}

pub(super) struct Ledger {
    /// Revisions that were led and not read, in order; the end is the first that is not of the stretch.
    unread: VecDeque<Range<u64>>,
    missed: u64,
    wake: Wake,
    /// Whether the reader has seen all.
    asleep: bool,
}

impl Ledger {
    fn lead(&mut self, revisions: Range<u64>) {
        match self.unread.back_mut() {
            Some(last) if last.end == revisions.start => last.end = revisions.end,
            _ => self.unread.push_back(revisions),
        }
    }

    /// An event leaves the ring: the oldest.
    pub(super) fn lose(&mut self, revision: Revision, kept: &Kept) {
        let Some(oldest) = self.unread.front_mut().filter(|oldest| oldest.contains(&revision.0)) else {
            return;
        };
        oldest.start = revision.0 + 1;
        if oldest.is_empty() {
            self.unread.pop_front();
        }
        self.missed += u64::from(belongs(&kept.event()));
    }
}

/// Whether it is one for the ledger.
fn belongs(event: &Event) -> bool {
    matches!(event.what, What::Granted { .. } | What::Ended { .. })
}

impl Events {
    /// Keeps a ledger from now on, in the place of the one before.
    pub(crate) fn keep_ledger(&mut self, wake: Wake) {
        self.ledger = Some(Ledger { unread: VecDeque::new(), missed: 0, wake, asleep: true });
    }

    /// These events, which are about to be taken in, are of a batch that this member led. Gives the reader, where it is to be woken.
    pub(crate) fn lead(&mut self, events: &[Event]) -> Option<Wake> {
        let ledger = self.ledger.as_mut()?;
        let (first, last) = (events.first()?, events.last()?);
        ledger.lead(first.revision.0..last.revision.0 + 1);
        std::mem::take(&mut ledger.asleep).then(|| Arc::clone(&ledger.wake))
    }

    /// The next of the ledger: of at most `limit` events that were led, those that belong into it.
    pub(crate) fn pull_led(&mut self, limit: usize) -> Led {
        let first = self.first();
        let Some(ledger) = &mut self.ledger else { return Led::default() };
        let mut led = Led { missed: std::mem::take(&mut ledger.missed), ..Led::default() };
        let mut left = limit as u64;
        while let Some(oldest) = ledger.unread.front_mut().filter(|_| left > 0) {
            let end = oldest.end.min(oldest.start.saturating_add(left));
            left -= end - oldest.start;
            let from = (oldest.start - first.0) as usize;
            let kept = self.ring.range(from..(end - first.0) as usize);
            led.events.extend(kept.map(Kept::event).filter(belongs));
            oldest.start = end;
            if oldest.is_empty() {
                ledger.unread.pop_front();
            }
        }
        led.more = !ledger.unread.is_empty();
        ledger.asleep = !led.more;
        led
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use lease::Entity;

    use super::super::tests::{counter, granted, key, small, wake};
    use super::*;
    use crate::clock::Mono;

    fn pinned(revision: u64) -> Event {
        let what = What::Pinned { key: key("a"), entity: Entity::parse("e").unwrap() };
        Event { revision: Revision(revision), what }
    }

    /// Takes a batch in that this member led; gives whether the reader was woken.
    fn led(events: &mut Events, batch: &[Event]) -> bool {
        let woken = events.lead(batch);
        wake(woken.iter().cloned().collect());
        events.take_in(batch, Mono(batch[0].revision.0));
        woken.is_some()
    }

    fn pulled(events: &mut Events, limit: usize) -> (Vec<u64>, u64, bool) {
        let led = events.pull_led(limit);
        (led.events.iter().map(|event| event.revision.0).collect(), led.missed, led.more)
    }

    #[test]
    fn it_has_each_grant_that_was_led_once_and_none_of_another_leaders() {
        let mut events = small(100);
        let (woken, waker) = counter();
        events.keep_ledger(waker);
        events.take_in(&[granted(1, "a")], Mono(1));
        assert_eq!(pulled(&mut events, 9), (vec![], 0, false), "another led that");
        assert!(led(&mut events, &[granted(2, "a"), pinned(3), granted(4, "b")]));
        assert!(!led(&mut events, &[granted(5, "c")]), "it has not pulled yet");
        events.take_in(&[granted(6, "d")], Mono(1));
        assert!(!led(&mut events, &[granted(7, "e")]));
        assert_eq!(pulled(&mut events, 3), (vec![2, 4], 0, true));
        assert_eq!(pulled(&mut events, 9), (vec![5, 7], 0, false));
        assert!(led(&mut events, &[granted(8, "f")]));
        assert_eq!((pulled(&mut events, 9), woken.load(Ordering::Relaxed)), ((vec![8], 0, false), 2));
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_how_many_it_missed_and_reads_on() {
        let mut events = small(3);
        let (_, waker) = counter();
        events.keep_ledger(waker);
        led(&mut events, &[granted(1, "a"), pinned(2), granted(3, "b")]);
        events.take_in(&[granted(4, "x")], Mono(4));
        led(&mut events, &[granted(5, "c"), granted(6, "d"), granted(7, "e")]);
        // Of 1 to 4, the second is no grant, and the fourth another leader's.
        assert_eq!(pulled(&mut events, 9), (vec![5, 6, 7], 2, false));
        led(&mut events, &[granted(8, "f")]);
        let woken = events.restart(Revision(20));
        assert!(woken.is_empty(), "no watch is there, and the reader is awake");
        assert_eq!(pulled(&mut events, 9), (vec![], 1, false), "a snapshot has taken its place");
        led(&mut events, &[granted(21, "g")]);
        assert_eq!(pulled(&mut events, 9), (vec![21], 0, false));
    }

    #[test]
    fn without_a_reader_nothing_is_kept_for_one() {
        let mut events = small(100);
        assert!(!led(&mut events, &[granted(1, "a")]));
        assert_eq!(events.pull_led(9), Led::default());
    }
}
