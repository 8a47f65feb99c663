//! The whole state, for a backup: behind a read barrier, and frozen outside the replica's own thread.

use std::sync::Arc;

use api::Problem;
use lease::{DEADLINE_DEFAULT, Ttl};
use replica::{FrozenState, Read, Unavailable};

use super::{Service, stopping, word};
use crate::admission::Permit;

/// Backups that a member gives at a time: each keeps a whole table, and what has changed since, in memory.
pub(crate) const BACKUPS_MAX: usize = 1;

impl Service {
    /// A place for one more backup.
    ///
    /// # Errors
    /// `overloaded`, with when to come back; `stopping`.
    pub(crate) fn enter_backup(&self) -> Result<Arc<Permit>, Problem> {
        if self.is_stopping() {
            return Err(stopping());
        }
        self.backups.enter().ok_or_else(|| {
            let why = Unavailable::Overloaded { retry_after: Ttl::from_millis(5_000) };
            word::unavailable(why, rand::random())
        })
    }

    /// `sink` is told once everything that was answered before this call is in the state, or why that cannot be said.
    pub(crate) fn barrier(&self, sink: impl FnOnce(Result<(), Unavailable>) + Send + 'static) {
        self.backend.read(Read {
            stale: false,
            deadline: DEADLINE_DEFAULT,
            reply: Box::new(move |table| sink(table.map(|_| ()))),
        });
    }

    /// The state as it is, with everything that a [`Service::barrier`] before has promised.
    pub(crate) fn freeze(&self) -> FrozenState {
        self.backend.freeze()
    }

    /// What a caller is told who could not be given a state.
    pub(crate) fn unfrozen(why: Unavailable) -> Problem {
        word::unavailable(why, rand::random())
    }
}
