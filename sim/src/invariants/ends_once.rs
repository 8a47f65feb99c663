//! Every call, wait and acquire among them, ends exactly once, and in time; and so does every ask of a member.

use std::collections::BTreeMap;

use super::Kept;
use crate::chance::MILLI;
use crate::clock::Shown;

/// How much later than its time a caller may be told.
const SLACK: u64 = 20 * MILLI;

#[derive(Default)]
pub(crate) struct EndsOnce {
    /// By client and call: when it is to have ended, in true time.
    open: BTreeMap<(usize, u64), u64>,
}

impl EndsOnce {
    pub(crate) fn asked(&mut self, client: usize, op: u64, ends: u64) {
        self.open.insert((client, op), ends);
    }

    /// The caller gave it up: it is to be told nothing.
    pub(crate) fn abandoned(&mut self, client: usize, op: u64) {
        self.open.remove(&(client, op));
    }

    pub(crate) fn ended(&mut self, client: usize, op: u64) -> Kept {
        match self.open.remove(&(client, op)) {
            Some(_) => Ok(()),
            None => Err(format!("call {op} of client {client} ended, and was not open")),
        }
    }

    /// Looks at those of a client that is not paused.
    pub(crate) fn look(&self, client: usize, now: u64) -> Kept {
        for ((_, op), ends) in self.open.range((client, 0)..(client + 1, 0)) {
            if *ends + SLACK < now {
                return Err(format!(
                    "call {op} of client {client} was to end by {} and did not",
                    Shown(*ends)
                ));
            }
        }
        Ok(())
    }
}
