//! Waiting in line, handing on, taking away, watching and fencing, as clients see them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::io::{BufRead, BufReader, Write};

use serde_json::{Value, json};
use support::{Node, Session, ask, call, connect, token, until};

/// A node past its first 500 ms, in which nobody is granted anything by waiting.
fn node() -> Node {
    let node = Node::start();
    past_grace(&node);
    node
}

fn past_grace(node: &Node) {
    let granted =
        node.post("/v1/acquire", r#"{"name":"first","holder":"h","instance":"1","seq":"1"}"#).json();
    let release = json!({"name": "first", "token": granted["token"], "instance": "1"}).to_string();
    assert_eq!(node.post("/v1/release", &release).status, 200);
}

fn acquire(name: &str, holder: &str, instance: u64) -> Value {
    json!({"name": name, "holder": holder, "instance": instance.to_string(), "seq": "1", "ttl_ms": 60_000})
}

fn claim(session: &mut Session, name: &str, holder: &str, instance: u64) -> String {
    token(&ask(session, 1, "claim", acquire(name, holder, instance))["granted"])
}

/// Looks until so many acquires wait at the node.
fn until_waiting(node: &Node, acquires: u64) {
    until("they wait", || node.server().status().acquires == acquires);
    // Behind this read, whoever asked before it is in line.
    assert_eq!(node.get("/v1/count").status, 200);
}

#[test]
fn the_next_in_line_is_granted_and_must_confirm() {
    let node = node();
    let (mut holder, mut first, mut second) = (node.session(), node.session(), node.session());
    let held = claim(&mut holder, "a", "h0", 10);
    call(&mut first, 7, "acquire", acquire("a", "h1", 11));
    until_waiting(&node, 1);
    call(&mut second, 8, "acquire", acquire("a", "h2", 12));
    until_waiting(&node, 2);
    ask(&mut holder, 2, "release", json!({"name": "a", "token": held, "instance": "10"}));
    let granted = first.next()["reply"]["granted"].clone();
    assert_eq!((&granted["confirmed"], &granted["hold_ms"]), (&json!(false), &json!(0)));
    let extend = json!({"name": "a", "token": granted["token"], "instance": "11"});
    let extended = ask(&mut first, 9, "extend", extend)["granted"].clone();
    assert_eq!((&extended["confirmed"], &extended["ttl_ms"]), (&json!(true), &json!(60_000)));
    // A plain claim passes nobody by, also where the lease is free for a moment.
    let refused = ask(&mut holder, 3, "claim", acquire("a", "h3", 13));
    assert_eq!(refused["error"]["code"], "held");
    let cancelled = ask(&mut second, 10, "cancel", json!({"id": 8}));
    assert_eq!(cancelled, "cancelled");
    assert_eq!(node.server().status().acquires, 0);
}

#[test]
fn a_waiter_that_connects_anew_keeps_its_place() {
    let node = node();
    let (mut holder, mut first, mut second) = (node.session(), node.session(), node.session());
    let held = claim(&mut holder, "a", "h0", 10);
    call(&mut first, 7, "acquire", acquire("a", "h1", 11));
    until_waiting(&node, 1);
    call(&mut second, 8, "acquire", acquire("a", "h2", 12));
    until_waiting(&node, 2);
    drop(first);
    until("its connection is gone", || node.server().status().acquires == 1);
    let mut first = node.session();
    call(&mut first, 1, "acquire", acquire("a", "h1", 11));
    until_waiting(&node, 2);
    ask(&mut holder, 2, "release", json!({"name": "a", "token": held, "instance": "10"}));
    assert!(first.next()["reply"]["granted"].is_object());
}

#[test]
fn an_acquire_that_lasted_too_long_says_who_holds_the_lease() {
    let node = node();
    let mut holder = node.session();
    claim(&mut holder, "a", "h0", 10);
    let answer = node.post("/v1/acquire", r#"{"name":"a","holder":"h1","timeout_ms":50}"#);
    let (status, code, message) = answer.problem();
    assert_eq!((status, code.as_str()), (409, "still_held"));
    assert!(message.contains("not this call's turn"), "{message}");
    assert_eq!(answer.json()["error"]["holder"], "h0");
    assert_eq!(node.server().status().acquires, 0, "its place is given up");
}

#[test]
fn a_transfer_goes_to_one_who_waits_or_is_forced() {
    let node = node();
    let (mut holder, mut heir) = (node.session(), node.session());
    let held = claim(&mut holder, "a", "h0", 10);
    let transfer = |token: &str, to: &str| json!({"name": "a", "token": token, "instance": "10", "to": to});
    let refused = ask(&mut holder, 2, "transfer", transfer(&held, "h1"));
    assert_eq!(refused["error"]["code"], "not_waiting");
    call(&mut heir, 7, "acquire", acquire("a", "h1", 11));
    until_waiting(&node, 1);
    let done = ask(&mut holder, 3, "transfer", transfer(&held, "h1"));
    assert_eq!(done["released"]["token"], held);
    let granted = heir.next()["reply"]["granted"].clone();
    assert_eq!(granted["confirmed"], false);
    let lost = ask(&mut holder, 4, "extend", json!({"name": "a", "token": held, "instance": "10"}));
    assert_eq!(
        (&lost["error"]["code"], &lost["error"]["end"]["why"]),
        (&json!("lost"), &json!("transferred"))
    );
    let forced = json!({"name": "a", "token": granted["token"], "instance": "11", "to": "h2", "force": true});
    assert!(ask(&mut heir, 8, "transfer", forced)["released"].is_object());
    let taken = ask(&mut holder, 5, "claim", acquire("a", "h2", 12));
    assert_eq!(taken["granted"]["confirmed"], true, "{taken}");
}

#[test]
fn a_second_revoke_keeps_the_heir_of_the_first_and_reads_and_watches_show_it() {
    let node = node();
    let (mut holder, mut watcher) = (node.session(), node.session());
    let held = claim(&mut holder, "a", "h0", 10);
    ask(&mut watcher, 1, "watch", json!({"name": "a"}));
    let revoke = |with: Value| {
        let mut body = json!({"name": "a", "token": held});
        body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        assert_eq!(node.post("/v1/revoke", &body.to_string()).status, 200);
    };
    revoke(json!({"why": "maintenance", "heir": "h4"}));
    let seen = watcher.next()["push"]["events"]["events"][0]["ending"].clone();
    assert_eq!((&seen["reason"], &seen["heir"]), (&json!("maintenance"), &json!("h4")));
    revoke(json!({"why": ""}));
    let lease = node.get("/v1/leases/default/a").json()["held"].clone();
    assert_eq!((&lease["ending"], &lease["ending_heir"]), (&json!("maintenance"), &json!("h4")));
    revoke(json!({"why": "now", "now": true}));
    assert_eq!(node.get("/v1/leases/default/a").json()["held"]["holder"], "h4");
    assert_eq!(node.get("/v1/history?name=a").json()["ends"][0]["end"]["reason"], "now");
}

#[test]
fn a_revoked_grant_may_not_be_extended_and_history_has_the_reason() {
    let node = node();
    let mut holder = node.session();
    let held = claim(&mut holder, "a", "h0", 10);
    let revoke = json!({"name": "a", "token": held, "why": "maintenance"}).to_string();
    let ending = node.post("/v1/revoke", &revoke).json();
    assert_eq!(ending["token"], held);
    let refused = ask(&mut holder, 2, "extend", json!({"name": "a", "token": held, "instance": "10"}));
    assert_eq!(refused["error"]["code"], "ending");
    assert_eq!(node.get("/v1/leases/default/a").json()["held"]["ending"], "maintenance");
    let now = json!({"name": "a", "token": held, "why": "at once", "now": true}).to_string();
    assert_eq!(node.post("/v1/revoke", &now).json()["token"], held);
    let ends = node.get("/v1/history?name=a").json();
    assert_eq!(
        (&ends["ends"][0]["end"]["why"], &ends["ends"][0]["end"]["reason"]),
        (&json!("revoked"), &json!("at once"))
    );
    // Without a token there is no revoke: it must not hit whoever holds the lease by then.
    let without = node.post("/v1/revoke", r#"{"name":"a","why":"x"}"#);
    assert_eq!((without.problem().1.as_str(), without.status), ("bad_request", 400));
    assert!(without.problem().2.contains("token"), "{without:?}");
}

#[test]
fn a_pinned_grant_does_not_expire_until_the_last_pin_is_gone() {
    let node = node();
    let grant = node.post("/v1/claim", r#"{"name":"a","holder":"h0","ttl_ms":1000}"#).json();
    for entity in ["m0", "m1"] {
        let pin = format!(r#"{{"name":"a","entity":"{entity}","why":"upgrade"}}"#);
        assert_eq!((node.post("/v1/pin", &pin).status, node.post("/v1/pin", &pin).status), (204, 204));
    }
    let held = |node: &Node| node.get("/v1/leases/default/a").json()["held"]["token"] == grant["token"];
    until("its deadline has passed", || {
        node.get("/v1/leases/default/a").json()["held"]["remaining_ms"] == json!(0)
    });
    assert_eq!(node.post("/v1/unpin", r#"{"name":"a","entity":"m0"}"#).status, 204);
    assert!(held(&node), "one pin is left");
    assert_eq!(node.post("/v1/unpin", r#"{"name":"a","entity":"m1"}"#).status, 204);
    until("it expires", || !held(&node));
}

#[test]
fn a_check_tells_the_living_token_from_a_stale_and_a_lost_one() {
    let node = node();
    let mut holder = node.session();
    let old = claim(&mut holder, "a", "h0", 10);
    let check = |token: &str| node.get(&format!("/v1/check?name=a&token={token}"));
    assert_eq!((check(&old).status, &check(&old).json()["holder"]), (200, &json!("h0")));
    ask(&mut holder, 2, "release", json!({"name": "a", "token": old, "instance": "10"}));
    let lost = check(&old);
    assert_eq!(
        (lost.problem().1.as_str(), &lost.json()["error"]["end"]["why"]),
        ("lost", &json!("released"))
    );
    let new = claim(&mut holder, "a", "h1", 11);
    assert_eq!(check(&new).status, 200);
    let stale = check(&old);
    assert_eq!((stale.problem().1.as_str(), &stale.json()["error"]["token"]), ("stale_token", &json!(new)));
    assert_eq!(check("999").problem().1, "lost");
    assert_eq!(check("x").status, 400);
}

#[test]
fn a_sessions_watch_sees_every_event_of_its_prefix_and_can_be_cancelled() {
    let node = node();
    let (mut watcher, mut holder) = (node.session(), node.session());
    let watching = ask(&mut watcher, 5, "watch", json!({"prefix": "db/"}));
    assert!(watching["watching"]["revision"].is_string(), "{watching}");
    claim(&mut holder, "cron", "h0", 10);
    let held = claim(&mut holder, "db/a", "h0", 10);
    ask(&mut holder, 2, "release", json!({"name": "db/a", "token": held, "instance": "10"}));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let push = watcher.next()["push"]["events"].clone();
        assert_eq!(push["id"], 5);
        seen.extend(push["events"].as_array().unwrap().clone());
    }
    assert_eq!((&seen[0]["name"], &seen[0]["granted"]["token"]), (&json!("db/a"), &json!(held)));
    assert_eq!((&seen[1]["ended"]["why"], &seen[1]["ended"]["token"]), (&json!("released"), &json!(held)));
    assert_eq!(ask(&mut watcher, 6, "cancel", json!({"id": 5})), "cancelled");
    until("it has ended", || node.server().status().watches == 0);
    // A session that goes away takes its watches with it.
    ask(&mut watcher, 7, "watch", json!({"name": "a"}));
    drop(watcher);
    until("they have ended", || node.server().status().watches == 0);
    let ahead = ask(&mut holder, 8, "watch", json!({"name": "a", "after": "999999"}));
    assert_eq!(ahead["error"]["code"], "index_ahead");
}

#[test]
fn one_who_does_not_read_is_told_compacted_and_another_sees_all() {
    // Some 2,000 events.
    let node = Node::start_with(|config| config.watch_bytes = 1 << 20);
    let mut holder = node.session();
    let begin = |session: &mut Session| ask(session, 1, "watch", json!({}))["watching"]["revision"].clone();
    let (mut slow, mut quick) = (node.session(), node.session());
    let from: u64 = begin(&mut slow).as_str().unwrap().parse().unwrap();
    begin(&mut quick);
    let reader = std::thread::spawn(move || {
        let mut revisions = Vec::new();
        while revisions.len() < 20_000 {
            let push = quick.next()["push"]["events"]["events"].clone();
            let of = |event: &Value| event["revision"].as_str().unwrap().parse::<u64>().unwrap();
            revisions.extend(push.as_array().unwrap().iter().map(of));
        }
        revisions
    });
    for round in 0..10u64 {
        let steps: Vec<Value> = (0..1_000)
            .map(|at| {
                json!({"claim": {"name": format!("lease/{}", round * 1_000 + at), "holder": "h",
                    "instance": "9", "seq": "1", "value": "v".repeat(900)}})
            })
            .collect();
        let granted = ask(&mut holder, 2 + 2 * round, "bulk", json!(steps));
        let releases: Vec<Value> = granted["bulk"]
            .as_array()
            .unwrap()
            .iter()
            .map(|granted| {
                let granted = &granted["granted"];
                json!({"release": {"name": granted["name"], "token": granted["token"], "instance": "9"}})
            })
            .collect();
        ask(&mut holder, 3 + 2 * round, "bulk", json!(releases));
    }
    let revisions = reader.join().unwrap();
    assert_eq!(revisions, (from + 1..=from + 20_000).collect::<Vec<u64>>(), "in order, none twice");
    // The slow one reads what its socket still has, and then the end.
    let mut last = from;
    loop {
        let frame = slow.next();
        if frame["id"] == 1 {
            assert_eq!(frame["reply"]["error"]["code"], "compacted", "{frame}");
            break;
        }
        for event in frame["push"]["events"]["events"].as_array().unwrap() {
            let revision = event["revision"].as_str().unwrap().parse().unwrap();
            assert_eq!(revision, last + 1, "what it is told is in order too");
            last = revision;
        }
    }
}

#[test]
fn a_watch_over_http_is_a_stream_of_events_that_goes_on_from_the_last_one() {
    let node = node();
    let mut holder = node.session();
    let held = claim(&mut holder, "a", "h0", 10);
    let revision: u64 = node.get("/v1/count").json()["revision"].as_str().unwrap().parse().unwrap();
    let mut stream = connect(node.address());
    write!(
        stream,
        "GET /v1/watch?name=a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {}\r\n\r\n",
        revision - 1
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("HTTP/1.1 200"));
    let mut next = |field: &str| loop {
        let line = lines.next().expect("the stream goes on");
        if let Some(value) = line.strip_prefix(&format!("{field}: ")) {
            return value.to_owned();
        }
    };
    assert_eq!(next("content-type"), "text/event-stream");
    let first = [next("id"), next("event"), next("data")];
    assert_eq!((first[0].as_str(), first[1].as_str()), (revision.to_string().as_str(), "granted"));
    let data: Value = serde_json::from_str(&first[2]).unwrap();
    assert_eq!(data["granted"]["token"], held);
    ask(&mut holder, 2, "release", json!({"name": "a", "token": held, "instance": "10"}));
    assert_eq!(next("event"), "ended");
    node.stop();
    assert_eq!(next("event"), "error");
    assert!(next("data").contains("stopping"));
}

#[test]
fn a_watch_of_a_past_that_is_not_kept_is_gone() {
    let node = Node::start_with(|config| config.watch_bytes = 1 << 20);
    let mut holder = node.session();
    for round in 0..4u64 {
        let steps: Vec<Value> = (0..1_000)
            .map(|at| {
                json!({"claim": {"name": format!("lease/{}", round * 1_000 + at), "holder": "h", "instance": "9", "seq": "1",
                    "value": "v".repeat(300)}})
            })
            .collect();
        ask(&mut holder, 2 + round, "bulk", json!(steps));
    }
    let gone = node.get("/v1/watch?after=0");
    assert_eq!((gone.status, gone.problem().1.as_str()), (410, "compacted"));
    assert!(gone.json()["error"]["revision"].is_string(), "it says from which revision on: {gone:?}");
}
