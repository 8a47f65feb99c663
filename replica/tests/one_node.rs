//! One replica, from the ask to the disk and back.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::*;
use lease::{Command, Holder, Instance, Outcome, QUEUE_MAX, Refusal, Revision};
use replica::{Answer, Named, Proposal, ReplyFn, Unavailable, Waited, Whose};
use tokio::sync::oneshot;

/// Sends on what a wait ends with.
fn tell(sender: oneshot::Sender<Waited>) -> ReplyFn<Waited> {
    Box::new(move |waited| {
        // A wait that was cancelled has nobody to tell.
        let _ = sender.send(waited);
    })
}

#[tokio::test]
async fn a_claim_is_granted_extended_released_and_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let granted = token(&ask(&handle, claim("a", "h1", 1, 10_000)).await);
    assert_eq!(token(&ask(&handle, extend(granted, 20_000)).await), granted, "an extend keeps the token");
    let released = ask(&handle, Command::Release { token: granted }).await;
    assert!(
        matches!(released, Answer::Decided { outcome: Outcome::Released { token }, .. } if token == granted)
    );
    let next = token(&ask(&handle, claim("a", "h2", 1, 10_000)).await);
    assert!(next > granted, "tokens rise");
    member.stop().await;
}

#[tokio::test]
async fn a_refusal_costs_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let held = token(&ask(&handle, claim("a", "h1", 1, 600_000)).await);
    let (start, before) = (Instant::now(), handle.status().applied);
    for _ in 0..200 {
        let answer = ask(&handle, claim("a", "h2", 1, 600_000)).await;
        let Answer::Decided { outcome: Outcome::Refused(Refusal::Held { token, by_you, .. }), at } = answer
        else {
            panic!("{answer:?}")
        };
        assert_eq!((token, by_you), (held, false));
        assert!(at.revision >= Revision(1));
    }
    // Ticks are entries, one every 250 ms at most, however slow this machine is.
    let (entries, ticks) = (handle.status().applied - before, start.elapsed().as_millis() / 250 + 1);
    assert!(u128::from(entries) <= ticks, "{entries} entries for 200 refusals and {ticks} ticks");
    member.stop().await;
}

#[tokio::test]
async fn another_life_cannot_act_on_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let granted = token(&ask(&handle, claim("a", "h1", 1, 10_000)).await);
    let held = Some((Holder::parse("h1").unwrap(), granted));
    let cases =
        [("a", Some(Instance(1)), Whose::AnotherInstances, held), ("b", None, Whose::AnotherLeases, None)];
    for (name, instance, said, by) in cases {
        let named = Named { key: key(name), instance, holder: None };
        let answer = ask_named(&handle, Command::Release { token: granted }, Some(named), 5_000).await;
        let Answer::NotYours { whose, held, .. } = answer else { panic!("{answer:?}") };
        assert_eq!((whose, held), (said, by));
    }
    let operator = Named { key: key("a"), instance: None, holder: None };
    let answer = ask_named(&handle, Command::Release { token: granted }, Some(operator), 5_000).await;
    assert!(matches!(answer, Answer::Decided { outcome: Outcome::Released { .. }, .. }), "{answer:?}");
    // Nor is its end told under another name, or to another life.
    for (name, instance) in [("a", Some(Instance(1))), ("b", None)] {
        let named = Named { key: key(name), instance, holder: None };
        let answer = ask_named(&handle, Command::Release { token: granted }, Some(named), 5_000).await;
        assert!(matches!(answer, Answer::NotYours { .. }), "{answer:?}");
    }
    member.stop().await;
}

#[tokio::test]
async fn a_wait_is_told_once_the_lease_expires() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    token(&ask(&handle, claim("a", "h1", 1, 1_000)).await);
    let (sender, told) = oneshot::channel();
    handle.wait(key("a"), None, tell(sender));
    // It goes after its ttl and the new leader's grace, by the ticks alone: nothing else is asked.
    let Waited::Free(at) = told.await.unwrap() else { panic!("the wait was not kept") };
    let why = read(&handle, |table, _| table.get(&key("a")).unwrap().last_end.unwrap().why).await;
    assert_eq!(why, lease::Why::Expired);
    assert!(at.revision >= Revision(2));
    assert_eq!(handle.status().waits, 0);
    member.stop().await;
}

#[tokio::test]
async fn a_wait_with_the_refusals_revision_is_answered_from_no_older_state() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let granted = token(&ask(&handle, claim("a", "h1", 1, 60_000)).await);
    let refused = ask(&handle, claim("a", "h2", 1, 60_000)).await;
    let Answer::Decided { at, .. } = refused else { panic!("{refused:?}") };
    let (sender, mut told) = oneshot::channel();
    handle.wait(key("a"), Some(at.revision), tell(sender));
    assert!(told.try_recv().is_err(), "it is held");
    ask(&handle, Command::Release { token: granted }).await;
    assert!(matches!(told.await.unwrap(), Waited::Free(_)));
    // One that asks for a revision yet to come is answered from none before it.
    let (sender, mut told) = oneshot::channel();
    let ahead = Revision(handle.status().reading.revision.0 + 1);
    let wait = handle.wait(key("a"), Some(ahead), tell(sender));
    assert!(told.try_recv().is_err());
    assert!(handle.cancel(wait) && !handle.cancel(wait));
    member.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let mut tokens = Vec::new();
    for name in ["a", "b", "c"] {
        tokens.push(token(&ask(&handle, claim(name, "h1", 1, 60_000)).await));
    }
    ask(&handle, Command::Release { token: tokens[1] }).await;
    let before = read(&handle, |table, _| table.list(&lease::Filter::default(), None, 10)).await;
    member.stop().await;

    let member = start(folder.path(), replica::Options { begun: true, ..options() }).await.unwrap();
    let handle = member.handle();
    let after = read(&handle, |table, _| table.list(&lease::Filter::default(), None, 10)).await;
    assert_eq!(before, after);
    let next = token(&ask(&handle, claim("b", "h2", 1, 60_000)).await);
    assert!(tokens.iter().all(|earlier| next > *earlier), "tokens rise over a restart");
    member.stop().await;
}

#[tokio::test]
async fn a_snapshot_lets_the_log_go_and_a_restart_reads_both() {
    let folder = tempfile::tempdir().unwrap();
    let small =
        || replica::Options { segment_bytes: Some(64 * 1024), snapshot_log_bytes: 64 * 1024, ..options() };
    let member = start(folder.path(), small()).await.unwrap();
    let handle = member.handle();
    let kept = token(&ask(&handle, claim("kept", "h1", 1, 60_000)).await);
    // Enough entries, one after the other, for several snapshots and for the log behind them to be purged.
    for seq in 0..3_000 {
        let granted = token(&ask(&handle, claim("b", "h2", seq + 1, 60_000)).await);
        ask(&handle, Command::Release { token: granted }).await;
    }
    member.stop().await;
    let snapshots = std::fs::read_dir(folder.path().join("snapshots")).unwrap().count();
    assert_eq!(snapshots, 1, "older snapshots are unlinked");
    let segment = |number: u64| folder.path().join("log").join(format!("segment-{number:016}.log"));
    assert!(!segment(1).exists(), "the log that the snapshots cover is let go");
    assert!((2..100).any(|number| segment(number).exists()), "and the rest of it is kept");

    let member = start(folder.path(), replica::Options { begun: true, ..small() }).await.unwrap();
    let handle = member.handle();
    assert_eq!(token(&ask(&handle, extend(kept, 60_000)).await), kept);
    let ends = read(&handle, |table, _| table.history(&key("b").namespace, None, 5_000).len()).await;
    assert_eq!(ends, 3_000);
    member.stop().await;
}

#[tokio::test]
async fn a_stopped_replica_answers_everyone() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let held = token(&ask(&handle, claim("a", "h1", 1, 60_000)).await);
    let (sender, told) = oneshot::channel();
    handle.wait(key("a"), None, tell(sender));
    // Read through the barrier, so that the wait is registered before the stop.
    assert!(read(&handle, move |table, _| table.grant(held).is_some()).await);
    member.stop().await;
    assert_eq!(told.await.unwrap(), Waited::Unavailable(Unavailable::Stopping));
    let answer = ask(&handle, claim("b", "h1", 2, 60_000)).await;
    assert_eq!(answer, Answer::Unavailable(Unavailable::Stopping));
    assert_eq!(handle.status().trouble, Some(Unavailable::Stopping));
}

#[tokio::test]
async fn a_flood_is_refused_at_once_and_leaves_room_for_extends() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let granted = token(&ask(&handle, claim("a", "h1", 1, 60_000)).await);
    // The replica runs on this thread: until it waits, nothing that is asked is taken up.
    let refused = Arc::new(AtomicUsize::new(0));
    let flood = |command: Command| {
        let refused = Arc::clone(&refused);
        handle.propose(Proposal {
            command,
            named: None,
            heir: replica::HeirMust::Wait,
            deadline: lease::Ttl::from_millis(5_000),
            reply: Box::new(move |answer| {
                if matches!(answer, Answer::Unavailable(Unavailable::Overloaded { .. })) {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }),
        });
    };
    (0..QUEUE_MAX + 5).for_each(|_| flood(claim("b", "h1", 1, 60_000)));
    assert_eq!(refused.load(Ordering::Relaxed), 5);
    (0..QUEUE_MAX + 7).for_each(|_| flood(extend(granted, 60_000)));
    assert_eq!(refused.load(Ordering::Relaxed), 5 + 7);
    member.stop().await;
}

#[tokio::test]
async fn a_member_whose_log_is_gone_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    token(&ask(&member.handle(), claim("a", "h1", 1, 60_000)).await);
    member.stop().await;
    std::fs::remove_dir_all(folder.path().join("log")).unwrap();
    let error =
        start(folder.path(), replica::Options { begun: true, ..options() }).await.err().unwrap().to_string();
    assert!(error.contains("could vote twice") && error.contains("log"), "{error}");
}

#[tokio::test]
async fn another_clusters_log_is_refused_with_both_ids() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), options()).await.unwrap().stop().await;
    let other = replica::Options { cluster: 8, begun: true, ..options() };
    let error = start(folder.path(), other).await.err().unwrap().to_string();
    assert!(error.contains(&format!("{:032x}", 7)) && error.contains(&format!("{:032x}", 8)), "{error}");
}
