//! `tenure serve` as a process: its one line, its signals, its end, and what it finds at its next start.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

#[path = "../../server/tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{PATIENCE, Session, http, token, until};

/// A node in a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command
        .arg("serve")
        .env_remove("TENURE_CONFIG")
        .env("TENURE_DATA", data)
        .env("TENURE_LISTEN", "127.0.0.1:0")
        .env("TENURE_ALLOW_VOLATILE_DATA", "true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    fn start(command: &mut Command) -> Process {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").and_then(|address| address.trim_end().parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            panic!("{line:?}: {:?}", child.wait_with_output())
        };
        Process { child, address }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Its exit and what it said.
    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }

    /// As a power cut would, but for what the kernel still writes.
    fn kill(self) {
        drop(self);
    }

    fn claim(&self, name: &str) -> String {
        let body = format!(r#"{{"name":"{name}","holder":"h1","ttl_ms":60000}}"#);
        let length = body.len();
        let head = "POST /v1/claim HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
        let answer = http(self.address, &format!("{head}content-length: {length}\r\n\r\n{body}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        token(&answer.json())
    }

    fn token_of(&self, name: &str) -> String {
        let get =
            format!("GET /v1/leases/default/{name} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        token(&http(self.address, &get).json()["held"])
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How it ends where it cannot start: its exit code, and what it said.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let mut process =
        Process { child: command.spawn().unwrap(), address: SocketAddr::from(([0, 0, 0, 0], 0)) };
    until("it ends", || process.child.try_wait().unwrap().is_some());
    let mut listened = String::new();
    process.child.stdout.take().unwrap().read_to_string(&mut listened).unwrap();
    assert_eq!(listened, "", "it never listened");
    let (status, said) = process.end();
    (status.code(), said)
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment-"));
    files.sort();
    files
}

#[test]
fn a_signal_stops_it_in_order_and_what_it_granted_is_there_at_its_next_start() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let process = Process::start(&mut command(&data));
        let held = process.claim(&format!("of-{signal}"));
        let mut session = Session::open(process.address);
        assert!(session.ask(r#"{"id":1,"call":{"count":{}}}"#)["reply"].is_object());
        process.signal(signal);
        let (frames, code) = session.rest();
        assert_eq!(frames[0]["push"]["going"]["why"], "this member is stopping");
        assert_eq!(code, Some(1001));
        let (status, said) = process.end();
        assert_eq!(status.code(), Some(0), "{said}");
        let process = Process::start(&mut command(&data));
        assert_eq!(process.token_of(&format!("of-{signal}")), held);
        process.kill();
    }
}

#[test]
fn what_was_granted_survives_kill_9() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let mut tokens = Vec::new();
    for round in 0..5 {
        let process = Process::start(&mut command(&data));
        for (before, token) in tokens.iter().enumerate() {
            assert_eq!(&process.token_of(&format!("round/{before}")), token);
        }
        let token = process.claim(&format!("round/{round}"));
        let higher =
            tokens.last().is_none_or(|last: &String| last.parse::<u64>().unwrap() < token.parse().unwrap());
        assert!(higher, "tokens rise over restarts");
        tokens.push(token);
        process.kill();
    }
}

#[test]
fn a_folder_in_use_names_the_process() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let process = Process::start(&mut command(&data));
    let (code, said) = refused(&mut command(&data));
    assert_eq!(code, Some(3));
    assert!(said.contains(&format!("the process with pid {}", process.child.id())), "{said}");
    process.claim("still-serves");
    process.kill();
}

#[test]
fn a_port_that_is_taken_leaves_no_folder_behind() {
    let parent = tempfile::tempdir().unwrap();
    let process = Process::start(&mut command(&parent.path().join("data")));
    let other = parent.path().join("other");
    let (code, said) = refused(command(&other).env("TENURE_LISTEN", process.address.to_string()));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("another process has it") && !other.exists(), "{said}");
    process.kill();
}

#[test]
fn a_bad_file_at_sighup_changes_nothing_and_is_logged() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("tenure.toml");
    fs::write(&file, "log.level = \"info\"\n").unwrap();
    let mut process = Process::start(command(&parent.path().join("data")).env("TENURE_CONFIG", &file));
    let mut lines = BufReader::new(process.child.stderr.take().unwrap()).lines();
    let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("leadership")).unwrap();
    assert!(line.contains("leader=none") || line.contains("leader=1"), "{line}");
    let began = Instant::now();
    let mut wait_for = |text: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("never said: {text}")).unwrap();
        // A server that says much at `debug` would be read for ever.
        assert!(began.elapsed() < PATIENCE, "not said: {text}");
        if line.contains(text) {
            break line;
        }
    };
    fs::write(&file, "log.levle = \"debug\"\n").unwrap();
    process.signal(Signal::SIGHUP);
    let line = wait_for("SIGHUP: the configuration is wrong; the old one stays");
    assert!(line.contains("did you mean") && line.contains("log.level"), "{line}");
    process.claim("still-serves");
    fs::write(&file, "log.level = \"debug\"\nmember = 1\n").unwrap();
    process.signal(Signal::SIGHUP);
    wait_for(
        "SIGHUP: only log.level, how Juju's logins are throttled and what is in the certificates' files change",
    );
    let line = wait_for("SIGHUP: the configuration was read anew");
    assert!(line.contains("log.level=debug"), "{line}");
    process.kill();
}

#[test]
fn a_flipped_bit_in_the_log_is_refused_with_file_and_offset_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let process = Process::start(&mut command(&data));
    for number in 0..20 {
        process.claim(&format!("l{number}"));
    }
    process.kill();
    let segment = segments(&data).remove(0);
    let file = fs::OpenOptions::new().read(true).write(true).open(&segment).unwrap();
    let mut byte = [0];
    // In the first batch, far below what is synced.
    file.read_exact_at(&mut byte, 600).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 600).unwrap();
    let before = fs::read(&segment).unwrap();
    let (code, said) = refused(&mut command(&data));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(segment.to_str().unwrap()) && said.contains("byte"), "{said}");
    assert!(fs::read(&segment).unwrap() == before, "nothing was changed");
}

#[test]
fn a_torn_last_record_is_cut_with_a_line_and_the_start_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let process = Process::start(&mut command(&data));
    process.claim("a");
    process.kill();
    // As after a write that stopped short: the last bytes are zeros. What they said is lost here, synced or not; of a
    // write that did stop short, nobody was told anything.
    let segment = segments(&data).remove(0);
    let bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[0; 4], end as u64 - 3).unwrap();
    let mut process = Process::start(&mut command(&data));
    let mut said = BufReader::new(process.child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("THE LOG'S END WAS CUT")));
    process.claim("b");
    process.kill();
}

#[test]
fn a_member_whose_log_is_gone_does_not_begin_anew() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let process = Process::start(&mut command(&data));
    process.claim("a");
    process.kill();
    for file in fs::read_dir(data.join("log")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let (code, said) = refused(&mut command(&data));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(data.join("log").to_str().unwrap()), "{said}");
}

#[test]
fn strangers_cannot_fill_the_log() {
    let parent = tempfile::tempdir().unwrap();
    let process = Process::start(&mut command(&parent.path().join("data")));
    for _ in 0..50 {
        let mut stream = support::connect(process.address);
        stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").unwrap();
        // It ends, by a close or a reset.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    process.signal(Signal::SIGTERM);
    let (status, said) = process.end();
    let lines = said.lines().filter(|line| line.contains("closed a connection that speaks no HTTP")).count();
    assert!((1..25).contains(&lines), "{lines} lines for 50 connections: {said}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_wrong_configuration_is_a_usage_error() {
    let parent = tempfile::tempdir().unwrap();
    let (code, said) = refused(command(&parent.path().join("data")).env("TENURE_LISTEN", "0.0.0.0:0"));
    assert_eq!(code, Some(2));
    assert!(said.contains("--insecure-plain-listener"), "{said}");
    assert!(!parent.path().join("data").exists(), "nothing was made");
}
