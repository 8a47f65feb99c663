//! Our own bytes for what openraft keeps: an entry's payload, and a membership.
//!
//! ```text
//! payload      kind u8: 0 blank │ 1 batch, then lease::Batch's bytes │ 2 membership, then as below
//! membership   configs u16, each: members u16, each: id u64
//!              nodes u16, each: id u64, length u16, address in UTF-8
//! ```
//!
//! Little-endian. The version of what stands here is the log's and the snapshot's format version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lease::{Batch, DecodeError};
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

fn encode_payload(payload: &Payload, into: &mut Vec<u8>) {
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
        _ => Err(DecodeError { what: "an entry's payload", offset: 0 }),
    }
}

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
        put_count(node.address.len(), into);
        into.extend_from_slice(node.address.as_bytes());
    }
}

// Members are single digits and an address is a host and a port: admission refuses what would not fit into 16 bits.
fn put_count(count: usize, into: &mut Vec<u8>) {
    debug_assert!(count <= usize::from(u16::MAX), "{count} does not fit into a membership record");
    into.extend_from_slice(&(count as u16).to_le_bytes());
}

pub(crate) fn decode_membership(bytes: &[u8]) -> Result<Membership<u64, Peer>, DecodeError> {
    let mut reader = Reader { bytes, offset: 0 };
    let mut configs = Vec::new();
    for _ in 0..reader.count()? {
        let members = reader.count()?;
        configs.push((0..members).map(|_| reader.id()).collect::<Result<BTreeSet<u64>, _>>()?);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.count()? {
        let id = reader.id()?;
        let length = usize::from(reader.count()?);
        let address = std::str::from_utf8(reader.take(length)?).map_err(|_| reader.damaged())?.to_owned();
        nodes.insert(id, Peer { address });
    }
    match reader.offset == bytes.len() {
        true => Membership::new(configs, nodes).map_err(|_| reader.damaged()),
        false => Err(reader.damaged()),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let taken =
            self.bytes.get(self.offset..self.offset.saturating_add(length)).ok_or_else(|| self.damaged())?;
        self.offset += length;
        Ok(taken)
    }

    fn count(&mut self) -> Result<u16, DecodeError> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn id(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.take(8)?.try_into().map_err(|_| self.damaged())?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn damaged(&self) -> DecodeError {
        DecodeError { what: "a membership", offset: self.offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership<u64, Peer> {
        let nodes = [(1, "a:7401"), (2, "b:7401"), (3, ""), (9, "observer:7401")]
            .map(|(id, address)| (id, Peer { address: address.to_owned() }));
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
}
