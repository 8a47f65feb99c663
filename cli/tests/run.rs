//! `tenure run` with real processes: one runs at a time, and what it started is gone before another begins.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

mod node;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::Node;

/// The longest that a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command that appends its name to a file as long as it lives, ten times a second.
fn beat(name: &str, file: &Path) -> String {
    format!("while :; do echo {name} >> {}; sleep 0.1; done", file.display())
}

/// `tenure run` of a shell script, killed with the test.
struct Running(Child);

impl Running {
    fn start(node: &Node, ttl: &str, script: &str) -> Running {
        let mut command = node.command(&["run", "job", "--ttl", ttl, "--", "sh", "-c", script]);
        Running(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts"))
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM and not SIGKILL: it ends what it started, whatever the test left it in.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-CONT", &pid]).stderr(Stdio::null()).status();
        let _ = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

fn beats(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn until_beats(file: &Path, name: &str) {
    until("it runs", || beats(file).iter().any(|beat| beat == name));
}

/// All of one, and then all of the other: nobody's beat comes after its successor's first.
fn assert_no_overlap(file: &Path) {
    let beats = beats(file);
    let first_b = beats.iter().position(|beat| beat == "b").expect("b ran");
    assert!(beats[first_b..].iter().all(|beat| beat == "b"), "a beat after b had begun: {beats:?}");
}

#[test]
fn a_command_has_its_token_and_its_code_is_ours() {
    let node = Node::start();
    let ended = node.tenure(&[
        "run",
        "job",
        "--holder",
        "h1",
        "--",
        "sh",
        "-c",
        "echo $TENURE_TOKEN $TENURE_LEASE $TENURE_HOLDER; exit 7",
    ]);
    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "1 job h1\n");
    assert!(node.done(&["get", "job"]).contains("\tfree\t"), "it is released at its end");
}

#[test]
fn a_command_that_does_not_exist_claims_nothing() {
    let node = Node::start();
    let said = node.fails(&["run", "job", "--", "/no/such/program"], 2);
    assert!(said.contains("/no/such/program"), "{said}");
    assert_eq!(node.done(&["history", "job"]), "", "the lease was never held");
    assert!(node.fails(&["run", "job"], 2).contains("COMMAND"), "the command is missing");
}

#[test]
fn a_killed_tenure_takes_its_command_along_and_the_next_one_runs() {
    let (node, folder) = (Node::start(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("beats");
    let first = Running::start(&node, "2s", &beat("a", &file));
    until_beats(&file, "a");
    let _second = Running::start(&node, "2s", &beat("b", &file));
    first.signal("-KILL");
    until_beats(&file, "b");
    assert_no_overlap(&file);
}

#[test]
fn a_stopped_tenures_command_is_ended_in_time_all_the_same() {
    let (node, folder) = (Node::start(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("beats");
    let first = Running::start(&node, "2s", &beat("a", &file));
    until_beats(&file, "a");
    let _second = Running::start(&node, "2s", &beat("b", &file));
    first.signal("-STOP");
    until_beats(&file, "b");
    assert_no_overlap(&file);
    first.signal("-CONT");
}

#[test]
fn what_ignores_a_polite_end_and_hides_in_a_session_of_its_own_is_gone_too() {
    let (node, folder) = (Node::start(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("beats");
    let hidden = format!("trap '' TERM; setsid sh -c \"trap '' TERM; {}\" & wait", beat("a", &file));
    let first = Running::start(&node, "2s", &hidden);
    until_beats(&file, "a");
    let _second = Running::start(&node, "2s", &beat("b", &file));
    first.signal("-KILL");
    until_beats(&file, "b");
    assert_no_overlap(&file);
}

#[test]
fn a_signal_is_passed_on_and_told_by_the_code() {
    let (node, folder) = (Node::start(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("beats");
    let mut running = Running::start(&node, "5s", &format!("trap 'exit 9' TERM; {}", beat("a", &file)));
    until_beats(&file, "a");
    running.signal("-TERM");
    let status = running.0.wait().expect("it ends");
    assert_eq!((status.code(), status.signal()), (Some(9), None));
    assert!(node.done(&["get", "job"]).contains("\tfree\t"));
}

#[test]
fn a_command_whose_health_fails_is_ended_and_its_lease_is_free() {
    let (node, folder) = (Node::start(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("beats");
    let args =
        ["run", "job", "--ttl", "2s", "--health", "exit 1", "--health-every", "300ms", "--", "sh", "-c"];
    let ended = node.tenure(&[&args[..], &[&beat("a", &file)]].concat());
    assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("health"));
    until("it is free", || node.done(&["get", "job"]).contains("\tfree\t"));
}

#[test]
fn a_revoked_lease_ends_its_command_before_its_time_with_the_reason() {
    let (node, folder) = (Node::start(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("beats");
    let script = beat("a", &file);
    let mut command = node.command(&["run", "job", "--ttl", "2s", "--", "sh", "-c", &script]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    until_beats(&file, "a");
    node.done(&["revoke", "job", "--why", "maintenance"]);
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("maintenance"));
}
