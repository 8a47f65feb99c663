//! A lease that keeps itself, and says when it is lost.
//!
//! ```text
//!     acquire or claim ──▶ Guard ──extends, unasked──▶ held ──release, drop──────────▶ lost: released
//!                                                       ├─the cluster says so───────▶ lost: ended, how
//!                                                       ├─revoked, its time over────▶ lost: revoked, why
//!                                                       └─nothing heard in time─────▶ lost: expired
//! ```
//!
//! The program does its work while the guard is held, and stops when [`Guard::lost`] resolves: at `safe_until` on the
//! session's clock at the latest, with or without news.

use std::sync::Arc;
use std::time::Duration;

use crate::handle::{Shared, WAIT_SLACK};
use crate::mailbox::Letter;
use crate::{Acquire, Grant, Instant, Lost, LostWhy, Outcome, Session};

/// A lease that is held for as long as this lives: the session extends it by itself.
///
/// Dropping it ends belief at once and releases the lease in the background: the session sends the release and repeats
/// it until it is answered, for as long as the session and its runtime live. Where the program ends right after, the grant
/// may live on to its ttl: use [`Guard::release`] to wait for the answer. It keeps the session open.
#[must_use = "a guard that is dropped releases its lease"]
pub struct Guard {
    session: Session,
    grant: Grant,
    /// It was given back.
    left: bool,
}

impl Session {
    /// Takes a lease as [`Session::claim`] does, or waits in line for it: first come, first served. The place in line
    /// outlives a lost connection. What was granted is confirmed before it is given, so that it is held; a grant that
    /// comes after the caller stopped waiting is released.
    pub async fn acquire(&self, acquire: Acquire) -> Outcome<Grant> {
        let within = acquire.timeout.map(|timeout| timeout.saturating_add(WAIT_SLACK));
        self.grant(api::Call::Acquire(acquire.into_call()), within, None).await.into()
    }

    /// Takes or waits for a lease, and keeps it.
    pub async fn hold(&self, acquire: Acquire) -> Outcome<Guard> {
        self.acquire(acquire).await.map(|grant| self.guard(grant))
    }

    /// Keeps a grant of this session. One guard a grant: the first that is released or dropped ends it for all.
    pub fn guard(&self, grant: Grant) -> Guard {
        self.keep(&grant);
        Guard { session: self.clone(), grant, left: false }
    }
}

impl Guard {
    /// What names the grant and fences with it: give it to every resource that the lease protects.
    pub fn token(&self) -> u64 {
        self.grant.token()
    }

    /// The grant that is kept.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether its holder may act as such at this instant; see [`Grant::is_held`].
    pub fn is_held(&self) -> bool {
        self.grant.is_held()
    }

    /// Until when the holder may believe without further news, on the session's clock; none where it may not.
    pub fn safe_until(&self) -> Option<Instant> {
        self.grant.safe_until()
    }

    /// How much longer the holder may believe without further news: zero where it may not.
    pub fn remaining(&self) -> Duration {
        self.grant.remaining()
    }

    /// Why the lease will be lost at `safe_until`, where that is known already: it is held until then, but not extended
    /// any more. An operator's revoke is such a reason.
    pub fn ending(&self) -> Option<LostWhy> {
        self.grant.cell.doomed()
    }

    /// Resolves once the lease is lost, with the reason: at once where it is already. It may be called many times and
    /// dropped at any point, and does not borrow the guard.
    pub fn lost(&self) -> impl Future<Output = Lost> + Send + use<> {
        lost(self.session.shared.clone(), self.grant.clone())
    }

    /// Gives the grant back, which is then released no more when it is dropped. The session goes on extending it for as
    /// long as it is open; then the grant ends at its ttl.
    pub fn into_grant(mut self) -> Grant {
        self.left = true;
        self.grant.clone()
    }

    /// Ends the grant and waits for the answer. Belief in it ends at this call, for good, whatever is answered.
    pub async fn release(self) -> Outcome<()> {
        self.session.release(&self.grant).await
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let gone = matches!(self.grant.cell.over(), Some(LostWhy::Released | LostWhy::Ended(_)));
        self.grant.cell.end(LostWhy::Released);
        if !gone {
            let_go(&self.session.shared, &self.grant);
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard({}:{} token {})", self.grant.namespace(), self.grant.name(), self.token())
    }
}

// A future that is dropped holds nothing that another one waits for.
async fn lost(session: Arc<Shared>, grant: Grant) -> Lost {
    let token = grant.token();
    loop {
        // Before the look, or news that comes between the two would wake nobody.
        let told = grant.cell.told().notified();
        if let Some(why) = grant.cell.over() {
            return Lost { token, why };
        }
        let Some(until) = grant.safe_until() else {
            told.await;
            continue;
        };
        let now = session.clock.now();
        if until <= now {
            grant.cell.expire(now);
            if grant.cell.is_over() {
                // The session may have seen an extend at this very instant: nobody believes in it.
                let_go(&session, &grant);
            }
            continue;
        }
        // The runtime's clock may run slower or stop in a suspend: whoever wakes up looks again.
        tokio::select! {
            biased;
            () = told => {}
            () = tokio::time::sleep(now.until(until)) => {}
        }
    }
}

fn let_go(session: &Shared, grant: &Grant) {
    let (namespace, name) = (grant.namespace().to_owned(), grant.name().to_owned());
    session.mailbox.post(Letter::Disown { namespace, name, token: grant.token() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use crate::cell::Cell;
    use crate::mailbox::Mailbox;

    /// Holder time that stands still unless the runtime's paused time moves.
    struct Paused(tokio::time::Instant);

    impl Clock for Paused {
        fn now(&self) -> Instant {
            Instant::ZERO.after(self.0.elapsed())
        }
    }

    const TOKEN: u64 = 7;

    // A guard without a session's task: the test says what the task would.
    fn guarded() -> (Arc<Mailbox>, Arc<Cell>, Guard) {
        let mailbox = Arc::new(Mailbox::default());
        let clock: Arc<dyn Clock> = Arc::new(Paused(tokio::time::Instant::now()));
        let shared = Arc::new(Shared { mailbox: mailbox.clone(), clock: clock.clone(), instance: 1 });
        let session = Session { shared, deadline: Duration::from_secs(5) };
        let cell = Cell::new();
        let grant = api::Grant {
            namespace: "default".to_owned(),
            name: "a".to_owned(),
            token: TOKEN,
            ttl_ms: 10_000,
            hold_ms: 9_000,
            extend_after_ms: 3_000,
            confirmed: true,
        };
        let guard = session.guard(Grant::new(grant, cell.clone(), clock));
        (mailbox, cell, guard)
    }

    fn held(until_ms: u64) -> (Arc<Mailbox>, Arc<Cell>, Guard) {
        let (mailbox, cell, guard) = guarded();
        cell.hold(Some(Instant::from_millis(until_ms)));
        (mailbox, cell, guard)
    }

    /// The letters since the last look: which tokens are to be kept, and which released.
    fn letters(mailbox: &Mailbox) -> (Vec<u64>, Vec<u64>) {
        let (mut kept, mut disowned) = (Vec::new(), Vec::new());
        for letter in mailbox.take() {
            match letter {
                Letter::Keep { token, .. } => kept.push(token),
                Letter::Disown { token, .. } => disowned.push(token),
                _ => panic!("another letter"),
            }
        }
        (kept, disowned)
    }

    #[tokio::test(start_paused = true)]
    async fn without_news_it_is_lost_at_the_instant_at_which_belief_ends() {
        let (mailbox, _cell, guard) = held(9_000);
        assert_eq!(letters(&mailbox), (vec![TOKEN], vec![]));
        assert!(guard.is_held() && guard.remaining() == Duration::from_secs(9));
        let lost = guard.lost().await;
        assert_eq!(lost, Lost { token: TOKEN, why: LostWhy::Expired });
        assert!(guard.session.now() >= Instant::from_millis(9_000));
        assert!(guard.session.now() < Instant::from_millis(9_010));
        assert!(!guard.is_held() && guard.safe_until().is_none());
        // An extend that is answered after all finds nobody who believes: the session is told to release.
        assert_eq!(letters(&mailbox), (vec![], vec![TOKEN]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_extend_moves_the_instant() {
        let (_mailbox, cell, guard) = held(9_000);
        let lost = tokio::spawn(guard.lost());
        for second in 1..=10 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            cell.hold(Some(Instant::from_millis(second * 3_000 + 9_000)));
            assert!(!lost.is_finished() && guard.is_held());
        }
        assert!(lost.await.is_ok_and(|lost| lost.why == LostWhy::Expired));
        assert!(guard.session.now() >= Instant::from_millis(39_000));
    }

    #[tokio::test(start_paused = true)]
    async fn news_ends_it_at_once_for_everyone_who_waits_and_who_asks_later() {
        let (mailbox, cell, guard) = held(9_000);
        let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(guard.lost())).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let why = LostWhy::Ended(api::Problem::new(api::Code::Lost, "gone"));
        cell.end(why.clone());
        for lost in waiting {
            assert!(lost.await.is_ok_and(|lost| lost.why == why));
        }
        assert_eq!(guard.lost().await.why, why);
        assert_eq!(guard.session.now(), Instant::from_millis(1_000));
        letters(&mailbox);
        drop(guard);
        assert_eq!(letters(&mailbox), (vec![], vec![]), "there is nothing to release");
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_is_dropped_takes_nothing_along() {
        let (_mailbox, cell, guard) = held(9_000);
        for _ in 0..3 {
            let early = tokio::time::timeout(Duration::from_secs(1), guard.lost()).await;
            assert!(early.is_err());
        }
        let waiting = tokio::spawn(guard.lost());
        tokio::task::yield_now().await;
        drop(guard.lost());
        cell.end(LostWhy::Released);
        assert!(waiting.await.is_ok_and(|lost| lost.why == LostWhy::Released));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_one_is_held_to_its_time_and_lost_with_the_operators_reason() {
        let (_mailbox, cell, guard) = held(9_000);
        assert_eq!(guard.ending(), None);
        cell.doom(LostWhy::Revoked { reason: None });
        let why = LostWhy::Revoked { reason: Some("drill".to_owned()) };
        cell.doom(why.clone());
        assert!(guard.is_held());
        assert_eq!(guard.ending(), Some(why.clone()));
        assert_eq!(guard.lost().await.why, why);
        assert_eq!(why.reason(), Some("drill"));
        assert!(guard.session.now() >= Instant::from_millis(9_000));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unconfirmed_one_is_lost_at_the_time_that_its_confirmation_gives() {
        let (_mailbox, cell, guard) = guarded();
        assert!(!guard.is_held());
        let lost = tokio::spawn(guard.lost());
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!lost.is_finished());
        cell.hold(Some(Instant::from_millis(101_000)));
        assert!(lost.await.is_ok_and(|lost| lost.why == LostWhy::Expired));
        assert!(guard.session.now() >= Instant::from_millis(101_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_that_is_given_back_is_not_released() {
        let (mailbox, _cell, guard) = held(9_000);
        letters(&mailbox);
        let grant = guard.into_grant();
        assert!(grant.is_held());
        drop(grant);
        assert_eq!(letters(&mailbox), (vec![], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_dropped_is_over_at_once_and_released_in_the_background() {
        let (mailbox, _cell, guard) = held(9_000);
        let (grant, lost) = (guard.grant().clone(), guard.lost());
        letters(&mailbox);
        drop(guard);
        assert!(!grant.is_held() && grant.is_over());
        assert_eq!(lost.await.why, LostWhy::Released);
        assert_eq!(letters(&mailbox), (vec![], vec![TOKEN]));
    }
}
