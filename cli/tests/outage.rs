//! A server that is gone for longer than a lease lasts: it does not count its downtime, and its holders go on as they were.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop, and say where")]

mod node;

use std::time::Duration;

use client::{Claim, Grant, Options, Outcome, Session};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use node::Node;

/// The shortest that a namespace without settings allows.
const TTL: Duration = Duration::from_secs(1);
/// Longer than two ttls, after which a session has given up every belief.
const OUTAGE: Duration = Duration::from_millis(2_600);

async fn connect(node: &Node) -> Session {
    let endpoints = vec![node.address.parse().expect("an address")];
    let options = Options { deadline: Duration::from_secs(20), ..Options::new(endpoints) };
    Session::connect(options).await.expect("the node serves")
}

async fn won(session: &Session) -> Grant {
    let claim = Claim { ttl: TTL, ..Claim::new("db/primary", "h1") };
    session.claim(claim).await.into_result().expect("it is free")
}

/// The holder extends by hand, as one that wants to go on: at once, and again when an answer is no answer.
async fn extended(session: &Session, grant: &Grant) -> Grant {
    match session.extend(grant, TTL).await {
        Outcome::Done(extended) => extended,
        other => panic!("the grant did not outlive the outage: {other:?}"),
    }
}

fn assert_held_again(grant: &Grant, extended: &Grant) {
    assert_eq!(extended.token(), grant.token());
    assert!(extended.is_held(), "extended, and yet not held");
    assert!(grant.is_held(), "one grant, one belief, also in older hands");
}

#[tokio::test]
async fn a_holder_that_extends_after_a_stopped_server_went_on_is_held_again() {
    let node = Node::start();
    let session = connect(&node).await;
    let grant = won(&session).await;
    let pid = Pid::from_raw(i32::try_from(node.pid()).expect("a pid"));
    kill(pid, Signal::SIGSTOP).expect("the node runs");
    tokio::time::sleep(OUTAGE).await;
    assert!(!grant.is_held(), "nobody believes through an outage");
    kill(pid, Signal::SIGCONT).expect("the node is there");
    assert_held_again(&grant, &extended(&session, &grant).await);
    assert!(matches!(session.release(&grant).await, Outcome::Done(())));
    assert!(grant.is_over());
}

#[tokio::test]
async fn a_holder_whose_extend_waits_out_a_restart_is_held_again() {
    let mut node = Node::start();
    let session = connect(&node).await;
    let grant = won(&session).await;
    node.kill();
    tokio::time::sleep(OUTAGE / 2).await;
    // Asked for while nobody is there: the session tries on, and must be back within the server's grace and a ttl.
    let extending = tokio::spawn({
        let (session, grant) = (session.clone(), grant.clone());
        async move { extended(&session, &grant).await }
    });
    tokio::time::sleep(OUTAGE).await;
    assert!(!grant.is_held(), "nobody believes through an outage");
    node.start_again();
    assert_held_again(&grant, &extending.await.expect("the extend is answered"));
}
