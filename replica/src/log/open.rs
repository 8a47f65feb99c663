//! Opening a log: read everything, judge the end, and only then change anything.
//!
//! ```text
//!     list ─▶ read segment after segment ─▶ judge the end ─▶ mend ─▶ Recovered, Writer
//!                        │                        │
//!                        └──── OpenError ◀────────┘  nothing was changed
//! ```
//!
//! * Segments are numbered without gaps; what lies below a gap must be purged, and is removed.
//! * A segment is written to only when the one before it is closed. So behind a segment that is not closed there is a
//!   spare and nothing else; a whole batch in it means that the segment before has lost its end.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, LogFile};
use super::error::{Cut, CutKind, OpenError};
use super::format::{FIRST_BATCH, FORMAT_VERSION, Identity, SegmentHeader};
use super::mend::mend;
use super::options::{Expect, Options, SEGMENT_BYTES_MAX, UnprovableTail};
use super::record::{LogId, Vote};
use super::replay::{Entry, Replay};
use super::scan::{Chain, End, Scan, Segment};
use super::spare::{Blank, segment_name, segment_number};
use super::writer::{Retired, Writer};

/// What a log held when it was opened.
#[derive(Debug)]
pub struct Recovered {
    /// The last vote.
    pub vote: Option<Vote>,
    /// The last commit mark that was written; more may be committed.
    pub committed: Option<LogId>,
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// The entries behind `purged`, without gaps.
    pub entries: Vec<Entry>,
    /// What was cut from the end; to be logged, and when it is unprovable, to be minded before voting.
    pub cut: Option<Cut>,
}

/// Opens the log in a folder, or begins one there. On success the log's end and the folder are synced.
pub fn open(
    disk: Arc<dyn Disk>,
    identity: Identity,
    options: Options,
) -> Result<(Recovered, Writer), OpenError> {
    options.check().map_err(OpenError::Options)?;
    let walk = Walk::new(disk, identity, options)?.read()?;
    let cut = walk.judge()?;
    mend(walk, cut)
}

/// Reads the log in a folder, and changes nothing there: what a start would go on with.
///
/// # Errors
/// As [`open`]'s.
pub fn read(disk: Arc<dyn Disk>, identity: Identity, options: Options) -> Result<Recovered, OpenError> {
    options.check().map_err(OpenError::Options)?;
    let walk = Walk::new(disk, identity, options)?.read()?;
    let cut = walk.judge()?;
    let Replay { state, entries, .. } = walk.replay;
    let (vote, committed, purged) = (state.vote, state.committed, state.purged);
    Ok(Recovered { vote, committed, purged, entries: entries.into(), cut })
}

/// A log, as far as it has been read.
pub(super) struct Walk {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) identity: Identity,
    pub(super) options: Options,
    /// The numbers of the newest segments without a gap, oldest first.
    run: Vec<u64>,
    /// The numbers of older segments, below a gap.
    pub(super) stray: Vec<u64>,
    pub(super) replay: Replay,
    pub(super) chain: Option<Chain>,
    pub(super) retired: VecDeque<Retired>,
    pub(super) tail: Option<Tail>,
    /// The blank segment behind the tail, if it can be used.
    pub(super) spare: Option<Blank>,
    /// Segments behind the tail that cannot be used.
    pub(super) useless: Vec<u64>,
}

/// The newest segment that has been written to.
pub(super) struct Tail {
    pub(super) file: Box<dyn LogFile>,
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    pub(super) scan: Scan,
    pub(super) index_max: Option<u64>,
}

impl Walk {
    fn new(disk: Arc<dyn Disk>, identity: Identity, options: Options) -> Result<Walk, OpenError> {
        let names = disk.list().map_err(|error| OpenError::io(&disk, "reading the folder", "", error))?;
        let mut stray: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        stray.sort_unstable();
        let gap = stray.windows(2).rposition(|pair| pair[0] + 1 != pair[1]).map_or(0, |at| at + 1);
        let run = stray.split_off(gap);
        let chain = (run.first() == Some(&1)).then_some(Chain::START);
        let (replay, retired, useless) = (Replay::default(), VecDeque::new(), Vec::new());
        let (tail, spare) = (None, None);
        Ok(Walk { disk, identity, options, run, stray, replay, chain, retired, tail, spare, useless })
    }

    fn read(mut self) -> Result<Walk, OpenError> {
        for number in self.run.clone() {
            let (file, bytes) = read_whole(&self.disk, &segment_name(number))?;
            let header = self.check_header(number, &bytes);
            let blank = Blank { file, number, bytes: bytes.len() as u64 };
            match &self.tail {
                Some(tail) if !matches!(tail.scan.end, End::Closed { .. }) => {
                    self.read_spare(header, blank, &bytes)?
                }
                _ => {
                    header?;
                    self.read_next(blank, bytes)?;
                }
            }
        }
        Ok(self)
    }

    /// The first segment of all, or the one behind a segment that is closed.
    fn read_next(&mut self, blank: Blank, bytes: Bytes) -> Result<(), OpenError> {
        if let Some(empty) = &self.spare {
            // A segment is made only behind one that is written to.
            let what = format!("it is empty, but segment {} was made behind it", blank.number);
            return Err(self.damaged(empty.number, FIRST_BATCH, what));
        }
        if self.tail.is_some() && self.segment(blank.number, &bytes).is_blank() {
            self.spare = Some(blank);
            return Ok(());
        }
        self.read_segment(blank.number, blank.file, bytes)
    }

    fn read_segment(&mut self, number: u64, file: Box<dyn LogFile>, bytes: Bytes) -> Result<(), OpenError> {
        let segment = Segment { bytes: &bytes, number, group: self.identity.group };
        let replay = &mut self.replay;
        replay.index_max = None;
        let scan = segment.scan(&mut self.chain, |offset, found| replay.add(&bytes, offset, found));
        let index_max = replay.index_max;
        if let End::Damaged { offset, what } = &scan.end {
            return Err(self.damaged(number, *offset, what.clone()));
        }
        let tail = Tail { file, number, bytes, scan, index_max };
        if let Some(before) = self.tail.replace(tail) {
            self.retired.push_back(Retired { number: before.number, index_max: before.index_max });
        }
        Ok(())
    }

    /// A segment that was only made, ahead of time, holds nothing that could be lost: not even its header.
    fn read_spare(
        &mut self,
        header: Result<(), OpenError>,
        blank: Blank,
        bytes: &Bytes,
    ) -> Result<(), OpenError> {
        let segment = self.segment(blank.number, bytes);
        if let (Some(batch), Some(tail)) = (segment.batch_from(FIRST_BATCH as usize), &self.tail) {
            let what = format!("its end is lost: batch {} follows in segment {}", batch.number, blank.number);
            return Err(self.damaged(tail.number, tail.scan.offset, what));
        }
        let usable = match header {
            Ok(()) => segment.is_blank() && self.spare.is_none() && self.useless.is_empty(),
            Err(OpenError::Damaged { .. } | OpenError::WrongLength { .. }) => false,
            Err(error) => return Err(error),
        };
        if usable {
            self.spare = Some(blank);
        } else {
            self.useless.push(blank.number);
        }
        Ok(())
    }

    fn check_header(&self, number: u64, bytes: &Bytes) -> Result<(), OpenError> {
        let file = self.disk.path(&segment_name(number));
        let Some(header) = SegmentHeader::decode(bytes) else {
            return Err(self.damaged(
                number,
                0,
                "the segment's header does not match its checksum".to_string(),
            ));
        };
        if header.version > FORMAT_VERSION {
            return Err(OpenError::NewerFormat { file, found: header.version });
        }
        if header.identity != self.identity {
            return Err(OpenError::NotOurs { file, found: header.identity, wanted: self.identity });
        }
        if header.number != number {
            let what = format!("the header says that this is segment {}", header.number);
            return Err(self.damaged(number, 0, what));
        }
        let (found, wanted) = (bytes.len() as u64, header.bytes);
        if found != wanted {
            return Err(OpenError::WrongLength { file, found, wanted, index: self.replay.state.next });
        }
        Ok(())
    }

    /// Whether the log may be opened; and if so, what is cut from its end.
    fn judge(&self) -> Result<Option<Cut>, OpenError> {
        let missing = |number| {
            let index = self.replay.first_missing();
            Err(OpenError::MissingSegment { file: self.disk.path(&segment_name(number)), index })
        };
        let nothing = !self.replay.began;
        let Some(tail) = &self.tail else { return self.expect_none().map(|()| None) };
        if nothing && tail.number > 1 {
            return missing(tail.number - 1);
        }
        if let End::Closed { next } = tail.scan.end
            && self.run.last() == Some(&tail.number)
        {
            return Err(OpenError::MissingSegment {
                file: self.disk.path(&segment_name(next)),
                index: self.replay.state.next,
            });
        }
        if !self.replay.is_whole() {
            return missing(self.run.first().map_or(1, |first| first.saturating_sub(1)));
        }
        let cut = self.cut(tail);
        match cut {
            Some(cut)
                if cut.kind == CutKind::Unprovable
                    && self.options.unprovable_tail == UnprovableTail::Refuse =>
            {
                Err(OpenError::UnprovableTail(cut))
            }
            cut if nothing => self.expect_none().map(|()| cut),
            cut => Ok(cut),
        }
    }

    fn expect_none(&self) -> Result<(), OpenError> {
        match self.options.expect {
            Expect::Any => Ok(()),
            Expect::Log => Err(OpenError::NoLog { folder: self.disk.path("") }),
        }
    }

    fn cut(&self, tail: &Tail) -> Option<Cut> {
        let End::Cut { kind, what, bytes, seen } = tail.scan.end else { return None };
        Some(Cut {
            file: self.disk.path(&segment_name(tail.number)),
            offset: tail.scan.offset,
            bytes,
            from_index: self.replay.state.next,
            seen,
            kind,
            what,
        })
    }

    fn segment<'a>(&self, number: u64, bytes: &'a Bytes) -> Segment<'a> {
        Segment { bytes, number, group: self.identity.group }
    }

    fn damaged(&self, number: u64, offset: u64, what: String) -> OpenError {
        let file = self.disk.path(&segment_name(number));
        OpenError::Damaged { file, offset, index: self.replay.state.next, what }
    }
}

fn read_whole(disk: &Arc<dyn Disk>, name: &str) -> Result<(Box<dyn LogFile>, Bytes), OpenError> {
    let failed = |error| OpenError::io(disk, "reading it", name, error);
    let file = disk.open(name).map_err(failed)?;
    let found = file.len().map_err(failed)?;
    // A file that cannot be a segment must not take all memory before it is refused.
    let wanted = 2 * SEGMENT_BYTES_MAX;
    if found > wanted {
        return Err(OpenError::WrongLength { file: disk.path(name), found, wanted, index: 0 });
    }
    let mut bytes = vec![0; found as usize];
    file.read_at(0, &mut bytes).map_err(failed)?;
    Ok((file, Bytes::from(bytes)))
}
