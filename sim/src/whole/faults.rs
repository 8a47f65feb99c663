//! What goes wrong until faults stop: crashes of one, of all, and in the middle of a sync; pauses, cuts of every shape, slow disks.

use super::cluster::Cluster;
use super::executor::{chance, now, pause, resume, sleep, spawn_in};
use super::{disk, judge};
use crate::chance::{MICRO, MILLI};
use crate::clock::Shown;

/// Lives through faults until `calm`.
pub(crate) async fn strike(cluster: Cluster, calm: u64) {
    let (breaks, slow) = chance(|it| (it.pick(&[0, 0, 3, 20]), it.pick(&[0, 0, 5, 40]) * MILLI));
    cluster.wires.worsen(breaks, slow);
    let peace = chance(|it| it.pick(&[800, 2_500, 6_000]));
    loop {
        sleep(chance(|it| it.millis(100, peace))).await;
        if now() >= calm {
            break;
        }
        one(&cluster).await;
    }
    cluster.wires.mend();
    cluster.wires.worsen(0, 0);
    judge::say(|| "faults stop".to_owned());
}

async fn one(cluster: &Cluster) {
    let ids = cluster.ids();
    let any = chance(|it| it.pick(&ids));
    // What leads is hit as often as all the others together.
    let member = cluster.leader().filter(|_| chance(|it| it.one_in(2))).unwrap_or(any);
    let length = chance(|it| match it.one_in(3) {
        true => it.millis(500, 4_000),
        false => it.millis(20, 500),
    });
    match chance(|it| it.below(9)) {
        0 => crash(cluster, member, false),
        1 => crash(cluster, member, true),
        2 => crash_in_sync(cluster.clone(), member).await,
        3 => {
            judge::say(|| "all members lose power".to_owned());
            // In the middle of a sync of one of them, where that comes about.
            until_pending(cluster, member).await;
            ids.iter().for_each(|id| crash(cluster, *id, true));
        }
        4 => cluster.fail_sync(member),
        5 => {
            let life = cluster.life(member);
            judge::say(|| format!("m{member} is paused for {}", Shown(length)));
            pause(life);
            spawn_in(0, async move {
                sleep(length).await;
                resume(life);
            });
        }
        6 => {
            judge::say(|| format!("m{member}'s disk stalls for {}", Shown(length)));
            disk::stall(cluster.life(member), now() + length);
        }
        _ => cut(cluster, &ids, member, length),
    }
}

fn crash(cluster: &Cluster, member: u64, power_cut: bool) {
    if cluster.door(member).is_some() {
        cluster.crash(member, power_cut);
        cluster.restart_later(member);
    }
}

async fn until_pending(cluster: &Cluster, member: u64) {
    for _ in 0..200 {
        if disk::is_pending(cluster.life(member)) {
            return;
        }
        sleep(200 * MICRO).await;
    }
}

async fn crash_in_sync(cluster: Cluster, member: u64) {
    until_pending(&cluster, member).await;
    crash(&cluster, member, true);
}

/// A full cut of one member, a cut one way, or a bridge: two that hear only a third.
fn cut(cluster: &Cluster, ids: &[u64], member: u64, length: u64) {
    let other = chance(|it| it.pick(ids));
    let shape = chance(|it| it.below(3));
    judge::say(|| format!("cut of shape {shape} at m{member} for {}", Shown(length)));
    for id in ids.iter().filter(|id| **id != member) {
        match shape {
            0 => {
                cluster.wires.cut(*id, member);
                cluster.wires.cut(member, *id);
            }
            1 => cluster.wires.cut(member, *id),
            _ if *id != other => {
                cluster.wires.cut(*id, member);
                cluster.wires.cut(member, *id);
            }
            _ => {}
        }
    }
    let wires = cluster.wires.clone();
    spawn_in(0, async move {
        sleep(length).await;
        wires.mend();
    });
}
