//! Holder time: how long it has been, as a holder must count it.
//!
//! A holder that counts too little believes too long, and then two believe at once. So it takes the faster of two
//! clocks: CLOCK_BOOTTIME goes on while the machine sleeps, CLOCK_MONOTONIC_RAW is not slewed by a time daemon.
//! Neither is a wall clock: nobody's `date` call moves a deadline.
//!
//! Everything pure in this crate takes `now` as an argument; only the session's task and a grant's `is_held` read a
//! [`Clock`].

use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A reading of holder time: nanoseconds since the clock was made. Readings of two clocks do not compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's start.
    pub const ZERO: Instant = Instant(0);

    /// The reading of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// The reading of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The reading `length` later; stays at the largest reading instead of wrapping.
    pub fn after(self, length: Duration) -> Instant {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }

    /// How long from `self` until `later`: zero where that is past.
    pub fn until(self, later: Instant) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

/// Something that tells holder time.
pub trait Clock: Send + Sync {
    /// What it reads now. It never runs backwards.
    fn now(&self) -> Instant;
}

/// The real one: the larger of what CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW have counted since it was made.
#[derive(Clone, Copy, Debug)]
pub struct HolderClock {
    boottime_start: u64,
    raw_start: u64,
}

impl HolderClock {
    /// A clock that reads zero now.
    ///
    /// # Errors
    /// The system has no CLOCK_BOOTTIME or no CLOCK_MONOTONIC_RAW: without them no lease can be held safely.
    pub fn start() -> std::io::Result<HolderClock> {
        Ok(HolderClock {
            boottime_start: read(ClockId::CLOCK_BOOTTIME)?,
            raw_start: read(ClockId::CLOCK_MONOTONIC_RAW)?,
        })
    }
}

impl Clock for HolderClock {
    fn now(&self) -> Instant {
        // A clock that was read once and cannot be read any more: say that all time has passed, so that nobody
        // believes in anything, instead of standing still.
        let since = |id, start| read(id).map_or(u64::MAX, |reading| reading.saturating_sub(start));
        let boottime = since(ClockId::CLOCK_BOOTTIME, self.boottime_start);
        let raw = since(ClockId::CLOCK_MONOTONIC_RAW, self.raw_start);
        Instant(boottime.max(raw))
    }
}

// Through libc and not as a raw system call, so that a test rig can fake the rate.
fn read(id: ClockId) -> std::io::Result<u64> {
    let time = clock_gettime(id)?;
    let secs = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    Ok(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_clock_starts_near_zero_and_never_runs_back() {
        let clock = HolderClock::start().unwrap_or_else(|error| panic!("no holder clock: {error}"));
        let mut last = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last, "{now} came after {last}");
            last = now;
        }
        assert!(last.as_nanos() > 0, "the clock stands still");
    }

    #[test]
    fn arithmetic_stays_at_the_ends() {
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(end.until(Instant::ZERO), Duration::ZERO);
        assert_eq!(Instant::from_millis(2).until(Instant::from_millis(5)), Duration::from_millis(3));
        assert_eq!(Instant::from_millis(1_500).to_string(), "1.500000s");
    }
}
