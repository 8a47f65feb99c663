//! `tenure bench`, on a node of its own, on a cluster of its own and on a node that it is given: what it prints, not how fast it is.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

mod node;

use std::process::{Command, Stdio};

use node::Node;
use serde_json::Value;

/// What a bench printed, and the figures that it wrote.
fn measured(args: &[&str]) -> (String, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("figures.json");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tenure"));
    bench.arg("bench").args(args).arg("--json").arg(&file);
    let ended = bench.stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    let text = String::from_utf8(ended.stdout).expect("UTF-8");
    let report: Value = serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON");
    assert_eq!(report["bench"], args[0]);
    (text, report)
}

fn assert_are_times(report: &Value, figures: &[&str]) {
    for figure in figures {
        let figures = &report["results"]["tenure"][figure];
        let [p50, p99, max] = ["p50", "p99", "max"].map(|name| figures[name].as_f64().expect("a number"));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{report}");
    }
}

#[test]
fn a_handover_is_checked_and_told_as_text_and_as_json() {
    let (text, report) = measured(&["handover", "--waiters", "120", "--runs", "5"]);
    assert!(text.starts_with("handover: 5 releases with 120 waiters in line; a node of its own; "), "{text}");
    assert!(text.contains("each of 25 releases woke exactly one waiter"), "{text}");
    assert_are_times(&report, &["release_to_grant_ms", "release_to_confirmed_ms"]);
}

#[test]
fn leases_that_nobody_extends_end_once_and_not_too_early() {
    let (text, report) = measured(&["expiry", "--leases", "1100", "--runs", "1", "--members", "1"]);
    assert!(text.contains("each of 1100 leases ended once, and by expiry"), "{text}");
    assert_are_times(&report, &["last_told_ms", "lateness_ms"]);
}

#[test]
fn a_leaders_death_is_measured_and_loses_nothing() {
    let (text, report) = measured(&["failover", "--leases", "200", "--runs", "2"]);
    assert!(
        text.starts_with(
            "failover: 2 kills of the leader of 3 members, with 200 leases held; a cluster of 3 of its own; "
        ),
        "{text}"
    );
    assert_are_times(&report, &["gap_ms"]);
    assert_eq!(report["results"]["tenure"]["lost"], 0, "{report}");
}

#[test]
fn a_bench_at_a_given_node_leaves_nothing_behind() {
    let node = Node::start();
    let json = node.done(&["bench", "handover", "--runs", "2", "--endpoints", &node.address, "--json", "-"]);
    let report: Value = serde_json::from_str(&json).expect("JSON on stdout");
    assert_eq!(report["setting"]["endpoints"][0], node.address.as_str());
    assert_eq!(node.done(&["count"]), "0\n");
    node.done(&["bench", "handover", "--runs", "2", "--waiters", "250", "--endpoints", &node.address]);
    assert_eq!(node.done(&["count"]), "0\n", "nor do those who stood in line");
    let said = node.fails(&["bench", "handover", "--waiters", "0"], 2);
    assert!(said.contains("--waiters"), "{said}");
}
