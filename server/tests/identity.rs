//! Who may do what, over every door: each role, each verb and each scope, asked over HTTP and on a session, and judged by a table of
//! this test's own. What is denied is denied alike whether a lease is there or not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::answer;
use support::guarded::Guarded;

/// One thing to ask: how over HTTP, how on a session where that can be, and of what.
struct Ask {
    verb: &'static str,
    namespace: Option<&'static str>,
    name: Option<&'static str>,
    holder: Option<&'static str>,
    http: (String, Option<Value>),
    session: Option<Value>,
}

/// A revoke as Juju's operators ask for it, in a namespace that is nobody's here.
const REVOKE: &str = "POST /leases/revoke?model=8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11&lease=mysql";

/// Every verb of every scope.
fn asks() -> Vec<Ask> {
    let mut asks = Vec::new();
    let cluster = |verb, http: (&str, Option<Value>), session| Ask {
        verb,
        namespace: None,
        name: None,
        holder: None,
        http: (http.0.to_owned(), http.1),
        session,
    };
    let nobody = json!({"change": {"remove": {"ids": []}}});
    let same = json!({"change": {"namespace": "mine"}});
    let revoke = json!({"change": {"revoke": {"id": "0000000000000000"}}});
    asks.extend([
        cluster("members", ("GET /v1/members", None), Some(json!({"members": {}}))),
        cluster("change", ("POST /v1/members", Some(nobody.clone())), Some(json!({"members": nobody}))),
        cluster("tokens", ("GET /v1/tokens", None), Some(json!({"tokens": {}}))),
        cluster("change", ("POST /v1/tokens", Some(revoke.clone())), Some(json!({"tokens": revoke}))),
        cluster("tokens", ("GET /v1/namespaces", None), Some(json!({"namespaces": {}}))),
        cluster("change", ("POST /v1/namespaces", Some(same.clone())), Some(json!({"namespaces": same}))),
        cluster("backup", ("GET /v1/backup", None), None),
        cluster("members", ("GET /depengine", None), None),
        cluster("members", ("GET /metrics", None), None),
        cluster("list-all", ("GET /leases", None), None),
        cluster("change", (REVOKE, None), None),
    ]);
    for namespace in [None, Some("mine"), Some("theirs")] {
        for verb in ["list", "count"] {
            let path = if verb == "list" { "/v1/leases" } else { "/v1/count" };
            let query = namespace.map_or(String::new(), |namespace| format!("?namespace={namespace}"));
            let mut body = json!({});
            if let Some(namespace) = namespace {
                body["namespace"] = namespace.into();
            }
            let (http, session) = ((format!("GET {path}{query}"), None), Some(json!({verb: body})));
            asks.push(Ask { verb, namespace, name: None, holder: None, http, session });
        }
    }
    for namespace in ["mine", "theirs"] {
        for name in ["mysql", "mysql/backup", "redis", "nothing"] {
            asks.extend(of_one(namespace, name));
        }
        for verb in ["history", "watch"] {
            let http = (format!("GET /v1/{verb}?namespace={namespace}"), None);
            let session = Some(json!({verb: {"namespace": namespace}}));
            asks.push(Ask { verb, namespace: Some(namespace), name: None, holder: None, http, session });
        }
    }
    asks
}

/// Every verb of one lease.
fn of_one(namespace: &'static str, name: &'static str) -> Vec<Ask> {
    let of = json!({"namespace": namespace, "name": name});
    let with = |more: Value| {
        let mut body = of.clone();
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        body
    };
    let query = format!("namespace={namespace}&name={name}");
    let mut asks = Vec::new();
    let mut put = |verb, holder, http, call: &str, body: Value| {
        let session = Some(json!({call: body}));
        asks.push(Ask { verb, namespace: Some(namespace), name: Some(name), holder, http, session });
    };
    for holder in ["mysql/0", "mysql/1", "redis/0", "mysql"] {
        // A ttl of nothing: whoever may claim is told that it is out of bounds, and nothing changes.
        let claim = with(json!({"holder": holder, "ttl_ms": 1}));
        put(
            "claim",
            Some(holder),
            ("POST /v1/claim".to_owned(), Some(claim.clone())),
            "claim",
            claim.clone(),
        );
        put("claim", Some(holder), ("POST /v1/acquire".to_owned(), Some(claim.clone())), "acquire", claim);
    }
    let token = json!({"token": "999"});
    for verb in ["extend", "release"] {
        let body = with(token.clone());
        put("hold", None, (format!("POST /v1/{verb}"), Some(body.clone())), verb, body);
    }
    for to in ["mysql/1", "redis/0"] {
        let transfer = with(json!({"token": "999", "instance": "7", "to": to}));
        let mut forced = transfer.clone();
        forced["force"] = true.into();
        put("hold", None, ("POST /v1/transfer".to_owned(), Some(transfer.clone())), "transfer", transfer);
        put("hold", Some(to), ("POST /v1/transfer".to_owned(), Some(forced.clone())), "transfer", forced);
    }
    let revoke = with(token);
    put("manage", None, ("POST /v1/revoke".to_owned(), Some(revoke.clone())), "revoke", revoke);
    for verb in ["pin", "unpin"] {
        // An entity of nothing: whoever may pin is told that it is empty.
        let body = with(json!({"entity": " "}));
        put("manage", None, (format!("POST /v1/{verb}"), Some(body.clone())), verb, body);
    }
    put("read", None, (format!("GET /v1/leases/{namespace}/{name}"), None), "get", of.clone());
    put(
        "read",
        None,
        (format!("GET /v1/check?{query}&token=999"), None),
        "check",
        with(json!({"token": "999"})),
    );
    put(
        "read",
        None,
        (format!("GET /v1/wait?{query}&timeout_ms=1"), None),
        "wait",
        with(json!({"timeout_ms": 1})),
    );
    put("read", None, (format!("GET /v1/history?{query}"), None), "history", of.clone());
    put("read", None, (format!("GET /v1/watch?{query}"), None), "watch", of.clone());
    asks
}

/// What this test holds to be right: a line a role.
fn may(role: &str, scoped: bool, ask: &Ask) -> bool {
    let is_cluster = matches!(ask.verb, "members" | "change" | "tokens" | "backup" | "list-all");
    // A list that names no namespace is of the principal's own.
    let narrowed = matches!(ask.verb, "list" | "count") && ask.namespace.is_none();
    let inside = !is_cluster && (!scoped || ask.namespace == Some("mine") || narrowed);
    let reads = matches!(ask.verb, "read" | "list" | "count" | "history" | "watch");
    let holds = matches!(ask.verb, "claim" | "hold");
    let mysqls = inside && matches!(ask.name, Some("mysql" | "mysql/backup"));
    match role {
        "unit" => mysqls && matches!(ask.holder, None | Some("mysql/0")) && (holds || ask.verb == "read"),
        "reader" => (inside && reads) || (!scoped && ask.verb == "list-all"),
        "app-admin" => {
            let for_its_units = mysqls && matches!(ask.holder, None | Some("mysql/0" | "mysql/1"));
            (inside && (reads || ask.verb == "manage")) || (for_its_units && holds)
        }
        "auditor" => (inside && reads) || (!scoped && matches!(ask.verb, "members" | "tokens" | "list-all")),
        "operator" => inside || (is_cluster && !scoped),
        other => panic!("no role {other}"),
    }
}

/// Calls that may be steps of a bulk call, and where the numbers of those begin.
const STEPS: [&str; 3] = ["claim", "extend", "release"];
const BULK: u64 = 1_000_000;

/// What HTTP has that is asked for no verb: whether the member lives and how to ask, for anyone; whether it is ready, for anyone who is
/// known; and the session itself, whose calls are asked each.
const WITHOUT_A_VERB: [&str; 4] = ["GET /healthz", "GET /readyz", "GET /v1/openapi.json", "GET /v1/session"];
/// The same of a session: `bulk` is asked by its steps, and `cancel` ends what the same session has begun.
const CALLS_WITHOUT_A_VERB: [&str; 3] = ["hello", "cancel", "bulk"];

/// The fields of which each alternative of a schema has one.
fn alternatives(document: &Value, schema: &str) -> BTreeSet<String> {
    let of = &document["components"]["schemas"][schema]["oneOf"];
    let of = of.as_array().unwrap_or_else(|| panic!("{schema} has no alternatives"));
    of.iter().map(|one| one["required"][0].as_str().unwrap().to_owned()).collect()
}

/// Every method and path of the router, as its source has them: a path that is in no document would be asked of nobody.
fn routed() -> BTreeSet<String> {
    let router = include_str!("../src/doors/mod.rs");
    let mut routed = BTreeSet::new();
    for route in router.split(".route(\"").skip(1) {
        let (path, handlers) = route.lines().next().unwrap().split_once('"').unwrap();
        // The same handlers as without it.
        if path.starts_with("/introspection/") {
            continue;
        }
        let methods = ["get", "post", "put", "delete", "patch", "any"];
        let handlers = handlers.replace("revoke_route()", "post()");
        let methods = methods.iter().filter(|method| handlers.contains(&format!("{method}(")));
        let before = routed.len();
        routed.extend(methods.map(|method| format!("{} {}", method.to_uppercase(), path.replace("{*", "{"))));
        assert!(routed.len() > before, "{path} has no method here: {handlers}");
    }
    // An empty name, which is refused whoever asks.
    assert!(routed.remove("GET /v1/leases/{namespace}/"));
    routed
}

/// Whatever a door learns to do is asked of every role, or this fails.
#[test]
fn every_path_and_every_call_that_the_doors_have_is_asked_of_every_role() {
    let document: Value = serde_json::from_str(&server::openapi_json()).unwrap();
    let mut paths: BTreeSet<String> = WITHOUT_A_VERB.map(str::to_owned).into();
    let mut calls: BTreeSet<String> = CALLS_WITHOUT_A_VERB.map(str::to_owned).into();
    for ask in asks() {
        paths.insert(verb_of(&ask.http.0));
        calls.extend(ask.session.iter().flat_map(|call| call.as_object().unwrap().keys().cloned()));
    }
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let of_path = |method: &String| format!("{} {path}", method.to_uppercase());
        described.extend(methods.as_object().unwrap().keys().map(of_path));
    }
    assert_eq!(paths, described);
    assert_eq!(described, routed());
    assert_eq!(calls, alternatives(&document, "Call"));
    assert_eq!(BTreeSet::from(STEPS.map(str::to_owned)), alternatives(&document, "Step"));
}

/// The code of a problem on a session, or none.
fn code_of(reply: &Value) -> Option<&str> {
    reply["error"]["code"].as_str()
}

#[test]
fn each_role_may_do_over_each_door_what_the_table_says_and_nothing_leaks() {
    let guarded = Guarded::start();
    // Held by others, in both namespaces, so that what is there could be told from what is not.
    for namespace in ["mine", "theirs"] {
        for name in ["redis", "mysql"] {
            assert_eq!(guarded.claim(&guarded.admin, namespace, name, "someone").status, 200);
        }
    }
    let mine = json!({"namespace": "mine"});
    let everywhere = json!({});
    let principals = [
        ("unit", true, &mine),
        ("app-admin", true, &mine),
        ("reader", true, &mine),
        ("operator", true, &mine),
        ("auditor", true, &mine),
        ("reader", false, &everywhere),
        ("operator", false, &everywhere),
        ("auditor", false, &everywhere),
    ];
    let (mut asked, mut denied) = (0, 0);
    for (role, scoped, scope) in principals {
        let principal = if role == "app-admin" { "mysql" } else { "mysql/0" };
        let (_, token) = guarded.token(principal, role, scope);
        let mut session = guarded.session(&token);
        // What each verb is answered where it is denied: one text, whichever lease it is.
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        for (id, ask) in (1..).zip(asks()) {
            let should = may(role, scoped, &ask);
            let (line, body) = &ask.http;
            let what = format!("{role}, scoped {scoped}: {line} {body:?}");
            let text = guarded.request(Some(&token), line, body.as_ref().map(Value::to_string).as_deref());
            let is_denied = text.starts_with("HTTP/1.1 403");
            assert_eq!(is_denied, !should, "{what}: {text}");
            assert!(!text.starts_with("HTTP/1.1 401"), "{what}: {text}");
            if is_denied {
                let told = answer(&text).text;
                assert_eq!(*said.entry(verb_of(line)).or_insert_with(|| told.clone()), told, "{what}");
                denied += 1;
            }
            if let Some(call) = &ask.session {
                session.send(&json!({"id": id, "call": call}).to_string());
                let mut frame = session.next();
                while frame["id"] != id {
                    frame = session.next();
                }
                let is_denied = code_of(&frame["reply"]) == Some("forbidden");
                assert_eq!(is_denied, !should, "{role}, scoped {scoped}: {call}: {frame}");
                // And as a step of many, which is a door of its own.
                if STEPS.iter().any(|step| call[step].is_object()) {
                    let reply = support::ask(&mut session, id + BULK, "bulk", json!([call]));
                    let is_denied = code_of(&reply["bulk"][0]) == Some("forbidden");
                    assert_eq!(is_denied, !should, "{role}, scoped {scoped}: bulk {call}: {reply}");
                }
            }
            asked += 1;
        }
    }
    assert!(asked > 1_000 && denied > 500, "{asked} asked, {denied} denied");
}

/// The path without what it is asked of.
fn verb_of(line: &str) -> String {
    let path = line.split(['?']).next().unwrap();
    match path.strip_prefix("GET /v1/leases/") {
        Some(_) => "GET /v1/leases/{namespace}/{name}".to_owned(),
        None => path.to_owned(),
    }
}

#[test]
fn a_step_of_a_bulk_call_is_denied_by_itself() {
    let guarded = Guarded::start();
    let (_, token) = guarded.token("mysql/0", "unit", &json!({"namespace": "mine"}));
    let step =
        |name: &str, holder: &str| json!({"claim": {"namespace": "mine", "name": name, "holder": holder}});
    let steps = json!([step("mysql", "mysql/1"), step("mysql", "mysql/0"), step("redis", "mysql/0")]);
    let mut session = guarded.session(&token);
    let reply = support::ask(&mut session, 1, "bulk", steps);
    let outcomes = reply["bulk"].as_array().unwrap_or_else(|| panic!("{reply}"));
    assert_eq!(code_of(&outcomes[0]), Some("forbidden"), "{reply}");
    assert!(outcomes[1]["granted"].is_object(), "{reply}");
    assert_eq!(code_of(&outcomes[2]), Some("forbidden"), "{reply}");
}

/// Row 21: no hint that the lease is there, and a line of it.
#[test]
fn a_claim_as_a_holder_that_one_is_not_is_forbidden_and_written_down() {
    let guarded = Guarded::start();
    let (id, token) = guarded.token("mysql/0", "unit", &json!({"namespace": "mine"}));
    assert_eq!(guarded.claim(&guarded.admin, "mine", "redis", "redis/0").status, 200);
    let [held, free] = ["redis", "nothing"].map(|name| guarded.claim(&token, "mine", name, "redis/0"));
    assert_eq!((held.status, held.problem().1.as_str()), (403, "forbidden"), "{held:?}");
    assert_eq!(held.text, free.text);
    guarded.audited("the refusal is in the audit log", |line| {
        line["outcome"] == "denied"
            && line["verb"] == "claim"
            && line["who"] == "mysql/0"
            && line["name"] == "redis"
            && line["by"] == format!("token {id}")
    });
}

#[test]
fn a_unit_keeps_and_ends_its_own_grant_and_not_that_of_another_unit_of_its_application() {
    let guarded = Guarded::start();
    let mine = json!({"namespace": "mine"});
    let [(_, zero), (_, one)] = ["mysql/0", "mysql/1"].map(|unit| guarded.token(unit, "unit", &mine));
    let granted = guarded.claim(&zero, "mine", "mysql", "mysql/0");
    assert_eq!(granted.status, 200, "{granted:?}");
    let grant = json!({"namespace": "mine", "name": "mysql", "token": granted.json()["token"]});
    // Without an instance it would be an operator's act, and with the right one it is another's all the same.
    for instance in [None, Some("7")] {
        let mut body = grant.clone();
        if let Some(instance) = instance {
            body["instance"] = instance.into();
        }
        for path in ["/v1/extend", "/v1/release"] {
            let refused = guarded.post(Some(&one), path, &body);
            assert_eq!(
                (refused.status, refused.problem().1.as_str()),
                (409, "not_yours"),
                "{path}: {refused:?}"
            );
        }
    }
    for path in ["/v1/extend", "/v1/release"] {
        assert_eq!(guarded.post(Some(&zero), path, &grant).status, 200, "{path}");
    }
    guarded.audited("a grant is in the audit log", |line| {
        line["outcome"] == "granted" && line["token"] == grant["token"] && line["holder"] == "mysql/0"
    });
    guarded.audited("a release is in the audit log", |line| line["outcome"] == "released");
}

#[test]
fn an_applications_admin_claims_for_its_units_alone_and_keeps_and_ends_any_grant_of_its_leases() {
    let guarded = Guarded::start();
    let (_, token) = guarded.token("mysql", "app-admin", &json!({"namespace": "mine"}));
    assert_eq!(guarded.claim(&guarded.admin, "mine", "redis", "redis/0").status, 200);
    for (namespace, name, holder) in [
        ("mine", "mysql", "redis/0"),
        ("mine", "mysql", "mysql"),
        ("mine", "mysql", "mysql/00"),
        ("mine", "redis", "mysql/0"),
        ("mine", "redis", "redis/0"),
        ("mine", "mysql2", "mysql/0"),
        ("theirs", "mysql", "mysql/0"),
    ] {
        let refused = guarded.claim(&token, namespace, name, holder);
        assert_eq!((refused.status, refused.problem().1.as_str()), (403, "forbidden"), "{name}: {refused:?}");
    }
    for (name, holder) in [("mysql", "mysql/0"), ("mysql/backup", "mysql/7")] {
        let granted = guarded.claim(&token, "mine", name, holder);
        assert_eq!(granted.status, 200, "{granted:?}");
        let grant = json!({"namespace": "mine", "name": name, "token": granted.json()["token"]});
        for path in ["/v1/extend", "/v1/release"] {
            let done = guarded.post(Some(&token), path, &grant);
            assert_eq!(done.status, 200, "{path}: {done:?}");
        }
    }
    // Whoever holds it.
    let granted = guarded.claim(&guarded.admin, "mine", "mysql", "somebody");
    assert_eq!(granted.status, 200, "{granted:?}");
    let grant = json!({"namespace": "mine", "name": "mysql", "token": granted.json()["token"]});
    // It names nobody but its units, also as the heir of what it ends.
    for heir in ["somebody", "redis/0", "mysql"] {
        let mut revoke = grant.clone();
        revoke["heir"] = heir.into();
        let refused = guarded.post(Some(&token), "/v1/revoke", &revoke);
        assert_eq!((refused.status, refused.problem().1.as_str()), (403, "forbidden"), "{heir}: {refused:?}");
    }
    for path in ["/v1/extend", "/v1/release"] {
        let done = guarded.post(Some(&token), path, &grant);
        assert_eq!(done.status, 200, "{path}: {done:?}");
    }
    // Under the name of its own lease, another's token: it is refused as one that was never given, and tells no more.
    let theirs = guarded.get(Some(&guarded.admin), "/v1/leases/mine/redis").json()["held"]["token"].clone();
    for path in ["/v1/extend", "/v1/release"] {
        let told = |other: &str| {
            let own = json!({"namespace": "mine", "name": "mysql", "token": other});
            let refused = guarded.post(Some(&token), path, &own);
            assert_eq!((refused.status, refused.problem().1.as_str()), (409, "lost"), "{path}: {refused:?}");
            let mut error = refused.json()["error"].take();
            // A revision is that of the read.
            error.as_object_mut().unwrap().remove("revision");
            error.to_string().replace(&format!("token {other} "), "token … ")
        };
        assert_eq!(told(theirs.as_str().unwrap()), told("999"), "{path}");
        let named = json!({"namespace": "mine", "name": "redis", "token": theirs});
        assert_eq!(guarded.post(Some(&token), path, &named).status, 403, "{path}");
    }
    let held = guarded.get(Some(&guarded.admin), "/v1/leases/mine/redis").json();
    assert_eq!(held["held"]["holder"], "redis/0", "{held}");
    guarded.audited("its grant is in the audit log", |line| {
        line["who"] == "mysql" && line["outcome"] == "granted" && line["holder"] == "mysql/7"
    });
}
