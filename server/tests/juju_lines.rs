//! Connections of the Juju door: what ends them, what they wait for, and that their leases are everybody's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::time::{Duration, Instant};

use lease::{JUJU_CALLS_MAX, JUJU_FRAME_BYTES_MAX};
use serde_json::{Value, json};
use server::Config;
use support::juju::{Juju, MODEL, OTHER_MODEL, controller, model_path};
use support::{Node, PATIENCE, until};
use tokio_tungstenite::tungstenite::Message;

/// The instance of all who come by this door, as other doors have to name it.
const BY_NAME: &str = "1786079861";

fn start() -> Node {
    start_with(|_| {})
}

fn start_with(change: impl FnOnce(&mut Config)) -> Node {
    Node::start_with(|config| {
        config.juju.enabled = true;
        config.juju.throttle.ratelimit_max = 0;
        change(config);
    })
}

fn unit(node: &Node, unit: &str) -> Juju {
    Juju::login(node, MODEL, &format!("unit-{}", unit.replace('/', "-")), "")
}

fn leadership(model: &str) -> String {
    format!("application-leadership:{model}")
}

fn held(node: &Node, namespace: &str, name: &str) -> Value {
    node.get(&format!("/v1/leases/{namespace}/{name}")).json()["held"].clone()
}

fn revoke(node: &Node, namespace: &str, name: &str) {
    let token = held(node, namespace, name)["token"].clone();
    let revoke = json!({"namespace": namespace, "name": name, "token": token, "why": "moved", "now": true});
    assert_eq!(node.post("/v1/revoke", &revoke.to_string()).status, 200);
}

fn wait_for_waits(node: &Node, waits: u64) {
    until("so many wait", || node.server().status().waits == waits);
    // Behind this read's barrier, the waits are past their own.
    assert_eq!(node.get("/v1/count").status, 200);
}

fn denied() -> Value {
    json!({"message": "leadership claim denied", "code": "leadership claim denied"})
}

#[test]
fn what_is_no_request_ends_the_connection() {
    let node = start();
    let long = format!("{{\"type\":\"{}\"}}", "x".repeat(JUJU_FRAME_BYTES_MAX));
    for (message, code) in [
        (Message::text("{"), 1002),
        (Message::text("[]"), 1002),
        (Message::text(r#"{"request-id":"one","type":"Pinger"}"#), 1002),
        (Message::binary(b"{}".to_vec()), 1002),
        (Message::text(long), 1009),
    ] {
        let mut juju = unit(&node, "mysql/0");
        juju.socket.send(message).unwrap();
        assert_eq!(juju.rest(), (vec![], Some(code)));
    }
}

#[test]
fn a_request_may_stand_over_many_lines() {
    let node = start();
    let mut juju = unit(&node, "mysql/0");
    let request = json!({"type": "Pinger", "version": 1, "request": "Ping", "params": {}, "request-id": 9});
    juju.send(&serde_json::to_string_pretty(&request).unwrap());
    assert_eq!(juju.next(), json!({"request-id": 9, "response": {}}));
}

#[test]
fn so_many_calls_may_be_under_way_and_a_ping_is_always_answered() {
    let node = start();
    let mut juju = unit(&node, "mysql/0");
    assert_eq!(juju.claim("mysql/0", 60.0), Value::Null);
    let first = juju.block("mysql");
    for _ in 1..JUJU_CALLS_MAX {
        juju.block("mysql");
    }
    wait_for_waits(&node, JUJU_CALLS_MAX as u64);
    let one_too_many = juju.block("mysql");
    let reply = juju.next();
    assert_eq!((&reply["request-id"], &reply["error-code"]), (&json!(one_too_many), &json!("try again")));
    assert!(reply["error"].as_str().unwrap().contains("128 calls"), "{reply}");
    juju.ping();
    revoke(&node, &leadership(MODEL), "mysql");
    let mut answered: Vec<u64> =
        (0..JUJU_CALLS_MAX).map(|_| juju.next()["request-id"].as_u64().unwrap()).collect();
    answered.sort_unstable();
    assert_eq!(answered, (first..one_too_many).collect::<Vec<_>>(), "each once");
    juju.block("mysql");
    assert_eq!(juju.next()["response"], json!({}), "there is room again");
}

#[test]
fn all_who_wait_are_told_when_it_is_free_and_nobody_when_it_is_handed_on() {
    let node = start();
    let (mut holder, namespace) = (unit(&node, "mysql/0"), leadership(MODEL));
    assert_eq!(holder.claim("mysql/0", 60.0), Value::Null);
    let mut waiting = [1, 2, 3].map(|number| {
        let mut juju = unit(&node, &format!("mysql/{number}"));
        (juju.block("mysql"), juju)
    });
    wait_for_waits(&node, 3);
    assert_eq!(holder.claim("mysql/0", 60.0), Value::Null);
    let transfer = json!({
        "namespace": namespace, "name": "mysql", "token": held(&node, &namespace, "mysql")["token"],
        "instance": BY_NAME, "to": "mysql/4", "force": true,
    });
    assert_eq!(node.post("/v1/transfer", &transfer.to_string()).status, 200);
    let mut heir = unit(&node, "mysql/4");
    assert_eq!(heir.claim("mysql/4", 60.0), Value::Null, "what was handed to it is its own");
    assert_eq!(holder.claim("mysql/0", 60.0), denied());
    assert_eq!(node.server().status().waits, 3, "extended and handed on, it was never free");
    revoke(&node, &namespace, "mysql");
    for (id, juju) in &mut waiting {
        assert_eq!(juju.next(), json!({"request-id": id, "response": {}}));
    }
}

#[test]
fn a_pin_keeps_a_wait_waiting_past_the_deadline() {
    let node = start();
    let mut machines = ["machine-0", "machine-1"].map(|tag| Juju::login(&node, MODEL, tag, ""));
    let namespace = format!("singular-controller:{MODEL}");
    let claim = |juju: &mut Juju, tag: &str| {
        let claim =
            json!({"entity-tag": format!("model-{MODEL}"), "claimant-tag": tag, "duration": 1_000_000_000});
        juju.call("Singular", 2, "Claim", &json!({"claims": [claim]}))["response"]["results"][0].clone()
    };
    assert_eq!(claim(&mut machines[0], "machine-0"), json!({}));
    let pin = json!({"namespace": namespace, "name": MODEL, "entity": "machine-9", "why": "upgrade"});
    assert_eq!(node.post("/v1/pin", &pin.to_string()).status, 204);
    let wait = json!({"entities": [{"tag": format!("model-{MODEL}")}]});
    let id = machines[1].begin("Singular", 2, "Wait", &wait);
    until("its deadline has passed", || held(&node, &namespace, MODEL)["remaining_ms"] == json!(0));
    assert_eq!(node.server().status().waits, 1, "the pin keeps it");
    let unpin = json!({"namespace": namespace, "name": MODEL, "entity": "machine-9"});
    assert_eq!(node.post("/v1/unpin", &unpin.to_string()).status, 204);
    assert_eq!(machines[1].next(), json!({"request-id": id, "response": {"results": [{}]}}));
    // It expired, and whoever had it may have it again.
    assert_eq!(claim(&mut machines[0], "machine-0"), json!({}));
}

#[test]
fn a_client_that_is_gone_waits_no_more() {
    let node = start();
    let mut holder = unit(&node, "mysql/0");
    assert_eq!(holder.claim("mysql/0", 60.0), Value::Null);
    let mut gone = unit(&node, "mysql/1");
    let mut machine = Juju::login(&node, MODEL, "machine-0", "");
    let entity = format!("model-{MODEL}");
    let claim = json!({"claims": [{"entity-tag": entity, "claimant-tag": "machine-0", "duration": 60_000_000_000_u64}]});
    machine.call("Singular", 2, "Claim", &claim);
    gone.block("mysql");
    machine.begin("Singular", 2, "Wait", &json!({"entities": [{"tag": entity}]}));
    wait_for_waits(&node, 2);
    let sessions = node.server().sessions();
    drop((gone, machine));
    until("both waits are given up", || node.server().status().waits == 0);
    until("both connections have ended", || node.server().sessions() == sessions - 2);
    assert_eq!(holder.claim("mysql/0", 60.0), Value::Null);
}

#[test]
fn a_member_that_stops_ends_what_waits_and_says_goodbye() {
    let node = start();
    let mut holder = unit(&node, "mysql/0");
    assert_eq!(holder.claim("mysql/0", 60.0), Value::Null);
    let id = holder.block("mysql");
    wait_for_waits(&node, 1);
    let stops = std::thread::spawn(move || node.stop());
    let stopped =
        json!({"request-id": id, "response": {"error": {"message": "lease manager stopped", "code": ""}}});
    assert_eq!(holder.rest(), (vec![stopped], Some(1001)));
    stops.join().unwrap();
}

#[test]
fn models_have_nothing_to_do_with_each_other() {
    let node = start();
    let mut here = unit(&node, "mysql/0");
    let mut there = Juju::login(&node, OTHER_MODEL, "unit-mysql-1", "");
    assert_eq!(here.claim("mysql/0", 60.0), Value::Null);
    assert_eq!(there.claim("mysql/1", 60.0), Value::Null, "the same name in another model");
    let (first, second) = (here.block("mysql"), there.block("mysql"));
    wait_for_waits(&node, 2);
    revoke(&node, &leadership(OTHER_MODEL), "mysql");
    assert_eq!(there.next(), json!({"request-id": second, "response": {}}));
    assert_eq!(node.server().status().waits, 1);
    revoke(&node, &leadership(MODEL), "mysql");
    assert_eq!(here.next(), json!({"request-id": first, "response": {}}));
}

#[test]
fn a_lease_is_the_same_by_every_door() {
    let node = start();
    let (mut juju, namespace) = (unit(&node, "mysql/0"), leadership(MODEL));
    let claim = json!({"namespace": namespace, "name": "mysql", "holder": "mysql/1"}).to_string();
    let grant = node.post("/v1/claim", &claim).json();
    assert_eq!(juju.claim("mysql/0", 60.0), denied());
    let id = juju.block("mysql");
    wait_for_waits(&node, 1);
    let release = json!({"namespace": namespace, "name": "mysql", "token": grant["token"]}).to_string();
    assert_eq!(node.post("/v1/release", &release).status, 200);
    assert_eq!(juju.next(), json!({"request-id": id, "response": {}}));
    assert_eq!(juju.claim("mysql/0", 60.0), Value::Null);
    let (status, code, _) = node.post("/v1/claim", &claim).problem();
    assert_eq!((status, code.as_str()), (409, "held"));
    assert_eq!(node.get(&format!("/v1/count?namespace={namespace}")).json()["held"], 1);
    // Another connection of the same name is the same holder, and its claim keeps the token.
    let token = held(&node, &namespace, "mysql")["token"].clone();
    assert_eq!(unit(&node, "mysql/0").claim("mysql/0", 60.0), Value::Null);
    assert_eq!(held(&node, &namespace, "mysql")["token"], token);
    assert_eq!(held(&node, &namespace, "mysql")["ttl_ms"], 61_213, "it believes for 60 s by its own clock");
}

// So long that a machine that is busy does not keep the one that pings from it.
#[test]
fn an_agent_that_does_not_ping_is_closed_and_a_user_is_not() {
    let node = start_with(|config| config.juju.ping_timeout = Duration::from_secs(4));
    let (silent, mut pings) = (unit(&node, "mysql/0"), unit(&node, "mysql/1"));
    let mut user = Juju::login(&node, MODEL, "user-admin", "");
    let stranger = Juju::open(&node, &model_path(MODEL));
    let closed = std::thread::spawn(move || (silent.rest(), stranger.rest()));
    while !closed.is_finished() {
        pings.ping();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(closed.join().unwrap(), ((vec![], None), (vec![], None)));
    pings.ping();
    user.ping();
}

// To fail to log in is no sign of life: whoever tries on and on keeps a connection for no longer than who says nothing.
#[test]
fn a_client_whose_logins_fail_is_closed_however_often_it_tries() {
    let node = start_with(|config| config.juju.ping_timeout = Duration::from_secs(1));
    let mut fails = Juju::open(&node, &model_path(MODEL));
    let (began, mut tries) = (Instant::now(), 0);
    let login = json!({"auth-tag": "nobody", "credentials": ""});
    let closed = loop {
        let id = tries + 1;
        let request =
            json!({"request-id": id, "type": "Admin", "version": 3, "request": "Login", "params": login});
        if fails.socket.send(Message::text(request.to_string())).is_err() {
            break began.elapsed();
        }
        match fails.socket.read() {
            Ok(reply) => assert!(reply.to_text().unwrap().contains("is not a valid tag"), "{reply}"),
            Err(_) => break began.elapsed(),
        }
        tries = id;
        std::thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < PATIENCE, "it is never closed");
    };
    assert!(tries > 1 && closed >= Duration::from_millis(900), "{tries} tries, closed after {closed:?}");
}

#[test]
fn one_login_too_many_at_a_time_is_to_try_again_and_a_change_counts_at_once() {
    let node = start_with(|config| {
        let throttle = &mut config.juju.throttle;
        throttle.login_rate_limit = 1;
        throttle.login_min_pause = Duration::from_secs(3_600);
        throttle.login_max_pause = Duration::from_secs(3_600);
        throttle.login_retry_pause = Duration::from_millis(1);
    });
    let mut first = Juju::open(&node, &model_path(MODEL));
    first.begin("Admin", 3, "Login", &json!({"auth-tag": "unit-mysql-0"}));
    // What comes behind it on its connection is begun after it.
    let racing = first.try_login("unit-mysql-0", "");
    assert_eq!(racing["error"], "already logged in");
    let mut second = Juju::open(&node, &model_path(MODEL));
    let turned_away = second.try_login("unit-mysql-1", "");
    assert_eq!(
        (&turned_away["error"], &turned_away["error-code"]),
        (&json!("try again"), &json!("try again"))
    );
    Juju::login(&node, MODEL, "user-admin", "").ping();
    let mut config = support::config(&node.folder.path().join("other"));
    config.juju.throttle.ratelimit_max = 0;
    node.server().throttle_juju(&config.juju.throttle);
    assert!(second.try_login("unit-mysql-1", "")["error"].is_null(), "0 is any number");
}

#[test]
fn the_controllers_tag_is_the_clusters_id() {
    let node = start();
    let reply = Juju::open(&node, "/").try_login("user-admin", "");
    assert_eq!(reply["response"]["controller-tag"], format!("controller-{}", controller(&node)));
    assert_eq!(reply["response"]["model-tag"], Value::Null);
}
