//! Waiting in line, at one replica: the queue, handing on, and watching.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod common;

use std::sync::Arc;

use common::*;
use lease::{Command, Heir, Holder, Instance, Outcome, Revision, RevokeWhen, Token, Ttl, What};
use replica::{Answer, Handle, HeirMust, Proposal, Unwatchable, Watched};
use tokio::sync::{Notify, oneshot};

const TTL: u64 = 60_000;

/// Returns once the replica has `waiters` in its books, as it soon will.
async fn settled(handle: &Handle, waiters: u64) {
    while handle.status().acquires != waiters {
        tokio::task::yield_now().await;
    }
    // Behind this read, whoever asked before it is in line.
    read(handle, |_, _| ()).await;
}

async fn release(handle: &Handle, token: Token) {
    let answer = ask(handle, Command::Release { token }).await;
    assert!(matches!(answer, Answer::Decided { outcome: Outcome::Released { .. }, .. }), "{answer:?}");
}

/// A member past its grace, in which nobody is granted anything by waiting.
async fn past_grace() -> (tempfile::TempDir, replica::Member<Test>) {
    let folder = tempfile::tempdir().unwrap();
    let member = start(folder.path(), options()).await.unwrap();
    let handle = member.handle();
    let waited = acquire(&handle, "first", "h0").granted().await;
    assert!(!waited.confirmed, "in the grace the line is not complete yet: even a free lease is waited for");
    release(&handle, waited.token).await;
    (folder, member)
}

#[tokio::test]
async fn a_free_lease_is_acquired_like_a_claim() {
    let (_folder, member) = past_grace().await;
    let granted = acquire(&member.handle(), "a", "h1").granted().await;
    assert!(granted.confirmed);
    member.stop().await;
}

#[tokio::test]
async fn a_release_and_the_next_ones_grant_are_one_entry_and_go_by_the_line() {
    let (_folder, member) = past_grace().await;
    let handle = member.handle();
    let mut held = token(&ask(&handle, claim("a", "h0", 1, TTL)).await);
    let mut line = Vec::new();
    for holder in ["h1", "h2", "h3"] {
        line.push(acquire(&handle, "a", holder));
    }
    settled(&handle, 3).await;
    for waiting in line {
        let revision = handle.status().reading.revision;
        release(&handle, held).await;
        let granted = waiting.granted().await;
        assert!(!granted.confirmed && granted.token > held);
        let at = read(&handle, |_, at| at).await;
        assert_eq!(at.revision.0, revision.0 + 2, "an end and a grant, and nobody in between");
        held = granted.token;
    }
    member.stop().await;
}

#[tokio::test]
async fn who_never_confirms_is_followed_by_the_next() {
    let (_folder, member) = past_grace().await;
    let handle = member.handle();
    let held = token(&ask(&handle, claim("a", "h0", 1, TTL)).await);
    let (dead, next) = (acquire(&handle, "a", "dead"), acquire(&handle, "a", "next"));
    settled(&handle, 2).await;
    release(&handle, held).await;
    let first = dead.granted().await;
    // Its confirmation runs out by the ticks alone, and the sweep and the succession are one entry.
    let second = next.granted().await;
    assert!(second.token > first.token);
    let end = read(&handle, |table, _| table.get(&key("a")).unwrap().last_end.unwrap()).await;
    assert_eq!((end.token, end.why), (first.token, lease::Why::Unconfirmed));
    assert_eq!(token(&ask(&handle, extend(second.token, TTL)).await), second.token);
    member.stop().await;
}

#[tokio::test]
async fn no_claim_passes_those_who_wait_but_the_holders_own() {
    let (_folder, member) = past_grace().await;
    let handle = member.handle();
    let held = token(&ask(&handle, claim("a", "h0", 1, TTL)).await);
    // The holder's own acquire is a claim, and answered with its grant.
    assert_eq!(acquire(&handle, "a", "h0").granted().await.token, held);
    let waiting = acquire(&handle, "a", "h1");
    settled(&handle, 1).await;
    // Released and claimed in one go: the claim finds the lease held by whoever waited, or free and others in line.
    let (sender, answered) = oneshot::channel();
    handle.propose_all([
        proposal(Command::Release { token: held }, None),
        proposal(claim("a", "h2", 1, TTL), Some(sender)),
    ]);
    let refused = answered.await.unwrap();
    assert!(
        matches!(refused, Answer::Queued { .. } | Answer::Decided { outcome: Outcome::Refused(_), .. }),
        "{refused:?}"
    );
    assert!(waiting.granted().await.token > held);
    member.stop().await;
}

fn proposal(command: Command, answer: Option<oneshot::Sender<Answer>>) -> Proposal {
    let reply = move |given| {
        if let Some(answer) = answer {
            answer.send(given).expect("the test waits");
        }
    };
    let deadline = Ttl::from_millis(5_000);
    Proposal { command, named: None, heir: HeirMust::Wait, deadline, reply: Box::new(reply) }
}

#[tokio::test]
async fn a_transfer_goes_to_one_who_waits_unless_it_is_forced() {
    let (_folder, member) = past_grace().await;
    let handle = member.handle();
    let held = token(&ask(&handle, claim("a", "h0", 1, TTL)).await);
    let to = |holder: &str| Heir {
        holder: Holder::parse(holder).unwrap(),
        instance: Instance(0),
        ttl: Ttl::ZERO,
        confirm: Ttl::ZERO,
    };
    let transfer = |holder: &str, token| Command::Transfer { token, to: to(holder) };
    let answer = ask(&handle, transfer("h1", held)).await;
    assert!(matches!(answer, Answer::NotWaiting { .. }), "{answer:?}");
    let (first, waiting) = (acquire(&handle, "a", "h2"), acquire(&handle, "a", "h1"));
    settled(&handle, 2).await;
    assert!(matches!(ask(&handle, transfer("h1", held)).await, Answer::Decided { .. }));
    let granted = waiting.granted().await;
    assert_eq!((granted.ttl, granted.confirmed), (Ttl::from_millis(TTL), false));
    handle.give_up(first.id);
    assert!(matches!(first.answered.await.unwrap(), Answer::NotItsTurn { .. }));
    // Forced, it is there for the first claim of that holder.
    let (sender, answered) = oneshot::channel();
    handle
        .propose(Proposal { heir: HeirMust::Claim, ..proposal(transfer("h3", granted.token), Some(sender)) });
    let forced = token(&answered.await.unwrap());
    assert_eq!(token(&ask(&handle, claim("a", "h3", 1, TTL)).await), forced);
    member.stop().await;
}

#[tokio::test]
async fn a_revoked_grants_heir_is_told_when_it_ends() {
    let (_folder, member) = past_grace().await;
    let handle = member.handle();
    let held = token(&ask(&handle, claim("a", "h0", 1, 1_000)).await);
    let waiting = acquire(&handle, "a", "h1");
    settled(&handle, 1).await;
    let why = lease::Reason::parse("maintenance").unwrap();
    let holder = Holder::parse("h1").unwrap();
    let heir = Some(Heir { holder, instance: Instance(0), ttl: Ttl::ZERO, confirm: Ttl::ZERO });
    ask(&handle, Command::Revoke { token: held, why: why.clone(), when: RevokeWhen::AtDeadline, heir }).await;
    let granted = waiting.granted().await;
    let end = read(&handle, |table, _| table.get(&key("a")).unwrap().last_end.unwrap()).await;
    assert_eq!((end.token, end.why), (held, lease::Why::Revoked(why)));
    assert!(granted.token > held);
    member.stop().await;
}

#[tokio::test]
async fn a_stopping_member_tells_those_in_line() {
    let (_folder, member) = past_grace().await;
    let handle = member.handle();
    token(&ask(&handle, claim("a", "h0", 1, TTL)).await);
    let waiting = acquire(&handle, "a", "h1");
    settled(&handle, 1).await;
    member.stop().await;
    let answer = waiting.answered.await.unwrap();
    assert_eq!(answer, Answer::Unavailable(replica::Unavailable::Stopping));
    let late = acquire(&handle, "a", "h2").answered.await.unwrap();
    assert_eq!(late, Answer::NotBegun(replica::Unavailable::Stopping), "nothing can come of it");
}

#[tokio::test]
async fn a_watch_sees_what_happens_to_its_lease() {
    let (_folder, member) = past_grace().await;
    let handle = member.handle();
    let woken = Arc::new(Notify::new());
    let wake = Arc::clone(&woken);
    let (sender, begun) = oneshot::channel();
    let watch = handle.watch(
        Watched::Lease(key("a")),
        None,
        Arc::new(move || wake.notify_one()),
        Box::new(move |revision| sender.send(revision).unwrap()),
    );
    let from = begun.await.unwrap().unwrap();
    token(&ask(&handle, claim("b", "h0", 1, TTL)).await);
    let held = token(&ask(&handle, claim("a", "h0", 1, TTL)).await);
    release(&handle, held).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let pulled = handle.pull(watch, 10).unwrap();
        seen.extend(pulled.events);
        if !pulled.more && seen.len() < 2 {
            woken.notified().await;
        }
    }
    assert!(seen.iter().all(|event| event.revision > from));
    assert!(matches!(&seen[0].what, What::Granted { token, .. } if *token == held));
    assert!(matches!(&seen[1].what, What::Ended { end, .. } if end.why == lease::Why::Released));
    handle.unwatch(watch);
    assert_eq!(handle.status().watches, 0);
    let (sender, begun) = oneshot::channel();
    let ahead = Some(Revision(from.0 + 1_000));
    let prefix = Watched::Prefix(key("a").namespace, String::new());
    handle.watch(prefix, ahead, Arc::new(|| {}), Box::new(move |revision| sender.send(revision).unwrap()));
    assert!(matches!(begun.await.unwrap(), Err(Unwatchable::Ahead { .. })));
    member.stop().await;
}
