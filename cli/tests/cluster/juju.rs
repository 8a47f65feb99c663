//! The Juju door of a cluster: any member serves any agent, and a name is one holder whichever member it asks.

use std::fs;
use std::path::Path;

use client::{Acquire, Claim, Outcome};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::dev::{DevCluster, Member, Serving};
use crate::support::juju::{Juju, MODEL, model_path};
use crate::support::{PATIENCE, http, until};
use crate::{TTL, connect, is_extended};

fn start(folder: &Path) -> DevCluster {
    DevCluster::start(folder, &["--juju"])
}

fn unit(member: &Member, unit: &str) -> Juju {
    let mut juju = Juju::open_at(member.clients, &model_path(MODEL));
    let reply = juju.try_login(&format!("unit-{}", unit.replace('/', "-")), "");
    assert!(reply["error"].is_null(), "{reply}");
    juju
}

fn held(member: &Member) -> Value {
    let path = format!("/v1/leases/application-leadership:{MODEL}/mysql");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    http(member.clients, &request).json()["held"].clone()
}

/// Takes the lease away at once, through this member.
fn revoke(member: &Member) {
    let namespace = format!("application-leadership:{MODEL}");
    let token = held(member)["token"].clone();
    let body = json!({"namespace": namespace, "name": "mysql", "token": token, "why": "moved", "now": true});
    let body = body.to_string();
    let head =
        "POST /v1/revoke HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(http(member.clients, &request).status, 200);
}

#[test]
fn units_lead_in_turn_through_any_member() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path());
    let mut units: Vec<Juju> =
        cluster.members.iter().map(|member| unit(member, &format!("mysql/{}", member.id))).collect();
    // Each leads once: the others are denied and wait, wherever the leader of the cluster is.
    for (turn, member) in cluster.members.iter().enumerate() {
        let name = |at: usize| format!("mysql/{}", cluster.members[at].id);
        assert_eq!(units[turn].claim(&name(turn), 60.0), Value::Null);
        assert_eq!(held(member)["holder"], name(turn));
        let others: Vec<usize> = (0..3).filter(|at| *at != turn).collect();
        for at in &others {
            assert_eq!(units[*at].claim(&name(*at), 60.0)["code"], "leadership claim denied");
        }
        let waiting: Vec<u64> = others.iter().map(|at| units[*at].block("mysql")).collect();
        revoke(&cluster.members[others[0]]);
        for (at, id) in others.iter().zip(waiting) {
            assert_eq!(units[*at].next(), json!({"request-id": id, "response": {}}));
        }
    }
    cluster.end(Signal::SIGTERM);
}

// Each member has seen another end of it last, or none yet: what it asks of the leader may be overtaken, and is asked anew.
#[test]
fn a_name_is_one_holder_at_every_member() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path());
    let mut units: Vec<Juju> = cluster.members.iter().map(|member| unit(member, "mysql/0")).collect();
    for turn in 0..12 {
        assert_eq!(units[turn % 3].claim("mysql/0", 60.0), Value::Null);
        let token = held(&cluster.members[0])["token"].clone();
        assert_eq!(units[(turn + 1) % 3].claim("mysql/0", 60.0), Value::Null, "extended at another member");
        assert_eq!(held(&cluster.members[0])["token"], token);
        revoke(&cluster.members[(turn + 2) % 3]);
    }
    cluster.end(Signal::SIGTERM);
}

#[test]
fn a_unit_leads_on_when_the_clusters_leader_dies() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = start(folder.path());
    let leader = cluster.leader();
    let others: Vec<Member> = cluster.members.iter().filter(|member| member.id != leader).cloned().collect();
    let (mut holder, mut waiting) = (unit(&others[0], "mysql/0"), unit(&others[1], "mysql/1"));
    assert_eq!(holder.claim("mysql/0", 60.0), Value::Null);
    let id = waiting.block("mysql");
    cluster.kill(leader);
    // Surely not done, or not known: either way the same claim is the same holder's.
    until("the next leader extends it", || match holder.claim("mysql/0", 60.0) {
        Value::Null => true,
        error => {
            assert!(
                ["lease operation timed out", "try again"].contains(&error["message"].as_str().unwrap()),
                "{error}"
            );
            false
        }
    });
    revoke(&others[0]);
    assert_eq!(waiting.next(), json!({"request-id": id, "response": {}}));
    assert_eq!(waiting.claim("mysql/1", 60.0), Value::Null);
    cluster.end(Signal::SIGTERM);
}

/// Juju's acceptance case 14, of its tracker's tickets, for a program that holds a lease by our own client among agents of Juju's: the
/// ticket of a leader is `hold`, answered once it leads and not before; that of a minion is `lost`, answered once it surely leads no more;
/// and who may not lead is told so at once by `claim`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_of_our_client_wait_for_the_lead_and_for_its_end_among_jujus_agents() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path());
    let (member, namespace) = (&cluster.members[0], format!("application-leadership:{MODEL}"));
    let mut agent = unit(&cluster.members[1], "mysql/1");
    assert_eq!(agent.claim("mysql/1", 60.0), Value::Null);

    let session = connect(&cluster).await;
    let claim = || Claim { namespace: namespace.clone(), ttl: TTL, ..Claim::new("mysql", "mysql/0") };
    let acquire = Acquire { namespace: namespace.clone(), ttl: TTL, ..Acquire::new("mysql", "mysql/0") };
    let refused = session.claim(claim()).await;
    assert!(matches!(&refused, Outcome::Refused(problem) if problem.code == api::Code::Held), "{refused:?}");
    let hold = session.hold(acquire);
    tokio::pin!(hold);
    // A third ticket, to see that the first is in line: it is answered while that waits.
    let refused = tokio::select! {
        biased;
        guard = &mut hold => panic!("another leads: {guard:?}"),
        refused = session.claim(claim()) => refused,
    };
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    revoke(member);
    let guard = hold.await.into_result().unwrap();
    assert!(guard.is_held());
    assert_eq!(held(member)["holder"], "mysql/0");

    assert_eq!(agent.claim("mysql/1", 60.0)["code"], "leadership claim denied");
    let blocked = agent.block("mysql");
    is_extended(&session, &guard).await;
    let (minion, token) = (guard.lost(), guard.token());
    revoke(member);
    let lost = tokio::time::timeout(PATIENCE, minion).await.unwrap();
    assert_eq!((lost.token, guard.is_held()), (token, false));
    assert_eq!(agent.next(), json!({"request-id": blocked, "response": {}}));
    assert_eq!(agent.claim("mysql/1", 60.0), Value::Null);
    let refused = session.claim(claim()).await;
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    cluster.end(Signal::SIGTERM);
}

#[test]
fn a_change_of_the_throttle_counts_at_the_next_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tenure.toml");
    let throttle = |at_once: u32| {
        let text = format!("[juju]\nagent_ratelimit_max = {at_once}\nagent_ratelimit_rate = \"1m\"\n");
        fs::write(&config, text).unwrap();
    };
    throttle(1);
    let more = ["--juju", "--config", config.to_str().unwrap()];
    let member = Serving::start(&folder.path().join("data"), &more);
    let mut agents = [0, 1].map(|_| Juju::open_at(member.clients, &model_path(MODEL)));
    assert!(agents[0].try_login("unit-mysql-0", "")["error"].is_null());
    assert_eq!(agents[1].try_login("unit-mysql-1", "")["error"], "try again");
    throttle(0);
    member.signal(Signal::SIGHUP);
    until("any number may come", || agents[1].try_login("unit-mysql-1", "")["error"].is_null());
}
