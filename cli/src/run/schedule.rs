//! When a command that runs under a lease is asked to end, and when it is killed. Pure: time is an argument.
//!
//! ```text
//!     sent_at                                              term_at    kill_at    safe_until
//!        ├──────────────── hold ──────────────────────────────┼──────────┼──────────┤
//!        │   extended meanwhile: everything moves right       │ SIGTERM  │ SIGKILL  │ gone before this
//! ```

use std::time::Duration;

use client::Instant;

/// The least time before `safe_until` at which SIGKILL is sent: so long a loaded machine may take to end processes.
const KILL_MARGIN_MIN: Duration = Duration::from_millis(100);

/// The shortest ttl under which a command can be run: of a shorter one SIGKILL's margin would be most.
pub(crate) const TTL_MIN: Duration = Duration::from_secs(1);

/// Until when the holder may believe, and how long an extend lets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Belief {
    pub(crate) safe_until: Instant,
    pub(crate) hold: Duration,
}

impl Belief {
    /// From when on it is too late to hope for an extend: the tree is asked to end.
    pub(crate) fn term_at(self) -> Instant {
        before(self.safe_until, (self.hold / 5).max(self.kill_margin()))
    }

    /// The last moment to kill the tree, such that it is gone before `safe_until`.
    pub(crate) fn kill_at(self) -> Instant {
        before(self.safe_until, self.kill_margin())
    }

    /// When a tree that is asked to end at `now` is killed: as long after as for a lease that runs out, and never too late.
    pub(crate) fn kill_after_term(self, now: Instant) -> Instant {
        let grace = self.term_at().until(self.kill_at());
        now.after(grace).min(self.kill_at())
    }

    /// Where the guardian has not shown by then that it is awake, `tenure` does its work: after it would have.
    pub(crate) fn backup_at(self) -> Instant {
        before(self.safe_until, self.kill_margin() * 3 / 4)
    }

    fn kill_margin(self) -> Duration {
        (self.hold / 20).max(KILL_MARGIN_MIN)
    }
}

fn before(instant: Instant, length: Duration) -> Instant {
    let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_nanos(instant.as_nanos().saturating_sub(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belief(until_ms: u64, hold_ms: u64) -> Belief {
        Belief { safe_until: Instant::from_millis(until_ms), hold: Duration::from_millis(hold_ms) }
    }

    #[test]
    fn a_fifth_before_the_end_it_is_asked_and_a_twentieth_before_it_is_killed() {
        let belief = belief(20_000, 10_000);
        assert_eq!(belief.term_at(), Instant::from_millis(18_000));
        assert_eq!(belief.kill_at(), Instant::from_millis(19_500));
        assert!(belief.kill_at() < belief.backup_at() && belief.backup_at() < belief.safe_until);
    }

    #[test]
    fn the_shortest_ttl_leaves_time_for_both() {
        let belief = belief(980, 980);
        assert_eq!(belief.term_at(), Instant::from_millis(784));
        assert_eq!(belief.kill_at(), Instant::from_millis(880));
        // The second extend has left by then.
        assert!(belief.term_at() > Instant::from_millis(2 * 980 / 3));
    }

    #[test]
    fn whoever_is_asked_early_has_as_long_and_whoever_is_asked_late_has_less() {
        let belief = belief(20_000, 10_000);
        let at = |ms| belief.kill_after_term(Instant::from_millis(ms));
        assert_eq!(at(1_000), Instant::from_millis(2_500));
        assert_eq!(at(19_000), Instant::from_millis(19_500));
        assert_eq!(at(30_000), Instant::from_millis(19_500), "at once");
    }
}
