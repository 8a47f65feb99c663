//! A holder's clock that runs a little fast or slow: within what is promised, nobody may be hurt by it.

use std::time::Duration;

use client::{Clock, HolderClock, Instant};

use torture::history::Nanos;

/// How fast a clock runs, in thousandths: 1,000 is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

impl Rate {
    /// How much true time passes while this clock counts so much, rounded down.
    pub(crate) fn to_true(self, counted: Duration) -> Nanos {
        let nanos = counted.as_nanos() * 1_000 / u128::from(self.0.max(1));
        u64::try_from(nanos).unwrap_or(Nanos::MAX)
    }
}

/// The machine's holder clock at another rate.
#[derive(Debug)]
pub(crate) struct RatedClock {
    clock: HolderClock,
    rate: Rate,
}

impl RatedClock {
    /// A clock that reads zero now.
    pub(crate) fn start(rate: Rate) -> std::io::Result<RatedClock> {
        Ok(RatedClock { clock: HolderClock::start()?, rate })
    }
}

impl Clock for RatedClock {
    fn now(&self) -> Instant {
        let counted = u128::from(self.clock.now().as_nanos()) * u128::from(self.rate.0) / 1_000;
        Instant::from_nanos(u64::try_from(counted).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_counts_more_than_truly_passes() {
        assert_eq!(Rate(1_000).to_true(Duration::from_nanos(500)), 500);
        assert_eq!(Rate(1_008).to_true(Duration::from_nanos(1_008_000)), 1_000_000);
        assert_eq!(Rate(992).to_true(Duration::from_nanos(992_000)), 1_000_000);
    }
}
