//! A real process on a real folder: killed at any moment it loses nothing that it has acknowledged, and a sync that fails
//! ends it. The test binary starts itself again as the victim.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod log_support;

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log_support::{IDENTITY, Model, entry, id, told, vote};
use replica::log::{Disk, Folder, Log, LogFile, Options, Record, open};

const FOLDER: &str = "TENURE_TEST_LOG_VICTIM";
const SYNCS: &str = "TENURE_TEST_LOG_SYNCS";
const ROUNDS: u64 = 200;

fn options() -> Options {
    Options { segment_bytes: 64 * 1024, ..Options::default() }
}

/// A folder whose syncs fail after some.
struct Failing {
    folder: Folder,
    left: Arc<AtomicU64>,
}

struct FailingFile {
    file: Box<dyn LogFile>,
    left: Arc<AtomicU64>,
}

impl Failing {
    fn wrap(&self, file: io::Result<Box<dyn LogFile>>) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(FailingFile { file: file?, left: self.left.clone() }))
    }
}

impl Disk for Failing {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        self.wrap(self.folder.create(name))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        self.wrap(self.folder.open(name))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.folder.sync_folder()
    }
    fn free_bytes(&self) -> Option<u64> {
        self.folder.free_bytes()
    }
    fn path(&self, name: &str) -> String {
        self.folder.path(name)
    }
}

impl LogFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, into)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| io::Error::from_raw_os_error(5))?;
        self.file.sync_data()
    }
}

/// The job number `n` of a log: entries, one to five at a time, with votes, marks and purges among them. It follows from
/// the state alone, so that the judge can tell what the victim must have written.
fn job(state: &Model) -> Vec<Record> {
    let next = state.next();
    let term = 1 + next / 1000;
    let mut records: Vec<Record> = (next..next + 1 + next % 5).map(|index| entry(term, index)).collect();
    if next % 97 < 5 {
        records.insert(0, vote(next, 1));
    }
    if next % 7 < 3 {
        records.push(Record::Committed(id(term, next)));
    }
    if next % 211 < 5 && next > 500 {
        records.push(Record::Purge { upto: state.entries[state.entries.len() - 300] });
    }
    records
}

/// Appends until it is killed. Every line on stdout is one more acknowledged job, told by the next index.
fn victim(folder: &Path) {
    let folder = Folder::open(folder).unwrap();
    let left = std::env::var(SYNCS).map_or(u64::MAX, |syncs| syncs.parse().unwrap());
    let disk = Arc::new(Failing { folder, left: Arc::new(AtomicU64::new(left)) });
    let (recovered, writer) = match open(disk, IDENTITY, options()) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("{error}");
            exit(3);
        }
    };
    let mut state = told(&recovered);
    let on_fatal = |error: &io::Error| {
        eprintln!("{error}");
        exit(70);
    };
    let log = Log::start(writer, Box::new(on_fatal)).unwrap();
    let (done, finished) = std::sync::mpsc::sync_channel(64);
    let tell = std::thread::spawn(move || {
        let mut out = io::stdout().lock();
        for next in finished {
            writeln!(out, "{next}").unwrap();
            out.flush().unwrap();
        }
    });
    let (slots, free) = std::sync::mpsc::channel();
    (0..32).for_each(|_| slots.send(()).unwrap());
    // More than any round lasts, and an end if nobody kills.
    for _ in 0..1_000_000 {
        free.recv().unwrap();
        let records = job(&state);
        state.apply(&records);
        let (next, done, slots) = (state.next(), done.clone(), slots.clone());
        let told = move |result: io::Result<()>| {
            result.unwrap();
            let _ = done.send(next);
            let _ = slots.send(());
        };
        log.append(records, Box::new(told));
    }
    drop(done);
    log.stop();
    tell.join().unwrap();
}

/// Not a test of its own: the part of the binary that the tests below start.
#[test]
fn the_victim() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        victim(Path::new(&folder));
    }
}

fn start(folder: &Path, syncs: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_victim", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    if let Some(syncs) = syncs {
        command.env(SYNCS, syncs.to_string());
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads acknowledgements until there were `enough`, or no more; the last one.
fn acknowledged(child: &mut Child, enough: u64) -> Option<u64> {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    // The test harness talks too; only whole lines with a number count.
    let numbers = lines.map_while(Result::ok).filter_map(|line| line.parse().ok());
    numbers.take(enough as usize).last()
}

/// What is there must be what the victim's jobs add up to, and hold all that was acknowledged.
fn judge(folder: &Path, before: &Model, next_acknowledged: Option<u64>) -> Model {
    let (recovered, _) = open(Arc::new(Folder::open(folder).unwrap()), IDENTITY, options()).unwrap();
    let found = told(&recovered);
    let mut state = before.clone();
    let mut may = next_acknowledged.is_none();
    loop {
        may |= next_acknowledged == Some(state.next());
        if may && state == found {
            return found;
        }
        assert!(state.next() <= found.next(), "{next_acknowledged:?} acknowledged, found {found:?}");
        let records = job(&state);
        state.apply(&records);
    }
}

fn finish(mut child: Child) -> (ExitStatus, String) {
    let mut said = String::new();
    io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    (child.wait().unwrap(), said)
}

#[test]
fn two_hundred_kills_lose_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = Model::default();
    let (mut chance, mut acknowledgements) = (0x2545_F491_4F6C_DD1D_u64, 0);
    for round in 0..ROUNDS {
        // Xorshift: the rounds differ, and are the same in every run but for what the machine does.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let mut child = start(folder.path(), None);
        let enough = 1 + chance % 120;
        let last = acknowledged(&mut child, enough);
        child.kill().unwrap();
        let (status, said) = finish(child);
        assert!(status.code().is_none(), "round {round}: it ended by itself: {status} {said}");
        assert!(last.is_some(), "round {round}: nothing was acknowledged: {said}");
        state = judge(folder.path(), &state, last);
        acknowledgements += enough;
    }
    println!("{ROUNDS} kills, {acknowledgements} acknowledgements read, next index {}", state.next());
    assert!(state.purged.is_some() && state.vote.is_some(), "purges and votes were among it");
}

#[test]
fn a_failed_sync_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = Model::default();
    for syncs in [5, 9, 20, 40, 100] {
        let mut child = start(folder.path(), Some(syncs));
        let last = acknowledged(&mut child, u64::MAX);
        let (status, said) = finish(child);
        assert_eq!(status.code(), Some(70), "{said}");
        for part in ["segment-", "failed: ", "the process ends"] {
            assert!(said.contains(part), "{said:?} does not say {part:?}");
        }
        state = judge(folder.path(), &state, last);
    }
    assert!(state.next() > 50, "{}", state.next());
}
