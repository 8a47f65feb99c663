//! Three members, and clients at each of them: whatever is asked anywhere is answered as the leader would.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::cluster::Cluster;
use common::{acquire, ask, ask_named, claim, extend, key, read, token};
use lease::{Command, Instance, Outcome, Refusal, Revision, Token, Ttl, What};
use replica::{Answer, Handle, Named, Unavailable, Unwatchable, Waited, Watched, Whose};
use tokio::sync::{Notify, oneshot};

const TTL: u64 = 60_000;

fn wait(handle: &Handle, name: &str, after: Option<Revision>) -> oneshot::Receiver<Waited> {
    let (sender, waited) = oneshot::channel();
    handle.wait(key(name), after, Box::new(move |said| _ = sender.send(said)));
    waited
}

async fn release(handle: &Handle, token: Token) {
    let answer = ask(handle, Command::Release { token }).await;
    assert!(matches!(answer, Answer::Decided { outcome: Outcome::Released { .. }, .. }), "{answer:?}");
}

/// Waits until the leader has as many acquires on its books.
async fn until_in_line(cluster: &Cluster, leader: u64, waiters: u64) {
    while cluster.status(leader).acquires != waiters {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Behind this read, whoever asked before it is in line.
    read(&cluster.handle(leader), |_, _| ()).await;
}

/// A cluster past its leader's grace: the leader, and the two others.
async fn past_grace() -> (Cluster, u64, [u64; 2]) {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let handle = cluster.handle(leader);
    release(&handle, acquire(&handle, "first", "h0").granted().await.token).await;
    let others = cluster.others(leader);
    (cluster, leader, [others[0], others[1]])
}

#[tokio::test]
async fn commands_are_carried_out_and_refused_from_any_member() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let [one, two] = [others[0], others[1]].map(|id| cluster.handle(id));
    let granted = token(&ask(&one, claim("a", "h1", 1, TTL)).await);
    // A ttl of zero is the grant's own.
    let extended = ask(&two, extend(granted, 0)).await;
    assert!(
        matches!(&extended, Answer::Decided { outcome: Outcome::Extended(it), .. } if it.ttl == Ttl::from_millis(TTL)),
        "{extended:?}"
    );
    let refused = ask(&two, claim("a", "h2", 1, TTL)).await;
    let Answer::Decided { outcome: Outcome::Refused(Refusal::Held { holder, token, .. }), at } = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((holder.as_str(), token), ("h1", granted));
    // Whoever reads behind a refusal sees what it was made from, wherever it reads.
    let seen =
        read(&one, |table, at| (table.get(&key("a")).unwrap().grant.unwrap().token, at.revision)).await;
    assert_eq!(seen.0, granted);
    assert!(seen.1 >= at.revision);
    let named = Named { key: key("a"), instance: Some(Instance(12_345)), holder: None };
    let not_mine = ask_named(&one, Command::Release { token: granted }, Some(named), 5_000).await;
    assert!(matches!(not_mine, Answer::NotYours { whose: Whose::AnotherInstances, .. }), "{not_mine:?}");
    release(&one, granted).await;
}

#[tokio::test]
async fn many_commands_at_once_from_every_member_are_each_answered() {
    let cluster = Cluster::start(3).await;
    cluster.leader().await;
    let mut asked = Vec::new();
    for at in 0..3_000_u64 {
        let handle = cluster.handle(1 + at % 3);
        let command = claim(&format!("lease-{at}"), "h", 1, TTL);
        asked.push(tokio::spawn(async move { token(&ask(&handle, command).await) }));
    }
    let mut tokens = std::collections::BTreeSet::new();
    for asked in asked {
        tokens.insert(asked.await.unwrap());
    }
    assert_eq!(tokens.len(), 3_000, "a token each");
    cluster.until_alike().await;
}

#[tokio::test]
async fn waiters_through_any_member_are_granted_in_the_order_in_which_they_came() {
    let (cluster, leader, [one, two]) = past_grace().await;
    let mut held = token(&ask(&cluster.handle(one), claim("a", "h0", 1, TTL)).await);
    let mut line = Vec::new();
    for (place, (member, holder)) in
        [(one, "h1"), (leader, "h2"), (two, "h3"), (one, "h4")].into_iter().enumerate()
    {
        line.push((cluster.handle(member), acquire(&cluster.handle(member), "a", holder)));
        until_in_line(&cluster, leader, place as u64 + 1).await;
    }
    for (handle, waiting) in line {
        release(&handle, held).await;
        let granted = waiting.granted().await;
        assert!(granted.token > held && !granted.confirmed);
        held = granted.token;
        let confirmed = ask(&handle, extend(held, TTL)).await;
        assert_eq!(token(&confirmed), held);
    }
    let refused = ask(&cluster.handle(two), claim("a", "h9", 1, TTL)).await;
    assert!(matches!(refused, Answer::Decided { outcome: Outcome::Refused(Refusal::Held { .. }), .. }));
}

#[tokio::test]
async fn a_waiter_given_up_at_its_member_is_passed_over() {
    let (cluster, leader, [one, two]) = past_grace().await;
    let held = token(&ask(&cluster.handle(one), claim("a", "h0", 1, TTL)).await);
    let gone = acquire(&cluster.handle(one), "a", "h1");
    until_in_line(&cluster, leader, 1).await;
    let stays = acquire(&cluster.handle(two), "a", "h2");
    until_in_line(&cluster, leader, 2).await;
    cluster.handle(one).give_up(gone.id);
    let answer = gone.answered.await.unwrap();
    assert!(matches!(answer, Answer::NotItsTurn { .. } | Answer::Unknown), "{answer:?}");
    until_in_line(&cluster, leader, 1).await;
    release(&cluster.handle(two), held).await;
    assert!(!stays.granted().await.confirmed);
}

#[tokio::test]
async fn waiters_keep_their_order_over_a_change_of_leader() {
    let (mut cluster, leader, [one, two]) = past_grace().await;
    let mut held = token(&ask(&cluster.handle(one), claim("a", "h0", 1, TTL)).await);
    let mut line = Vec::new();
    for (place, (member, holder)) in [(two, "h1"), (one, "h2"), (two, "h3")].into_iter().enumerate() {
        line.push((member, acquire(&cluster.handle(member), "a", holder)));
        until_in_line(&cluster, leader, place as u64 + 1).await;
    }
    // Each member has heard its waiters' places.
    for (member, waiters) in [(one, 1), (two, 2)] {
        while cluster.status(member).in_line != waiters {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    cluster.stop(leader).await;
    cluster.leader_of(&[one, two]).await;
    for (member, waiting) in line {
        release(&cluster.handle(member), held).await;
        held = waiting.granted().await.token;
        token(&ask(&cluster.handle(member), extend(held, TTL)).await);
    }
}

#[tokio::test]
async fn waits_and_watches_are_answered_from_the_members_own_log() {
    let (cluster, leader, [one, two]) = past_grace().await;
    let held = token(&ask(&cluster.handle(leader), claim("a", "h0", 1, TTL)).await);
    let waited = wait(&cluster.handle(one), "a", None);
    let woken = Arc::new(Notify::new());
    let (begun, begins) = oneshot::channel();
    let wake = Arc::clone(&woken);
    let two = cluster.handle(two);
    let watch = two.watch(
        Watched::Lease(key("a")),
        None,
        Arc::new(move || wake.notify_one()),
        Box::new(move |revision| _ = begun.send(revision)),
    );
    begins.await.unwrap().expect("a watch begins at any member");
    release(&cluster.handle(leader), held).await;
    assert!(matches!(waited.await.unwrap(), Waited::Free(_)));
    let ended = loop {
        woken.notified().await;
        let pulled = two.pull(watch, 10).unwrap();
        if let Some(event) = pulled.events.first() {
            break event.clone();
        }
    };
    assert!(matches!(&ended.what, What::Ended { .. }), "{ended:?}");
    // A revision that nobody has seen is not waited for, wherever one asks.
    let ahead = wait(&cluster.handle(one), "a", Some(Revision(1_000_000))).await.unwrap();
    assert!(matches!(ahead, Waited::Ahead { .. }), "{ahead:?}");
}

#[tokio::test]
async fn a_member_that_hears_its_leader_and_cannot_ask_it_says_so_until_it_can() {
    let (cluster, leader, [one, two]) = past_grace().await;
    cluster.switch.cut_one_way(one, leader);
    while cluster.status(one).serving {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = cluster.status(one);
    assert_eq!((status.trouble, status.leader), (Some(Unavailable::Unanswered), Some(leader)));
    assert!([leader, two].iter().all(|id| cluster.status(*id).serving), "the others are well");
    cluster.switch.mend();
    while !cluster.status(one).serving {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_acquire_that_could_be_sent_nowhere_is_told_that_nothing_can_come_of_it() {
    let (mut cluster, leader, [one, two]) = past_grace().await;
    token(&ask(&cluster.handle(one), claim("a", "h0", 1, TTL)).await);
    let sent = acquire(&cluster.handle(one), "a", "h1");
    until_in_line(&cluster, leader, 1).await;
    cluster.stop(two).await;
    cluster.stop(leader).await;
    // Nobody runs any more whom it could be sent to; the other one was.
    let late = acquire(&cluster.handle(one), "a", "h2");
    assert_eq!(sent.answered.await.unwrap(), Answer::Unavailable(Unavailable::Behind));
    assert_eq!(late.answered.await.unwrap(), Answer::NotBegun(Unavailable::Behind));
}

#[tokio::test]
async fn a_member_without_news_of_a_leader_says_so_to_all_who_wait_there() {
    let (cluster, leader, [one, _]) = past_grace().await;
    let handle = cluster.handle(one);
    let held = token(&ask(&handle, claim("a", "h0", 1, TTL)).await);
    let (waited, line) = (wait(&handle, "a", None), acquire(&handle, "a", "h1"));
    until_in_line(&cluster, leader, 1).await;
    let (begun, begins) = oneshot::channel();
    let watch = handle.watch(
        Watched::Lease(key("a")),
        None,
        Arc::new(|| {}),
        Box::new(move |revision| _ = begun.send(revision)),
    );
    begins.await.unwrap().unwrap();
    cluster.switch.cut(one);
    assert_eq!(waited.await.unwrap(), Waited::Unavailable(Unavailable::Behind));
    assert_eq!(line.answered.await.unwrap(), Answer::Unavailable(Unavailable::Behind));
    assert_eq!(handle.pull(watch, 1), Err(Unwatchable::Unavailable(Unavailable::Behind)));
    assert_eq!(cluster.status(one).trouble, Some(Unavailable::Behind));
    assert!(!cluster.status(one).serving);
    // What is asked there is answered as well, if not at once.
    let late = ask_named(&handle, extend(held, TTL), None, 300).await;
    assert!(matches!(late, Answer::Unavailable(_) | Answer::Unknown), "{late:?}");
    cluster.switch.mend();
    while !cluster.status(one).serving {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(token(&ask(&handle, extend(held, TTL)).await), held);
}

#[tokio::test]
async fn a_leader_that_stops_hands_on_and_what_was_asked_elsewhere_goes_on() {
    let (mut cluster, leader, [one, two]) = past_grace().await;
    let held = token(&ask(&cluster.handle(one), claim("a", "h0", 1, TTL)).await);
    let handle = cluster.handle(one);
    let extends = tokio::spawn(async move {
        let mut answers = Vec::new();
        for _ in 0..200 {
            answers.push(ask(&handle, extend(held, TTL)).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answers
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.stop(leader).await;
    for answer in extends.await.unwrap() {
        assert_eq!(token(&answer), held);
    }
    assert!([one, two].contains(&cluster.leader().await));
}
