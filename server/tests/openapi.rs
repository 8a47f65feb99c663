//! The document that describes the API is what the server serves and what docs/openapi.json keeps.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use serde_json::Value;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

/// `UPDATE_GOLDENFILES=1` writes it anew.
#[test]
fn the_kept_document_is_the_served_one() {
    let node = support::Node::start();
    let served = node.get("/v1/openapi.json");
    assert!(served.head.contains("content-type: application/json"), "{}", served.head);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(KEPT, &served.text).unwrap();
    }
    let kept = std::fs::read_to_string(KEPT).unwrap();
    assert!(
        kept == served.text,
        "docs/openapi.json is not what the server serves: run `just fix`, and read the difference"
    );
}

#[test]
fn every_route_is_described_and_every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&server::openapi_json()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let described: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "get /depengine",
        "get /healthz",
        "get /leases",
        "post /leases/revoke",
        "get /metrics",
        "get /readyz",
        "post /v1/acquire",
        "get /v1/backup",
        "get /v1/check",
        "post /v1/claim",
        "get /v1/count",
        "post /v1/extend",
        "get /v1/history",
        "get /v1/leases",
        "get /v1/leases/{namespace}/{name}",
        "get /v1/members",
        "post /v1/members",
        "get /v1/namespaces",
        "post /v1/namespaces",
        "get /v1/openapi.json",
        "post /v1/pin",
        "post /v1/release",
        "post /v1/revoke",
        "get /v1/session",
        "get /v1/tokens",
        "post /v1/tokens",
        "post /v1/transfer",
        "post /v1/unpin",
        "get /v1/wait",
        "get /v1/watch",
    ];
    assert_eq!(described, expected);
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 30, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    // Each answer of each call has a description, and each call an answer for success.
    for (path, methods) in document["paths"].as_object().unwrap() {
        for call in methods.as_object().unwrap().values() {
            assert!(call["summary"].is_string(), "{path}");
            let responses = call["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| ["200", "204", "101"].contains(&status.as_str())),
                "{path}"
            );
            assert!(responses.values().all(|response| response["description"].is_string()), "{path}");
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(to) if name == "$ref" => references.push(to.clone()),
                    value => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
