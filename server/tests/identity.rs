//! Who may do what, over every door: each role, each verb and each scope, asked over HTTP and on a session, and judged by a table of
//! this test's own. What is denied is denied alike whether a lease is there or not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};

use serde_json::{Value, json};
use server::{Config, Flags, Secret, Server};
use support::{Session, answer, connect, until};

/// A member that asks who comes, its first operator's token, and what it writes down.
struct Guarded {
    server: Option<Server>,
    folder: tempfile::TempDir,
    admin: String,
}

impl Guarded {
    fn start() -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::draw();
        let first = format!("{}-{}-admin", secret.id(), secret.hash_hex());
        let file = folder.path().join("tenure.toml");
        let text = format!(
            "data = \"data\"\nlisten = \"127.0.0.1:0\"\nallow_volatile_data = true\n\
             [auth]\nfirst_token = \"{first}\"\n[audit]\nfile = \"audit.jsonl\"\n"
        );
        fs::write(&file, text).unwrap();
        let config = Config::load(&Flags { config: Some(file), ..Flags::default() }).unwrap();
        let server = Some(Server::start(&config).unwrap());
        let guarded = Guarded { server, folder, admin: secret.reveal() };
        until("the first token is good", || guarded.get(Some(&guarded.admin), "/v1/tokens").status == 200);
        guarded
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn request(&self, token: Option<&str>, line: &str, body: Option<&str>) -> String {
        let bearer = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        let body = body.unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let mut stream = connect(self.server().address());
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        // A stream of events has no end: its head says whether it began.
        while !bytes.windows(17).any(|word| word == b"text/event-stream") {
            let mut some = [0; 4_096];
            match stream.read(&mut some).unwrap() {
                0 => break,
                read => bytes.extend_from_slice(&some[..read]),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn get(&self, token: Option<&str>, path: &str) -> support::Answer {
        answer(&self.request(token, &format!("GET {path}"), None))
    }

    fn post(&self, token: Option<&str>, path: &str, body: &Value) -> support::Answer {
        answer(&self.request(token, &format!("POST {path}"), Some(&body.to_string())))
    }

    fn session(&self, token: &str) -> Session {
        use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client};
        let address = self.server().address();
        let mut request = format!("ws://{address}/v1/session").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        Session(client(request, connect(address)).unwrap().0)
    }

    /// A new token of this principal, made by the first operator.
    fn token(&self, principal: &str, role: &str, more: &Value) -> (String, String) {
        let secret = Secret::draw();
        let mut create = json!({
            "id": secret.id().to_string(), "hash": secret.hash_hex(), "principal": principal, "role": role,
        });
        for (field, value) in more.as_object().unwrap() {
            create[field] = value.clone();
        }
        let made = self.post(Some(&self.admin), "/v1/tokens", &json!({"change": {"create": create}}));
        assert_eq!(made.status, 200, "{made:?}");
        (secret.id().to_string(), secret.reveal())
    }

    fn claim(&self, token: &str, namespace: &str, name: &str, holder: &str) -> support::Answer {
        let body =
            json!({"namespace": namespace, "name": name, "holder": holder, "instance": "7", "seq": "1"});
        self.post(Some(token), "/v1/claim", &body)
    }

    fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn audited(&self, what: &str, is_it: impl Fn(&Value) -> bool) {
        until(what, || self.audit().iter().any(&is_it));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

/// One thing to ask: how over HTTP, how on a session where that can be, and of what.
struct Ask {
    verb: &'static str,
    namespace: Option<&'static str>,
    name: Option<&'static str>,
    holder: Option<&'static str>,
    http: (String, Option<Value>),
    session: Option<Value>,
}

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
    for holder in ["mysql/0", "mysql/1"] {
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
    let transfer = with(json!({"token": "999", "instance": "7", "to": "mysql/1"}));
    put("hold", None, ("POST /v1/transfer".to_owned(), Some(transfer.clone())), "transfer", transfer.clone());
    let forced = {
        let mut forced = transfer;
        forced["force"] = true.into();
        forced
    };
    put("hold", Some("mysql/1"), ("POST /v1/transfer".to_owned(), Some(forced.clone())), "transfer", forced);
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
    let is_cluster = matches!(ask.verb, "members" | "change" | "tokens" | "backup");
    // A list that names no namespace is of the principal's own.
    let narrowed = matches!(ask.verb, "list" | "count") && ask.namespace.is_none();
    let inside = !is_cluster && (!scoped || ask.namespace == Some("mine") || narrowed);
    let reads = matches!(ask.verb, "read" | "list" | "count" | "history" | "watch");
    match role {
        "unit" => {
            inside
                && matches!(ask.name, Some("mysql" | "mysql/backup"))
                && matches!(ask.holder, None | Some("mysql/0"))
                && matches!(ask.verb, "claim" | "hold" | "read")
        }
        "reader" => inside && reads,
        "app-admin" => inside && (reads || ask.verb == "manage"),
        "auditor" => (inside && reads) || (!scoped && matches!(ask.verb, "members" | "tokens")),
        "operator" => inside || (is_cluster && !scoped),
        other => panic!("no role {other}"),
    }
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
        let (_, token) = guarded.token("mysql/0", role, scope);
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
        Some(_) => "GET /v1/leases/…".to_owned(),
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

/// Row 59: one outward answer, and the exact cause in the audit log alone.
#[test]
fn whoever_is_not_known_is_told_one_thing_and_the_cause_is_written_down() {
    let guarded = Guarded::start();
    let reader = json!({});
    let (revoked, of_revoked) = guarded.token("a", "reader", &reader);
    let (_, of_expired) = guarded.token("b", "reader", &json!({"valid_for_ms": 1}));
    let done =
        guarded.post(Some(&guarded.admin), "/v1/tokens", &json!({"change": {"revoke": {"id": revoked}}}));
    assert_eq!(done.status, 200, "{done:?}");
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
    for cause in [
        "neither a token nor a certificate",
        "it is no token",
        "cut or mistyped",
        "there is no token",
        "was revoked",
        "has expired",
    ] {
        guarded.audited(cause, |line| {
            line["outcome"] == "unauthenticated"
                && line["why"].as_str().is_some_and(|why| why.contains(cause))
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
    let done = guarded.post(Some(&guarded.admin), "/v1/tokens", &json!({"change": {"revoke": {"id": id}}}));
    assert_eq!(done.status, 200, "{done:?}");
    let (frames, code) = session.rest();
    assert_eq!(code, Some(1001), "{frames:?}");
    assert!(frames[0]["push"]["going"]["why"].as_str().unwrap().contains("good no more"), "{frames:?}");
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
