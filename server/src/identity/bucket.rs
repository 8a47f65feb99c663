//! A bucket that fills at a rate and holds a burst: so often something may be done, and so much at once. Pure: time comes in as an
//! argument.

use std::time::{Duration, Instant};

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) a_second: u32,
    pub(super) burst: u32,
}

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Bucket {
        Bucket { left: f64::from(rate.burst), at: now }
    }

    /// When it was last asked.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Takes one out.
    ///
    /// # Errors
    /// It is empty: when there is one again.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let a_second = f64::from(rate.a_second.max(1));
        self.left = (self.left + passed * a_second).min(f64::from(rate.burst));
        self.at = self.at.max(now);
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / a_second));
        }
        self.left -= 1.0;
        Ok(())
    }
}
