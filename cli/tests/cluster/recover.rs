//! The last member of a cluster whose majority is lost begins a new one, and only where somebody says that it is so.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::dev::{DevCluster, Serving, tenure};

/// The exit code of a recovery, what it printed, and what it said.
fn recover(survivor: &Path, data: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let words =
        ["recover", survivor.to_str().unwrap(), "--data", data.to_str().unwrap(), "--allow-volatile-data"];
    let output = tenure(&words, more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The exit code of a verb at a server, and both of what it wrote.
fn at(serving: &Serving, args: &[&str]) -> (Option<i32>, String) {
    let output = tenure(args, &["--endpoints", &serving.clients.to_string()]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_last_member_goes_on_with_every_grant_that_it_knows_of_and_higher_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start(folder.path(), &[]);
    let claimed = cluster.done(&["claim", "a", "--holder", "h1", "--ttl", "10m"]);
    let token = claimed.split('\t').next().unwrap().to_owned();
    cluster.done(&["claim", "b", "--holder", "h1", "--ttl", "10m"]);
    let left = cluster.leader();
    let (survivor, data) = (cluster.data(left), folder.path().join("new"));

    let (code, _, said) = recover(&survivor, &data, &["--sole-survivor"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("is in use by the process with pid "), "{said}");
    cluster.end(Signal::SIGTERM);

    let (code, _, said) = recover(&survivor, &data, &[]);
    assert!(code == Some(2) && said.contains("--sole-survivor"), "{said}");
    let (code, printed, said) = recover(&survivor, &data, &["--sole-survivor", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("member {left} of voters 1, 2, 3 of cluster ")), "{said}");
    let made: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&made["held"], &made["member"]), (&2.into(), &left.to_string().into()));
    assert_ne!(made["cluster"], made["old_cluster"]);

    let serving = Serving::start(&data, &[]);
    let (code, said) = at(&serving, &["extend", "a", "--token", &token, "--ttl", "10m"]);
    assert_eq!(code, Some(0), "who holds it, holds it yet: {said}");
    let (code, said) = at(&serving, &["claim", "b", "--holder", "h2"]);
    assert!(code == Some(1) && said.contains("error[held]"), "{said}");
    let (code, said) = at(&serving, &["claim", "c", "--holder", "h2"]);
    assert_eq!(code, Some(0), "{said}");
    let number = |text: &str| text.parse::<u64>().unwrap();
    let (new, next) =
        (number(said.split('\t').next().unwrap()), number(made["next_token"].as_str().unwrap()));
    assert!(new >= next && next > number(&token) + 1, "{new} and {next} are above all that were given");
    drop(serving);

    // The old folder is as it was: its cluster would still start.
    let (code, _, said) = recover(&survivor, &data, &["--sole-survivor"]);
    assert_eq!(code, Some(2), "the new folder is not empty: {said}");
    let again = folder.path().join("again");
    assert_eq!(recover(&survivor, &again, &["--sole-survivor"]).0, Some(0));
}

#[test]
fn what_is_no_members_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, data) = (folder.path().join("empty"), folder.path().join("new"));
    let (code, _, said) = recover(&empty, &data, &["--sole-survivor"]);
    assert!(code == Some(2) && said.contains(empty.to_str().unwrap()), "{code:?} {said}");
    std::fs::create_dir(&empty).unwrap();
    let (code, _, said) = recover(&empty, &data, &["--sole-survivor"]);
    assert!(
        code == Some(2) && said.contains("has no identity.toml, and so is no member's"),
        "{code:?} {said}"
    );
    assert!(!data.exists(), "nothing was made");
}
