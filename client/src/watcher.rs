//! A watch in its caller's hands: what changes, each event once and in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::handle::unexpected;
use crate::machine::{Done, OpId};
use crate::mailbox::Letter;
use crate::{Failure, Outcome, Session, Unavailable};

/// So many events may wait unread.
const UNREAD_MAX: usize = 10_000;

/// What a watch sees. Dropping it ends the watch; it keeps the session open.
///
/// It outlives lost connections: through the next one the session asks for what came after the last event it saw. Where
/// the cluster does not keep that any more, the watch ends as `compacted`: list the leases again, and watch after that page's revision.
/// Events that the program does not read wait in memory; once 10,000 do, the watch ends with
/// [`Unavailable::Unread`], after these.
#[derive(Debug)]
pub struct Watcher {
    session: Session,
    op: OpId,
    feed: Arc<Feed>,
    revision: u64,
}

impl Session {
    /// Sees every change of a lease, or of all whose names start so, from a revision on: done once the watch has begun.
    pub async fn watch(&self, watch: api::Watch) -> Outcome<Watcher> {
        let after = watch.after;
        let ends = Some(self.now().after(self.deadline));
        let (answer, answered) = oneshot::channel();
        let (op, feed) = (self.shared.mailbox.next_op(), Arc::new(Feed::default()));
        // Made before the answer comes: a caller that goes away meanwhile drops it, and so ends the watch.
        let mut watcher = Watcher { session: self.clone(), op, feed: feed.clone(), revision: 0 };
        self.shared.mailbox.post(Letter::Watch { op, watch, ends, answer, feed });
        let closed = Err(Failure::Unavailable(Unavailable::Closed));
        let begun = answered.await.unwrap_or(closed).and_then(|done| match done {
            Done::Reply(api::Reply::Watching(watching)) => Ok(after.unwrap_or(watching.revision)),
            _ => Err(unexpected()),
        });
        begun
            .map(|revision| {
                watcher.revision = revision;
                watcher
            })
            .into()
    }
}

impl Watcher {
    /// The next event; why the watch is over, once; then none. A call that is dropped has taken nothing.
    pub async fn next(&mut self) -> Option<Result<api::Event, Failure>> {
        let next = self.feed.next().await;
        if let Some(Ok(event)) = &next {
            self.revision = event.revision;
        }
        next
    }

    /// Up to which revision everything was read: where another watch would go on.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.session.shared.mailbox.post(Letter::Abandon { op: self.op });
    }
}

/// The way from the session's task to one watcher.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    unread: Mutex<Unread>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Unread {
    events: VecDeque<api::Event>,
    /// Why it is over, until that is read.
    end: Option<Failure>,
    over: bool,
}

impl Feed {
    /// Adds what fits; false where that is not all, and the watch is over.
    pub(crate) fn push(&self, events: Vec<api::Event>) -> bool {
        let mut unread = self.unread();
        let room = UNREAD_MAX.saturating_sub(unread.events.len());
        let fits = events.len() <= room;
        unread.events.extend(events.into_iter().take(room));
        drop(unread);
        if !fits {
            self.end(Failure::Unavailable(Unavailable::Unread { limit: UNREAD_MAX }));
        }
        self.told.notify_one();
        fits
    }

    /// The watch is over. The first reason stands.
    pub(crate) fn end(&self, failure: Failure) {
        let mut unread = self.unread();
        if !unread.over {
            (unread.over, unread.end) = (true, Some(failure));
        }
        drop(unread);
        self.told.notify_one();
    }

    async fn next(&self) -> Option<Result<api::Event, Failure>> {
        loop {
            {
                let mut unread = self.unread();
                if let Some(event) = unread.events.pop_front() {
                    return Some(Ok(event));
                }
                if unread.over {
                    return unread.end.take().map(Err);
                }
            }
            self.told.notified().await;
        }
    }

    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(revisions: std::ops::Range<u64>) -> Vec<api::Event> {
        let (namespace, name) = ("default".to_owned(), "a".to_owned());
        let what = api::What::Unpinned(api::EventPin { entity: "e".to_owned() });
        let event = api::Event { revision: 0, namespace, name, what };
        revisions.map(|revision| api::Event { revision, ..event.clone() }).collect()
    }

    #[tokio::test]
    async fn what_fits_is_read_before_the_end_is_told_once() {
        let feed = Feed::default();
        assert!(feed.push(events(1..10_000)));
        assert!(!feed.push(events(10_000..10_003)), "three, where there is room for one");
        feed.end(Failure::Unavailable(Unavailable::Closed));
        for revision in 1..=10_000 {
            assert!(matches!(feed.next().await, Some(Ok(event)) if event.revision == revision));
        }
        let unread = Failure::Unavailable(Unavailable::Unread { limit: 10_000 });
        assert_eq!(feed.next().await, Some(Err(unread)));
        assert_eq!(feed.next().await, None);
        assert_eq!(feed.next().await, None);
    }
}
