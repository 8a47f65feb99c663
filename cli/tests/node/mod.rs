//! A real node for a test: `tenure serve --dev` in a temporary folder, on a port that the system picks, killed with
//! the test.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The node, and the address that it has for its whole life: a restart takes the same.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: String,
    folder: TempDir,
    more: More,
}

/// Further flags, and settings in the environment.
type More = (&'static [&'static str], &'static [(&'static str, &'static str)]);

impl Node {
    /// Starts a node, and returns once it serves.
    pub(crate) fn start() -> Node {
        Node::start_in(TempDir::new().expect("a temporary folder"))
    }

    /// Starts a node with further flags and settings, and returns once it serves.
    pub(crate) fn start_with(
        flags: &'static [&'static str],
        settings: &'static [(&'static str, &'static str)],
    ) -> Node {
        let folder = TempDir::new().expect("a temporary folder");
        let more = (flags, settings);
        let (child, address) = serve(&folder, "127.0.0.1:0", more);
        Node { child, address, folder, more }
    }

    /// Starts a node whose data is in `data` of this folder, and returns once it serves.
    pub(crate) fn start_in(folder: TempDir) -> Node {
        let more: More = (&[], &[]);
        let (child, address) = serve(&folder, "127.0.0.1:0", more);
        Node { child, address, folder, more }
    }

    /// Kills the node as a power cut would, for the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the node runs");
        self.child.wait().expect("the node ends");
    }

    /// Starts it again on the same data and port.
    pub(crate) fn start_again(&mut self) {
        (self.child, _) = serve(&self.folder, &self.address, self.more);
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// The node's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a verb against this node.
    pub(crate) fn tenure<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// A verb against this node, not yet run.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_tenure"));
        command.args(args);
        command
    }

    /// A program whose `tenure` finds this node, not yet run.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("TENURE_ENDPOINTS", &self.address).stdin(Stdio::null());
        command.env_remove("TENURE_HOLDER").env_remove("TENURE_NAMESPACE");
        command
    }

    /// Runs a verb that must succeed, and gives what it printed.
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let output = self.tenure(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("output is UTF-8")
    }

    /// Runs a verb that must end with this code, and gives what it said.
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> String {
        let output = self.tenure(args);
        let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }
}

/// So much later than it must, at the latest, something may be seen on a machine that is busy with other tests.
pub(crate) const BUSY: Duration = Duration::from_secs(15);

/// Waits until it is so, which may take a second, and says how long it took.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(1) + BUSY, "{what}: not within {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(folder: &TempDir, listen: &str, (flags, settings): More) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["serve", "--dev", "--listen", listen, "--log-level", "error", "--data"])
        .arg(folder.path().join("data"))
        .args(flags)
        .env_remove("TENURE_CONFIG")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the node starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("the node speaks");
    let address = line.trim_end().strip_prefix("listening on ").expect(&line).to_owned();
    (child, address)
}
