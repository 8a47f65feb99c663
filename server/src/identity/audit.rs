//! Who did what, with which outcome: a JSON object a line, of every refusal and of every change but extends, of which a holder makes
//! one every few seconds and which only keep what a line before has told.
//!
//! ```text
//! {"at":"2026-11-26T18:47:00.123Z","who":"mysql/0","role":"unit","by":"token 00…","from":"10.0.0.7:4242",
//!  "verb":"claim","namespace":"prod","name":"mysql","holder":"mysql/0","outcome":"granted","token":"41"}
//! ```
//!
//! `token` is a grant's, never a secret. A caller's text is escaped as JSON escapes it, and what reorders or hides text besides, so
//! that no name can forge a line. A thread of its own writes; where it falls behind, or cannot write, lines are dropped and their number
//! is the next line. To rotate: rename the file and send SIGHUP, and it is opened anew under its name; and at its bound it is put aside
//! by itself ([`crate::lines`]). A stop waits for what is yet to be written, and not for ever.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use lease::{Role, Shown, Token};
use serde::Serialize;

use super::{Caller, Scope, Unknown, Verb};
use crate::lines::{Bounds, Lines, STOP_WITHIN};
use crate::threads::ends_within;
use crate::tls;

/// Characters of one text in a line.
const TEXT_CHARS_MAX: usize = 256;
/// Lines that wait to be written, at most.
const WAITING_MAX: usize = 16_384;

/// An audit log. Dropped, it writes what waits and ends, or says what it could not write where its file hangs.
#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    lines: Option<SyncSender<Message>>,
    said: Arc<Said>,
    writer: Option<JoinHandle<()>>,
}

enum Message {
    Line(String),
    /// There is something in [`Said`] to look at.
    Look,
}

/// What the writer is told beside its queue, which may be full.
#[derive(Debug, Default)]
struct Said {
    /// Lines that were lost since that was written last.
    dropped: AtomicU64,
    /// Lines in the queue, and the one that is being written.
    waiting: AtomicU64,
    /// The file is to be opened anew, before the next line.
    reopen: AtomicBool,
}

/// What is written of one act.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Entry {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verb: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    /// Of a change of tokens: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// How many were turned away or refused of whom, or of which, there is no line.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
}

impl Entry {
    /// Of what a caller asks to be done.
    pub(crate) fn of(caller: &Caller, verb: Verb, scope: Scope<'_>) -> Entry {
        let (namespace, name, holder) = match scope {
            Scope::Cluster => (None, None, None),
            Scope::Namespace(namespace) => (namespace, None, None),
            Scope::Lease { namespace, name, holder } => (Some(namespace), Some(name), holder),
        };
        Entry {
            who: Some(shown(&caller.principal.name)),
            role: Some(caller.principal.role.as_str()),
            by: Some(caller.principal.source.to_string()),
            from: caller.peer,
            verb: Some(verb.as_str()),
            namespace: namespace.map(shown),
            name: name.map(shown),
            holder: holder.map(shown),
            ..Entry::default()
        }
    }

    /// Of somebody who is not known.
    pub(crate) fn of_unknown(peer: Option<SocketAddr>, why: Unknown) -> Entry {
        Entry { from: peer, outcome: "unauthenticated", why: Some(why.to_string()), ..Entry::default() }
    }

    /// Of so many who are not known, and of whom there is no line each.
    pub(crate) fn of_left_out(left_out: u64) -> Entry {
        Entry { outcome: "unauthenticated", left_out: Some(left_out), ..Entry::default() }
    }

    /// Of so many refusals of which there is no line each: of one who is known, or of several.
    pub(crate) fn of_refused(who: Option<(&str, Role)>, outcome: &'static str, left_out: u64) -> Entry {
        Entry {
            who: who.map(|(name, _)| shown(name)),
            role: who.map(|(_, role)| role.as_str()),
            outcome,
            left_out: Some(left_out),
            ..Entry::default()
        }
    }

    /// The same, with what is changed.
    pub(crate) fn about(self, what: impl ToString) -> Entry {
        Entry { what: Some(shown(&what.to_string())), ..self }
    }

    /// The same, with what came of it.
    pub(crate) fn with(self, outcome: &'static str, token: Option<Token>) -> Entry {
        Entry { outcome, token: token.map(|token| token.to_string()), ..self }
    }
}

/// A text of a caller's, of which nothing is known yet: as much of it as the longest name has.
fn shown(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", Shown(&text[..end]), text.len()),
        None => Shown(text).to_string(),
    }
}

impl Audit {
    /// Opens the file, or makes it, and writes behind what it holds. At `bytes_max` bytes it is put aside.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> io::Result<Audit> {
        let file = Lines::open(path, Bounds { bytes_max, kept: 1 })?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let said = Arc::new(Said::default());
        let heard = Arc::clone(&said);
        let write = move || write(&waiting, file, &heard);
        let writer = std::thread::Builder::new().name("audit".to_owned()).spawn(write)?;
        Ok(Audit { path: path.to_owned(), lines: Some(lines), said, writer: Some(writer) })
    }

    /// Writes a line, soon. It never waits.
    pub(crate) fn write(&self, entry: Entry) {
        let entry = Entry { at: tls::instant_now(), ..entry };
        let dropped = self.said.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.send(Message::Line(dropped_line(&entry.at, dropped)), dropped);
        }
        match serde_json::to_string(&entry) {
            Ok(line) => self.send(Message::Line(line), 1),
            Err(error) => debug_assert!(false, "an entry is always JSON: {error}"),
        }
    }

    /// Opens the file anew, under its name, before the next line is written. It never waits, and is not lost where the queue is full:
    /// the writer finds it with the next line that it takes from there.
    pub(crate) fn reopen(&self) {
        self.said.reopen.store(true, Ordering::Release);
        self.send(Message::Look, 0);
    }

    fn send(&self, message: Message, lines: u64) {
        let Some(to) = &self.lines else { return };
        let is_line = u64::from(matches!(message, Message::Line(_)));
        // Before it is sent: the writer may be done with it at once.
        self.said.waiting.fetch_add(is_line, Ordering::Relaxed);
        if to.try_send(message).is_err() {
            self.said.waiting.fetch_sub(is_line, Ordering::Relaxed);
            self.said.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Ends the writer once it has written what waits; how many lines are left unwritten, where its file hangs for that time.
    fn end(&mut self, within: Duration) -> u64 {
        // The writer ends with its last line.
        self.lines = None;
        let Some(writer) = self.writer.take() else { return 0 };
        match ends_within(&writer, within) {
            true => {
                let _ = writer.join();
                0
            }
            false => self.said.waiting.load(Ordering::Relaxed) + self.said.dropped.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        let unwritten = self.end(STOP_WITHIN);
        if unwritten > 0 {
            let path = self.path.display();
            tracing::error!(%path, unwritten, "the audit log's file hangs: the stop waits for it no longer, and {unwritten} lines may never be written");
        }
    }
}

fn write(waiting: &Receiver<Message>, mut file: Lines, said: &Said) {
    while let Ok(message) = waiting.recv() {
        if said.reopen.swap(false, Ordering::AcqRel) {
            file.reopen();
        }
        if let Message::Line(line) = message {
            let lost = u64::from(!file.write(line));
            said.dropped.fetch_add(lost, Ordering::Relaxed);
            said.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let dropped = said.dropped.swap(0, Ordering::Relaxed);
    // It was told already that nothing can be written, where that is so.
    let _ = dropped == 0 || file.write(dropped_line(&tls::instant_now(), dropped));
}

fn dropped_line(at: &str, lines: u64) -> String {
    format!("{{\"at\":\"{at}\",\"outcome\":\"dropped\",\"lines\":{lines}}}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;
    use crate::identity::Principal;

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn until(mut is_so: impl FnMut() -> bool) {
        let began = std::time::Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(20), "it has not come");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_line_says_who_did_what_and_no_name_can_forge_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let caller = Caller::new(Principal::anyone(), Some("127.0.0.1:9".parse().unwrap()));
        let forged = "a\n{\"who\":\"root\"}\u{202e}";
        let scope = Scope::Lease { namespace: "n", name: forged, holder: Some("h") };
        let audit = Audit::open(&path, u64::MAX).unwrap();
        audit.write(Entry::of(&caller, Verb::Claim, scope).with("granted", Some(Token::from_u64(41))));
        drop(audit);
        let [line] = &lines(&path)[..] else { panic!("one line") };
        assert_eq!(line["who"], "anyone");
        assert_eq!(
            (&line["verb"], &line["outcome"], &line["token"]),
            (&"claim".into(), &"granted".into(), &"41".into())
        );
        assert_eq!(line["name"], "a\\n{\"who\":\"root\"}\\u{202e}");
        assert_eq!(line["from"], "127.0.0.1:9");
        assert!(line["at"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[test]
    fn a_file_that_was_renamed_is_made_anew_at_the_next_opening() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("old"));
        let audit = Audit::open(&path, u64::MAX).unwrap();
        audit.write(Entry::of_unknown(None, Unknown::Nothing));
        // What still waits goes where the file is opened next.
        until(|| std::fs::metadata(&path).unwrap().len() > 0);
        std::fs::rename(&path, &old).unwrap();
        audit.reopen();
        audit.write(Entry::of_unknown(None, Unknown::Nameless));
        drop(audit);
        assert_eq!(lines(&old)[0]["why"], "neither a token nor a certificate");
        assert_eq!(lines(&path)[0]["outcome"], "unauthenticated");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_was_renamed_while_the_queue_was_full_is_made_anew_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("old"));
        // A pipe that nobody reads holds the writer up.
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let mut reader = std::fs::OpenOptions::new();
        let mut reader = reader.read(true).custom_flags(nonblocking).open(&path).unwrap();
        let audit = Audit::open(&path, u64::MAX).unwrap();
        while audit.said.dropped.load(Ordering::Relaxed) == 0 {
            audit.write(Entry::of_left_out(1));
        }
        std::fs::rename(&path, &old).unwrap();
        audit.reopen();
        // Its end is seen once the writer has gone to the next file.
        let mut bytes = [0; 4_096];
        until(|| match io::Read::read(&mut reader, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            read => read.unwrap() == 0,
        });
        drop(audit);
        assert!(lines(&path).len() > WAITING_MAX / 2, "what waited is in the new file");
    }

    #[test]
    fn an_end_waits_for_a_file_that_hangs_no_longer_than_it_is_told_and_says_how_many_lines_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let reader = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
        let mut audit = Audit::open(&path, u64::MAX).unwrap();
        let mut given = 0;
        while audit.said.dropped.load(Ordering::Relaxed) == 0 {
            audit.write(Entry::of_left_out(1));
            given += 1;
        }
        let unwritten = audit.end(Duration::from_millis(100));
        assert!((WAITING_MAX as u64..given).contains(&unwritten), "{unwritten} of {given}");
        assert_eq!(audit.end(Duration::from_secs(60)), 0, "it is told once, and waited for once");
        // The writer's write fails, and it ends.
        drop(reader);
    }

    #[test]
    fn a_file_that_has_grown_to_its_bound_is_put_aside_and_two_bounds_are_all_that_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let bound = 2_000;
        let audit = Audit::open(&path, bound).unwrap();
        (0..100).for_each(|left_out| audit.write(Entry::of_left_out(left_out)));
        drop(audit);
        let names = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut files: Vec<String> = std::fs::read_dir(folder.path()).unwrap().map(names).collect();
        files.sort();
        assert_eq!(files, ["audit.jsonl", "audit.jsonl.older"]);
        let old = folder.path().join("audit.jsonl.older");
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!((bound..bound + 200).contains(&size(&old)) && size(&path) < bound);
        // What is kept is the newest, and nothing between is lost.
        let kept: Vec<u64> = [&old, &path]
            .iter()
            .flat_map(|file| lines(file))
            .map(|line| line["left_out"].as_u64().unwrap())
            .collect();
        assert_eq!(kept, (100 - kept.len() as u64..100).collect::<Vec<_>>());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
