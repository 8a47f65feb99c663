//! Calls and what comes of them.

use std::time::Duration;

use api::{Call, Code};
use client::{Failure, Outcome, Session, Step, Stepped, Unavailable};

use crate::member::*;

#[tokio::test]
async fn answers_find_their_calls_in_whatever_order_they_come() {
    let (_member, mut peer, session) = connected().await;
    let (first, second) = (session.get("default", "one"), session.get("default", "two"));
    let server = async {
        let calls = [peer.call().await, peer.call().await];
        for (id, call) in calls.into_iter().rev() {
            let Call::Get(get) = call else { panic!("{call:?}") };
            peer.reply(id, lease(&get.name)).await;
        }
    };
    let (first, second, ()) = tokio::join!(first, second, server);
    assert_eq!(first.into_result().unwrap().name, "one");
    assert_eq!(second.into_result().unwrap().name, "two");
}

#[tokio::test]
async fn a_grant_is_held_extended_and_over_at_its_release() {
    let (_member, mut peer, session) = connected().await;
    let (grant, _) = tokio::join!(session.claim(claim("a")), peer.grant(7));
    let grant = grant.into_result().unwrap();
    let clone = grant.clone();
    assert!(grant.is_held() && clone.is_held());
    assert_eq!((grant.token(), grant.ttl()), (7, Duration::from_secs(30)));

    let before = grant.safe_until();
    let (extended, _) = tokio::join!(session.extend(&grant, Duration::from_secs(60)), peer.grant(7));
    assert_eq!(extended.into_result().unwrap().ttl(), Duration::from_secs(60));
    assert!(clone.safe_until() > before, "one grant, one belief");

    let server = async {
        let (id, call) = peer.call().await;
        assert!(!clone.is_held(), "belief ended before the release was even received");
        assert!(matches!(call, Call::Release(release) if release.token == 7 && release.instance.is_some()));
        peer.reply(id, no(Code::NoLeader)).await;
        let (id, _) = peer.call().await;
        peer.reply(id, api::Reply::Released(api::Released { token: 7 })).await;
    };
    let (released, ()) = tokio::join!(session.release(&grant), server);
    assert!(matches!(released, Outcome::Done(())));
    assert!(clone.is_over());
}

#[tokio::test]
async fn a_kept_grant_is_extended_without_being_asked() {
    let (_member, mut peer, session) = connected().await;
    let short = client::Claim { ttl: Duration::from_secs(1), ..claim("a") };
    let (grant, _) = tokio::join!(session.claim(short), peer.grant(7));
    let grant = grant.into_result().unwrap();
    session.keep(&grant);
    for _ in 0..3 {
        let call = peer.grant(7).await;
        assert!(matches!(call, Call::Extend(extend) if extend.token == 7 && extend.ttl_ms == Some(1_000)));
    }
}

#[tokio::test]
async fn refusals_carry_the_members_problem() {
    let (_member, mut peer, session) = connected().await;
    let server = async {
        let (id, _) = peer.call().await;
        peer.reply(id, no(Code::Held)).await;
    };
    let (outcome, ()) = tokio::join!(session.claim(claim("a")), server);
    assert!(matches!(outcome, Outcome::Refused(problem) if problem.code == Code::Held));
}

#[tokio::test]
async fn a_claim_that_left_is_unknown_when_the_member_is_gone_for_good() {
    let (member, mut peer, session) = connected().await;
    // So long that the claim surely leaves.
    let session = session.with_deadline(Duration::from_secs(2));
    let server = async {
        let _ = peer.call().await;
        drop((peer, member));
    };
    let (outcome, ()) = tokio::join!(session.claim(claim("a")), server);
    assert!(matches!(outcome, Outcome::Unknown(doubt) if doubt.unanswered == 1));
}

#[tokio::test]
async fn a_claim_that_was_cut_off_is_repeated_as_the_same_claim() {
    let (member, mut peer, session) = connected().await;
    let server = async {
        let (_, first) = peer.call().await;
        drop(peer);
        let mut peer = member.accept().await;
        let repeat = peer.grant(7).await;
        let number =
            |call| if let Call::Claim(claim) = call { (claim.instance, claim.seq) } else { (None, None) };
        let (first, repeat) = (number(first), number(repeat));
        assert!(first.0.is_some() && first.1.is_some());
        assert_eq!(first, repeat);
        peer
    };
    let (outcome, _peer) = tokio::join!(session.claim(claim("a")), server);
    assert!(outcome.into_result().unwrap().is_held());
}

#[tokio::test]
async fn a_read_that_was_cut_off_is_made_again() {
    let (member, mut peer, session) = connected().await;
    let server = async {
        let _ = peer.call().await;
        drop(peer);
        let mut peer = member.accept().await;
        let (id, call) = peer.call().await;
        assert!(matches!(call, Call::Wait(wait) if wait.after == Some(4)));
        peer.reply(id, api::Reply::Free(api::Free { revision: 5 })).await;
        peer
    };
    let (outcome, _peer) = tokio::join!(session.wait("default", "a", Some(4), None), server);
    assert_eq!(outcome.into_result().unwrap().revision, 5);
}

#[tokio::test]
async fn what_a_dropped_claim_wins_is_released() {
    let (_member, mut peer, session) = connected().await;
    let mut call = Box::pin(session.claim(claim("a")));
    let (id, _) = tokio::select! {
        _ = &mut call => panic!("nobody answered"),
        call = peer.call() => call,
    };
    drop(call);
    peer.reply(id, granted("a", 7, 30_000)).await;
    let (_, call) = peer.call().await;
    assert!(matches!(call, Call::Release(release) if release.token == 7));
}

#[tokio::test]
async fn a_dropped_wait_is_cancelled() {
    let (_member, mut peer, session) = connected().await;
    let mut call = Box::pin(session.wait("default", "a", None, None));
    let (id, _) = tokio::select! {
        _ = &mut call => panic!("nobody answered"),
        call = peer.call() => call,
    };
    drop(call);
    let (_, call) = peer.call().await;
    assert!(matches!(call, Call::Cancel(cancel) if cancel.id == id));
}

#[tokio::test]
async fn a_bulk_frame_has_an_outcome_a_step() {
    let (_member, mut peer, session) = connected().await;
    let steps = vec![Step::Claim(claim("a")), Step::Claim(claim("b"))];
    let server = async {
        let (id, call) = peer.call().await;
        assert!(matches!(call, Call::Bulk(steps) if steps.len() == 2));
        peer.reply(id, api::Reply::Bulk(vec![granted("a", 7, 30_000), no(Code::Held)])).await;
    };
    let (outcomes, ()) = tokio::join!(session.bulk(steps), server);
    let outcomes = outcomes.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Done(Stepped::Granted(grant)) if grant.is_held()));
    assert!(matches!(&outcomes[1], Outcome::Refused(problem) if problem.code == Code::Held));
}

#[tokio::test]
async fn a_frame_beyond_the_limits_is_refused_before_it_leaves() {
    let (_member, mut peer, session) = connected().await;
    let many = (0..10_001).map(|n| Step::Claim(claim(&format!("n{n}")))).collect();
    let long = (0..10_000).map(|n| Step::Claim(claim(&format!("{n}{}", "x".repeat(200))))).collect();
    for (steps, limit) in [(many, "10000"), (long, "1048576")] {
        let Err(Failure::Refused(problem)) = session.bulk(steps).await else { panic!("it was not refused") };
        assert_eq!(problem.code, Code::TooLarge);
        assert!(problem.message.contains(limit), "{problem}");
    }
    // The next frame that the member sees is this one.
    let (page, (id, call)) = tokio::join!(
        async { tokio::time::timeout(Duration::ZERO, session.list(api::List::default())).await },
        peer.call()
    );
    assert!(page.is_err() && id > 0 && matches!(call, Call::List(_)));
}

#[tokio::test]
async fn a_raw_claim_without_an_instance_gets_the_sessions() {
    let (_member, mut peer, session) = connected().await;
    let call = Call::Claim(api::Claim {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        holder: "h".to_owned(),
        ttl_ms: Some(1_000),
        ..api::Claim::default()
    });
    let (reply, sent) = tokio::join!(session.call(call, Duration::from_secs(60)), peer.grant(7));
    assert!(matches!(reply, Ok(api::Reply::Granted(grant)) if grant.token == 7));
    assert!(matches!(sent, Call::Claim(claim) if claim.instance == Some(session.instance())));
}

#[tokio::test]
async fn what_was_under_way_when_the_sessions_runtime_went_down_is_unknown() {
    let member = Member::start().await;
    let options = options(vec![member.endpoint()]);
    let (opened, session) = tokio::sync::oneshot::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            opened.send(Session::connect(options).await.unwrap()).unwrap();
            let _ = stopped.await;
        });
    });
    let (mut peer, session) = tokio::join!(member.accept(), session);
    let session = session.unwrap();
    let server = async {
        let _ = (peer.call().await, peer.call().await);
        drop(stop);
    };
    let (claimed, read, ()) = tokio::join!(session.claim(claim("a")), session.get("default", "b"), server);
    assert!(matches!(claimed, Outcome::Unknown(_)), "it left: {claimed:?}");
    assert!(matches!(read, Outcome::Unavailable(Unavailable::Closed)), "{read:?}");
    thread.join().unwrap();
    let late = session.claim(claim("c")).await;
    assert!(matches!(late, Outcome::Unavailable(Unavailable::Closed)), "it never left: {late:?}");
}
