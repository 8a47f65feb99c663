//! A cluster of our own: `tenure dev-cluster` in a temporary folder, on free ports, gone with the bench. Its members may be killed: it
//! starts them again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use client::{Endpoint, Tls, fetch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use super::At;
use super::reach::Reach;
use crate::RunError;
use crate::embedded::TIED_FLAG;
use crate::workload::Trust;

/// How long the cluster may take to start, a member to be in step again, and one of them to lead.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an orderly stop may take before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);
/// How often a member is asked how it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a member may take to say how it is, here on this machine. It is asked once, and again at the next look.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);

/// The members' processes.
pub(crate) struct Cluster {
    child: Child,
    /// Each member that was started, as it was.
    started: Receiver<Member>,
    members: Vec<Member>,
    reach: Reach,
    log: PathBuf,
    data: PathBuf,
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
    /// Starts so many voters from `program`, and beside them what is asked for, and waits until all are in step.
    ///
    /// # Errors
    /// Where they cannot be started, or one of them is not ready within a minute.
    pub(crate) fn start(program: &Path, members: u64, at: &At) -> Result<Cluster, RunError> {
        let folder = TempDir::with_prefix("tenure-bench-")?;
        let log = folder.path().join("log");
        let data = folder.path().join("cluster");
        let mut child = Command::new(program)
            .args(["dev-cluster", "--restart", TIED_FLAG, "--members", &members.to_string()])
            .args(["--observers", &at.observers.to_string(), "--data"])
            .arg(&data)
            .args(at.tls.then_some("--tls"))
            .args(at.door.flags())
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
        let mut started_first = Vec::new();
        let members = members + at.observers;
        for _ in 0..members {
            match started.recv_timeout(PATIENCE) {
                Ok(member) => started_first.push(member),
                Err(_) => break,
            }
        }
        let reach = reach(&started_first, at.tls.then_some(&data))?;
        let cluster = Cluster { child, started, members: started_first, reach, log, data, _folder: folder };
        if (cluster.members.len() as u64) < members {
            return Err(cluster.broken("a member did not start"));
        }
        cluster.until_in_step()?;
        Ok(cluster)
    }

    /// Waits until every member says that it is in step.
    pub(crate) fn until_in_step(&self) -> Result<(), RunError> {
        self.members.iter().try_for_each(|member| self.until_ready(member))
    }

    /// How clients come to it.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The folder that has each member's data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The members' processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.pid.cast_unsigned()).collect()
    }

    /// Who leads, once somebody does.
    pub(crate) fn leader(&self) -> Result<Member, RunError> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let leads = |member: &&Member| self.leader_of(member) == Some(member.id);
            if let Some(leader) = self.members.iter().find(leads) {
                return Ok(leader.clone());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(self.broken(&format!("nobody led within {PATIENCE:?}")))
    }

    /// A member that does not lead; of one member, that one.
    pub(crate) fn another_than_the_leader(&self) -> Result<Member, RunError> {
        let leader = self.leader()?;
        let other = self.members.iter().find(|member| member.id != leader.id);
        Ok(other.cloned().unwrap_or(leader))
    }

    /// The newest term that a member knows of.
    pub(crate) fn term(&self) -> Result<u64, RunError> {
        let terms = self.members.iter().filter_map(|member| self.ready(member)?.term?.parse().ok());
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
            if self.ready(member).is_some_and(|ready| ready.ready) {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(self.broken(&format!("member {} was not ready within {PATIENCE:?}", member.id)))
    }

    fn leader_of(&self, member: &Member) -> Option<u64> {
        self.ready(member)?.leader?.parse().ok()
    }

    /// What a member says of itself; nothing where it does not answer, or is not ready. On a thread of its own: the caller's may be one
    /// that drives sessions.
    fn ready(&self, member: &Member) -> Option<Ready> {
        let port = member.address.port();
        let endpoint = self.reach.endpoints.iter().find(|endpoint| endpoint.port() == port)?;
        let tls = self.reach.tls();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
                runtime.block_on(readiness(endpoint, tls))
            });
            asked.join().ok().flatten()
        })
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

/// The members' addresses, and where they have certificates what they are known by: `dev-cluster` has put that into its folder.
fn reach(members: &[Member], secured: Option<&PathBuf>) -> Result<Reach, RunError> {
    let scheme = if secured.is_some() { "https" } else { "http" };
    let parse = |member: &Member| format!("{scheme}://{}", member.address).parse();
    let endpoints: Result<_, _> = members.iter().map(parse).collect();
    let trust = secured.map(|data| {
        let folder = data.join("tls/1");
        let operator = ["crt", "key"].map(|end| folder.join("operator").join(format!("admin.{end}")));
        let [cert, key] = operator;
        Trust { ca: folder.join("ca/client.crt"), own: Some((cert, key)) }
    });
    Reach::new(endpoints.map_err(|_| RunError::Broken("a member has no address".into()))?, trust)
}

/// What a member says of itself.
async fn readiness(endpoint: &Endpoint, tls: Option<&Tls>) -> Option<Ready> {
    let mut answer =
        fetch(std::slice::from_ref(endpoint), (tls, None), "/readyz", ANSWER_WITHIN).await.ok()?;
    let mut text = Vec::new();
    while let Some(piece) = answer.piece(ANSWER_WITHIN).await.ok()? {
        text.extend_from_slice(&piece);
    }
    serde_json::from_slice(&text).ok()
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
