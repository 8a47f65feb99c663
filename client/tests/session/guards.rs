//! Leases that are waited for, kept, and lost with their reason.

use std::time::Duration;

use api::{Call, Code};
use client::{Acquire, Guard, LostWhy, Outcome, Session, Transfer};

use crate::member::*;

fn acquire(ttl_ms: u64) -> Acquire {
    Acquire { ttl: Duration::from_millis(ttl_ms), ..Acquire::new("a", "h") }
}

// A guard under token 7, got at once.
async fn guarded(session: &Session, peer: &mut Peer, ttl_ms: u64) -> Guard {
    let (guard, _) = tokio::join!(session.hold(acquire(ttl_ms)), peer.grant(7));
    guard.into_result().unwrap()
}

// Answers the next extend with `reply`.
async fn answer_extend(peer: &mut Peer, reply: api::Reply) {
    let (id, call) = peer.call().await;
    assert!(matches!(call, Call::Extend(_)), "{call:?}");
    peer.reply(id, reply).await;
}

#[tokio::test]
async fn what_came_by_waiting_is_given_when_it_is_confirmed() {
    let (_member, mut peer, session) = connected().await;
    let server = async {
        let (id, call) = peer.call().await;
        let Call::Acquire(acquire) = call else { panic!("{call:?}") };
        assert!(acquire.instance == Some(session.instance()) && acquire.seq.is_some());
        assert_eq!(acquire.timeout_ms, None);
        peer.reply(id, unconfirmed("a", 7, 30_000)).await;
        let call = peer.grant(7).await;
        assert!(matches!(call, Call::Extend(extend) if extend.token == 7));
    };
    let (grant, ()) = tokio::join!(session.acquire(acquire(30_000)), server);
    let grant = grant.into_result().unwrap();
    assert!(grant.is_held() && grant.token() == 7);
}

#[tokio::test]
async fn an_acquire_outlives_its_connection_and_keeps_its_number() {
    let (member, mut peer, session) = connected().await;
    let server = async {
        let (_, first) = peer.call().await;
        drop(peer);
        let mut peer = member.accept().await;
        let again = peer.grant(7).await;
        assert_eq!(first, again);
        peer
    };
    let (grant, _peer) = tokio::join!(session.acquire(acquire(30_000)), server);
    assert!(grant.into_result().unwrap().is_held());
}

#[tokio::test]
async fn a_dropped_acquire_is_cancelled_and_may_be_made_again_at_once() {
    let (_member, mut peer, session) = connected().await;
    let mut call = Box::pin(session.acquire(acquire(30_000)));
    let (id, _) = tokio::select! {
        _ = &mut call => panic!("nobody answered"),
        call = peer.call() => call,
    };
    drop(call);
    let (grant, cancel) = tokio::join!(session.acquire(acquire(30_000)), async {
        let (_, cancel) = peer.call().await;
        peer.grant(7).await;
        cancel
    });
    assert!(matches!(cancel, Call::Cancel(cancel) if cancel.id == id));
    assert!(matches!(grant, Outcome::Done(_)));
}

#[tokio::test]
async fn the_end_of_the_line_is_a_refusal() {
    let (_member, mut peer, session) = connected().await;
    let acquire = Acquire { timeout: Some(Duration::from_secs(60)), ..acquire(30_000) };
    let server = async {
        let (id, call) = peer.call().await;
        assert!(matches!(call, Call::Acquire(acquire) if acquire.timeout_ms.is_some_and(|ms| ms <= 60_000)));
        peer.reply(id, no(Code::StillHeld)).await;
    };
    let (outcome, ()) = tokio::join!(session.acquire(acquire), server);
    assert!(matches!(outcome, Outcome::Refused(problem) if problem.code == Code::StillHeld));
}

#[tokio::test]
async fn a_guard_keeps_its_lease_until_it_is_released() {
    let (_member, mut peer, session) = connected().await;
    let guard = guarded(&session, &mut peer, 1_000).await;
    for _ in 0..3 {
        assert!(matches!(peer.grant(7).await, Call::Extend(extend) if extend.token == 7));
    }
    assert!(guard.is_held());
    let lost = guard.lost();
    let server = async {
        let (mut id, mut call) = peer.call().await;
        while matches!(call, Call::Extend(_)) {
            (id, call) = peer.call().await;
        }
        assert!(matches!(call, Call::Release(release) if release.token == 7));
        peer.reply(id, api::Reply::Released(api::Released { token: 7 })).await;
    };
    let (released, ()) = tokio::join!(guard.release(), server);
    assert!(matches!(released, Outcome::Done(())));
    assert_eq!(lost.await.why, LostWhy::Released);
}

#[tokio::test]
async fn a_dropped_guard_releases_also_where_it_is_the_last_of_its_session() {
    let (_member, mut peer, session) = connected().await;
    let guard = guarded(&session, &mut peer, 30_000).await;
    drop(session);
    drop(guard);
    let (_, call) = peer.call().await;
    assert!(matches!(call, Call::Release(release) if release.token == 7));
}

#[tokio::test]
async fn a_lease_is_lost_with_the_end_that_the_cluster_tells() {
    for (why, reason) in [("expired", None), ("revoked", Some("drill")), ("transferred", None)] {
        let (_member, mut peer, session) = connected().await;
        let guard = guarded(&session, &mut peer, 1_000).await;
        let (lost, ()) = tokio::join!(guard.lost(), answer_extend(&mut peer, lost(7, why, reason)));
        assert_eq!(lost.token, 7);
        assert_eq!(lost.why.end().map(|end| end.why.as_str()), Some(why), "{lost}");
        assert_eq!(lost.why.reason(), reason);
        assert!(!guard.is_held());
    }
}

#[tokio::test]
async fn a_revoked_lease_is_held_to_its_end_and_lost_with_the_operators_reason() {
    let (_member, mut peer, session) = connected().await;
    let guard = guarded(&session, &mut peer, 1_000).await;
    let server = async {
        answer_extend(&mut peer, no(Code::Ending)).await;
        let (id, call) = peer.call().await;
        assert!(matches!(call, Call::Get(_)), "{call:?}");
        let api::Reply::Lease(mut seen) = lease("a") else { panic!() };
        seen.held = Some(api::Held {
            holder: "h".to_owned(),
            token: 7,
            ttl_ms: 1_000,
            remaining_ms: 500,
            confirmed: true,
            ending: Some("drill".to_owned()),
            ending_heir: None,
            value: None,
        });
        peer.reply(id, api::Reply::Lease(seen)).await;
    };
    let until = guard.safe_until().unwrap();
    let (lost, ()) = tokio::join!(guard.lost(), server);
    assert_eq!(lost.why, LostWhy::Revoked { reason: Some("drill".to_owned()) });
    assert_eq!(guard.ending(), Some(lost.why));
    assert!(session.now() >= until);
}

#[tokio::test]
async fn without_news_it_is_lost_by_our_own_clock() {
    let (member, mut peer, session) = connected().await;
    let guard = guarded(&session, &mut peer, 300).await;
    let until = guard.safe_until().unwrap();
    drop((peer, member));
    assert_eq!(guard.lost().await.why, LostWhy::Expired);
    assert!(session.now() >= until);
}

#[tokio::test]
async fn a_transfer_ends_belief_when_it_is_asked_for() {
    let (_member, mut peer, session) = connected().await;
    let guard = guarded(&session, &mut peer, 30_000).await;
    let server = async {
        let (id, call) = peer.call().await;
        assert!(!guard.is_held(), "belief ended before the transfer was even received");
        assert!(matches!(call, Call::Transfer(transfer)
            if transfer.token == 7 && transfer.to == "other" && transfer.instance == session.instance()));
        peer.reply(id, api::Reply::Released(api::Released { token: 7 })).await;
    };
    let (handed_on, ()) = tokio::join!(session.transfer(guard.grant(), Transfer::to("other")), server);
    assert!(matches!(handed_on, Outcome::Done(())));
    assert_eq!(guard.lost().await.why, LostWhy::Released);
}
