//! The writer: takes what is queued, puts it down as one batch, syncs once, tells everyone.
//!
//! ```text
//!     jobs ─▶ encode ─▶ fits? ─▶ write, sync ─▶ callbacks ─▶ unlink purged segments ─▶ a slice of the next segment
//!                         │ no
//!                         └──▶ close this segment, begin the next one (made ahead of time)
//! ```
//!
//! It has no thread, no clock and no randomness of its own: [`Log`](super::Log) runs it in production, the simulator
//! runs it step by step. Promises:
//! * A callback says yes only when its records, and all before them, are synced.
//! * A batch is written only when the one before it is synced. After a failed write or sync nothing is written any more.
//! * A batch with anything but entries and commit marks is acknowledged only when a seal behind it is synced too. So
//!   damage in the very last batch, which nothing can prove, never takes a vote, a truncation or a purge with it.
//! * Records that would make the log unreadable are refused (`InvalidInput`), and the log goes on without them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::batch::{Active, PutError, clear, room_for};
use super::disk::Disk;
use super::entry::encode;
use super::failure::{Fatal, NoRoom};
use super::format::{CHECKPOINT_BATCH_BYTES, Checkpoint, FIRST_BATCH, Identity, padded};
use super::options::Options;
use super::record::{Job, Record};
use super::scan::Chain;
use super::spare::{Blank, Spare, StepError, segment_name};
use super::track::Misfit;

/// See the module.
pub struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) identity: Identity,
    pub(super) options: Options,
    pub(super) active: Active,
    /// Closed segments, oldest first.
    pub(super) retired: VecDeque<Retired>,
    pub(super) spare: Spare,
    pub(super) state: Checkpoint,
    pub(super) chain: Chain,
    pub(super) buffer: Vec<u8>,
    pub(super) no_room: Option<NoRoom>,
    pub(super) fatal: Option<Fatal>,
}

/// A segment that is closed.
pub(super) struct Retired {
    pub(super) number: u64,
    /// The highest entry index in it.
    pub(super) index_max: Option<u64>,
}

/// What became of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// So many jobs were taken from the front; their callbacks were called.
    Done(usize),
    /// None was taken: they wait for room, see [`Writer::no_room`].
    NoRoom,
}

/// Jobs in the buffer.
struct Lot {
    jobs: usize,
    records: u32,
    refused: Vec<(usize, Misfit)>,
    state: Checkpoint,
    index_max: Option<u64>,
    sealed: bool,
}

/// Why something waits or ends.
pub(super) enum Halt {
    Room,
    Fatal(Fatal),
}

impl Writer {
    /// Writes jobs from the front of the queue as one batch, and completes them. On an error every job that is not
    /// completed is still in the queue, for the caller to fail; so is it on all later calls.
    pub fn write(&mut self, jobs: &mut VecDeque<Job>) -> Result<Written, Fatal> {
        self.alive()?;
        let lot = self.encode(jobs);
        if lot.records > 0 {
            match self.store(&lot) {
                Ok(()) => {}
                Err(Halt::Room) => return Ok(Written::NoRoom),
                Err(Halt::Fatal(fatal)) => return Err(fatal),
            }
        }
        complete(jobs, &lot);
        self.unlink_purged();
        self.keep_ahead()?;
        Ok(Written::Done(lot.jobs))
    }

    /// Works on the next segment for a moment; whether there is more to do. To be called when nothing is queued.
    pub fn prepare(&mut self) -> Result<bool, Fatal> {
        self.alive()?;
        if self.spare.is_ready() || self.no_room.is_some() {
            return Ok(false);
        }
        match self.step_spare(self.options.segment_bytes) {
            Ok(()) => Ok(!self.spare.is_ready()),
            Err(Halt::Room) => Ok(false),
            Err(Halt::Fatal(fatal)) => Err(fatal),
        }
    }

    /// Lets [`Writer::prepare`] ask the disk for room again.
    pub fn retry_room(&mut self) {
        self.no_room = None;
    }

    /// What waits for room, if anything does.
    pub fn no_room(&self) -> Option<&NoRoom> {
        self.no_room.as_ref()
    }

    /// The error after which nothing is written any more.
    pub fn fatal(&self) -> Option<&Fatal> {
        self.fatal.as_ref()
    }

    /// Marks everything as synced, for an orderly stop: damage found later is then known as damage.
    pub fn seal(&mut self) -> Result<(), Fatal> {
        self.alive()?;
        let sealed = self.active.seal(&mut self.chain, &mut self.buffer);
        // The room for it was kept free; a seal that finds none anyway is not worth the process.
        match sealed.map_err(|error| self.halt(error, false)) {
            Ok(()) | Err(Halt::Room) => Ok(()),
            Err(Halt::Fatal(fatal)) => Err(fatal),
        }
    }

    fn alive(&self) -> Result<(), Fatal> {
        self.fatal.clone().map_or(Ok(()), Err)
    }

    fn encode(&mut self, jobs: &VecDeque<Job>) -> Lot {
        clear(&mut self.buffer);
        let (state, index_max) = (self.state, self.active.index_max);
        let mut lot = Lot { jobs: 0, records: 0, refused: Vec::new(), state, index_max, sealed: false };
        let enough = self.options.batch_bytes_enough();
        for job in jobs {
            if lot.jobs > 0 && self.buffer.len() >= enough {
                break;
            }
            let (start, before) = (self.buffer.len(), lot.state);
            if let Err(misfit) = self.encode_job(&job.records, &mut lot.state) {
                self.buffer.truncate(start);
                lot.state = before;
                lot.refused.push((lot.jobs, misfit));
            } else {
                lot.count(&job.records);
            }
            lot.jobs += 1;
        }
        lot
    }

    fn encode_job(&mut self, records: &[Record], state: &mut Checkpoint) -> Result<(), Misfit> {
        for record in records {
            state.admit(record)?;
            encode(record, self.identity.group, &mut self.buffer)
                .map_err(|bytes| Misfit::TooLarge { bytes })?;
        }
        Ok(())
    }

    fn store(&mut self, lot: &Lot) -> Result<(), Halt> {
        let bytes = padded(self.buffer.len());
        if !self.active.fits(bytes) {
            let records = std::mem::take(&mut self.buffer);
            let rotated = self.rotate(bytes);
            self.buffer = records;
            rotated?;
        }
        let put = self.active.put(&mut self.chain, &mut self.buffer, lot.records);
        put.map_err(|error| self.halt(error, true))?;
        if lot.sealed {
            // The batch is written: from here on there is no way back to "not yet".
            let sealed = self.active.seal(&mut self.chain, &mut self.buffer);
            sealed.map_err(|error| self.halt(error, false))?;
        }
        self.state = lot.state;
        self.active.index_max = self.active.index_max.max(lot.index_max);
        Ok(())
    }

    /// Goes on in the next segment, which has room for a batch of `bytes`.
    fn rotate(&mut self, bytes: u64) -> Result<(), Halt> {
        let wanted = (FIRST_BATCH + CHECKPOINT_BATCH_BYTES + room_for(bytes)).max(self.options.segment_bytes);
        self.spare.want(wanted);
        while !self.spare.is_ready() {
            self.step_spare(wanted)?;
        }
        let mut buffer = Vec::new();
        let closed = self.active.close(&mut self.chain, &mut buffer, self.identity.group);
        closed.map_err(|error| self.halt(error, false))?;
        let Spare::Ready(blank) = std::mem::take(&mut self.spare) else { return Err(Halt::Room) };
        let before = std::mem::replace(&mut self.active, Active::new(blank));
        self.retired.push_back(Retired { number: before.blank.number, index_max: before.index_max });
        let begun = self.active.begin(&mut self.chain, &mut buffer, &self.state, self.identity.group);
        begun.map_err(|error| self.halt(error, false))
    }

    /// Keeps the next segment twice as far as this one, so that it is there when it is needed and nobody waits for it.
    fn keep_ahead(&mut self) -> Result<(), Fatal> {
        let goal = (2 * self.active.offset).min(self.options.segment_bytes);
        while !self.spare.is_ready() && self.no_room.is_none() && self.spare.filled() < goal {
            if let Err(Halt::Fatal(fatal)) = self.step_spare(self.options.segment_bytes) {
                return Err(fatal);
            }
        }
        Ok(())
    }

    fn step_spare(&mut self, bytes: u64) -> Result<(), Halt> {
        let number = self.active.blank.number + 1;
        match self.spare.step(&self.disk, self.identity, number, bytes) {
            Ok(()) => {
                self.no_room = self.no_room.take().filter(|_| !self.spare.is_ready());
                Ok(())
            }
            Err(StepError::Room(error)) => {
                self.no_room = Some(self.no_room_for(number, bytes, &error));
                Err(Halt::Room)
            }
            Err(StepError::Disk { what, error }) => {
                Err(Halt::Fatal(self.die(what, &segment_name(number), &error)))
            }
        }
    }

    fn no_room_for(&self, number: u64, bytes: u64, error: &io::Error) -> NoRoom {
        NoRoom {
            file: self.disk.path(&segment_name(number)),
            bytes,
            free: self.disk.free_bytes(),
            cause: error.to_string(),
            waiting: false,
        }
    }

    /// A batch was not put: may it be put again, or is this the end?
    fn halt(&mut self, error: PutError, again: bool) -> Halt {
        let name = segment_name(self.active.blank.number);
        match error {
            PutError::Room(error) if again => {
                self.no_room =
                    Some(self.no_room_for(self.active.blank.number, self.active.blank.bytes, &error));
                Halt::Room
            }
            PutError::Room(error) => Halt::Fatal(self.die("writing a batch", &name, &error)),
            PutError::Disk { what, error } => Halt::Fatal(self.die(what, &name, &error)),
        }
    }

    fn die(&mut self, what: &'static str, name: &str, error: &io::Error) -> Fatal {
        let fatal = Fatal::new(what, self.disk.path(name), error);
        self.fatal = Some(fatal.clone());
        fatal
    }

    /// Gives back the room of segments in which all is purged. The purge itself is synced and sealed by now.
    fn unlink_purged(&mut self) {
        while let Some(oldest) = self.retired.front() {
            let purged = oldest.index_max.is_none_or(|index| self.state.purged_below(index + 1));
            // One that cannot be unlinked now is tried again after the next batch; until then it only takes room.
            if !purged || self.disk.remove(&segment_name(oldest.number)).is_err() {
                return;
            }
            self.retired.pop_front();
        }
    }
}

impl Active {
    pub(super) fn new(blank: Blank) -> Active {
        Active { blank, offset: FIRST_BATCH, index_max: None, soiled: 0 }
    }
}

impl Lot {
    fn count(&mut self, records: &[Record]) {
        self.records += records.len() as u32;
        for record in records {
            match record {
                Record::Entry { id, .. } => self.index_max = self.index_max.max(Some(id.index)),
                Record::Committed(_) => {}
                Record::Vote(_) | Record::Truncate { .. } | Record::Purge { .. } => self.sealed = true,
            }
        }
    }
}

fn complete(jobs: &mut VecDeque<Job>, lot: &Lot) {
    let mut refused = lot.refused.iter().peekable();
    for (at, job) in jobs.drain(..lot.jobs).enumerate() {
        let result = match refused.next_if(|(index, _)| *index == at) {
            Some((_, misfit)) => Err(io::Error::new(io::ErrorKind::InvalidInput, misfit.to_string())),
            None => Ok(()),
        };
        (job.done)(result);
    }
}
