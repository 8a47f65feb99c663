//! `tenure backup` and `tenure restore` with real processes: a cluster is kept in a file, and another begins with it.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

mod node;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use node::Node;
use serde_json::Value;
use tempfile::TempDir;

fn columns(line: &str) -> Vec<&str> {
    line.trim_end().split('\t').collect()
}

/// The token that a claim printed.
fn claimed(node: &Node, args: &[&str]) -> u64 {
    let line = node.done(&[&["claim"], args].concat());
    columns(&line)[0].parse().expect("a token comes first")
}

/// A verb that reaches no cluster.
fn tenure(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.env_remove("TENURE_ENDPOINTS").stdin(Stdio::null());
    command.args(args).output().expect("the binary runs")
}

fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("UTF-8").to_owned()
}

fn restore(file: &str, data: &str, more: &[&str]) -> Output {
    tenure(&[&["restore", file, "--data", data, "--allow-volatile-data"], more].concat())
}

fn restored(file: &str, data: &str, more: &[&str]) -> Value {
    let output = restore(file, data, &[&["--json"], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a document")
}

/// A node with some grants, kept in `backup` of the folder, and dead.
fn kept(folder: &TempDir, ttl: &str) -> (String, u64) {
    let node = Node::start();
    claimed(&node, &["first", "--holder", "h1", "--ttl", "1h"]);
    node.done(&["pin", "first", "--entity", "machine-0", "--why", "repair"]);
    let token = claimed(&node, &["db/primary", "--holder", "h1", "--ttl", ttl]);
    let file = path(folder, "backup");
    let told = node.done(&["backup", &file]);
    let [name, cluster, revision, held, bytes] = columns(&told)[..] else { panic!("{told:?}") };
    assert_eq!((name, cluster.len(), revision, held), (file.as_str(), 32, "3", "2"));
    assert_eq!(bytes.parse(), Ok(fs::metadata(&file).expect("it is there").len()));
    (file, token)
}

#[test]
fn a_new_cluster_begins_with_a_backup_and_keeps_its_keys_from_everyone_for_their_ttl() {
    let folder = TempDir::new().expect("a temporary folder");
    let (file, old) = kept(&folder, "4s");
    assert_eq!(
        fs::metadata(&file).expect("it is there").permissions().mode() & 0o777,
        0o600,
        "it is a secret"
    );

    let home = TempDir::new().expect("a temporary folder");
    let made = restored(&file, &path(&home, "data"), &[]);
    assert_eq!((&made["ended"], &made["unclaimable"]), (&2.into(), &2.into()));
    let node = Node::start_in(home);
    let token = old.to_string();
    let said = node.fails(&["extend", "db/primary", "--token", &token], 1);
    assert!(said.contains("error[lost]: ") && said.contains("restored"), "{said}");
    node.fails(&["check", "db/primary", &token], 1);
    let said = node.fails(&["claim", "db/primary", "--holder", "h2"], 1);
    assert!(said.contains("error[cooldown]: "), "{said}");
    let history = node.done(&["history", "db/primary"]);
    assert!(columns(&history).contains(&"restored"), "{history}");
    assert!(
        node.done(&["get", "first"]).contains("pinned")
            || node.done(&["get", "first", "--json"]).contains("machine-0")
    );

    // It is free when its ttl has passed, and not before.
    node.done(&["wait", "db/primary", "--timeout", "1m"]);
    let new = claimed(&node, &["db/primary", "--holder", "h2"]);
    let next: u64 = made["next_token"].as_str().and_then(|token| token.parse().ok()).expect("a token");
    assert!(new >= next && next > old, "{new} and {next} are above {old}");
    node.fails(&["claim", "first", "--holder", "h2"], 1);
}

#[test]
fn of_one_backup_restored_twice_the_second_has_the_higher_tokens_or_discards_its_grants() {
    let folder = TempDir::new().expect("a temporary folder");
    let (file, _) = kept(&folder, "1h");
    let first = restored(&file, &path(&folder, "first"), &["--member", "3"]);
    let token = |made: &Value| made["next_token"].as_str().and_then(|token| token.parse::<u64>().ok());
    // The next second of the wall clock gives higher tokens; a restore within the same one gives the same.
    let mut second = Value::Null;
    node::until("a later restore has higher tokens", || {
        let data = TempDir::new_in(folder.path()).expect("a temporary folder");
        second = restored(&file, &path(&data, "data"), &["--discard-grants"]);
        assert!(token(&second) >= token(&first), "never lower ones");
        token(&second) > token(&first)
    });
    assert_ne!(first["cluster"], second["cluster"]);
    assert_eq!((&first["member"], &second["member"]), (&"3".into(), &"1".into()));
    assert_eq!((&second["ended"], &second["unclaimable"]), (&2.into(), &0.into()));
}

/// Row 60: what is there is kept. What is aside stands in the same folder, so that no device lies between the two.
#[test]
fn a_backup_is_checked_and_never_written_over_another_file() {
    let folder = TempDir::new().expect("a temporary folder");
    let node = Node::start();
    claimed(&node, &["a", "--holder", "h1"]);
    let file = path(&folder, "backup");
    node.done(&["backup", &file]);
    let before = fs::read(&file).expect("it is there");
    let said = node.fails(&["backup", &file], 2);
    assert!(said.contains("already; nothing was changed: give another name"), "{said}");
    assert_eq!(fs::read(&file).expect("it is there"), before);
    assert_eq!(files(folder.path()), [PathBuf::from("backup")], "nothing is left aside");

    let checked = tenure(&["backup", "--check", &file, "--json"]);
    let held: Value = serde_json::from_slice(&checked.stdout).expect("a document");
    assert_eq!((&held["held"], &held["voters"]), (&1.into(), &serde_json::json!(["1"])));

    // On stdout it is the same, but for what ticks have done since.
    let streamed = node.tenure(&["backup", "-"]);
    let copy = path(&folder, "copy");
    fs::write(&copy, &streamed.stdout).expect("there is room");
    assert!(tenure(&["backup", "--check", &copy]).status.success());
    let said = String::from_utf8_lossy(&streamed.stderr).into_owned();
    assert_eq!(columns(&said)[3], "1", "{said}");

    let said = node.fails(&["backup", &path(&folder, "no/such/folder")], 2);
    assert!(said.contains("cannot be written"), "{said}");
}

/// Row 60: no room in the middle of it, as the limit on a file's size has it; what was written aside is gone.
#[test]
fn a_backup_that_finds_no_room_leaves_nothing_behind() {
    let folder = TempDir::new().expect("a temporary folder");
    let node = Node::start();
    let value = "v".repeat(1_000);
    for name in ["a", "b", "c", "d"] {
        claimed(&node, &[name, "--holder", "h1", "--value", &value]);
    }
    let file = path(&folder, "backup");
    let script = r#"trap '' XFSZ; ulimit -f 1; exec "$0" backup "$1" --endpoints "$2""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_tenure"), &file, &node.address]);
    let said = refused(&shell.output().expect("a shell"), 3);
    assert!(said.contains("cannot be written") && said.contains("name a place with room"), "{said}");
    assert!(files(folder.path()).is_empty(), "{:?}", files(folder.path()));
    node.done(&["backup", &file]);
}

#[test]
fn without_a_member_there_is_no_backup_and_no_file() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut node = Node::start();
    node.kill();
    let said = node.fails(&["backup", &path(&folder, "backup"), "--patience", "500ms"], 3);
    assert!(said.contains(&node.address) && said.contains("connection refused"), "{said}");
    assert!(files(folder.path()).is_empty());
}

#[test]
fn what_is_damaged_or_no_backup_is_refused_and_makes_no_folder() {
    let folder = TempDir::new().expect("a temporary folder");
    let (file, _) = kept(&folder, "1h");
    let bytes = fs::read(&file).expect("it is there");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    let cases = [
        ("cut", bytes[..bytes.len() - 3].to_vec(), "is damaged at byte"),
        ("flipped", flipped, "is damaged at byte"),
        ("notes", b"# notes of a meeting, long enough".to_vec(), "is no backup"),
    ];
    for (name, bytes, words) in cases {
        let (bad, data) = (path(&folder, name), path(&folder, "data"));
        fs::write(&bad, bytes).expect("there is room");
        let said = refused(&restore(&bad, &data, &[]), 1);
        assert!(said.contains(&bad) && said.contains(words), "{said}");
        assert!(!Path::new(&data).exists(), "{name}: no folder is made");
        assert!(refused(&tenure(&["backup", "--check", &bad]), 1).contains(words));
    }
    let said = refused(&restore(&path(&folder, "no-such"), &path(&folder, "data"), &[]), 2);
    assert!(said.contains("no-such") && said.contains("name a backup"), "{said}");
}

#[test]
fn a_folder_that_is_not_empty_is_left_as_it_is() {
    let folder = TempDir::new().expect("a temporary folder");
    let (file, _) = kept(&folder, "1h");
    let data = path(&folder, "data");
    restored(&file, &data, &[]);
    let before = files(Path::new(&data));
    let said = refused(&restore(&file, &data, &[]), 2);
    assert!(said.contains("is not empty") && said.contains("nothing was changed"), "{said}");
    assert_eq!(files(Path::new(&data)), before);
    let said = refused(&restore(&file, &file, &[]), 2);
    assert!(said.contains("is no folder"), "{said}");
    // A running node's folder is as little empty.
    let node = Node::start_in(TempDir::new().expect("a temporary folder"));
    assert!(refused(&restore(&file, &node.data(), &[]), 2).contains("is not empty"));
    claimed(&node, &["still", "--holder", "h1"]);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<PathBuf> =
        entries.map(|entry| PathBuf::from(entry.expect("it is there").file_name())).collect();
    names.sort();
    names
}

#[test]
fn with_tls_a_new_cluster_is_made_first_and_the_backup_goes_into_its_folder() {
    let folder = TempDir::new().expect("a temporary folder");
    let (file, _) = kept(&folder, "1h");
    let new = path(&folder, "new");
    assert!(tenure(&["init", "--host", "localhost", &new]).status.success());
    let config = format!("{new}/tenure.toml");
    let identity = fs::read_to_string(format!("{new}/data/identity.toml")).expect("init has made it");
    let into = |config: &str, more: &[&str]| {
        tenure(&[&["restore", &file, "--config", config, "--allow-volatile-data"], more].concat())
    };
    refused(&into(&config, &["--member", "2"]), 2);

    // A file that is damaged changes nothing, also not the identity that was there.
    let damaged = path(&folder, "damaged");
    fs::write(&damaged, b"TENURESN").expect("it can be written");
    refused(&tenure(&["restore", &damaged, "--config", &config, "--allow-volatile-data"]), 1);
    assert_eq!(fs::read_to_string(format!("{new}/data/identity.toml")).ok(), Some(identity.clone()));

    let output = into(&config, &["--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains(&format!("tenure serve --config {config}")), "{said}");
    let made: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let cluster = made["cluster"].as_str().expect("an id").to_owned();
    assert!(identity.contains(&cluster), "the id is that of the certificates");
    assert!(refused(&into(&config, &[]), 2).contains("is not empty"), "once only");

    // What names the old cluster, or more than one member, is no new cluster's.
    let old = cluster_of(&file);
    let text = fs::read_to_string(&config).expect("it is there");
    let other = |name: &str, text: &str| {
        let path = format!("{new}/{name}.toml");
        fs::write(&path, text.replace("data = \"data\"", &format!("data = \"{name}\"")))
            .expect("it can be written");
        path
    };
    let said = refused(&into(&other("old", &text.replace(&cluster, &old)), &[]), 1);
    assert!(said.contains(&old) && said.contains("`tenure init`"), "{said}");
    let joins = text.replace("[tls]", "[peer]\nlisten = \"127.0.0.1:7401\"\njoin = true\n\n[tls]");
    let said = refused(&into(&other("joins", &joins), &[]), 2);
    assert!(said.contains("peer.join"), "{said}");
}

/// The cluster of a backup.
fn cluster_of(file: &str) -> String {
    let output = tenure(&["backup", "--check", file, "--json"]);
    let held: Value = serde_json::from_slice(&output.stdout).expect("a document");
    held["cluster"].as_str().expect("an id").to_owned()
}
