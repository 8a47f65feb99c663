//! Writes the history of one process, a line at a time, while it runs: what was written is there, also after a kill -9.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use torture::history::{Answer, Call, Invoke, Nanos, Record, Return, What, write};

use crate::clock;

/// Numbers of calls of one process start so far apart.
const CALLS_OF_ONE: u64 = 1 << 40;

/// A process's pen. Clones write into one file.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Arc<Pen>);

#[derive(Debug)]
struct Pen {
    file: Mutex<File>,
    calls: AtomicU64,
}

impl Recorder {
    /// Makes the file. Each process of a run has a number of its own.
    pub(crate) fn create(path: &Path, process: u64) -> io::Result<Recorder> {
        let (file, calls) = (Mutex::new(File::create(path)?), AtomicU64::new(process * CALLS_OF_ONE));
        Ok(Recorder(Arc::new(Pen { file, calls })))
    }

    /// Writes what happened now.
    pub(crate) fn note(&self, what: What) {
        self.note_at(clock::now(), what);
    }

    /// Writes what happened at a time.
    pub(crate) fn note_at(&self, at: Nanos, what: What) {
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write(&mut *file, &Record { at, what }) {
            // A history with a gap convicts the innocent.
            eprintln!("torture: the history cannot be written: {error}");
            std::process::exit(crate::EXIT_RIG);
        }
    }

    /// Writes that a call leaves now, and gives its number.
    pub(crate) fn invoke(&self, client: &str, lease: &str, through: Option<u64>, call: Call) -> u64 {
        let op = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let (client, lease) = (client.to_owned(), lease.to_owned());
        self.note(What::Invoke(Invoke { op, client, lease, through, call }));
        op
    }

    /// Writes that a call came back now.
    pub(crate) fn returns(&self, op: u64, answer: Answer) {
        self.note(What::Return(Return { op, answer }));
    }
}
