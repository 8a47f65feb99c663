//! What another member has acknowledged, and so must have until another leads.
//!
//! One that has it no more has an older folder than its own, or an empty one: whatever it has voted and acknowledged since is
//! forgotten. openraft takes it for granted that this does not happen, and would panic, or never feed it again.

use std::sync::{Mutex, PoisonError};

/// What one member has acknowledged to this one, over all connections to it.
#[derive(Default)]
pub(super) struct Acknowledged(Mutex<Newest>);

#[derive(Clone, Copy, Default)]
struct Newest {
    term: u64,
    index: Option<u64>,
}

impl Acknowledged {
    /// The last entry that it has acknowledged to the leader of `term`; one of an earlier term may have been overwritten since.
    pub(super) fn in_term(&self, term: u64) -> Option<u64> {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.index.filter(|_| newest.term == term)
    }

    pub(super) fn add(&self, term: u64, index: u64) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = newest.index.filter(|_| newest.term == term);
        if newest.term <= term {
            *newest = Newest { term, index: before.max(Some(index)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_to_an_earlier_leader_is_of_no_account() {
        let acknowledged = Acknowledged::default();
        assert_eq!(acknowledged.in_term(0), None);
        acknowledged.add(2, 7);
        acknowledged.add(2, 5);
        assert_eq!((acknowledged.in_term(2), acknowledged.in_term(3)), (Some(7), None));
        acknowledged.add(3, 4);
        acknowledged.add(2, 9);
        assert_eq!((acknowledged.in_term(2), acknowledged.in_term(3)), (None, Some(4)));
    }
}
