//! What a holder may believe about one grant, and until when.
//!
//! ```text
//!     granted, confirmed ──▶ held until sent_at + hold_ms ◀── extended (only ever later)
//!     granted, unconfirmed ─▶ not held, until an extend is answered
//!     safe_until passes ─▶ not held, until an extend or a claim is answered with this very grant
//!     release or transfer sent, or the cluster says that it ended ──▶ over, for good
//! ```
//!
//! Invariant: whoever asks at `now >= safe_until` is told no, with or without news.

use std::time::Duration;

use api::rules::{Ttl, surely_within};

use crate::Instant;
#[cfg(planted)]
use api::rules;

/// One grant, as its holder's session sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Belief {
    token: u64,
    ttl: Duration,
    safe_until: Option<Instant>,
    extend_at: Instant,
}

impl Belief {
    /// The belief that an answer gives: the attempt that it answers left at `sent_at`, and it came at `now`.
    pub(crate) fn begin(sent_at: Instant, now: Instant, grant: &api::Grant) -> Belief {
        let mut belief =
            Belief { token: grant.token, ttl: Duration::ZERO, safe_until: None, extend_at: Instant::ZERO };
        belief.extended(sent_at, now, grant);
        belief
    }

    /// Takes in the answer to a claim or extend of this grant.
    pub(crate) fn extended(&mut self, sent_at: Instant, now: Instant, grant: &api::Grant) {
        debug_assert_eq!(grant.token, self.token, "an extend keeps its token");
        self.ttl = Duration::from_millis(grant.ttl_ms);
        #[cfg(planted)]
        let sent_at = match rules::planted::is(rules::planted::Bug::DeadlineFromReceipt) {
            true => now,
            false => sent_at,
        };
        self.safe_until = self.safe_until.max(safe_until(sent_at, grant));
        self.extend_at = match grant.confirmed {
            // From when the attempt left, as belief: were the answer slow, little would be left of that by a third after it.
            true => self.extend_at.max(sent_at.after(extend_after(grant))).max(now),
            false => now,
        };
    }

    /// The grant's token.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// How long the grant lasts from its last claim or extend.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the holder may act as such at `now`.
    pub(crate) fn is_held(&self, now: Instant) -> bool {
        self.safe_until.is_some_and(|end| now < end)
    }

    /// From when on the holder is told no; none while the grant is unconfirmed.
    pub(crate) fn safe_until(&self) -> Option<Instant> {
        self.safe_until
    }

    /// Not before then.
    pub(crate) fn put_off(&mut self, to: Instant) {
        self.extend_at = self.extend_at.max(to);
    }

    /// When to extend next.
    pub(crate) fn extend_at(&self) -> Instant {
        self.extend_at
    }
}

/// Until when an answered attempt lets its sender believe; none where it must extend first.
pub(crate) fn safe_until(sent_at: Instant, grant: &api::Grant) -> Option<Instant> {
    // Count from before the request left: the cluster may have granted the moment it arrived, so counting from
    // the reply would let us believe too long. And no server's slip may make us believe longer than the ttl and
    // the clocks' rates allow.
    let hold_ms_max = surely_within(Ttl::from_millis(grant.ttl_ms)).as_millis();
    let hold_ms = grant.hold_ms.min(hold_ms_max);
    grant.confirmed.then(|| sent_at.after(Duration::from_millis(hold_ms)))
}

fn extend_after(grant: &api::Grant) -> Duration {
    // A server that says nothing, or says too late to try twice, gets the rule of a third.
    let third = grant.ttl_ms / 3;
    let said = grant.extend_after_ms;
    Duration::from_millis(if said == 0 || said > grant.hold_ms / 3 * 2 { third } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(ttl_ms: u64, hold_ms: u64, extend_after_ms: u64, confirmed: bool) -> api::Grant {
        let (namespace, name) = ("default".to_owned(), "a".to_owned());
        api::Grant { namespace, name, token: 7, ttl_ms, hold_ms, extend_after_ms, confirmed }
    }

    const T: fn(u64) -> Instant = Instant::from_millis;

    #[test]
    fn belief_counts_from_before_the_attempt_left_and_ends_at_the_instant() {
        let belief = Belief::begin(T(100), T(900), &grant(10_000, 9_000, 3_000, true));
        assert_eq!(belief.safe_until(), Some(T(9_100)));
        assert!(belief.is_held(Instant::from_nanos(9_099_999_999)));
        assert!(!belief.is_held(T(9_100)));
        assert_eq!(belief.extend_at(), T(3_100));
    }

    #[test]
    fn hold_is_cut_to_what_the_ttl_and_the_clock_rates_allow() {
        let belief = Belief::begin(T(0), T(0), &grant(10_000, 10_000, 3_000, true));
        assert_eq!(belief.safe_until(), Some(T(9_801)));
    }

    #[test]
    fn an_unconfirmed_grant_is_believed_only_after_its_extend() {
        let mut belief = Belief::begin(T(0), T(5), &grant(10_000, 9_000, 3_000, false));
        assert!(!belief.is_held(T(5)));
        assert_eq!(belief.extend_at(), T(5));
        belief.extended(T(6), T(8), &grant(10_000, 9_000, 3_000, true));
        assert!(belief.is_held(T(9_005)));
    }

    #[test]
    fn an_answer_that_comes_out_of_order_never_shortens_belief() {
        let mut belief = Belief::begin(T(0), T(1), &grant(10_000, 9_000, 3_000, true));
        belief.extended(T(5_000), T(5_001), &grant(10_000, 9_000, 3_000, true));
        belief.extended(T(2_000), T(5_002), &grant(10_000, 9_000, 3_000, true));
        assert_eq!(belief.safe_until(), Some(T(14_000)));
    }

    #[test]
    fn a_third_of_the_ttl_where_the_server_gives_no_useful_time() {
        for said in [0, 9_000] {
            assert_eq!(Belief::begin(T(0), T(0), &grant(9_000, 8_000, said, true)).extend_at(), T(3_000));
        }
    }
}
