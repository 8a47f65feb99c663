//! Members that were removed while they were away, or that go on: each is told by the others, and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod common;

use std::time::Duration;

use common::cluster::Cluster;
use lease::Ttl;
use replica::{Handle, MemberChange, MemberView, Unchanged};

async fn change(handle: &Handle, change: MemberChange) -> Vec<MemberView> {
    loop {
        let (reply, changed) = tokio::sync::oneshot::channel();
        let deadline = Ttl::from_millis(5_000);
        handle.change_members(
            change.clone(),
            deadline,
            Box::new(|changed: Result<_, Unchanged>| drop(reply.send(changed))),
        );
        match changed.await.unwrap() {
            Ok(members) => return members,
            Err(why) => assert!(why.to_string().contains("has not been heard of"), "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_told(why: &str, member: u64) {
    assert!(why.starts_with(&format!("removed: member {member} was removed from cluster ")), "{why}");
    assert!(why.contains("Remove its data folder") && why.contains("`tenure join`"), "{why}");
}

#[tokio::test]
async fn voters_that_were_removed_are_told_when_they_ask_for_votes_and_whoever_was_away_when_it_is_back() {
    let mut cluster = Cluster::start(5).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let (stays_on, is_away) = (others[0], others[1]);
    cluster.until_alike().await;
    cluster.stop(is_away).await;
    let left = change(&cluster.handle(leader), MemberChange::Remove([stays_on, is_away].into())).await;
    assert_eq!(left.len(), 3);
    is_told(&cluster.ends_with(stays_on).await, stays_on);
    cluster.begin(is_away).await;
    is_told(&cluster.ends_with(is_away).await, is_away);
    let told: Vec<bool> = cluster.members.keys().map(|id| cluster.status(*id).serving).collect();
    assert_eq!(told, [true; 3], "nobody else is told anything");
}

#[tokio::test]
async fn an_observer_that_was_removed_is_told_though_it_asks_for_no_vote() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let handle = cluster.handle(leader);
    cluster.add(4).await;
    change(&handle, MemberChange::Add { id: 4, address: "m4:7401".into() }).await;
    cluster.until_alike().await;
    while cluster.status(4).leader != Some(leader) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    change(&handle, MemberChange::Remove([4].into())).await;
    is_told(&cluster.ends_with(4).await, 4);
}
