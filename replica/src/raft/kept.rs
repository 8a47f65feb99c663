//! The log's entries in memory, until they are purged: the newest as they are, the older ones as bytes.
//!
//! ```text
//!     purged │ bytes  bytes  bytes … │ entry  entry … entry │ the next
//!            first                    └──── at most 64 ─────┘
//! ```
//!
//! Whoever applies or replicates reads the newest entries, which are shared as they are. The others stay only for a member that lags,
//! and there are as many as the log has since its last snapshot. As bytes an extend takes 26 of them, where a request takes 112.

use std::collections::VecDeque;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use super::codec::{decode_payload, encode_payload};
use super::types::{Entry, LogId};

/// So many of the newest entries are kept as they are: more than are on their way to a member in step.
const WHOLE: usize = 64;

/// Entries without a gap.
#[derive(Default)]
pub(super) struct Kept {
    old: VecDeque<(LogId, Box<[u8]>)>,
    whole: VecDeque<Entry>,
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.old.len() + self.whole.len()
    }

    pub(super) fn last(&self) -> Option<LogId> {
        self.whole.back().map(|entry| entry.log_id).or(self.old.back().map(|(id, _)| *id))
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.whole.push_back(entry);
        if self.whole.len() > WHOLE
            && let Some(Entry { log_id, payload }) = self.whole.pop_front()
        {
            let mut bytes = Vec::new();
            encode_payload(&payload, &mut bytes);
            self.old.push_back((log_id, bytes.into()));
        }
    }

    /// Forgets all but the first `count`.
    pub(super) fn truncate(&mut self, count: usize) {
        self.whole.truncate(count.saturating_sub(self.old.len()));
        self.old.truncate(count);
    }

    /// Forgets the first `count`.
    pub(super) fn forget(&mut self, count: usize) {
        let old = count.min(self.old.len());
        self.old.drain(..old);
        self.whole.drain(..(count - old).min(self.whole.len()));
    }

    /// The entry at this place.
    ///
    /// # Errors
    /// Its bytes cannot be read, which would be a mistake of ours: we have written them.
    pub(super) fn get(&self, at: usize) -> io::Result<Option<Entry>> {
        let Some((log_id, bytes)) = self.old.get(at) else {
            return Ok(self.whole.get(at.wrapping_sub(self.old.len())).cloned());
        };
        let payload = decode_payload(bytes).map_err(io::Error::other)?;
        Ok(Some(Entry { log_id: *log_id, payload }))
    }

    /// As many of the entries with these indexes as take `bytes` before they are read, and one at least; the first one's index is
    /// `first`.
    ///
    /// # Errors
    /// As [`Kept::get`].
    pub(super) fn piece(&self, first: u64, range: Range<u64>, bytes: usize) -> io::Result<Vec<Entry>> {
        let start = range.start.max(first);
        let from = (start - first) as usize;
        let mut sizes = self.old.iter().skip(from).map(|(_, bytes)| bytes.len());
        let mut left = bytes;
        let read = sizes.position(|size| {
            let full = left < size;
            left = left.saturating_sub(size);
            full
        });
        // Those that are whole are not read, but shared.
        let most = read.map_or(u64::MAX, |count| count.max(1) as u64);
        self.range(first, start..range.end.min(start.saturating_add(most)))
    }

    /// The entries with these indexes, as far as they are here; the first one's is `first`.
    pub(super) fn range(&self, first: u64, range: impl RangeBounds<u64>) -> io::Result<Vec<Entry>> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let place = |index: u64| (index.saturating_sub(first) as usize).min(self.len());
        (place(from)..place(to)).filter_map(|at| self.get(at).transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lease::{Batch, Command, Request, Time, Token, Ttl};
    use openraft::EntryPayload;

    use super::*;
    use crate::raft::types::{CommittedLeaderId, Data};

    fn entry(index: u64) -> Entry {
        let command = Command::Extend { token: Token::from_u64(index), ttl: Ttl::from_millis(1_000) };
        let requests = vec![Request { not_after: None, command }];
        let batch = Batch { term: 1, stamp: Time::from_nanos(index), sweep: 0, requests };
        let log_id = LogId::new(CommittedLeaderId::new(1), index);
        Entry { log_id, payload: EntryPayload::Normal(Data(Arc::new(batch))) }
    }

    fn kept(count: u64) -> Kept {
        let mut kept = Kept::default();
        (0..count).for_each(|index| kept.push(entry(index)));
        kept
    }

    fn indexes(kept: &Kept, first: u64, range: impl RangeBounds<u64>) -> Vec<u64> {
        let entries = kept.range(first, range).unwrap();
        entries.iter().for_each(|it| assert_eq!(*it, entry(it.log_id.index), "it comes back as it was"));
        entries.iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn old_entries_and_new_ones_come_back_alike() {
        let kept = kept(200);
        assert_eq!((kept.old.len(), kept.whole.len()), (200 - WHOLE, WHOLE));
        assert_eq!(indexes(&kept, 0, ..), (0..200).collect::<Vec<_>>());
        assert_eq!(indexes(&kept, 0, 130..=140), (130..=140).collect::<Vec<_>>());
        assert_eq!(indexes(&kept, 0, 198..), [198, 199]);
        assert_eq!(indexes(&kept, 0, 200..), []);
    }

    #[test]
    fn a_piece_is_bounded_and_never_empty() {
        let kept = kept(200);
        let size = kept.old[0].1.len();
        let piece = |range: Range<u64>, bytes| {
            let entries = kept.piece(0, range, bytes).unwrap();
            entries.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>()
        };
        assert_eq!(piece(0..200, 0), [0]);
        assert_eq!(piece(3..200, 1), [3]);
        assert_eq!(piece(3..200, 4 * size), [3, 4, 5, 6]);
        assert_eq!(piece(3..5, 4 * size), [3, 4]);
        assert_eq!(piece(134..200, 2 * size), (134..200).collect::<Vec<_>>(), "what is whole is not read");
        assert_eq!(piece(150..160, 0), (150..160).collect::<Vec<_>>());
        let mut purged = kept;
        purged.forget(100);
        let entries = purged.piece(100, 0..200, 0).unwrap();
        assert_eq!(entries.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>(), [100]);
    }

    #[test]
    fn what_is_purged_or_cut_away_is_gone_from_either_part() {
        for purged in [0, 3, 136, 150, 200] {
            for left in [0, 1, 100, 170] {
                let mut kept = kept(200);
                kept.forget(purged);
                let count = left.min(200 - purged);
                kept.truncate(count);
                let end = (purged + count) as u64;
                assert_eq!(indexes(&kept, purged as u64, ..), (purged as u64..end).collect::<Vec<_>>());
                assert_eq!(kept.last().map(|id| id.index), (count > 0).then(|| end - 1));
                kept.push(entry(end));
                assert_eq!(kept.len(), count + 1);
            }
        }
    }
}
