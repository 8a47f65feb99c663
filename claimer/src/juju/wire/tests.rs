//! What is written, and what is made of answers: those of the reference, to the letter.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Ask, Frame};
use crate::juju::Login;
use crate::target::No;

const MODEL: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";

fn written(ask: &Ask) -> Value {
    serde_json::from_str(&ask.text(7)).unwrap()
}

fn frame(text: &str) -> Frame {
    serde_json::from_str(text).unwrap()
}

#[test]
fn asks_are_written_as_jujus_own_agents_write_them() {
    let login =
        Login { model: MODEL.to_owned(), unit: "ubuntu-lite/0".to_owned(), password: "sesame".to_owned() };
    assert_eq!(
        written(&Ask::Login(login)),
        json!({"request-id": 7, "type": "Admin", "version": 3, "request": "Login", "params": {
            "auth-tag": "unit-ubuntu-lite-0", "credentials": "sesame", "nonce": "", "macaroons": null,
            "cli-args": "", "user-data": ""}})
    );
    let claim = Ask::Claim { unit: "a-b0/12".to_owned(), duration: Duration::from_millis(4_500) };
    assert_eq!(
        written(&claim),
        json!({"request-id": 7, "type": "LeadershipService", "version": 2, "request": "ClaimLeadership",
            "params": {"params": [
                {"application-tag": "application-a-b0", "unit-tag": "unit-a-b0-12", "duration": 4.5}]}})
    );
    assert_eq!(
        written(&Ask::Block { application: "mysql".to_owned() }),
        json!({"request-id": 7, "type": "LeadershipService", "version": 2,
            "request": "BlockUntilLeadershipReleased", "params": {"Name": "mysql"}})
    );
    assert_eq!(
        written(&Ask::Ping),
        json!({"request-id": 7, "type": "Pinger", "version": 1, "request": "Ping", "params": {}})
    );
}

#[test]
fn whole_seconds_are_floats_too() {
    let text = Ask::Claim { unit: "a/0".to_owned(), duration: Duration::from_secs(60) }.text(1);
    assert!(text.contains("\"duration\":60.0"), "{text}");
}

#[test]
fn an_answer_without_an_error_is_done() {
    for text in [
        r#"{"request-id":3,"response":{"results":[{}]}}"#,
        r#"{"request-id":3,"response":{}}"#,
        r#"{"request-id":3,"response":{"results":[{"error":null}]},"what":"else"}"#,
    ] {
        let frame = frame(text);
        assert_eq!(frame.request_id, 3);
        assert_eq!(frame.done(), Ok(()), "{text}");
    }
}

#[test]
fn every_error_means_what_a_holder_does_next() {
    let item = |message: &str, code: &str| {
        let error = json!({"message": message, "code": code});
        json!({"request-id": 1, "response": {"results": [{"error": error}]}}).to_string()
    };
    let call = |message: &str, code: &str| {
        json!({"request-id": 1, "error": message, "error-code": code, "response": {}}).to_string()
    };
    let block =
        json!({"request-id": 1, "response": {"error": {"message": "lease manager stopped", "code": ""}}});
    let table = [
        (item("leadership claim denied", "leadership claim denied"), "wait"),
        (item("lease operation timed out", ""), "unknown"),
        (item("lease operation timed out", "lease error"), "unknown"),
        (item("lease manager stopped", ""), "unknown"),
        (item("invalid duration", ""), "stop"),
        (item("permission denied", "unauthorized access"), "stop"),
        (item("try again", "try again"), "again"),
        (call("try again", "try again"), "again"),
        (call("permission denied", "unauthorized access"), "stop"),
        (call(&format!("unknown model: \"{MODEL}\""), "model not found"), "stop"),
        (call("no such request - method Pinger(1).Pong is not implemented", "not implemented"), "stop"),
        // An empty code is left out.
        (r#"{"request-id":1,"error":"what nobody foresaw","response":{}}"#.to_owned(), "unknown"),
        (block.to_string(), "unknown"),
    ];
    for (text, expected) in table {
        let fault = frame(&text).done().unwrap_err();
        let found = match fault.no() {
            No::Held { after: None } => "wait",
            No::Again { after: None, .. } => "again",
            No::Unknown { .. } => "unknown",
            No::Wrong { .. } => "stop",
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_login_is_good_for_the_model_that_was_asked_for_alone() {
    let text = |tag: &str| {
        json!({"request-id": 1, "response": {"model-tag": tag, "controller-tag": "controller-x",
            "server-version": "2.5.1", "facades": [{"name": "Pinger", "versions": [1]}],
            "servers": [[{"value": "10.0.0.1", "port": 17070}]]}})
        .to_string()
    };
    assert_eq!(frame(&text(&format!("model-{MODEL}"))).logged_in(MODEL), Ok(()));
    let other = frame(&text("model-other")).logged_in(MODEL).unwrap_err();
    assert_eq!(other.to_string(), "it is the model model-other");
    assert!(matches!(other.no(), No::Wrong { .. }));
    let denied = r#"{"request-id":1,"error":"invalid entity name or password","error-code":"unauthorized access","response":{}}"#;
    assert_eq!(frame(denied).logged_in(MODEL).unwrap_err().to_string(), "invalid entity name or password");
}
