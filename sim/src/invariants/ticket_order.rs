//! Queue grants follow ticket order within a leader's life, and no plain claim passes those that wait.

use std::collections::BTreeMap;

use lease::{Command, Holder, Instance, Key, Outcome, Seq, What};
use replica::simulation::InLine;

use super::Kept;

/// Who was first in line when a claim came to a leader, and when that was.
struct Came {
    at: u64,
    term: u64,
    first: Option<InLine>,
}

#[derive(Default)]
pub(crate) struct TicketOrder {
    /// By member and claim. The first time that it came counts: a repeat's may be under way already.
    claims: BTreeMap<(usize, Instance, Seq), Came>,
    /// When somebody last left a line of a member.
    left: BTreeMap<usize, u64>,
}

impl TicketOrder {
    /// A leader's batch is on its way: each succession in it goes to the first in line.
    pub(crate) fn proposed(&self, key: &Key, to: (&Holder, Instance), line: &[InLine]) -> Kept {
        match line.iter().find(|waiter| waiter.live) {
            Some(first) if (&first.holder, first.instance) != to => Err(format!(
                "{key} goes to {} of instance {}, and {} of instance {} is before it in line",
                to.0, to.1.0, first.holder, first.instance.0
            )),
            _ => Ok(()),
        }
    }

    /// A claim comes to a member, whose line is empty where nobody could be passed by.
    pub(crate) fn came(
        &mut self,
        member: usize,
        at: u64,
        term: u64,
        claim: (&Holder, Instance, Seq),
        line: &[InLine],
    ) {
        let is_own = |waiter: &&InLine| (&waiter.holder, waiter.instance) == (claim.0, claim.1);
        let own = line.iter().any(|waiter| is_own(&waiter));
        let first = line.iter().find(|waiter| waiter.live).filter(|_| !own).cloned();
        self.claims.entry((member, claim.1, claim.2)).or_insert(Came { at, term, first });
    }

    pub(crate) fn left(&mut self, member: usize, at: u64) {
        self.left.insert(member, at);
    }

    /// The claims that are among those that a claim's entry may answer.
    pub(crate) fn claims<'a>(
        batch: &'a lease::Batch,
        applied: &'a lease::Applied,
    ) -> impl Iterator<Item = (&'a lease::Claim, lease::Token)> {
        // What came to an heir is unconfirmed, whoever takes it over then.
        let new = |token| {
            let is_new = |what: &What| matches!(what, What::Granted { token: it, confirmed: true, .. } if *it == token);
            applied.events.iter().any(|event| is_new(&event.what))
        };
        batch.requests.iter().zip(&applied.outcomes).filter_map(move |(request, outcome)| {
            match (&request.command, outcome) {
                (Command::Claim(claim), Outcome::Granted(granted)) if new(granted.token) => {
                    Some((claim, granted.token))
                }
                _ => None,
            }
        })
    }

    /// A claim was granted what was free by an entry of `term`, while `line` stands at the member that made it. In another term
    /// than the one that it came in, those who wait through other members may have had to come again.
    pub(crate) fn granted(&self, member: usize, term: u64, claim: &lease::Claim, line: &[InLine]) -> Kept {
        let came = self.claims.get(&(member, claim.instance, claim.seq)).filter(|came| came.term == term);
        let Some(Came { at, first: Some(first), .. }) = came else { return Ok(()) };
        // Its own place was kept since an earlier term, and came back.
        let is_first = |waiter: &InLine| {
            (&waiter.holder, waiter.instance) == (&claim.holder, claim.instance)
                && waiter.ticket < first.ticket
        };
        if line.iter().any(is_first) {
            return Ok(());
        }
        let stayed = line.iter().any(|waiter| waiter.live && waiter.ticket == first.ticket)
            && self.left.get(&member).is_none_or(|left| left < at);
        match stayed {
            true => Err(format!(
                "{}: a claim of {} passed {}, who waits with ticket {:?}",
                claim.key, claim.holder, first.holder, first.ticket
            )),
            false => Ok(()),
        }
    }
}
