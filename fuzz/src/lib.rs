//! What must hold of readers that are open to all. Those that are not have theirs beside them: `replica::parsers`, `server::parsers`.
//!
//! Each function reads, panics where more was accepted than may be, and tells whether it was.

use api::ServerFrame;
use claimer::duration::GoDuration;
use claimer::juju::snapshot::Snapshot;
use lease::{Batch, Outcome, Table};

/// A batch of the log.
pub fn batch(bytes: &[u8]) -> bool {
    let Ok(batch) = Batch::decode(bytes) else { return false };
    let mut again = Vec::new();
    batch.encode(&mut again);
    assert!(again == bytes, "{bytes:?} was accepted as {batch:?}");
    true
}

/// What the leader answers a member.
pub fn outcome(bytes: &[u8]) -> bool {
    let Ok(outcome) = Outcome::decode(bytes) else { return false };
    let mut again = Vec::new();
    outcome.encode(&mut again);
    assert!(again == bytes, "{bytes:?} was accepted as {outcome:?}");
    true
}

/// The table in a snapshot: `bytes` is its sections one behind the other, without the length of each, for which there are two bytes
/// in front of it.
pub fn table(mut bytes: &[u8]) -> bool {
    let mut sections = Vec::new();
    while let Some((&[low, high, tag, version], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (body, rest) = rest.split_at(length);
        let mut section = vec![tag, version];
        section.extend_from_slice(&(length as u32).to_le_bytes());
        section.extend_from_slice(body);
        sections.push(section);
        bytes = rest;
    }
    let Ok(table) = Table::thaw(sections.into_iter().map(Ok)) else { return false };
    assert_eq!(table.check(), Ok(()));
    // Sections may end elsewhere than where they are written to end, so it is the second time that counts.
    let again: Vec<Vec<u8>> = table.freeze().sections().collect();
    let thawed = Table::thaw(again.iter().cloned().map(Ok));
    assert!(thawed.is_ok_and(|table| table.freeze().sections().eq(again)), "it is another the next time");
    true
}

/// A frame of a session's server, as its client reads it.
pub fn server_frame(text: &str) -> bool {
    let Ok(frame) = serde_json::from_str::<ServerFrame>(text) else { return false };
    let again = serde_json::to_string(&frame).unwrap_or_default();
    assert_eq!(serde_json::from_str::<ServerFrame>(&again).ok(), Some(frame));
    true
}

/// A duration in Go's form.
pub fn duration(text: &str) -> bool {
    let Ok(duration) = GoDuration::parse(text) else { return false };
    assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration), "{text}");
    true
}

/// A snapshot of Juju's leases.
pub fn juju_snapshot(text: &str) -> bool {
    let Ok(snapshot) = Snapshot::read(text) else { return false };
    // Juju writes no entity twice, and no lease without one among the pins.
    let again = snapshot.to_string();
    let mut kept = snapshot.clone();
    kept.pinned.retain(|_, entities| !entities.is_empty());
    assert_eq!(Snapshot::read(&again), Ok(kept), "{again}");
    let import = snapshot.import();
    assert!(import.wanted.len() + import.over <= snapshot.entries.len() + snapshot.pinned.len());
    true
}
