//! Who the members are, as applied entries say; and who is none any more, for ever.

use std::collections::BTreeSet;

use super::{Shared, State};
use crate::members::MemberView;
use crate::raft::types::SnapshotMeta;
use crate::raft::{Membership, Peer};
use crate::snapshot::Head;

impl Shared {
    /// The members by what is applied here, and who leads by what this member knows.
    pub(crate) fn members(&self) -> Vec<MemberView> {
        let leader = self.status().leader;
        let state = self.state();
        let membership = state.membership.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let view = |(id, peer): (&u64, &Peer)| MemberView {
            id: *id,
            address: peer.address.clone(),
            is_voter: voters.contains(id),
            leads: leader == Some(*id),
            drains: peer.drains,
            lacks: None,
            heard_ago: None,
        };
        membership.nodes().map(view).collect()
    }
}

impl State {
    /// Takes in who the members are from an entry on.
    pub(crate) fn take_members(&mut self, membership: Membership) {
        let ids = |membership: &Membership| {
            membership.membership().nodes().map(|(id, _)| *id).collect::<BTreeSet<u64>>()
        };
        let gone = &ids(&self.membership) - &ids(&membership);
        self.removed.extend(gone);
        self.membership = membership;
    }

    /// What a snapshot has of it beside the table.
    pub(crate) fn head(&self) -> Head {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        Head { meta, removed: self.removed.clone() }
    }
}
