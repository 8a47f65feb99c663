//! Three members in this process, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;
#[path = "support/three.rs"]
mod three;

use support::{Node, token, until};
use three::three_with;

#[test]
fn members_of_one_cluster_elect_one_and_apply_the_same() {
    let (_reserved, mut nodes) = three_with(|_| {});
    until("one leads", || nodes.iter().any(Node::leads));
    let leader = nodes.iter().find(|node| node.leads()).unwrap();
    until("it grants", || {
        leader.post("/v1/claim", r#"{"name":"a","holder":"h","ttl_ms":60000}"#).status == 200
    });
    until("all have it", || nodes.iter().all(|node| node.server().status().held == 1));
    // Whoever is asked answers as the leader would.
    for (at, node) in nodes.iter().enumerate() {
        let name = format!("b{at}");
        let claimed = node.post(
            "/v1/claim",
            &format!(r#"{{"name":"{name}","holder":"h","instance":"1","seq":"1","ttl_ms":60000}}"#),
        );
        assert_eq!(claimed.status, 200, "{claimed:?}");
        let token = token(&claimed.json());
        for other in &nodes {
            let extend = format!(r#"{{"name":"{name}","token":"{token}","instance":"1"}}"#);
            let extended = other.post("/v1/extend", &extend);
            assert_eq!((extended.status, extended.json()["ttl_ms"].as_u64()), (200, Some(60_000)));
            let seen = other.get(&format!("/v1/leases/default/{name}")).json();
            assert_eq!(
                seen["held"]["token"],
                token.as_str(),
                "a read sees what was answered before it: {seen}"
            );
        }
    }
    assert!(nodes.iter().all(|node| node.get("/readyz").status == 200));
    // One alone has no quorum: it says so, and tells its sessions to move.
    let mut session = nodes[2].session();
    drop(nodes.drain(..2).collect::<Vec<_>>());
    let going = session.next()["push"]["going"].clone();
    assert!(going["why"].as_str().unwrap().contains("no news of a leader"), "{going}");
    let not_ready = nodes[0].get("/readyz");
    let (status, code, _) = not_ready.problem();
    assert_eq!((status, code.as_str()), (503, "behind"));
}
