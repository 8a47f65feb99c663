//! Juju's introspection over HTTP, at a real server: what its shell helpers ask for, and what they print.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use support::{Answer, Node, PATIENCE};

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
        let state = of.split("    state: ").nth(1).unwrap_or_default();
        assert!(state.starts_with("started"), "{worker}: {report}");
    }
    assert!(report.contains("      state: Leader\n"), "{report}");
    assert!(!report.contains("last-contact"), "a leader has none: {report}");
    assert_eq!(node.get("/introspection/depengine").status, 200);
    assert_eq!(node.get("/depengine?x=1").status, 400);
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
