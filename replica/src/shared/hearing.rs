//! What a member hears of who leads: when there was news last, and whether it is answered.
//!
//! ```text
//!   heard        heartbeats and entries come from the leader     else `behind`, and a new election
//!   news         a quorum answers: by a leader, or as one        how old a stale answer may be
//!   unanswered   the leader answers what it is asked             else `unanswered`: a cut in one direction
//! ```

use std::sync::{Mutex, PoisonError};

use lease::Ttl;

use super::Shared;
use crate::clock::Mono;
use crate::handle::Age;

#[derive(Default)]
pub(super) struct Hearing {
    /// The newest term of which a leader was heard, and when that was last.
    heard: Mutex<Option<(u64, Mono)>>,
    /// When there was last news of a quorum, as far as the driver has looked.
    news: Mutex<Option<Mono>>,
    /// Since when the leader that is heard has not answered.
    unanswered: Mutex<Option<Mono>>,
}

impl Shared {
    /// A leader of that term sends entries or a heartbeat.
    pub(crate) fn hear_leader(&self, term: u64) {
        let now = self.clock.now();
        let mut heard = self.hearing.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.is_none_or(|(newest, _)| newest <= term) {
            *heard = Some((term, now));
        }
    }

    /// How long ago a leader of the newest term was heard.
    pub(crate) fn leader_heard_ago(&self) -> Option<Ttl> {
        let heard = *self.hearing.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|(_, at)| self.clock.now().since(at))
    }

    /// There was news of a quorum at that time.
    pub(crate) fn note_news(&self, at: Mono) {
        let mut news = self.hearing.news.lock().unwrap_or_else(PoisonError::into_inner);
        *news = (*news).max(Some(at));
    }

    pub(crate) fn age(&self) -> Age {
        let member = self.status.lock().unwrap_or_else(PoisonError::into_inner).member;
        let news = *self.hearing.news.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = news.map(|at| self.clock.now().since(at));
        // The driver looks once a second where nothing goes on.
        let heard_ago = [looked, self.leader_heard_ago()].into_iter().flatten().min();
        Age { member, heard_ago }
    }

    /// Whether the leader, asked since `asked_at`, has answered.
    pub(crate) fn note_answer(&self, asked_at: Mono, is_answered: bool) {
        let mut since = self.hearing.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        *since = (!is_answered).then(|| since.unwrap_or(asked_at));
    }

    /// For how long the leader that is heard has not answered.
    pub(crate) fn unanswered_for(&self) -> Option<Ttl> {
        let since = *self.hearing.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| self.clock.now().since(since))
    }
}
