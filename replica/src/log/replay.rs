//! What the records add up to: the vote, the marks and the entries that a restart finds.

use std::collections::VecDeque;

use bytes::Bytes;

use super::entry::Found;
use super::format::{Checkpoint, FIRST_BATCH};
use super::record::LogId;

/// An entry, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub id: LogId,
    /// Its bytes: a view of its segment's bytes, which stay in memory as long as any view does.
    pub payload: Bytes,
}

/// Records, added up.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) state: Checkpoint,
    pub(super) entries: VecDeque<Entry>,
    /// Whether a checkpoint was seen: without one nothing is known.
    pub(super) began: bool,
    /// The highest entry index in the segment at hand.
    pub(super) index_max: Option<u64>,
}

impl Replay {
    /// Adds one record of the batch at `offset`. An error tells in words what cannot be.
    pub(super) fn add(&mut self, bytes: &Bytes, offset: u64, found: Found) -> Result<(), String> {
        if (offset == FIRST_BATCH) != matches!(found, Found::Checkpoint(_)) {
            return Err("a segment begins with its checkpoint and has no other".to_string());
        }
        match found {
            Found::Checkpoint(checkpoint) => return self.begin(checkpoint),
            Found::Entry { id, payload } => {
                self.state.admit_entry(id).map_err(|misfit| misfit.to_string())?;
                self.index_max = self.index_max.max(Some(id.index));
                self.entries.push_back(Entry { id, payload: bytes.slice(payload) });
            }
            Found::Vote(vote) => self.state.admit_vote(vote).map_err(|misfit| misfit.to_string())?,
            Found::Committed(id) => self.state.committed = Some(id),
            Found::Truncate { after } => {
                self.state.admit_truncate(after).map_err(|misfit| misfit.to_string())?;
                while self.entries.back().is_some_and(|entry| entry.id.index >= self.state.next) {
                    self.entries.pop_back();
                }
            }
            Found::Purge { upto } => {
                self.state.admit_purge(upto);
                while self.entries.front().is_some_and(|entry| entry.id.index <= upto.index) {
                    self.entries.pop_front();
                }
            }
            Found::Closed { .. } => {}
        }
        Ok(())
    }

    /// The first index that is held, or will be.
    pub(super) fn first(&self) -> u64 {
        self.entries.front().map_or(self.state.next, |entry| entry.id.index)
    }

    /// Whether every entry that is not purged is here.
    pub(super) fn is_whole(&self) -> bool {
        self.state.purged_below(self.first())
    }

    /// The first index that is neither purged nor here, when the log is not whole.
    pub(super) fn first_missing(&self) -> u64 {
        self.state.purged.map_or(0, |purged| purged.index + 1)
    }

    fn begin(&mut self, checkpoint: Checkpoint) -> Result<(), String> {
        if self.began && self.state != checkpoint {
            return Err(format!("the checkpoint ({checkpoint}) is not what came before ({})", self.state));
        }
        self.state = checkpoint;
        self.began = true;
        Ok(())
    }
}
