//! When the workers of this member started, and how often: they start with the process, or with its lead.

use std::sync::{Mutex, PoisonError};

use crate::tls;

/// What is remembered. Whoever looks at the member's status now and then tells it here; a lead that came and went between two looks
/// is not counted.
#[derive(Debug)]
pub(crate) struct Workers(Mutex<History>);

/// The same, to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// When the process began.
    pub(crate) began: String,
    /// When the lead last came or went.
    pub(crate) changed: String,
    /// How often it did.
    pub(crate) changes: u64,
    /// How often it came.
    pub(crate) leads: u64,
    /// Whether it is here.
    pub(crate) is_leading: bool,
}

impl Workers {
    pub(crate) fn new() -> Workers {
        let began = now();
        let changed = began.clone();
        Workers(Mutex::new(History { began, changed, changes: 0, leads: 0, is_leading: false }))
    }

    /// Takes in whether this member leads.
    pub(crate) fn look(&self, is_leading: bool) -> History {
        let mut history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if history.is_leading != is_leading {
            history.is_leading = is_leading;
            history.changes += 1;
            history.leads += u64::from(is_leading);
            history.changed = now();
        }
        history.clone()
    }
}

/// `2026-11-26 22:31:09`, in UTC.
fn now() -> String {
    let instant = tls::instant_now();
    instant.get(..19).unwrap_or(&instant).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::Workers;

    #[test]
    fn each_change_of_the_lead_is_counted_once() {
        let workers = Workers::new();
        assert_eq!((workers.look(false).changes, workers.look(false).leads), (0, 0));
        workers.look(true);
        let leading = workers.look(true);
        assert_eq!((leading.changes, leading.leads, leading.is_leading), (1, 1, true));
        let after = workers.look(false);
        assert_eq!((after.changes, after.leads, after.is_leading), (2, 1, false));
        assert_eq!(after.began.len(), "2026-11-26 22:31:09".len(), "{}", after.began);
    }
}
