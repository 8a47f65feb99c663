//! The session door, as a client sees it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use lease::SESSION_READS_MAX;
use serde_json::{Value, json};
use support::{Node, PATIENCE, Session, token, until};
use tokio_tungstenite::tungstenite::Message;

fn claim(id: u64, name: &str, holder: &str, instance: u64, seq: u64) -> String {
    json!({"id": id, "call": {"claim":
        {"name": name, "holder": holder, "instance": instance.to_string(), "seq": seq.to_string()}}})
    .to_string()
}

fn release(id: u64, name: &str, token: &str, instance: u64) -> String {
    json!({"id": id, "call": {"release": {"name": name, "token": token, "instance": instance.to_string()}}})
        .to_string()
}

fn granted(frame: &Value) -> String {
    token(&frame["reply"]["granted"])
}

#[test]
fn a_session_claims_extends_reads_and_releases() {
    let node = Node::start();
    let mut session = node.session();
    let welcome = session.ask(r#"{"id":1,"call":{"hello":{"version":1,"agent":"test"}}}"#);
    assert_eq!((&welcome["id"], &welcome["reply"]["welcome"]["version"]), (&json!(1), &json!(1)));
    assert_eq!(welcome["reply"]["welcome"]["cluster"].as_str().unwrap().len(), 32);
    let token = granted(&session.ask(&claim(2, "a", "h1", 7, 1)));
    let extended = session
        .ask(&format!(r#"{{"id":3,"call":{{"extend":{{"name":"a","token":"{token}","instance":"7"}}}}}}"#));
    assert_eq!(extended["reply"]["granted"]["hold_ms"], 14_702);
    let lease = session.ask(r#"{"id":4,"call":{"get":{"name":"a"}}}"#);
    assert_eq!(lease["reply"]["lease"]["held"]["holder"], "h1");
    assert_eq!(session.ask(r#"{"id":5,"call":{"count":{}}}"#)["reply"]["counted"]["held"], 1);
    let page = session.ask(r#"{"id":6,"call":{"list":{"prefix":"a"}}}"#);
    assert_eq!(page["reply"]["page"]["leases"][0]["name"], "a");
    assert_eq!(session.ask(&release(7, "a", &token, 7))["reply"]["released"]["token"], token);
    let lost = session.ask(&release(8, "a", &token, 7));
    assert_eq!((&lost["id"], &lost["reply"]["error"]["code"]), (&json!(8), &json!("lost")));
}

#[test]
fn many_calls_are_in_flight_and_each_is_answered_once() {
    let node = Node::start();
    let mut session = node.session();
    for id in 0..1_000 {
        session.send(&claim(id, &format!("lease/{id}"), "h1", 7, id + 1));
    }
    let mut answered: Vec<u64> = (0..1_000)
        .map(|_| {
            let frame = session.next();
            assert!(frame["reply"]["granted"].is_object(), "{frame}");
            frame["id"].as_u64().unwrap()
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (0..1_000).collect::<Vec<_>>());
    assert_eq!(node.get("/v1/count").json()["held"], 1_000);
}

#[test]
fn a_bulk_frame_of_ten_thousand_steps_is_answered_in_order_and_one_more_is_refused() {
    let node = Node::start();
    let mut session = node.session();
    let step = |number: u64| json!({"claim": {"name": format!("l{number}"), "holder": "h", "instance": "7", "seq": "1"}});
    let bulk =
        |steps: u64| json!({"id": 1, "call": {"bulk": (0..steps).map(step).collect::<Vec<_>>()}}).to_string();
    let reply = session.ask(&bulk(10_000));
    let outcomes = reply["reply"]["bulk"].as_array().unwrap();
    assert_eq!(outcomes.len(), 10_000);
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome["granted"]["name"], format!("l{number}"));
    }
    let refused = session.ask(&bulk(10_001));
    assert_eq!(refused["reply"]["error"]["code"], "too_large");
    assert!(
        refused["reply"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("10001 steps, and the limit is 10000")
    );
    assert_eq!(node.get("/v1/count").json()["held"], 10_000);
}

#[test]
fn a_wait_is_answered_by_the_release_and_can_be_given_up_or_time_out() {
    let node = Node::start();
    let (mut holder, mut waiter) = (node.session(), node.session());
    let token = granted(&holder.ask(&claim(1, "a", "h1", 7, 1)));
    let held = waiter.ask(&claim(1, "a", "h2", 8, 1));
    let revision = held["reply"]["error"]["revision"].as_str().unwrap();
    waiter.send(&json!({"id": 2, "call": {"wait": {"name": "a", "after": revision}}}).to_string());
    waiter.send(r#"{"id":3,"call":{"wait":{"name":"a","timeout_ms":20}}}"#);
    let late = waiter.next();
    assert_eq!((&late["id"], &late["reply"]["error"]["code"]), (&json!(3), &json!("still_held")));
    assert_eq!(late["reply"]["error"]["holder"], "h1");
    waiter.send(r#"{"id":4,"call":{"wait":{"name":"a"}}}"#);
    assert_eq!(waiter.ask(r#"{"id":5,"call":{"cancel":{"id":4}}}"#), json!({"id": 5, "reply": "cancelled"}));
    let unknown = waiter.ask(r#"{"id":6,"call":{"cancel":{"id":4}}}"#);
    assert_eq!(unknown["reply"]["error"]["code"], "not_found");
    assert_eq!(node.server().status().waits, 1);
    holder.ask(&release(2, "a", &token, 7));
    let free = waiter.next();
    assert_eq!(free["id"], 2);
    assert!(free["reply"]["free"]["revision"].is_string());
    assert!(waiter.ask(&claim(7, "a", "h2", 8, 2))["reply"]["granted"].is_object());
}

#[test]
fn a_session_that_is_gone_leaves_no_wait_behind_and_keeps_its_leases() {
    let node = Node::start();
    let mut session = node.session();
    session.ask(&claim(1, "a", "h1", 7, 1));
    session.send(r#"{"id":2,"call":{"wait":{"name":"a"}}}"#);
    until("the wait is registered", || node.server().status().waits == 1);
    drop(session);
    until("the wait is given up", || node.server().status().waits == 0 && node.server().sessions() == 0);
    assert_eq!(node.get("/v1/count").json()["held"], 1, "a lease ends by its ttl, not with a connection");
    until("the connection's place is free", || node.server().connections() == 0);
}

#[test]
fn a_number_in_flight_is_refused() {
    let node = Node::start();
    let mut session = node.session();
    session.ask(&claim(1, "a", "h1", 7, 1));
    session.send(r#"{"id":2,"call":{"wait":{"name":"a"}}}"#);
    let refused = session.ask(r#"{"id":2,"call":{"count":{}}}"#);
    assert_eq!(
        (&refused["reply"]["error"]["code"], &refused["reply"]["error"]["field"]),
        (&json!("bad_request"), &json!("id"))
    );
}

#[test]
fn frames_that_cannot_be_read_are_told_and_have_no_effect() {
    let node = Node::start();
    let mut session = node.session();
    let known = [
        (
            r#"{"id":1,"call":{"claim":{"name":"a","holder":"h","colour":1}}}"#,
            "bad_request",
            "call.claim.colour",
        ),
        (r#"{"id":1,"call":{"steal":{"name":"a"}}}"#, "not_found", "call"),
        (r#"{"id":1,"call":{"extend":{"name":"a","token":41}}}"#, "bad_request", "call.extend.token"),
        (r#"{"id":1,"call":{"hello":{"version":2,"agent":"x"}}}"#, "bad_request", "call.hello.version"),
    ];
    for (frame, code, field) in known {
        let reply = session.ask(frame);
        let error = &reply["reply"]["error"];
        assert_eq!(
            (&reply["id"], &error["code"], &error["field"]),
            (&json!(1), &json!(code), &json!(field)),
            "{reply}"
        );
    }
    for frame in
        ["", "{", "[1]", r#"{"call":{"count":{}}}"#, r#"{"id":-1,"call":{"count":{}}}"#, &"[".repeat(10_000)]
    {
        let reply = session.ask(frame);
        assert_eq!(reply["push"]["unreadable"]["code"], "bad_request", "{reply}");
    }
    session.0.send(Message::binary(vec![1, 2, 3])).unwrap();
    let reply = session.next();
    assert!(
        reply["push"]["unreadable"]["message"].as_str().unwrap().contains("binary frame of 3 bytes"),
        "{reply}"
    );
    assert_eq!(session.ask(r#"{"id":9,"call":{"count":{}}}"#)["reply"]["counted"]["held"], 0);
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    let node = Node::start();
    for length in [1_048_577_u64, u64::from(u32::MAX), u64::MAX >> 1] {
        let mut raw = node.session().raw();
        let mut header = vec![0x81, 0x80 | 127];
        header.extend(length.to_be_bytes());
        header.extend([0; 4]);
        raw.write_all(&header).unwrap();
        let (frames, code) = Session::over(raw).rest();
        let error = &frames[0]["push"]["unreadable"];
        assert_eq!((&error["code"], code), (&json!("too_large"), Some(1009)), "{length}: {frames:?}");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains(&format!("{length} bytes is over the limit, 1048576"))
        );
    }
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn a_frame_that_is_cut_off_has_no_effect() {
    let node = Node::start();
    let text = claim(1, "a", "h1", 7, 1);
    let mut raw = node.session().raw();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(&text.as_bytes()[..text.len() - 1]);
    raw.write_all(&frame).unwrap();
    drop(raw);
    until("the session is gone", || node.server().sessions() == 0);
    assert_eq!(node.get("/v1/count").json()["held"], 0);
}

#[test]
fn text_that_is_not_utf8_closes_the_session_with_the_reason() {
    let node = Node::start();
    let mut raw = node.session().raw();
    raw.write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff]).unwrap();
    let (frames, code) = Session::over(raw).rest();
    assert!(frames[0]["push"]["unreadable"]["message"].as_str().unwrap().contains("not UTF-8"), "{frames:?}");
    assert_eq!(code, Some(1007));
}

#[test]
fn a_client_that_is_silent_is_pinged_and_then_closed() {
    let node = Node::start_with(|config| {
        // So long that no pause of this test's own makes the live one silent.
        config.ping_every = Duration::from_millis(200);
        config.dead_after = Duration::from_millis(2_000);
    });
    // This one answers pings, which reading does.
    let mut live = node.session();
    live.0.get_ref().set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    // This one does not: its bytes are read, and not understood.
    let mut silent = node.session().raw();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    until("the silent one is closed", || {
        let _ = live.0.read();
        node.server().sessions() == 1
    });
    let mut seen = Vec::new();
    silent.read_to_end(&mut seen).unwrap();
    assert_eq!(seen.first(), Some(&0x89), "a ping came first: {seen:?}");
    live.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(live.ask(r#"{"id":1,"call":{"count":{}}}"#)["reply"].is_object());
}

#[test]
fn a_client_that_does_not_read_is_closed_and_the_others_go_on() {
    let node = Node::start_with(|config| config.stall_after = Duration::from_millis(100));
    for number in 0..200 {
        let value = "v".repeat(1_000);
        let body = json!({"name": format!("l{number}"), "holder": "h", "value": value}).to_string();
        assert_eq!(node.post("/v1/claim", &body).status, 200);
    }
    let mut slow = node.session();
    // Each answer is 200 KiB; no socket buffers a thousand of them.
    slow.0.get_ref().set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    for id in 0..1_000 {
        let list = json!({"id": id, "call": {"list": {"limit": 1_000}}}).to_string();
        if slow.0.send(Message::text(list)).is_err() {
            break;
        }
    }
    until("the slow one is closed", || node.server().sessions() == 0);
    assert_eq!(node.get("/v1/count").json()["held"], 200);
    drop(slow);
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_all_its_answers() {
    let patience = Duration::from_millis(1_500);
    let node = Node::start_with(|config| {
        (config.stall_after, config.dead_after) = (patience, patience);
        config.ping_every = patience / 2;
    });
    for number in 0..200 {
        let body =
            json!({"name": format!("l{number}"), "holder": "h", "value": "v".repeat(1_000)}).to_string();
        assert_eq!(node.post("/v1/claim", &body).status, 200);
    }
    let mut slow = node.session();
    // 250 KiB each, and far more together than sockets keep: there is always something that waits to be read.
    let list = |slow: &mut Session, id: u64| {
        slow.send(&json!({"id": id, "call": {"list": {"limit": 1_000}}}).to_string());
    };
    let in_flight = SESSION_READS_MAX as u64;
    (0..in_flight).for_each(|id| list(&mut slow, id));
    let began = Instant::now();
    for id in in_flight..in_flight + 200 {
        let answer = slow.next();
        assert!(answer["reply"]["page"].is_object(), "{answer}");
        std::thread::sleep(Duration::from_millis(20));
        list(&mut slow, id);
    }
    assert!(began.elapsed() > 2 * patience, "too quick to show anything");
}

#[test]
fn sessions_and_waits_are_told_when_the_member_stops() {
    let node = Node::start();
    let mut session = node.session();
    session.ask(&claim(1, "a", "h1", 7, 1));
    session.send(r#"{"id":2,"call":{"wait":{"name":"a"}}}"#);
    until("the wait is registered", || node.server().status().waits == 1);
    std::thread::scope(|scope| {
        let client = scope.spawn(move || session.rest());
        let address = node.address();
        let poll = scope.spawn(move || {
            support::http(address, "GET /v1/wait?name=a&timeout_ms=60000 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        });
        until("the long poll is registered", || node.server().status().waits == 2);
        node.stop();
        let (frames, code) = client.join().unwrap();
        assert_eq!(frames[0]["push"]["going"]["why"], "this member is stopping");
        assert!(frames[0]["push"]["going"]["reconnect_after_ms"].as_u64().unwrap() >= 500);
        assert_eq!((&frames[1]["id"], &frames[1]["reply"]["error"]["code"]), (&json!(2), &json!("stopping")));
        assert_eq!(code, Some(1001));
        assert_eq!(poll.join().unwrap().problem().1, "stopping");
    });
}
