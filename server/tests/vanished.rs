//! A client whose machine is gone without a word: no end of its connection, no answer, nothing. It is noticed, and its waits are given up.
//!
//! The test runs itself once more, in a network of its own whose one link it takes down. That needs `unshare` and `ip`, and leave to make
//! such a network; where they are missing it says so, and checks nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use support::{Node, ask, call, connect, until};

const INSIDE: &str = "TENURE_TEST_IN_A_NETWORK_OF_ITS_OWN";

fn link(state: &str) {
    let set = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
    assert!(set.success(), "the link could not be set {state}");
}

fn can_have_a_network() -> bool {
    let script = "ip link set lo up";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "sh", "-c", script]);
    unshare.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn a_client_whose_machine_is_gone_is_noticed_and_waits_no_more() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !can_have_a_network() {
        eprintln!("skipped: no network of its own can be made here with unshare and ip");
        return;
    }
    let mut again = Command::new("unshare");
    again.args(["--user", "--map-root-user", "--net"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", "a_client_whose_machine_is_gone_is_noticed_and_waits_no_more", "--nocapture"]);
    let ended = again.env(INSIDE, "1").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn inside() {
    link("up");
    // A session's own silence would take far longer to be noticed.
    let node = Node::start_with(|config| {
        config.ping_every = Duration::from_secs(2);
        config.dead_after = Duration::from_secs(3_600);
    });
    let mut holder = node.session();
    ask(&mut holder, 1, "claim", json!({"name": "a", "holder": "h1", "ttl_ms": 60_000}));
    let mut waiter = node.session();
    call(&mut waiter, 1, "wait", json!({"name": "a"}));
    let mut next = node.session();
    call(&mut next, 1, "acquire", json!({"name": "a", "holder": "h2", "ttl_ms": 60_000}));
    let mut poll = connect(node.address());
    poll.write_all(b"GET /v1/wait?name=a&timeout_ms=3600000 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let server = node.server();
    let all_wait = || server.status().waits == 2 && server.status().in_line == 1;
    until("all wait", all_wait);
    assert_eq!((server.sessions(), server.connections()), (3, 4));
    link("down");
    until("their connections are given up", || server.connections() == 0);
    assert_eq!((server.sessions(), server.status().waits), (0, 0));
    until("the place in line is given up too", || server.status().acquires == 0);
    // Kept until here: closing them would have told the server.
    drop((holder, waiter, next, poll));
}
