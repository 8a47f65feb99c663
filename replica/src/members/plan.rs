//! What is to be asked of Raft for a change, as things stand, or why nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::address::HOST_BYTES_MAX;
use super::{
    HEARD_LATELY, MEMBERS_MAX, MemberChange, MemberView, NEAR, Standing, Step, UNDER_WAY, Unchanged,
    VOTERS_MAX, is_address,
};

type Planned = Result<Step, Unchanged>;

/// What to ask of Raft for `change`.
///
/// # Errors
///
/// [`Unchanged::Refused`] for a change that would break a rule, or has to wait.
pub(crate) fn plan(standing: &Standing, change: &MemberChange) -> Planned {
    if standing.changing
        && !matches!(change, MemberChange::List | MemberChange::Knows(_) | MemberChange::Lead(_))
    {
        return refused(UNDER_WAY.to_owned());
    }
    match change {
        MemberChange::List | MemberChange::Knows(_) => Ok(Step::Look),
        MemberChange::Add { id, address } => add(standing, *id, address),
        MemberChange::Join { id, .. } if standing.members.contains_key(id) => refused(format!(
            "the token is used: member {id} is here already. Have a new one made, with `tenure members invite {}`",
            unused(standing)
        )),
        MemberChange::Join { id, address } => add(standing, *id, address),
        MemberChange::Promote(ids) => promote(standing, ids),
        MemberChange::Remove(ids) => remove(standing, ids),
        MemberChange::Replace { old, new } => replace(standing, *old, *new),
        MemberChange::Move { id, address } => relocate(standing, *id, address),
        MemberChange::Drain { id, on } => drain(standing, *id, *on),
        MemberChange::Lead(None) => Ok(Step::Lead(None)),
        MemberChange::Lead(Some(to)) => lead(standing, *to),
    }
}

fn add(standing: &Standing, id: u64, address: &str) -> Planned {
    let Standing { members, .. } = standing;
    check_address(members, id, address)?;
    match members.get(&id) {
        // Asked again, after an answer was lost.
        Some(member) if member.address == *address => Ok(Step::Look),
        Some(member) => refused(format!(
            "member {id} is here already, at {}: a new member has an id that none has or had; for another address of the same member \
             use set-address",
            member.address
        )),
        None if was_removed(standing, id) => refused(format!(
            "member {id} was removed, and what it has voted and acknowledged stands: give the new member an id that none has or had, \
             such as {}, and a folder of its own",
            unused(standing)
        )),
        None if id == 0 => refused("a member's id is a number from 1".to_owned()),
        None if members.len() >= MEMBERS_MAX => {
            refused(format!("there are {} members, the limit: remove one first", members.len()))
        }
        None => Ok(Step::Add(id, address.to_owned())),
    }
}

fn was_removed(standing: &Standing, id: u64) -> bool {
    #[cfg(planted)]
    if lease::planted::is(lease::planted::Bug::RemovedIdTaken) {
        return false;
    }
    standing.removed.contains(&id)
}

fn promote(standing: &Standing, ids: &BTreeSet<u64>) -> Planned {
    for id in ids {
        let member = known(standing, *id)?;
        if !member.is_voter {
            check_near(member)?;
        }
    }
    check_voters(&standing.members, ids, &BTreeSet::new())?;
    Ok(Step::Change { promote: ids.clone(), remove: BTreeSet::new() })
}

fn remove(standing: &Standing, ids: &BTreeSet<u64>) -> Planned {
    // Who is gone already need not go again.
    let remove = ids - &standing.removed;
    remove.iter().try_for_each(|id| known(standing, *id).map(drop))?;
    if remove.is_empty() {
        return Ok(Step::Look);
    }
    check_voters(&standing.members, &BTreeSet::new(), &remove)?;
    Ok(Step::Change { promote: BTreeSet::new(), remove })
}

fn replace(standing: &Standing, old: u64, new: u64) -> Planned {
    if old == new {
        return refused(format!(
            "member {old} would take its own place: name the voter that goes, and the observer that comes"
        ));
    }
    if !known(standing, old)?.is_voter {
        return refused(format!("member {old} is no voter: remove it, and add the other"));
    }
    let new = known(standing, new)?;
    if new.is_voter {
        return refused(format!(
            "member {} is a voter already: name an observer, or remove two voters at a time",
            new.id
        ));
    }
    check_near(new)?;
    // It leads, and its place is the only one that another could lead from: neither can go first.
    if standing.members.values().filter(|it| it.is_voter).count() == 1 {
        return refused(format!(
            "member {old} is the only voter, and no other can lead before it goes: have two observers, {0} and one more, and promote both at \
             once; hand the lead to member {0}, with transfer-leadership; then remove member {old} and the third at once",
            new.id
        ));
    }
    let (promote, remove) = (BTreeSet::from([new.id]), BTreeSet::from([old]));
    check_voters(&standing.members, &promote, &remove)?;
    Ok(Step::Change { promote, remove })
}

fn relocate(standing: &Standing, id: u64, address: &str) -> Planned {
    let Standing { members, .. } = standing;
    check_address(members, id, address)?;
    let member = known(standing, id)?;
    if member.address == *address {
        return Ok(Step::Look);
    }
    if member.leads && others_could_lead(members, id) {
        return refused(format!(
            "member {id} leads, and no member can call itself to see that it is reached there: hand the lead on first, with \
             transfer-leadership, and the new leader asks member {id} at {address}"
        ));
    }
    Ok(Step::Move(id, address.to_owned()))
}

fn drain(standing: &Standing, id: u64, on: bool) -> Planned {
    let member = known(standing, id)?;
    if member.drains == on && !(on && member.leads) {
        return Ok(Step::Look);
    }
    let voters = || standing.members.values().filter(|it| it.is_voter);
    if on && voters().all(|it| it.id == id || it.drains) {
        return refused(match voters().count() {
            ..=1 => {
                "it is the only voter, and one must be able to lead: have another voter join first".to_owned()
            }
            _ => "no other voter is there that is not draining, and one must be able to lead: add voters, or end the draining of one \
                  with `tenure members drain ID --end`"
                .to_owned(),
        });
    }
    Ok(Step::Drain(id, on))
}

fn lead(standing: &Standing, to: u64) -> Planned {
    let member = known(standing, to)?;
    if !member.is_voter {
        return refused(format!("member {to} is an observer, and cannot lead: promote it first"));
    }
    if member.leads {
        return Ok(Step::Look);
    }
    if member.drains {
        return refused(format!(
            "member {to} is draining: end that first, with `tenure members drain {to} --end`"
        ));
    }
    check_near(member)?;
    match member.heard_ago {
        Some(ago) if !is_heard(member) => refused(format!(
            "member {to} was last heard {ago} ago, and the cluster would be without a leader: see that it runs and is reached, or name \
             another"
        )),
        _ => Ok(Step::Lead(Some(to))),
    }
}

fn refused(why: String) -> Planned {
    Err(Unchanged::Refused(why))
}

/// An id that no member has or had.
fn unused(standing: &Standing) -> u64 {
    let last = [standing.members.keys().next_back(), standing.removed.last()];
    last.into_iter().flatten().max().map_or(1, |id| id.saturating_add(1))
}

fn known(standing: &Standing, id: u64) -> Result<&MemberView, Unchanged> {
    let Standing { members, removed, .. } = standing;
    members.get(&id).ok_or_else(|| {
        let ids: Vec<String> = members.keys().map(u64::to_string).collect();
        let was = if removed.contains(&id) { ", it was removed" } else { "" };
        Unchanged::Refused(format!("there is no member {id}{was}: the members are {}", ids.join(", ")))
    })
}

fn check_address(members: &BTreeMap<u64, MemberView>, id: u64, address: &str) -> Result<(), Unchanged> {
    if !is_address(address) {
        return Err(Unchanged::Refused(format!(
            "{} is no address at which others reach a member: give HOST:PORT, a name of at most {HOST_BYTES_MAX} bytes or an IP address \
             (not 0.0.0.0 or [::], where one only listens), and a port from 1 to 65535",
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
            "no voter would be left, of {}: a cluster without a voter is none. Where it is to end, stop its members",
            list(&before)
        ));
    }
    // Three become one in no smaller step: two would be an even number.
    if 2 * leaving > before.len() && before.len() > 3 {
        return refused(format!(
            "{leaving} of the voters {} would go at once, and they are the majority: take two at a time",
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
