//! One leader a term: no two members of one term name different leaders. A term fences what its leader proposes.

use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct OneLeader {
    /// By term.
    leaders: BTreeMap<u64, u64>,
}

impl OneLeader {
    /// A member knows `leader` as that of `term`. An `Ok(true)` is news.
    pub(crate) fn known(&mut self, member: u64, term: u64, leader: u64) -> Result<bool, String> {
        match self.leaders.insert(term, leader) {
            None => Ok(true),
            Some(other) if other == leader => Ok(false),
            Some(other) => Err(format!(
                "m{member} knows m{leader} as the leader of term {term}, which m{other} was before"
            )),
        }
    }
}
