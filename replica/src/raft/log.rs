//! Our segmented log behind openraft's storage trait.
//!
//! Entries are kept in memory until they are purged ([`Kept`]): whoever replicates or applies reads them there, and the disk is
//! read only at the start. What is appended is readable at once and durable when the writer thread says so.

use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::async_runtime::AsyncRuntime;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::async_runtime::oneshot::{Oneshot, OneshotSender};
use openraft::{LogState, OptionalSend, RaftLogReader};

use super::codec::{Encoded, decode_payload};
use super::kept::Kept;
use super::types::{CommittedLeaderId, Entry, LeaderId, LogId, Types, Vote};
use crate::log::{Log, Record, Recovered};

/// So much of what is kept as bytes is read at once for a member that lags: some milliseconds of the replica's thread.
const PIECE_BYTES: usize = 1 << 20;

/// The log as openraft sees it.
pub(crate) struct Store<R> {
    inner: Arc<Inner>,
    runtime: PhantomData<fn() -> R>,
}

struct Inner {
    log: Log,
    memory: Mutex<Memory>,
    written: Arc<AtomicU64>,
}

#[derive(Default)]
struct Memory {
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// Whether `committed` has yet to be written: it goes with the next entries.
    committed_unwritten: bool,
    purged: Option<LogId>,
    entries: Kept,
}

impl Memory {
    /// The index of `entries`' front.
    fn first(&self) -> u64 {
        self.purged.map_or(0, |id| id.index + 1)
    }

    fn last(&self) -> Option<LogId> {
        self.entries.last().or(self.purged)
    }
}

impl<R> Store<R> {
    /// Takes over what the log on disk had.
    ///
    /// # Errors
    /// An entry whose bytes have a sound checksum and still cannot be read was written by a newer program.
    pub(crate) fn new(
        log: Log,
        recovered: Recovered,
        written: Arc<AtomicU64>,
    ) -> Result<Store<R>, lease::DecodeError> {
        let mut memory = Memory {
            vote: recovered.vote.map(|vote| Vote {
                leader_id: LeaderId { term: vote.term, voted_for: vote.node },
                committed: vote.committed,
            }),
            committed: recovered.committed.map(log_id),
            committed_unwritten: false,
            purged: recovered.purged.map(log_id),
            entries: Kept::default(),
        };
        for entry in recovered.entries {
            written.fetch_add(entry.payload.len() as u64, Ordering::Relaxed);
            let payload = decode_payload(&entry.payload)?;
            memory.entries.push(Entry { log_id: log_id(entry.id), payload });
        }
        let inner = Inner { log, memory: Mutex::new(memory), written };
        Ok(Store { inner: Arc::new(inner), runtime: PhantomData })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Clone for Store<R> {
    fn clone(&self) -> Store<R> {
        Store { inner: Arc::clone(&self.inner), runtime: PhantomData }
    }
}

fn log_id(id: crate::log::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term), id.index)
}

pub(super) fn record_id(id: LogId) -> crate::log::LogId {
    crate::log::LogId { term: id.leader_id.term, index: id.index }
}

impl<R: AsyncRuntime> Store<R> {
    async fn write(&self, record: Record) -> io::Result<()> {
        let (sender, receiver) = <R::Oneshot as Oneshot>::channel();
        let done = move |result| {
            // Who asked may be gone with the node; then nobody is misled.
            let _ = sender.send(result);
        };
        self.inner.log.append(vec![record], Box::new(done));
        receiver.await.map_err(|_| io::Error::other("the log's writer has stopped"))?
    }
}

impl<R: AsyncRuntime> RaftLogReader<Types<R>> for Store<R> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let memory = self.memory();
        memory.entries.range(memory.first(), range)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let memory = self.memory();
        memory.entries.piece(memory.first(), start..end, PIECE_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.memory().vote)
    }
}

impl<R: AsyncRuntime> RaftLogStorage<Types<R>> for Store<R> {
    type LogReader = Store<R>;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        let memory = self.memory();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last() })
    }

    async fn get_log_reader(&mut self) -> Store<R> {
        self.clone()
    }

    // Durable before it returns: a member that forgot its vote could vote twice.
    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let record = crate::log::Vote {
            term: vote.leader_id.term,
            node: vote.leader_id.voted_for,
            committed: vote.committed,
        };
        self.memory().vote = Some(*vote);
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::VoteNotSynced) {
            self.inner.log.append(vec![Record::Vote(record)], Box::new(drop));
            return Ok(());
        }
        self.write(Record::Vote(record)).await
    }

    // It only spares the next start from serving a state older than one that was shown, so it is not worth a sync of its own.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut memory = self.memory();
        memory.committed = committed;
        memory.committed_unwritten = committed.is_some();
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.memory().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut memory = self.memory();
        if let Some(committed) = memory.committed.filter(|_| memory.committed_unwritten) {
            records.push(Record::Committed(record_id(committed)));
            memory.committed_unwritten = false;
        }
        for entry in entries {
            let written = Arc::clone(&self.inner.written);
            let payload = Arc::new(Encoded { payload: entry.payload.clone(), written });
            records.push(Record::Entry { id: record_id(entry.log_id), payload });
            memory.entries.push(entry);
        }
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::AckBeforeSync) {
            self.inner.log.append(records, Box::new(drop));
            callback.io_completed(Ok(()));
            return Ok(());
        }
        // Under the lock, so that two appends reach the writer in the order in which they can be read.
        self.inner.log.append(records, Box::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        {
            let mut memory = self.memory();
            let first = memory.first();
            let kept = last.map_or(0, |id| (id.index + 1).saturating_sub(first) as usize);
            memory.entries.truncate(kept);
        }
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::TruncationNotWritten) {
            return Ok(());
        }
        self.write(Record::Truncate { after: last.map(|id| id.index) }).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let mut memory = self.memory();
            let gone = (upto.index + 1).saturating_sub(memory.first()) as usize;
            let gone = gone.min(memory.entries.len());
            memory.entries.forget(gone);
            memory.purged = memory.purged.max(Some(upto));
        }
        #[cfg(planted)]
        let upto = match lease::planted::is(lease::planted::Bug::PurgeBeyondSnapshot) {
            true => self.memory().entries.get(2)?.map_or(upto, |entry| entry.log_id),
            false => upto,
        };
        self.write(Record::Purge { upto: record_id(upto) }).await
    }
}
