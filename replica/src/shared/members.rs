//! Who the members are, as applied entries say; and who is none any more, for ever.

use std::collections::BTreeSet;

use super::State;
use crate::raft::Membership;
use crate::raft::types::SnapshotMeta;
use crate::snapshot::Head;

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
