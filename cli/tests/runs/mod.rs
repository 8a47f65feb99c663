//! `tenure run` for a test: started, watched by what its command writes, and killed with the test.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::node::{BUSY, Node};

/// A `tenure run` in a process of its own.
pub(crate) struct Running {
    tenure: Child,
    folder: TempDir,
}

/// What a run came to.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The signal that it died of.
    pub(crate) signal: Option<i32>,
    pub(crate) said: String,
    pub(crate) printed: String,
}

impl Running {
    /// Starts it, with the shortest ttl that a command can run under.
    pub(crate) fn start(node: &Node, flags: &[&str], command: &[&str]) -> Running {
        let ttl: &[&str] =
            if flags.iter().any(|flag| flag.starts_with("--ttl")) { &[] } else { &["--ttl", "1s"] };
        let args = [&["run", "job"], ttl, flags, &["--"], command].concat();
        Running::of(&mut node.command(&args))
    }

    /// Starts what will be it.
    pub(crate) fn of(command: &mut Command) -> Running {
        let folder = TempDir::new().expect("a temporary folder");
        let file = |name: &str| fs::File::create(folder.path().join(name)).expect("a file");
        let tenure = command.stderr(file("said")).stdout(file("printed")).spawn();
        Running { tenure: tenure.expect("it starts"), folder }
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).expect("UTF-8")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid(&self.tenure), signal).expect("it runs");
    }

    /// Its guardian's process.
    pub(crate) fn guardian(&self) -> Pid {
        self.guardian_beside(&[])
    }

    /// Its guardian's process, where it had these children before.
    pub(crate) fn guardian_beside(&self, others: &[Pid]) -> Pid {
        let mut children = children(pid(&self.tenure));
        children.retain(|child| !others.contains(child));
        assert_eq!(children.len(), 1, "a run has one child of its own, its guardian");
        children[0]
    }

    /// Its command's process.
    pub(crate) fn command(&self) -> Pid {
        let children = children(self.guardian());
        assert_eq!(children.len(), 1, "a guardian has one child, the command");
        children[0]
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.tenure.try_wait().expect("it can be asked").is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let start = Instant::now();
        while !self.has_ended() {
            assert!(start.elapsed() < 2 * BUSY, "it goes on and on: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = self.tenure.wait().expect("it has ended");
        let printed = fs::read_to_string(self.folder.path().join("printed")).expect("UTF-8");
        Ended { code: status.code(), signal: status.signal(), said: self.said(), printed }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its guardian ends what it ran.
        let _ = self.tenure.kill();
        let _ = self.tenure.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
}

pub(crate) fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}

fn children(parent: Pid) -> Vec<Pid> {
    processes().filter(|pid| stat(*pid).is_some_and(|(_, above)| above == parent.as_raw())).collect()
}

fn stat(pid: Pid) -> Option<(String, i32)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// A file to which commands write who they are, and when.
pub(crate) struct Diary(TempDir);

impl Diary {
    pub(crate) fn new() -> Diary {
        Diary(TempDir::new().expect("a temporary folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("diary")
    }

    /// A script that writes its token and the time since the machine started, again and again, for ever.
    pub(crate) fn script(&self) -> String {
        let path = Path::display(&self.path()).to_string();
        format!(
            "while :; do read up idle < /proc/uptime; echo \"$TENURE_TOKEN $up\" >> {path}; sleep 0.01; done"
        )
    }

    /// Tokens and times, in milliseconds, as they were written.
    pub(crate) fn entries(&self) -> Vec<(u64, u64)> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        let entry = |line: &str| {
            let (token, seconds) = line.split_once(' ')?;
            Some((token.parse().ok()?, (seconds.parse::<f64>().ok()? * 1_000.0) as u64))
        };
        text.lines().filter_map(entry).collect()
    }

    /// The living processes whose command line names it.
    pub(crate) fn writers(&self) -> Vec<Pid> {
        let path = self.path();
        let path = path.as_os_str().as_encoded_bytes();
        let names_it = |pid: &Pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(path.len()).any(|part| part == path)
        };
        processes().filter(|pid| is_alive(*pid)).filter(names_it).collect()
    }

    /// The tokens in it, each once.
    pub(crate) fn tokens(&self) -> Vec<u64> {
        let mut tokens: Vec<u64> = self.entries().into_iter().map(|(token, _)| token).collect();
        tokens.dedup();
        tokens
    }

    /// No two ran at once, and the later one's token is higher.
    pub(crate) fn assert_no_overlap(&self) {
        let entries = self.entries();
        for pair in entries.windows(2) {
            assert!(pair[0].0 <= pair[1].0, "token {} wrote after {}", pair[1].0, pair[0].0);
        }
        for token in self.tokens() {
            let last = entries.iter().filter(|(of, _)| *of == token).map(|(_, at)| *at).max();
            let next = entries.iter().filter(|(of, _)| *of > token).map(|(_, at)| *at).min();
            assert!(
                next.is_none() || last <= next,
                "token {token} ran until {last:?}, the next from {next:?}"
            );
        }
    }
}
