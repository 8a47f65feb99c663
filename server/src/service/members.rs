//! Changes of the members: from a call to what the replica is asked, and back.

use std::collections::BTreeSet;

use api::{ChangeMembers, Code, Member, Members, Problem, Reply};
use replica::{MemberChange, MemberView, Unchanged};

use super::{Done, Service, parse, word};

impl Service {
    pub(super) fn members(&self, asked: ChangeMembers, sink: impl FnOnce(Done) + Send + 'static) {
        let deadline = match parse::deadline(asked.deadline_ms) {
            Ok(deadline) => deadline,
            Err(problem) => return sink(Done::refused(problem)),
        };
        let change = asked.change.map_or(MemberChange::List, changed);
        let reply = Box::new(move |changed: Result<Vec<MemberView>, Unchanged>| sink(Done::Members(changed)));
        self.backend.change_members(change, deadline, reply);
    }
}

fn changed(change: api::MemberChange) -> MemberChange {
    match change {
        api::MemberChange::Add { id, address } => MemberChange::Add { id, address },
        api::MemberChange::Promote { ids } => MemberChange::Promote(BTreeSet::from_iter(ids)),
        api::MemberChange::Remove { ids } => MemberChange::Remove(BTreeSet::from_iter(ids)),
        api::MemberChange::Replace { old, new } => MemberChange::Replace { old, new },
        api::MemberChange::SetAddress { id, address } => MemberChange::Move { id, address },
        api::MemberChange::TransferLeadership { to } => MemberChange::Lead(to),
    }
}

/// What the replica said of the members.
pub(super) fn worded(changed: Result<Vec<MemberView>, Unchanged>, chance: u32) -> Reply {
    match changed {
        Ok(members) => Reply::Members(Members { members: members.into_iter().map(shown).collect() }),
        Err(Unchanged::Refused(why)) => Reply::Error(Problem::new(Code::Members, why)),
        Err(Unchanged::Unknown) => Reply::Error(word::unknown()),
        Err(Unchanged::NoLeader) => Reply::Error(word::unavailable(replica::Unavailable::NoLeader, chance)),
    }
}

fn shown(member: MemberView) -> Member {
    let MemberView { id, address, is_voter, leads, lacks, heard_ago } = member;
    Member { id, address, voter: is_voter, leads, lacks, heard_ago_ms: heard_ago.map(lease::Ttl::as_millis) }
}
