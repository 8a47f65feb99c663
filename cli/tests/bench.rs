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

/// Figures of a service, each of which must be there.
fn figures<const N: usize>(report: &Value, service: &str, names: [&str; N]) -> [f64; N] {
    names.map(|name| report["results"][service][name].as_f64().unwrap_or_else(|| panic!("{name}: {report}")))
}

/// Nothing was lost, nothing failed, and what the servers cost was seen.
fn assert_is_sound(report: &Value, service: &str) {
    assert_eq!(figures(report, service, ["lost", "errors"]), [0.0, 0.0], "{report}");
    let each = report["results"][service]["rss_bytes_each"].as_array().expect("a list");
    assert_eq!(each.len(), 3, "{report}");
    assert!(each.iter().all(|rss| rss.as_u64() > Some(1 << 20)), "{report}");
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

#[test]
fn extends_are_counted_and_every_lease_is_still_its_holders() {
    let (text, report) = measured(&["extend", "--leases", "120", "--holders", "40", "--seconds", "1"]);
    assert!(text.contains("of 120 leases, all but 0 are held as their holders were told"), "{text}");
    assert_is_sound(&report, "tenure");
    let [rate, p50, p99, p999] = figures(&report, "tenure", ["ops_per_s", "p50_ms", "p99_ms", "p999_ms"]);
    assert!(rate > 0.0 && 0.0 < p50 && p50 <= p99 && p99 <= p999, "{report}");
    assert_eq!(report["setting"]["tls"], false);
    assert!(report["ratio"].is_null(), "it was alone: {report}");
}

#[test]
fn claims_end_where_all_leases_are_claimed() {
    let (text, report) = measured(&["claim", "--leases", "300", "--holders", "30", "--seconds", "30"]);
    assert!(text.contains("of 300 leases, all but 0 are held as their holders were told"), "{text}");
    assert_is_sound(&report, "tenure");
}

#[test]
fn leases_are_extended_in_frames_of_many() {
    let args = ["bulk", "--leases", "500", "--holders", "3", "--frame", "100", "--seconds", "1"];
    let (text, report) = measured(&args);
    assert!(text.contains("of 500 leases, all but 0 are held as their holders were told"), "{text}");
    assert_is_sound(&report, "tenure");
}

#[test]
fn a_storm_ends_with_every_lease_held_by_one() {
    let args = ["storm", "--leases", "300", "--holders", "3", "--ttl", "6", "--seconds", "4"];
    let (text, report) = measured(&args);
    assert!(text.contains("of 300 leases, all but 0 are held as their holders were told"), "{text}");
    assert_is_sound(&report, "tenure");
    let names = ["all_held_s", "connections", "claim_p99_ms", "extend_p99_ms"];
    let [all_held, connections, claim, extend] = figures(&report, "tenure", names);
    assert!(all_held > 0.0 && claim > 0.0 && extend > 0.0, "{report}");
    assert_eq!(connections, 900.0, "{report}");
}

#[test]
fn observers_take_their_part_of_a_storm() {
    let args =
        ["storm", "--leases", "60", "--holders", "3", "--ttl", "6", "--seconds", "4", "--observers", "1"];
    let (text, report) = measured(&args);
    assert!(text.contains("; a cluster of 4 of its own; "), "{text}");
    assert_eq!(figures(&report, "tenure", ["lost", "errors"]), [0.0, 0.0], "{report}");
    assert_eq!(report["setting"]["endpoints"].as_array().map(Vec::len), Some(4), "{report}");
}

#[test]
fn a_storm_whose_leases_would_not_be_extended_is_refused() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tenure"));
    let refused = bench.args(["bench", "storm", "--seconds", "5"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--seconds 30 or more"), "{said}");
}

#[test]
fn members_with_certificates_are_measured_too() {
    let (text, report) = measured(&["extend", "--holders", "10", "--seconds", "1", "--tls"]);
    assert!(text.contains("a cluster of 3 of its own, by TLS; "), "{text}");
    assert_is_sound(&report, "tenure");
    assert_eq!(report["setting"]["tls"], true);
    assert!(report["setting"]["endpoints"][0].as_str().expect("an endpoint").starts_with("https://"));
}

#[test]
fn memory_is_told_of_a_connection_and_of_a_lease() {
    let (text, report) = measured(&["memory", "--leases", "20000", "--holders", "200", "--members", "1"]);
    assert!(text.contains("20201 leases are held"), "{text}");
    let names = ["rss_bytes_per_connection", "rss_bytes_per_lease"];
    assert!(figures(&report, "tenure", names).into_iter().all(|bytes| bytes > 0.0), "{report}");
}

#[test]
fn memory_is_told_of_agents_of_juju_by_tls() {
    let (text, report) =
        measured(&["memory", "--target", "juju", "--tls", "--leases", "0", "--connections", "150"]);
    assert!(text.contains("each of 350 agents was still logged in at the end"), "{text}");
    assert!(text.contains(", by Juju's door, by TLS; "), "{text}");
    assert!(figures(&report, "tenure", ["rss_bytes_per_connection"])[0] > 0.0, "{report}");
    assert!(report["results"]["tenure"]["rss_bytes_per_lease"].is_null(), "{report}");
}

#[test]
fn a_storm_of_jujus_agents_ends_with_every_lease_held_by_one() {
    let storm = ["storm", "--target", "juju", "--tls"];
    let args = ["--leases", "60", "--holders", "3", "--ttl", "6", "--seconds", "4"];
    let (text, report) = measured(&[&storm[..], &args].concat());
    assert!(text.contains("of 60 leases, all but 0 are held as their holders were told"), "{text}");
    assert_is_sound(&report, "tenure");
    assert_eq!(figures(&report, "tenure", ["connections"]), [180.0], "{report}");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tenure"));
    let refused = bench.arg("bench").args(storm).args(["--ttl", "301"]).args(["--seconds", "301"]).output();
    let said = String::from_utf8(refused.expect("it runs").stderr).expect("UTF-8");
    assert!(said.contains("--ttl 301: Juju takes claims of 5 s to 300 s"), "{said}");
}

#[test]
fn growth_is_told_at_each_size_and_drawn() {
    let charts = tempfile::tempdir().expect("a folder");
    let folder = charts.path().to_str().expect("UTF-8");
    let args = ["growth", "--leases", "1500", "--connections", "100", "--holders", "20", "--seconds", "1"];
    let (_, report) = measured(&[&args[..], &["--charts", folder]].concat());
    let figures = &report["results"]["tenure"];
    assert_eq!(figures["leases"], serde_json::json!([1000.0, 1500.0]), "{report}");
    for name in ["extend_p99_ms", "server_cpu_us_per_op", "rss_bytes_per_lease"] {
        assert_eq!(figures[name].as_array().map(Vec::len), Some(2), "{name}: {report}");
    }
    for name in ["rss_bytes_per_connection", "rss_bytes_per_connection_tls"] {
        assert!(figures[name][0].as_f64() > Some(0.0), "{name}: {report}");
    }
    for file in ["growth-extend.svg", "growth-cpu.svg", "growth-lease.svg", "growth-connection.svg"] {
        let chart = std::fs::read_to_string(charts.path().join(file)).expect("a chart");
        assert!(chart.starts_with("<svg ") && chart.contains("<circle"), "{file}: {chart}");
    }
}

#[test]
fn etcd_is_measured_in_turn_or_its_absence_is_said() {
    let args = ["extend", "--holders", "10", "--seconds", "1", "--runs", "1", "--vs", "etcd"];
    if Command::new("etcd").arg("--version").output().is_err() {
        let mut bench = Command::new(env!("CARGO_BIN_EXE_tenure"));
        let refused = bench.arg("bench").args(args).output().expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(
            said.contains("etcd cannot be run") && said.contains("apt-get install etcd-server"),
            "{said}"
        );
        return;
    }
    for bench in ["extend", "claim"] {
        let (text, report) = measured(&[&[bench], &args[1..]].concat());
        assert!(text.contains("; beside etcd "), "{text}");
        ["tenure", "etcd"].into_iter().for_each(|service| assert_is_sound(&report, service));
        assert!(report["ratio"].as_f64() > Some(0.0), "{report}");
    }
}
