//! Clusters of real processes: who holds a lease keeps it, whichever member dies.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod dev;
mod join;
mod juju;
mod members;
mod recover;
#[path = "../../../server/tests/support/mod.rs"]
mod support;
mod upgrade;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Acquire, Guard, Options, Session};
use dev::{DevCluster, tenure};
use nix::sys::signal::Signal;
use support::PATIENCE;

const TTL: Duration = Duration::from_secs(5);
/// How long a holder may believe in it from when it asked.
const HOLD: Duration = Duration::from_millis(4_900);

async fn connect(cluster: &DevCluster) -> Session {
    let endpoints = cluster.members.iter().map(|member| member.clients.to_string().parse().unwrap());
    Session::connect(Options { deadline: PATIENCE, ..Options::new(endpoints.collect()) }).await.unwrap()
}

/// Waits for an extend that was sent after this call, and is answered. Until then the lease is held all the time.
async fn is_extended(session: &Session, guard: &Guard) {
    let (asked, began) = (session.now(), Instant::now());
    while guard.safe_until().is_none_or(|until| asked.until(until) < HOLD) {
        assert!(guard.is_held(), "lost after {:?}: {:?}", began.elapsed(), guard.ending());
        assert!(began.elapsed() < PATIENCE, "no extend was answered");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn whichever_member_is_asked_serves() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start(folder.path(), &[]);
    for member in &cluster.members {
        let (name, held) = (format!("a/{}", member.id), format!("{}\n", member.id));
        let claimed = cluster.done_at(member, &["claim", &name, "--holder", "h1", "--ttl", "10m"]);
        let token = claimed.split('\t').next().unwrap().to_owned();
        for other in &cluster.members {
            cluster.done_at(other, &["extend", &name, "--token", &token, "--ttl", "10m"]);
            assert_eq!(cluster.done_at(other, &["count"]), held, "what was granted at one is seen at all");
            cluster.done_at(other, &["check", &name, &token]);
        }
    }
    cluster.end(Signal::SIGTERM);
}

#[test]
fn each_member_reports_its_workers_and_those_of_a_leader_are_stopped_on_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start(folder.path(), &[]);
    let leader = cluster.leader();
    for member in &cluster.members {
        let of = |report: &str, worker: &str| {
            let from = report
                .split(&format!("\n  {worker}:\n"))
                .nth(1)
                .unwrap_or_else(|| panic!("{report}"))
                .to_owned();
            from.split("\n    state: ")
                .nth(1)
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let (leads, state) = match member.id == leader {
            true => ("Leader", "started"),
            false => ("Follower", "stopped"),
        };
        // A leader has anchored its clock a moment after it was elected.
        support::until("the member is in its part", || {
            let report = cluster.done_at(member, &["report"]);
            report.contains(&format!("      state: {leads}\n"))
                && ["raft-clusterer", "raft-forwarder", "lease-clock-updater"]
                    .iter()
                    .all(|it| of(&report, it) == state)
                && ["raft", "raft-leader-flag", "lease-manager"].iter().all(|it| of(&report, it) == "started")
                && report.matches("suffrage: Voter").count() == 3
                && report.contains("\"raft-leader-flag\" not set: dependency not available")
                    == (state == "stopped")
        });
    }
    cluster.end(Signal::SIGTERM);
}

#[tokio::test]
async fn a_holder_keeps_its_lease_over_the_leaders_death_and_the_next_leaders_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = DevCluster::start(folder.path(), &[]);
    let session = connect(&cluster).await;
    let acquire = Acquire { ttl: TTL, ..Acquire::new("db/primary", "h1") };
    let guard = session.hold(acquire).await.into_result().unwrap();
    let token = guard.token().to_string();

    let first = cluster.leader();
    cluster.kill(first);
    is_extended(&session, &guard).await;
    let second = cluster.leader();
    assert_ne!(first, second);

    // Without the second leader there is a quorum only where the first is in step again.
    cluster.start_by_hand(first);
    support::until("the dead member serves again", || cluster.is_ready(first));
    let seen = cluster.done_at(cluster.member(first), &["get", "db/primary"]);
    assert!(seen.contains(&format!("\t{token}\th1\t")), "{seen}");
    cluster.kill(second);
    is_extended(&session, &guard).await;
    let seen = cluster.done(&["get", "db/primary"]);
    assert!(seen.contains(&format!("\t{token}\th1\t")), "{seen}");
    cluster.end(Signal::SIGTERM);
}

#[test]
fn a_member_that_dies_is_started_again_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = DevCluster::start(folder.path(), &["--restart"]);
    let claimed = cluster.done(&["claim", "a", "--holder", "h1", "--ttl", "10m"]);
    let leader = cluster.leader();
    let before = cluster.member(leader).clone();
    cluster.kill(leader);
    let again = cluster.next_member();
    assert_eq!((again.id, again.clients, again.peers), (before.id, before.clients, before.peers));
    assert_ne!(again.pid, before.pid);
    let token = claimed.split('\t').next().unwrap();
    let seen = cluster.done(&["get", "a"]);
    assert!(seen.contains(&format!("\t{token}\th1\t")), "{seen}");
    let said = cluster.end(Signal::SIGINT);
    assert!(said.contains(&format!("member {leader} (pid {}) has ended: signal: 9", before.pid)), "{said}");
}

#[test]
fn the_next_start_is_the_same_cluster_and_nobody_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start(folder.path(), &[]);
    let claimed = cluster.done(&["claim", "a", "--holder", "h1", "--ttl", "10m"]);
    let token = claimed.split('\t').next().unwrap().to_owned();
    let addresses = cluster.addresses();
    cluster.end(Signal::SIGTERM);

    let mut cluster = DevCluster::start(folder.path(), &[]);
    assert_eq!(cluster.addresses(), addresses);
    assert!(cluster.done(&["get", "a"]).contains(&format!("\t{token}\th1\t")));
    // As it ends in no order, its members do so all the same.
    cluster.kill_itself();
    for (clients, _) in addresses {
        support::until("the member is gone", || std::net::TcpStream::connect(clients).is_err());
    }
}

#[test]
fn what_it_cannot_run_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], code| {
        let data = folder.path().join("c");
        let output = tenure(&["dev-cluster", "--data", data.to_str().unwrap()], args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    };
    let said = refused(&["--members", "4"], 2);
    assert!(said.contains("survives the loss of no more of them than 3 do; give 1, 3, 5 or 7"), "{said}");
    let said = refused(&["--listen-from", "65531"], 2);
    assert!(said.contains("leaves no room for 3 members with two ports each: give at most 65530"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(&["--members", "1", "--listen-from", &port], 3);
    assert!(
        said.contains(&format!("127.0.0.1:{port} cannot be had: ")) && said.contains("end what has it"),
        "{said}"
    );
    std::fs::write(folder.path().join("c/notes"), "x").unwrap();
    let said = refused(&[], 2);
    assert!(said.contains("has no cluster.json, and \"notes\" in it: name an empty folder"), "{said}");
    std::fs::write(folder.path().join("c/cluster.json"), "{}").unwrap();
    let said = refused(&[], 2);
    assert!(said.contains("cluster.json cannot be read: missing field"), "{said}");
    let kept = r#"{"cluster":"00000000000000000000000000000007","members":[{"id":1,"clients":"127.0.0.1:1","peers":"127.0.0.1:2"}]}"#;
    std::fs::write(folder.path().join("c/cluster.json"), kept).unwrap();
    let said = refused(&["--members", "3"], 2);
    assert!(said.contains("has a cluster of 1 voter: leave --members out"), "{said}");
    let said = refused(&["--listen-from", "2"], 2);
    assert!(said.contains("know each other by their ports, from 1 on: leave --listen-from out"), "{said}");
}

#[test]
fn a_stale_read_is_answered_by_the_last_member_that_is_left_and_no_other_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = DevCluster::start(folder.path(), &[]);
    cluster.done(&["claim", "a", "--holder", "h1", "--ttl", "10m"]);
    let leader = cluster.leader();
    let last = cluster.member(leader).clients;
    let [one, two] = [1, 2].map(|ahead| (leader + ahead - 1) % 3 + 1);
    cluster.kill(one);
    cluster.kill(two);
    support::until("it has no news of a quorum", || cluster.readyz(leader)["error"]["code"] == "behind");
    let newest =
        tenure(&["get", "a"], &["--endpoints", &last.to_string(), "--patience", "500ms"]).output().unwrap();
    assert_eq!(newest.status.code(), Some(3), "{newest:?}");
    let member = cluster.member(leader);
    assert!(cluster.done_at(member, &["get", "a", "--stale"]).contains("\th1\t"));
    assert!(cluster.done_at(member, &["list", "--stale"]).contains("\th1\t"));
    assert_eq!(cluster.done_at(member, &["count", "--stale"]), "1\n");
    let lease: serde_json::Value =
        serde_json::from_str(&cluster.done_at(member, &["get", "a", "--stale", "--json"])).unwrap();
    assert_eq!(lease["stale"]["member"], member.id.to_string(), "{lease}");
    assert!(lease["stale"]["heard_ago_ms"].is_u64(), "{lease}");
    let listed = cluster.done_at(member, &["members", "list", "--stale"]);
    assert_eq!(listed.lines().filter(|line| line.ends_with("\t-\t-")).count(), 3, "{listed}");
    let get = "GET /v1/leases/default/a?stale=true HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let seen = support::http(last, get);
    assert!(seen.text.contains("\"holder\":\"h1\""), "{seen:?}");
    let get = "GET /v1/members?stale=true HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let seen = support::http(last, get);
    assert!(seen.text.contains(&format!("\"stale\":{{\"member\":\"{}\"", member.id)), "{seen:?}");
}

/// How many connections this process has to that port.
fn connections_to(address: SocketAddr) -> usize {
    let port = format!(":{:04X}", address.port());
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The remote end, and that it is established.
        fields[2].ends_with(&port) && fields[3] == "01"
    };
    sockets.lines().filter(is_one).count()
}

// Of several threads: the session goes on while the test waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_drained_is_left_by_its_clients_and_by_the_lead_until_that_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = DevCluster::start(folder.path(), &[]);
    let session = connect(&cluster).await;
    let acquire = Acquire { ttl: TTL, ..Acquire::new("db/primary", "h1") };
    let guard = session.hold(acquire).await.into_result().unwrap();
    let (drained, clients) = (cluster.members[0].id, cluster.members[0].clients);
    assert_eq!(connections_to(clients), 1, "it is at the first endpoint that it was given");
    let id = drained.to_string();
    cluster.done(&["members", "transfer-leadership", &id]);

    let listed = cluster.done(&["members", "drain", &id]);
    assert!(
        listed.contains(&format!("{id}\tvoter, draining\t")),
        "it is answered once another leads: {listed}"
    );
    assert_ne!(cluster.leader(), drained);
    support::until("the session has gone", || connections_to(clients) == 0);
    is_extended(&session, &guard).await;
    let said = cluster.readyz(drained);
    assert_eq!(said["error"]["code"], "draining", "{said}");
    assert!(
        said["error"]["message"].as_str().unwrap().contains(&format!("members drain {id} --end")),
        "{said}"
    );
    let member = cluster.member(drained);
    cluster.done_at(member, &["claim", "by/hand", "--holder", "h1", "--ttl", "10m"]);

    cluster.kill(drained);
    cluster.start_by_hand(drained);
    support::until("it drains on after a restart", || cluster.readyz(drained)["error"]["code"] == "draining");
    let refused = cluster.refused(&["members", "transfer-leadership", &id]);
    assert!(refused.contains(&format!("member {id} is draining")), "{refused}");
    cluster.done(&["members", "drain", &id, "--end"]);
    support::until("it is as the others", || cluster.is_ready(drained));
    assert!(guard.is_held());
    cluster.end(Signal::SIGTERM);
}
