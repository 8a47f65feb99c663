//! The lease log: a line of each grant and of each end, by whichever door, in the log of the member that led.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;
#[path = "support/three.rs"]
mod three;

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::Config;
use support::juju::{Juju, MODEL};
use support::{Node, ask, token, until};
use three::three_with;

/// Beside the data.
fn log_it(config: &mut Config) {
    config.lease_log = Some(config.data.with_file_name("lease.log"));
}

fn path(node: &Node) -> PathBuf {
    node.folder.path().join("lease.log")
}

/// Its lines, without their times.
fn lines(node: &Node) -> Vec<String> {
    let text = fs::read_to_string(path(node)).unwrap();
    text.lines().map(|line| line["2019/02/06 09:00:00.123456 ".len()..].to_owned()).collect()
}

fn claim(node: &Node, name: &str, ttl_ms: u64) -> Value {
    let body = json!({"name": name, "holder": "me", "instance": "7", "seq": "1", "ttl_ms": ttl_ms});
    let claimed = node.post("/v1/claim", &body.to_string());
    assert_eq!(claimed.status, 200, "{claimed:?}");
    claimed.json()
}

#[test]
fn each_grant_and_each_end_has_a_line_whatever_door_it_came_by() {
    let node = Node::start_with(|config| {
        config.juju.enabled = true;
        log_it(config);
    });
    let mut session = node.session();
    ask(&mut session, 1, "hello", json!({"version": 1, "agent": "test"}));
    let body = json!({"name": "a \"b#", "holder": "me", "instance": "7", "seq": "1", "ttl_ms": 60_000});
    let granted = ask(&mut session, 2, "claim", body);
    let of_a = json!({"name": "a \"b#", "token": token(&granted["granted"]), "instance": "7"});
    // An extend has no line.
    assert!(ask(&mut session, 3, "extend", of_a.clone())["granted"].is_object());
    let mut juju = Juju::login(&node, MODEL, "unit-mysql-0", "x");
    assert_eq!([juju.claim("mysql/0", 60.0), juju.claim("mysql/0", 60.0)], [Value::Null, Value::Null]);
    ask(&mut session, 4, "release", of_a);
    // One that nobody extends.
    claim(&node, "short", 1_000);
    until("it is over", || node.server().status().held == 1);
    let form = format!("model={MODEL}&lease=mysql");
    assert_eq!(node.post_as("application/x-www-form-urlencoded", "/leases/revoke", &form).status, 200);

    let mysql = format!("\"{MODEL}:application-leadership#mysql#\"");
    let expected = [
        r#"claimed ":default#a \"b\u{23}#" for "me""#,
        &format!("claimed {mysql} for \"mysql/0\""),
        r#"expired ":default#a \"b\u{23}#""#,
        r#"claimed ":default#short#" for "me""#,
        r#"expired ":default#short#""#,
        &format!("expired {mysql}"),
    ];
    until("all is written", || lines(&node).len() >= expected.len());
    assert_eq!(lines(&node), expected);
}

#[test]
fn whoever_rotates_it_has_it_opened_anew_and_a_stop_writes_what_is_left() {
    let mut node = Node::start_with(log_it);
    claim(&node, "a", 60_000);
    until("it is written", || lines(&node).len() == 1);
    let old = path(&node).with_extension("old");
    fs::rename(path(&node), &old).unwrap();
    node.server().reopen_audit();
    claim(&node, "b", 60_000);
    node.server.take().unwrap().stop();
    assert_eq!(lines(&node), [r#"claimed ":default#b#" for "me""#]);
    assert_eq!(fs::read_to_string(old).unwrap().lines().count(), 1);
}

/// As on a network's file system that answers nothing any more.
#[test]
fn a_stop_waits_for_logs_whose_files_hang_and_not_for_ever() {
    let pipes = tempfile::tempdir().unwrap();
    let pipe = |name: &str| {
        let path = pipes.path().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
        // There is somebody who could read, and does not; and little room.
        let reader = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4_096)).unwrap();
        (path, reader)
    };
    let [(audit, _audit), (leases, _leases)] = ["audit.jsonl", "lease.log"].map(pipe);
    let mut node = Node::start_with(|config| {
        config.audit = Some(audit);
        config.lease_log = Some(leases);
    });
    (0..100).for_each(|at| drop(claim(&node, &format!("{at}-{}", "x".repeat(100)), 60_000)));
    let server = node.server.take().unwrap();
    let said = pipes.path().join("said");
    let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(fs::File::create(&said).unwrap());
    let (began, (told, stopped)) = (Instant::now(), mpsc::channel());
    std::thread::spawn(move || {
        tracing::subscriber::with_default(logs.finish(), || server.stop());
        let _ = told.send(());
    });
    stopped.recv_timeout(Duration::from_secs(60)).expect("it waits for ever");
    // For each of the two.
    let took = began.elapsed();
    assert!((Duration::from_secs(6)..Duration::from_secs(20)).contains(&took), "{took:?}");
    let said = fs::read_to_string(said).unwrap();
    for (log, file) in [("audit log", "audit.jsonl"), ("lease log", "lease.log")] {
        let hangs = format!("the {log}'s file hangs");
        let line = said.lines().find(|line| line.contains(&hangs)).unwrap_or_else(|| panic!("{log}: {said}"));
        assert!(line.contains(file) && line.contains(" lines may never be written"), "{line}");
        let unwritten = line.rsplit("unwritten=").next().unwrap();
        // Those that the pipe had room for are written.
        assert!((1..=100).contains(&unwritten.parse::<u64>().unwrap()), "{line}");
    }
    assert!(said.trim_end().ends_with("stopped"), "{said}");
}

#[test]
fn only_the_leader_writes_and_each_grant_is_in_one_log() {
    let (_reserved, mut nodes) = three_with(log_it);
    let leader = |nodes: &[Node]| {
        until("one leads", || nodes.iter().any(Node::leads));
        nodes.iter().position(Node::leads).unwrap()
    };
    let grants = |node: &Node, name: &str| {
        until("it is granted", || {
            let body = json!({"name": name, "holder": "me", "instance": "7", "seq": "1", "ttl_ms": 60_000});
            node.post("/v1/claim", &body.to_string()).status == 200
        });
    };
    let first = leader(&nodes);
    (0..3).for_each(|asked| grants(&nodes[asked], &format!("by{asked}")));
    let line = |name: &str| format!("claimed \":default#{name}#\" for \"me\"");
    until("all is written", || lines(&nodes[first]).len() == 3);
    assert_eq!(lines(&nodes[first]), ["by0", "by1", "by2"].map(line));
    until("all have it", || nodes.iter().all(|node| node.server().status().held == 3));

    let mut old = nodes.remove(first);
    old.server.take().unwrap().stop();
    grants(&nodes[0], "after");
    let second = leader(&nodes);
    until("the next one writes", || lines(&nodes[second]) == [line("after")]);
    until("all have it", || nodes.iter().all(|node| node.server().status().held == 4));
    assert_eq!(lines(&old).len(), 3);
    // Whatever the other would write it writes at its end.
    let mut other = nodes.remove(1 - second);
    other.server.take().unwrap().stop();
    assert_eq!(lines(&other), [""; 0]);
}
