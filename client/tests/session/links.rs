//! Connections that fail, break, or are asked to go elsewhere.

use std::time::Duration;

use api::{Call, Code, ErrorBody, Going, Problem, Push};
use client::{Failure, Options, Outcome, Session, Unavailable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::member::*;

#[tokio::test]
async fn the_next_endpoint_does_where_one_refuses() {
    let member = Member::start().await;
    let endpoints = vec![nowhere().await, member.endpoint()];
    let (_peer, session) = tokio::join!(member.accept(), Session::connect(options(endpoints)));
    assert!(session.is_ok());
}

#[tokio::test]
async fn where_no_endpoint_can_be_reached_each_is_named_with_its_cause() {
    let unresolved = "no-such-host.invalid:7400".parse().unwrap();
    let endpoints = vec![nowhere().await, unresolved];
    let first = endpoints[0].to_string();
    let Err(failure) = Session::connect(options(endpoints)).await else { panic!("connected to nowhere") };
    let Failure::Unavailable(Unavailable::Unreachable(tries)) = &failure else { panic!("{failure}") };
    assert_eq!(tries.len(), 2);
    assert_eq!((tries[0].endpoint.as_str(), tries[0].cause.as_str()), (first.as_str(), "connection refused"));
    assert!(!tries[1].cause.is_empty() && tries[1].cause != "connection refused");
    assert!(failure.to_string().contains("no-such-host.invalid:7400"), "{failure}");
}

#[tokio::test]
async fn a_call_that_never_left_is_unavailable() {
    let session = Session::open(options(vec![nowhere().await])).unwrap();
    let outcome = session.with_deadline(Duration::from_millis(100)).claim(claim("a")).await;
    let Outcome::Unavailable(Unavailable::Unreachable(tries)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(tries[0].cause, "connection refused");
}

#[tokio::test]
async fn an_endpoint_that_takes_the_connection_and_says_nothing_times_out_by_name() {
    let member = Member::start().await;
    let connect_timeout = Duration::from_millis(50);
    let options = Options { connect_timeout, ..options(vec![member.endpoint()]) };
    let (_silent, session) = tokio::join!(member.accept_raw(), Session::connect(options));
    let Err(failure) = session else { panic!("connected to silence") };
    assert!(failure.to_string().contains("timed out after 50ms"), "{failure}");
}

async fn refused_with(response: &str) -> String {
    let member = Member::start().await;
    let server = async {
        let mut tcp = member.accept_raw().await;
        let mut request = [0; 1_024];
        let _ = tcp.read(&mut request).await.unwrap();
        tcp.write_all(response.as_bytes()).await.unwrap();
    };
    let ((), session) = tokio::join!(server, Session::connect(options(vec![member.endpoint()])));
    let Err(failure) = session else { panic!("connected to {response}") };
    failure.to_string()
}

#[tokio::test]
async fn a_refused_upgrade_is_told_in_the_servers_words() {
    let error = Problem::new(Code::Overloaded, "too many connections");
    let body = serde_json::to_string(&ErrorBody { error }).unwrap();
    let head = format!("HTTP/1.1 503 Service Unavailable\r\ncontent-length: {}\r\n\r\n", body.len());
    let message = refused_with(&format!("{head}{body}")).await;
    assert!(message.contains("503") && message.contains("overloaded: too many connections"), "{message}");
}

#[tokio::test]
async fn a_port_of_something_else_is_recognised() {
    let message = refused_with("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    assert!(message.contains("is it a Tenure member's client port?"), "{message}");
    let message = refused_with("220 mail.example ESMTP\r\n").await;
    assert!(message.contains("is it a Tenure member's client port?"), "{message}");
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_breaks_the_link_and_the_call_goes_on_by_another() {
    for bad in ["no json", "{}", "{\"id\":1}", "{\"id\":\"1\",\"reply\":\"cancelled\"}", "[]"] {
        let (member, mut peer, session) = connected().await;
        let server = async {
            let _ = peer.call().await;
            peer.text(bad.to_owned()).await;
            let mut peer = member.accept().await;
            peer.grant(7).await;
            peer
        };
        let (outcome, _peer) = tokio::join!(session.claim(claim("a")), server);
        assert!(matches!(outcome, Outcome::Done(_)), "{bad}: {outcome:?}");
    }
}

#[tokio::test]
async fn answers_to_nobody_are_ignored() {
    let (_member, mut peer, session) = connected().await;
    let server = async {
        peer.reply(4_000_000, granted("a", 6, 30_000)).await;
        peer.grant(7).await;
    };
    let (outcome, ()) = tokio::join!(session.claim(claim("a")), server);
    assert_eq!(outcome.into_result().unwrap().token(), 7);
}

#[tokio::test]
async fn going_takes_the_session_to_the_next_member() {
    let (first, second) = (Member::start().await, Member::start().await);
    let endpoints = vec![first.endpoint(), second.endpoint()];
    let (peer, session) = tokio::join!(first.accept(), Session::connect(options(endpoints)));
    let (mut peer, session) = (peer, session.unwrap());
    peer.push(Push::Going(Going { why: "draining".to_owned(), reconnect_after_ms: 1 })).await;
    let mut next = second.accept().await;
    // The first link ends once nothing is expected of it; from then on all goes to the second.
    while peer.frame().await.is_some() {}
    let (outcome, _) = tokio::join!(session.claim(claim("a")), next.grant(7));
    assert!(matches!(outcome, Outcome::Done(_)));
}

#[tokio::test]
async fn a_session_says_who_calls_and_says_goodbye() {
    let member = Member::start().await;
    let options = Options { agent: Some("test/1".to_owned()), ..options(vec![member.endpoint()]) };
    let (peer, session) = tokio::join!(member.accept(), Session::connect(options));
    let (mut peer, session) = (peer, session.unwrap());
    let hello = peer.frame().await.unwrap();
    assert!(
        matches!(hello.call, Call::Hello(hello) if hello.agent == "test/1" && hello.version == api::VERSION)
    );
    let ((), goodbye) = tokio::join!(session.close(), peer.frame());
    assert!(goodbye.is_none());
}

#[tokio::test]
async fn the_last_handle_dropped_closes_the_connection() {
    let (_member, mut peer, session) = connected().await;
    let other = session.clone();
    drop(session);
    let (lease, ()) = tokio::join!(other.get("default", "a"), async {
        let (id, _) = peer.call().await;
        peer.reply(id, lease("a")).await;
    });
    assert!(matches!(lease, Outcome::Done(_)));
    drop(other);
    assert!(peer.frame().await.is_none());
}

#[tokio::test]
async fn a_closed_session_ends_its_calls_as_their_attempts_allow() {
    let (_member, mut peer, session) = connected().await;
    let other = session.clone();
    let claiming = session.claim(claim("a"));
    let closing = async {
        let _ = peer.call().await;
        other.clone().close().await;
    };
    let (outcome, ()) = tokio::join!(claiming, closing);
    assert!(matches!(outcome, Outcome::Unknown(_)));
    assert!(matches!(other.get("default", "a").await, Outcome::Unavailable(Unavailable::Closed)));
}
