//! Our own bytes for what openraft keeps: an entry's payload, and a membership.
//!
//! ```text
//! payload      kind u8: 0 blank │ 1 batch, then lease::Batch's bytes │ 2 membership, then as below
//! membership   configs u16, each: members u16, each: id u64, ascending
//!              nodes u16, each: id u64, ascending, length u16 (its highest bit: draining), address in UTF-8
//! ```
//!
//! Little-endian. The version of what stands here is the log's and the snapshot's format version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lease::{Batch, DecodeError, Namespace};
use openraft::{EntryPayload, Membership};

use super::types::{Data, Payload, Peer};

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// A payload on its way to the log's writer thread, which encodes it.
pub(crate) struct Encoded {
    pub(crate) payload: Payload,
    /// Counts the bytes that have been written to the log.
    pub(crate) written: Arc<AtomicU64>,
}

impl crate::log::Payload for Encoded {
    fn encode(&self, into: &mut Vec<u8>) {
        let before = into.len();
        encode_payload(&self.payload, into);
        self.written.fetch_add((into.len() - before) as u64, Ordering::Relaxed);
    }
}

/// Appends a payload's bytes.
pub(super) fn encode_payload(payload: &Payload, into: &mut Vec<u8>) {
    match payload {
        EntryPayload::Blank => into.push(BLANK),
        EntryPayload::Normal(Data(batch)) => {
            into.push(BATCH);
            batch.encode(into);
        }
        EntryPayload::Membership(membership) => {
            into.push(MEMBERSHIP);
            encode_membership(membership, into);
        }
    }
}

/// The payload that [`encode_payload`] wrote.
pub(crate) fn decode_payload(bytes: &[u8]) -> Result<Payload, DecodeError> {
    match bytes.split_first() {
        Some((&BLANK, [])) => Ok(EntryPayload::Blank),
        Some((&BATCH, batch)) => Ok(EntryPayload::Normal(Data(Arc::new(Batch::decode(batch)?)))),
        Some((&MEMBERSHIP, membership)) => Ok(EntryPayload::Membership(decode_membership(membership)?)),
        _ => Err(DecodeError::damaged("an entry's payload", 0)),
    }
}

/// In the length of a member's address: it is to be left alone.
const DRAINS: usize = 1 << 15;

pub(crate) fn encode_membership(membership: &Membership<u64, Peer>, into: &mut Vec<u8>) {
    let configs = membership.get_joint_config();
    put_count(configs.len(), into);
    for config in configs {
        put_count(config.len(), into);
        for id in config {
            into.extend_from_slice(&id.to_le_bytes());
        }
    }
    put_count(membership.nodes().count(), into);
    for (id, node) in membership.nodes() {
        into.extend_from_slice(&id.to_le_bytes());
        put_count(node.address.len() | if node.drains { DRAINS } else { 0 }, into);
        into.extend_from_slice(node.address.as_bytes());
    }
}

// At most 64 members; a host has at most 253 bytes and a port 5, so that an address leaves the highest bit free. Admission sees to both.
fn put_count(count: usize, into: &mut Vec<u8>) {
    debug_assert!(count <= usize::from(u16::MAX), "{count} does not fit into a membership record");
    into.extend_from_slice(&(count as u16).to_le_bytes());
}

pub(crate) fn decode_membership(bytes: &[u8]) -> Result<Membership<u64, Peer>, DecodeError> {
    let mut reader = Reader::new(bytes, "a membership");
    let mut configs = Vec::new();
    for _ in 0..reader.u16()? {
        let members = reader.u16()?;
        configs.push(reader.ids(members.into())?);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.u16()? {
        let id = reader.u64()?;
        if nodes.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(reader.damaged());
        }
        let length = usize::from(reader.u16()?);
        let address = std::str::from_utf8(reader.take(length & !DRAINS)?).map_err(|_| reader.damaged())?;
        nodes.insert(id, Peer { drains: length & DRAINS != 0, ..Peer::at(address) });
    }
    match reader.is_at_end() {
        true => Membership::new(configs, nodes).map_err(|_| reader.damaged()),
        false => Err(reader.damaged()),
    }
}

/// Reads what was written above, and what peers say; never past the end.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    what: &'static str,
    /// The namespace that was read last: the next key's is most often the same, and then shares its text.
    namespace: Option<Namespace>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Reader<'a> {
        Reader { bytes, offset: 0, what, namespace: None }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let taken =
            self.bytes.get(self.offset..self.offset.saturating_add(length)).ok_or_else(|| self.damaged())?;
        self.offset += length;
        Ok(taken)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.offset..];
        self.offset = self.bytes.len();
        rest
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.offset == self.bytes.len()
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A namespace: its length, and its text.
    pub(super) fn namespace(&mut self) -> Result<Namespace, DecodeError> {
        let length = usize::from(self.u16()?);
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| self.damaged())?;
        let last = self.namespace.take().filter(|last| last.as_str() == text);
        let namespace = last.map_or_else(|| Namespace::parse(text), Ok).map_err(|_| self.damaged())?;
        self.namespace = Some(namespace.clone());
        Ok(namespace)
    }

    /// So many ids, each above the one before it: as a set is written.
    pub(super) fn ids(&mut self, count: usize) -> Result<BTreeSet<u64>, DecodeError> {
        let mut ids = BTreeSet::new();
        for _ in 0..count {
            let id = self.u64()?;
            if ids.last().is_some_and(|last| *last >= id) {
                return Err(self.damaged());
            }
            ids.insert(id);
        }
        Ok(ids)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| self.damaged())
    }

    pub(super) fn damaged(&self) -> DecodeError {
        DecodeError::damaged(self.what, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parsers;
    use crate::parsers::edits::{edited, edits, within_bounds};

    fn membership() -> Membership<u64, Peer> {
        let nodes = [(1, "a:7401"), (2, "b:7401"), (3, ""), (9, "observer:7401")]
            .map(|(id, address)| (id, Peer { drains: id == 2, ..Peer::at(address) }));
        let configs = vec![BTreeSet::from([1, 2]), BTreeSet::from([1, 2, 3])];
        Membership::new(configs, BTreeMap::from(nodes)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn encoded(payload: Payload) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_payload(&payload, &mut bytes);
        bytes
    }

    #[test]
    fn a_payload_comes_back_as_it_was() {
        for payload in [EntryPayload::Blank, EntryPayload::Membership(membership())] {
            assert_eq!(decode_payload(&encoded(payload.clone())), Ok(payload));
        }
    }

    #[test]
    fn a_payload_that_is_cut_or_too_long_is_refused() {
        let whole = encoded(EntryPayload::Membership(membership()));
        for length in 0..whole.len() {
            assert!(decode_payload(&whole[..length]).is_err(), "cut at {length}");
        }
        let mut longer = whole;
        longer.push(0);
        assert!(decode_payload(&longer).is_err());
        assert!(decode_payload(&[BLANK, 0]).is_err());
        assert!(decode_payload(&[77]).is_err());
    }

    #[test]
    fn members_out_of_order_or_there_twice_are_refused() {
        let whole = encoded(EntryPayload::Membership(membership()));
        assert!(parsers::payload(&whole));
        // The kind, two configs, the first of two members: 1 and 2.
        for (first, second) in [(2, 1), (1, 1)] {
            let mut other = whole.clone();
            (other[5], other[13]) = (first, second);
            assert!(decode_payload(&other).is_err(), "{first}, {second}");
        }
    }

    proptest! {
        #[test]
        fn a_payload_that_was_changed_is_what_it_says_then_or_refused(edits in edits(), with in any::<bool>()) {
            let command = lease::Command::Release { token: lease::Token::from_u64(9) };
            let requests = vec![lease::Request { not_after: None, command }; 3];
            let batch = Batch { term: 6, stamp: lease::Time::ZERO, sweep: 1, requests };
            let payload = if with { EntryPayload::Membership(membership()) } else { EntryPayload::Normal(Data(Arc::new(batch))) };
            within_bounds(&edited(encoded(payload), &edits), parsers::payload);
        }

        #[test]
        fn bytes_of_any_kind_are_the_payload_that_they_say_or_refused(bytes in proptest::collection::vec(0_u8..4, 0..80)) {
            within_bounds(&bytes, parsers::payload);
        }
    }
}
