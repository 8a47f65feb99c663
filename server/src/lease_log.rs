//! The lease log: who was granted what, and when that ended, a line each as Juju's `lease.log` has them, for whoever reads those.
//!
//! ```text
//!  2019/02/06 09:00:00.123456 claimed "8e6e…:application-leadership#mysql#" for "mysql/0"
//!  2019/02/06 09:01:12.654321 expired "8e6e…:application-leadership#mysql#"
//!                                      model:namespace#lease#
//! ```
//!
//! Only the leader writes, and of each grant the one whose batch it was, so that the logs of all members together have it once. It is
//! read from the replica's ledger by a thread of its own, which no call waits for; where it cannot keep up, or cannot write, a line says how
//! many are missing. What a leader had not written when it was killed is in no log.
//!
//! * A claim is whatever began a grant: a claim, a turn in line, a transfer, an heir. Extends have no line, in Juju neither.
//! * Juju has no word for a release and writes `expired` for a revoke; here it is written for every end: expired, released, revoked,
//!   transferred, restored.
//! * A lease of a namespace that is none of Juju's has no model: `":default#db/primary#"`.
//! * The time is UTC, of the writing, a few milliseconds late. The leases of every door are in it.
//! * Texts are escaped, `#` in an id as `\u{23}`: no name can forge a line, or a part of an id.
//! * At its bound it is put aside ([`crate::lines`]). Juju compresses what it puts aside; this does not.
//! * A stop waits for what is yet to be written, and not for ever: the server's log says how many lines are missing.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use api::JujuNamespace;
use lease::{Event, Key, Shown, What};
use replica::{Handle, Led};
use time::OffsetDateTime;

use crate::lines::{Bounds, Lines, STOP_WITHIN};
use crate::threads::ends_within;

/// How large it grows, and how much is kept: Juju's own 30 MB, ten times besides the one that grows.
pub(crate) const BOUNDS: Bounds = Bounds { bytes_max: 30 << 20, kept: 10 };

/// Events of one look into the ledger: the replica's state is locked meanwhile.
const LOOK: usize = 256;
/// How long news gather before they are written, so that a busy leader does not wake this thread for each.
const GATHERS: Duration = Duration::from_millis(10);

/// A lease log. Dropped, it writes what there is and ends, or says what it could not write where its file hangs.
pub(crate) struct LeaseLog {
    path: PathBuf,
    words: Sender<Word>,
    pull: Pull,
    /// Lines that the writer has in hand: being written, or missing.
    owed: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

/// The next events of the ledger.
type Pull = Arc<dyn Fn() -> Led + Send + Sync>;

/// What the writer is told. There are never many: the ledger calls once, until it is read.
enum Word {
    News,
    Reopen,
    End,
}

impl LeaseLog {
    /// Opens the file, or makes it, and writes from now on what this replica decides while it leads.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn open(path: &Path, bounds: Bounds, replica: Handle) -> io::Result<LeaseLog> {
        let file = Lines::open(path, bounds)?;
        let (words, told) = channel();
        let news = words.clone();
        // Nobody hears it any more once the writer has ended.
        replica.keep_ledger(Arc::new(move || drop(news.send(Word::News))));
        LeaseLog::start(path, file, (words, told), Arc::new(move || replica.pull_ledger(LOOK)))
    }

    fn start(
        path: &Path,
        file: Lines,
        (words, told): (Sender<Word>, Receiver<Word>),
        pull: Pull,
    ) -> io::Result<LeaseLog> {
        let owed = Arc::new(AtomicU64::new(0));
        let mut writer = Writer { file, lost: 0, owed: Arc::clone(&owed) };
        let pulls = Arc::clone(&pull);
        let run = move || writer.run(&told, &*pulls);
        let writer = std::thread::Builder::new().name("lease-log".to_owned()).spawn(run)?;
        Ok(LeaseLog { path: path.to_owned(), words, pull, owed, writer: Some(writer) })
    }

    /// Opens the file anew, under its name.
    pub(crate) fn reopen(&self) {
        drop(self.words.send(Word::Reopen));
    }

    /// Ends the writer once it has written all that is in the ledger; how many lines are left unwritten, where its file hangs for that
    /// time.
    fn end(&mut self, within: Duration) -> u64 {
        drop(self.words.send(Word::End));
        let Some(writer) = self.writer.take() else { return 0 };
        if ends_within(&writer, within) {
            let _ = writer.join();
            return 0;
        }
        let mut unwritten = self.owed.load(Ordering::Relaxed);
        loop {
            let led = (self.pull)();
            unwritten += led.missed + led.events.iter().filter(|event| has_line(event)).count() as u64;
            if !led.more {
                return unwritten;
            }
        }
    }
}

impl Drop for LeaseLog {
    fn drop(&mut self) {
        let unwritten = self.end(STOP_WITHIN);
        if unwritten > 0 {
            let path = self.path.display();
            tracing::error!(%path, unwritten, "the lease log's file hangs: the stop waits for it no longer, and {unwritten} lines may never be written");
        }
    }
}

struct Writer {
    file: Lines,
    /// Lines that are missing, and of which no line tells yet.
    lost: u64,
    /// These, and those that are being written.
    owed: Arc<AtomicU64>,
}

impl Writer {
    fn run(&mut self, told: &Receiver<Word>, pull: &dyn Fn() -> Led) {
        loop {
            match told.recv() {
                Ok(Word::News) => {
                    std::thread::sleep(GATHERS);
                    self.write_all(pull);
                }
                Ok(Word::Reopen) => self.file.reopen(),
                Ok(Word::End) | Err(_) => return self.write_all(pull),
            }
        }
    }

    fn write_all(&mut self, pull: &dyn Fn() -> Led) {
        loop {
            let led = pull();
            let more = led.more;
            self.write(&led, OffsetDateTime::now_utc());
            if !more {
                return;
            }
        }
    }

    fn write(&mut self, led: &Led, at: OffsetDateTime) {
        self.lost += led.missed;
        let mut lines = Vec::with_capacity(led.events.len() + 1);
        let at = Stamp(at);
        if self.lost > 0 {
            lines.push(format!(
                "{at} missing {} lines: this log could not keep up, or not be written",
                self.lost
            ));
        }
        lines.extend(led.events.iter().filter_map(|event| line(event, &at)));
        if lines.is_empty() {
            return;
        }
        let told = std::mem::take(&mut self.lost);
        let owed = told + lines.len() as u64 - u64::from(told > 0);
        self.owed.store(owed, Ordering::Relaxed);
        if !self.file.write(lines.join("\n")) {
            self.lost = owed;
        }
        self.owed.store(self.lost, Ordering::Relaxed);
    }
}

fn has_line(event: &Event) -> bool {
    matches!(event.what, What::Granted { .. } | What::Ended { .. })
}

/// An event's line; none where it has none.
fn line(event: &Event, at: &Stamp) -> Option<String> {
    match &event.what {
        What::Granted { key, holder, .. } => {
            Some(format!("{at} claimed {} for \"{}\"", Id(key), Part(holder.as_str(), false)))
        }
        What::Ended { key, .. } => Some(format!("{at} expired {}", Id(key))),
        _ => None,
    }
}

/// `2019/02/06 09:00:00.123456`.
struct Stamp(OffsetDateTime);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second, micro) = time.as_hms_micro();
        write!(f, "{year:04}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}.{micro:06}")
    }
}

/// A lease's id, in quotes.
struct Id<'a>(&'a Key);

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.0.namespace.as_str();
        let (model, namespace) =
            JujuNamespace::read(namespace).map_or(("", namespace), |(juju, model)| (model, juju.as_str()));
        write!(f, "\"{model}:{}#{}#\"", Part(namespace, true), Part(self.0.name.as_str(), true))
    }
}

/// A text in quotes, and whether it is a part of an id.
struct Part<'a>(&'a str, bool);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part(text, in_id) = *self;
        for piece in text.split_inclusive(['"', '\\', '#']) {
            let cut = piece.len() - usize::from(piece.ends_with(['"', '\\', '#']));
            write!(f, "{}", Shown(&piece[..cut]))?;
            match &piece[cut..] {
                "#" if in_id => f.write_str("\\u{23}")?,
                "#" => f.write_char('#')?,
                "" => {}
                quoted => write!(f, "\\{quoted}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::Mutex;

    use lease::{Holder, Name, Namespace, Revision, Token};

    use super::*;

    fn granted(namespace: &str, name: &str, holder: &str) -> Event {
        let key = Key { namespace: Namespace::parse(namespace).unwrap(), name: Name::parse(name).unwrap() };
        let (holder, token) = (Holder::parse(holder).unwrap(), Token::from_u64(7));
        Event {
            revision: Revision(1),
            what: What::Granted { key, holder, token, confirmed: true, value: None },
        }
    }

    fn at() -> Stamp {
        Stamp(OffsetDateTime::from_unix_timestamp_nanos(1_549_443_600_123_456_789).unwrap())
    }

    fn led(names: &[&str], missed: u64) -> Led {
        Led { events: names.iter().map(|name| granted("n", name, "h")).collect(), missed, more: false }
    }

    #[test]
    fn a_line_is_jujus_and_no_name_can_forge_another_or_a_part_of_an_id() {
        let model = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";
        let cases = [
            (
                granted(&format!("application-leadership:{model}"), "mysql", "mysql/0"),
                format!("claimed \"{model}:application-leadership#mysql#\" for \"mysql/0\""),
            ),
            (
                granted("default", "db/primary", "me"),
                "claimed \":default#db/primary#\" for \"me\"".to_owned(),
            ),
            (
                granted("n#x", "a\" for \"b#\\", "c\"#"),
                r##"claimed ":n\u{23}x#a\" for \"b\u{23}\\#" for "c\"#""##.to_owned(),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(line(&event, &at()), Some(format!("2019/02/06 09:00:00.123456 {expected}")));
        }
        // The parser lets nothing hidden in; what an older log has is shown all the same.
        assert_eq!(Part("a\n\u{202e}b", true).to_string(), "a\\n\\u{202e}b");
    }

    #[test]
    fn what_is_missing_is_said_once_in_the_next_lines_that_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease.log");
        let mut writer = Writer { file: Lines::open(&path, BOUNDS).unwrap(), lost: 0, owed: Arc::default() };
        writer.write(&led(&["a"], 0), at().0);
        writer.write(&led(&[], 3), at().0);
        writer.write(&led(&["b", "c"], 2), at().0);
        let text = std::fs::read_to_string(&path).unwrap();
        let said: Vec<&str> = text.lines().map(|line| &line[27..40]).collect();
        assert_eq!(
            said,
            ["claimed \":n#a", "missing 3 lin", "missing 2 lin", "claimed \":n#b", "claimed \":n#c"]
        );
        // A file that takes nothing: what was to be written is missing, and what was missing still is.
        let full = Path::new("/dev/full");
        let mut writer = Writer { file: Lines::open(full, BOUNDS).unwrap(), lost: 0, owed: Arc::default() };
        writer.write(&led(&["a", "b"], 0), at().0);
        writer.write(&led(&["c"], 4), at().0);
        assert_eq!(writer.lost, 7);
    }

    #[test]
    fn an_end_waits_for_a_file_that_hangs_no_longer_than_it_is_told_and_says_how_many_lines_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease.log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let reader = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
        // More in one look than a pipe holds that nobody reads.
        let many = vec!["a"; 20_000];
        let looks = Mutex::new(vec![led(&["z", "z"], 5), led(&many, 0)]);
        let pull = move || {
            let mut looks = looks.lock().unwrap();
            let next = looks.pop().unwrap_or_else(|| led(&[], 0));
            Led { more: !looks.is_empty(), ..next }
        };
        let file = Lines::open(&path, BOUNDS).unwrap();
        let mut log = LeaseLog::start(&path, file, channel(), Arc::new(pull)).unwrap();
        assert_eq!(log.end(Duration::from_millis(300)), 20_000 + 5 + 2);
        assert_eq!(log.end(Duration::from_secs(60)), 0, "it is told once, and waited for once");
        // The writer's write fails, and it ends.
        drop(reader);
    }

    #[test]
    fn all_that_is_there_is_written_at_the_end_and_the_file_rolls_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease.log");
        let bounds = Bounds { bytes_max: 100, kept: 10 };
        let mut writer = Writer { file: Lines::open(&path, bounds).unwrap(), lost: 0, owed: Arc::default() };
        let left = RefCell::new((0..13).collect::<Vec<u64>>());
        let pull = || {
            let mut left = left.borrow_mut();
            let next = left.remove(0);
            Led { more: !left.is_empty(), ..led(&[&format!("lease-{next}"), "x"], 0) }
        };
        let (words, told) = channel();
        words.send(Word::End).unwrap();
        writer.run(&told, &pull);
        let read = |age: usize| {
            let aside = if age > 1 { format!("lease.log.older.{age}") } else { "lease.log.older".to_owned() };
            std::fs::read_to_string(folder.path().join(aside)).unwrap()
        };
        // Two lines are more than a file may have: each look has its own, and ten of them are kept.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 11);
        for age in 1..=10 {
            assert!(read(age).contains(&format!(":n#lease-{}#", 13 - age)), "{age}: {}", read(age));
        }
    }
}
