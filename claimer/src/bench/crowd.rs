//! Those who wait in line for leases that others hold: each on a connection of its own, as a fleet's other members are.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Acquire, Options, Session};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinHandle;

use super::broken;
use super::reach::Reach;
use crate::RunError;

/// A session goes back to its first member so soon after that is there again, or in twice the time.
pub(super) const HOME_AFTER: Duration = Duration::from_secs(1);
/// How many connect at a time.
const AT_ONCE: usize = 256;
/// Of so many, one is in each wave.
const WAVE: usize = 3;

/// Waiters, and what they were granted.
pub(super) struct Crowd {
    reach: Reach,
    patience: Duration,
    waiters: Vec<Waiter>,
    granted: Arc<AtomicU64>,
}

/// One who waits.
struct Waiter {
    number: usize,
    lease: String,
    session: Session,
    task: JoinHandle<()>,
}

impl Crowd {
    /// Brings `each` to every one of these leases, as many of them at each member.
    pub(super) async fn gather(
        leases: Range<usize>,
        each: usize,
        lease: impl Fn(usize) -> String,
        reach: &Reach,
        patience: Duration,
    ) -> Result<Crowd, RunError> {
        let mut crowd =
            Crowd { reach: reach.clone(), patience, waiters: Vec::new(), granted: Arc::default() };
        let wanted = leases.flat_map(|number| std::iter::repeat_n(lease(number), each)).enumerate().collect();
        crowd.waiters = crowd.come(wanted).await?;
        Ok(crowd)
    }

    /// One in three goes away without a word, and comes again at once.
    pub(super) async fn stir(&mut self, wave: usize) -> Result<(), RunError> {
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiters).into_iter().partition(|it| it.number % WAVE == wave % WAVE);
        self.waiters = stay;
        let again = gone.into_iter().map(|waiter| {
            waiter.task.abort();
            drop(waiter.session);
            (waiter.number, waiter.lease)
        });
        let came = self.come(again.collect()).await?;
        self.waiters.extend(came);
        Ok(())
    }

    /// How many connections it has.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// How many leases came to those who wait, since they began; and sends them home.
    pub(super) async fn disperse(self) -> u64 {
        stream::iter(self.waiters)
            .for_each_concurrent(AT_ONCE, async |waiter| {
                waiter.task.abort();
                waiter.session.close().await;
            })
            .await;
        self.granted.load(Ordering::Acquire)
    }

    async fn come(&self, wanted: Vec<(usize, String)>) -> Result<Vec<Waiter>, RunError> {
        let come = |(number, lease)| self.comes(number, lease);
        stream::iter(wanted).map(come).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn comes(&self, number: usize, lease: String) -> Result<Waiter, RunError> {
        let options = Options { home_after: HOME_AFTER, ..self.reach.options(number, self.patience) };
        let session = Session::connect(options).await.map_err(broken)?;
        let acquire = Acquire::new(lease.clone(), format!("waiter-{number}"));
        let (waiting, granted) = (session.clone(), Arc::clone(&self.granted));
        let task = tokio::spawn(async move {
            if waiting.acquire(acquire).await.into_result().is_ok() {
                granted.fetch_add(1, Ordering::AcqRel);
            }
        });
        Ok(Waiter { number, lease, session, task })
    }
}
