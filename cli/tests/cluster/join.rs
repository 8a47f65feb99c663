//! A new member joins by a token: once, and no other way than the token says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::dev::{DevCluster, Serving, tenure};
use crate::support;

/// A new machine: a folder, and a port that nobody else is given meanwhile.
struct Newcomer {
    data: PathBuf,
    address: SocketAddr,
    _held: TcpSocket,
    serving: Option<Serving>,
}

impl Newcomer {
    fn new(parent: &Path, name: &str) -> Newcomer {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held.local_addr().unwrap();
        Newcomer { data: parent.join(name), address, _held: held, serving: None }
    }

    /// Joins, and gives the exit code, and what was said.
    fn join(&self, token: &str, more: &[&str]) -> (Option<i32>, String) {
        let address = self.address.to_string();
        let data = self.data.to_str().unwrap();
        let words = ["join", "--dev", "--data", data, "--address", &address, "--token", token];
        let output = tenure(&words, more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    #[track_caller]
    fn refused(&self, token: &str, code: i32, parts: &[&str]) {
        let (found, said) = self.join(token, &["--patience", "100ms"]);
        assert_eq!(found, Some(code), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} are not in: {said}");
    }

    /// Serves, and gives where clients reach it.
    fn serve(&mut self) -> SocketAddr {
        let peers = self.address.to_string();
        let serving = Serving::start(&self.data, &["--peer-listen", &peers]);
        self.serving.insert(serving).clients
    }

    fn stop(&mut self) {
        self.serving = None;
    }
}

fn invite(cluster: &DevCluster, id: &str) -> String {
    let printed: Value = serde_json::from_str(&cluster.done(&["members", "invite", id, "--json"])).unwrap();
    assert_eq!((&printed["member"], &printed["expires_in_ms"]), (&id.into(), &3_600_000.into()));
    printed["token"].as_str().unwrap().to_owned()
}

#[test]
fn one_line_there_and_one_here_make_a_member_and_the_token_is_good_once() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start_with(folder.path(), 3, 0);
    cluster.done(&["claim", "a", "--holder", "h1", "--ttl", "10m"]);
    let token = invite(&cluster, "4");
    let mut new = Newcomer::new(folder.path(), "new");
    let (code, said) = new.join(&token, &[]);
    assert!(code == Some(0) && said.contains("start it with `tenure serve --dev --data "), "{said}");
    // As after an answer that was lost: the same folder.
    assert_eq!(new.join(&token, &[]).0, Some(0));
    let other = Newcomer::new(folder.path(), "other");
    other.refused(&token, 1, &["the token is used: member 4 is here already", "members invite 5"]);
    assert!(!other.data.exists(), "a folder that was refused is not left behind");

    let clients = new.serve().to_string();
    support::until("the new member has what the others have", || {
        let counted = tenure(&["count"], &["--endpoints", &clients]).output().unwrap();
        counted.stdout == b"1\n"
    });
    support::until("its folder says that it has begun", || {
        std::fs::read_to_string(new.data.join("identity.toml")).unwrap().contains("begun = true")
    });
    new.refused(&token, 3, &["is in use by the process"]);
    new.stop();
    new.refused(&token, 1, &["the token is used: ", "has run already", "tenure serve"]);

    // It comes back as who it is, with nothing on the line that says so.
    new.serve();
    support::until("it is in step again", || {
        cluster.done(&["members", "list"]).contains(&format!("4\tobserver\t{}\t0\t", new.address))
    });
    new.stop();
    cluster.done(&["members", "remove", "4"]);
    other.refused(&token, 1, &["member 4 was removed", "such as 5"]);
    let said = cluster.refused(&["members", "invite", "4"]);
    assert!(said.contains("member 4 was removed") && said.contains("such as 5"), "{said}");
    let said = cluster.refused(&["members", "invite", "1"]);
    assert!(said.contains("member 1 is here already"), "{said}");
}

#[test]
fn what_is_no_token_of_this_cluster_or_too_old_is_refused_by_name_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start_with(folder.path(), 1, 0);
    let token = invite(&cluster, "2");
    let new = Newcomer::new(folder.path(), "new");
    new.refused("abc", 2, &["it is no token: one begins with tenure-join-"]);
    new.refused(&token[..80], 2, &["the token was cut or altered", "members invite"]);
    let data = new.data.to_str().unwrap();
    let nowhere = ["join", "--dev", "--data", data, "--address", "nowhere", "--token", &token];
    let said = String::from_utf8(tenure(&nowhere, &[]).output().unwrap().stderr).unwrap();
    assert!(said.contains("\"nowhere\" is no address: give --address HOST:PORT"), "{said}");
    assert!(!new.data.exists(), "nothing was made");

    // A folder that belongs to another cluster; and one that has something else in it.
    let elsewhere = tempfile::tempdir().unwrap();
    let others = DevCluster::start_with(elsewhere.path(), 1, 0);
    let theirs = invite(&others, "2");
    assert_eq!(new.join(&theirs, &[]).0, Some(0));
    new.refused(&token, 1, &["says that this is member 2 of cluster ", "name the right folder"]);
    let strange = Newcomer::new(folder.path(), "strange");
    std::fs::create_dir(&strange.data).unwrap();
    std::fs::write(strange.data.join("notes"), "x").unwrap();
    strange.refused(&token, 2, &["is not empty: there is \"notes\"; nothing was changed"]);

    // The cluster that it is of cannot be reached.
    others.end(nix::sys::signal::Signal::SIGTERM);
    let late = Newcomer::new(folder.path(), "late");
    late.refused(
        &theirs,
        3,
        &["member 1 at 127.0.0.1:", "nothing was changed: see whether the cluster serves"],
    );
    assert!(!late.data.exists());

    let brief = cluster.done(&["members", "invite", "2", "--expires", "1s"]);
    let brief = brief.trim_end();
    // Until it has ended, what is wrong is the address.
    let data = late.data.to_str().unwrap();
    let words = ["join", "--dev", "--data", data, "--address", "nowhere", "--token", brief];
    support::until("it has ended", || tenure(&words, &[]).output().unwrap().status.code() == Some(1));
    late.refused(brief, 1, &["the token ended ", "ago by this machine's clock", "members invite"]);
    assert!(!late.data.exists());
}
