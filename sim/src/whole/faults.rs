//! What goes wrong until faults stop: crashes of one, of all, and at aimed points; pauses, cuts of every shape; disks that are slow,
//! full, fail, or decay.

use super::cluster::Cluster;
use super::disk::{self, At};
use super::executor::{self, Life, chance, now, pause, resume, sleep, spawn_in};
use super::judge;
use super::lives::Ends;
use crate::chance::{MICRO, MILLI};
use crate::clock::Shown;
use crate::tally::Happened;

/// Lives through faults until `calm`.
pub(crate) async fn strike(cluster: Cluster, clients: Vec<Life>, calm: u64) {
    let (breaks, slow) = chance(|it| (it.pick(&[0, 0, 3, 20]), it.pick(&[0, 0, 5, 40]) * MILLI));
    cluster.wires.worsen(breaks, slow);
    let peace = chance(|it| it.pick(&[1_500, 4_000, 12_000]));
    loop {
        sleep(chance(|it| it.millis(100, peace))).await;
        if now() >= calm {
            break;
        }
        one(&cluster, &clients).await;
    }
    cluster.wires.mend();
    cluster.wires.worsen(0, 0);
    for id in cluster.ids() {
        cluster.place(id, |place| place.trap.disarm());
    }
    judge::trouble(now());
    judge::say(|| "faults stop".to_owned());
}

async fn one(cluster: &Cluster, clients: &[Life]) {
    let ids = cluster.ids();
    let any = chance(|it| it.pick(&ids));
    // What leads is hit as often as all the others together.
    let member = cluster.leader().filter(|_| chance(|it| it.one_in(2))).unwrap_or(any);
    let length = chance(|it| match it.one_in(3) {
        true => it.millis(500, 4_000),
        false => it.millis(20, 500),
    });
    match chance(|it| it.below(14)) {
        0 => crash(cluster, member, Ends::Killed),
        1 => crash(cluster, member, Ends::PowerCut),
        2 => {
            if until_pending(cluster, member).await {
                judge::count(Happened::CutInSync);
            }
            crash(cluster, member, Ends::PowerCut);
        }
        3 => {
            // In the middle of a sync of one of them, where that comes about.
            until_pending(cluster, member).await;
            judge::say(|| "all members lose power".to_owned());
            judge::count(Happened::PowerCutOfAll);
            cluster.ids().into_iter().for_each(|id| crash(cluster, id, Ends::PowerCut));
        }
        4 => set_trap(cluster, member, At::LogSync),
        5 => set_trap(cluster, member, chance(|it| it.pick(&[At::Rename, At::NameSync]))),
        6 => crash_at_vote(cluster),
        7 => hold(cluster.life(member), length, Happened::Paused),
        8 => hold(chance(|it| it.pick(clients)), length, Happened::ClientPaused),
        9 => {
            judge::say(|| format!("m{member}'s disk stalls for {}", Shown(length)));
            judge::count(Happened::DiskStalled);
            judge::trouble(now() + length);
            disk::stall(cluster.life(member), now() + length);
        }
        10 => fill(cluster, member, length + 1_000 * MILLI),
        11 => decay(cluster, member),
        _ => cut(cluster, &ids, member, length),
    }
}

fn crash(cluster: &Cluster, member: u64, how: Ends) {
    let life = cluster.life(member);
    // Since it was chosen it may have gone for good, and has no life then.
    if life != 0 && executor::is_alive(life) {
        judge::count(if how == Ends::Killed { Happened::Killed } else { Happened::PowerCut });
        cluster.crash(member, how);
        cluster.restart_later(member);
    }
}

/// Waits until a sync is pending; false where none is for a while.
async fn until_pending(cluster: &Cluster, member: u64) -> bool {
    for _ in 0..200 {
        if disk::is_pending(cluster.life(member)) {
            return true;
        }
        sleep(200 * MICRO).await;
    }
    false
}

fn set_trap(cluster: &Cluster, member: u64, at: At) {
    judge::say(|| format!("m{member} is to lose power at {at:?}"));
    cluster.place(member, |place| place.trap.set(at));
}

/// The leader goes; the first that votes for another loses power as its answer leaves, and the candidate is cut off: if that vote is
/// forgotten, the same term may have two leaders.
fn crash_at_vote(cluster: &Cluster) {
    let Some(leader) = cluster.leader() else { return };
    let voted = cluster.wires.await_vote();
    judge::count(Happened::Killed);
    cluster.crash(leader, Ends::Killed);
    // Until somebody has voted: one that is back before gives its vote too, and whoever has forgotten its own finds nobody.
    cluster.restart_after(leader, chance(|it| it.millis(2_000, 4_000)));
    let cluster = cluster.clone();
    spawn_in(0, async move {
        let Some((candidate, voter, answer)) = voted.await else { return };
        judge::say(|| format!("m{voter} loses power as its vote for m{candidate} leaves"));
        judge::count(Happened::CutAfterVote);
        cluster.crash(voter, Ends::PowerCut);
        cluster.restart_after(voter, chance(|it| it.millis(5, 100)));
        if !executor::is_alive(cluster.life(leader)) {
            cluster.restart_after(leader, chance(|it| it.millis(50, 300)));
        }
        sleep(answer).await;
        cut_off(&cluster, candidate, chance(|it| it.millis(1_500, 3_500)));
    });
}

fn cut_off(cluster: &Cluster, member: u64, length: u64) {
    for id in cluster.ids().into_iter().filter(|id| *id != member) {
        cluster.wires.cut(id, member);
        cluster.wires.cut(member, id);
    }
    mend_later(cluster, length);
}

fn mend_later(cluster: &Cluster, length: u64) {
    judge::trouble(now() + length);
    let wires = cluster.wires.clone();
    spawn_in(0, async move {
        sleep(length).await;
        wires.mend();
    });
}

/// SIGSTOP, and SIGCONT.
fn hold(life: Life, length: u64, what: Happened) {
    if !executor::is_alive(life) {
        return;
    }
    judge::say(|| format!("life {life} is paused for {}", Shown(length)));
    judge::count(what);
    judge::trouble(now() + length);
    pause(life);
    spawn_in(0, async move {
        sleep(length).await;
        resume(life);
    });
}

fn fill(cluster: &Cluster, member: u64, length: u64) {
    let Some(disks) = cluster.place(member, |place| place.disks.clone()) else { return };
    judge::say(|| format!("m{member}'s disks are full for {}", Shown(length)));
    judge::count(Happened::DiskFull);
    judge::trouble(now() + length);
    disks.set_full(true);
    spawn_in(0, async move {
        sleep(length).await;
        disks.set_full(false);
    });
}

/// A bit of what a member has at rest changes, while it is down; of one member at a time, and only where others have a majority.
fn decay(cluster: &Cluster, member: u64) {
    // One that is ruined while its cluster forms leaves none that could replace it.
    if cluster.leader().is_none()
        || cluster.voters().len() < 3
        || cluster.is_revoting()
        || !cluster.ruined().is_empty()
        || !executor::is_alive(cluster.life(member))
    {
        return;
    }
    judge::count(Happened::Killed);
    cluster.crash(member, Ends::Killed);
    if cluster.place(member, |place| {
        place.decayed = place.disks.decay();
        place.decayed
    }) == Some(true)
    {
        judge::say(|| format!("m{member}'s disks decay"));
        judge::count(Happened::DiskDecayed);
    }
    cluster.restart_later(member);
}

/// A full cut of one member, a cut one way, or a bridge: two that hear only a third.
fn cut(cluster: &Cluster, ids: &[u64], member: u64, length: u64) {
    let other = chance(|it| it.pick(ids));
    let shape = chance(|it| it.below(3));
    judge::say(|| format!("cut of shape {shape} at m{member} for {}", Shown(length)));
    judge::count(Happened::NetworkCut);
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
    mend_later(cluster, length);
}
