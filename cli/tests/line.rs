//! Waiting in line, handing on, taking away, watching and checking, as typed.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

mod node;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use node::{Node, until};
use serde_json::Value;

fn columns(line: &str) -> Vec<&str> {
    line.trim_end().split('\t').collect()
}

/// A verb that goes on, and what it prints.
struct Running {
    child: Child,
    /// None once nobody reads it any more.
    lines: Option<std::io::Lines<BufReader<ChildStdout>>>,
}

impl Running {
    fn start(node: &Node, args: &[&str]) -> Running {
        let mut command = node.command(args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the verb starts");
        let lines = Some(BufReader::new(child.stdout.take().expect("a pipe")).lines());
        Running { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.as_mut().and_then(Iterator::next).expect("it goes on").expect("its text is read")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_lease_is_acquired_in_turn_and_a_watch_sees_it_all() {
    let node = Node::start();
    let mut watch = Running::start(&node, &["watch", "--prefix", "db/", "--after", "0", "--json"]);
    let held = node.done(&["claim", "db/a", "--holder", "h1"]);
    let held = columns(&held)[0].to_owned();
    let mut next = Running::start(&node, &["acquire", "db/a", "--holder", "h2", "--ttl", "1m"]);
    // In line or not yet: the release is answered, and the line is served, whenever it comes.
    assert_eq!(node.done(&["release", "db/a", "--token", &held]), format!("{held}\tdb/a\treleased\n"));
    let line = next.next();
    let [token, name, ttl, _hold] = columns(&line)[..] else { panic!("{line:?}") };
    assert_eq!((name, ttl), ("db/a", "1m0s"));
    assert!(node.done(&["get", "db/a"]).contains("\th2\t"), "the grant stands behind the command's end");
    assert!(node.done(&["check", "db/a", token]).contains("\th2\t"));
    assert!(node.done(&["check", "db/a", "--token", token]).contains("\th2\t"));
    let said = node.fails(&["check", "db/a", &held], 1);
    assert!(said.contains("error[stale_token]: ") && said.ends_with("refuse it\n"), "{said}");
    let mut seen: Vec<String> = Vec::new();
    while !seen.iter().any(|what| what == "ended") || seen.len() < 3 {
        let event: Value = serde_json::from_str(&watch.next()).expect("a line is an event");
        let what = ["granted", "confirmed", "ended"].into_iter().find(|what| event.get(what).is_some());
        seen.push(what.expect("nothing else happens").to_owned());
    }
    assert_eq!(seen[..3], ["granted", "ended", "granted"], "{seen:?}");
}

#[test]
fn an_acquire_that_lasts_too_long_names_the_holder_and_the_flag() {
    let node = Node::start();
    node.done(&["claim", "a", "--holder", "h1"]);
    let said = node.fails(&["acquire", "a", "--holder", "h2", "--timeout", "1s"], 1);
    assert!(said.contains("error[still_held]: ") && said.contains("within its --timeout"), "{said}");
}

#[test]
fn a_grant_is_handed_on_by_force_and_history_tells_how_it_ended() {
    let node = Node::start();
    let held = node.done(&["claim", "a", "--holder", "h1", "--instance", "7", "--seq", "1"]);
    let held = columns(&held)[0];
    let to = ["transfer", "a", "--token", held, "--instance", "7", "--to", "h2"];
    let said = node.fails(&to, 1);
    assert!(said.contains("error[not_waiting]: "), "{said}");
    let forced = node.done(&[&to[..], &["--force"]].concat());
    assert_eq!(forced, format!("{held}\ta\ttransferred\n"));
    let taken = node.done(&["claim", "a", "--holder", "h2"]);
    assert!(columns(&taken)[0].parse::<u64>().expect("a token") > held.parse().expect("a token"));
    let history = node.done(&["history", "a"]);
    assert_eq!(columns(&history)[..5], ["a", held, "h1", "transferred", "-"]);
    assert!(columns(&history)[6].ends_with("s left"), "no time without a word of what it is: {history}");
}

#[test]
fn a_revoke_names_whom_it_hits_and_its_reason_is_kept() {
    let node = Node::start();
    let said = node.fails(&["revoke", "a"], 1);
    assert!(said.contains("error[lost]: nobody holds \"a\""), "{said}");
    let held = node.done(&["claim", "a", "--holder", "h1"]);
    let held = columns(&held)[0];
    let revoked = node.tenure(&["revoke", "a", "--why", "maintenance"]);
    let told = String::from_utf8_lossy(&revoked.stderr).into_owned();
    assert!(told.contains(&format!("revoking the grant of \"h1\", token {held}")), "{told}");
    assert!(String::from_utf8_lossy(&revoked.stdout).starts_with(&format!("{held}\ta\tending\t")));
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&node.done(&[args, &["--json"]].concat())).expect("JSON")
    };
    let ending = json(&["revoke", "a", "--token", held, "--why", "maintenance"]);
    assert!(
        ending["ending"] == true && ending["remaining_ms"].is_u64() && ending["token"] == *held,
        "{ending}"
    );
    let said = node.fails(&["extend", "a", "--token", held], 1);
    assert!(said.contains("error[ending]: "), "{said}");
    let now = node.done(&["revoke", "a", "--token", held, "--now", "--why", "at once"]);
    assert_eq!(now, format!("{held}\ta\trevoked\n"));
    let history = node.done(&["history", "--json"]);
    let ends: Value = serde_json::from_str(&history).expect("JSON");
    assert_eq!(ends["ends"][0]["end"]["reason"], "at once");
    let held = node.done(&["claim", "b", "--holder", "h1"]);
    let ended = json(&["revoke", "b", "--now"]);
    assert!(ended["ending"] == false && ended["token"] == *columns(&held)[0], "{ended}");
    let long = "x".repeat(257);
    assert!(node.fails(&["revoke", "a", "--why", &long], 2).contains("257 bytes"), "the limit is told");
}

#[test]
fn a_pin_is_set_and_taken_away_by_this_host_unless_another_is_named() {
    let node = Node::start();
    assert!(node.done(&["pin", "a", "--why", "upgrade"]).ends_with("\tpinned\n"));
    assert!(node.done(&["pin", "a", "--entity", "m1"]).starts_with("a\tm1\t"));
    let lease: Value = serde_json::from_str(&node.done(&["get", "a", "--json"])).expect("JSON");
    assert_eq!(lease["pins"].as_array().map(Vec::len), Some(2), "{lease}");
    node.done(&["claim", "a", "--holder", "h"]);
    let host = columns(&node.done(&["unpin", "b"]))[1].to_owned();
    assert!(node.done(&["get", "a"]).contains("\tpinned by "));
    let unpin = |args: &[&str]| {
        let output = node.tenure(args);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let other = ["unpin", "a", "--entity", "m2"];
    let said = unpin(&other);
    assert!(said.starts_with("\"a\" was not pinned by \"m2\"; it is still pinned by "), "{said}");
    assert!(said.contains("\"m1\"") && said.contains(&host), "{said}");
    assert_eq!(unpin(&["unpin", "a"]), "\"a\": it is still pinned by \"m1\"\n");
    assert_eq!(node.done(&["unpin", "a", "--entity", "m1"]), "a\tm1\tunpinned\n");
    assert_eq!(unpin(&other), "\"a\" was not pinned by \"m2\"; no pin remains\n");
    for entity in ["m1", "m3"] {
        node.done(&["pin", "a", "--entity", entity]);
    }
    for was_pinned in [true, false] {
        let done = node.done(&["unpin", "a", "--entity", "m3", "--json"]);
        let body: Value = serde_json::from_str(&done).expect("JSON");
        assert_eq!((&body["was_pinned"], &body["state"]), (&was_pinned.into(), &"unpinned".into()), "{body}");
        assert_eq!(body["pins"], serde_json::json!(["m1"]), "those that remain");
    }
}

#[test]
fn whoever_is_refused_because_of_a_pin_is_told_whose_it_is() {
    let node = Node::start();
    node.done(&["claim", "a", "--holder", "h1", "--ttl", "1s"]);
    node.done(&["pin", "a", "--entity", "m1"]);
    let early = node.fails(&["claim", "a", "--holder", "h2"], 1);
    assert!(early.contains("error[held]: ") && !early.contains("pinned"), "its time is not over: {early}");
    // Held for longer than its ttl, as only a pin can.
    until("its time is over", || columns(&node.done(&["get", "a"]))[3] == "0s");
    for (args, code) in [
        (&["claim", "a", "--holder", "h2"][..], "held"),
        (&["acquire", "a", "--holder", "h2", "--timeout", "300ms"], "still_held"),
        (&["wait", "a", "--timeout", "300ms"], "still_held"),
        (&["run", "a", "--timeout", "300ms", "--", "true"], "still_held"),
    ] {
        let said = node.fails(args, 1);
        let pinned =
            "; its deadline has passed, and it is pinned by \"m1\": it may expire once `tenure unpin`";
        assert!(said.contains(&format!("error[{code}]: ")) && said.contains(pinned), "{args:?}: {said}");
    }
}

#[test]
fn a_watch_of_what_is_yet_to_come_or_of_two_things_is_refused() {
    let node = Node::start();
    let said = node.fails(&["watch", "--after", "99"], 2);
    assert!(said.contains("error[index_ahead]: "), "{said}");
    assert!(node.fails(&["watch", "a", "--prefix", "b"], 2).contains("--prefix"));
}

#[test]
fn a_watch_ends_quietly_when_nobody_reads_it_any_more() {
    let node = Node::start();
    node.done(&["claim", "a", "--holder", "h1"]);
    node.done(&["claim", "b", "--holder", "h1"]);
    let mut watch = Running::start(&node, &["watch", "--after", "0"]);
    assert!(watch.next().contains("\tgranted\t"));
    watch.lines = None;
    node.done(&["claim", "c", "--holder", "h1"]);
    assert!(watch.child.wait().expect("it ends").success());
}

#[test]
fn what_was_acquired_under_an_instance_is_confirmed_and_can_be_handed_on() {
    let node = Node::start();
    let held = node.done(&["claim", "a", "--holder", "h1"]);
    let flags = ["--holder", "h2", "--instance", "9", "--seq", "3", "--value", "there", "--ttl", "1m"];
    let mut next = Running::start(&node, &[&["acquire", "a"], &flags[..]].concat());
    node.done(&["release", "a", "--token", columns(&held)[0]]);
    let line = next.next();
    let token = columns(&line)[0];
    let seen = node.done(&["get", "a"]);
    assert_eq!(columns(&seen)[4..], ["held", "there"], "{seen}");
    assert!(node.fails(&["acquire", "a", "--instance", "9"], 2).contains("--seq"));
    let to = ["transfer", "a", "--token", token, "--instance", "9", "--to", "h3", "--force"];
    assert_eq!(node.done(&to), format!("{token}\ta\ttransferred\n"));
}

#[test]
fn each_answer_in_json_says_of_which_lease_it_is() {
    let node = Node::start();
    let claim = |seq| {
        let flags = ["--holder", "h", "--instance", "7", "--seq", seq, "--namespace", "n"];
        columns(&node.done(&[&["claim", "a"], &flags[..]].concat()))[0].to_owned()
    };
    let json = |args: &[&str], field: &str| {
        let output = node.done(&[args, &["--namespace", "n", "--json"]].concat());
        let body: Value = serde_json::from_str(&output).expect("JSON");
        assert_eq!((&body["namespace"], &body["name"]), (&"n".into(), &"a".into()), "{args:?}: {body}");
        assert!(body[field].is_string() || body[field].is_number(), "{args:?}: {body}");
    };
    json(&["wait", "a"], "revision");
    json(&["release", "a", "--token", &claim("1")], "token");
    let token = claim("2");
    json(&["transfer", "a", "--token", &token, "--instance", "7", "--to", "h2", "--force"], "token");
    json(&["revoke", "a"], "remaining_ms");
    json(&["revoke", "a", "--now"], "token");
    json(&["pin", "a"], "entity");
    json(&["unpin", "a"], "state");
}

#[test]
fn a_watch_has_a_dash_where_there_is_nothing_to_say() {
    let node = Node::start();
    let held = node.done(&["claim", "a", "--holder", "h1", "--ttl", "1m"]);
    node.done(&["revoke", "a"]);
    let mut watch = Running::start(&node, &["watch", "a", "--after", "0"]);
    assert_eq!(columns(&watch.next())[2..], ["granted", columns(&held)[0], "h1"]);
    assert_eq!(columns(&watch.next())[2..], ["ending", columns(&held)[0], "-"]);
}

#[test]
fn a_watch_says_what_it_watches_and_from_where() {
    let node = Node::start();
    let lease: Value = serde_json::from_str(&node.done(&["get", "a", "--json"])).expect("JSON");
    let now = lease["revision"].as_str().expect("a revision").to_owned();
    for (args, what, from) in [
        (&["watch", "a", "--after", "0"][..], "lease \"a\"", "0"),
        (&["watch", "--prefix", "b/"][..], "every lease whose name starts with \"b/\"", &now),
        (&["watch"][..], "every lease", &now),
    ] {
        let mut watch = node.command(args);
        let mut watch = watch.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut said = String::new();
        BufReader::new(watch.stderr.take().expect("a pipe")).read_line(&mut said).expect("UTF-8");
        watch.kill().and_then(|()| watch.wait()).expect("it runs");
        assert_eq!(said, format!("watching {what} in namespace \"default\" after revision {from}\n"));
    }
}
