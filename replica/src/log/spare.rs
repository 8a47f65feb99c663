//! The next segment, made ahead of time.
//!
//! A file full of zeros takes a sync in half the time of one that grows (measured: 103 us against 197 us for 4 KiB), but
//! making it takes longer than anyone should wait. So it is made a slice at a time between batches, under a name that
//! does not count, and gets its own name when every zero is on the disk.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, LogFile};
use super::format::{FORMAT_VERSION, Identity, SegmentHeader};

/// The name under which a segment is made.
pub(super) const SPARE_NAME: &str = "spare.tmp";
/// Bytes of zeros that are written and synced in one step.
const SLICE_BYTES: usize = 256 * 1024;

static ZEROS: [u8; SLICE_BYTES] = [0; SLICE_BYTES];

/// The name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number:016}.log")
}

/// The number of the segment of that name, if it is the name of one.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("segment-")?.strip_suffix(".log")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// Why a step could not be made.
#[derive(Debug)]
pub(super) enum StepError {
    /// There is no room, or no file can be made now. Nothing is lost; it may be tried again.
    Room(io::Error),
    /// The disk failed.
    Disk { what: &'static str, error: io::Error },
}

/// A segment that is ready for its first batch.
pub(super) struct Blank {
    pub(super) file: Box<dyn LogFile>,
    pub(super) number: u64,
    pub(super) bytes: u64,
}

/// The next segment, however far it is.
#[derive(Default)]
pub(super) enum Spare {
    #[default]
    None,
    Filling {
        blank: Blank,
        filled: u64,
    },
    Ready(Blank),
}

impl Spare {
    /// How many bytes are zeroed and synced.
    pub(super) fn filled(&self) -> u64 {
        match self {
            Spare::None => 0,
            Spare::Filling { filled, .. } => *filled,
            Spare::Ready(blank) => blank.bytes,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Spare::Ready(_))
    }

    /// Drops what has been made so far when it is too small for what must go in. A file that has its name already is
    /// replaced when the larger one takes that name.
    pub(super) fn want(&mut self, bytes: u64) {
        if matches!(self, Spare::Filling { blank, .. } | Spare::Ready(blank) if blank.bytes < bytes) {
            *self = Spare::None;
        }
    }

    /// One step towards a ready segment: a file, or a slice, or its name.
    pub(super) fn step(
        &mut self,
        disk: &Arc<dyn Disk>,
        identity: Identity,
        number: u64,
        bytes: u64,
    ) -> Result<(), StepError> {
        let stepped = match std::mem::take(self) {
            Spare::None => begin(disk, number, bytes),
            Spare::Filling { blank, filled } if filled < blank.bytes => fill(blank, filled, identity),
            Spare::Filling { blank, .. } => name(disk, blank),
            ready @ Spare::Ready(_) => Ok(ready),
        };
        match stepped {
            Ok(spare) => {
                *self = spare;
                Ok(())
            }
            Err(error) => {
                // What is left of the file would take the room that a snapshot or a purge needs to free some.
                if matches!(error, StepError::Room(_)) {
                    let _ = disk.remove(SPARE_NAME);
                }
                Err(error)
            }
        }
    }
}

fn begin(disk: &Arc<dyn Disk>, number: u64, bytes: u64) -> Result<Spare, StepError> {
    // Asking first keeps a retry from filling what little is left, which a snapshot may need to free more.
    if disk.free_bytes().is_some_and(|free| free < bytes) {
        return Err(StepError::Room(io::ErrorKind::StorageFull.into()));
    }
    let file = match disk.create(SPARE_NAME) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(SPARE_NAME).map_err(StepError::Room)?;
            disk.create(SPARE_NAME)
        }
        made => made,
    };
    let file = file.map_err(StepError::Room)?;
    Ok(Spare::Filling { blank: Blank { file, number, bytes }, filled: 0 })
}

fn fill(blank: Blank, filled: u64, identity: Identity) -> Result<Spare, StepError> {
    let slice = (blank.bytes - filled).min(SLICE_BYTES as u64);
    blank.file.write_at(filled, &ZEROS[..slice as usize]).map_err(|error| room_or("writing zeros", error))?;
    if filled == 0 {
        let header =
            SegmentHeader { version: FORMAT_VERSION, identity, number: blank.number, bytes: blank.bytes };
        blank.file.write_at(0, &header.encode()).map_err(|error| room_or("writing the header", error))?;
    }
    // A sync a slice keeps each short; one sync of the whole file would hold up the next batch for as long.
    // Nothing in this file counts yet, so a sync that fails for want of room loses nothing.
    blank.file.sync_data().map_err(|error| room_or("syncing zeros", error))?;
    Ok(Spare::Filling { blank, filled: filled + slice })
}

fn name(disk: &Arc<dyn Disk>, blank: Blank) -> Result<Spare, StepError> {
    disk.rename(SPARE_NAME, &segment_name(blank.number)).map_err(StepError::Room)?;
    disk.sync_folder().map_err(|error| StepError::Disk { what: "syncing the folder", error })?;
    Ok(Spare::Ready(blank))
}

fn room_or(what: &'static str, error: io::Error) -> StepError {
    if is_room(&error) { StepError::Room(error) } else { StepError::Disk { what, error } }
}

/// Whether the disk is in order but takes no more.
pub(crate) fn is_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}
