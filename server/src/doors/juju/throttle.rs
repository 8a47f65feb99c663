//! How agents' logins are throttled: in Juju 2.7's way, a bucket of logins that fills at a rate, and, where it is asked for, in 2.5's, so
//! many at a time and each with a pause. Users are never asked here.
//!
//! ```text
//!  login ─▶ bucket ── empty: try again, at once
//!             └─▶ a place among those under way ── none: a pause, then try again
//!                    └─▶ a pause drawn between two bounds, in that place ─▶ who is it?
//! ```
//!
//! 2.5 pauses before it takes a place. Here the place is taken first: finding out who comes takes us microseconds, and places that were
//! held for so long only would bound nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Throttle;

/// The throttle of one member.
#[derive(Debug)]
pub(super) struct Turnstile(Mutex<State>);

#[derive(Debug)]
struct State {
    set: Throttle,
    /// Logins that may come at once.
    left: f64,
    /// When `left` was right.
    at: Instant,
    under_way: u32,
}

/// A login that may go on, after `pause`; its place is free again when this is dropped.
pub(super) struct Passed {
    pub(super) pause: Duration,
    turnstile: Arc<Turnstile>,
}

/// A login that is to be told, after `pause`, to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TryAgain {
    pub(super) pause: Duration,
}

impl Turnstile {
    pub(super) fn new(set: Throttle, now: Instant) -> Arc<Turnstile> {
        let left = f64::from(set.ratelimit_max);
        Arc::new(Turnstile(Mutex::new(State { set, left, at: now, under_way: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it throttles.
    pub(super) fn settings(&self) -> Throttle {
        self.state().set.clone()
    }

    /// How many logins are under way.
    pub(super) fn under_way(&self) -> u32 {
        self.state().under_way
    }

    /// Throttles so from now on. A bucket that is another begins full; those under way stay.
    pub(super) fn set(&self, set: Throttle, now: Instant) {
        let mut state = self.state();
        let bucket = |set: &Throttle| (set.ratelimit_max, set.ratelimit_rate);
        if bucket(&state.set) != bucket(&set) {
            (state.left, state.at) = (f64::from(set.ratelimit_max), now);
        }
        state.set = set;
    }

    /// Lets one login on, or not yet. `chance` places its pause between the two bounds.
    pub(super) fn pass(self: &Arc<Self>, now: Instant, chance: u32) -> Result<Passed, TryAgain> {
        let mut state = self.state();
        if !state.draw(now) {
            return Err(TryAgain { pause: Duration::ZERO });
        }
        let bound = state.set.login_rate_limit;
        if bound > 0 && state.under_way >= bound {
            return Err(TryAgain { pause: state.set.login_retry_pause });
        }
        state.under_way += 1;
        let pause = if bound > 0 { state.set.pause(chance) } else { Duration::ZERO };
        Ok(Passed { pause, turnstile: Arc::clone(self) })
    }
}

impl State {
    fn draw(&mut self, now: Instant) -> bool {
        let most = f64::from(self.set.ratelimit_max);
        if self.set.ratelimit_max == 0 {
            return true;
        }
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed / self.set.ratelimit_rate.as_secs_f64()).min(most);
        self.at = now.max(self.at);
        let is_there = self.left >= 1.0;
        self.left -= if is_there { 1.0 } else { 0.0 };
        is_there
    }
}

impl Throttle {
    fn pause(&self, chance: u32) -> Duration {
        let spread = self.login_max_pause.saturating_sub(self.login_min_pause);
        self.login_min_pause + spread.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.turnstile.state().under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn set(ratelimit_max: u32, login_rate_limit: u32) -> Throttle {
        Throttle {
            ratelimit_max,
            ratelimit_rate: Duration::from_millis(250),
            login_rate_limit,
            login_min_pause: Duration::from_millis(100),
            login_max_pause: Duration::from_secs(1),
            login_retry_pause: Duration::from_secs(5),
        }
    }

    #[test]
    fn an_empty_bucket_turns_away_at_once_and_fills_at_its_rate() {
        let start = Instant::now();
        let turnstile = Turnstile::new(set(10, 0), start);
        let pass = |after| turnstile.pass(start + Duration::from_millis(after), 0).map(|passed| passed.pause);
        for _ in 0..10 {
            assert_eq!(pass(0), Ok(NONE));
        }
        assert_eq!(pass(0), Err(TryAgain { pause: NONE }));
        assert_eq!((pass(249), pass(250)), (Err(TryAgain { pause: NONE }), Ok(NONE)));
        assert_eq!(pass(250), Err(TryAgain { pause: NONE }));
        for _ in 0..10 {
            assert_eq!(pass(60_000), Ok(NONE));
        }
        assert!(pass(60_000).is_err(), "it holds no more than its most");
    }

    #[test]
    fn the_eleventh_under_way_waits_and_is_turned_away_until_one_is_through() {
        let now = Instant::now();
        let turnstile = Turnstile::new(set(0, 10), now);
        let mut under_way: Vec<Passed> = (0..10).map(|_| turnstile.pass(now, 0).ok().unwrap()).collect();
        assert_eq!(under_way[0].pause, Duration::from_millis(100));
        let turned_away = Some(TryAgain { pause: Duration::from_secs(5) });
        assert_eq!(turnstile.pass(now, 0).err(), turned_away);
        under_way.pop();
        assert_eq!(turnstile.pass(now, u32::MAX).ok().unwrap().pause, Duration::from_secs(1));
        assert!(turnstile.pass(now, 0).is_ok(), "the place was free again");
    }

    #[test]
    fn zero_is_any_number_and_a_change_counts_from_now_on() {
        let now = Instant::now();
        let turnstile = Turnstile::new(set(0, 0), now);
        let under_way: Vec<Passed> = (0..1_000).map(|_| turnstile.pass(now, 7).ok().unwrap()).collect();
        turnstile.set(set(1, 0), now);
        assert!(turnstile.pass(now, 0).is_ok() && turnstile.pass(now, 0).is_err());
        turnstile.set(set(1, 5), now);
        assert!(turnstile.pass(now, 0).is_err(), "the same bucket is not filled by a change beside it");
        turnstile.set(set(0, 1_001), now);
        let last = turnstile.pass(now, 0);
        assert!(last.is_ok() && turnstile.pass(now, 0).is_err(), "those under way count");
        drop(under_way);
        assert!(turnstile.pass(now, 0).is_ok());
    }
}
