//! What the log knows without its entries, and which record may follow.
//!
//! The writer asks before it writes, and the reader asks again after it read: a record that would make the log
//! unreadable never gets in, and one that got in all the same is found.

use std::fmt;

use super::format::Checkpoint;
use super::record::{LogId, Record, Vote};

/// Why a record does not fit behind what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The entry's index is not the next one.
    Gap {
        /// The index that it has.
        index: u64,
        /// The index that would fit.
        next: u64,
    },
    /// The vote would take back an earlier one.
    VoteReversed {
        /// The vote that stands.
        from: Vote,
        /// The vote that came.
        to: Vote,
    },
    /// The truncation reaches below what is committed or purged.
    TruncatesCommitted {
        /// The last index that it would keep.
        after: Option<u64>,
        /// The index that must stay.
        keep: u64,
    },
    /// The entry's body is larger than [`super::format::BODY_BYTES_MAX`].
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}

impl Checkpoint {
    /// Takes a record in, or tells why it does not fit; then nothing has changed.
    pub(super) fn admit(&mut self, record: &Record) -> Result<(), Misfit> {
        match record {
            Record::Entry { id, .. } => self.admit_entry(*id),
            Record::Vote(vote) => self.admit_vote(*vote),
            Record::Committed(id) => {
                self.committed = Some(*id);
                Ok(())
            }
            Record::Truncate { after } => self.admit_truncate(*after),
            Record::Purge { upto } => {
                self.admit_purge(*upto);
                Ok(())
            }
        }
    }

    pub(super) fn admit_entry(&mut self, id: LogId) -> Result<(), Misfit> {
        let Some(next) = id.index.checked_add(1).filter(|_| id.index == self.next) else {
            return Err(Misfit::Gap { index: id.index, next: self.next });
        };
        self.next = next;
        Ok(())
    }

    pub(super) fn admit_vote(&mut self, to: Vote) -> Result<(), Misfit> {
        match self.vote {
            Some(from) if !may_follow(from, to) => Err(Misfit::VoteReversed { from, to }),
            _ => {
                self.vote = Some(to);
                Ok(())
            }
        }
    }

    pub(super) fn admit_truncate(&mut self, after: Option<u64>) -> Result<(), Misfit> {
        let end = after.map_or(0, |index| index.saturating_add(1));
        let keep = self.committed.max_by_index(self.purged);
        if let Some(keep) = keep.filter(|keep| keep.index >= end && keep.index < self.next) {
            return Err(Misfit::TruncatesCommitted { after, keep: keep.index });
        }
        self.next = self.next.min(end);
        Ok(())
    }

    pub(super) fn admit_purge(&mut self, upto: LogId) {
        // Purging twice is no mistake, but the mark only moves forward.
        if self.purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged = Some(upto);
            self.next = self.next.max(upto.index.saturating_add(1));
        }
    }

    /// Whether all entries below `index` are purged.
    pub(super) fn purged_below(&self, index: u64) -> bool {
        index == 0 || self.purged.is_some_and(|purged| purged.index >= index - 1)
    }
}

/// A vote never returns to an older term; within a term it changes only from a candidate to the leader that won.
fn may_follow(from: Vote, to: Vote) -> bool {
    if to.term != from.term {
        return to.term > from.term;
    }
    if from.committed { to == from } else { to.committed || to.node == from.node }
}

trait MaxByIndex {
    fn max_by_index(self, other: Option<LogId>) -> Option<LogId>;
}

impl MaxByIndex for Option<LogId> {
    fn max_by_index(self, other: Option<LogId>) -> Option<LogId> {
        self.into_iter().chain(other).max_by_key(|id| id.index)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Gap { index, next } => write!(f, "entry {index} does not fit: the next index is {next}"),
            Misfit::VoteReversed { from, to } => write!(f, "the vote ({to}) would take back ({from})"),
            Misfit::TruncatesCommitted { after: Some(after), keep } => {
                write!(f, "cutting behind entry {after} would take entry {keep}, which must stay")
            }
            Misfit::TruncatesCommitted { after: None, keep } => {
                write!(f, "cutting all entries would take entry {keep}, which must stay")
            }
            Misfit::TooLarge { bytes } => {
                write!(f, "an entry of {bytes} B is above the limit of {} B", super::format::BODY_BYTES_MAX)
            }
        }
    }
}
