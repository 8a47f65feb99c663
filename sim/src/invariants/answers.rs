//! Every ask of a member is answered exactly once, and within its deadline, while the member lives: nothing is dropped in silence.

use std::collections::BTreeMap;

use api::Call;

use super::Kept;
use crate::chance::MILLI;
use crate::clock::Shown;

/// How much later than its deadline an answer may come: the member's clock may err, and its disk be busy.
const SLACK: u64 = 500 * MILLI;

struct Open {
    since: u64,
    life: u64,
    what: Call,
    /// None where it is for as long as its asker likes.
    by: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Answers {
    last: u64,
    open: BTreeMap<u64, Open>,
}

impl Answers {
    /// Something is asked of a member in its `life`, to be answered by then. Its number is the answer's.
    pub(crate) fn asked(&mut self, since: u64, life: u64, what: Call, by: Option<u64>) -> u64 {
        self.last += 1;
        self.open.insert(self.last, Open { since, life, what, by });
        self.last
    }

    /// What is open, a line each: for a trace.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.open.values().map(|it| format!("since {}, life {}: {:?}", Shown(it.since), it.life, it.what))
    }

    pub(crate) fn told(&mut self, ask: u64) -> Kept {
        match self.open.remove(&ask) {
            Some(_) => Ok(()),
            None => Err(format!("ask {ask} was answered twice")),
        }
    }

    /// Its answer will never come: no harm where its member is gone, which `lives` tells of a life.
    pub(crate) fn dropped(&mut self, ask: u64, lives: impl Fn(u64) -> bool) -> Kept {
        match self.open.remove(&ask) {
            Some(open) if lives(open.life) => Err(format!("{:?} was dropped, and never answered", open.what)),
            _ => Ok(()),
        }
    }

    /// Looks at those that are open; `since` tells of a life when it last began to run, if it does.
    pub(crate) fn look(&mut self, now: u64, since: impl Fn(u64) -> Option<u64>) -> Kept {
        for open in self.open.values() {
            let Some((by, since)) = open.by.zip(since(open.life)) else { continue };
            if by.max(since) + SLACK < now {
                return Err(format!("{:?} was to be answered by {}, and was not", open.what, Shown(by)));
            }
        }
        Ok(())
    }
}
