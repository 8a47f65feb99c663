//! A cluster of our own: `tenure dev-cluster` in a temporary folder, on free ports, gone with the bench. Its members may be killed: it
//! starts them again.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use client::Endpoint;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use crate::RunError;
use crate::embedded::TIED_FLAG;

/// How long the cluster may take to start, a member to be in step again, and one of them to lead.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an orderly stop may take before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);
/// How often a member is asked how it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a member may take to say how it is, here on this machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The members' processes.
pub(crate) struct Cluster {
    child: Child,
    /// Each member that was started, as it was.
    started: Receiver<Member>,
    members: Vec<Member>,
    log: PathBuf,
    _folder: TempDir,
}

/// One member, as it was started last.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pid: i32,
}

/// What a member says of itself.
#[derive(Deserialize)]
struct Ready {
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    term: Option<String>,
}

impl Cluster {
    /// Starts so many members from `program`, and waits until all are in step.
    ///
    /// # Errors
    /// Where they cannot be started, or one of them is not ready within a minute.
    pub(crate) fn start(program: &Path, members: u64) -> Result<Cluster, RunError> {
        let folder = TempDir::with_prefix("tenure-bench-")?;
        let log = folder.path().join("log");
        let mut child = Command::new(program)
            .args(["dev-cluster", "--restart", TIED_FLAG, "--members", &members.to_string(), "--data"])
            .arg(folder.path().join("cluster"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            // Ctrl-C is for us.
            .process_group(0)
            .spawn()?;
        let stdout = child.stdout.take();
        let (tell, started) = channel();
        std::thread::spawn(move || {
            let rows = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            rows.map_while(Result::ok).filter_map(|row| member(&row)).try_for_each(|member| tell.send(member))
        });
        let mut cluster = Cluster { child, started, members: Vec::new(), log, _folder: folder };
        for _ in 0..members {
            let member = cluster.next()?;
            cluster.members.push(member);
        }
        for member in &cluster.members {
            cluster.until_ready(member)?;
        }
        Ok(cluster)
    }

    /// Where clients connect.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, RunError> {
        let parse = |member: &Member| member.address.to_string().parse();
        let endpoints: Result<_, _> = self.members.iter().map(parse).collect();
        endpoints.map_err(|_| RunError::Broken("a member has no address".into()))
    }

    /// Who leads, once somebody does.
    pub(crate) fn leader(&self) -> Result<Member, RunError> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let leads = |member: &&Member| leader_of(member) == Some(member.id);
            if let Some(leader) = self.members.iter().find(leads) {
                return Ok(leader.clone());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(self.broken(&format!("nobody led within {PATIENCE:?}")))
    }

    /// The newest term that a member knows of.
    pub(crate) fn term(&self) -> Result<u64, RunError> {
        let terms = self.members.iter().filter_map(|member| ready(member)?.term?.parse().ok());
        terms.max().ok_or_else(|| self.broken("no member says its term"))
    }

    /// Kills a member, and gives the instant right before.
    pub(crate) fn kill(&self, member: &Member) -> Result<Instant, RunError> {
        let at = Instant::now();
        kill(Pid::from_raw(member.pid), Signal::SIGKILL).map_err(std::io::Error::from)?;
        Ok(at)
    }

    /// Waits until the member that was killed runs again and is in step.
    pub(crate) fn until_back(&mut self) -> Result<(), RunError> {
        let back = self.next()?;
        self.until_ready(&back)?;
        self.members.retain(|member| member.id != back.id);
        self.members.push(back);
        Ok(())
    }

    fn next(&self) -> Result<Member, RunError> {
        let next = self.started.recv_timeout(PATIENCE);
        next.map_err(|_| self.broken("a member did not start"))
    }

    fn until_ready(&self, member: &Member) -> Result<(), RunError> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if ready(member).is_some_and(|ready| ready.ready) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(self.broken(&format!("member {} was not ready within {PATIENCE:?}", member.id)))
    }

    fn broken(&self, why: &str) -> RunError {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        RunError::Broken(format!("{why}; the cluster said:\n{}", said.trim_end()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let patience = Instant::now() + STOP_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Its members end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A row of what `dev-cluster` prints: member, clients, peers, pid, data.
fn member(row: &str) -> Option<Member> {
    let mut cells = row.split('\t');
    let (id, address) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
    Some(Member { id, address, pid: cells.nth(1)?.parse().ok()? })
}

fn leader_of(member: &Member) -> Option<u64> {
    ready(member)?.leader?.parse().ok()
}

/// What a member says of itself; nothing where it does not answer.
fn ready(member: &Member) -> Option<Ready> {
    let mut stream = TcpStream::connect_timeout(&member.address, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_member_is_read_from_its_row() {
        let member = super::member("2\t127.0.0.1:41234\t127.0.0.1:41235\t77\t/tmp/c/2").unwrap();
        assert_eq!((member.id, member.address.port(), member.pid), (2, 41234, 77));
        assert!(super::member("hello").is_none());
    }
}
