//! Who belongs to the cluster, and how that changes: what may be asked is decided here, by what stands.
//!
//! ```text
//!              add                    promote, replace
//!  (nobody) ─────────▶ observer ──────────────────────────▶ voter
//!                         │ remove                            │ remove, replace
//!                         ▼                                   ▼
//!                      removed ◀──────────────────────────────┘
//! ```
//!
//! A new member is an observer first: it takes the log in and serves clients, and has no vote. Voters change through a joint
//! configuration, of which there is one at a time. Their number stays odd, because an even one bears no more losses than the odd
//! one below it, and has one more member to lose.
//!
//! Pure: [`plan`] says what to ask of Raft.

mod address;
#[cfg(test)]
mod tests;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use lease::Ttl;

use address::HOST_BYTES_MAX;
pub use address::is_address;

/// Voters of one cluster, at most.
pub const VOTERS_MAX: usize = 7;
/// Members of one cluster, at most.
pub const MEMBERS_MAX: usize = 64;
/// Why a change has to wait.
pub(crate) const UNDER_WAY: &str = "another change of the members is under way: wait until it is over";
/// Whoever is handed the lead, or could take it, was heard so lately.
pub(crate) const HEARD_LATELY: Duration = Duration::from_millis(500);
/// Entries of the log that an observer may lack to be made a voter.
const NEAR: u64 = 4_096;

/// One member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub id: u64,
    /// Where the others reach it.
    pub address: String,
    /// Whether it has a vote.
    pub is_voter: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it is to be left alone.
    pub drains: bool,
    /// How many entries of the leader's log it does not have yet; none where the leader has not heard of it.
    pub lacks: Option<u64>,
    /// How long ago the leader heard it last; none of the leader itself, and where it has not.
    pub heard_ago: Option<Ttl>,
}

/// What an operator asks of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// To see its members.
    List,
    /// To take a new member in, as an observer.
    Add {
        /// Its id, which no member has or had.
        id: u64,
        /// Where the others reach it.
        address: String,
    },
    /// To be taken in itself, as a new member asks by a token that is good once.
    Join {
        /// Its id, which no member has or had.
        id: u64,
        /// Where the others reach it.
        address: String,
    },
    /// To make observers voters.
    Promote(BTreeSet<u64>),
    /// To take members out.
    Remove(BTreeSet<u64>),
    /// To have an observer take a voter's place, who goes.
    Replace {
        /// The voter.
        old: u64,
        /// The observer.
        new: u64,
    },
    /// To reach a member at another address from now on, where it answers already. A leader's own is taken as it is said, and only
    /// where no other voter could lead.
    Move {
        /// Which.
        id: u64,
        /// Where it is reached.
        address: String,
    },
    /// To have a member left alone, or no longer: its clients go elsewhere, and so does the lead.
    Drain {
        /// Which.
        id: u64,
        /// Whether, or no longer.
        on: bool,
    },
    /// To have another voter lead: this one, or the fittest.
    Lead(Option<u64>),
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// Surely not made: no leader was found in time.
    NoLeader,
    /// It may have been made, or may be yet: look with a list.
    Unknown,
    /// It would break a rule: which, by what stands, and what to do.
    Refused(String),
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unchanged::NoLeader => {
                f.write_str("no leader with a quorum was found in time; nothing was changed")
            }
            Unchanged::Unknown => f.write_str("no answer came in time: it may have been done, or may be yet"),
            Unchanged::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unchanged {}

/// What to ask of Raft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Look,
    /// A learner more, at this address.
    Add(u64, String),
    /// Another address, once the member answers there.
    Move(u64, String),
    /// To be left alone, or no longer.
    Drain(u64, bool),
    /// These voters more, and these members fewer, in one change.
    Change { promote: BTreeSet<u64>, remove: BTreeSet<u64> },
    /// The lead goes there.
    Lead(Option<u64>),
}

/// How things stand when a change is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The members, by id.
    pub(crate) members: BTreeMap<u64, MemberView>,
    /// Ids of those that were removed.
    pub(crate) removed: BTreeSet<u64>,
    /// A change is under way.
    pub(crate) changing: bool,
}

pub(crate) fn plan(standing: &Standing, change: &MemberChange) -> Result<Step, Unchanged> {
    let Standing { members, removed, changing } = standing;
    #[cfg(planted)]
    let nobody = BTreeSet::new();
    #[cfg(planted)]
    let removed = match lease::planted::is(lease::planted::Bug::RemovedIdTaken) {
        true => &nobody,
        false => removed,
    };
    let refused = |why: String| Err(Unchanged::Refused(why));
    if *changing && !matches!(change, MemberChange::List | MemberChange::Lead(_)) {
        return refused(UNDER_WAY.to_owned());
    }
    match change {
        MemberChange::List => Ok(Step::Look),
        MemberChange::Add { id, address } => {
            check_address(members, *id, address)?;
            match members.get(id) {
                // Asked again, after an answer was lost.
                Some(member) if member.address == *address => Ok(Step::Look),
                Some(member) => refused(format!(
                    "member {id} is here already, at {}: a new member has an id that none has or had; for another address of the \
                     same member use set-address",
                    member.address
                )),
                None if removed.contains(id) => refused(format!(
                    "member {id} was removed, and what it has voted and acknowledged stands: give the new member an id that none \
                     has or had, such as {}, and a folder of its own",
                    unused(standing)
                )),
                None if *id == 0 => refused("a member's id is a number from 1".to_owned()),
                None if members.len() >= MEMBERS_MAX => {
                    refused(format!("there are {} members, the limit: remove one first", members.len()))
                }
                None => Ok(Step::Add(*id, address.clone())),
            }
        }
        MemberChange::Join { id, .. } if members.contains_key(id) => refused(format!(
            "the token is used: member {id} is here already. Have a new one made, with `tenure members invite {}`",
            unused(standing)
        )),
        MemberChange::Join { id, address } => {
            plan(standing, &MemberChange::Add { id: *id, address: address.clone() })
        }
        MemberChange::Move { id, address } => {
            check_address(members, *id, address)?;
            let member = known(members, *id)?;
            match () {
                () if member.address == *address => Ok(Step::Look),
                () if member.leads && others_could_lead(members, *id) => refused(format!(
                    "member {id} leads, and no member can call itself to see that it is reached there: hand the lead on first, with \
                     transfer-leadership, and the new leader asks member {id} at {address}"
                )),
                () => Ok(Step::Move(*id, address.clone())),
            }
        }
        MemberChange::Drain { id, on } => {
            let member = known(members, *id)?;
            let others = members.values().filter(|it| it.id != *id && it.is_voter && !it.drains).count();
            match () {
                () if member.drains == *on && !(*on && member.leads) => Ok(Step::Look),
                () if *on && others == 0 && members.values().filter(|it| it.is_voter).count() <= 1 => refused(
                    "it is the only voter, and one must be able to lead: have another voter join first".to_owned(),
                ),
                () if *on && others == 0 => refused(
                    "no other voter is there that is not draining, and one must be able to lead: add voters, or end the draining of one with \
                     `tenure members drain ID --end`"
                .to_owned()),
                () => Ok(Step::Drain(*id, *on)),
            }
        }
        MemberChange::Promote(ids) => {
            for id in ids {
                let member = known(members, *id)?;
                if !member.is_voter {
                    check_near(member)?;
                }
            }
            check_voters(members, ids, &BTreeSet::new())?;
            Ok(Step::Change { promote: ids.clone(), remove: BTreeSet::new() })
        }
        MemberChange::Remove(ids) => {
            // Who is gone already need not go again.
            let remove = ids - removed;
            remove.iter().try_for_each(|id| known(members, *id).map(drop))?;
            if remove.is_empty() {
                return Ok(Step::Look);
            }
            check_voters(members, &BTreeSet::new(), &remove)?;
            Ok(Step::Change { promote: BTreeSet::new(), remove })
        }
        MemberChange::Replace { old, new } if old == new => refused(format!(
            "member {old} would take its own place: name the voter that goes, and the observer that comes"
        )),
        MemberChange::Replace { old, new } => {
            if !known(members, *old)?.is_voter {
                return refused(format!("member {old} is no voter: remove it, and add the other"));
            }
            let new = known(members, *new)?;
            if new.is_voter {
                return refused(format!(
                    "member {} is a voter already: name an observer, or remove two voters at a time",
                    new.id
                ));
            }
            check_near(new)?;
            let (promote, remove) = (BTreeSet::from([new.id]), BTreeSet::from([*old]));
            check_voters(members, &promote, &remove)?;
            Ok(Step::Change { promote, remove })
        }
        MemberChange::Lead(None) => Ok(Step::Lead(None)),
        MemberChange::Lead(Some(to)) => {
            let member = known(members, *to)?;
            match member {
                MemberView { is_voter: false, .. } => {
                    refused(format!("member {to} is an observer, and cannot lead: promote it first"))
                }
                MemberView { leads: true, .. } => Ok(Step::Look),
                MemberView { drains: true, .. } => refused(format!(
                    "member {to} is draining: end that first, with `tenure members drain {to} --end`"
                )),
                _ => {
                    check_near(member)?;
                    match member.heard_ago {
                        Some(ago) if !is_heard(member) => refused(format!(
                            "member {to} was last heard {ago} ago, and the cluster would be without a leader: see that it runs and is \
                             reached, or name another"
                        )),
                        _ => Ok(Step::Lead(Some(*to))),
                    }
                }
            }
        }
    }
}

/// An id that no member has or had.
fn unused(standing: &Standing) -> u64 {
    let last = [standing.members.keys().next_back(), standing.removed.last()];
    last.into_iter().flatten().max().map_or(1, |id| id.saturating_add(1))
}

fn known(members: &BTreeMap<u64, MemberView>, id: u64) -> Result<&MemberView, Unchanged> {
    members.get(&id).ok_or_else(|| {
        let ids: Vec<String> = members.keys().map(u64::to_string).collect();
        Unchanged::Refused(format!("there is no member {id}: the members are {}", ids.join(", ")))
    })
}

fn check_address(members: &BTreeMap<u64, MemberView>, id: u64, address: &str) -> Result<(), Unchanged> {
    if !is_address(address) {
        return Err(Unchanged::Refused(format!(
            "{} is no address of a peer listener: give HOST:PORT, a name of at most {HOST_BYTES_MAX} bytes or an IP address, and a \
             port from 1 to 65535",
            lease::Quoted(address)
        )));
    }
    match members.values().find(|member| member.address == address && member.id != id) {
        Some(other) => Err(Unchanged::Refused(format!(
            "{address} is the address of member {0}: give member {id} one of its own; on the same machine, another port",
            other.id
        ))),
        None => Ok(()),
    }
}

fn is_heard(member: &MemberView) -> bool {
    member.heard_ago.is_some_and(|ago| Duration::from_nanos(ago.as_nanos()) < HEARD_LATELY)
}

/// Whether the other voters that were heard lately are enough to elect one of them.
fn others_could_lead(members: &BTreeMap<u64, MemberView>, leader: u64) -> bool {
    let voters = members.values().filter(|it| it.is_voter);
    let heard = |it: &&MemberView| it.id != leader && is_heard(it);
    2 * voters.clone().filter(heard).count() > voters.count()
}

/// A voter must have about all that the leader has: else the cluster might have to wait for it.
fn check_near(member: &MemberView) -> Result<(), Unchanged> {
    let id = member.id;
    match member.lacks {
        _ if member.is_voter && member.leads => Ok(()),
        None => Err(Unchanged::Refused(format!(
            "member {id} at {} has not been heard of: start it, and see with list that it lacks nothing",
            member.address
        ))),
        Some(lacks) if lacks > NEAR => Err(Unchanged::Refused(format!(
            "member {id} lacks {lacks} entries of the log, and may lack {NEAR}: wait until it has caught up"
        ))),
        Some(_) => Ok(()),
    }
}

fn check_voters(
    members: &BTreeMap<u64, MemberView>,
    promote: &BTreeSet<u64>,
    remove: &BTreeSet<u64>,
) -> Result<(), Unchanged> {
    let refused = |why: String| Err(Unchanged::Refused(why));
    let before: BTreeSet<u64> = members.values().filter(|it| it.is_voter).map(|it| it.id).collect();
    let after: BTreeSet<u64> = before.union(promote).copied().filter(|id| !remove.contains(id)).collect();
    let leaving = before.difference(&after).count();
    let list = |ids: &BTreeSet<u64>| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    if before == after {
        return Ok(());
    }
    if after.is_empty() {
        return refused(format!(
            "voter {} is the last: a cluster without a voter is none. Where it is to end, stop the member",
            list(&before)
        ));
    }
    if 2 * leaving > before.len() {
        return refused(format!(
            "{leaving} of the voters {} would go at once, and they are the majority: go in steps",
            list(&before)
        ));
    }
    if after.len() > VOTERS_MAX {
        return refused(format!("there would be {} voters, and the limit is {VOTERS_MAX}", after.len()));
    }
    if after.len().is_multiple_of(2) {
        return refused(format!(
            "the voters would be {}: {} bear no more losses than {}, so their number stays odd. Promote or remove two at a time, or \
             replace one by another",
            list(&after),
            after.len(),
            after.len() - 1
        ));
    }
    if let Some(leader) = members.values().find(|member| member.leads && remove.contains(&member.id)) {
        return refused(format!(
            "member {} leads: hand the lead on first, with transfer-leadership",
            leader.id
        ));
    }
    Ok(())
}
