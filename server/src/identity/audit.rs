//! Who did what, with which outcome: a JSON object a line, of every refusal and of every change but extends, of which a holder makes
//! one every few seconds and which only keep what a line before has told.
//!
//! ```text
//! {"at":"2026-11-26T18:47:00.123Z","who":"mysql/0","role":"unit","by":"token 00…","from":"10.0.0.7:4242",
//!  "verb":"claim","namespace":"prod","name":"mysql","holder":"mysql/0","outcome":"granted","token":"41"}
//! ```
//!
//! `token` is a grant's, never a secret. A caller's text is escaped as JSON escapes it, and what reorders or hides text besides, so
//! that no name can forge a line. A thread of its own writes; where it falls behind, lines are dropped and their number is the next
//! line. To rotate: rename the file and send SIGHUP, and it is opened anew under its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use lease::{Shown, Token};
use serde::Serialize;

use super::{Caller, Scope, Unknown, Verb};
use crate::tls;

/// Characters of one text in a line.
const TEXT_CHARS_MAX: usize = 256;
/// Lines that wait to be written, at most.
const WAITING_MAX: usize = 16_384;

/// An audit log. Dropped, it writes what waits and ends.
#[derive(Debug)]
pub(crate) struct Audit {
    lines: Option<SyncSender<Message>>,
    dropped: AtomicU64,
    writer: Option<JoinHandle<()>>,
}

enum Message {
    Line(String),
    Reopen,
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
    /// Opens the file, or makes it, and writes behind what it holds.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn open(path: &Path) -> io::Result<Audit> {
        let file = open(path)?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let path = path.to_owned();
        let write = move || write(&waiting, file, &path);
        let writer = std::thread::Builder::new().name("audit".to_owned()).spawn(write)?;
        Ok(Audit { lines: Some(lines), dropped: AtomicU64::new(0), writer: Some(writer) })
    }

    /// Writes a line, soon. It never waits.
    pub(crate) fn write(&self, entry: Entry) {
        let entry = Entry { at: tls::instant_now(), ..entry };
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let line = format!("{{\"at\":\"{}\",\"outcome\":\"dropped\",\"lines\":{dropped}}}", entry.at);
            self.send(Message::Line(line), dropped);
        }
        match serde_json::to_string(&entry) {
            Ok(line) => self.send(Message::Line(line), 1),
            Err(error) => debug_assert!(false, "an entry is always JSON: {error}"),
        }
    }

    /// Opens the file anew, under its name.
    pub(crate) fn reopen(&self) {
        self.send(Message::Reopen, 0);
    }

    fn send(&self, message: Message, lines: u64) {
        let Some(to) = &self.lines else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = to.try_send(message) {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // The writer ends with its last line.
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn write(waiting: &Receiver<Message>, mut file: File, path: &Path) {
    let mut complained = false;
    while let Ok(message) = waiting.recv() {
        let done = match message {
            // One write a line, so that two lines never mix and a crash cuts at most one.
            Message::Line(mut line) => {
                line.push('\n');
                file.write_all(line.as_bytes())
            }
            Message::Reopen => open(path).map(|opened| file = opened),
        };
        match done {
            Ok(()) => complained = false,
            Err(error) if !complained => {
                complained = true;
                tracing::error!(path = %path.display(), %error, "the audit log cannot be written: its lines are lost until it can be");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Principal;

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_says_who_did_what_and_no_name_can_forge_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let caller = Caller::new(Principal::anyone(), Some("127.0.0.1:9".parse().unwrap()));
        let forged = "a\n{\"who\":\"root\"}\u{202e}";
        let scope = Scope::Lease { namespace: "n", name: forged, holder: Some("h") };
        let audit = Audit::open(&path).unwrap();
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
        let audit = Audit::open(&path).unwrap();
        audit.write(Entry::of_unknown(None, Unknown::Nothing));
        std::fs::rename(&path, &old).unwrap();
        audit.reopen();
        audit.write(Entry::of_unknown(None, Unknown::Nameless));
        drop(audit);
        assert_eq!(lines(&old)[0]["why"], "neither a token nor a certificate");
        assert_eq!(lines(&path)[0]["outcome"], "unauthenticated");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
