//! The belief in one grant as other threads ask for it, without the session: one number that only moves forward, and
//! ends at zero; and beside it the reason, for whoever waits for that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{Instant, LostWhy};

#[derive(Debug)]
pub(crate) struct Cell {
    until: AtomicU64,
    news: Mutex<News>,
    told: Notify,
}

#[derive(Debug, Default)]
struct News {
    /// It will not be extended, and is over at its time.
    doom: Option<LostWhy>,
    /// It is over.
    over: Option<LostWhy>,
}

const OVER: u64 = 0;
const UNCONFIRMED: u64 = 1;

impl Cell {
    pub(crate) fn new() -> Arc<Cell> {
        Arc::new(Cell {
            until: AtomicU64::new(UNCONFIRMED),
            news: Mutex::new(News::default()),
            told: Notify::new(),
        })
    }

    /// A belief that has ended before it began.
    pub(crate) fn ended() -> Arc<Cell> {
        let cell = Cell::new();
        cell.end(LostWhy::Expired);
        cell
    }

    /// Moves the end of belief later; does nothing once belief is over.
    pub(crate) fn hold(&self, safe_until: Option<Instant>) {
        let Some(until) = safe_until else { return };
        let before = self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            (old != OVER).then(|| old.max(until.as_nanos()))
        });
        if before == Ok(UNCONFIRMED) {
            // From now on there is a time to wait for.
            self.told.notify_waiters();
        }
    }

    /// Notes why it will be over at its time.
    pub(crate) fn doom(&self, why: LostWhy) {
        self.news().doom = Some(why);
        self.told.notify_waiters();
    }

    /// Ends belief for good. The first reason stands.
    pub(crate) fn end(&self, why: LostWhy) {
        self.news().over.get_or_insert(why);
        self.until.store(OVER, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Ends belief for good where `now` is not before its end. An extend that is answered at this very instant is either
    /// seen here, or does nothing.
    pub(crate) fn expire(&self, now: Instant) {
        let mut news = self.news();
        let ended = self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, |until| {
            (until != UNCONFIRMED && until <= now.as_nanos()).then_some(OVER)
        });
        if ended.is_ok_and(|until| until != OVER) {
            let why = news.doom.clone().unwrap_or(LostWhy::Expired);
            news.over.get_or_insert(why);
            self.told.notify_waiters();
        }
    }

    /// Why it is over, if it is.
    pub(crate) fn over(&self) -> Option<LostWhy> {
        self.news().over.clone()
    }

    /// Why it will be over at its time, if that is known.
    pub(crate) fn doomed(&self) -> Option<LostWhy> {
        self.news().doom.clone()
    }

    /// Told once there is news.
    pub(crate) fn told(&self) -> &Notify {
        &self.told
    }

    pub(crate) fn is_over(&self) -> bool {
        self.until.load(Ordering::Acquire) == OVER
    }

    /// None while it is unconfirmed, and once it is over.
    pub(crate) fn safe_until(&self) -> Option<Instant> {
        match self.until.load(Ordering::Acquire) {
            OVER | UNCONFIRMED => None,
            nanos => Some(Instant::from_nanos(nanos)),
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Option<Instant> = |ms| Some(Instant::from_millis(ms));

    #[test]
    fn a_cell_moves_forward_and_ends_for_good() {
        let cell = Cell::new();
        assert!(!cell.is_over() && cell.safe_until().is_none());
        cell.hold(T(10));
        cell.hold(T(5));
        assert_eq!(cell.safe_until(), T(10));
        cell.end(LostWhy::Released);
        cell.hold(T(100));
        cell.end(LostWhy::Expired);
        assert!(cell.is_over() && cell.safe_until().is_none());
        assert_eq!(cell.over(), Some(LostWhy::Released), "the first reason stands");
    }

    #[test]
    fn a_cell_expires_at_its_instant_for_the_reason_that_was_known() {
        let cell = Cell::new();
        cell.expire(Instant::from_millis(100));
        assert!(!cell.is_over(), "it has not begun");
        cell.hold(T(10));
        cell.expire(Instant::from_nanos(9_999_999));
        assert!(!cell.is_over());
        let revoked = LostWhy::Revoked { reason: Some("drill".to_owned()) };
        cell.doom(revoked.clone());
        assert!(!cell.is_over());
        cell.expire(Instant::from_millis(10));
        assert_eq!(cell.over(), Some(revoked));
    }
}
