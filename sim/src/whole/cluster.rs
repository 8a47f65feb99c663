//! The members: real ones, started, crashed, paused and started again on what their disks have kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use replica::log::{MemoryDisk, UnprovableTail};
use replica::{Clock, First, Handle, Member, Mono, Options, Parts, Peer, Window};

use super::executor::{self, Life, chance, now, sleep, spawn_in};
use super::network::{Port, Wires};
use super::{Whole, disk, judge};
use crate::chance::MILLI;
use crate::clock::Rate;

/// A member's clock: what the replica reads.
struct Skewed(Rate);

impl Clock for Skewed {
    fn now(&self) -> Mono {
        Mono(self.0.reads(now()))
    }
}

/// What a member has over its lives.
struct Place {
    log: MemoryDisk,
    snapshots: MemoryDisk,
    life: Life,
    up: Option<Running>,
    begun: bool,
    /// What is left of the log's disk, where a sync failed.
    image: Option<Arc<Mutex<Option<MemoryDisk>>>>,
}

struct Running {
    handle: Handle,
}

/// All of them. Clones are the same cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) wires: Wires,
    places: Arc<Mutex<BTreeMap<u64, Place>>>,
    lives: Arc<Mutex<Life>>,
}

impl Cluster {
    pub(crate) fn new(size: u64) -> Cluster {
        let place = |id| {
            let (log, snapshots) = (MemoryDisk::new(), MemoryDisk::new());
            (id, Place { log, snapshots, life: 0, up: None, begun: false, image: None })
        };
        Cluster {
            wires: Wires::default(),
            places: Arc::new(Mutex::new((1..=size).map(place).collect())),
            lives: Arc::default(),
        }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<u64, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.places().keys().copied().collect()
    }

    /// The life of a member, and a way to ask it.
    pub(crate) fn door(&self, member: u64) -> Option<(Life, Handle)> {
        let places = self.places();
        let place = places.get(&member)?;
        place.up.as_ref().map(|up| (place.life, up.handle.clone()))
    }

    pub(crate) fn life(&self, member: u64) -> Life {
        self.places().get(&member).map_or(0, |place| place.life)
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        self.ids().into_iter().find(|id| self.door(*id).is_some_and(|(_, handle)| handle.status().leads))
    }

    pub(crate) fn start(&self, member: u64) {
        let life = {
            let mut last = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
            *last += 1;
            *last
        };
        let (log, snapshots, begun, size) = {
            let mut places = self.places();
            let size = places.len() as u64;
            let Some(place) = places.get_mut(&member) else { return };
            place.life = life;
            (place.log.clone(), place.snapshots.clone(), place.begun, size)
        };
        let peer = |id| (id, Peer::at(format!("m{id}:7401")));
        let first = First::With((1..=size).map(peer).collect());
        let options = Options {
            cluster: 7,
            member,
            first,
            begun,
            // Where one alone would refuse, as nobody can tell, its operator says so: what the disk had synced is there all the same.
            unprovable_tail: UnprovableTail::Cut,
            segment_bytes: Some(64 * 1024),
            window: Window { events: 0, bytes: 0, ..Window::default() },
            snapshot_log_bytes: chance(|it| it.pick(&[2_000, 20_000])),
        };
        let cluster = self.clone();
        let on_fatal = {
            let cluster = self.clone();
            Box::new(move |error: &std::io::Error| cluster.die(member, life, &error.to_string()))
        };
        let on_begun = {
            let places = Arc::clone(&self.places);
            Arc::new(move || {
                let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
                // What a life that is over has asked for does not reach its disk.
                places
                    .get_mut(&member)
                    .filter(|place| place.life == life)
                    .into_iter()
                    .for_each(|place| place.begun = true);
                Ok(())
            })
        };
        let parts = Parts::<Whole> {
            clock: Arc::new(Skewed(chance(Rate::any))),
            log_disk: Arc::new(log),
            snapshot_disk: Arc::new(snapshots),
            network: Port { from: member, to: member, wires: self.wires.clone() },
            on_begun,
            on_fatal,
        };
        judge::say(|| format!("m{member} starts, life {life}"));
        spawn_in(life, async move {
            match replica::start(options, parts).await {
                Ok(started) => cluster.is_up(member, life, started).await,
                Err(error) => {
                    judge::judge(
                        "a member starts on what its disk has kept",
                        Err(format!("m{member}: {error}")),
                    );
                }
            }
        });
    }

    /// A member runs until it ends by itself, as a process would.
    async fn is_up(&self, member: u64, life: Life, mut started: Member<Whole>) {
        if let Some(cut) = started.cut() {
            judge::say(|| format!("m{member} has cut its log: {cut}"));
        }
        self.wires.join(member, life, started.peers());
        if let Some(place) = self.places().get_mut(&member) {
            place.up = Some(Running { handle: started.handle() });
        }
        judge::say(|| format!("m{member} is up"));
        let why = started.ended().await.unwrap_or_default();
        let cluster = self.clone();
        spawn_in(0, async move { cluster.die(member, life, &why) });
    }

    /// Its process ends: by a kill, which leaves what was written, or by a power cut, which leaves what was synced.
    pub(crate) fn crash(&self, member: u64, power_cut: bool) {
        let life = self.life(member);
        executor::kill(life);
        self.wires.leave(member);
        let gone = {
            let mut places = self.places();
            let Some(place) = places.get_mut(&member) else { return };
            let image = place
                .image
                .take()
                .and_then(|image| image.lock().unwrap_or_else(PoisonError::into_inner).take());
            place.log = match image {
                Some(image) => image,
                None if power_cut => disk::power_cut(&place.log),
                None => place.log.fork(),
            };
            place.snapshots =
                if power_cut { disk::power_cut(&place.snapshots) } else { place.snapshots.fork() };
            place.up.take()
        };
        drop(gone);
        judge::say(|| format!("m{member} is down"));
    }

    /// The next sync of its log fails, which ends it.
    pub(crate) fn fail_sync(&self, member: u64) {
        if let Some(place) = self.places().get_mut(&member).filter(|place| place.up.is_some()) {
            place.image = Some(disk::fail_next_sync(&place.log));
        }
    }

    fn die(&self, member: u64, life: Life, why: &str) {
        judge::say(|| format!("m{member} dies: {why}"));
        // Nobody in it is to hear of the failure: the process is gone.
        executor::kill(life);
        let cluster = self.clone();
        spawn_in(0, async move {
            if cluster.life(member) == life {
                cluster.crash(member, true);
                cluster.restart_later(member);
            }
        });
    }

    pub(crate) fn restart_later(&self, member: u64) {
        let (cluster, life) = (self.clone(), self.life(member));
        spawn_in(0, async move {
            sleep(chance(|it| it.millis(5, 4_000))).await;
            if cluster.life(member) == life && cluster.door(member).is_none() {
                cluster.start(member);
            }
        });
    }

    /// Whether all of them are up, and have applied as much as the leader.
    pub(crate) fn is_whole(&self) -> bool {
        let status: Vec<_> = self.ids().iter().map(|id| self.door(*id).map(|(_, it)| it.status())).collect();
        let newest = status.iter().flatten().map(|it| it.applied).max();
        self.leader().is_some()
            && status
                .iter()
                .all(|it| it.as_ref().is_some_and(|it| it.serving && it.applied + 20 > newest.unwrap_or(0)))
    }
}

/// How long a cluster that is let alone may take until it serves.
pub(crate) const HEALS_WITHIN: u64 = 10_000 * MILLI;
