//! The members, as a cluster: who there is, who leads, and whether all of them serve.
//!
//! ```text
//!   place ── disks ──▶ a life ──kill, power cut──▶ disks ──▶ the next life ...
//!     │                  └── disks that decayed and are refused: ruined, until another takes its place
//!     └── gone, once the cluster has removed it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use replica::{First, Handle, Peer, Status};

use super::asks::Standing;
use super::disk::{Disks, Trap};
use super::executor::{self, Life, chance};
use super::judge;
use super::network::Wires;
use crate::caller::Lines;
use crate::chance::MILLI;
use crate::clock::Rate;
use crate::trouble::AFTERMATH;

/// How long a cluster that is let alone may take until it serves.
pub(crate) const HEALS_WITHIN: u64 = 15_000 * MILLI;

/// What a member has over its lives.
pub(crate) struct Place {
    pub(crate) disks: Disks,
    pub(crate) trap: Trap,
    pub(crate) life: Life,
    pub(crate) handle: Option<Handle>,
    /// Since when it has been up.
    pub(crate) up_at: u64,
    pub(crate) first: First,
    pub(crate) begun: bool,
    /// A bit of its disks has changed, and they have not been read since.
    pub(crate) decayed: bool,
    /// Its disks were refused: it will not come back.
    pub(crate) ruined: bool,
    /// It may have been removed.
    pub(crate) leaves: bool,
    /// Its clocks run at a rate outside rho.
    pub(crate) strays: bool,
}

/// How large everything is, and whether anybody lines up, from the seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) voters: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) snapshot_log_bytes: u64,
    pub(crate) lines: Lines,
}

/// All of them. Clones are the same cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) wires: Wires,
    /// Who waits in line, and who waits until a lease is free.
    pub(crate) lines: Standing,
    pub(crate) waits: Standing,
    pub(crate) sizes: Sizes,
    places: Arc<Mutex<BTreeMap<u64, Place>>>,
    ids_last: Arc<Mutex<u64>>,
    lives: Arc<Mutex<Life>>,
    /// The members, when somebody last looked, and whether each has a vote.
    members: Arc<Mutex<BTreeMap<u64, bool>>>,
    /// Who votes may be about to change.
    revoting: Arc<AtomicBool>,
}

impl Cluster {
    /// As many first voters as the seed says; none has started.
    pub(crate) fn new(sizes: Sizes) -> Cluster {
        let cluster = Cluster {
            wires: Wires::default(),
            lines: Standing::default(),
            waits: Standing::default(),
            sizes,
            places: Arc::default(),
            ids_last: Arc::default(),
            lives: Arc::default(),
            members: Arc::new(Mutex::new((1..=sizes.voters).map(|id| (id, true)).collect())),
            revoting: Arc::default(),
        };
        let peer = |id| (id, Peer::at(address(id)));
        let voters: BTreeMap<u64, Peer> = (1..=sizes.voters).map(peer).collect();
        for _ in 0..sizes.voters {
            cluster.add(First::With(voters.clone()));
        }
        if chance(|it| it.one_in(12)) {
            let stray = chance(|it| it.between(1, sizes.voters));
            cluster.place(stray, |place| place.strays = true);
            judge::member_strays();
        }
        cluster
    }

    /// A place for a member more, with empty disks and an id that none had.
    pub(crate) fn add(&self, first: First) -> u64 {
        let id = next(&self.ids_last);
        let place = Place {
            disks: Disks::default(),
            trap: Trap::default(),
            life: 0,
            handle: None,
            up_at: 0,
            first,
            begun: false,
            decayed: false,
            ruined: false,
            leaves: false,
            strays: false,
        };
        self.places().insert(id, place);
        self.wires.listen(id, address(id));
        id
    }

    pub(crate) fn new_life(&self) -> Life {
        next(&self.lives)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<u64, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a member's place, or changes it; none where it is gone.
    pub(crate) fn place<T>(&self, member: u64, act: impl FnOnce(&mut Place) -> T) -> Option<T> {
        self.places().get_mut(&member).map(act)
    }

    /// The run is over: nothing of it stays in memory.
    pub(crate) fn end(&self) {
        self.places().values().for_each(|place| place.disks.calm());
        let places = std::mem::take(&mut *self.places());
        drop(places);
        self.wires.end();
    }

    /// Its place is no more.
    pub(crate) fn leave(&self, member: u64) {
        let gone = self.places().remove(&member);
        drop(gone);
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.places().keys().copied().collect()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<u64, bool>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn voters(&self) -> BTreeSet<u64> {
        self.members().iter().filter(|(_, votes)| **votes).map(|(id, _)| *id).collect()
    }

    /// Whether a member belongs to the cluster, and is not about to leave it.
    pub(crate) fn stays(&self, member: u64) -> bool {
        self.members().contains_key(&member) && self.place(member, |place| !place.leaves) == Some(true)
    }

    /// Whether a member has been up for long enough to have heard of its leader.
    pub(crate) fn is_settled(&self, member: u64) -> bool {
        self.place(member, |place| place.up_at + AFTERMATH < executor::now()) == Some(true)
    }

    /// The cluster's members are these, each with whether it votes.
    pub(crate) fn note_members(&self, members: BTreeMap<u64, bool>) {
        *self.members() = members;
    }

    /// Whether a change of who votes may be halfway done: then it takes a majority of those before too.
    pub(crate) fn is_revoting(&self) -> bool {
        self.revoting.load(Ordering::Relaxed)
    }

    pub(crate) fn note_revoting(&self, revoting: bool) {
        self.revoting.store(revoting, Ordering::Relaxed);
    }

    /// Whether a majority of the voters runs.
    pub(crate) fn has_quorum(&self) -> bool {
        let voters = self.voters();
        let runs = |id: &&u64| self.door(**id).is_some_and(|(life, _)| executor::runs_since(life).is_some());
        2 * voters.iter().filter(runs).count() > voters.len()
    }

    /// Those whose disks have decayed, and may be refused.
    pub(crate) fn ruined(&self) -> BTreeSet<u64> {
        self.places().iter().filter(|(_, place)| place.ruined || place.decayed).map(|(id, _)| *id).collect()
    }

    /// The life of a member, and a way to ask it.
    pub(crate) fn door(&self, member: u64) -> Option<(Life, Handle)> {
        let places = self.places();
        let place = places.get(&member)?;
        place.handle.as_ref().map(|handle| (place.life, handle.clone()))
    }

    pub(crate) fn life(&self, member: u64) -> Life {
        self.places().get(&member).map_or(0, |place| place.life)
    }

    /// The one that leads in the newest term.
    pub(crate) fn leader(&self) -> Option<u64> {
        let status = self.status().into_iter().filter_map(|(id, status)| Some((id, status?)));
        status.filter(|(_, it)| it.leads).max_by_key(|(_, it)| it.term).map(|(id, _)| id)
    }

    /// Those that lead, or think so.
    pub(crate) fn leading(&self) -> Vec<u64> {
        let status = self.status().into_iter();
        status.filter(|(_, it)| it.as_ref().is_some_and(|it| it.leads)).map(|(id, _)| id).collect()
    }

    fn status(&self) -> BTreeMap<u64, Option<Status>> {
        let ids = self.ids().into_iter();
        ids.map(|id| (id, self.door(id).map(|(_, handle)| handle.status()))).collect()
    }

    /// Why not all of them serve, and have applied as much as the leader.
    pub(crate) fn lacks(&self) -> Option<String> {
        let status = self.status();
        let newest = status.values().flatten().map(|it| it.applied).max().unwrap_or(0);
        if self.leader().is_none() {
            return Some("no member leads".to_owned());
        }
        let voters = self.voters();
        let other = |leader: &u64| voters.iter().any(|id| id != leader && !self.drains(*id));
        if let Some(id) = self.leader().filter(|id| self.drains(*id) && other(id)) {
            return Some(format!("m{id} drains, and leads"));
        }
        let lags = status
            .iter()
            .find(|(_, it)| it.as_ref().is_none_or(|it| !it.serving || it.applied + 20 < newest));
        lags.map(|(id, it)| match it {
            None => format!("m{id} is not up"),
            Some(it) => {
                format!("m{id} has applied {} of {newest}, and its trouble is {:?}", it.applied, it.trouble)
            }
        })
    }

    /// Whether a member knows that it is to be left alone.
    pub(crate) fn drains(&self, member: u64) -> bool {
        self.door(member).is_some_and(|(_, handle)| handle.status().drains)
    }

    pub(crate) fn clock_rate(&self, member: u64) -> (Rate, bool) {
        let strays = self.place(member, |place| place.strays).unwrap_or(false);
        (chance(if strays { Rate::stray } else { Rate::any }), strays)
    }
}

/// Where a member is reached at first.
pub(crate) fn address(id: u64) -> String {
    format!("m{id}:7401")
}

fn next(last: &Mutex<u64>) -> u64 {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    *last += 1;
    *last
}
