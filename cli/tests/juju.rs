//! Juju's leases from end to end: a snapshot of its raft comes in and goes out again, its agents' load tool runs against the Juju
//! door, and its reports are printed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod node;
mod secured;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use node::Node;
use secured::{Member, said, tenure};
use serde_json::Value;

const MODEL: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";

/// As Juju writes it: one that has half an hour yet, one that is over, one that is over and pinned, and a pin without a holder.
const SNAPSHOT: &str = "\
version: 1
entries:
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: mysql
  : holder: mysql/0
    start: 0001-01-01T00:10:00Z
    duration: 1h0m0s
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: over
  : holder: over/0
    start: 0001-01-01T00:00:00Z
    duration: 1m0s
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: pinned
  : holder: pinned/3
    start: 0001-01-01T00:00:00Z
    duration: 1m0s
pinned:
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: pinned
  : - machine-0
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: redis
  : - machine-1
global-time: 0001-01-01T00:40:00Z
";

fn namespace() -> String {
    format!("application-leadership:{MODEL}")
}

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("state.bin");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn lease(node: &Node, name: &str) -> Value {
    let text = node.done(&["get", name, "--namespace", &namespace(), "--json"]);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_snapshot_comes_in_with_what_remained_and_goes_out_again() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let snapshot = file(folder.path(), SNAPSHOT);
    assert_eq!(node.done(&["juju", "import", &snapshot]), "2\t2\t1\t0\n");
    let mysql = lease(&node, "mysql");
    assert_eq!(mysql["held"]["holder"], "mysql/0");
    let remaining = mysql["held"]["remaining_ms"].as_u64().unwrap();
    assert!((1_700_000..=1_800_000).contains(&remaining), "half an hour of it remained: {mysql}");
    assert_eq!(lease(&node, "pinned")["held"]["holder"], "pinned/3", "its pin keeps it");
    assert_eq!(lease(&node, "redis")["pins"][0]["entity"], "machine-1");
    assert_eq!(lease(&node, "over")["held"], Value::Null);

    let again = node.done(&["juju", "import", &snapshot, "--json"]);
    assert_eq!(again, "{\"claimed\":2,\"pins\":2,\"over\":1,\"refused\":0}\n");
    assert_eq!(lease(&node, "mysql")["held"]["token"], mysql["held"]["token"], "twice is no harm");

    let exported = node.done(&["juju", "export"]);
    let other = Node::start();
    let exported = file(folder.path(), &exported);
    assert_eq!(other.done(&["juju", "import", &exported]), "2\t2\t0\t0\n");
    let there = lease(&other, "mysql")["held"]["remaining_ms"].as_u64().unwrap();
    assert!(there <= remaining && there > remaining - 60_000, "{there} of {remaining}");
    assert_eq!(other.done(&["count", "--all-namespaces"]), "2\n");
}

#[test]
fn what_another_has_is_refused_and_said_and_the_rest_comes_in() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    node.done(&["claim", "mysql", "--holder", "mysql/9", "--namespace", &namespace(), "--ttl", "1h"]);
    let output = node.tenure(&["juju", "import", &file(folder.path(), SNAPSHOT)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1\t2\t1\t1\n");
    assert!(said.contains("\"mysql\" of application-leadership:") && said.contains("mysql/9"), "{said}");
}

#[test]
fn of_a_file_that_is_no_snapshot_nothing_comes_in_and_the_words_are_jujus() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let table = [
        (SNAPSHOT.replace("version: 1", "version: 2"), "snapshot version 2 not valid"),
        (SNAPSHOT.replace("entries:", "entrees:"), "line 2: entrees is none of version, entries"),
        ("version: 1\nglobal-time: 0001-01-01T00:00:00Z\n".to_owned(), "nil entries not valid"),
        (SNAPSHOT.replace("holder: over/0", "holder: [over/0]"), "line 12: it begins with ["),
    ];
    for (text, words) in table {
        let said = node.fails(&["juju", "import", &file(folder.path(), &text)], 2);
        assert!(said.contains(words) && said.contains("nothing was imported"), "{said}");
    }
    assert_eq!(node.done(&["count", "--all-namespaces"]), "0\n");
    let missing = node.fails(&["juju", "import", "/nowhere/state.bin"], 2);
    assert!(missing.contains("name the state.bin of a snapshot"), "{missing}");
}

#[test]
fn the_report_is_jujus_engine_report() {
    let node = Node::start();
    let report = node.done(&["report"]);
    assert!(report.starts_with("Dependency Engine Report\n\nmanifolds:\n"), "{report}");
    assert!(report.contains("\n  raft-leader-flag:\n"), "{report}");
}

/// A node with a Juju door, where any agent may claim for any holder and as many log in as come.
fn door() -> (Node, String) {
    let node =
        Node::start_with(&["--juju", "--load-test-any-holder"], &[("TENURE_JUJU_AGENT_RATELIMIT_MAX", "0")]);
    let port = node.address.rsplit_once(':').unwrap().1.to_owned();
    (node, port)
}

#[test]
fn the_load_tool_speaks_jujus_wire_and_its_verdict_is_clean() {
    let output = tenure(&["claimer", "--embedded", "--target", "juju", "--uuid", MODEL])
        .args(["--leases", "5", "--units", "3", "--claimtime", "5s", "--renewtime", "1s", "--sleep", "0s"])
        .args(["--duration", "6s", "--json", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["verdict"], &json["held"], &json["lost"]),
        (&"clean".into(), &5.into(), &0.into()),
        "{said}"
    );
    assert_eq!(json["connections"], 15);
    assert!(json["extend_ms"]["max"].as_f64().unwrap() > 0.0, "{json}");
    assert!(said.contains("there are no tokens on Juju's wire to judge"), "{said}");
    for line in ["claimed leadership of \"a0000\" for \"a0000/", "denied in", "blocking until released"] {
        assert!(said.contains(line), "{line:?} not in {said}");
    }
}

#[test]
fn the_articles_loop_runs_as_it_stands() {
    let (node, port) = door();
    let folder = tempfile::tempdir().unwrap();
    // The program's name, and where this node is: the loop itself is the article's, of two processes for a hundred.
    let program = folder.path().join("leadershipclaimer");
    let (tenure, go_on) = (env!("CARGO_BIN_EXE_tenure"), "--duration 4s");
    let script =
        format!("#!/bin/sh\nexec {tenure} claimer --target juju --no-tls --port {port} {go_on} \"$@\"\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let article = r#"
for i in `seq -f%02g 0 1`; do
    x="";
    for j in `seq -f%02g 0 1`; do
        for u in `seq 0 2 | shuf`; do
            x="$x a$i$j/$u"
        done
    done
    ./leadershipclaimer --quiet --host=$CONTROLLERS --uuid=$UUID \
	--claimtime=5s --renewtime=4.5s \
	--unit $UNIT --password $PASSWORD \
	$x >> claims.log &
done
wait
"#;
    let mut shell = Command::new("bash");
    shell
        .args(["-c", article])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .env_remove("TENURE_ENDPOINTS");
    shell.envs([
        ("CONTROLLERS", "127.0.0.1,localhost"),
        ("UUID", MODEL),
        ("UNIT", "ul0/0"),
        ("PASSWORD", "sesame"),
    ]);
    let (_, said) = said(&mut shell);
    let log = fs::read_to_string(folder.path().join("claims.log")).unwrap();
    for lease in ["a0000", "a0001", "a0100", "a0101"] {
        assert!(log.contains(&format!("claimed  {lease}/")), "{log}{said}");
    }
    assert_eq!(said.matches("verdict   clean").count(), 2, "{said}");
    let known = lease(&node, "a0101");
    assert!(
        known["held"].is_object() || known["last_end"].is_object(),
        "held at the door as anywhere: {known}"
    );
}

/// Juju's acceptance case 14, of its tracker: it renews at half of its claim's time; it loses, blocks, and claims again.
#[test]
fn who_leads_renews_at_half_of_the_time_and_who_lost_blocks_and_claims_again() {
    let (node, port) = door();
    let mut claimer =
        tenure(&["claimer", "--target", "juju", "--no-tls", "--hosts", "127.0.0.1", "--port", &port])
            .args(["--uuid", MODEL, "--claimtime", "6s", "--sleep", "0s", "--duration", "40s", "mysql/0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(claimer.stdout.take().unwrap()).lines();
    // Its run has an end of its own, and with it these lines: nobody waits for ever.
    let mut next = |wanted: &str| {
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains(wanted));
        let line = line.unwrap_or_else(|| panic!("never: {wanted}"));
        let since: f64 = line.trim_start().split("s ").next().unwrap().parse().unwrap();
        (since, line)
    };
    let namespace = namespace();
    let at = ["--namespace", &namespace];
    let take_away = || {
        let held = lease(&node, "mysql")["held"].clone();
        let token = held["token"].as_str().map(str::to_owned);
        token.map(|token| {
            node.tenure(
                &[&["revoke", "mysql", "--why", "moved", "--now", "--token", &token], &at[..]].concat(),
            )
        })
    };

    let (claimed, line) = next("claimed leadership of");
    assert!(line.ends_with("renewing after 3s"), "{line}");
    let (extended, line) = next("extended leadership of");
    // The printed times are rounded to milliseconds.
    assert!((2.99..6.0).contains(&(extended - claimed)), "at half of it, and before it is over: {line}");

    // Another has it, who may come too late for it where the first renews just then.
    let other = [&["claim", "mysql", "--holder", "mysql/9", "--ttl", "1h"], &at[..]].concat();
    node::until("another has it", || {
        take_away();
        node.tenure(&other).status.success()
    });
    let (lost, _) = next("lost leadership of");
    assert!(lost > extended);
    assert!(next("denied in").1.ends_with("blocking until released"));
    take_away();
    assert!(next("blocking of").1.ends_with("attempting to claim"));
    next("claimed leadership of");
    assert_eq!(lease(&node, "mysql")["held"]["holder"], "mysql/0", "it leads again");
    claimer.kill().unwrap();
    claimer.wait().unwrap();
}

#[test]
fn a_node_killed_in_the_middle_ends_no_holder() {
    let (mut node, port) = door();
    let mut claimer =
        tenure(&["claimer", "--target", "juju", "--no-tls", "--hosts", "127.0.0.1", "--port", &port])
            .args([
                "--uuid",
                MODEL,
                "--leases",
                "4",
                "--units",
                "2",
                "--claimtime",
                "20s",
                "--renewtime",
                "1s",
            ])
            .args(["--sleep", "0s", "--duration", "8s", "--quiet", "--json", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    let held = || node.done(&["count", "--namespace", &namespace()]).trim() == "4";
    node::until("all are held", held);
    node.kill();
    node.start_again();
    let output = claimer.wait_with_output_within();
    let json: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!((&json["verdict"], &json["lost"]), (&"clean".into(), &0.into()), "{json}");
}

/// A child's stdout, once it has ended.
trait Within {
    fn wait_with_output_within(&mut self) -> Vec<u8>;
}

impl Within for std::process::Child {
    fn wait_with_output_within(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        std::io::Read::read_to_end(self.stdout.as_mut().unwrap(), &mut text).unwrap();
        self.wait().unwrap();
        text
    }
}

#[test]
fn what_was_imported_is_the_holders_own_at_the_door() {
    let (node, port) = door();
    let folder = tempfile::tempdir().unwrap();
    node.done(&["juju", "import", &file(folder.path(), SNAPSHOT)]);
    let token = lease(&node, "mysql")["held"]["token"].clone();
    let mut claimer =
        tenure(&["claimer", "--target", "juju", "--no-tls", "--hosts", "127.0.0.1", "--port", &port]);
    claimer.args([
        "--uuid",
        MODEL,
        "--claimtime",
        "10s",
        "--renewtime",
        "1s",
        "--sleep",
        "0s",
        "--duration",
        "3s",
    ]);
    let (code, said) = said(claimer.arg("mysql/0"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(lease(&node, "mysql")["held"]["token"], token, "it was extended, and not won anew");
}

/// A member with certificates and tokens, and a Juju door.
fn secured_door() -> Member {
    Member::start_with(&[("TENURE_JUJU_ENABLED", "true")])
}

#[test]
fn a_unit_logs_in_by_tls_with_its_token_as_the_password() {
    let member = secured_door();
    let token = member.path("mysql.token");
    let (code, words) = said(
        member
            .operator(&["token", "create", "mysql/0", "--role", "unit", "--namespace", &namespace()])
            .args(["--out", &token]),
    );
    assert_eq!(code, Some(0), "{words}");
    let port = member.port.to_string();
    let flags =
        ["--target", "juju", "--hosts", "localhost", "--port", &port, "--uuid", MODEL, "--unit", "mysql/0"];
    let pace = ["--claimtime", "10s", "--renewtime", "1s", "--sleep", "0s", "--duration", "3s"];
    let claim = |more: &[&str]| said(tenure(&["claimer"]).args(flags).args(pace).args(more));
    let (code, words) = claim(&["--token-file", &token]);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("its certificate is not checked without --ca"), "{words}");
    let (code, words) = claim(&["--token-file", &token, "--ca", &member.path("ca/client.crt")]);
    assert_eq!(code, Some(0), "{words}");
    assert!(!words.contains("not checked"), "{words}");
    let (code, words) = claim(&["--token-file", &token, "--ca", &member.path("ca/peer.crt")]);
    assert_eq!(code, Some(3), "another CA's server is none: {words}");
    let (code, words) = claim(&["--token-file", &token, "redis/0"]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("the claim of redis for redis/0: permission denied: log in as that"), "{words}");
    let (code, words) = claim(&["--password", "sesame"]);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("invalid entity name or password"), "{words}");
}

#[test]
fn a_command_that_can_never_work_is_told_so_at_once() {
    let fails = |args: &[&str]| {
        let (code, words) = said(tenure(&["claimer", "--target", "juju"]).args(args));
        assert_eq!(code, Some(2), "{words}");
        words
    };
    assert!(fails(&["--uuid", "f00"]).contains("--uuid \"f00\" is no model's"));
    assert!(fails(&["--uuid", MODEL, "--claimtime", "2s"]).contains("Juju takes claims of 5 s to 300 s"));
    assert!(fails(&["--uuid", MODEL, "--ca", "/nowhere"]).contains("/nowhere"));
}
