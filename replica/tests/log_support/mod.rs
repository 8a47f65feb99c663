//! What the tests of the log share: short names for records, a writer that is stepped by hand, and the naive twin that says
//! what the log must hold after each job.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses the part that it needs, and each is a crate of its own"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use replica::log::{
    Disk, Fatal, Identity, Job, LogId, MemoryDisk, OpenError, Options, Record, Recovered, UnprovableTail,
    Vote, Writer, Written, open,
};

pub const IDENTITY: Identity = Identity { cluster: 7, node: 1, group: 0 };

pub fn small() -> Options {
    Options { segment_bytes: 4096, ..Options::default() }
}

pub fn cutting() -> Options {
    Options { unprovable_tail: UnprovableTail::Cut, ..small() }
}

pub fn segment(number: u64) -> String {
    format!("segment-{number:016}.log")
}

pub fn id(term: u64, index: u64) -> LogId {
    LogId { term, index }
}

pub fn payload(id: LogId) -> Vec<u8> {
    let text = format!("entry {} of term {} ", id.index, id.term);
    text.bytes().cycle().take(20 + (id.index as usize * 37) % 90).collect()
}

pub fn entry(term: u64, index: u64) -> Record {
    let id = id(term, index);
    Record::Entry { id, payload: Arc::new(payload(id)) }
}

pub fn vote(term: u64, node: u64) -> Record {
    Record::Vote(Vote { term, node, committed: false })
}

pub fn open_memory(disk: &MemoryDisk, options: Options) -> Result<(Recovered, Writer), OpenError> {
    open(Arc::new(disk.clone()) as Arc<dyn Disk>, IDENTITY, options)
}

/// What the log must hold: the naive twin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub entries: Vec<LogId>,
}

impl Model {
    pub fn apply(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Entry { id, .. } => self.entries.push(*id),
                Record::Vote(vote) => self.vote = Some(*vote),
                Record::Committed(id) => self.committed = Some(*id),
                Record::Truncate { after } => {
                    self.entries.retain(|id| after.is_some_and(|after| id.index <= after))
                }
                Record::Purge { upto } => {
                    self.entries.retain(|id| id.index > upto.index);
                    self.purged = self.purged.max_by_index(*upto);
                }
            }
        }
    }

    /// The index that the next entry must have.
    pub fn next(&self) -> u64 {
        let last = self.entries.last().or(self.purged.as_ref());
        last.map_or(0, |id| id.index + 1)
    }
}

trait MaxByIndex {
    fn max_by_index(self, other: LogId) -> Option<LogId>;
}

impl MaxByIndex for Option<LogId> {
    fn max_by_index(self, other: LogId) -> Option<LogId> {
        self.into_iter().chain([other]).max_by_key(|id| id.index)
    }
}

/// What was recovered, as the model tells it. Every payload must be the one that belongs to its id.
pub fn told(recovered: &Recovered) -> Model {
    for entry in &recovered.entries {
        assert_eq!(entry.payload, payload(entry.id), "entry {} has another's bytes", entry.id);
    }
    Model {
        vote: recovered.vote,
        committed: recovered.committed,
        purged: recovered.purged,
        entries: recovered.entries.iter().map(|entry| entry.id).collect(),
    }
}

/// How many jobs were handed in, and how many were acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub submitted: usize,
    pub acknowledged: usize,
}

/// A writer that is stepped by hand, and what it must have made durable.
pub struct Bench {
    pub writer: Writer,
    pub progress: Arc<Mutex<Progress>>,
    /// The state after each number of jobs.
    pub states: Vec<Model>,
    pub refused: Arc<Mutex<Vec<io::ErrorKind>>>,
    pub queue: VecDeque<Job>,
}

impl Bench {
    pub fn new(disk: &MemoryDisk, options: Options) -> Bench {
        let (recovered, writer) = open_memory(disk, options).expect("a sound log opens");
        Bench {
            writer,
            progress: Arc::default(),
            states: vec![told(&recovered)],
            refused: Arc::default(),
            queue: VecDeque::new(),
        }
    }

    pub fn submit(&mut self, records: Vec<Record>) {
        let mut state = self.state().clone();
        state.apply(&records);
        self.states.push(state);
        self.progress.lock().unwrap().submitted += 1;
        let (progress, refused) = (self.progress.clone(), self.refused.clone());
        let done = Box::new(move |result: io::Result<()>| match result {
            Ok(()) => progress.lock().unwrap().acknowledged += 1,
            Err(error) => refused.lock().unwrap().push(error.kind()),
        });
        self.queue.push_back(Job { records, done });
    }

    /// Writes what was submitted, in as many batches as it takes.
    pub fn flush(&mut self) -> Result<Written, Fatal> {
        while !self.queue.is_empty() {
            if self.writer.write(&mut self.queue)? == Written::NoRoom {
                return Ok(Written::NoRoom);
            }
        }
        Ok(Written::Done(0))
    }

    pub fn write(&mut self, records: Vec<Record>) {
        self.submit(records);
        assert_eq!(self.flush(), Ok(Written::Done(0)));
    }

    pub fn state(&self) -> &Model {
        self.states.last().expect("there is a first state")
    }

    pub fn progress(&self) -> Progress {
        *self.progress.lock().unwrap()
    }
}

/// Fails unless `found` is the state after some job between the acknowledged and the submitted ones.
pub fn check_between(states: &[Model], progress: Progress, found: &Model, when: &str) {
    let may = &states[progress.acknowledged..=progress.submitted];
    assert!(may.contains(found), "{when}: {progress:?}\nfound    {found:?}\nat least {:?}", may[0]);
}

/// A history with everything in it, over several segments: jobs of one to many records.
pub fn history() -> Vec<Vec<Record>> {
    let mut jobs = vec![vec![vote(1, 1)], vec![Record::Vote(Vote { term: 1, node: 1, committed: true })]];
    jobs.extend((0..40).map(|index| vec![entry(1, index)]));
    jobs.push((40..50).map(|index| entry(1, index)).collect());
    jobs.push(vec![Record::Committed(id(1, 30)), entry(1, 50), entry(1, 51)]);
    jobs.push(vec![vote(2, 3)]);
    jobs.push(vec![Record::Truncate { after: Some(44) }]);
    jobs.push(vec![entry(2, 45), Record::Committed(id(1, 44)), entry(2, 46)]);
    jobs.push(vec![Record::Truncate { after: Some(45) }, entry(3, 46), entry(3, 47)]);
    jobs.push(vec![Record::Purge { upto: id(1, 20) }]);
    jobs.extend((48..70).map(|index| vec![entry(3, index)]));
    jobs.push(vec![Record::Purge { upto: id(3, 50) }, vote(4, 1)]);
    jobs.extend((70..76).map(|index| vec![entry(4, index)]));
    jobs.push(vec![entry(4, 76), entry(4, 77), entry(4, 78)]);
    jobs
}
