//! How much of the room for extends one principal may fill: so that the flood of one costs no other a lease that is held.
//!
//! Of what may wait at a member, one principal has half at the most, of extends and of what ends grants each; whatever sessions and
//! requests it comes by. Claims are not counted here: they have a room in time of their own, and quotas. Nor is anybody where nobody
//! is asked who they are: all would be one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lease::{QUEUE_MAX, Role};

use super::{Principal, Source, Verb};

/// Of what may wait of a kind, one principal has one part in so many.
const SHARES: usize = 2;
/// Principals that are known before those are forgotten who are not connected any more.
const KNOWN_MIN: usize = 1_024;

const _: () =
    assert!(QUEUE_MAX / SHARES >= lease::FRAME_OPERATIONS_MAX, "a whole bulk frame fits into one's share");

/// Every principal's.
#[derive(Debug)]
pub(super) struct Seats {
    share: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    seats: BTreeMap<Who, Weak<Seat>>,
    /// How many there may be before those who are gone are forgotten.
    room: usize,
}

type Who = (Option<Arc<str>>, Arc<str>, Role);

/// What one principal has waiting here.
#[derive(Debug)]
pub(crate) struct Seat {
    share: usize,
    extends: AtomicUsize,
    ends: AtomicUsize,
}

/// One call of a principal's that waits. Dropped, it does so no more.
#[derive(Debug)]
pub(crate) struct Place {
    seat: Arc<Seat>,
    verb: Verb,
}

/// There are as many as one principal may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowded {
    /// So many.
    pub(crate) share: usize,
}

impl Seats {
    /// Of a member at which so many commands of a kind may wait.
    pub(super) fn new(room: usize) -> Seats {
        Seats { share: (room / SHARES).max(1), known: Mutex::default() }
    }

    /// The principal's; none where nobody is asked.
    pub(super) fn of(&self, principal: &Principal) -> Option<Arc<Seat>> {
        if principal.source == Source::Unasked {
            return None;
        }
        let who = (principal.namespace.clone(), Arc::clone(&principal.name), principal.role);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = known.seats.get(&who).and_then(Weak::upgrade) {
            return Some(seat);
        }
        known.forget_gone();
        let seat = Seat { share: self.share, extends: AtomicUsize::new(0), ends: AtomicUsize::new(0) };
        let seat = Arc::new(seat);
        known.seats.insert(who, Arc::downgrade(&seat));
        Some(seat)
    }
}

impl Known {
    /// Looked for only once they have doubled, so that it costs each newcomer little.
    fn forget_gone(&mut self) {
        if self.seats.len() >= self.room.max(KNOWN_MIN) {
            self.seats.retain(|_, seat| seat.strong_count() > 0);
            self.room = 2 * self.seats.len();
        }
    }
}

impl Seat {
    /// A place for one more call; none is needed for verbs that are not counted.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take(self: &Arc<Seat>, verb: Verb) -> Result<Option<Place>, Crowded> {
        let Some(count) = self.count(verb) else { return Ok(None) };
        let room = |waiting| (waiting < self.share).then_some(waiting + 1);
        match count.fetch_update(Ordering::AcqRel, Ordering::Acquire, room) {
            Ok(_) => Ok(Some(Place { seat: Arc::clone(self), verb })),
            Err(_) => Err(Crowded { share: self.share }),
        }
    }

    fn count(&self, verb: Verb) -> Option<&AtomicUsize> {
        match verb {
            Verb::Extend => Some(&self.extends),
            Verb::Release | Verb::Transfer => Some(&self.ends),
            _ => None,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(count) = self.seat.count(self.verb) {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str) -> Principal {
        Principal::unit(name, "prod", Source::Certificate { until: 9 })
    }

    #[test]
    fn a_principal_has_half_of_the_room_however_it_comes_and_each_kind_its_own() {
        let seats = Seats::new(8);
        let [first, again, other] = ["a/0", "a/0", "a/1"].map(|name| seats.of(&unit(name)).unwrap());
        let mut places: Vec<_> = (0..4).map(|_| first.take(Verb::Extend).unwrap()).collect();
        assert_eq!(again.take(Verb::Extend).unwrap_err(), Crowded { share: 4 });
        assert!(again.take(Verb::Release).unwrap().is_some());
        assert!(again.take(Verb::Claim).unwrap().is_none(), "claims are not counted");
        assert!(other.take(Verb::Extend).is_ok());
        places.pop();
        assert!(again.take(Verb::Extend).is_ok());
        assert!(seats.of(&Principal::anyone()).is_none());
    }

    #[test]
    fn who_is_gone_is_forgotten_and_who_has_something_waiting_is_not() {
        let seats = Seats::new(2);
        let place = seats.of(&unit("kept")).unwrap().take(Verb::Extend).unwrap();
        for number in 0..3 * KNOWN_MIN {
            seats.of(&unit(&number.to_string())).unwrap();
        }
        assert!(seats.known.lock().unwrap().seats.len() <= KNOWN_MIN);
        assert!(seats.of(&unit("kept")).unwrap().take(Verb::Extend).is_err());
        drop(place);
        assert!(seats.of(&unit("kept")).unwrap().take(Verb::Extend).is_ok());
    }
}
