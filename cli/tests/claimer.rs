//! The load tool from end to end: a real node, real processes, and a verdict.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

mod node;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use node::Node;
use serde_json::Value;

fn run(args: &[&str]) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .arg("claimer")
        .args(args)
        .env_remove("TENURE_ENDPOINTS")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert!(output.status.success(), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")), said)
}

fn assert_shape(json: &Value) {
    let fields: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut promised = [
        "leases",
        "holders",
        "connections",
        "held",
        "lost",
        "errors",
        "timeouts",
        "verdict",
        "claim_ms",
        "extend_ms",
        "wait_ms",
        "held_over_time",
        "servers",
    ];
    promised.sort_unstable();
    assert_eq!(fields, promised);
    for latency in ["claim_ms", "extend_ms", "wait_ms"] {
        for quantile in ["p50", "p99", "p999", "max"] {
            assert!(json[latency][quantile].is_number(), "{latency}.{quantile}");
        }
    }
}

#[test]
fn a_fleet_on_an_embedded_node_is_clean() {
    let (json, said) = run(&[
        "--embedded",
        "--leases",
        "20",
        "--units",
        "3",
        "--claimtime",
        "2s",
        "--renewtime",
        "1s",
        "--duration",
        "6s",
        "--json",
        "-",
    ]);
    assert_shape(&json);
    assert_eq!(json["verdict"], "clean", "{said}");
    assert_eq!(
        (&json["leases"], &json["holders"], &json["held"], &json["lost"]),
        (&20.into(), &60.into(), &20.into(), &0.into())
    );
    assert_eq!(json["connections"], 60);
    assert!(json["extend_ms"]["max"].as_f64().is_some_and(|max| max > 0.0), "extends were measured: {json}");
    let server = &json["servers"][0];
    assert!(server["rss_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{server}");
    let pid = server["pid"].as_u64().expect("a pid");
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "the embedded node is gone with the run"
    );
    for part in ["claimed leadership of \"a0000\" for \"a0000/", "renewing after 1s", "verdict   clean"] {
        assert!(said.contains(part), "{part:?} not in {said}");
    }
}

/// What a shell may have set for other servers.
const OTHERS: [(&str, &str); 3] = [
    ("TENURE_ENDPOINTS", "https://others.invalid:1"),
    ("TENURE_CA", "/no/such/ca.crt"),
    ("TENURE_TOKEN_FILE", "/no/such/token"),
];

/// Runs to its end, in a shell that has set so many of them.
fn beside_others(set: usize, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["claimer", "a/0", "a/1", "--sleep", "0s", "--duration", "3s"])
        .args(args)
        .envs(OTHERS.into_iter().take(set))
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("messages are UTF-8"))
}

#[test]
fn what_the_shell_has_set_for_other_servers_gives_way_to_what_is_typed() {
    let model = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";
    for wire in [&["--target", "tenure"][..], &["--target", "juju", "--uuid", model]] {
        let (code, said) = beside_others(OTHERS.len(), &[&["--embedded", "--processes", "2"], wire].concat());
        assert!(code == Some(0) && said.contains("verdict   clean"), "{said}");
    }
    let (code, said) = beside_others(1, &["--hosts", "127.0.0.1", "--port", "1"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("no endpoint could be reached: 127.0.0.1:1 (") && !said.contains("others"),
        "{said}"
    );
    for place in [&["--embedded"][..], &["--hosts", "127.0.0.1"]] {
        let (code, said) = beside_others(0, &[place, &["--endpoints", "127.0.0.1:1"]].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("{} cannot be used with --endpoints", place[0])), "{said}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_run_quietly() {
    let mut claimer = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["claimer", "--embedded", "--leases", "3", "--claimtime", "2s", "--sleep", "0s"])
        .env_remove("TENURE_ENDPOINTS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut line = String::new();
    BufReader::new(claimer.stdout.take().expect("a pipe")).read_line(&mut line).expect("UTF-8");
    assert!(line.contains("connected ["), "{line}");
    let output = claimer.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn several_processes_are_judged_as_one_run_in_scaled_time() {
    let (json, said) = run(&[
        "--embedded",
        "--leases",
        "10",
        "--units",
        "3",
        "--claimtime",
        "20s",
        "--renewtime",
        "10s",
        "--sleep",
        "5s",
        "--duration",
        "40s",
        "--scale-time",
        "10",
        "--processes",
        "2",
        "--quiet",
        "--json",
        "-",
    ]);
    assert_eq!(
        (json["verdict"].as_str(), &json["held"], &json["connections"]),
        (Some("clean"), &10.into(), &30.into())
    );
    let pids: BTreeMap<&str, usize> = said.lines().fold(BTreeMap::new(), |mut pids, line| {
        if let Some(pid) = line.split("connected [").nth(1).and_then(|rest| rest.split(']').next()) {
            *pids.entry(pid.trim()).or_default() += 1;
        }
        pids
    });
    assert_eq!(pids.values().copied().collect::<Vec<_>>(), [15, 15], "two processes, 15 connections each");
    assert!(said.contains("held for 10s in"), "times are told undivided: {said}");
}

#[test]
fn a_node_killed_in_the_middle_loses_nothing() {
    let mut node = Node::start();
    let mut claimer = node
        .command(&[
            "claimer",
            "--leases",
            "12",
            "--units",
            "3",
            "--claimtime",
            "20s",
            "--renewtime",
            "1s",
            "--sleep",
            "0s",
            "--duration",
            "12s",
            "--quiet",
            "--json",
            "-",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(claimer.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    // Every lease has been claimed once each of them has been extended.
    let mut extended = std::collections::BTreeSet::new();
    while extended.len() < 12 {
        let line = lines.next().expect("the run goes on");
        if let Some(holder) = line.split(" extended ").nth(1).and_then(|rest| rest.split('/').next()) {
            extended.insert(holder.to_owned());
        }
    }
    let before = tokens(&node);
    assert_eq!(before.len(), 12);
    node.kill();
    node.start_again();
    assert_eq!(tokens(&node), before, "every acknowledged grant is there with its token");

    let said: Vec<String> = lines.collect();
    let output = claimer.wait_with_output().expect("it ends");
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said:#?}"));
    assert_eq!(json["verdict"], "clean", "{said:#?}");
    assert_eq!((&json["lost"], &json["held"]), (&0.into(), &12.into()), "{json}");
    assert_eq!(tokens(&node), before, "and still is at the end: the holders extended what they had");
}

fn tokens(node: &Node) -> BTreeMap<String, String> {
    let list = node.done(&["list"]);
    list.lines()
        .filter_map(|line| line.split('\t').collect::<Vec<_>>()[..2].to_vec().try_into().ok())
        .map(|[name, token]: [&str; 2]| (name.to_owned(), token.to_owned()))
        .collect()
}

#[test]
fn without_a_server_it_is_unavailable_and_says_why_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["claimer", "--leases", "2", "--endpoints", "127.0.0.1:1", "--sleep", "0s", "--duration", "2s"])
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains(
            "error[unavailable]: no holder ever connected: no endpoint could be reached: 127.0.0.1:1 ("
        ),
        "{said}"
    );
    assert_eq!(said.matches("failed to connect to 127.0.0.1:1").count(), 1, "six holders, one cause: {said}");
}
