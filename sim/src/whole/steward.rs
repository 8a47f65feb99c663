//! The steward: members come and go, drain, and move to other addresses; voters are replaced, the lead is handed on; and who is ruined
//! gets a successor.
//!
//! It asks the cluster itself, at its leader or at any other member, and does by what it is told. When faults have stopped it goes on
//! until the cluster has the members that there are, and no others. Who drains then is left so in half of the runs: it must not lead.

use std::collections::{BTreeMap, BTreeSet};

use lease::Ttl;
use openraft_rt::{AsyncRuntime as _, Select2};
use replica::{First, MemberChange, MemberView, Unchanged};

use super::cluster::{Cluster, address};
use super::executor::{chance, now, sleep, sleep_until, spawn_in};
use super::judge;
use super::runtime::Simulated;
use crate::chance::MILLI;
use crate::tally::Happened;

/// Members of one run at a time, at most.
const MEMBERS_MAX: usize = 7;
/// An observer that lacks more is not made a voter yet.
const LACKS_MAX: u64 = 50;

struct Steward {
    cluster: Cluster,
    /// Who was surely removed.
    removed: Vec<u64>,
    /// Addresses are numbered, and none is given twice.
    address_last: u64,
    /// Once faults have stopped, nobody drains any more.
    ends_drains: bool,
    /// When they have stopped.
    calm: u64,
}

type Members = BTreeMap<u64, MemberView>;

/// Keeps the house: changes of its own accord until `calm`.
pub(crate) async fn live(cluster: Cluster, calm: u64) {
    let ends_drains = chance(|it| it.one_in(2));
    let mut steward = Steward { cluster, removed: Vec::new(), address_last: 0, ends_drains, calm };
    let pace = chance(|it| it.pick(&[1_500, 5_000, 5_000, 20_000]));
    loop {
        let next = now() + chance(|it| it.millis(50, pace));
        sleep_until(next.min(calm.max(now() + 200 * MILLI))).await;
        let is_calm = steward.is_calm();
        let Ok(members) = steward.ask(MemberChange::List).await else { continue };
        steward.cluster.note_members(members.iter().map(|(id, member)| (*id, member.is_voter)).collect());
        members.keys().for_each(|id| steward.leaves(*id, false));
        let ruined = steward.cluster.ruined();
        if is_calm {
            steward.tidy(&members).await;
        }
        match ruined.first() {
            Some(ruined) => steward.mend(&members, *ruined).await,
            None if !is_calm => steward.change(&members).await,
            None => {}
        }
    }
}

impl Steward {
    fn is_calm(&self) -> bool {
        now() >= self.calm
    }

    /// Asks the leader, or any that runs; once faults have stopped, the leader: one that was never taken in would only wait until the
    /// deadline for a leader to hear of, and the cluster's time to heal is short.
    async fn ask(&self, change: MemberChange) -> Result<Members, Unchanged> {
        let any = chance(|it| it.pick(&self.cluster.ids()));
        let leader = self.cluster.leader().filter(|_| chance(|it| !it.one_in(4)) || self.is_calm());
        let member = leader.unwrap_or(any);
        let Some((_, handle)) = self.cluster.door(member) else { return Err(Unchanged::NoLeader) };
        if change != MemberChange::List {
            judge::say(|| format!("the steward to m{member}: {change:?}"));
        }
        let votes = matches!(
            change,
            MemberChange::Promote(_) | MemberChange::Remove(_) | MemberChange::Replace { .. }
        );
        let before = self.cluster.is_revoting();
        self.cluster.note_revoting(before || votes);
        let (answer, answered) = tokio::sync::oneshot::channel();
        let reply = Box::new(move |told| {
            let _ = answer.send(told);
        });
        handle.change_members(change.clone(), Ttl::from_millis(5_000), reply);
        // A member that goes answers nobody.
        let told = Simulated::select2(answered, sleep(6_000 * MILLI)).await;
        let told = match told {
            Select2::First(Ok(told)) => told,
            _ => Err(Unchanged::Unknown),
        };
        match &told {
            // No change is made while another is halfway: so none is now.
            Ok(_) if votes => self.cluster.note_revoting(false),
            Err(Unchanged::Refused(_) | Unchanged::NoLeader) => self.cluster.note_revoting(before),
            _ => {}
        }
        if change != MemberChange::List {
            judge::say(|| format!("the steward is told {:?}", told.as_ref().map(Vec::len)));
        }
        told.map(|members| members.into_iter().map(|member| (member.id, member)).collect())
    }

    /// Something that an operator might do.
    async fn change(&mut self, members: &Members) {
        let (observers, voters) = self.observers_and_voters(members);
        let followers: Vec<u64> = voters.iter().copied().filter(|id| !members[id].leads).collect();
        let ready: Vec<u64> = observers.iter().copied().filter(|id| is_ready(&members[id])).collect();
        match chance(|it| it.below(12)) {
            0..2 if members.len() < MEMBERS_MAX => self.observe().await,
            2 if ready.len() >= 2 && voters.len() < 5 => {
                let pair = BTreeSet::from([ready[0], ready[1]]);
                if self.ask(MemberChange::Promote(pair)).await.is_ok() {
                    judge::count(Happened::VoterPromoted);
                    judge::count(Happened::VoterPromoted);
                }
            }
            3 if voters.len() >= 5 => self.remove(followers.into_iter().take(2).collect()).await,
            4 if !observers.is_empty() => {
                self.remove(BTreeSet::from([chance(|it| it.pick(&observers))])).await
            }
            5..7 if !ready.is_empty() && !followers.is_empty() => {
                let (old, new) = chance(|it| (it.pick(&followers), it.pick(&ready)));
                self.replace(old, new).await;
            }
            7 if !self.removed.is_empty() => {
                let id = chance(|it| it.pick(&self.removed));
                let again = self.ask(MemberChange::Add { id, address: address(id) }).await;
                if again.is_ok() {
                    let kept = Err(format!("m{id} was removed, and is taken in again under the same id"));
                    judge::judge("an id is one member's for good", kept);
                }
            }
            8 => {
                let id = chance(|it| it.pick(&[&observers[..], &voters[..]].concat()));
                self.move_to_another(id).await;
            }
            9..11 => {
                let draining: Vec<u64> = members.values().filter(|it| it.drains).map(|it| it.id).collect();
                match chance(|it| (!draining.is_empty() && !it.one_in(3)).then(|| it.pick(&draining))) {
                    Some(id) => self.drain(id, false).await,
                    None => self.drain(chance(|it| it.pick(&voters)), true).await,
                }
            }
            _ if voters.len() > 1 => {
                let to = chance(|it| (!it.one_in(3)).then(|| it.pick(&voters)));
                if self.ask(MemberChange::Lead(to)).await.is_ok() {
                    judge::count(Happened::LeadHandedOn);
                }
            }
            _ => {}
        }
    }

    /// Observers, and voters.
    fn observers_and_voters(&self, members: &Members) -> (Vec<u64>, Vec<u64>) {
        members.keys().partition(|id| !members[id].is_voter)
    }

    /// Has a new member started, and added.
    async fn observe(&mut self) {
        let id = self.cluster.add(First::Added);
        self.cluster.start(id);
        match self.ask(MemberChange::Add { id, address: address(id) }).await {
            Ok(_) => judge::count(Happened::ObserverAdded),
            Err(Unchanged::Unknown) => {}
            Err(_) => self.cluster.retire(id),
        }
    }

    async fn remove(&mut self, ids: BTreeSet<u64>) {
        ids.iter().for_each(|id| self.leaves(*id, true));
        if self.ask(MemberChange::Remove(ids.clone())).await.is_ok() {
            ids.into_iter().for_each(|id| self.removed(id));
        }
    }

    async fn replace(&mut self, old: u64, new: u64) {
        self.leaves(old, true);
        if self.ask(MemberChange::Replace { old, new }).await.is_ok() {
            judge::count(Happened::VoterReplaced);
            self.removed(old);
        }
    }

    /// It listens at a new address first, and at its old one until the others surely know the new one.
    async fn move_to_another(&mut self, id: u64) {
        self.address_last += 1;
        let address = format!("m{id}-{}:7401", self.address_last);
        self.cluster.wires.listen(id, address.clone());
        if self.ask(MemberChange::Move { id, address: address.clone() }).await.is_ok() {
            judge::count(Happened::MemberMoved);
            judge::say(|| format!("m{id} listens at {address} alone"));
            judge::trouble(now());
            self.cluster.wires.listen_only(id, address);
        }
    }

    async fn drain(&self, id: u64, on: bool) {
        if self.ask(MemberChange::Drain { id, on }).await.is_ok() {
            judge::count(if on { Happened::MemberDrained } else { Happened::DrainEnded });
        }
    }

    /// Of one that may have been removed nobody expects anything.
    fn leaves(&self, id: u64, leaves: bool) {
        self.cluster.place(id, |place| place.leaves = leaves);
    }

    /// One that was removed may go on for a while, and must disturb nobody.
    fn removed(&mut self, id: u64) {
        judge::count(Happened::MemberRemoved);
        self.removed.push(id);
        let cluster = self.cluster.clone();
        spawn_in(0, async move {
            sleep(chance(|it| it.millis(0, 3_000))).await;
            cluster.retire(id);
        });
    }

    /// Whoever is ruined gets a successor with empty disks, under an id of its own.
    async fn mend(&mut self, members: &Members, ruined: u64) {
        let is_ruined = self.cluster.place(ruined, |place| place.ruined).unwrap_or(false);
        let Some(member) = members.get(&ruined).filter(|_| is_ruined) else { return };
        if !member.is_voter {
            return self.remove(BTreeSet::from([ruined])).await;
        }
        let ready = members.values().find(|member| !member.is_voter && is_ready(member));
        let coming = members.values().any(|it| !it.is_voter && self.cluster.door(it.id).is_some());
        match ready {
            Some(new) => self.replace(ruined, new.id).await,
            None if !coming => self.observe().await,
            None => {}
        }
    }

    /// The members and their places become the same.
    async fn tidy(&mut self, members: &Members) {
        if self.ends_drains
            && let Some(draining) = members.values().find(|it| it.drains)
        {
            self.drain(draining.id, false).await;
        }
        for id in self.cluster.ids().into_iter().filter(|id| !members.contains_key(id)) {
            self.cluster.retire(id);
        }
        let ids = self.cluster.ids();
        let stray: BTreeSet<u64> = members.keys().copied().filter(|id| !ids.contains(id)).collect();
        // It was added, or was to be removed, and nobody was told.
        if !stray.is_empty() {
            self.remove(stray).await;
        }
    }
}

fn is_ready(member: &MemberView) -> bool {
    member.lacks.is_some_and(|lacks| lacks < LACKS_MAX)
}
