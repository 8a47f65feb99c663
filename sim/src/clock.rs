//! Clocks that run at a rate of their own: a start, and parts in a million faster or slower than true time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use replica::{Clock, Mono};

use crate::chance::Chance;

/// rho, in parts in a million.
const RHO_PPM: i64 = lease::RHO_PER_MILLE as i64 * 1_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    start: u64,
    ppm: i64,
}

impl Rate {
    /// A clock that was started some time ago. Half of all clocks run as wrong as they may.
    pub(crate) fn any(chance: &mut Chance) -> Rate {
        let anything = chance.below(2 * RHO_PPM as u64 + 1) as i64 - RHO_PPM;
        let ppm = chance.pick(&[-RHO_PPM, RHO_PPM, 0, anything, anything]);
        Rate { start: chance.between(1, 100_000_000_000), ppm }
    }

    /// A clock that errs by more than it may.
    pub(crate) fn stray(chance: &mut Chance) -> Rate {
        let ppm = chance.between(2 * RHO_PPM as u64, 20 * RHO_PPM as u64) as i64;
        Rate { start: chance.between(1, 100_000_000_000), ppm: if chance.one_in(2) { ppm } else { -ppm } }
    }

    /// What it reads at the true time `at`.
    pub(crate) fn reads(self, at: u64) -> u64 {
        let at = at as i64;
        self.start + (at + at / 1_000_000 * self.ppm + at % 1_000_000 * self.ppm / 1_000_000) as u64
    }

    /// The first true time at which it reads `reading` or more.
    pub(crate) fn when(self, reading: u64) -> u64 {
        if reading <= self.start {
            return 0;
        }
        let passed = i128::from(reading - self.start) * 1_000_000 / i128::from(1_000_000 + self.ppm);
        let mut at = (passed.min(i128::from(i64::MAX / 2_000_000)) as u64).saturating_sub(2);
        while self.reads(at) < reading && at < i64::MAX as u64 / 2_000_000 {
            at += 1;
        }
        at
    }
}

/// A member's clock: what the replica reads.
pub(crate) struct MemberClock {
    pub(crate) truth: Arc<AtomicU64>,
    pub(crate) rate: Rate,
}

impl Clock for MemberClock {
    fn now(&self) -> Mono {
        Mono(self.rate.reads(self.truth.load(Ordering::Relaxed)))
    }
}

/// A simulated time, in seconds.
pub(crate) struct Shown(pub(crate) u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_tells_when_it_will_read_what() {
        let mut chance = Chance::new(1);
        for _ in 0..1_000 {
            let rate = Rate::any(&mut chance);
            let at = chance.below(20_000_000_000);
            let when = rate.when(rate.reads(at));
            assert!(when <= at && rate.reads(when) == rate.reads(at), "{rate:?} {at} {when}");
        }
    }
}
