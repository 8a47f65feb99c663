//! Juju's introspection over HTTP, at a real server: what its shell helpers ask for, and what they print.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use serde_json::{Value, json};
use server::{Config, Flags, Secret, Server};
use support::{Answer, Node, PATIENCE, http, until};

const MODEL: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";

/// A node that leads, for a moment later than it serves.
fn leading() -> Node {
    let node = Node::start();
    let by = std::time::Instant::now() + PATIENCE;
    while !node.server().status().leads {
        assert!(std::time::Instant::now() < by, "it leads nothing");
        std::thread::yield_now();
    }
    node
}

fn claim(node: &Node, namespace: &str, name: &str, holder: &str) {
    let body = serde_json::json!({"namespace": namespace, "name": name, "holder": holder, "ttl_ms": 60_000});
    let answer = node.post("/v1/claim", &body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn revoke(node: &Node, form: &str) -> Answer {
    node.post_as("application/x-www-form-urlencoded", "/leases/revoke", form)
}

#[test]
fn the_engine_report_is_a_title_and_yaml_and_the_leaders_workers_run() {
    let node = leading();
    let answer = node.get("/depengine");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
    let report = &answer.text;
    assert!(report.starts_with("Dependency Engine Report\n\nmanifolds:\n  api-server:\n"), "{report}");
    assert!(report.ends_with("\nstate: started\n"), "{report}");
    for worker in [
        "lease-clock-updater",
        "lease-manager",
        "raft",
        "raft-clusterer",
        "raft-forwarder",
        "raft-leader-flag",
    ] {
        let of =
            report.split(&format!("\n  {worker}:\n")).nth(1).unwrap_or_else(|| panic!("{worker}: {report}"));
        let state = of.split("\n    state: ").nth(1).unwrap_or_default();
        assert!(state.starts_with("started"), "{worker}: {report}");
    }
    assert!(report.contains("      state: Leader\n"), "{report}");
    assert!(!report.contains("last-contact"), "a leader has none: {report}");
    assert_eq!(node.get("/introspection/depengine").status, 200);
    assert_eq!(node.get("/depengine?x=1").status, 400);
}

#[test]
fn the_numbers_are_prometheus_text() {
    let node = leading();
    claim(&node, "default", "a", "x");
    let answer = node.get("/metrics");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    for line in [
        "tenure_leases_held 1",
        "juju_raft_state_leader 1",
        "tenure_raft_leads 1",
        "# TYPE tenure_raft_term counter",
    ] {
        assert!(answer.text.lines().any(|it| it == line), "{line} not in {}", answer.text);
    }
}

#[test]
fn jujus_leases_are_listed_by_parts_of_their_names_and_no_others() {
    let node = leading();
    claim(&node, "default", "not-jujus", "x");
    claim(&node, &format!("application-leadership:{MODEL}"), "mysql", "mysql/0");
    claim(&node, &format!("application-leadership:{MODEL}"), "redis", "redis/3");
    claim(&node, &format!("singular-controller:{MODEL}"), MODEL, "machine-0");
    let all = node.get("/leases");
    assert_eq!(all.status, 200);
    let text = all.text.replace("59s", "1m0s").replace("1s ago", "0s ago");
    // Chunks of a body of unknown length: the lines are what counts.
    for line in [
        "controller-leases:",
        &format!("  {MODEL}:"),
        "    holder: machine-0",
        "    lease-acquired: 0s ago",
        "    lease-expires: 1m0s",
        "model-leases:",
        "    mysql:",
        "      holder: mysql/0",
        "      lease-acquired: 0s ago",
        "      lease-expires: 1m0s",
        "    redis:",
    ] {
        assert!(text.lines().any(|it| it.trim_end() == line), "{line:?} not in {text}");
    }
    assert!(!text.contains("not-jujus"), "{text}");
    let redis = node.get("/leases?model=8e6e&app=edi&app=nothing").text;
    assert!(
        redis.contains("redis/3") && !redis.contains("mysql") && !redis.contains("controller"),
        "{redis}"
    );
    assert!(node.get("/leases?model=nothing").text.contains("{}"));
    let apps = |count: usize| format!("/leases?{}", vec!["app=redis"; count].join("&"));
    assert!(node.get(&apps(64)).text.contains("redis/3"));
    let (status, code, message) = node.get(&apps(65)).problem();
    assert_eq!((status, code.as_str()), (400, "bad_request"));
    assert!(message.contains("more than 64 times, the limit: ask several times"), "{message}");
    let (status, code, message) = node.get("/leases?models=x").problem();
    assert_eq!((status, code.as_str()), (400, "bad_request"), "{message}");
}

#[test]
fn a_lease_is_revoked_at_once_and_errors_are_in_jujus_words() {
    let node = leading();
    claim(&node, &format!("application-leadership:{MODEL}"), "mysql", "mysql/0");
    let said = |answer: Answer| (answer.status, answer.text);
    let form = format!("model={MODEL}&lease=mysql");
    assert_eq!(
        said(revoke(&node, &form)),
        (200, format!("application lease for model \"{MODEL}\" and app \"mysql\" revoked\n"))
    );
    assert_eq!(
        said(revoke(&node, &form)),
        (400, format!("application lease for model \"{MODEL}\" and app \"mysql\" not found\n"))
    );
    claim(&node, &format!("singular-controller:{MODEL}"), MODEL, "machine-0");
    let in_query = format!("/introspection/leases/revoke?model={MODEL}&ns=singular-controller");
    assert_eq!(
        said(node.post_as("text/plain", &in_query, "")),
        (200, format!("singular lease for model \"{MODEL}\" revoked\n"))
    );
    assert_eq!(said(revoke(&node, "lease=mysql")), (400, "missing model uuid\n".to_owned()));
    assert_eq!(said(revoke(&node, &format!("model={MODEL}"))), (400, "missing lease\n".to_owned()));
    assert_eq!(
        said(revoke(&node, &format!("{form}&ns=odd"))),
        (400, "unknown namespace: \"odd\"\n".to_owned())
    );
    assert_eq!(
        said(node.get("/leases/revoke")),
        (405, "revoking a lease requires a POST request, got \"GET\"\n".to_owned())
    );
}

/// A member that asks who comes, and a token of each kind.
struct Guarded {
    server: Option<Server>,
    admin: String,
    _folder: tempfile::TempDir,
}

impl Guarded {
    fn start() -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::draw();
        let file = folder.path().join("tenure.toml");
        let text = format!(
            "data = \"data\"\nlisten = \"127.0.0.1:0\"\nallow_volatile_data = true\n[auth]\nfirst_token = \"{}-{}-admin\"\n",
            secret.id(),
            secret.hash_hex()
        );
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&Flags { config: Some(file), ..Flags::default() }).unwrap();
        let guarded = Guarded {
            server: Some(Server::start(&config).unwrap()),
            admin: secret.reveal(),
            _folder: folder,
        };
        until("the first token is good", || guarded.ask(&guarded.admin, "GET /v1/tokens", "").status == 200);
        guarded
    }

    fn ask(&self, token: &str, line: &str, body: &str) -> Answer {
        let kind =
            if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let bearer =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        http(self.server.as_ref().unwrap().address(), &request)
    }

    fn token(&self, principal: &str, role: &str, namespace: Option<&str>) -> String {
        let secret = Secret::draw();
        let mut create = json!({
            "id": secret.id().to_string(), "hash": secret.hash_hex(), "principal": principal, "role": role,
        });
        if let Some(namespace) = namespace {
            create["namespace"] = Value::from(namespace);
        }
        let made =
            self.ask(&self.admin, "POST /v1/tokens", &json!({"change": {"create": create}}).to_string());
        assert_eq!(made.status, 200, "{made:?}");
        secret.reveal()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

#[test]
fn each_role_may_ask_for_what_the_one_rule_allows_it() {
    let guarded = Guarded::start();
    let namespace = format!("application-leadership:{MODEL}");
    let revoke = format!("model={MODEL}&lease=mysql");
    // depengine and metrics, leases, revoke: 400 is that nobody holds it, which only those are told who may take it away.
    let table = [
        ("operator", None, [200, 200, 400]),
        ("operator", Some(&*namespace), [403, 403, 400]),
        ("auditor", None, [200, 200, 403]),
        ("reader", None, [403, 200, 403]),
        ("reader", Some(&*namespace), [403, 403, 403]),
        ("app-admin", Some(&*namespace), [403, 403, 400]),
        ("unit", Some(&*namespace), [403, 403, 403]),
    ];
    for (role, namespace, [report, leases, revoked]) in table {
        let principal = if role == "unit" { "mysql/0" } else { "somebody" };
        let token = guarded.token(principal, role, namespace);
        for prefix in ["", "/introspection"] {
            let status = |line: &str, body: &str| {
                let (method, path) = line.split_once(' ').unwrap();
                guarded.ask(&token, &format!("{method} {prefix}{path}"), body).status
            };
            assert_eq!(status("GET /depengine", ""), report, "{role} {namespace:?}");
            assert_eq!(status("GET /metrics", ""), report, "{role} {namespace:?}");
            assert_eq!(status("GET /leases", ""), leases, "{role} {namespace:?}");
            assert_eq!(status("POST /leases/revoke", &revoke), revoked, "{role} {namespace:?}");
        }
    }
    for line in ["GET /depengine", "GET /metrics", "GET /leases", "POST /leases/revoke", "GET /leases/revoke"]
    {
        assert_eq!(guarded.ask("", line, "").status, 401, "{line}");
    }
}
