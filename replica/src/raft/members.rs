//! The members, as openraft has them, and their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lease::{CLUSTER_VERSION_KNOWN, Ttl};
use openraft::async_runtime::{AsyncRuntime, Instant as _};
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, ServerState};
use openraft_rt::watch::WatchReceiver;

use super::Raft;
use super::types::{Peer, Types};
use crate::World;
use crate::beginning::{Far, how_far, knows};
use crate::engine::Engine as _;
use crate::members::{MemberChange, MemberView, Standing, Step, UNDER_WAY, Unchanged, plan};

/// How long a leader that is asked to hand on is waited for.
const HAND_ON_WITHIN: Duration = Duration::from_secs(3);
/// How long an observer that has nearly all may take to come into step.
const BEGINS_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether one of them has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl<W: World> Raft<W> {
    /// The members as this one knows them, and whether a change of them is under way.
    pub(super) fn members(&self) -> (BTreeMap<u64, MemberView>, bool) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let leads = metrics.state == ServerState::Leader;
        let last = metrics.last_log_index.unwrap_or(0);
        let view = |(id, peer): (&u64, &Peer)| {
            let matched = metrics.replication.as_ref().and_then(|matched| matched.get(id)).copied().flatten();
            let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(id)).copied().flatten();
            let is_me = *id == metrics.id;
            let lacks = match (leads, is_me) {
                (true, true) => Some(0),
                _ => matched.map(|id| last.saturating_sub(id.index)),
            };
            let heard_ago =
                heard.filter(|_| !is_me).map(|at| Ttl::from_nanos(at.elapsed().as_nanos() as u64));
            let member = MemberView {
                id: *id,
                address: peer.address.clone(),
                is_voter: voters.contains(id),
                leads: metrics.current_leader == Some(*id),
                drains: peer.drains,
                lacks,
                heard_ago,
            };
            (*id, member)
        };
        (membership.nodes().map(view).collect(), membership.get_joint_config().len() > 1)
    }

    /// Changes the members, as the leader, and answers how they stand then.
    pub(super) async fn change_members(self, change: MemberChange) -> Result<Vec<MemberView>, Unchanged> {
        let removed = self.removed(&change).await?;
        let mut step = self.plan(&change, &removed)?;
        if let MemberChange::Knows(version) = change {
            self.check_all_know(version).await?;
        }
        if let Step::Change { promote, .. } = &step
            && !promote.is_empty()
        {
            self.check_begun(promote).await?;
            // Much may have changed while they were asked.
            step = self.plan(&change, &removed)?;
        }
        if let Step::Move(id, address) = &step
            // A leader moves itself only where no other could lead: it is the one voter, or its quorum is bare. It cannot call itself.
            && Some(*id) != self.leader_here()
        {
            self.check_reached(*id, address).await?;
            step = self.plan(&change, &removed)?;
        }
        self.take(step).await?;
        Ok(self.members().0.into_values().collect())
    }

    /// What to do, as things stand now.
    fn plan(&self, change: &MemberChange, removed: &BTreeSet<u64>) -> Result<Step, Unchanged> {
        let (members, joint) = self.members();
        if !members.values().any(|member| member.leads && Some(member.id) == self.leader_here()) {
            return Err(Unchanged::NoLeader);
        }
        let changing = joint || self.changing.load(Ordering::Acquire);
        plan(&Standing { members, removed: removed.clone(), changing }, change)
    }

    /// Who was removed, as of all that was committed before: a new leader may not have applied the last removal yet.
    async fn removed(&self, change: &MemberChange) -> Result<BTreeSet<u64>, Unchanged> {
        match change {
            MemberChange::Add { .. } | MemberChange::Join { .. } if !self.read_barrier().await => {
                Err(Unchanged::NoLeader)
            }
            _ => Ok(self.shared.state().removed.clone()),
        }
    }

    /// Whoever is made a voter must be one that cannot have voted yet, or else has all that it had: see [`crate::beginning`].
    async fn check_begun(&self, promote: &BTreeSet<u64>) -> Result<(), Unchanged> {
        let (members, _) = self.members();
        for member in promote.iter().filter_map(|id| members.get(id)).filter(|member| !member.is_voter) {
            let mut far = None;
            let asks = async {
                while far != Some(Far::Begun) {
                    far = how_far(self, member.id, &member.address).await;
                    W::Runtime::sleep(LOOK_EVERY).await;
                }
            };
            // What it said last counts, where it has not said enough by then.
            let _ = <W::Runtime as AsyncRuntime>::timeout(BEGINS_WITHIN, asks).await;
            match far {
                Some(Far::Begun) => {}
                Some(_) => {
                    return Err(Unchanged::Refused(format!(
                        "member {} has not come into step yet: see with list that it lacks nothing, and ask again",
                        member.id
                    )));
                }
                None => {
                    return Err(Unchanged::Refused(format!(
                        "member {} at {} does not answer the leader how far it is: see that it runs, can be reached there, and is of the \
                         leader's version or a newer one",
                        member.id, member.address
                    )));
                }
            }
        }
        Ok(())
    }

    pub(super) fn leader_here(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        (metrics.state == ServerState::Leader).then_some(metrics.id)
    }

    async fn take(&self, step: Step) -> Result<(), Unchanged> {
        match step {
            Step::Look => Ok(()),
            Step::Add(id, address) => {
                self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, Peer::at(address))]))).await
            }
            Step::Move(id, address) => self.set(id, |peer| peer.address = address).await,
            Step::Drain(id, on) => self.drain(id, on).await,
            Step::Change { promote, remove } => {
                let (members, _) = self.members();
                let is_voter = |id: &u64| members.get(id).is_some_and(|member| member.is_voter);
                let (voters, observers): (BTreeSet<u64>, BTreeSet<u64>) =
                    remove.into_iter().partition(is_voter);
                let changes = [
                    (!promote.is_empty()).then_some(ChangeMembers::AddVoterIds(promote)),
                    (!voters.is_empty()).then_some(ChangeMembers::RemoveVoters(voters)),
                    (!observers.is_empty()).then_some(ChangeMembers::RemoveNodes(observers)),
                ];
                self.change(ChangeMembers::Batch(changes.into_iter().flatten().collect())).await
            }
            Step::Lead(to) => self.hand_on_to(to).await,
        }
    }

    /// A member that drains is done with only once it leads no more: whoever asks may stop it next.
    async fn drain(&self, id: u64, on: bool) -> Result<(), Unchanged> {
        if self.peer(id).is_none_or(|peer| peer.drains != on) {
            if on {
                self.check_all_know_draining().await?;
            }
            self.set(id, |peer| peer.drains = on).await?;
        }
        if !on || self.leader_here() != Some(id) {
            return Ok(());
        }
        for _ in 0..how_often(HAND_ON_WITHIN) {
            // The driver hands on.
            if self.members().0.values().any(|member| member.leads && member.id != id) {
                return Ok(());
            }
            W::Runtime::sleep(LOOK_EVERY).await;
        }
        Err(Unchanged::Refused(format!(
            "member {id} drains, and still leads: no other voter has taken the lead within {HAND_ON_WITHIN:?}. It goes on trying; see with \
             list that another voter is heard and lacks nothing, and wait until that one leads before member {id} is stopped"
        )))
    }

    /// A member of a version that knows no draining could not read the entry that begins it: each of them must show first that it
    /// does, by an answer that came with draining.
    async fn check_all_know_draining(&self) -> Result<(), Unchanged> {
        let me = self.leader_here();
        for member in self.members().0.into_values().filter(|member| Some(member.id) != me) {
            if how_far(self, member.id, &member.address).await.is_none() {
                return Err(Unchanged::Refused(format!(
                    "member {} does not answer whether it knows draining: it is down, or of an older version that would end at it. Nothing was \
                     changed: start it, or upgrade it, and ask again",
                    member.id
                )));
            }
        }
        Ok(())
    }

    /// A member of an older version could not read what comes with a newer cluster version, and would end at it: each of them must
    /// show first that it can.
    async fn check_all_know(&self, version: u32) -> Result<(), Unchanged> {
        let me = self.leader_here();
        let refused = |why: String| Err(Unchanged::Refused(why));
        if version > CLUSTER_VERSION_KNOWN {
            return refused(format!(
                "the leader knows cluster version {CLUSTER_VERSION_KNOWN}, and not {version}: upgrade it first"
            ));
        }
        for member in self.members().0.into_values().filter(|member| Some(member.id) != me) {
            match knows(self, member.id, &member.address).await {
                Some(known) if known >= version => {}
                _ => {
                    return refused(format!(
                        "member {} does not say that it knows cluster version {version}: it is down, or of an older version that would end at                          it. Nothing was changed: start it, or upgrade it, and ask again",
                        member.id
                    ));
                }
            }
        }
        Ok(())
    }

    async fn set(&self, id: u64, set: impl FnOnce(&mut Peer)) -> Result<(), Unchanged> {
        let gone = || Unchanged::Refused(format!("member {id} is gone: see with list who is there"));
        let mut peer = self.peer(id).ok_or_else(gone)?;
        set(&mut peer);
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, peer)]))).await
    }

    async fn change(&self, changes: ChangeMembers<u64, Peer>) -> Result<(), Unchanged> {
        let _changing = Changing::begin(&self.changing);
        let changed = self.raft.change_membership(changes, false).await;
        changed.map(drop).map_err(|error| unchanged::<W>(&error))
    }

    async fn hand_on_to(&self, to: Option<u64>) -> Result<(), Unchanged> {
        let Some(to) = to.or_else(|| self.fit_to_lead()) else {
            let why = "no other voter is in step and was heard lately: see with list which are";
            return Err(Unchanged::Refused(why.to_owned()));
        };
        self.until_caught_up(to).await?;
        self.raft.trigger().transfer_leader(to).await.map_err(|_| Unchanged::NoLeader)?;
        for _ in 0..how_often(HAND_ON_WITHIN) {
            if self.members().0.get(&to).is_some_and(|member| member.leads) {
                return Ok(());
            }
            W::Runtime::sleep(LOOK_EVERY).await;
        }
        Err(Unchanged::Refused(format!(
            "member {to} has not taken the lead within {HAND_ON_WITHIN:?}: see with list who leads"
        )))
    }

    /// Waits until a member has all that the log has now. A leader that hands on takes no commands any more: were the next one far
    /// behind, nobody would, until it had caught up or another was elected.
    async fn until_caught_up(&self, to: u64) -> Result<(), Unchanged> {
        let last = self.raft.metrics().borrow_watched().last_log_index;
        for _ in 0..how_often(HAND_ON_WITHIN) {
            if self.leader_here().is_none() {
                return Err(Unchanged::NoLeader);
            }
            if self.matched(to) >= last {
                return Ok(());
            }
            W::Runtime::sleep(LOOK_EVERY).await;
        }
        Err(Unchanged::Refused(format!(
            "member {to} has not caught up within {HAND_ON_WITHIN:?}: wait until list says that it lacks nothing, or name another"
        )))
    }

    /// How far a member has the log, as its leader knows.
    pub(super) fn matched(&self, id: u64) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.replication.as_ref()?.get(&id)?.map(|id| id.index)
    }

    /// Goes on with a change that an earlier leader has begun and not ended.
    pub(super) async fn finish_change(&self) {
        let voters = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let configs = metrics.membership_config.membership().get_joint_config().clone();
            let open = configs.len() > 1 && metrics.state == ServerState::Leader;
            configs.last().cloned().filter(|_| open)
        };
        let Some(voters) = voters else { return };
        if self.changing.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::info!(?voters, "going on with a change of the members that an earlier leader has begun");
        let _changing = Changing(&self.changing);
        let changed = self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false).await;
        if let Err(error) = changed {
            tracing::warn!(%error, "the change of the members is not ended yet");
        }
    }
}

/// A change is under way for as long as this lives: whoever waits for it may give it up at any time.
struct Changing<'a>(&'a AtomicBool);

impl<'a> Changing<'a> {
    fn begin(flag: &'a AtomicBool) -> Changing<'a> {
        flag.store(true, Ordering::Release);
        Changing(flag)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn how_often(within: Duration) -> u128 {
    within.as_millis() / LOOK_EVERY.as_millis()
}

type Failed<W> = RaftError<Types<<W as World>::Runtime>, ClientWriteError<Types<<W as World>::Runtime>>>;

fn unchanged<W: World>(error: &Failed<W>) -> Unchanged {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Unchanged::NoLeader,
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => Unchanged::Unknown,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(
            _,
        ))) => Unchanged::Refused(UNDER_WAY.to_owned()),
        RaftError::APIError(error) => Unchanged::Refused(error.to_string()),
        RaftError::Fatal(_) => Unchanged::Unknown,
    }
}
