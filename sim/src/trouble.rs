//! How long a cluster has been in trouble: time for which nobody may be blamed for being late.

use crate::chance::MILLI;

/// How long after the end of a trouble the cluster may still be busy with it: what docs/contract.md allows for a change of leader, and the
/// new one's grace.
pub(crate) const AFTERMATH: u64 = 2_500 * MILLI;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    sum: u64,
    until: u64,
}

impl Trouble {
    /// The cluster is in trouble from `now` until then, and busy with it for a while after.
    pub(crate) fn lasts(&mut self, now: u64, until: u64) {
        let until = until + AFTERMATH;
        if until > self.until {
            self.sum += until - self.until.max(now);
            self.until = until;
        }
    }

    /// How long it has been in trouble up to `now`.
    pub(crate) fn so_far(self, now: u64) -> u64 {
        self.sum - self.until.saturating_sub(now)
    }

    /// When the last one is over.
    pub(crate) fn until(self) -> u64 {
        self.until
    }
}
