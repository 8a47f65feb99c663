//! Snapshots whose checksums are right and whose contents are not, and lengths that cannot be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lease::{
    Batch, Claim, Command, Entity, Holder, Instance, Key, Name, Namespace, Reason, Request, Seq, Time, Ttl,
};
use proptest::prelude::*;

use super::parsers::{read, sealed, sealed_snapshot, snapshot};
use super::write::pieces;
use super::*;
use crate::log::MemoryDisk;
use crate::parsers::edits::{edited, edits, within_bounds};
use crate::raft::types::{CommittedLeaderId, LogId, Peer};

const OWNER: Owner = Owner { cluster: 7, member: 1 };

fn table() -> Table {
    let key =
        |name: &str| Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse(name).unwrap() };
    let claim = |name: &str| {
        Command::Claim(Claim {
            key: key(name),
            holder: Holder::parse("mysql/0").unwrap(),
            instance: Instance(5),
            seq: Seq(6),
            ttl: Ttl::from_millis(5_000),
            value: None,
        })
    };
    let pin = Command::Pin {
        key: key("c"),
        entity: Entity::parse("machine-0").unwrap(),
        why: Reason::parse("repair").unwrap(),
    };
    let mut table = Table::new(0);
    for (at, commands) in [(0, vec![claim("a"), claim("b"), pin]), (10_000, vec![claim("d")])] {
        let requests = commands.into_iter().map(|command| Request { not_after: None, command }).collect();
        let stamp = Time::ZERO.after(Ttl::from_millis(at));
        table.apply(1, &Batch { term: 1, stamp, sweep: 10, requests });
    }
    table
}

fn head(index: u64) -> Head {
    let id = Some(LogId::new(CommittedLeaderId::new(3), index));
    let nodes = [(1, Peer { drains: true, ..Peer::at("a:7401") }), (2, Peer::default())];
    let membership = openraft::Membership::new(vec![BTreeSet::from([1])], BTreeMap::from(nodes)).unwrap();
    let last_membership = crate::raft::Membership::new(id, membership);
    Head { meta: SnapshotMeta { last_log_id: id, last_membership }, removed: [4, 9].into() }
}

fn bytes() -> Vec<u8> {
    pieces(OWNER, &head(9), &table().freeze()).flatten().collect()
}

/// The same without checksums, as [`sealed`] takes it.
fn plan() -> Vec<u8> {
    let frozen = table().freeze();
    let pieces: Vec<Vec<u8>> = pieces(OWNER, &head(9), &frozen).collect();
    let mut plan = pieces[0][..pieces[0].len() - 4].to_vec();
    for section in frozen.sections() {
        plan.extend_from_slice(&(section.len() as u16).to_le_bytes());
        plan.extend_from_slice(&section);
    }
    plan
}

#[test]
fn what_is_written_is_accepted_and_a_plan_of_it_is_the_same() {
    assert!(snapshot(&bytes()));
    assert!(sealed(&plan()) == bytes());
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        assert!(!within_bounds(&bytes, snapshot));
    }

    #[test]
    fn what_was_changed_is_refused(at in any::<prop::sample::Index>(), by in 1_u8.., cut in any::<prop::sample::Index>()) {
        let bytes = bytes();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= by;
        assert!(!within_bounds(&changed, snapshot));
        assert!(!snapshot(&bytes[..cut.index(bytes.len())]));
    }

    #[test]
    fn what_was_changed_before_it_was_sealed_is_a_sound_state_or_refused(edits in edits()) {
        sealed_snapshot(&edited(plan(), &edits));
    }
}

#[test]
fn a_header_that_says_what_none_could_is_refused() {
    let plan = plan();
    let change = |at: usize, to: &[u8]| {
        let mut plan = plan.clone();
        plan[at..at + to.len()].copy_from_slice(to);
        sealed_snapshot(&plan)
    };
    assert!(change(0, b"TENUSNAP"), "as it is");
    assert!(!change(8, &[0]), "version 0");
    assert!(!change(8, &[1]), "version 1 knows no removed members");
    assert!(!change(8, &[3]), "version 3");
    assert!(!change(10, &[1]), "another group");
    assert!(!change(40, &[0]), "a last entry that is not there, and its index");
    assert!(!change(40, &[2]), "neither there nor not");
    let length = u32::from_le_bytes([plan[12], plan[13], plan[14], plan[15]]) as usize;
    let removed = 16 + length - 20;
    assert_eq!(plan[removed..removed + 12], [2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert!(!change(removed + 4, &[9]), "a removed member twice");
    assert!(!change(removed + 4, &[10]), "removed members out of order");
    assert!(!change(removed, &[1]), "one that is not counted");
    assert!(!change(removed, &[0xff; 4]), "four thousand million of them");
}

#[test]
fn a_length_that_promises_gigabytes_takes_no_memory() {
    let bytes = bytes();
    let with = |at: usize| {
        let mut changed = bytes.clone();
        changed[at..at + 4].fill(0xff);
        changed
    };
    let header = 16 + u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize + 4;
    assert_eq!(bytes[header], CHUNK);
    for changed in [with(12), with(header + 1)] {
        assert!(!within_bounds(&changed, snapshot));
    }
    // Nor does one that is within the limits and beyond the file.
    let mut changed = bytes.clone();
    changed[header + 1..header + 5].copy_from_slice(&(16_u32 << 20).to_le_bytes());
    assert!(!within_bounds(&changed, |bytes| read(bytes).is_some()));
}

#[test]
fn a_snapshot_under_anothers_name_is_refused() {
    let disk = MemoryDisk::new();
    let snapshots = Snapshots { disk: Arc::new(disk.clone()), owner: OWNER };
    let table = table().freeze();
    let written = |index| snapshots.write(&head(index), &table).unwrap();
    let older = disk.read(&written(9).name).unwrap_or_default();
    let name = written(12).name;
    assert!(snapshots.newest().is_ok_and(|newest| newest.is_some()));
    disk.damage(&name, |bytes| *bytes = older);
    let error = snapshots.newest().map(drop).unwrap_err().to_string();
    assert!(
        error.contains(&name) && error.contains("that of snapshot-0000000000000003-0000000000000009"),
        "{error}"
    );
}
