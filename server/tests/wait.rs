//! When a wait is told, and when it is not: Juju's acceptance cases on blocking until a lease has expired.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use serde_json::{Value, json};
use support::{Node, Session, ask, call, token, until};

fn claim(node: &Node, name: &str, holder: &str, ttl_ms: u64) -> Value {
    let body = json!({"name": name, "holder": holder, "ttl_ms": ttl_ms}).to_string();
    node.post("/v1/claim", &body).json()
}

/// A session that waits for a lease, in call 1.
fn waiting(node: &Node, name: &str) -> Session {
    let mut session = node.session();
    let waits = node.server().status().waits;
    call(&mut session, 1, "wait", json!({"name": name}));
    until("it waits", || node.server().status().waits == waits + 1);
    // Behind this read's barrier, the wait is past its own.
    assert_eq!(node.get("/v1/count").status, 200);
    session
}

/// The wait is told that its lease is free.
fn assert_told(session: &mut Session) {
    let frame = session.next();
    assert!(frame["id"] == 1 && frame["reply"]["free"].is_object(), "{frame}");
}

#[test]
fn a_wait_for_what_nobody_holds_is_told_at_once() {
    let node = Node::start();
    assert!(ask(&mut node.session(), 1, "wait", json!({"name": "a"}))["free"].is_object());
}

#[test]
fn all_who_wait_are_told_when_the_grant_expires() {
    let node = Node::start();
    claim(&node, "a", "h", 1_000);
    let mut waits = [(); 3].map(|()| waiting(&node, "a"));
    waits.iter_mut().for_each(assert_told);
    assert_eq!(node.get("/v1/history?name=a").json()["ends"][0]["end"]["why"], "expired");
}

#[test]
fn a_wait_is_told_of_a_revoke_at_once_and_of_one_at_the_deadline() {
    for now in [true, false] {
        let node = Node::start();
        let grant = claim(&node, "a", "h", if now { 60_000 } else { 1_000 });
        let mut wait = waiting(&node, "a");
        let revoke = json!({"name": "a", "token": token(&grant), "why": "moved", "now": now}).to_string();
        assert_eq!(node.post("/v1/revoke", &revoke).status, 200);
        assert_told(&mut wait);
        let end = node.get("/v1/history?name=a").json()["ends"][0]["end"].clone();
        assert_eq!((&end["why"], &end["reason"]), (&json!("revoked"), &json!("moved")));
    }
}

#[test]
fn a_wait_is_told_when_the_last_pin_of_a_grant_past_its_deadline_is_gone() {
    let node = Node::start();
    claim(&node, "a", "h", 1_000);
    let pin = r#"{"name":"a","entity":"m0","why":"upgrade"}"#;
    assert_eq!(node.post("/v1/pin", pin).status, 204);
    let mut wait = waiting(&node, "a");
    until("its deadline has passed", || {
        node.get("/v1/leases/default/a").json()["held"]["remaining_ms"] == json!(0)
    });
    assert_eq!(node.server().status().waits, 1, "the pin keeps the grant");
    assert_eq!(node.post("/v1/unpin", r#"{"name":"a","entity":"m0"}"#).status, 204);
    assert_told(&mut wait);
}

#[test]
fn a_wait_goes_on_where_the_lease_is_kept_or_handed_on() {
    let node = Node::start();
    let mut holder = node.session();
    let own = json!({"name": "a", "holder": "h", "instance": "1", "seq": "1", "ttl_ms": 60_000});
    let grant = ask(&mut holder, 1, "claim", own)["granted"].clone();
    let mut wait = waiting(&node, "a");
    let extend = json!({"name": "a", "token": grant["token"], "instance": "1"});
    assert!(ask(&mut holder, 2, "extend", extend)["granted"].is_object());
    let again = json!({"name": "a", "holder": "h", "instance": "1", "seq": "2", "ttl_ms": 60_000});
    assert_eq!(ask(&mut holder, 3, "claim", again)["granted"]["token"], grant["token"]);
    let transfer = json!({"name": "a", "token": grant["token"], "instance": "1", "to": "g", "force": true});
    assert!(ask(&mut holder, 4, "transfer", transfer)["released"].is_object());
    let taken = claim(&node, "a", "g", 60_000);
    assert_eq!(node.server().status().waits, 1, "a new holder's grant wakes nobody");
    let release = json!({"name": "a", "token": token(&taken)}).to_string();
    assert_eq!(node.post("/v1/release", &release).status, 200);
    assert_told(&mut wait);
}

// The deadlines are an hour apart but for one: it alone is waited for, whatever was claimed before or after it.
#[test]
fn an_earlier_deadline_is_not_held_up_by_a_later_one() {
    let node = Node::start();
    claim(&node, "before", "h", 3_600_000);
    let mut before = waiting(&node, "before");
    claim(&node, "a", "h", 1_000);
    let mut wait = waiting(&node, "a");
    claim(&node, "after", "h", 3_600_000);
    assert_told(&mut wait);
    let held = |name: &str| node.get(&format!("/v1/leases/default/{name}")).json()["held"].is_object();
    assert!(held("before") && held("after"));
    assert_eq!(ask(&mut before, 2, "cancel", json!({"id": 1})), "cancelled");
    until("it is given up", || node.server().status().waits == 0);
}

#[test]
fn a_wait_for_a_revision_that_does_not_exist_yet_is_told_so_at_once() {
    let node = Node::start();
    let grant = claim(&node, "a", "h", 60_000);
    let ahead =
        ask(&mut node.session(), 1, "wait", json!({"name": "a", "after": "18446744073709551615"}))["error"]
            .clone();
    assert_eq!((&ahead["code"], &ahead["field"]), (&json!("index_ahead"), &json!("after")));
    let (status, code, message) = node.get("/v1/wait?name=a&after=1000").problem();
    assert_eq!((status, code.as_str()), (400, "index_ahead"), "{message}");
    assert!(message.contains("1000"), "{message}");
    // The newest revision is there, and the wait is kept.
    let newest = ahead["revision"].as_str().unwrap();
    assert_eq!(node.get(&format!("/v1/wait?name=a&timeout_ms=1&after={newest}")).problem().1, "still_held");
    let release = json!({"name": "a", "token": token(&grant)}).to_string();
    assert_eq!(node.post("/v1/release", &release).status, 200);
    assert_eq!(node.get(&format!("/v1/wait?name=a&after={newest}")).status, 200);
}
