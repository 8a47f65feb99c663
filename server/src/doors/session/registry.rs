//! Which sessions there are, so that all can be told to go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::outbox::{Going, Outbox};
use crate::identity::Caller;

/// Somebody who can be told to go: a session, or another door's connection that lasts.
pub(in crate::doors) trait Told: Send + Sync {
    /// Tells it so. It is quick, and may be told again.
    fn go(&self, going: &Going);
}

impl Told for Outbox {
    fn go(&self, going: &Going) {
        Outbox::go(self, going);
    }
}

/// Every session of this process.
#[derive(Default)]
pub(crate) struct Registry {
    sessions: Mutex<Sessions>,
    emptied: Notify,
}

#[derive(Default)]
struct Sessions {
    next: u64,
    live: BTreeMap<u64, (Arc<dyn Told>, Arc<Caller>)>,
    going: Option<Going>,
}

/// A session's place in the registry, which it leaves when this is dropped.
pub(in crate::doors) struct Place {
    registry: Arc<Registry>,
    number: u64,
}

impl Registry {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a session in. One that comes while the others go is told to go at once.
    pub(in crate::doors) fn join(self: &Arc<Self>, told: Arc<dyn Told>, caller: &Arc<Caller>) -> Place {
        let mut sessions = self.sessions();
        let number = sessions.next;
        sessions.next += 1;
        if let Some(going) = &sessions.going {
            told.go(going);
        }
        sessions.live.insert(number, (told, Arc::clone(caller)));
        Place { registry: Arc::clone(self), number }
    }

    /// Tells every session to go; and those that come from now on so, who know no better member, or hope to find one here.
    pub(crate) fn go(&self, going: &Going, newcomers: Going) {
        let mut sessions = self.sessions();
        for (told, _) in sessions.live.values() {
            told.go(going);
        }
        // Who must go from a member that stops may not stay for another reason.
        if !matches!(sessions.going, Some(Going::Must(_))) {
            sessions.going = Some(newcomers);
        }
    }

    /// Ends the sessions of those who are not known any more.
    pub(crate) fn end_where(&self, going: &Going, is_over: impl Fn(&Caller) -> bool) {
        for (told, _) in self.sessions().live.values().filter(|(_, caller)| is_over(caller)) {
            told.go(going);
        }
    }

    /// Sessions that come from now on may stay, where this is what they were told to go for.
    pub(crate) fn stay(&self, told: &Going) {
        let mut sessions = self.sessions();
        sessions.going.take_if(|going| going == told);
    }

    /// How many sessions there are.
    pub(crate) fn count(&self) -> usize {
        self.sessions().live.len()
    }

    /// Once there is no session.
    pub(crate) async fn empty(&self) {
        loop {
            // Asked for before the look, so that a session that leaves in between is not missed.
            let emptied = self.emptied.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.registry.sessions();
        sessions.live.remove(&self.number);
        if sessions.live.is_empty() {
            self.registry.emptied.notify_waiters();
        }
    }
}
