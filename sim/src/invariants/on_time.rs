//! Late within the bound: a grant that nobody pins ends by D / (1 - rho) after what was applied last, a tick and a commit, and
//! the time in which the cluster was in trouble.

use std::collections::BTreeMap;

use lease::{Token, What};

use super::{Committed, Kept};
use crate::chance::MILLI;
use crate::clock::Shown;

/// A tick, a commit, and what the lease clock lags behind while nothing asks for a batch.
const SLACK: u64 = 600 * MILLI;

struct Due {
    by: u64,
    trouble: u64,
}

#[derive(Default)]
pub(crate) struct OnTime {
    due: BTreeMap<Token, Due>,
}

impl OnTime {
    pub(crate) fn committed(&mut self, entry: &Committed<'_>) -> Kept {
        for event in &entry.applied.events {
            match &event.what {
                What::Granted { token, .. } => self.set(entry, *token),
                What::Ended { end, .. } => {
                    if let Some(due) = self.due.remove(&end.token) {
                        check(end.token, &due, entry.at, entry.trouble)?;
                    }
                }
                // Pins come and go: of a lease that was ever pinned nothing is said.
                What::Pinned { key, .. } | What::Unpinned { key, .. } => {
                    let grant = entry.table.get(key).and_then(|view| view.grant);
                    if let Some(grant) = grant {
                        self.due.remove(&grant.token);
                    }
                }
                _ => {}
            }
        }
        entry.moved().for_each(|token| self.set(entry, token));
        Ok(())
    }

    /// Looks at those that live.
    pub(crate) fn look(&self, now: u64, trouble: u64) -> Kept {
        self.due.iter().try_for_each(|(token, due)| check(*token, due, now, trouble))
    }

    fn set(&mut self, entry: &Committed<'_>, token: Token) {
        self.due.remove(&token);
        let Some((key, grant)) = entry.table.grant(token) else { return };
        if entry.table.get(&key).is_some_and(|view| !view.pins.is_empty()) {
            return;
        }
        let left = entry.table.now().until(grant.deadline).as_nanos();
        let most = u128::from(left) * 1_000 / u128::from(1_000 - lease::RHO_PER_MILLE);
        self.due.insert(token, Due { by: entry.at + most as u64 + SLACK, trouble: entry.trouble });
    }
}

fn check(token: Token, due: &Due, now: u64, trouble: u64) -> Kept {
    let by = due.by + (trouble - due.trouble);
    match now > by {
        true => Err(format!(
            "the grant of token {token} stood until {}, and was due by {}",
            Shown(now),
            Shown(by)
        )),
        false => Ok(()),
    }
}
