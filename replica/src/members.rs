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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lease::Ttl;

/// Voters of one cluster, at most.
pub const VOTERS_MAX: usize = 7;
/// Members of one cluster, at most.
pub const MEMBERS_MAX: usize = 64;
/// Bytes of a member's address, at most: a host's name and a port.
pub const ADDRESS_BYTES_MAX: usize = 262;
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
    /// To reach a member at another address from now on.
    Move {
        /// Which.
        id: u64,
        /// Where it is reached.
        address: String,
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
    /// Another address.
    Move(u64, String),
    /// These voters more, and these members fewer, in one change.
    Change { promote: BTreeSet<u64>, remove: BTreeSet<u64> },
    /// The lead goes there.
    Lead(Option<u64>),
}

/// The members as they stand, by id; `changing` where a change is under way.
pub(crate) fn plan(
    members: &BTreeMap<u64, MemberView>,
    changing: bool,
    change: &MemberChange,
) -> Result<Step, Unchanged> {
    let refused = |why: String| Err(Unchanged::Refused(why));
    if changing && !matches!(change, MemberChange::List | MemberChange::Lead(_)) {
        return refused("another change of the members is under way: wait until it is over".to_owned());
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
                None if *id == 0 => refused("a member's id is a number from 1".to_owned()),
                None if members.len() >= MEMBERS_MAX => {
                    refused(format!("there are {} members, the limit: remove one first", members.len()))
                }
                None => Ok(Step::Add(*id, address.clone())),
            }
        }
        MemberChange::Move { id, address } => {
            check_address(members, *id, address)?;
            known(members, *id)?;
            Ok(Step::Move(*id, address.clone()))
        }
        MemberChange::Promote(ids) => {
            for id in ids {
                check_near(known(members, *id)?)?;
            }
            check_voters(members, ids, &BTreeSet::new())?;
            Ok(Step::Change { promote: ids.clone(), remove: BTreeSet::new() })
        }
        MemberChange::Remove(ids) => {
            // Who is gone already need not go again.
            let remove: BTreeSet<u64> = ids.iter().copied().filter(|id| members.contains_key(id)).collect();
            if remove.is_empty() {
                return Ok(Step::Look);
            }
            check_voters(members, &BTreeSet::new(), &remove)?;
            Ok(Step::Change { promote: BTreeSet::new(), remove })
        }
        MemberChange::Replace { old, new } => {
            if !known(members, *old)?.is_voter {
                return refused(format!("member {old} is no voter: remove it, and add the other"));
            }
            let new = known(members, *new)?;
            if new.is_voter {
                return refused(format!(
                    "member {} is a voter already: remove member {old}, with another",
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
                _ => {
                    check_near(member)?;
                    Ok(Step::Lead(Some(*to)))
                }
            }
        }
    }
}

fn known(members: &BTreeMap<u64, MemberView>, id: u64) -> Result<&MemberView, Unchanged> {
    members.get(&id).ok_or_else(|| {
        let ids: Vec<String> = members.keys().map(u64::to_string).collect();
        Unchanged::Refused(format!("there is no member {id}: the members are {}", ids.join(", ")))
    })
}

fn check_address(members: &BTreeMap<u64, MemberView>, id: u64, address: &str) -> Result<(), Unchanged> {
    let is_right = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && port.parse::<u16>().is_ok_and(|port| port > 0)
            && address.len() <= ADDRESS_BYTES_MAX
    });
    if !is_right {
        return Err(Unchanged::Refused(format!(
            "{address:?} is no address of a peer listener: give HOST:PORT, of at most {ADDRESS_BYTES_MAX} bytes"
        )));
    }
    match members.values().find(|member| member.address == address && member.id != id) {
        Some(other) => Err(Unchanged::Refused(format!(
            "{address} is the address of member {0}: give the new one another, another port where it runs in the place of member {0}",
            other.id
        ))),
        None => Ok(()),
    }
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
        return refused(format!("voter {} is the last: a cluster without a voter is none", list(&before)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn members(voters: &[u64], observers: &[u64]) -> BTreeMap<u64, MemberView> {
        let view = |id: u64, is_voter| MemberView {
            id,
            address: format!("m{id}:7401"),
            is_voter,
            leads: id == 1,
            lacks: Some(0),
            heard_ago: Some(Ttl::ZERO),
        };
        let all = voters.iter().map(|id| view(*id, true)).chain(observers.iter().map(|id| view(*id, false)));
        all.map(|member| (member.id, member)).collect()
    }

    fn ids(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    fn add(id: u64, address: &str) -> MemberChange {
        MemberChange::Add { id, address: address.to_owned() }
    }

    #[track_caller]
    fn refused(voters: &[u64], observers: &[u64], change: &MemberChange, why: &str) {
        let planned = plan(&members(voters, observers), false, change);
        let Err(Unchanged::Refused(said)) = &planned else { panic!("{planned:?}") };
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn a_new_member_is_an_observer_first_and_has_an_id_and_an_address_of_its_own() {
        let planned = plan(&members(&[1, 2, 3], &[]), false, &add(4, "m4:7401"));
        assert_eq!(planned, Ok(Step::Add(4, "m4:7401".to_owned())));
        assert_eq!(
            plan(&members(&[1, 2, 3], &[4]), false, &add(4, "m4:7401")),
            Ok(Step::Look),
            "asked again"
        );
        refused(&[1, 2, 3], &[], &add(3, "other:7401"), "member 3 is here already, at m3:7401");
        refused(&[1, 2, 3], &[], &add(4, "m3:7401"), "m3:7401 is the address of member 3");
        refused(&[1, 2, 3], &[], &add(0, "m4:7401"), "a number from 1");
        for wrong in ["m4", ":7401", "m4:0", "m4:99999", "m4:x"] {
            refused(&[1, 2, 3], &[], &add(4, wrong), "give HOST:PORT");
        }
    }

    #[test]
    fn voters_stay_odd_and_no_majority_goes_at_once() {
        refused(&[1, 2, 3], &[4], &MemberChange::Promote(ids(&[4])), "the voters would be 1, 2, 3, 4");
        let two = MemberChange::Promote(ids(&[4, 5]));
        let step = Step::Change { promote: ids(&[4, 5]), remove: ids(&[]) };
        assert_eq!(plan(&members(&[1, 2, 3], &[4, 5]), false, &two), Ok(step));
        refused(&[1, 2, 3, 4, 5], &[], &MemberChange::Remove(ids(&[5])), "their number stays odd");
        refused(&[1, 2, 3], &[], &MemberChange::Remove(ids(&[2, 3])), "they are the majority");
        refused(&[1], &[], &MemberChange::Remove(ids(&[1])), "is the last");
        let step = Step::Change { promote: ids(&[]), remove: ids(&[4, 5]) };
        let back = MemberChange::Remove(ids(&[4, 5]));
        assert_eq!(plan(&members(&[1, 2, 3, 4, 5], &[]), false, &back), Ok(step));
        let more = MemberChange::Promote(ids(&[8, 9]));
        refused(&[1, 2, 3, 4, 5, 6, 7], &[8, 9], &more, "there would be 9 voters, and the limit is 7");
    }

    #[test]
    fn a_voter_is_replaced_by_an_observer_in_one_step_and_the_leader_goes_only_when_it_leads_no_more() {
        let replace = |old, new| MemberChange::Replace { old, new };
        let step = Step::Change { promote: ids(&[4]), remove: ids(&[3]) };
        assert_eq!(plan(&members(&[1, 2, 3], &[4]), false, &replace(3, 4)), Ok(step));
        refused(&[1, 2, 3], &[4], &replace(1, 4), "member 1 leads");
        refused(&[1, 2, 3], &[], &replace(3, 4), "there is no member 4: the members are 1, 2, 3");
        refused(&[1, 2, 3], &[4, 5], &replace(4, 5), "member 4 is no voter");
    }

    #[test]
    fn who_lacks_too_much_gets_no_vote_and_not_the_lead() {
        let mut those = members(&[1, 2, 3], &[4, 5]);
        those.get_mut(&4).unwrap().lacks = Some(1_000_000);
        let planned = plan(&those, false, &MemberChange::Promote(ids(&[4, 5])));
        assert!(
            matches!(&planned, Err(Unchanged::Refused(why)) if why.contains("lacks 1000000")),
            "{planned:?}"
        );
        those.get_mut(&2).unwrap().lacks = None;
        let planned = plan(&those, false, &MemberChange::Lead(Some(2)));
        assert!(matches!(&planned, Err(Unchanged::Refused(why)) if why.contains("start it")), "{planned:?}");
        assert_eq!(plan(&those, false, &MemberChange::Lead(Some(3))), Ok(Step::Lead(Some(3))));
        assert_eq!(plan(&those, false, &MemberChange::Lead(Some(1))), Ok(Step::Look), "it leads already");
    }

    #[test]
    fn there_is_one_change_at_a_time() {
        let planned = plan(&members(&[1, 2, 3], &[]), true, &add(4, "m4:7401"));
        assert!(matches!(&planned, Err(Unchanged::Refused(why)) if why.contains("under way")), "{planned:?}");
        assert_eq!(plan(&members(&[1, 2, 3], &[]), true, &MemberChange::List), Ok(Step::Look));
    }
}
