//! The audit log's file: appended to, and put aside once it has grown, so that it never fills the disk that the data may be on.
//!
//! ```text
//!  audit.jsonl ── audit.bytes_max ──▶ audit.jsonl.older, in the place of the one before; audit.jsonl begins anew
//! ```

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file, open.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl Lines {
    /// Opens it, or makes it, and appends to what it holds.
    pub(super) fn open(path: &Path, bytes_max: u64) -> io::Result<Lines> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Lines { path: path.to_owned(), file, bytes, bytes_max })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it anew, under its name: whoever rotates it has renamed it.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Lines::open(&self.path, self.bytes_max)?;
        Ok(())
    }

    /// One write a line, so that two lines never mix and a crash cuts at most one.
    pub(super) fn append(&mut self, mut line: String) -> io::Result<()> {
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Puts the file aside where it has grown to its bound. Where that fails it grows on: a line that is too many is better than one
    /// that is lost.
    pub(super) fn put_aside_if_full(&mut self) -> io::Result<()> {
        if self.bytes < self.bytes_max {
            return Ok(());
        }
        match std::fs::rename(&self.path, aside(&self.path)) {
            // Somebody has put it aside, or we have and could not open the next one.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.reopen(),
        }
    }
}

/// Where the older half is: under no name that a program which rotates logs gives, of which `.1` is the most usual. What either has put
/// aside, the other would write over.
fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".older");
    name.into()
}
