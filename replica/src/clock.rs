//! Time (docs/adr/0004 says why): a monotonic reading of this machine goes in, the lease clock's stamp comes out.
//!
//! ```text
//! stamp = now0 + max(0, mono - mono0 - grace)
//!
//!   lease clock
//!       │                       ╱  one second a second, no faster
//!  now0 ┼────────────┬─────────╱
//!       │   grace    │ (holders extend first, and time without a leader is not counted)
//!       └────────────┴─────────────▶ this machine's clock
//!     mono0        mono0 + grace
//! ```
//!
//! Promises:
//! * A stamp is never ahead of `now0` by more than the machine's own elapsed time: expiry is never early.
//! * A stamp is at most [`CLAMP`] above what is applied. What a stall took beyond it is skipped, and counted.
//! * Nothing here is stored, and nothing is compared over a restart.

/// How far a stamp may be above what is applied.
pub use lease::CLAMP;
use lease::{Time, Ttl};

/// A reading of one machine's monotonic clock, in nanoseconds since some start that no restart keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub u64);

impl Mono {
    /// How long from `earlier` until `self`: zero where that is later.
    pub fn since(self, earlier: Mono) -> Ttl {
        Ttl::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The reading `ttl` later.
    pub fn after(self, ttl: Ttl) -> Mono {
        Mono(self.0.saturating_add(ttl.as_nanos()))
    }
}

/// A machine's clock: between any two readings it counts what the slower of CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW counted
/// between them, so that a clock that is slewed fast does not make leases short. It never runs backwards.
pub trait Clock: Send + Sync + 'static {
    /// What it reads.
    fn now(&self) -> Mono;

    /// Whether the clocks that it reads from have lately run at rates that differ by more than rho: one of them errs by more than it
    /// may, and nobody knows which. A leader then hands on.
    fn strays(&self) -> bool {
        false
    }
}

/// How long a new leader's lease clock stands still after its first entry is applied.
pub const GRACE: Ttl = Ttl::from_millis(500);
/// While anything may expire, an entry at least so often.
pub const TICK: Ttl = Ttl::from_millis(250);

const _: () = assert!(TICK.as_nanos() < CLAMP.as_nanos(), "a healthy leader's ticks must never be clamped");

/// The leader's lease clock in one term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseClock {
    term: u64,
    now0: Time,
    mono0: Mono,
    grace: Ttl,
    skipped: Ttl,
}

impl LeaseClock {
    /// Anchors the clock in a new term: `applied` is the table's time once the term's first entry is applied, and `mono`
    /// is read after that.
    pub fn anchor(term: u64, applied: Time, mono: Mono) -> LeaseClock {
        let grace = GRACE;
        #[cfg(planted)]
        let grace = match lease::planted::is(lease::planted::Bug::GraceOfWholeTtl) {
            true => lease::TTL_DEFAULT,
            false => grace,
        };
        LeaseClock { term, now0: applied, mono0: mono, grace, skipped: Ttl::ZERO }
    }

    /// The term whose batches this clock may stamp.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// When the grace is over.
    pub fn grace_ends(&self) -> Mono {
        self.mono0.after(self.grace)
    }

    /// How much time this clock has left out since it was anchored.
    pub fn skipped(&self) -> Ttl {
        self.skipped
    }

    /// What the lease clock reads, without a batch: for refusals and for what is shown.
    pub fn read(&self, applied: Time, mono: Mono) -> Time {
        self.raw(mono).min(applied.after(CLAMP)).max(applied)
    }

    /// The stamp of a batch sealed at `mono`, when the table's time is `applied`. Where more than [`CLAMP`] has passed
    /// since, the clock re-anchors there, without a new grace.
    pub fn stamp(&mut self, applied: Time, mono: Mono) -> Time {
        let raw = self.raw(mono);
        let highest = applied.after(CLAMP);
        #[cfg(planted)]
        let highest = match lease::planted::is(lease::planted::Bug::StampNotClamped) {
            true => raw,
            false => highest,
        };
        if raw <= highest {
            return raw;
        }
        let skipped = self.skipped.as_nanos().saturating_add(highest.until(raw).as_nanos());
        *self = LeaseClock {
            now0: highest,
            mono0: mono,
            grace: Ttl::ZERO,
            skipped: Ttl::from_nanos(skipped),
            ..*self
        };
        highest
    }

    /// Forgets the time in which nothing could expire, when `applied` is the table's time: it was not taken from any lease, so
    /// it is not counted as skipped.
    pub fn rest(&mut self, applied: Time, mono: Mono) {
        if self.raw(mono) > applied.after(CLAMP) {
            *self = LeaseClock { now0: applied.after(CLAMP), mono0: mono, grace: Ttl::ZERO, ..*self };
        }
    }

    /// The machine-clock reading at which a stamp first passes `deadline`.
    pub fn when_over(&self, deadline: Time) -> Mono {
        let past = Ttl::from_nanos(self.now0.until(deadline).as_nanos().saturating_add(1));
        match deadline < self.now0 {
            true => self.mono0,
            false => self.mono0.after(self.grace).after(past),
        }
    }

    fn raw(&self, mono: Mono) -> Time {
        let counted = mono.since(self.mono0).as_nanos().saturating_sub(self.grace.as_nanos());
        #[cfg(planted)]
        let counted = match lease::planted::is(lease::planted::Bug::GraceJumps) && counted > 0 {
            true => mono.since(self.mono0).as_nanos(),
            false => counted,
        };
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::StampOfMachine) {
            return Time::from_nanos(mono.0);
        }
        self.now0.after(Ttl::from_nanos(counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn clock() -> LeaseClock {
        LeaseClock::anchor(3, Time::from_nanos(100 * SECOND), Mono(7 * SECOND))
    }

    fn at(millis: u64) -> Mono {
        Mono(7 * SECOND + millis * 1_000_000)
    }

    fn time(millis: u64) -> Time {
        Time::from_nanos(100 * SECOND + millis * 1_000_000)
    }

    #[test]
    fn the_clock_stands_still_for_the_grace_and_goes_on_without_a_jump() {
        let mut clock = clock();
        assert_eq!(clock.stamp(time(0), at(0)), time(0));
        assert_eq!(clock.stamp(time(0), at(500)), time(0));
        assert_eq!(clock.stamp(time(0), at(501)), time(1));
        assert_eq!(clock.stamp(time(1), at(750)), time(250));
        assert_eq!(clock.skipped(), Ttl::ZERO);
    }

    #[test]
    fn a_stamp_is_clamped_and_what_it_leaves_out_is_counted() {
        let mut clock = clock();
        // 10 s after the anchor 9.5 s have counted, of which 500 ms may be stamped.
        assert_eq!(clock.stamp(time(0), at(10_000)), time(500));
        assert_eq!(clock.skipped(), Ttl::from_millis(9_000));
        // From there it goes on at once: a re-anchor has no grace.
        assert_eq!(clock.stamp(time(500), at(10_100)), time(600));
    }

    #[test]
    fn two_batches_in_flight_over_a_stall_take_at_most_a_second() {
        let mut clock = clock();
        let first = clock.stamp(time(0), at(60_000));
        // The first is not applied yet: the second may not go further than 500 ms above what is.
        let second = clock.stamp(time(0), at(60_001));
        assert_eq!((first, second), (time(500), time(500)));
        let third = clock.stamp(second, at(120_000));
        assert_eq!(third, time(1_000));
    }

    #[test]
    fn rest_is_not_counted_as_skipped() {
        let mut clock = clock();
        clock.rest(time(0), at(3_600_000));
        assert_eq!(clock.stamp(time(0), at(3_600_000)), time(500));
        assert_eq!(clock.skipped(), Ttl::ZERO);
        clock.rest(time(500), at(3_600_100));
        assert_eq!(clock.stamp(time(500), at(3_600_100)), time(600), "a short rest changes nothing");
    }

    #[test]
    fn a_reading_is_what_a_stamp_would_be_and_changes_nothing() {
        let clock = clock();
        for millis in [0, 400, 500, 700, 990, 5_000] {
            let read = clock.read(time(0), at(millis));
            assert_eq!(read, clock.clone().stamp(time(0), at(millis)), "after {millis} ms");
        }
        assert_eq!(clock.read(time(9), at(0)), time(9), "never behind what is applied");
    }

    #[test]
    fn the_instant_of_the_next_tick_is_the_first_at_which_the_deadline_is_past() {
        let mut clock = clock();
        let due = clock.when_over(time(200));
        assert_eq!(due, Mono(at(700).0 + 1));
        assert_eq!(clock.stamp(time(0), Mono(due.0 - 1)), time(200), "a deadline equal to now still stands");
        assert_eq!(clock.stamp(time(0), due), Time::from_nanos(time(200).as_nanos() + 1));
        assert_eq!(clock.when_over(Time::ZERO), at(0), "what is past is due at once");
    }

    #[test]
    fn a_monotonic_clock_that_steps_back_stands_still() {
        let mut clock = clock();
        assert_eq!(clock.stamp(time(0), at(700)), time(200));
        assert_eq!(clock.stamp(time(200), Mono(0)), time(0), "and the table takes the maximum");
    }
}
