//! True time: CLOCK_MONOTONIC, which all processes and network namespaces of one machine share.

use nix::time::{ClockId, clock_gettime};

use torture::history::Nanos;

/// What it reads now; zero where the system has no such clock, which no Linux lacks.
pub(crate) fn now() -> Nanos {
    read(ClockId::CLOCK_MONOTONIC)
}

/// What a clock reads through libc, so that a rate that is faked is seen.
pub(crate) fn read(id: ClockId) -> Nanos {
    let Ok(time) = clock_gettime(id) else { return 0 };
    let (secs, nanos) =
        (u64::try_from(time.tv_sec()).unwrap_or(0), u64::try_from(time.tv_nsec()).unwrap_or(0));
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}
