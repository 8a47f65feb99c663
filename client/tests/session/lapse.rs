//! Belief that ran out while nobody answered, in a grant that the cluster still has: it does not count its downtime.

use std::time::Duration;

use api::{Call, Code, Released, Reply};
use client::{Grant, Outcome, Session, Step};

use crate::member::*;

/// Longer than the session waits for what its holder extends by hand: two ttls of [`claim`].
const OUTAGE: Duration = Duration::from_secs(70);
const TTL: Duration = Duration::from_secs(30);

async fn won(session: &Session, peer: &mut Peer) -> Grant {
    let (grant, _) = tokio::join!(session.claim(claim("a")), peer.grant(7));
    grant.into_result().unwrap()
}

/// Has the session look at its clock.
async fn look(session: &Session, peer: &mut Peer) {
    let server = async {
        let (id, _) = peer.call().await;
        peer.reply(id, lease("b")).await;
    };
    let (seen, ()) = tokio::join!(session.get("default", "b"), server);
    assert!(matches!(seen, Outcome::Done(_)));
}

#[tokio::test]
async fn it_is_held_again_in_its_callers_hands_once_an_extend_is_granted() {
    let (clock, _member, mut peer, session) = connected_by_hand().await;
    let grant = won(&session, &mut peer).await;
    clock.pass(OUTAGE);
    look(&session, &mut peer).await;
    assert!(!grant.is_held() && !grant.is_over(), "it may come back");
    let (extended, _) = tokio::join!(session.extend(&grant, TTL), peer.grant(7));
    let extended = extended.into_result().unwrap();
    assert!(extended.is_held() && grant.is_held(), "extended, and yet not held");
    assert_eq!(grant.safe_until(), extended.safe_until(), "one grant, one belief");
    assert!(
        matches!(session.claim(claim("a")).await, Outcome::Refused(problem) if problem.code == Code::Held)
    );

    let server = async {
        let (id, _) = peer.call().await;
        peer.reply(id, Reply::Released(Released { token: 7 })).await;
    };
    let (released, ()) = tokio::join!(session.release(&extended), server);
    assert!(matches!(released, Outcome::Done(())));
    assert!(grant.is_over() && extended.is_over());
}

#[tokio::test]
async fn a_claim_that_is_answered_with_it_is_the_same_belief() {
    let (clock, _member, mut peer, session) = connected_by_hand().await;
    let before = won(&session, &mut peer).await;
    clock.pass(OUTAGE);
    look(&session, &mut peer).await;
    let after = won(&session, &mut peer).await;
    assert!(before.is_held() && after.is_held());
}

#[tokio::test]
async fn one_that_was_kept_ends_at_its_instant_and_comes_back_unkept() {
    let (clock, _member, mut peer, session) = connected_by_hand().await;
    let grant = won(&session, &mut peer).await;
    session.keep(&grant);
    clock.pass(OUTAGE);
    look(&session, &mut peer).await;
    assert!(!grant.is_held() && !grant.is_over());
    let (extended, _) = tokio::join!(session.extend(&grant, TTL), peer.grant(7));
    assert!(extended.into_result().unwrap().is_held() && grant.is_held());
    // Past a third of the ttl nothing is extended unasked: the next call that the member hears is the look.
    clock.pass(TTL / 2);
    look(&session, &mut peer).await;
    session.keep(&grant);
    let (_, call) = peer.call().await;
    assert!(matches!(call, Call::Extend(extend) if extend.token == 7), "kept again");
}

#[tokio::test]
async fn it_does_not_come_back_once_it_was_let_go_or_the_cluster_said_that_it_ended() {
    let (clock, _member, mut peer, session) = connected_by_hand().await;
    let grant = won(&session, &mut peer).await;
    clock.pass(OUTAGE);
    look(&session, &mut peer).await;
    // The release is refused; an extend that is granted all the same changes nothing.
    let server = async {
        let (id, _) = peer.call().await;
        peer.reply(id, Reply::Bulk(vec![no(Code::NotYours)])).await;
    };
    let (released, ()) = tokio::join!(session.bulk(vec![Step::Release(grant.clone())]), server);
    assert!(released.is_ok() && grant.is_over(), "its release was asked for");
    let (extended, _) = tokio::join!(session.extend(&grant, TTL), peer.grant(7));
    assert!(!extended.into_result().unwrap().is_held() && !grant.is_held());

    let (clock, _member, mut peer, session) = connected_by_hand().await;
    let grant = won(&session, &mut peer).await;
    clock.pass(OUTAGE);
    look(&session, &mut peer).await;
    let server = async {
        let (id, _) = peer.call().await;
        peer.reply(id, no(Code::Lost)).await;
    };
    let (refused, ()) = tokio::join!(session.extend(&grant, TTL), server);
    assert!(matches!(refused, Outcome::Refused(problem) if problem.code == Code::Lost));
    assert!(grant.is_over());
}
