//! More than a server has room for: what is answered, in which order of urgency, and that all is well behind it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use serde_json::{Value, json};
use support::{Node, Session, ask, call, token};

/// Commands of a kind that may wait.
const ROOM: usize = 64;

fn claim(number: usize) -> Value {
    json!({"claim": {"name": format!("flood/{number}"), "holder": "h", "instance": "1", "seq": number.to_string()}})
}

fn codes(reply: &Value) -> Vec<String> {
    let steps = reply["bulk"].as_array().unwrap_or_else(|| panic!("{reply}"));
    let code = |step: &Value| step["error"]["code"].as_str().unwrap_or("done").to_owned();
    steps.iter().map(code).collect()
}

#[test]
fn extends_are_carried_out_where_claims_are_told_to_come_again() {
    let node = Node::start_with(|config| config.commands = ROOM);
    let mut session: Session = node.session();
    let held: Vec<Value> = (0..ROOM)
        .map(|number| {
            let name = format!("held/{number}");
            let body = json!({"name": name, "holder": "h", "instance": "1", "seq": number.to_string()});
            let token = token(&ask(&mut session, number as u64, "claim", body)["granted"]);
            json!({"extend": {"name": name, "token": token, "instance": "1"}})
        })
        .collect();
    // In one frame, so that nothing is done before all of it is there: claims first, and far more than have room.
    let claims = (0..3 * ROOM).map(claim);
    let reply = ask(&mut session, 1_000, "bulk", claims.chain(held).collect());
    let codes = codes(&reply);
    let (claims, extends) = codes.split_at(3 * ROOM);
    assert!(extends.iter().all(|code| code == "done"), "{extends:?}");
    assert!(claims[..ROOM].iter().all(|code| code == "done"), "{claims:?}");
    assert!(claims[ROOM..].iter().all(|code| code == "overloaded"), "{claims:?}");
    let refused = &reply["bulk"][ROOM]["error"];
    assert!(refused["retry_after_ms"].as_u64().is_some_and(|millis| millis >= 50), "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("limits.commands") && message.contains("try again in"), "{message}");
    // Surely not done, and done when they come again.
    assert_eq!(
        ask(&mut session, 1_001, "get", json!({"name": format!("flood/{ROOM}")}))["lease"]["held"],
        Value::Null
    );
    let again = ask(&mut session, 1_002, "bulk", (ROOM..2 * ROOM).map(claim).collect());
    assert!(self::codes(&again).iter().all(|code| code == "done"), "{again}");
}

#[test]
fn releases_pass_a_flood_of_claims() {
    let node = Node::start_with(|config| config.commands = ROOM);
    let mut session = node.session();
    let body = json!({"name": "held", "holder": "h", "instance": "1", "seq": "1"});
    let token = token(&ask(&mut session, 1, "claim", body)["granted"]);
    let release = json!({"release": {"name": "held", "token": token, "instance": "1"}});
    call(&mut session, 2, "bulk", (0..2 * ROOM).map(claim).chain([release]).collect());
    let reply = session.next()["reply"].clone();
    assert_eq!(codes(&reply).last().unwrap(), "done", "{reply}");
}
