//! Three etcds of our own: their real binary with its own defaults, real syncs, a temporary folder and free ports, gone with the bench.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::client::Client;
use crate::RunError;

/// How long they may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Lines of a member's log that are shown where it does not serve.
const LOG_LINES_SHOWN: usize = 10;

/// What etcd says of its version.
///
/// # Errors
/// There is none on this machine, with what to do.
pub(crate) fn version() -> Result<String, RunError> {
    let missing = |program: &str, package: &str, error: &io::Error| {
        RunError::Broken(format!(
            "{program} cannot be run ({error}): install it, on Debian with apt-get install {package}, or leave --vs out"
        ))
    };
    // What ends an etcd of ours when the bench is killed.
    let setpriv = Command::new("setpriv").arg("--version").output();
    setpriv.map_err(|error| missing("setpriv", "util-linux", &error))?;
    let said = Command::new("etcd").arg("--version").output();
    let said = said.map_err(|error| missing("etcd", "etcd-server", &error))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    Ok(format!("etcd {} x3", version.unwrap_or("of unknown version").trim()))
}

/// Their processes.
pub(crate) struct Servers {
    children: Vec<Child>,
    /// Where clients connect.
    pub(crate) urls: Vec<String>,
    folder: TempDir,
}

impl Servers {
    /// Starts three, and waits until each serves. To be called on a thread that outlives them: they end with it.
    ///
    /// # Errors
    /// Where they cannot be started, or do not serve within a minute.
    pub(crate) fn start() -> Result<Servers, RunError> {
        let folder = TempDir::with_prefix("tenure-bench-etcd-")?;
        let ports = (0..6).map(|_| reserve()).collect::<io::Result<Vec<_>>>()?;
        let url = |at: usize| format!("http://127.0.0.1:{}", ports[at].1);
        let cluster: Vec<String> = (0..3).map(|at| format!("m{at}={}", url(3 + at))).collect();
        let urls = (0..3).map(url).collect();
        let mut servers = Servers { children: Vec::new(), urls, folder };
        for at in 0..3 {
            let log = File::create(servers.log(at))?;
            let (name, data) = (format!("m{at}"), servers.folder.path().join(at.to_string()));
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "etcd", "--name", &name, "--log-level", "warn"]);
            command.arg("--data-dir").arg(data);
            command.args(["--listen-client-urls", &url(at), "--advertise-client-urls", &url(at)]);
            command.args(["--listen-peer-urls", &url(3 + at), "--initial-advertise-peer-urls", &url(3 + at)]);
            command.args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"]);
            for (setting, _) in std::env::vars_os() {
                // What this shell has set for another is not for these.
                if setting.to_string_lossy().starts_with("ETCD_") {
                    command.env_remove(setting);
                }
            }
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
            servers.children.push(child);
        }
        servers.until_they_serve()?;
        Ok(servers)
    }

    /// Their processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    fn until_they_serve(&mut self) -> Result<(), RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let began = Instant::now();
        for at in 0..self.urls.len() {
            let url = self.urls[at].clone();
            while !runtime.block_on(serves(&url)) {
                let ended = self.children[at].try_wait()?;
                if let Some(status) = ended {
                    return Err(self.broken(at, &format!("it ended ({status})")));
                }
                if began.elapsed() > PATIENCE {
                    return Err(self.broken(at, &format!("it did not within {PATIENCE:?}")));
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    fn log(&self, at: usize) -> PathBuf {
        self.folder.path().join(format!("{at}.log"))
    }

    fn broken(&self, at: usize, why: &str) -> RunError {
        let said = std::fs::read_to_string(self.log(at)).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        RunError::Broken(format!("etcd {at} does not serve: {why}; it said:\n{tail}"))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // Their data go with them: there is nothing left to be careful about.
        for child in &mut self.children {
            let _ = child.kill();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// Whether it answers a read that a leader and a majority stand behind.
async fn serves(url: &str) -> bool {
    let asked = async { Client::connect(url).await.ok()?.holder_of("none").await.ok() };
    tokio::time::timeout(Duration::from_secs(2), asked).await.is_ok_and(|answer| answer.is_some())
}

/// A free port, and a socket that has it and does not listen: with SO_REUSEADDR, which Go's listeners set, a server can listen there
/// while nobody else is given it.
fn reserve() -> io::Result<(TcpSocket, u16)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let port = socket.local_addr()?.port();
    Ok((socket, port))
}
