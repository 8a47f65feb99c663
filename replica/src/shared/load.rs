//! What doors see of a member's load, without waiting for its driver: so whoever is turned away costs the driver nothing.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use lease::{READS_MAX, READS_PRESSED_MAX, RETRY_AFTER_MIN, Ttl};

use super::Shared;
use crate::admission::Load;

/// As of the driver's last step.
#[derive(Default)]
pub(super) struct Seen {
    load: AtomicU8,
    retry_after: AtomicU64,
}

impl Shared {
    /// Tells doors how much waits, and when whoever is turned away should come back.
    pub(crate) fn set_load(&self, load: Load, retry_after: Ttl) {
        self.seen.load.store(load as u8, Ordering::Relaxed);
        self.seen.retry_after.store(retry_after.as_nanos(), Ordering::Relaxed);
    }

    /// Whether there is no room for claims.
    pub(crate) fn is_full(&self) -> bool {
        self.seen.load.load(Ordering::Relaxed) >= Load::Full as u8
    }

    /// Whether reads and newcomers are to be held back.
    pub(crate) fn is_pressed(&self) -> bool {
        self.seen.load.load(Ordering::Relaxed) >= Load::Pressed as u8
    }

    /// When another try is likelier to pass.
    pub(crate) fn retry_after(&self) -> Ttl {
        Ttl::from_nanos(self.seen.retry_after.load(Ordering::Relaxed)).max(RETRY_AFTER_MIN)
    }

    /// How many reads may wait.
    pub(super) fn room_for_reads(&self) -> usize {
        if self.is_pressed() { READS_PRESSED_MAX } else { READS_MAX }
    }
}
