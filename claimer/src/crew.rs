//! Who does the work: this process, or children of it, each with its share of the holders.
//!
//! ```text
//!   parent ── share (one JSON line) ──▶ stdin  ┐
//!          ◀── events (a JSON line each) ─ stdout │  tenure claimer --child
//!          ── end of file: stop ──▶ stdin      ┘
//! ```
//!
//! A child stops when its stdin ends. So it also stops when its parent is killed, and nothing is left behind. It has
//! a process group of its own, so that Ctrl-C reaches the parent alone, which then stops the children in order.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::history::Event;
use crate::target::Contender;
use crate::targets;
use crate::worker::work;
use crate::workload::Share;

/// The flag that makes `tenure claimer` a child. Not for people.
pub const CHILD_FLAG: &str = "--child";

/// What members of the crew send.
pub(crate) enum Message {
    /// A holder saw something.
    Saw(Event),
    /// A member has ended, or could not work.
    Ended(Result<(), String>),
}

/// The members, and what they send.
pub(crate) struct Crew {
    /// What they send; it ends when all have.
    pub(crate) inbox: Receiver<Message>,
    members: Vec<Member>,
}

enum Member {
    Thread { stop: oneshot::Sender<()>, thread: JoinHandle<()> },
    Child { child: Child, reader: JoinHandle<()> },
}

impl Crew {
    /// Sets a crew to work: one share in this process, more in children that run `program claimer --child`.
    ///
    /// # Errors
    /// Where a child cannot be started.
    pub(crate) fn start(shares: Vec<Share>, program: &Path) -> io::Result<Crew> {
        let (out, inbox) = mpsc::channel();
        let mut crew = Crew { inbox, members: Vec::new() };
        let alone = shares.len() == 1;
        for share in shares {
            let member = match alone {
                true => Member::on_thread(share, out.clone()),
                false => Member::in_child(&share, program, out.clone())?,
            };
            crew.members.push(member);
        }
        Ok(crew)
    }

    /// Stops every member and waits for it. Then the inbox holds what they sent last.
    pub(crate) fn stop(&mut self) {
        for member in &mut self.members {
            if let Member::Child { child, .. } = member {
                drop(child.stdin.take());
            }
        }
        for member in self.members.drain(..) {
            member.join();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Member {
    fn on_thread(share: Share, out: Sender<Message>) -> Member {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let ended = begin(&share, out.clone(), stopped);
            let _ = out.send(Message::Ended(ended));
        });
        Member::Thread { stop, thread }
    }

    fn in_child(share: &Share, program: &Path, out: Sender<Message>) -> io::Result<Member> {
        let mut child = Command::new(program)
            .args(["claimer", CHILD_FLAG])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the child has no stdout"))?;
        let mut stdin = child.stdin.take().ok_or_else(|| io::Error::other("the child has no stdin"))?;
        let reader = thread::spawn(move || {
            let ended = forward(BufReader::new(stdout), &out);
            let _ = out.send(Message::Ended(ended));
        });
        let line = serde_json::to_string(share)? + "\n";
        stdin.write_all(line.as_bytes())?;
        child.stdin = Some(stdin);
        Ok(Member::Child { child, reader })
    }

    fn join(self) {
        match self {
            Member::Thread { stop, thread } => {
                let _ = stop.send(());
                let _ = thread.join();
            }
            Member::Child { mut child, reader } => {
                drop(child.stdin.take());
                let _ = reader.join();
                let _ = child.wait();
            }
        }
    }
}

/// Works against the service that the share names.
fn begin(share: &Share, out: Sender<Message>, stop: oneshot::Receiver<()>) -> Result<(), String> {
    let worked = match (share.service, &share.juju) {
        (Contender::Tenure, None) => work(share, targets::session::Sessions::new(share), out, stop),
        (Contender::Tenure, Some(login)) => {
            work(share, targets::juju::Juju::new(share, login.clone()), out, stop)
        }
        (Contender::Etcd, _) => work(share, targets::etcd::Etcd::new(share), out, stop),
    };
    worked.map_err(|error| error.to_string())
}

/// Passes a child's events on, until its stdout ends.
fn forward(stdout: impl BufRead, out: &Sender<Message>) -> Result<(), String> {
    for line in stdout.lines() {
        let line = line.map_err(|error| format!("a child's report broke off: {error}"))?;
        let event =
            serde_json::from_str(&line).map_err(|error| format!("a child's report is no event: {error}"))?;
        if out.send(Message::Saw(event)).is_err() {
            break;
        }
    }
    Ok(())
}

/// The life of a child: reads its share from stdin, works until stdin ends, and writes what it sees to stdout.
///
/// # Errors
/// In words, where the share cannot be read or the work not be done.
pub fn child() -> Result<(), String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| format!("the share cannot be read: {error}"))?;
    let share: Share =
        serde_json::from_str(&line).map_err(|error| format!("the share is not one: {error}"))?;
    let (stop, stopped) = oneshot::channel();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = stop.send(());
    });
    let (out, inbox) = mpsc::channel();
    let writer = thread::spawn(move || report(&inbox));
    let worked = begin(&share, out, stopped);
    let _ = writer.join();
    worked
}

/// Writes events as lines, and flushes whenever there is none left to write.
fn report(inbox: &Receiver<Message>) -> io::Result<()> {
    let mut stdout = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    while let Ok(first) = inbox.recv() {
        for message in std::iter::once(first).chain(inbox.try_iter()) {
            if let Message::Saw(event) = message {
                serde_json::to_writer(&mut stdout, &event)?;
                stdout.write_all(b"\n")?;
            }
        }
        stdout.flush()?;
    }
    Ok(())
}
