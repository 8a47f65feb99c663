//! One trouble by itself: no member hears of a leader for more than a minute, and then all hear each other again. Juju's raft worker is
//! started anew after a minute without its leader; ours, the very processes, go on by themselves.

use super::cluster::{Cluster, HEALS_WITHIN, Sizes};
use super::executor::{self, Life, now, sleep};
use super::{begin_client, heals, judge, lookout};
use crate::caller::Lines;
use crate::chance::SECOND;

/// How long nobody leads.
const OUTAGE: u64 = 75 * SECOND;
/// How long all of it takes, at most: a cluster that begins takes as long as one that heals.
pub(super) const END: u64 = OUTAGE + 4 * HEALS_WITHIN;
/// A member that has heard no leader for so long serves nobody.
const BEHIND: u64 = 5 * SECOND;

pub(super) async fn live() {
    let sizes =
        Sizes { voters: 3, segment_bytes: 64 * 1_024, snapshot_log_bytes: 4_000, lines: Lines::Often };
    judge::voters(sizes.voters);
    let cluster = Cluster::new(sizes);
    let _over = super::Over(cluster.clone());
    judge::watches_over(cluster.waits.clone());
    cluster.ids().into_iter().for_each(|id| cluster.start(id));
    (0..2).for_each(|number| {
        begin_client(number, &cluster);
    });
    executor::spawn_in(0, lookout::look(cluster.clone()));
    sleep(HEALS_WITHIN).await;
    if let Some(lacks) = cluster.lacks() {
        judge::judge("the cluster begins", Err(lacks));
    }

    let lives = lives(&cluster);
    judge::trouble(now() + OUTAGE);
    let ids = cluster.ids();
    for from in &ids {
        ids.iter().filter(|to| from != *to).for_each(|to| cluster.wires.cut(*from, *to));
    }
    judge::say(|| "nobody hears anybody".to_owned());
    sleep(BEHIND).await;
    for _ in 0..(OUTAGE - BEHIND) / SECOND {
        let serves = |id: &u64| cluster.door(*id).is_some_and(|(_, handle)| handle.status().serving);
        if let Some(id) = ids.iter().find(|id| serves(id)) {
            judge::judge("who has no leader serves nobody", Err(format!("m{id} does")));
        }
        sleep(SECOND).await;
    }
    cluster.wires.mend();
    judge::trouble(now());
    judge::say(|| "all hear each other again".to_owned());
    heals(&cluster).await;
    if self::lives(&cluster) != lives {
        let kept = Err("a member was started anew".to_owned());
        judge::judge("members go on by themselves", kept);
    }
    judge::close();
    // The cluster goes with the run.
    std::future::pending::<()>().await;
}

fn lives(cluster: &Cluster) -> Vec<(Life, bool)> {
    let life = |id| (cluster.life(id), executor::is_alive(cluster.life(id)));
    cluster.ids().into_iter().map(life).collect()
}
