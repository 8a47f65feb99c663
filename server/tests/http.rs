//! The HTTP door, as curl sees it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::io::Write;

use serde_json::json;
use support::{Node, connect, token, until};

/// A page of another site, in a browser on the member's own machine: with any origin, and with a name that it points here.
#[test]
fn a_web_page_of_another_site_reaches_no_path() {
    let node = Node::start();
    let own = node.address();
    let ask = |line: &str, headers: &str| {
        support::http(own, &format!("{line} HTTP/1.1\r\n{headers}connection: close\r\n\r\n"))
    };
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = format!("upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n");
    let paths = [
        "GET /v1/session",
        "POST /v1/claim",
        "GET /v1/leases/a/b",
        "GET /healthz",
        "GET /no",
        "PUT /v1/claim",
    ];
    for line in paths {
        let there = format!("evil.example:{}", own.port());
        let foreign = [
            format!("host: {own}\r\norigin: http://evil.example\r\n{upgrade}"),
            format!("host: {there}\r\norigin: http://{there}\r\n{upgrade}"),
        ];
        for headers in foreign {
            let (status, code, message) = ask(line, &headers).problem();
            assert_eq!((status, code.as_str()), (403, "bad_request"), "{line}: {message}");
            assert!(message.contains("evil.example"), "{message}");
        }
    }
    let answer = ask("GET /healthz", &format!("host: {own}\r\norigin: http://{own}\r\n"));
    assert_eq!(answer.status, 200, "a page of its own: {answer:?}");
}

#[test]
fn a_lease_from_claim_to_release() {
    let node = Node::start();
    let granted = node
        .post("/v1/claim", r#"{"name":"db/primary","holder":"h1","instance":"7","seq":"1","ttl_ms":20000}"#);
    assert_eq!(granted.status, 200, "{granted:?}");
    let grant = granted.json();
    assert_eq!(grant["namespace"], "default");
    assert_eq!(
        (&grant["ttl_ms"], &grant["hold_ms"], &grant["confirmed"]),
        (&json!(20_000), &json!(19_603), &json!(true))
    );
    let token = token(&grant);

    let lease = node.get("/v1/leases/default/db/primary").json();
    assert_eq!((&lease["held"]["holder"], &lease["held"]["token"]), (&json!("h1"), &json!(token)));
    assert!(lease["held"].get("instance").is_none(), "no reply shows an instance: {lease}");
    assert_eq!(
        node.get("/v1/leases/default/db%2Fprimary").json()["held"]["holder"],
        "h1",
        "escaped slashes are the same"
    );

    let held = node.post("/v1/claim", r#"{"name":"db/primary","holder":"h2"}"#);
    assert_eq!(held.problem().1, "held");
    assert_eq!(held.json()["error"]["by_you"], false);
    let not_yours = format!(r#"{{"name":"db/primary","token":"{token}","instance":"8"}}"#);
    assert_eq!(node.post("/v1/release", &not_yours).problem().1, "not_yours");

    let extend = format!(r#"{{"name":"db/primary","token":"{token}","instance":"7"}}"#);
    assert_eq!(node.post("/v1/extend", &extend).json()["ttl_ms"], 20_000, "an extend keeps the grant's ttl");
    assert_eq!(node.get("/v1/count").json()["held"], 1);
    assert_eq!(node.post("/v1/release", &extend.replace("ttl", "x")).json()["token"], token);
    let lost = node.post("/v1/extend", &extend);
    assert_eq!(
        (lost.problem().1.as_str(), &lost.json()["error"]["end"]["why"]),
        ("lost", &json!("released"))
    );
    assert_eq!(node.get("/v1/count").json()["held"], 0);
    assert_eq!(node.get("/v1/leases/default/db/primary").json()["last_end"]["why"], "released");
    assert!(node.get("/v1/leases/default/never/heard/of").json().get("held").is_none());
}

#[test]
fn lists_come_in_pages() {
    let node = Node::start();
    let none = node.get("/v1/leases?prefix=a%2F").json();
    assert_eq!((&none["leases"], &none["revision"]), (&json!([]), &json!("0")), "where a watch may begin");
    for name in ["a/1", "a/2", "a/3", "b/1"] {
        assert_eq!(node.post("/v1/claim", &format!(r#"{{"name":"{name}","holder":"h"}}"#)).status, 200);
    }
    let first = node.get("/v1/leases?prefix=a%2F&limit=2").json();
    let next = first["next"].as_str().unwrap();
    let second = node.get(&format!("/v1/leases?prefix=a%2F&limit=2&after={next}")).json();
    let names = |page: &serde_json::Value| -> Vec<String> {
        page["leases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|lease| lease["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((names(&first), names(&second)), (vec!["a/1".into(), "a/2".into()], vec!["a/3".into()]));
    assert!(second.get("next").is_none());
    assert_eq!(first["revision"], node.get("/v1/count").json()["revision"]);
    assert_eq!(node.get("/v1/count?prefix=a/&holder=h&namespace=default").json()["held"], 3);
}

#[test]
fn a_wait_is_answered_when_the_lease_is_free_or_its_time_is_over() {
    let node = Node::start();
    let grant = node.post("/v1/claim", r#"{"name":"a","holder":"h1"}"#).json();
    let still = node.get("/v1/wait?name=a&timeout_ms=1");
    assert_eq!((still.status, still.problem().1.as_str()), (409, "still_held"));
    assert_eq!(still.json()["error"]["holder"], "h1");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| node.get("/v1/wait?name=a&timeout_ms=20000"));
        until("the wait is registered", || node.server().status().waits == 1);
        let release = format!(r#"{{"name":"a","token":"{}"}}"#, token(&grant));
        assert_eq!(node.post("/v1/release", &release).status, 200);
        let free = waiter.join().unwrap();
        assert_eq!(free.status, 200);
        assert!(free.json()["revision"].is_string());
    });
}

#[test]
fn a_waiter_that_goes_away_leaves_no_wait_behind() {
    let node = Node::start();
    node.post("/v1/claim", r#"{"name":"a","holder":"h1"}"#);
    let mut stream = connect(node.address());
    stream.write_all(b"GET /v1/wait?name=a&timeout_ms=60000 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    until("the wait is registered", || node.server().status().waits == 1);
    drop(stream);
    until("the wait is given up", || node.server().status().waits == 0);
}

#[test]
fn values_out_of_bounds_name_the_field_and_the_limit() {
    let node = Node::start();
    let cases = [
        (r#"{"name":"","holder":"h"}"#, "bad_name", "name", "is empty"),
        (r#"{"name":"a","holder":"  "}"#, "bad_name", "holder", "is empty"),
        (r#"{"name":"a\u0000b","holder":"h"}"#, "bad_name", "name", "at byte 1"),
        (r#"{"name":"../etc","holder":"h"}"#, "bad_name", "name", "at byte 0"),
        (r#"{"namespace":"a b\n","name":"a","holder":"h"}"#, "bad_name", "namespace", "at byte 3"),
        (r#"{"name":"a","holder":"h","ttl_ms":199}"#, "bad_ttl", "ttl_ms", "200 to 86400000"),
        (r#"{"name":"a","holder":"h","ttl_ms":500}"#, "bad_ttl", "ttl_ms", "1000 to 86400000"),
        (r#"{"name":"a","holder":"h","deadline_ms":60001}"#, "bad_request", "deadline_ms", "1 to 60000"),
        (r#"{"name":"a","holder":"h","instance":"5"}"#, "bad_request", "seq", "give both"),
    ];
    for (body, code, field, says) in cases {
        let answer = node.post("/v1/claim", body);
        let (status, found, message) = answer.problem();
        assert_eq!(
            (status, found.as_str(), answer.field().as_deref()),
            (400, code, Some(field)),
            "{body}: {message}"
        );
        assert!(message.contains(says), "{body}: {message}");
    }
    let long = node.post("/v1/claim", &format!(r#"{{"name":"{}","holder":"h"}}"#, "n".repeat(10_000)));
    assert!(long.problem().2.contains("10000 bytes, and the limit is 256"));
    assert!(long.text.len() < 400, "it is not echoed whole");
    assert_eq!(node.get("/v1/count").json()["held"], 0, "none of it had an effect");
}

#[test]
fn bodies_that_cannot_be_read_say_where() {
    let node = Node::start();
    let deep = "[".repeat(10_000);
    let cases: [(&str, &str, Option<&str>); 10] = [
        (r#"{"name":"a","holder":"h","colour":"red"}"#, "unknown field `colour`", Some("colour")),
        (r#"{"name":"a"}"#, "missing field `holder`", Some("holder")),
        (r#"{"name":"a""#, "the JSON ends early (line 1, column 11)", None),
        (r#"{"name":"a","holder":"h","ttl_ms":-1}"#, "integer `-1`, expected a whole number", Some("ttl_ms")),
        (
            r#"{"name":"a","holder":"h","ttl_ms":1.5}"#,
            "floating point `1.5`, expected a whole number",
            Some("ttl_ms"),
        ),
        (
            r#"{"name":"a","holder":"h","ttl_ms":18446744073709551616}"#,
            "expected a whole number",
            Some("ttl_ms"),
        ),
        (r#"{"name":"a","holder":"h","instance":7,"seq":"1"}"#, "a decimal string", Some("instance")),
        (r#"{"name":"a","holder":"h"} x"#, "trailing characters", None),
        ("", "the JSON ends early", None),
        (&deep, "nests deeper than 16", None),
    ];
    for (body, says, field) in cases {
        let answer = node.post("/v1/claim", body);
        let (status, code, message) = answer.problem();
        assert_eq!(
            (status, code.as_str(), answer.field().as_deref()),
            (400, "bad_request", field),
            "{message}"
        );
        assert!(message.contains(says), "{message}");
    }
    let float = node.post("/v1/extend", r#"{"name":"a","token":4.1}"#);
    assert!(
        float.problem().2.contains("token: invalid type: floating point `4.1`, expected a decimal string"),
        "{float:?}"
    );
}

#[test]
fn bodies_of_another_type_size_or_encoding_are_refused() {
    let node = Node::start();
    let form = node.post_as("application/x-www-form-urlencoded", "/v1/claim", "name=a");
    assert_eq!((form.status, form.field().as_deref()), (415, Some("content-type")));
    assert!(form.problem().2.contains("application/x-www-form-urlencoded: send application/json"));
    assert_eq!(
        node.post_as("application/json; charset=utf-8", "/v1/claim", r#"{"name":"a","holder":"h"}"#).status,
        200
    );

    let said = "POST /v1/claim HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
                content-length: 1048577\r\n\r\n";
    let large = support::http(node.address(), said);
    assert_eq!((large.status, large.problem().1.as_str()), (413, "too_large"));
    assert!(large.problem().2.contains("1048577 bytes, and the limit is 1048576"));

    let mut stream = connect(node.address());
    stream
        .write_all(
            b"POST /v1/claim HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n",
        )
        .unwrap();
    stream.write_all(b"content-length: 12\r\n\r\n{\"name\":\"\xff\"}").unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert!(support::answer(&text).problem().2.contains("not UTF-8 at byte 9"), "{text}");
}

#[test]
fn paths_methods_and_queries_that_are_wrong_are_answered_as_json() {
    let node = Node::start();
    let (status, code, message) = node.get("/v2/claim").problem();
    assert_eq!((status, code.as_str()), (404, "not_found"));
    assert!(message.contains("/v2/claim"), "{message}");
    let answer = node.get("/v1/claim");
    assert_eq!(
        (answer.problem().0, answer.problem().2.as_str()),
        (405, "/v1/claim does not take GET: use POST")
    );
    assert_eq!(node.post("/v1/count", "{}").problem().2, "/v1/count does not take POST: use GET");
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    let answer = node.get("/v1/leases/default/");
    assert_eq!((answer.problem().1.as_str(), answer.field().as_deref()), ("bad_name", Some("name")));
    assert_eq!(node.get("/v1/leases/default/%ff").problem().0, 400);
    let answer = node.get("/v1/leases?colour=red");
    assert!(answer.problem().2.contains("unknown field `colour`"), "{answer:?}");
    for path in ["/v1/leases/default/a", "/healthz", "/readyz", "/v1/openapi.json", "/v1/session"] {
        let answer = node.get(&format!("{path}?namespace=x"));
        assert_eq!((answer.problem().0, answer.field().as_deref()), (400, Some("namespace")), "{path}");
    }
    assert!(node.post("/v1/claim?ttl_ms=9", "{}").problem().2.contains("unknown parameter `ttl_ms`"));
    let lease = node.get("/v1/leases/x%2Fy/q/a").json();
    assert_eq!((&lease["namespace"], &lease["name"]), (&json!("x/y"), &json!("q/a")));
    let answer = node.get("/v1/leases?limit=many");
    assert_eq!(answer.field().as_deref(), Some("limit"));
    assert!(node.get("/v1/leases?limit=1001").problem().2.contains("1 to 1000"));
    assert!(!node.get("/v1/history?limit=1001").problem().2.contains("next"), "history has no pages");
    assert_eq!(node.get("/v1/leases?after=zz").field().as_deref(), Some("after"));
    assert_eq!(node.get("/v1/wait?name=a&timeout_ms=0").field().as_deref(), Some("timeout_ms"));
    assert!(
        node.get("/v1/wait?name=a&timeout_ms=-5").problem().2.ends_with(": give 1 to 86400000 milliseconds")
    );
    for (query, field) in [("wait", "name"), ("check?name=a", "token"), ("history?nme=a", "nme")] {
        let answer = node.get(&format!("/v1/{query}"));
        assert_eq!((answer.problem().0, answer.field().as_deref()), (400, Some(field)), "{answer:?}");
        assert!(answer.problem().2.contains(&format!("field `{field}`")), "{answer:?}");
    }
    let (status, code, message) = node.get("/v1/leases/default").problem();
    assert_eq!((status, code.as_str()), (404, "not_found"));
    assert!(message.contains("did you mean /v1/leases?namespace=default, "), "{message}");
    assert!(node.get("/v1/session").problem().2.contains("as a WebSocket"));
}

#[test]
fn health_and_readiness_are_told() {
    let node = Node::start();
    assert_eq!(node.get("/healthz").json()["status"], "ok");
    until("the member is ready", || node.get("/readyz").status == 200);
    let ready = node.get("/readyz").json();
    assert_eq!(
        (&ready["ready"], &ready["member"], &ready["leader"]),
        (&json!(true), &json!("1"), &json!("1"))
    );
}

#[test]
fn a_last_event_id_that_is_no_revision_is_named() {
    let node = Node::start();
    for last in ["abc", "", "-1"] {
        let head = format!("host: localhost\r\nlast-event-id: {last}\r\nconnection: close\r\n\r\n");
        let answer = support::http(node.address(), &format!("GET /v1/watch HTTP/1.1\r\n{head}"));
        let (status, _, message) = answer.problem();
        assert_eq!((status, answer.field().as_deref()), (400, Some("Last-Event-ID")), "{message}");
        assert!(message.starts_with(&format!("Last-Event-ID \"{last}\" is not a revision: ")), "{message}");
    }
}
