//! This machine's clock: elapsed = min(CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW) since the process's start.
//!
//! The one is slewed by time daemons, the other is not. The slower of the two never makes a lease short. Both are read through
//! libc, so that a test rig can fake them.

use nix::time::{ClockId, clock_gettime};
use replica::{Clock, Mono};

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct MachineClock {
    slewed0: u64,
    raw0: u64,
}

impl MachineClock {
    /// Starts both at zero.
    ///
    /// # Errors
    /// The system has no such clock.
    pub(crate) fn start() -> nix::Result<MachineClock> {
        Ok(MachineClock {
            slewed0: read(ClockId::CLOCK_MONOTONIC)?,
            raw0: read(ClockId::CLOCK_MONOTONIC_RAW)?,
        })
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Mono {
        // A clock that was read once can be read again; if ever it cannot, time stands still, which ends no lease early.
        let slewed = read(ClockId::CLOCK_MONOTONIC).unwrap_or(self.slewed0);
        let raw = read(ClockId::CLOCK_MONOTONIC_RAW).unwrap_or(self.raw0);
        Mono(slewed.saturating_sub(self.slewed0).min(raw.saturating_sub(self.raw0)))
    }
}

fn read(clock: ClockId) -> nix::Result<u64> {
    let now = clock_gettime(clock)?;
    let (seconds, nanos) =
        (u64::try_from(now.tv_sec()).unwrap_or(0), u64::try_from(now.tv_nsec()).unwrap_or(0));
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_near_zero_and_goes_on() {
        let clock = MachineClock::start().unwrap();
        let first = clock.now();
        assert!(first.0 < 60_000_000_000, "not the machine's uptime: {first:?}");
        while clock.now() == first {
            std::hint::spin_loop();
        }
        assert!(clock.now() > first);
    }
}
