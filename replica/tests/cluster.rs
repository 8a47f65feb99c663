//! Three members: one leads, and what was acknowledged outlives it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

mod common;

use common::cluster::Cluster;
use common::{ask, claim, read, token};
use replica::Answer;

#[tokio::test]
async fn three_members_elect_one_and_apply_the_same() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let handle = cluster.handle(leader);
    for at in 0..100 {
        token(&ask(&handle, claim(&format!("lease-{at}"), "h", 1, 60_000)).await);
    }
    cluster.until_alike().await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_the_leader_and_the_old_one_comes_back_in_step() {
    let mut cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    let granted = token(&ask(&cluster.handle(old), claim("a", "h", 1, 60_000)).await);
    cluster.stop(old).await;
    let new = cluster.leader_of(&cluster.others(old)).await;
    let handle = cluster.handle(new);
    let held = read(&handle, |table, _| table.get(&common::key("a")).unwrap().grant.unwrap().token);
    assert_eq!(held.await, granted);
    let later = token(&ask(&handle, claim("b", "h", 2, 60_000)).await);
    assert!(later > granted);
    cluster.begin(old, true).await;
    cluster.until_alike().await;
    let leader = cluster.leader().await;
    assert_ne!(leader, old, "whoever comes back disturbs nobody");
}

#[tokio::test]
async fn a_leader_that_is_cut_off_acknowledges_nothing_more_and_the_others_go_on() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    cluster.switch.cut(old);
    let cut = ask(&cluster.handle(old), claim("a", "cut", 1, 60_000)).await;
    assert!(matches!(cut, Answer::Unknown | Answer::Unavailable(_)), "{cut:?}");
    let new = cluster.leader_of(&cluster.others(old)).await;
    token(&ask(&cluster.handle(new), claim("a", "h", 1, 60_000)).await);
    cluster.switch.mend();
    cluster.until_alike().await;
}

#[tokio::test]
async fn a_member_whose_log_is_behind_the_others_snapshot_is_sent_that() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let behind = cluster.others(leader)[0];
    cluster.stop(behind).await;
    let handle = cluster.handle(leader);
    // More than what is kept of the log behind a snapshot.
    for at in 0..3_000 {
        token(&ask(&handle, claim(&format!("lease-{at}"), "h", 1, 3_600_000)).await);
    }
    cluster.begin(behind, true).await;
    cluster.until_alike().await;
    assert_eq!(cluster.status(behind).held, 3_000);
    assert!(cluster.switch.pieces() > 0, "it was sent a snapshot");
}
