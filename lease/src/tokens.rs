//! From a token to its record: for living grants, and for ends that are still remembered.
//!
//! Tokens come from one counter and end in about the order in which they came, so they lie in chunks of
//! 256 neighbours, each a sorted vector: 8 bytes a token, where a tree or a hash table takes 30. In a chunk
//! from which nothing is missing yet, the token is its own place; otherwise the search is as wide as the
//! number of those missing.

use std::collections::BTreeMap;

use crate::Token;
use crate::record::Slot;

const CHUNK: usize = 256;

/// What the table still knows of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// Its grant lives.
    Lives,
    /// Its end is in the namespace's history.
    InHistory,
    /// History has rolled past its end, which is kept as the last one of a key that is in use.
    LastEnd,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    low: u8,
    trace: Trace,
    slot: Slot,
}

const _: () = assert!(size_of::<Entry>() == 8);

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    chunks: BTreeMap<u64, Vec<Entry>>,
}

impl Tokens {
    pub(crate) fn get(&self, token: Token) -> Option<(Slot, Trace)> {
        let (high, low) = split(token);
        let chunk = self.chunks.get(&high)?;
        let entry = chunk[find(chunk, low).ok()?];
        Some((entry.slot, entry.trace))
    }

    /// Notes what is known of `token` now.
    pub(crate) fn set(&mut self, token: Token, slot: Slot, trace: Trace) {
        let (high, low) = split(token);
        let chunk = self.chunks.entry(high).or_default();
        let entry = Entry { low, trace, slot };
        match find(chunk, low) {
            Ok(at) => chunk[at] = entry,
            Err(at) => chunk.insert(at, entry),
        }
    }

    pub(crate) fn remove(&mut self, token: Token) {
        let (high, low) = split(token);
        let Some(chunk) = self.chunks.get_mut(&high) else { return };
        let Ok(at) = find(chunk, low) else { return };
        chunk.remove(at);
        if chunk.is_empty() {
            self.chunks.remove(&high);
        } else if chunk.len() < chunk.capacity() / 4 {
            chunk.shrink_to(chunk.len() * 2);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, Slot, Trace)> {
        self.chunks.iter().flat_map(|(high, chunk)| {
            chunk.iter().map(move |entry| {
                (Token::from_u64(high << 8 | u64::from(entry.low)), entry.slot, entry.trace)
            })
        })
    }
}

fn split(token: Token) -> (u64, u8) {
    (token.as_u64() >> 8, token.as_u64() as u8)
}

/// Each missing token shifts the entry left by at most one, so its index is between `low - missing` and `low`.
fn find(chunk: &[Entry], low: u8) -> Result<usize, usize> {
    let end = chunk.len().min(low as usize + 1);
    let start = (low as usize).saturating_sub(CHUNK - chunk.len()).min(end);
    match chunk[start..end].binary_search_by_key(&low, |entry| entry.low) {
        Ok(at) => Ok(start + at),
        Err(at) => Err(start + at),
    }
}
