//! No claimable key with a live waiter stays free, and no wait on a free key goes without its answer, while the leader is past
//! its grace and the log moves.

use std::collections::BTreeMap;

use super::Kept;
use crate::chance::MILLI;

/// How long it may take over a quick network: some batches and barriers.
pub(crate) const BOUND: u64 = 250 * MILLI;

/// Since when each key is free and somebody waits for it, all the while.
#[derive(Default)]
pub(crate) struct Served {
    waiting: BTreeMap<(usize, Who), u64>,
}

/// Whom a free key keeps waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    InLine,
    Waiting,
    /// Who waits, and has been looked at since it came.
    LookedAt,
}

impl Served {
    /// Whether somebody waits for a key that is free, and since when the one who waits longest does, at a leader that has not been
    /// in trouble since `calm_since`. It may last for `bound` nanoseconds: for each of them, since others come while some are told.
    pub(crate) fn look(
        &mut self,
        key: usize,
        who: Who,
        waits: Option<u64>,
        now: u64,
        calm_since: u64,
        bound: u64,
    ) -> Kept {
        let place = (key, who);
        let Some(came) = waits else {
            self.waiting.remove(&place);
            return Ok(());
        };
        let since = (*self.waiting.entry(place).or_insert(now)).max(came).max(calm_since);
        match since + bound < now {
            true => Err(format!(
                "lease {} is free, and {who:?} there is one who has not been told for {} ms",
                crate::door::NAMES[key],
                (now - since) / MILLI
            )),
            false => Ok(()),
        }
    }
}
