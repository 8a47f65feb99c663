//! `tenure dev-cluster` for a test: in a folder of the test's, on free ports, gone with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{http, until};

/// A cluster that runs until this is dropped.
pub(crate) struct DevCluster {
    child: Child,
    rows: BufReader<ChildStdout>,
    pub(crate) members: Vec<Member>,
    folder: PathBuf,
    by_hand: Vec<Child>,
}

/// One of its members, as it was started last.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) clients: SocketAddr,
    pub(crate) peers: SocketAddr,
    pub(crate) pid: i32,
    dead: bool,
}

/// The program that is tested.
pub(crate) const TENURE: &str = env!("CARGO_BIN_EXE_tenure");

/// `tenure` as the shell of nobody runs it, with nothing to read.
pub(crate) fn tenure(words: &[&str], more: &[&str]) -> Command {
    tenure_as(Path::new(TENURE), words, more)
}

fn tenure_as(program: &Path, words: &[&str], more: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words).args(more).stdin(Stdio::null());
    command.env_remove("TENURE_CONFIG").env_remove("TENURE_ENDPOINTS");
    command.env_remove("TENURE_HOLDER").env_remove("TENURE_NAMESPACE");
    command
}

/// A server that runs until this is dropped.
pub(crate) struct Serving {
    child: Child,
    /// Where clients reach it.
    pub(crate) clients: SocketAddr,
}

impl Serving {
    /// Starts one for trying things, and returns once it listens.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Serving {
        let words = ["serve", "--dev", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let mut child = tenure(&words, more).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let clients = line.trim_end().strip_prefix("listening on ").unwrap().parse().unwrap();
        Serving { child, clients }
    }
}

impl Serving {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl DevCluster {
    /// Starts three members, and returns once each serves.
    pub(crate) fn start(parent: &Path, flags: &[&str]) -> DevCluster {
        DevCluster::start_as(Path::new(TENURE), parent, flags)
    }

    /// Starts this many voters and observers, and returns once each serves.
    pub(crate) fn start_with(parent: &Path, voters: usize, observers: usize) -> DevCluster {
        let (voters, observers) = (voters.to_string(), observers.to_string());
        DevCluster::start_as(Path::new(TENURE), parent, &["--members", &voters, "--observers", &observers])
    }

    /// Starts members of this program, three where the flags do not say, and returns once each serves.
    pub(crate) fn start_as(program: &Path, parent: &Path, flags: &[&str]) -> DevCluster {
        let folder = parent.join("cluster");
        let mut child = tenure_as(program, &["dev-cluster", "--data", folder.to_str().unwrap()], flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let rows = BufReader::new(child.stdout.take().unwrap());
        let mut cluster = DevCluster { child, rows, members: Vec::new(), folder, by_hand: Vec::new() };
        let of = |flag| flags.iter().skip_while(|it| **it != flag).nth(1).map(|count| count.parse().unwrap());
        let count: usize = of("--members").unwrap_or(3) + of("--observers").unwrap_or(0);
        for _ in 0..count {
            let member = cluster.read_member();
            cluster.members.push(member);
        }
        cluster
    }

    fn read_member(&mut self) -> Member {
        let mut row = String::new();
        self.rows.read_line(&mut row).unwrap();
        let cells: Vec<&str> = row.trim_end().split('\t').collect();
        let [id, clients, peers, pid, _] = cells[..] else { panic!("no member: {row:?}: {}", self.said()) };
        let (clients, peers) = (clients.parse().unwrap(), peers.parse().unwrap());
        Member { id: id.parse().unwrap(), clients, peers, pid: pid.parse().unwrap(), dead: false }
    }

    /// The next member that is started again.
    pub(crate) fn next_member(&mut self) -> Member {
        let again = self.read_member();
        self.members.retain(|member| member.id != again.id);
        self.members.push(again.clone());
        again
    }

    pub(crate) fn member(&self, id: u64) -> &Member {
        self.members.iter().find(|member| member.id == id).unwrap()
    }

    /// Where each is reached, by clients and by members.
    pub(crate) fn addresses(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.members.iter().map(|member| (member.clients, member.peers)).collect()
    }

    /// A member's data folder.
    pub(crate) fn data(&self, id: u64) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// What a member has logged.
    pub(crate) fn log(&self, id: u64) -> String {
        std::fs::read_to_string(self.data(id).with_extension("log")).unwrap()
    }

    /// Whether a member's process is gone by itself.
    pub(crate) fn has_ended(&self, id: u64) -> bool {
        kill(Pid::from_raw(self.member(id).pid), None).is_err()
    }

    /// Who says that it leads, once one does.
    pub(crate) fn leader(&self) -> u64 {
        let mut leader = None;
        until("one leads", || {
            let living = self.members.iter().filter(|member| !member.dead);
            leader = living.map(|member| member.id).find(|id| self.leads(*id));
            leader.is_some()
        });
        leader.unwrap()
    }

    fn leads(&self, id: u64) -> bool {
        self.readyz(id)["leader"] == id.to_string().as_str()
    }

    /// Whether a member says that it serves.
    pub(crate) fn is_ready(&self, id: u64) -> bool {
        self.readyz(id)["ready"] == true
    }

    /// What a member says of whether it serves.
    pub(crate) fn readyz(&self, id: u64) -> serde_json::Value {
        let get = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        http(self.member(id).clients, get).json()
    }

    /// As a power cut would, but for what the kernel still writes.
    pub(crate) fn kill(&mut self, id: u64) {
        self.end_member(id, Signal::SIGKILL);
    }

    /// Stops a member in order.
    pub(crate) fn stop(&mut self, id: u64) {
        self.end_member(id, Signal::SIGTERM);
    }

    /// Returns once its process is gone, and its port and folder with it.
    fn end_member(&mut self, id: u64, signal: Signal) {
        let member = self.members.iter_mut().find(|member| member.id == id).unwrap();
        member.dead = true;
        let pid = Pid::from_raw(member.pid);
        kill(pid, signal).unwrap();
        match self.by_hand.iter().position(|child| child.id().cast_signed() == pid.as_raw()) {
            Some(at) => drop(self.by_hand.remove(at).wait().unwrap()),
            None => until("the cluster has seen it end", || kill(pid, None).is_err()),
        }
    }

    /// Starts a member as the cluster says that it can be started, and returns once it serves.
    pub(crate) fn start_by_hand(&mut self, id: u64) {
        self.start_by_hand_as(Path::new(TENURE), id);
    }

    /// The same, of this program.
    pub(crate) fn start_by_hand_as(&mut self, program: &Path, id: u64) {
        let config = self.folder.join(format!("{id}.toml"));
        let mut child = tenure_as(program, &["serve", "--dev", "--config"], &[config.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let member = self.members.iter_mut().find(|member| member.id == id).unwrap();
        assert_eq!(line, format!("listening on {}\n", member.clients));
        member.pid = child.id().cast_signed();
        member.dead = false;
        self.by_hand.push(child);
    }

    /// What a verb prints that must succeed.
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let endpoints: Vec<String> = self.members.iter().map(|member| member.clients.to_string()).collect();
        done(words, &endpoints.join(","))
    }

    /// What a verb says that must be refused, and its code with `--json`.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let endpoint = self.members[0].clients.to_string();
        let output = tenure(words, &["--json", "--endpoints", &endpoint]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        let body: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let message = body["error"]["message"].as_str().unwrap();
        assert_eq!(said, format!("error[members]: {message}\n"), "{words:?}: both ways it is told the same");
        assert_eq!(body["error"]["code"], "members", "{words:?}");
        message.to_owned()
    }

    /// The same, where only one member is asked.
    pub(crate) fn done_at(&self, member: &Member, words: &[&str]) -> String {
        done(words, &member.clients.to_string())
    }

    /// Ends it by a signal, which it takes as an order, and gives what it said.
    pub(crate) fn end(mut self, signal: Signal) -> String {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        let said = self.said();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        said
    }

    /// Ends it as no program can prepare for.
    pub(crate) fn kill_itself(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

fn done(words: &[&str], endpoints: &str) -> String {
    let output = tenure(words, &["--endpoints", endpoints]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        for child in &mut self.by_hand {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Ok(None) = self.child.try_wait() {
            // In order, so that no member writes any more when the folder goes.
            let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}
