//! A node of our own: a child process in a temporary folder, on a port that the system picks, gone with the run.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use tempfile::TempDir;

/// The flag that ends `tenure serve` when its stdin does: a node must not outlive the run that started it.
pub const TIED_FLAG: &str = "--until-stdin-ends";

/// How long an orderly stop may take before the node is killed.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Lines of the node's log that are shown where it does not start.
const LOG_LINES_SHOWN: usize = 10;

/// By which door our servers are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// The session's.
    #[default]
    Session,
    /// Juju's.
    Juju,
}

impl Door {
    /// What opens it, of a server's command line and of a cluster's.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            Door::Session => &[],
            Door::Juju => &["--juju", "--load-test-any-holder"],
        }
    }

    fn settings(self) -> Option<(&'static str, &'static str)> {
        (self == Door::Juju).then_some(("TENURE_JUJU_AGENT_RATELIMIT_MAX", "0"))
    }
}

/// A node that runs until this is dropped.
pub(crate) struct Embedded {
    child: Child,
    /// Where it listens.
    pub(crate) endpoint: String,
    _folder: TempDir,
}

impl Embedded {
    /// Starts `program serve --dev` and waits until it listens; with Juju's door, which then lets any agent claim for any holder, and
    /// as many log in as come.
    ///
    /// # Errors
    /// Where it cannot be started, or ends before it listens: with the end of its log.
    pub(crate) fn start(program: &Path, door: Door) -> io::Result<Embedded> {
        let folder = TempDir::with_prefix("tenure-claimer-")?;
        let log = folder.path().join("log");
        let mut child = Command::new(program)
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", TIED_FLAG, "--data"])
            .arg(folder.path().join("data"))
            .args(door.flags())
            .envs(door.settings())
            // The run measures a plain node, whatever this shell has set for others.
            .env_remove("TENURE_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            // Ctrl-C is for us: the node stops after the last figure is taken.
            .process_group(0)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the node has no stdout"))?;
        match BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| listening(&line)) {
            Some(endpoint) => Ok(Embedded { child, endpoint, _folder: folder }),
            None => {
                let status = child.wait()?;
                let log = std::fs::read_to_string(&log)?;
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
                Err(io::Error::other(format!(
                    "the embedded node ended before it listened ({status}):\n{tail}"
                )))
            }
        }
    }

    /// The node's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let patience = Instant::now() + STOP_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Its data go with it: there is nothing left to be careful about.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the line that a node prints on stdout once it serves.
fn listening(line: &str) -> Option<String> {
    line.strip_prefix("listening on ").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_address_is_read_from_the_nodes_first_words() {
        assert_eq!(super::listening("listening on 127.0.0.1:41234").as_deref(), Some("127.0.0.1:41234"));
        assert_eq!(super::listening("hello"), None);
    }
}
