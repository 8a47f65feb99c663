//! What is known of each grant, from the entries committed so far. No promise of its own.

use std::collections::{BTreeMap, BTreeSet};

use lease::{Command, Outcome, RevokeWhen, Time, Token, What};

use super::Committed;

#[derive(Default)]
pub(crate) struct Ledger {
    /// When each living grant ends, on the lease clock.
    pub(crate) deadlines: BTreeMap<Token, Time>,
    /// Those that are not confirmed.
    pub(crate) unconfirmed: BTreeSet<(Time, Token)>,
    /// Those that a revoke named, to end at their deadline.
    pub(crate) ending: BTreeSet<Token>,
    /// Those that a revoke ended at once.
    pub(crate) cut: BTreeSet<Token>,
}

impl Ledger {
    pub(crate) fn committed(&mut self, entry: &Committed<'_>) {
        for event in &entry.applied.events {
            match &event.what {
                What::Granted { token, .. } | What::Confirmed { token, .. } => self.look(entry, *token),
                What::Ended { end, .. } => self.forget(end.token),
                _ => {}
            }
        }
        entry.moved().for_each(|token| self.look(entry, token));
    }

    /// A grant may be revoked and end in one entry.
    pub(crate) fn note_ending(&mut self, entry: &Committed<'_>) {
        for (request, outcome) in entry.outcomes() {
            if let (Command::Revoke { token, when: RevokeWhen::AtDeadline, .. }, Outcome::Ending { .. }) =
                (&request.command, outcome)
            {
                self.ending.insert(*token);
            }
        }
    }

    fn look(&mut self, entry: &Committed<'_>, token: Token) {
        self.forget(token);
        if let Some((_, grant)) = entry.table.grant(token) {
            self.deadlines.insert(token, grant.deadline);
            if !grant.confirmed {
                self.unconfirmed.insert((grant.deadline, token));
            }
        }
    }

    fn forget(&mut self, token: Token) {
        if let Some(deadline) = self.deadlines.remove(&token) {
            self.unconfirmed.remove(&(deadline, token));
        }
    }
}
