//! One member's process: `tenure serve`, tied to this one by its stdin.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;

use super::plan::{Member, Plan};
use crate::exit::Failure;

/// How long a member may take until it listens: its log is read first.
const LISTENS_WITHIN: Duration = Duration::from_secs(60);
/// Lines of its log that are shown where it does not.
const LOG_LINES_SHOWN: usize = 10;

/// This program's own file.
pub(super) fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::unavailable(format!("this program's own file cannot be found: {error}")))
}

/// A member that was started.
pub(super) struct Running {
    member: Member,
    child: Child,
    log: PathBuf,
    /// Its first line, or that there is none.
    first_line: Receiver<Option<String>>,
    has_served: bool,
}

/// What is printed of it, as JSON.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    member: Member,
    pid: u32,
    data: PathBuf,
}

impl Running {
    /// Starts a member; it may not listen yet.
    pub(super) fn start(program: &Path, plan: &Plan, member: Member) -> Result<Running, Failure> {
        let log = plan.log(member);
        let started = OpenOptions::new().create(true).append(true).open(&log);
        let started = started.and_then(|log| spawn(program, &plan.settings(member), log));
        let (child, stdout) = started.map_err(|error| {
            Failure::unavailable(format!("member {} cannot be started: {error}", member.id))
        })?;
        let (tell, first_line) = channel();
        std::thread::spawn(move || {
            let line = BufReader::new(stdout).lines().next();
            // Nobody waits for it where a member was started again.
            drop(tell.send(line.and_then(Result::ok)));
        });
        Ok(Running { member, child, log, first_line, has_served: false })
    }

    /// Waits until it serves.
    pub(super) fn until_it_listens(&mut self) -> Result<(), Failure> {
        self.has_served = self.first_line.recv_timeout(LISTENS_WITHIN).is_ok_and(listens);
        match self.has_served {
            true => Ok(()),
            false => {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
                let (id, log) = (self.member.id, self.log.display());
                Err(Failure::unavailable(format!("member {id} does not serve; the end of {log}:\n{tail}")))
            }
        }
    }

    pub(super) fn member(&self) -> Member {
        self.member
    }

    pub(super) fn id(&self) -> u64 {
        self.member.id
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has come so far.
    pub(super) fn has_served(&mut self) -> bool {
        self.has_served = self.has_served || self.first_line.try_recv().is_ok_and(listens);
        self.has_served
    }

    /// How to start it without this program's help.
    pub(super) fn by_hand(&self, plan: &Plan) -> String {
        format!("serve --dev --config {}", plan.settings_shown(self.member).display())
    }

    pub(super) fn row(&self, plan: &Plan) -> Vec<String> {
        let Member { id, clients, peers, .. } = self.member;
        let data = plan.data(self.member).display().to_string();
        vec![id.to_string(), clients.to_string(), peers.to_string(), self.pid().to_string(), data]
    }

    pub(super) fn shown(&self, plan: &Plan) -> Shown {
        Shown { member: self.member, pid: self.pid(), data: plan.data(self.member) }
    }

    /// How it ended, where it has.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end in order. Until its end was seen, its pid is its own.
    pub(super) fn ask_to_stop(&mut self) {
        if self.has_ended().is_none() {
            let _ = kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM);
        }
    }

    /// Ends it as it is.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listens(first_line: Option<String>) -> bool {
    first_line.is_some_and(|line| line.starts_with("listening on "))
}

fn spawn(program: &Path, settings: &Path, log: File) -> io::Result<(Child, ChildStdout)> {
    let mut command = Command::new(program);
    // What this shell sets for another node is not for these.
    for setting in server::KEYS {
        command.env_remove(setting.env());
    }
    let mut child = command
        .env_remove("TENURE_CONFIG")
        .args(["serve", "--dev", claimer::TIED_FLAG, "--config"])
        .arg(settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C is for us: we end the members.
        .process_group(0)
        .spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("it has no stdout"))?;
    Ok((child, stdout))
}
