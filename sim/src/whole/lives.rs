//! A member's lives: it starts on what its disks have kept, runs, and ends: by a kill, a power cut, or by itself.

use std::sync::Arc;

use replica::log::{CutKind, UnprovableTail};
use replica::{Clock, First, Member, Mono, Options, Parts, Window};

use super::cluster::Cluster;
use super::disk::At;
use super::executor::{self, Life, chance, now, sleep, spawn_in};
use super::network::Port;
use super::{Whole, judge};
use crate::clock::Rate;
use crate::tally::Happened;

/// A member's clock: what the replica reads.
struct Skewed {
    rate: Rate,
    strays: bool,
}

impl Clock for Skewed {
    fn now(&self) -> Mono {
        Mono(self.rate.reads(now()))
    }

    fn strays(&self) -> bool {
        self.strays
    }
}

/// Where in a segment its checkpoint is: docs/format.md.
const CHECKPOINT_AT: u64 = 512;
/// Bytes of a batch without records.
const SEAL_BYTES: u64 = 64;

/// How a member's process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// What was written stays.
    Killed,
    /// What was synced stays.
    PowerCut,
}

impl Cluster {
    pub(crate) fn start(&self, member: u64) {
        let life = self.new_life();
        let begin = self.place(member, |place| {
            place.life = life;
            (place.disks.clone(), place.trap.clone(), place.first.clone(), place.begun, place.decayed)
        });
        let Some((disks, trap, first, begun, decayed)) = begin else { return };
        let struck = self.clone();
        trap.watch(&disks, move |at| struck.strike(member, life, at));
        let options = self.options(member, first, begun, decayed);
        let on_fatal = {
            let cluster = self.clone();
            Box::new(move |error: &std::io::Error| cluster.die(member, life, &error.to_string()))
        };
        let marked = self.clone();
        let on_begun = Arc::new(move || {
            // What a life that is over has asked for does not reach its disk.
            marked.place(member, |place| place.begun |= place.life == life);
            Ok(())
        });
        let (rate, strays) = self.clock_rate(member);
        let parts = Parts::<Whole> {
            clock: Arc::new(Skewed { rate, strays }),
            log_disk: Arc::new(disks.log),
            snapshot_disk: Arc::new(disks.snapshots),
            network: Port { from: member, to: member, address: String::new(), wires: self.wires.clone() },
            on_fatal,
            on_begun,
        };
        judge::say(|| format!("m{member} starts, life {life}"));
        let cluster = self.clone();
        spawn_in(life, async move {
            match replica::start(options, parts).await {
                Ok(started) => cluster.is_up(member, life, started).await,
                Err(error) => cluster.refuses(member, life, &error.to_string()),
            }
        });
    }

    fn options(&self, member: u64, first: First, begun: bool, decayed: bool) -> Options {
        Options {
            cluster: 7,
            member,
            first,
            begun,
            // After a power cut its operator says that what lies beyond what was synced may go. After decay nobody may say so.
            unprovable_tail: if decayed { UnprovableTail::Refuse } else { UnprovableTail::Cut },
            segment_bytes: Some(self.sizes.segment_bytes),
            window: Window { events: 0, bytes: 0, ..Window::default() },
            snapshot_log_bytes: self.sizes.snapshot_log_bytes,
            commands: lease::QUEUE_MAX,
        }
    }

    /// It did not start: rightly, where its disks have decayed.
    fn refuses(&self, member: u64, life: Life, why: &str) {
        judge::say(|| format!("m{member} refuses its disks: {why}"));
        let decayed = self.place(member, |place| {
            place.ruined |= place.decayed;
            place.decayed
        });
        match decayed {
            Some(true) => {
                judge::count(Happened::DecayRefused);
                executor::kill(life);
            }
            // It was struck while it started.
            _ if !executor::is_alive(life) => {}
            _ => {
                let kept = Err(format!("m{member}: {why}"));
                judge::judge("a member starts on what its disk has kept", kept);
            }
        }
    }

    /// A member runs until it ends by itself, as a process would.
    async fn is_up(&self, member: u64, life: Life, mut started: Member<Whole>) {
        if let Some(cut) = started.cut() {
            judge::say(|| format!("m{member} has cut its log: {cut}"));
            judge::count(match cut.kind {
                CutKind::Torn => Happened::TailCut,
                CutKind::Unprovable => Happened::UnprovableCut,
            });
            // The checkpoint that a segment begins with repeats what is known without it, and a seal, a header alone, has nothing in it.
            let matters = cut.offset > CHECKPOINT_AT && cut.bytes > SEAL_BYTES;
            if matters && self.place(member, |place| place.decayed) == Some(true) {
                let kept =
                    Err(format!("m{member}'s disks decayed, and it goes on without what it has cut: {cut}"));
                judge::judge("what has decayed is refused", kept);
            }
        }
        let handle = started.handle();
        let upto = handle.status().applied;
        handle.peek(|table, _| judge::restored(member, Some(upto), table));
        self.wires.join(member, life, started.peers());
        self.place(member, |place| {
            place.decayed = false;
            (place.handle, place.up_at) = (Some(handle), now());
        });
        judge::say(|| format!("m{member} is up"));
        let why = started.ended().await.unwrap_or_default();
        let cluster = self.clone();
        spawn_in(0, async move { cluster.die(member, life, &why) });
    }

    /// Its process ends.
    pub(crate) fn crash(&self, member: u64, how: Ends) {
        match self.life(member) {
            // It has never lived, or is gone for good.
            0 => return,
            life => executor::kill(life),
        }
        self.wires.leave(member);
        let gone = self.place(member, |place| {
            place.disks.calm();
            place.disks = match (place.trap.take(), how) {
                (Some(left), _) => left,
                (None, Ends::PowerCut) => place.disks.power_cut(),
                (None, Ends::Killed) => place.disks.killed(),
            };
            place.handle.take()
        });
        drop(gone);
        judge::trouble(now());
        judge::say(|| format!("m{member} is down"));
    }

    /// The trap at its disks has sprung.
    fn strike(&self, member: u64, life: Life, at: At) {
        judge::count(match at {
            At::LogSync => Happened::SyncFailed,
            At::Rename | At::NameSync => Happened::CutInRename,
        });
        self.die(member, life, &format!("the power failed at {at:?}"));
    }

    fn die(&self, member: u64, life: Life, why: &str) {
        judge::say(|| format!("m{member} dies: {why}"));
        // Nobody in it is to hear of the failure: the process is gone.
        executor::kill(life);
        let cluster = self.clone();
        spawn_in(0, async move {
            if cluster.life(member) == life {
                cluster.crash(member, Ends::PowerCut);
                cluster.restart_later(member);
            }
        });
    }

    pub(crate) fn restart_later(&self, member: u64) {
        let after = chance(|it| it.millis(5, 4_000));
        self.restart_after(member, after);
    }

    /// It starts again, unless it has by then, or never will.
    pub(crate) fn restart_after(&self, member: u64, after: u64) {
        let (cluster, life) = (self.clone(), self.life(member));
        debug_assert!(!executor::is_alive(life), "a life follows another");
        spawn_in(0, async move {
            sleep(after).await;
            let is_down = cluster.place(member, |place| place.life == life && !place.ruined);
            if is_down == Some(true) {
                cluster.start(member);
            }
        });
    }

    /// It leaves the cluster for good.
    pub(crate) fn retire(&self, member: u64) {
        self.crash(member, Ends::Killed);
        self.leave(member);
        judge::say(|| format!("m{member} is gone for good"));
    }
}
