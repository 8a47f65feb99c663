//! The verbs against a real node: what they print, and how they end.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

mod node;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use node::Node;
use serde_json::Value;

fn columns(line: &str) -> Vec<&str> {
    line.trim_end().split('\t').collect()
}

#[test]
fn a_lease_is_claimed_extended_seen_and_released() {
    let node = Node::start();
    let claimed =
        node.done(&["claim", "db/primary", "--holder", "mysql/0", "--ttl", "1m", "--value", "10.0.0.1:3306"]);
    let [token, name, ttl, _hold] = columns(&claimed)[..] else { panic!("{claimed:?}") };
    assert_eq!((name, ttl), ("db/primary", "1m0s"));

    let seen = node.done(&["get", "db/primary"]);
    let [name, seen_token, holder, _, state, value] = columns(&seen)[..] else { panic!("{seen:?}") };
    assert_eq!((name, seen_token, holder, state), ("db/primary", token, "mysql/0", "held"));
    assert_eq!(value, "10.0.0.1:3306");

    let extended = node.done(&["extend", "db/primary", "--token", token, "--ttl", "2m"]);
    assert_eq!(columns(&extended)[..3], [token, "db/primary", "2m0s"]);
    assert_eq!(
        node.done(&["release", "db/primary", "--token", token]),
        format!("{token}\tdb/primary\treleased\n")
    );
    assert_eq!(node.done(&["get", "db/primary"]), "db/primary\t-\t-\t-\tfree\t-\n");
}

#[test]
fn a_held_lease_is_refused_with_its_holder_and_how_long() {
    let node = Node::start();
    let token = node.done(&["claim", "a", "--holder", "h1"]);
    let said = node.fails(&["claim", "a", "--holder", "h2"], 1);
    assert!(said.contains("error[held]: ") && said.contains("h1"), "{said}");

    let refused = node.tenure(&["claim", "a", "--holder", "h2", "--json"]);
    let json: Value = serde_json::from_slice(&refused.stdout).expect("a body as over HTTP");
    assert_eq!(json["error"]["code"], "held");
    assert_eq!(json["error"]["token"].as_str(), Some(columns(&token)[0]));
    assert!(json["error"]["remaining_ms"].as_u64().is_some_and(|millis| millis <= 15_000), "{json}");
}

#[test]
fn the_release_of_anothers_lease_names_the_present_holder_and_changes_nothing() {
    let node = Node::start();
    let first = node.done(&["claim", "a", "--holder", "h1"]);
    node.done(&["release", "a", "--token", columns(&first)[0]]);
    node.done(&["claim", "a", "--holder", "h2"]);
    let said = node.fails(&["release", "a", "--token", columns(&first)[0]], 1);
    assert!(said.contains("error[lost]: ") && said.contains("\"h2\" holds it now"), "{said}");
    assert!(node.done(&["get", "a"]).contains("\th2\t"), "the lease is still held");
}

#[test]
fn without_a_holder_each_claim_is_another_one_and_says_so() {
    let node = Node::start();
    let output = node.tenure(&["claim", "a"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let holder =
        said.strip_prefix("holder ").and_then(|rest| rest.split(' ').next()).expect("the holder is told");
    assert_eq!(holder.split(':').count(), 3, "host:pid:random: {holder}");
    assert!(node.done(&["get", "a"]).contains(holder));
    node.fails(&["claim", "a"], 1);
}

#[test]
fn a_claim_is_repeated_under_its_instance_and_seq() {
    let node = Node::start();
    let claim = |seq| ["claim", "a", "--holder", "h", "--instance", "7", "--seq", seq];
    let first = node.done(&claim("2"));
    assert_eq!(node.done(&claim("2")), first, "the same grant");
    assert!(node.fails(&claim("1"), 3).contains("error[late]: "), "an older claim takes effect no more");
    assert!(node.fails(&["claim", "a", "--instance", "7"], 2).contains("--seq"));
}

#[test]
fn lists_and_counts_are_filtered_by_prefix_holder_and_namespace() {
    let node = Node::start();
    for (name, holder, namespace) in
        [("a/1", "h1", "default"), ("a/2", "h2", "default"), ("b", "h1", "other")]
    {
        node.done(&["claim", name, "--holder", holder, "--namespace", namespace]);
    }
    let names = |args: &[&str]| -> Vec<String> {
        node.done(args).lines().map(|line| columns(line)[0].to_owned()).collect()
    };
    assert_eq!(names(&["list"]), ["a/1", "a/2"]);
    assert_eq!(names(&["list", "--prefix", "a/2"]), ["a/2"]);
    assert_eq!(
        names(&["list", "--holder", "h1", "--all-namespaces"]),
        ["default", "other"],
        "namespace first"
    );
    assert_eq!(node.done(&["count"]), "2\n");
    assert_eq!(node.done(&["count", "--all-namespaces", "--holder", "h1"]), "2\n");
    let list: Value = serde_json::from_str(&node.done(&["list", "--json"])).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let count: Value = serde_json::from_str(&node.done(&["count", "--json"])).expect("JSON");
    assert_eq!(count["held"], 2);
}

#[test]
fn a_wait_ends_when_the_lease_is_free_or_its_time_is_over() {
    let node = Node::start();
    assert!(node.done(&["wait", "a"]).starts_with("a\tfree\t"));
    let token = node.done(&["claim", "a", "--holder", "h", "--ttl", "1h"]);
    let said = node.fails(&["wait", "a", "--timeout", "200ms"], 1);
    let named = "error[still_held]: lease \"a\" in namespace \"default\" was not free within --timeout;";
    assert!(said.contains(named), "{said}");

    let waiting = node.command(&["wait", "a"]).stdout(Stdio::piped()).spawn().expect("it starts");
    node.done(&["release", "a", "--token", columns(&token)[0]]);
    let output = waiting.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stdout.starts_with(b"a\tfree\t"), "{output:?}");
}

#[test]
fn whoever_need_not_wait_is_told_of_no_wait() {
    let node = Node::start();
    let silent = |args: &[&str]| {
        let done = node.tenure(args);
        assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
    };
    silent(&["wait", "a"]);
    silent(&["acquire", "a", "--holder", "h1"]);
    let said = node.fails(&["wait", "a", "--timeout", "600ms"], 1);
    assert!(said.starts_with("waiting until \"a\" is free\n"), "{said}");
    let said = node.fails(&["acquire", "a", "--holder", "h2", "--timeout", "600ms"], 1);
    assert!(said.starts_with("in line for \"a\"\n"), "{said}");
}

#[test]
fn what_was_done_is_told_though_stdout_does_not_take_it() {
    let node = Node::start();
    let onto_a_full_disk = |args: &[&str]| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
        let output = node.command(args).stdout(full).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(4), "it was done, so never 3: {output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let said = onto_a_full_disk(&["claim", "x", "--holder", "h"]);
    let held: Value = serde_json::from_str(&node.done(&["get", "x", "--json"])).expect("JSON");
    let token = held["held"]["token"].as_str().expect("it is held");
    let done =
        format!("error[unknown]: lease x was claimed, token {token}; its result could not be written: ");
    assert_eq!(said, format!("{done}No space left on device\n"));
    let said = onto_a_full_disk(&["release", "x", "--token", token]);
    assert!(said.contains(&format!("lease x was released, token {token}; its result")), "{said}");

    let mut claim = node.command(&["claim", "y", "--holder", "h"]);
    let mut claim = claim.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(claim.stdout.take());
    let output = claim.wait_with_output().expect("it ends");
    let held: Value = serde_json::from_str(&node.done(&["get", "y", "--json"])).expect("JSON");
    let token = held["held"]["token"].as_str().expect("it is held");
    let said = format!("lease y was claimed, token {token}; nobody read its result\n");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), said.into()));
}

#[test]
fn an_interrupted_wait_says_what_it_leaves_behind() {
    let node = Node::start();
    node.done(&["claim", "a", "--holder", "h", "--ttl", "1h"]);
    let mut waiting = node.command(&["wait", "a"]).stderr(Stdio::piped()).spawn().expect("it starts");
    // It listens for signals before it says that it waits.
    let mut stderr = BufReader::new(waiting.stderr.take().expect("a pipe"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("UTF-8");
    assert_eq!(said, "waiting until \"a\" is free\n");
    let pid = i32::try_from(waiting.id()).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)
        .expect("it runs");
    // So that a shell sees 130, and does not go on with its loop.
    assert_eq!(waiting.wait().expect("it ends").signal(), Some(2));
    stderr.read_to_string(&mut said).expect("UTF-8");
    assert!(said.contains("error[interrupted]: ") && said.contains("nothing is left behind"), "{said}");
}

#[test]
fn a_wait_tells_of_an_outage_once_and_why_it_came_to_nothing() {
    let mut node = Node::start();
    node.done(&["claim", "a", "--holder", "h", "--ttl", "1h"]);
    let mut waiting = node.command(&["wait", "a", "--timeout", "30s"]);
    let mut waiting = waiting.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut stderr = BufReader::new(waiting.stderr.take().expect("a pipe"));
    let mut line = || {
        let mut line = String::new();
        stderr.read_line(&mut line).expect("UTF-8");
        line
    };
    assert!(line().starts_with("waiting until"));
    node.kill();
    let said = line();
    assert!(
        said.starts_with(&format!("lost {} (", node.address)) && said.ends_with("): trying again\n"),
        "{said}"
    );
    node.start_again();
    assert_eq!(line(), format!("reached {} again\n", node.address), "once each");
    waiting.kill().expect("it runs");
    waiting.wait().expect("it ends");

    let mut short = node.command(&["wait", "a", "--timeout", "1s"]);
    let mut short = short.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stderr = BufReader::new(short.stderr.take().expect("a pipe"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("UTF-8");
    node.kill();
    assert_eq!(short.wait().expect("it ends").code(), Some(3));
    stderr.read_to_string(&mut said).expect("UTF-8");
    assert!(
        said.contains(&format!("no endpoint could be reached: {} (connection refused)", node.address)),
        "{said}"
    );
}

#[test]
fn a_killed_node_comes_back_with_every_grant() {
    let mut node = Node::start();
    for name in ["a", "b", "c"] {
        node.done(&["claim", name, "--holder", "h", "--ttl", "1h"]);
    }
    let grants = |node: &Node| -> Vec<(String, String)> {
        let list = node.done(&["list"]);
        list.lines().map(|line| (columns(line)[0].to_owned(), columns(line)[1].to_owned())).collect()
    };
    let before = grants(&node);
    node.kill();
    let said = node.fails(&["list", "--patience", "1s"], 3);
    assert!(said.contains("error[unavailable]: ") && said.contains(&node.address), "{said}");
    node.start_again();
    assert_eq!(grants(&node), before);
    assert_eq!(before.len(), 3);
}

/// A way to the node on which nothing comes back after the greeting.
fn deaf_way(node: &Node) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one").to_string();
    let node = node.address.clone();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().expect("tenure comes");
        let server = TcpStream::connect(node).expect("the node serves");
        let (mut out, mut back) =
            (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        std::thread::spawn(move || std::io::copy(&mut { client }, &mut { server }));
        let (mut bytes, mut all, mut sent) = ([0; 4096], Vec::new(), 0);
        while let Ok(read @ 1..) = back.read(&mut bytes) {
            all.extend_from_slice(&bytes[..read]);
            let end = greeting_end(&all).min(all.len());
            if sent < end && out.write_all(&all[sent..end]).is_err() {
                break;
            }
            sent = sent.max(end);
        }
    });
    address
}

/// Where the upgrade's answer and the first short frame after it end.
fn greeting_end(bytes: &[u8]) -> usize {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return bytes.len();
    };
    match bytes[head..] {
        [_, 126, high, low, ..] => head + 4 + usize::from(high) * 256 + usize::from(low),
        [_, length, ..] if length < 126 => head + 2 + usize::from(length),
        _ => head,
    }
}

#[test]
fn a_claim_whose_answer_was_lost_says_how_to_see_it_and_how_to_repeat_it() {
    let node = Node::start();
    for (verb, name) in [("claim", "a"), ("acquire", "b c")] {
        let way = deaf_way(&node);
        let mut args = vec![verb, name, "--endpoints", &way, "--patience", "1s", "--ttl", "1m"];
        if verb == "acquire" {
            args.extend(["--timeout", "1s", "--instance", "7", "--seq", "3"]);
        }
        let said = node.fails(&args, 4);
        assert!(
            said.contains(&format!("error[unknown]: lease \"{name}\" at {way}: the request was sent ")),
            "{said}"
        );
        let shows = if verb == "claim" { "`tenure get a` shows it" } else { "`tenure get 'b c'` shows it" };
        assert!(said.contains(shows), "{said}");
        let (_, flags) = said.trim_end().split_once("to repeat it, add ").expect(&said);
        let again =
            node.done(&[&[verb, name, "--ttl", "1m"], &flags.split(' ').collect::<Vec<_>>()[..]].concat());
        let lease: Value = serde_json::from_str(&node.done(&["get", name, "--json"])).expect("JSON");
        assert_eq!(lease["held"]["token"].as_str(), Some(columns(&again)[0]), "the same grant");
        assert!(lease.get("last_end").is_none(), "there was no other: {lease}");
    }
}
