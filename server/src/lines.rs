//! A file of lines that only grows, and is put aside once it is large, so that it never fills the disk that the data may be on.
//!
//! ```text
//!  lease.log ── at its bound ──▶ lease.log.older ──▶ lease.log.older.2 ──▶ … the oldest is gone; lease.log begins anew
//! ```
//!
//! Whoever rotates it as any log renames it, and has it opened anew under its name; where that fails it is tried again with each line.
//! What cannot be written is lost, and its writer is told; the server's log says so once, until it can be written again.
//!
//! A write may hang, on a disk or a network's file system that answers nothing. Whoever waits for its last lines gives it up after
//! [`STOP_WITHIN`], and says in the server's log what is left unwritten.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a stop waits for the last lines of one file.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(3);

/// How large it grows, and how much of what was before is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// At so many bytes it is put aside.
    pub(crate) bytes_max: u64,
    /// So many files that were put aside are kept.
    pub(crate) kept: usize,
}

/// The file, open.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
    bytes: u64,
    bounds: Bounds,
    /// It was renamed, and has yet to be opened under its name.
    renamed: bool,
    /// Whether the server's log says that it cannot be written.
    complained: bool,
}

impl Lines {
    /// Opens it, or makes it, and appends to what it holds.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn open(path: &Path, bounds: Bounds) -> io::Result<Lines> {
        let (file, bytes) = open(path)?;
        Ok(Lines { path: path.to_owned(), file, bytes, bounds, renamed: false, complained: false })
    }

    /// Writes one line, or some with line ends between them; false where they are lost.
    #[must_use]
    pub(crate) fn write(&mut self, lines: String) -> bool {
        let opened = if self.renamed { self.begin_anew() } else { Ok(()) };
        let done = self.append(lines);
        let is_written = done.is_ok();
        let done = opened.and(done).and_then(|()| self.put_aside_if_full());
        self.note(done);
        is_written
    }

    /// Opens it anew, under its name: whoever rotates it has renamed it.
    pub(crate) fn reopen(&mut self) {
        // Else all that follows would go where it was renamed to.
        self.renamed = true;
        let done = self.begin_anew();
        self.note(done);
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        (self.file, self.bytes) = open(&self.path)?;
        self.renamed = false;
        Ok(())
    }

    /// In one write, so that two lines never mix and a crash cuts at most one.
    fn append(&mut self, mut lines: String) -> io::Result<()> {
        lines.push('\n');
        // Asked, and not what was counted: who rotates it may have made it shorter.
        let before = self.file.metadata().map(|file| file.len());
        let written = self.file.write_all(lines.as_bytes());
        match (&written, before) {
            (Ok(()), _) => self.bytes += lines.len() as u64,
            // Else the next line would be a part of this one's half.
            (Err(_), Ok(before)) => drop(self.file.set_len(before)),
            (Err(_), Err(_)) => {}
        }
        written
    }

    /// Puts the file aside where it has grown to its bound. Where that fails it grows on: a line that is too many is better than one
    /// that is lost.
    fn put_aside_if_full(&mut self) -> io::Result<()> {
        if self.bytes < self.bounds.bytes_max {
            return Ok(());
        }
        // As far as the first place that is free, so that a try which comes again moves none of them twice.
        let free = (1..self.bounds.kept).find(|age| !aside(&self.path, *age).exists());
        for age in (1..free.unwrap_or(self.bounds.kept)).rev() {
            rename(&aside(&self.path, age), &aside(&self.path, age + 1))?;
        }
        rename(&self.path, &aside(&self.path, 1))?;
        self.renamed = true;
        self.begin_anew()
    }

    fn note(&mut self, done: io::Result<()>) {
        let failed = done.is_err();
        if let Err(error) = done
            && !self.complained
        {
            let path = self.path.display();
            tracing::error!(%path, %error, "a log of what was done cannot be written, or not be put aside: lines are lost until it can be");
        }
        self.complained = failed;
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// Renames what may not be there: somebody has put it aside, or we have and could not open the next one.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where it is once it was put aside so often: under no name that a program which rotates logs gives, of which `.1` is the most usual.
/// What either has put aside, the other would write over.
fn aside(path: &Path, age: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".older");
    if age > 1 {
        name.push(format!(".{age}"));
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_moves_on_by_one_and_the_oldest_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        // Each line is as long as a file may be.
        let mut lines = Lines::open(&path, Bounds { bytes_max: 3, kept: 3 }).unwrap();
        for line in ["l1", "l2", "l3", "l4", "l5"] {
            assert!(lines.write(line.to_owned()));
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            [read("l"), read("l.older"), read("l.older.2"), read("l.older.3")],
            ["", "l5\n", "l4\n", "l3\n"]
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn what_is_older_moves_as_far_as_the_first_free_place_so_that_no_try_moves_it_twice() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["l.older", "l.older.3"] {
            std::fs::write(at(name), name).unwrap();
        }
        let mut lines = Lines::open(&at("l"), Bounds { bytes_max: 3, kept: 5 }).unwrap();
        assert!(lines.write("l1".to_owned()));
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        assert_eq!(["l.older", "l.older.2", "l.older.3"].map(read), ["l1\n", "l.older", "l.older.3"]);
        assert!(!at("l.older.4").exists());
    }

    #[test]
    fn what_cannot_be_put_aside_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l");
        std::fs::create_dir_all(folder.path().join("l.older/in-the-way")).unwrap();
        let mut lines = Lines::open(&path, Bounds { bytes_max: 3, kept: 1 }).unwrap();
        assert!(lines.write("l1".to_owned()) && lines.write("l2".to_owned()));
        assert!(lines.complained);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "l1\nl2\n");
    }
}
