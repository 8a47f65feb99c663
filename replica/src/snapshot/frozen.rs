//! The state of a running member, frozen at one applied entry and carried off while the member goes on: what a backup is made
//! from. Its bytes are a snapshot's.

use std::fmt;

use lease::{Frozen, Table};

use super::write::pieces;
use super::{Head, Owner};
use crate::Handle;
use crate::handle::Reading;

/// The whole state at one applied entry. While it lives, the table copies what it changes, so it should not live long.
pub struct FrozenState {
    head: Head,
    table: Frozen,
    reading: Reading,
}

impl Handle {
    /// Freezes the state as this member has it; within microseconds where there are few leases, and about a millisecond with a
    /// million. Whoever wants all that was answered before makes a [`Handle::read`] first: its barrier is this call's too.
    pub fn freeze(&self) -> FrozenState {
        let state = self.shared.state();
        FrozenState { head: state.head(), table: state.table.freeze(), reading: state.reading() }
    }
}

impl FrozenState {
    /// The state of a table that no log has made, for tests.
    #[doc(hidden)]
    pub fn of(table: &Table) -> FrozenState {
        let reading = Reading { revision: table.revision(), now: table.now() };
        FrozenState { head: Head::default(), table: table.freeze(), reading }
    }

    /// Which state it is.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Gives the bytes of a backup, of the cluster `cluster` and written by its `member`, in pieces of at most a few hundred
    /// KiB; one is made when the one before has been taken.
    ///
    /// # Errors
    /// Whatever `take` returns; nothing follows it.
    pub fn give<E>(
        &self,
        cluster: u128,
        member: u64,
        mut take: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        pieces(Owner { cluster, member }, &self.head, &self.table).try_for_each(&mut take)
    }
}

impl fmt::Debug for FrozenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrozenState at revision {}", self.reading.revision.0)
    }
}
