//! How far apart entries and frames go where there is much to carry.
//!
//! ```text
//!   the last one carried few, or left some behind ─────────▶ at once
//!   it carried many, and enough wait by now ──────────────▶ at once
//!   it carried many, and fewer wait ──────────────────────▶ `apart` after it
//! ```
//!
//! Whatever an entry carries, it wakes three members' threads, syncs three disks and goes through Raft. Where little is asked for,
//! the next one goes at once, and the one in flight is the timer; where much is, that alone leaves them small, since each one that
//! comes back makes room for the next. So whoever carried many is followed by many, or by some time: docs/adr/0015.
//!
//! Pure: time comes in as an argument.

use lease::Ttl;

use crate::clock::Mono;

/// When the next may go.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How long after one that carried many the next may have to wait.
    apart: Ttl,
    /// So many are many.
    many: usize,
    /// With so many the next goes at once.
    enough: usize,
    /// When the last one went, if it carried many.
    busy: Option<Mono>,
}

impl Pace {
    pub(crate) const fn new(apart: Ttl, many: usize, enough: usize) -> Pace {
        Pace { apart, many, enough, busy: None }
    }

    /// One goes that carries so many, and leaves so many behind for which it has no room.
    pub(crate) fn went(&mut self, at: Mono, carried: usize, left: usize) {
        self.busy = (carried >= self.many && left == 0).then_some(at);
    }

    /// When the next may go, where so many wait for it: none is at once.
    pub(crate) fn not_before(&self, waiting: usize) -> Option<Mono> {
        self.busy.filter(|_| waiting < self.enough).map(|at| at.after(self.apart))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn after_one_with_many_the_next_waits_for_enough_or_for_its_time() {
        let mut pace = Pace::new(Ttl::from_millis(4), 32, 256);
        assert_eq!(pace.not_before(1), None, "the first goes at once");
        pace.went(Mono(10 * MS), 31, 0);
        assert_eq!(pace.not_before(1), None, "and so does what follows few");
        pace.went(Mono(10 * MS), 32, 0);
        assert_eq!(pace.not_before(1), Some(Mono(14 * MS)));
        assert_eq!(pace.not_before(255), Some(Mono(14 * MS)));
        assert_eq!(pace.not_before(256), None, "enough do not wait");
        pace.went(Mono(14 * MS), 40, 1);
        assert_eq!(pace.not_before(1), None, "a full one is followed by what it left behind");
        pace.went(Mono(14 * MS), 5, 0);
        assert_eq!(pace.not_before(1), None, "where little is asked for it is over at once");
    }
}
