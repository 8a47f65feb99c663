//! Reports against their goldens. `UPDATE_GOLDENFILES=1` writes them anew; read the diff as if someone else had written it.

use std::path::Path;

use lease::Ttl;
use replica::{MemberView, Status, Unavailable};

use super::super::workers::History;
use super::{Ago, Engine};

fn member(id: u64, is_voter: bool) -> MemberView {
    let address = format!("10.0.0.{id}:7401");
    MemberView { id, address, is_voter, leads: id == 1, drains: false, lacks: None, heard_ago: None }
}

fn engine(status: Status) -> Engine {
    let is_leading = status.leads;
    Engine {
        status: Status { term: 3, applied: 40, last: 42, ..status },
        is_stopping: false,
        members: vec![member(1, true), member(2, true), member(3, true), member(4, false)],
        heard_ago: Some(Ttl::from_millis(2_300)),
        history: History {
            began: "2026-11-26 08:32:28".to_owned(),
            changed: "2026-11-26 09:00:00".to_owned(),
            changes: 3,
            leads: if is_leading { 2 } else { 1 },
            is_leading,
        },
        cluster: 0x8e6e_52a5_6aca_4bd4_8e1f_3b0c_6e9a_7a11,
        api_server: vec![
            ("agent-ratelimit-max", "10".to_owned()),
            ("agent-ratelimit-rate", "250ms".to_owned()),
        ],
    }
}

#[track_caller]
pub(in super::super) fn assert_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/introspection/goldens").join(name);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, golden, "{name}: UPDATE_GOLDENFILES=1 writes it anew");
}

#[test]
fn a_leader_runs_all_workers() {
    let status =
        Status { member: 1, leader: Some(1), leads: true, serving: true, queued: 7, ..Status::default() };
    assert_golden("leader.txt", &engine(status).to_string());
}

#[test]
fn on_a_follower_the_leaders_workers_are_stopped_in_jujus_words() {
    let status = Status { member: 2, leader: Some(1), serving: true, ..Status::default() };
    assert_golden("follower.txt", &engine(status).to_string());
}

#[test]
fn without_a_leader_nobody_is_served_and_the_report_says_so() {
    let status = Status { member: 2, trouble: Some(Unavailable::NoLeader), ..Status::default() };
    assert_golden("no_leader.txt", &engine(status).to_string());
}

#[test]
fn states_are_those_of_juju() {
    let state = |status: Status| engine(status).raft_state();
    assert_eq!(
        state(Status { member: 4, ..Status::default() }),
        "Follower",
        "one without a vote is no candidate"
    );
    assert_eq!(state(Status { member: 1, leader: Some(1), ..Status::default() }), "Candidate");
    let stopping = Engine { is_stopping: true, ..engine(Status::default()) };
    assert_eq!(stopping.raft_state(), "Shutdown");
    assert!(stopping.to_string().ends_with("\nstate: stopping\n"));
}

#[test]
fn a_full_disk_is_rafts_error() {
    let trouble = Some(Unavailable::DiskFull);
    let text = engine(Status { member: 2, trouble, ..Status::default() }).to_string();
    let raft = text.split("  raft:\n").nth(1).unwrap();
    assert!(raft.starts_with("    error: "), "{raft}");
}

#[test]
fn a_time_ago_is_told_as_people_tell_it() {
    let ago = |millis| Ago(Ttl::from_millis(millis)).to_string();
    let told = [0, 999, 1_000, 59_999, 60_000, 3_599_999, 7_200_000].map(ago);
    assert_eq!(
        told,
        ["now", "now", "1 second ago", "59 seconds ago", "1 minute ago", "59 minutes ago", "2 hours ago"]
    );
}
