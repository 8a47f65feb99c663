//! Tokens over their life: made, shown, bounded by quotas, found out, revoked; and what whoever has none is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use server::{Config, Flags, Secret, Server};
use support::guarded::Guarded;
use support::{answer, until};

/// Row 59: one outward answer, and the exact cause in the audit log alone.
#[test]
fn whoever_is_not_known_is_told_one_thing_and_the_cause_is_written_down() {
    let guarded = Guarded::start();
    let reader = json!({});
    let (revoked, of_revoked) = guarded.token("a", "reader", &reader);
    let (_, of_expired) = guarded.token("b", "reader", &json!({"valid_for_ms": 1}));
    guarded.revoke(&revoked);
    let stranger = Secret::draw().reveal();
    let mistyped = format!("{}0", &guarded.admin[..guarded.admin.len() - 1]);
    let mistyped =
        if mistyped == guarded.admin { format!("{}1", &mistyped[..mistyped.len() - 1]) } else { mistyped };
    let is_refused = |token: &str| guarded.get(Some(token), "/v1/leases").status == 401;
    until("what was revoked is good no more", || is_refused(&of_revoked));
    until("what has expired is good no more", || is_refused(&of_expired));
    let told: Vec<(u16, String)> =
        [None, Some("x"), Some(&mistyped), Some(&stranger), Some(&of_revoked), Some(&of_expired)]
            .into_iter()
            .map(|token: Option<&str>| guarded.get(token, "/v1/leases"))
            .map(|answer| {
                assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
                (answer.status, answer.text)
            })
            .collect();
    assert_eq!(told[0].0, 401, "{told:?}");
    assert!(told[0].1.contains("\"unauthenticated\""), "{told:?}");
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    // Asked again until there is a line: of so many that come from one address, some are only counted.
    for (token, cause) in [
        (None, "neither a token nor a certificate"),
        (Some("x"), "it is no token"),
        (Some(&*mistyped), "cut or mistyped"),
        (Some(&stranger), "there is no token"),
        (Some(&of_revoked), "was revoked"),
        (Some(&of_expired), "has expired"),
    ] {
        until(cause, || {
            assert_ne!(guarded.get(token, "/v1/leases").status, 200);
            let is_it = |line: &Value| line["why"].as_str().is_some_and(|why| why.contains(cause));
            guarded.audit().iter().any(|line| line["outcome"] == "unauthenticated" && is_it(line))
        });
    }
    let log = fs::read_to_string(guarded.folder.path().join("audit.jsonl")).unwrap();
    for secret in [&guarded.admin, &stranger, &of_revoked, &of_expired] {
        let middle = secret.split('-').nth(3).unwrap();
        assert!(!log.contains(middle), "no secret is in the audit log");
    }
    // What anyone may see is whether the process lives, and how to ask.
    assert_eq!(guarded.get(None, "/healthz").status, 200);
    assert_eq!(guarded.get(None, "/v1/openapi.json").status, 200);
    assert_eq!(guarded.get(None, "/readyz").status, 401);
}

#[test]
fn a_session_ends_with_the_token_that_opened_it() {
    let guarded = Guarded::start();
    let (id, token) = guarded.token("a", "reader", &json!({}));
    let mut session = guarded.session(&token);
    assert!(support::ask(&mut session, 1, "count", json!({}))["counted"].is_object());
    guarded.revoke(&id);
    let (frames, code) = session.rest();
    assert_eq!(code, Some(1001), "{frames:?}");
    assert!(frames[0]["push"]["going"]["why"].as_str().unwrap().contains("good no more"), "{frames:?}");
}

#[test]
fn who_waits_on_a_session_is_told_that_its_token_was_revoked_and_what_to_do() {
    let guarded = Guarded::start();
    assert_eq!(guarded.claim(&guarded.admin, "mine", "mysql", "someone").status, 200);
    let (id, token) = guarded.token("mysql/0", "unit", &json!({"namespace": "mine"}));
    let mut session = guarded.session(&token);
    let lease = json!({"namespace": "mine", "name": "mysql"});
    let acquire = json!({"namespace": "mine", "name": "mysql", "holder": "mysql/0"});
    let calls = [json!({"wait": lease}), json!({"acquire": acquire}), json!({"watch": lease})];
    for (id, call) in (1..).zip(calls) {
        session.send(&json!({"id": id, "call": call}).to_string());
    }
    let begun = || (guarded.server().status().waits, guarded.server().status().watches, in_line(&guarded));
    until("all three are begun", || begun() == (1, 1, 1));
    guarded.revoke(&id);
    let (frames, code) = session.rest();
    assert_eq!(code, Some(1001), "{frames:?}");
    for id in 1..=3 {
        let is_its = |frame: &&Value| frame["id"] == id && frame["reply"]["error"].is_object();
        let told: Vec<&Value> = frames.iter().filter(is_its).collect();
        let [told] = told[..] else { panic!("call {id} is ended once: {frames:?}") };
        let error = &told["reply"]["error"];
        assert_eq!(error["code"], "unauthenticated", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("was revoked") && message.contains("--token-file"), "{message}");
    }
    until("nothing is left of them", || begun() == (0, 0, 0));
}

/// All that is left on a connection, until the server closes it.
fn rest(stream: TcpStream) -> String {
    let mut text = String::new();
    let read = stream.take(1 << 20).read_to_string(&mut text).unwrap();
    assert!(read < 1 << 20, "it has no end");
    text
}

#[test]
fn who_waits_or_watches_over_http_is_answered_when_the_token_is_revoked() {
    let guarded = Guarded::start();
    assert_eq!(guarded.claim(&guarded.admin, "mine", "mysql", "someone").status, 200);
    let (reader, by_reader) = guarded.token("a", "reader", &json!({}));
    let (unit, by_unit) = guarded.token("mysql/0", "unit", &json!({"namespace": "mine"}));
    // None of them ends by itself within a test's patience.
    let lease = "namespace=mine&name=mysql";
    let wait = guarded.begin(&by_reader, &format!("GET /v1/wait?{lease}&timeout_ms=600000"));
    let mut watch = guarded.begin(&by_reader, &format!("GET /v1/watch?{lease}"));
    let acquire =
        json!({"namespace": "mine", "name": "mysql", "holder": "mysql/0", "timeout_ms": 600_000}).to_string();
    let length = acquire.len();
    let mut acquires = guarded.begin_with(
        &by_unit,
        &format!("POST /v1/acquire HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {length}"),
    );
    acquires.write_all(acquire.as_bytes()).unwrap();
    let begun = || (guarded.server().status().waits, guarded.server().status().watches, in_line(&guarded));
    until("all three are begun", || begun() == (1, 1, 1));
    let mut head = [0; 12];
    watch.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    guarded.revoke(&reader);
    let waited = answer(&rest(wait));
    assert_eq!((waited.status, waited.problem().1.as_str()), (401, "unauthenticated"), "{waited:?}");
    let watched = rest(watch);
    assert!(watched.contains("event: error\ndata: {\"code\":\"unauthenticated\""), "{watched}");
    assert_eq!(watched.matches("event: ").count(), 1, "its end is told once: {watched}");
    assert_eq!(in_line(&guarded), 1, "another's token is another's");
    guarded.revoke(&unit);
    let acquired = answer(&rest(acquires));
    assert_eq!((acquired.status, acquired.problem().1.as_str()), (401, "unauthenticated"), "{acquired:?}");
    until("nothing is left of them", || begun() == (0, 0, 0));
    guarded.audited("the acquire has its line", |line| {
        line["verb"] == "claim" && line["who"] == "mysql/0" && line["outcome"] == "still_held"
    });
}

fn in_line(guarded: &Guarded) -> u64 {
    guarded.server().status().in_line
}

#[test]
fn strangers_cost_the_cluster_few_reads_and_the_audit_log_few_lines() {
    let guarded = Guarded::start();
    let reads = || guarded.server().status().reads;
    // Each has another one, and none was ever made.
    let began = (Instant::now(), reads());
    let asked = |_| guarded.get(Some(&Secret::draw().reveal()), "/v1/count");
    let mut looked_for = 0;
    let turned_away = (0..10_000).map(asked).find(|answer| {
        looked_for += u64::from(answer.status == 401);
        answer.status != 401
    });
    let turned_away = turned_away.expect("ten thousand from one address are too many");
    // Those who come on when there are too many cost a read only as often as one is looked for: ten times a second.
    looked_for += (0..300).map(asked).filter(|answer| answer.status == 401).count() as u64;
    let (took, read) = (began.0.elapsed(), reads() - began.1);
    // Of the 100 that one address has at once, a few may have been the first operator's, asked with until it was good.
    assert!(looked_for >= 90, "{looked_for}");
    assert!(read >= looked_for, "a read for each that was looked for: {read}, {looked_for}");
    // Some more for those that came while the first token was being set up, and were looked for twice.
    assert!(read as f64 <= 120.0 + 10.0 * took.as_secs_f64(), "{read} reads in {took:?}");
    assert_eq!(
        (turned_away.status, turned_away.problem().1.as_str()),
        (503, "overloaded"),
        "{turned_away:?}"
    );
    assert!(turned_away.head.contains("retry-after: "), "{turned_away:?}");
    assert!(turned_away.json()["error"]["retry_after_ms"].is_u64(), "{turned_away:?}");
    // Whoever is known comes in from the same address, by the one read that they ask for; whoever has nothing is told so, by none.
    let before = reads();
    assert_eq!(guarded.get(Some(&guarded.admin), "/v1/count").status, 200);
    assert_eq!((0..300).filter(|_| guarded.get(None, "/v1/count").status == 401).count(), 300);
    assert_eq!(reads() - before, 1);
    guarded.audited("those of whom there is no line are counted", |line| {
        line["outcome"] == "unauthenticated" && line["left_out"].as_u64().is_some_and(|left_out| left_out > 0)
    });
}

#[test]
fn one_units_flood_of_extends_costs_no_other_unit_an_extend() {
    let guarded = Guarded::start_with("[limits]\ncommands = 64\n");
    let mine = json!({"namespace": "mine"});
    let [(_, loud), (_, quiet)] = ["mysql/0", "redis/0"].map(|unit| guarded.token(unit, "unit", &mine));
    let extend = |token: &str, name: &str, holder: &str| {
        let granted = guarded.claim(token, "mine", name, holder);
        assert_eq!(granted.status, 200, "{granted:?}");
        json!({"namespace": "mine", "name": name, "token": granted.json()["token"]})
    };
    let of_loud = json!({"extend": extend(&loud, "mysql", "mysql/0")});
    let of_quiet = extend(&quiet, "redis", "redis/0");
    let (over, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut session = guarded.session(&loud);
                let steps = Value::Array(vec![of_loud.clone(); 1_000]);
                for id in (1..).take_while(|_| !over.load(Ordering::Relaxed)) {
                    let reply = support::ask(&mut session, id, "bulk", steps.clone());
                    let codes = reply["bulk"].as_array().unwrap().iter();
                    let codes = codes.filter(|step| step["error"]["code"] == "overloaded");
                    refused.fetch_add(codes.count() as u64, Ordering::Relaxed);
                }
            });
        }
        let mut session = guarded.session(&quiet);
        let replies: Vec<Value> =
            (1..=300).map(|id| support::ask(&mut session, id, "extend", of_quiet.clone())).collect();
        over.store(true, Ordering::Relaxed);
        let lost: Vec<&Value> = replies.iter().filter(|reply| !reply["granted"].is_object()).collect();
        assert!(lost.is_empty(), "{} of 300: {:?}", lost.len(), lost[0]);
    });
    assert!(refused.load(Ordering::Relaxed) > 0, "there was a flood");
}

#[test]
fn a_token_of_an_id_that_is_taken_is_refused_unless_it_is_the_same() {
    let guarded = Guarded::start();
    let secret = Secret::draw();
    let with = |field: &str, value: Value| {
        let mut create = json!({
            "id": secret.id().to_string(), "hash": secret.hash_hex(), "principal": "mysql/0", "role": "unit",
            "namespace": "mine", "valid_for_ms": 3_600_000,
        });
        create[field] = value;
        guarded.post(Some(&guarded.admin), "/v1/tokens", &json!({"change": {"create": create}}))
    };
    assert_eq!(with("role", "unit".into()).status, 200);
    assert_eq!(with("role", "unit".into()).status, 200, "asked again, after an answer was lost");
    let others = [
        ("role", json!("app-admin"), "another role"),
        ("principal", json!("mysql/1"), "another principal"),
        ("namespace", json!("theirs"), "another namespace"),
        ("lease", json!("db"), "another lease"),
        ("claims_per_second", json!(9), "another claims_per_second"),
        ("valid_for_ms", json!(86_400_000), "another end"),
        ("valid_for_ms", json!(null), "another end"),
        ("hash", json!(Secret::draw().hash_hex()), "another secret"),
    ];
    let id = secret.id().to_string();
    let refused = |answer: &support::Answer, why: &str| {
        let (status, code, message) = answer.problem();
        assert_eq!((status, code.as_str(), answer.field().as_deref()), (409, "conflict", Some("id")));
        assert!(message.contains(why) && message.contains(&id), "{message}");
    };
    for (field, value, why) in others {
        refused(&with(field, value), why);
    }
    guarded.revoke(&id);
    refused(&with("role", "unit".into()), "it was revoked");
    let listed = guarded.get(Some(&guarded.admin), "/v1/tokens").json();
    let kept = listed["tokens"].as_array().unwrap().iter().find(|it| it["id"] == *id).unwrap();
    assert_eq!((&kept["role"], &kept["revoked"]), (&json!("unit"), &json!(true)), "nothing was changed");
    guarded.audited("a refusal is in the audit log", |line| {
        line["verb"] == "change tokens" && line["outcome"] == "conflict"
    });
}

#[test]
fn how_many_leases_a_cluster_has_is_for_those_who_may_count_them() {
    let guarded = Guarded::start();
    assert_eq!(guarded.claim(&guarded.admin, "theirs", "redis", "someone").status, 200);
    let mine = json!({"namespace": "mine"});
    let everywhere = json!({});
    let held = |token: &str| {
        let ready = guarded.get(Some(token), "/readyz");
        assert_eq!(ready.status, 200, "{ready:?}");
        ready.json()["held"].clone()
    };
    for (role, scope, expected) in [
        ("unit", &mine, Value::Null),
        ("reader", &mine, Value::Null),
        ("operator", &mine, Value::Null),
        ("reader", &everywhere, 1.into()),
        ("operator", &everywhere, 1.into()),
    ] {
        let (_, token) = guarded.token("mysql/0", role, scope);
        assert_eq!(held(&token), expected, "{role} {scope}");
    }
}

#[test]
fn a_quota_bounds_claims_and_no_extends() {
    let guarded = Guarded::start();
    let quota = json!({"namespace": "mine", "claims_per_second": 1});
    let (_, token) = guarded.token("mysql/0", "unit", &quota);
    let granted = guarded.claim(&token, "mine", "mysql", "mysql/0");
    assert_eq!(granted.status, 200, "{granted:?}");
    let refused =
        (0..20).map(|_| guarded.claim(&token, "mine", "mysql", "mysql/0")).find(|it| it.status != 200);
    let refused = refused.expect("twenty at once are more than five seconds' worth");
    assert_eq!((refused.status, refused.problem().1.as_str()), (503, "overloaded"), "{refused:?}");
    let body = json!({"namespace": "mine", "name": "mysql", "token": granted.json()["token"]});
    for _ in 0..20 {
        assert_eq!(guarded.post(Some(&token), "/v1/extend", &body).status, 200);
    }
}

#[test]
fn tokens_are_listed_without_their_secrets_and_outlast_a_restart() {
    let mut guarded = Guarded::start();
    let (id, token) = guarded.token("mysql/0", "unit", &json!({"namespace": "mine", "lease": "db"}));
    let listed = guarded.get(Some(&guarded.admin), "/v1/tokens");
    let view = listed.json()["tokens"].as_array().unwrap().iter().find(|it| it["id"] == *id).unwrap().clone();
    let expected =
        json!({"id": id, "principal": "mysql/0", "role": "unit", "namespace": "mine", "lease": "db"});
    assert_eq!(view, expected);
    guarded.server.take().unwrap().stop();
    let file = guarded.folder.path().join("tenure.toml");
    let config = Config::load(&Flags { config: Some(file), ..Flags::default() }).unwrap();
    guarded.server = Some(Server::start(&config).unwrap());
    until("it serves again", || guarded.get(Some(&guarded.admin), "/readyz").status == 200);
    assert_eq!(guarded.claim(&token, "mine", "db/a", "mysql/0").status, 200);
    assert_eq!(guarded.claim(&token, "mine", "mysql", "mysql/0").status, 403);
}

#[test]
fn a_namespaces_quota_of_leases_is_set_by_an_operator_and_bounds_claims() {
    let guarded = Guarded::start();
    let set =
        |change: &Value| guarded.post(Some(&guarded.admin), "/v1/namespaces", &json!({"change": change}));
    let done = set(&json!({"namespace": "small", "leases_max": "1", "ttl_ms_min": 200}));
    let expected = json!({"namespaces": [{
        "namespace": "small", "ttl_ms_min": 200, "ttl_ms_max": 86_400_000, "cooldown_ms": 0, "leases_max": "1",
        "history_max": 10_000,
    }]});
    assert_eq!((done.status, done.json()), (200, expected), "{done:?}");
    assert_eq!(guarded.claim(&guarded.admin, "small", "a", "h").status, 200);
    let refused = guarded.claim(&guarded.admin, "small", "b", "h");
    assert_eq!((refused.status, refused.problem().1.as_str()), (409, "full"), "{refused:?}");
    let wrong = set(&json!({"namespace": "small", "ttl_ms_min": 1}));
    assert_eq!((wrong.status, wrong.problem().1.as_str()), (400, "bad_request"), "{wrong:?}");
    let back = set(&json!({"namespace": "small", "from_defaults": true}));
    assert_eq!(back.json(), json!({"namespaces": []}));
    guarded.audited("the change is in the audit log", |line| {
        line["verb"] == "change namespaces" && line["outcome"] == "done"
    });
}
