//! Watches, and what else is asked for beside holding leases.

use api::{Call, Code, Push, Reply};
use client::{Failure, Outcome, Revoked, Session, Unavailable, Watcher};

use crate::member::*;

fn events(id: u64, revisions: impl IntoIterator<Item = u64>) -> Push {
    let event = |revision| api::Event {
        revision,
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        what: api::What::Confirmed(api::EventToken { token: revision }),
    };
    Push::Events(api::Events { id, events: revisions.into_iter().map(event).collect() })
}

async fn begin(peer: &mut Peer, revision: u64) -> (u64, Option<u64>) {
    let (id, call) = peer.call().await;
    let Call::Watch(watch) = call else { panic!("{call:?}") };
    peer.reply(id, Reply::Watching(api::Watching { revision })).await;
    (id, watch.after)
}

async fn watching(session: &Session, peer: &mut Peer) -> (Watcher, u64) {
    let (watcher, (id, _)) = tokio::join!(session.watch(api::Watch::default()), begin(peer, 10));
    (watcher.into_result().unwrap(), id)
}

async fn revision(watcher: &mut Watcher) -> u64 {
    watcher.next().await.expect("the watch is over").unwrap().revision
}

#[tokio::test]
async fn events_come_in_order_and_go_on_over_another_connection() {
    let (member, mut peer, session) = connected().await;
    let (mut watcher, id) = watching(&session, &mut peer).await;
    assert_eq!(watcher.revision(), 10);
    peer.push(events(id, [11, 12])).await;
    assert_eq!((revision(&mut watcher).await, revision(&mut watcher).await), (11, 12));
    drop(peer);
    let mut peer = member.accept().await;
    let (id, after) = begin(&mut peer, 12).await;
    assert_eq!(after, Some(12));
    peer.push(events(id, [13])).await;
    assert_eq!(revision(&mut watcher).await, 13);
    assert_eq!(watcher.revision(), 13);
}

#[tokio::test]
async fn compacted_is_told_once_after_what_was_seen() {
    let (_member, mut peer, session) = connected().await;
    let (mut watcher, id) = watching(&session, &mut peer).await;
    peer.push(events(id, [11])).await;
    peer.reply(id, no(Code::Compacted)).await;
    assert_eq!(revision(&mut watcher).await, 11);
    let end = watcher.next().await;
    assert!(matches!(end, Some(Err(Failure::Refused(problem))) if problem.code == Code::Compacted));
    assert!(watcher.next().await.is_none());
}

#[tokio::test]
async fn one_that_is_not_read_is_ended_by_name_and_cancelled() {
    let (_member, mut peer, session) = connected().await;
    let (mut watcher, id) = watching(&session, &mut peer).await;
    peer.push(events(id, 11..20_000)).await;
    let (_, call) = peer.call().await;
    assert!(matches!(call, Call::Cancel(cancel) if cancel.id == id));
    for expected in 11..10_011 {
        assert_eq!(revision(&mut watcher).await, expected);
    }
    let end = watcher.next().await;
    assert!(matches!(end, Some(Err(Failure::Unavailable(Unavailable::Unread { limit: 10_000 })))));
}

#[tokio::test]
async fn a_dropped_watcher_is_cancelled() {
    let (_member, mut peer, session) = connected().await;
    let (watcher, id) = watching(&session, &mut peer).await;
    drop(watcher);
    let (_, call) = peer.call().await;
    assert!(matches!(call, Call::Cancel(cancel) if cancel.id == id));
}

#[tokio::test]
async fn a_closed_session_ends_its_watches() {
    let (_member, mut peer, session) = connected().await;
    let (mut watcher, _) = watching(&session, &mut peer).await;
    let (end, ()) = tokio::join!(watcher.next(), session.close());
    assert!(matches!(end, Some(Err(Failure::Unavailable(Unavailable::Closed)))));
}

#[tokio::test]
async fn the_operators_acts_and_the_reads_are_passed_on() {
    let (_member, mut peer, session) = connected().await;
    let answer = async |peer: &mut Peer, reply: Reply| {
        let (id, call) = peer.call().await;
        peer.reply(id, reply).await;
        call
    };

    let revoke = api::Revoke { token: 7, ..api::Revoke::default() };
    let ending = api::Ending { token: 7, remaining_ms: 9 };
    let (revoked, _) = tokio::join!(session.revoke(revoke), answer(&mut peer, Reply::Ending(ending.clone())));
    assert_eq!(revoked, Outcome::Done(Revoked::Ending(ending)));

    let (pinned, call) = tokio::join!(session.pin(api::Pin::default()), answer(&mut peer, Reply::Done));
    assert!(pinned == Outcome::Done(()) && matches!(call, Call::Pin(_)));
    let (unpinned, call) = tokio::join!(session.unpin(api::Unpin::default()), answer(&mut peer, Reply::Done));
    assert!(unpinned == Outcome::Done(()) && matches!(call, Call::Unpin(_)));

    let ends = api::Ends { ends: Vec::new(), revision: 3 };
    let history = session.history(api::History::default());
    let (history, _) = tokio::join!(history, answer(&mut peer, Reply::Ends(ends.clone())));
    assert_eq!(history, Outcome::Done(ends));

    let checked = api::Checked { token: 7, holder: "h".to_owned(), remaining_ms: 9, revision: 3 };
    let check = session.check("default", "a", 7);
    let (check, call) = tokio::join!(check, answer(&mut peer, Reply::Checked(checked.clone())));
    assert_eq!(check, Outcome::Done(checked));
    assert!(matches!(call, Call::Check(check) if check.token == 7));
    let (stale, _) = tokio::join!(session.check("default", "a", 6), answer(&mut peer, no(Code::StaleToken)));
    assert!(matches!(stale, Outcome::Refused(problem) if problem.code == Code::StaleToken));
}
