//! A snapshot on its way in: pieces, into a file aside, until it is whole.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::wire::Piece;
use crate::log::LogFile;
use crate::raft::types::{LogId, Snapshot};
use crate::snapshot::Snapshots;

/// The one snapshot that a member takes in at a time; the first piece of another takes its place. What has come stays over a
/// lost connection, and a piece that is not the next is answered with how much there is.
pub(crate) struct Arriving {
    snapshots: Snapshots,
    part: Mutex<Option<Part>>,
}

struct Part {
    last: Option<LogId>,
    total: u64,
    have: u64,
    file: Box<dyn LogFile>,
}

impl Arriving {
    pub(crate) fn new(snapshots: Snapshots) -> Arriving {
        Arriving { snapshots, part: Mutex::new(None) }
    }

    /// Takes a piece in: the snapshot, once it is whole and was checked; till then, how many bytes there are.
    ///
    /// # Errors
    /// The disk's; or what came is no snapshot of this cluster, and is forgotten.
    pub(crate) fn take(&self, piece: &Piece) -> io::Result<Result<Snapshot, u64>> {
        let mut part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        let is_its = |part: &Part| part.last == piece.last && part.total == piece.total;
        if piece.offset == 0 && !part.as_ref().is_some_and(is_its) {
            let file = self.snapshots.create_incoming()?;
            *part = Some(Part { last: piece.last, total: piece.total, have: 0, file });
        }
        let Some(arriving) = part.as_mut().filter(|part| is_its(part)) else { return Ok(Err(0)) };
        if piece.offset != arriving.have {
            return Ok(Err(arriving.have));
        }
        arriving.file.write_at(arriving.have, &piece.bytes)?;
        arriving.have += piece.bytes.len() as u64;
        if arriving.have < arriving.total {
            return Ok(Err(arriving.have));
        }
        match part.take() {
            Some(whole) => self.snapshots.take_incoming(whole.file).map(Ok),
            None => Ok(Err(0)),
        }
    }
}
