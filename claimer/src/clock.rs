//! The one clock of a run: CLOCK_BOOTTIME, the same for every process of the machine, and running on while the
//! machine sleeps.

use nix::time::{ClockId, clock_gettime};

use crate::history::Nanos;

/// What the machine's clock reads now.
pub(crate) fn now() -> Nanos {
    // Linux has had this clock since 2.6.39; a machine without it cannot tell how long anything took.
    let read = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        let secs = u64::try_from(time.tv_sec()).unwrap_or(0);
        secs.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec()).unwrap_or(0))
    });
    Nanos(read)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_runs_forward() {
        let before = super::now();
        assert!(before.0 > 0, "CLOCK_BOOTTIME cannot be read");
        assert!(super::now() >= before);
    }
}
