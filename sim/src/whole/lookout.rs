//! Looks at the members from outside, fifty times a second: who leads, whether the cluster is in trouble, and whom a free lease
//! keeps waiting.

use lease::Key;

use super::cluster::Cluster;
use super::executor::{Life, now, sleep};
use super::judge;
use crate::chance::MILLI;
use crate::door::{NAMES, Words};
use crate::invariants::Who;

pub(crate) const EVERY: u64 = 20 * MILLI;

/// The member that leads, in which life and term.
type Lead = (u64, Life, u64);

pub(crate) async fn look(cluster: Cluster) {
    let words = Words::new();
    let mut led: Option<Lead> = None;
    loop {
        sleep(EVERY).await;
        let (mut leads, slow) = (None, cluster.wires.slow());
        let mut lives = Vec::new();
        for member in cluster.ids() {
            let Some((life, handle)) = cluster.door(member) else { continue };
            let status = handle.status();
            let stays = cluster.stays(member);
            if stays {
                lives.push(life);
            }
            if let Some(leader) = status.leader {
                judge::leads(member, status.term, leader);
            }
            if status.leads && leads.is_none_or(|(_, _, term)| term < status.term) {
                leads = Some((member, life, status.term));
            }
            for (key, of) in words.keys.iter().enumerate() {
                let came = cluster.waits.longest(&[life], key);
                let came = came.filter(|_| handle.peek(|table, _| table.is_free(of)));
                let is_served = stays && status.serving && cluster.is_settled(member);
                judge::waits(member, key, Who::Waiting, came.filter(|_| is_served), slow);
                judge::stands(member, key, came.and_then(|_| cluster.waits.longest_looked_at(life, key)));
            }
        }
        if leads.is_none() || leads != led || !cluster.has_quorum() {
            judge::trouble(now());
        }
        led = leads;
        for key in 0..NAMES.len() {
            let came = cluster.lines.longest(&lives, key);
            let came = came.filter(|_| is_free(&cluster, leads, &words.keys[key]));
            judge::waits(0, key, Who::InLine, came, slow);
        }
        judge::look();
    }
}

/// Whether the leader could grant it.
fn is_free(cluster: &Cluster, leads: Option<Lead>, key: &Key) -> bool {
    let door = leads.and_then(|(member, _, _)| cluster.door(member));
    door.is_some_and(|(_, handle)| handle.peek(|table, _| table.is_free(key)))
}
