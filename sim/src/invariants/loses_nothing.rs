//! A holder with more than 1 s left that keeps trying loses nothing: an extend that comes to the leader while its grant has
//! more than that left finds it, however long the log or the leader stands still.

use std::collections::BTreeMap;

use lease::{Command, End, Outcome, Refusal, Token, Why};

use super::{Committed, Kept};

#[derive(Default)]
pub(crate) struct LosesNothing {
    /// The leader and its term to which an extend of each token came last, when more than 1 s was left.
    tried: BTreeMap<Token, (usize, u64)>,
}

impl LosesNothing {
    /// An extend comes to a member, which leads in `term` if there is one.
    pub(crate) fn tried(&mut self, token: Token, leads: Option<(usize, u64)>, left_ns: u64) {
        match leads.filter(|_| left_ns > 1_000_000_000) {
            Some(leader) => drop(self.tried.insert(token, leader)),
            None => drop(self.tried.remove(&token)),
        }
    }

    pub(crate) fn committed(&mut self, entry: &Committed<'_>) -> Kept {
        for (request, outcome) in entry.outcomes() {
            let (
                Command::Extend { token, .. },
                Outcome::Refused(Refusal::Lost { end: Some(End { why: Why::Expired, .. }) }),
            ) = (&request.command, outcome)
            else {
                continue;
            };
            if self.tried.get(token) == Some(&(entry.by, entry.term)) {
                return Err(format!(
                    "the grant of token {token} expired before an extend that came when it had more than 1 s left"
                ));
            }
        }
        Ok(())
    }
}
