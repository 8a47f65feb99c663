//! Changes of the members: from a call to what the replica is asked, and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{ChangeMembers, Code, Member, Members, Problem, Reply};
use replica::{MemberChange, MemberView, ReplyFn, Unchanged};

use super::{Done, Service, parse, word};
use crate::tls;

impl Service {
    pub(super) fn members(&self, asked: ChangeMembers, sink: impl FnOnce(Done) + Send + 'static) {
        let deadline = match parse::deadline(asked.deadline_ms) {
            Ok(deadline) => deadline,
            Err(problem) => return sink(Done::refused(problem)),
        };
        if asked.stale && asked.change.is_some() {
            let message =
                "stale goes with no change: members are changed by who leads; leave one of them out";
            return sink(Done::refused(Problem::new(Code::BadRequest, message).in_field("stale")));
        }
        let from = asked.stale.then(|| self.stale());
        let change = asked.change.map_or(MemberChange::List, changed);
        let peer_ca = match self.peer_ca.as_deref().map_or(Ok(Vec::new()), tls::fingerprints) {
            Ok(peer_ca) => peer_ca.iter().map(|print| print.to_string()).collect(),
            Err(error) => return sink(Done::refused(Problem::new(Code::Members, error.to_string()))),
        };
        let (cluster, backend) = (format!("{:032x}", self.cluster), Arc::clone(&self.backend));
        let reply: ReplyFn<_> = Box::new(move |changed: Result<Vec<MemberView>, Unchanged>| {
            let around = Around { cluster, removed: backend.removed(), peer_ca };
            let done = Done::Members(changed, around);
            sink(match from {
                Some(from) => Done::Stale(from, Box::new(done)),
                None => done,
            });
        });
        match from {
            // Nothing is applied here yet.
            Some(_) if self.backend.members().is_empty() => reply(Err(Unchanged::NoLeader)),
            Some(_) => reply(Ok(self.backend.members())),
            None => self.backend.change_members(change, deadline, reply),
        }
    }
}

fn changed(change: api::MemberChange) -> MemberChange {
    match change {
        api::MemberChange::Add { id, address } => MemberChange::Add { id, address },
        api::MemberChange::Promote { ids } => MemberChange::Promote(BTreeSet::from_iter(ids)),
        api::MemberChange::Remove { ids } => MemberChange::Remove(BTreeSet::from_iter(ids)),
        api::MemberChange::Replace { old, new } => MemberChange::Replace { old, new },
        api::MemberChange::SetAddress { id, address } => MemberChange::Move { id, address },
        api::MemberChange::Drain { id, end } => MemberChange::Drain { id, on: !end },
        api::MemberChange::TransferLeadership { to } => MemberChange::Lead(to),
    }
}

/// What is told beside the members.
pub(crate) struct Around {
    cluster: String,
    removed: Vec<u64>,
    peer_ca: Vec<String>,
}

/// What the replica said of the members.
pub(super) fn worded(changed: Result<Vec<MemberView>, Unchanged>, around: Around, chance: u32) -> Reply {
    let Around { cluster, removed, peer_ca } = around;
    match changed {
        Ok(members) => {
            let members = members.into_iter().map(shown).collect();
            Reply::Members(Members { members, cluster, removed, peer_ca, stale: None })
        }
        Err(Unchanged::Refused(why)) => Reply::Error(Problem::new(Code::Members, why)),
        Err(Unchanged::Unknown) => Reply::Error(word::unknown()),
        Err(Unchanged::NoLeader) => Reply::Error(word::unavailable(replica::Unavailable::NoLeader, chance)),
    }
}

fn shown(member: MemberView) -> Member {
    let MemberView { id, address, is_voter, leads, drains, lacks, heard_ago } = member;
    Member {
        id,
        address,
        voter: is_voter,
        leads,
        draining: drains,
        lacks,
        heard_ago_ms: heard_ago.map(lease::Ttl::as_millis),
    }
}
