//! What the last member of a cluster has, read from its folders as they are: the beginning of a new cluster, where a majority of the
//! old one is lost for good.
//!
//! Every entry of its log counts, also those that it does not know to be committed: some of them may be, and have been acknowledged.
//! Entries that only the lost members had are lost, and what was acknowledged by them with them; the table protects what it knows of
//! ([`lease::Recovery::SoleSurvivor`]).

use std::sync::Arc;

use openraft::EntryPayload;

use super::backup::{Backup, Home};
use super::{Head, Owner, Snapshots};
use crate::log::{self, Identity};
use crate::raft::codec::decode_payload;
use crate::raft::types::{CommittedLeaderId, Data, LogId, Membership, SnapshotMeta};
use crate::{StartError, check_gap};

impl Backup {
    /// Reads what a member that does not run has: its newest snapshot and every entry of its log. Nothing there is changed.
    ///
    /// # Errors
    /// [`StartError`], as the member's own start would say.
    pub fn of_survivor(home: &Home) -> Result<Backup, StartError> {
        let owner = Owner { cluster: home.cluster, member: home.member };
        let snapshots = Snapshots { disk: Arc::clone(&home.snapshot_disk), owner };
        let newest = match snapshots.newest_file()? {
            Some((_, file)) => Some(file.read(owner)?),
            None => None,
        };
        let identity = Identity { cluster: home.cluster, node: home.member, group: 0 };
        let options = log::Options { expect: log::Expect::Log, ..log::Options::default() };
        let found = log::read(Arc::clone(&home.log_disk), identity, options)?;
        check_gap(&snapshots, newest.as_ref().map(|(head, _)| head), found.purged.map(|id| id.index))?;
        let (Head { meta, .. }, mut table) =
            newest.unwrap_or_else(|| (Head::default(), lease::Table::new(0)));
        let covered = meta.last_log_id.map(|id| id.index);
        let SnapshotMeta { mut last_log_id, mut last_membership, .. } = meta;
        for entry in found.entries.iter().filter(|entry| Some(entry.id.index) > covered) {
            let id = LogId::new(CommittedLeaderId::new(entry.id.term), entry.id.index);
            match decode_payload(&entry.payload)? {
                EntryPayload::Blank => {}
                EntryPayload::Membership(membership) => {
                    last_membership = Membership::new(Some(id), membership)
                }
                EntryPayload::Normal(Data(batch)) => drop(table.apply(id.leader_id.term, &batch)),
            }
            last_log_id = Some(id);
        }
        let meta = SnapshotMeta { last_log_id, last_membership };
        Ok(Backup { owner, meta, table, bytes: 0 })
    }
}
