//! After a log was read and may be opened: cut what is torn, put the end on the disk for sure, take the rubbish out.
//!
//! The last batch is written again before anything is reported. After a failed sync the kernel may show bytes that are
//! not on the disk and think them clean; only writing them again puts them there. No more than one batch can be in that
//! state, since each is synced before the next is written.

use std::io;

use super::batch::{Active, PutError};
use super::error::{Cut, OpenError};
use super::open::{Recovered, Tail, Walk};
use super::scan::{Chain, End};
use super::spare::{Blank, SPARE_NAME, Spare, StepError, segment_name};
use super::writer::{Retired, Writer};

pub(super) fn mend(mut walk: Walk, cut: Option<Cut>) -> Result<(Recovered, Writer), OpenError> {
    let disk = walk.disk.clone();
    let failed = |what, number| {
        let disk = disk.clone();
        move |error| OpenError::io(&disk, what, &segment_name(number), error)
    };
    let number = walk.tail.as_ref().map_or(1, |tail| tail.number);
    if let Some(tail) = &walk.tail {
        mend_tail(tail, cut.as_ref()).map_err(failed("mending the log's end", number))?;
    }
    take_out(&walk, number).map_err(failed("taking old files out", number))?;
    let mut spare = walk.spare.take().map_or(Spare::None, Spare::Ready);
    let active = match go_on(&mut walk, &mut spare) {
        Some(active) => active,
        None => begin(&mut walk, &mut spare).map_err(failed("beginning a segment", number))?,
    };
    let (state, chain) = (walk.replay.state, walk.chain.unwrap_or(Chain::START));
    let (vote, committed, purged) = (state.vote, state.committed, state.purged);
    let recovered = Recovered { vote, committed, purged, entries: walk.replay.entries.into(), cut };
    let writer = Writer {
        disk: walk.disk,
        identity: walk.identity,
        options: walk.options,
        active,
        retired: walk.retired,
        spare,
        state,
        chain,
        buffer: Vec::new(),
        no_room: None,
        fatal: None,
    };
    Ok((recovered, writer))
}

fn mend_tail(tail: &Tail, cut: Option<&Cut>) -> io::Result<()> {
    if let Some(cut) = cut {
        // A new batch may be shorter than what was cut: what is left of the old one must not stand behind it.
        tail.file.write_at(cut.offset, &vec![0; cut.bytes as usize])?;
        tail.file.sync_data()?;
    }
    if let Some((from, to)) = tail.scan.last {
        tail.file.write_at(from, &tail.bytes[from as usize..to as usize])?;
    }
    tail.file.sync_data()
}

fn take_out(walk: &Walk, tail: u64) -> io::Result<()> {
    // The segment behind the tail must exist once the tail is closed: a new one takes its name, without a moment between.
    let useless = walk.useless.iter().filter(|number| **number != tail + 1);
    for number in walk.stray.iter().chain(useless) {
        walk.disk.remove(&segment_name(*number))?;
    }
    match walk.disk.remove(SPARE_NAME) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    walk.disk.sync_folder()
}

/// The segment that was written to last, if it takes more.
fn go_on(walk: &mut Walk, spare: &mut Spare) -> Option<Active> {
    let tail = walk.tail.take()?;
    let blank = Blank { file: tail.file, number: tail.number, bytes: tail.bytes.len() as u64 };
    if tail.scan.last.is_none() {
        // Its checkpoint was never whole: it is as it was when it was made.
        *spare = Spare::Ready(blank);
        return None;
    }
    if let End::Closed { .. } = tail.scan.end {
        walk.retired.push_back(Retired { number: tail.number, index_max: tail.index_max });
        return None;
    }
    Some(Active { offset: tail.scan.offset, index_max: tail.index_max, ..Active::new(blank) })
}

/// The next segment, or the first of all, with its checkpoint.
fn begin(walk: &mut Walk, spare: &mut Spare) -> io::Result<Active> {
    let number = walk.retired.back().map_or(1, |last| last.number + 1);
    let blank = loop {
        match std::mem::take(spare) {
            Spare::Ready(blank) => break blank,
            started => *spare = started,
        }
        spare.step(&walk.disk, walk.identity, number, walk.options.segment_bytes).map_err(
            |error| match error {
                StepError::Room(error) | StepError::Disk { error, .. } => error,
            },
        )?;
    };
    let mut active = Active::new(blank);
    let mut chain = walk.chain.unwrap_or(Chain::START);
    let begun = active.begin(&mut chain, &mut Vec::new(), &walk.replay.state, walk.identity.group);
    walk.chain = Some(chain);
    begun.map(|()| active).map_err(|error| match error {
        PutError::Room(error) | PutError::Disk { error, .. } => error,
    })
}
