//! What may be asked of the members, and what is refused.

use super::*;

fn members(voters: &[u64], observers: &[u64]) -> BTreeMap<u64, MemberView> {
    let view = |id: u64, is_voter| MemberView {
        id,
        address: format!("m{id}:7401"),
        is_voter,
        leads: id == 1,
        drains: false,
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

fn standing(voters: &[u64], observers: &[u64]) -> Standing {
    Standing { members: members(voters, observers), ..Standing::default() }
}

#[track_caller]
fn refused(voters: &[u64], observers: &[u64], change: &MemberChange, why: &str) {
    let planned = plan(&standing(voters, observers), change);
    let Err(Unchanged::Refused(said)) = &planned else { panic!("{planned:?}") };
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_new_member_is_an_observer_first_and_has_an_id_and_an_address_of_its_own() {
    let planned = plan(&standing(&[1, 2, 3], &[]), &add(4, "m4:7401"));
    assert_eq!(planned, Ok(Step::Add(4, "m4:7401".to_owned())));
    assert_eq!(plan(&standing(&[1, 2, 3], &[4]), &add(4, "m4:7401")), Ok(Step::Look), "asked again");
    refused(&[1, 2, 3], &[], &add(3, "other:7401"), "member 3 is here already, at m3:7401");
    refused(&[1, 2, 3], &[], &add(4, "m3:7401"), "m3:7401 is the address of member 3");
    refused(&[1, 2, 3], &[], &add(0, "m4:7401"), "a number from 1");
    for wrong in
        ["m4", ":7401", "m4:0", "m4:99999", "m4:x", "::1:7401", "m 4:7401", "0.0.0.0:7401", "[::]:7401"]
    {
        refused(&[1, 2, 3], &[], &add(4, wrong), "give HOST:PORT");
    }
}

#[test]
fn a_member_is_left_alone_as_long_as_another_voter_is_not() {
    let mut standing = standing(&[1, 2, 3], &[4]);
    let drain = |id, on| MemberChange::Drain { id, on };
    assert_eq!(plan(&standing, &drain(4, true)), Ok(Step::Drain(4, true)));
    assert_eq!(plan(&standing, &drain(2, false)), Ok(Step::Look), "it is so already");
    for id in [1, 2] {
        assert_eq!(plan(&standing, &drain(id, true)), Ok(Step::Drain(id, true)));
        standing.members.get_mut(&id).unwrap().drains = true;
    }
    let refused = |change: &MemberChange, why: &str| {
        let planned = plan(&standing, change);
        assert!(matches!(&planned, Err(Unchanged::Refused(said)) if said.contains(why)), "{planned:?}");
    };
    refused(&drain(3, true), "no other voter is there that is not draining");
    refused(&MemberChange::Lead(Some(2)), "member 2 is draining: end that first");
    assert_eq!(plan(&standing, &drain(2, false)), Ok(Step::Drain(2, false)));
}

#[test]
fn voters_stay_odd_and_no_majority_goes_at_once_but_where_three_become_one() {
    refused(&[1, 2, 3], &[4], &MemberChange::Promote(ids(&[4])), "the voters would be 1, 2, 3, 4");
    let two = MemberChange::Promote(ids(&[4, 5]));
    let step = Step::Change { promote: ids(&[4, 5]), remove: ids(&[]) };
    assert_eq!(plan(&standing(&[1, 2, 3], &[4, 5]), &two), Ok(step));
    refused(&[1, 2, 3, 4, 5], &[], &MemberChange::Remove(ids(&[5])), "their number stays odd");
    refused(
        &[1, 2, 3, 4, 5],
        &[],
        &MemberChange::Remove(ids(&[2, 3, 4, 5])),
        "they are the majority: take two at a time",
    );
    let one_is_left = MemberChange::Remove(ids(&[2, 3]));
    let step = Step::Change { promote: ids(&[]), remove: ids(&[2, 3]) };
    assert_eq!(plan(&standing(&[1, 2, 3], &[]), &one_is_left), Ok(step), "there is no smaller step");
    refused(&[1], &[], &MemberChange::Remove(ids(&[1])), "no voter would be left, of 1:");
    let step = Step::Change { promote: ids(&[]), remove: ids(&[4, 5]) };
    let back = MemberChange::Remove(ids(&[4, 5]));
    assert_eq!(plan(&standing(&[1, 2, 3, 4, 5], &[]), &back), Ok(step));
    let more = MemberChange::Promote(ids(&[8, 9]));
    refused(&[1, 2, 3, 4, 5, 6, 7], &[8, 9], &more, "there would be 9 voters, and the limit is 7");
}

#[test]
fn a_voter_is_replaced_by_an_observer_in_one_step_and_the_leader_goes_only_when_it_leads_no_more() {
    let replace = |old, new| MemberChange::Replace { old, new };
    let step = Step::Change { promote: ids(&[4]), remove: ids(&[3]) };
    assert_eq!(plan(&standing(&[1, 2, 3], &[4]), &replace(3, 4)), Ok(step));
    refused(&[1, 2, 3], &[4], &replace(1, 4), "member 1 leads");
    refused(&[1, 2, 3], &[], &replace(3, 4), "there is no member 4: the members are 1, 2, 3");
    refused(&[1, 2, 3], &[4, 5], &replace(4, 5), "member 4 is no voter");
}

/// Each step that the refusal names is one that may be taken.
#[test]
fn whoever_would_replace_the_only_voter_is_told_a_way_that_leads_there() {
    let replace = MemberChange::Replace { old: 1, new: 2 };
    refused(&[1], &[2], &replace, "member 1 is the only voter");
    refused(&[1], &[2], &replace, "promote both at once; hand the lead to member 2");
    let promote = MemberChange::Promote(ids(&[2, 3]));
    let step = Step::Change { promote: ids(&[2, 3]), remove: ids(&[]) };
    assert_eq!(plan(&standing(&[1], &[2, 3]), &promote), Ok(step));
    let lead = MemberChange::Lead(Some(2));
    assert_eq!(plan(&standing(&[1, 2, 3], &[]), &lead), Ok(Step::Lead(Some(2))));
    let mut led = standing(&[1, 2, 3], &[]);
    led.members.values_mut().for_each(|member| member.leads = member.id == 2);
    let step = Step::Change { promote: ids(&[]), remove: ids(&[1, 3]) };
    assert_eq!(plan(&led, &MemberChange::Remove(ids(&[1, 3]))), Ok(step));
}

#[test]
fn who_lacks_too_much_gets_no_vote_and_not_the_lead() {
    let mut those = members(&[1, 2, 3], &[4, 5]);
    those.get_mut(&4).unwrap().lacks = Some(1_000_000);
    let planned = plan(
        &Standing { members: those.clone(), ..Standing::default() },
        &MemberChange::Promote(ids(&[4, 5])),
    );
    assert!(matches!(&planned, Err(Unchanged::Refused(why)) if why.contains("lacks 1000000")), "{planned:?}");
    those.get_mut(&2).unwrap().lacks = None;
    let planned =
        plan(&Standing { members: those.clone(), ..Standing::default() }, &MemberChange::Lead(Some(2)));
    assert!(matches!(&planned, Err(Unchanged::Refused(why)) if why.contains("start it")), "{planned:?}");
    assert_eq!(
        plan(&Standing { members: those.clone(), ..Standing::default() }, &MemberChange::Lead(Some(3))),
        Ok(Step::Lead(Some(3)))
    );
    assert_eq!(
        plan(&Standing { members: those.clone(), ..Standing::default() }, &MemberChange::Lead(Some(1))),
        Ok(Step::Look),
        "it leads already"
    );
}

#[test]
fn an_id_that_was_removed_is_nobodys_and_going_again_is_gone_already() {
    let standing = Standing { removed: ids(&[3, 7]), ..standing(&[1, 2, 4], &[]) };
    let planned = plan(&standing, &add(3, "m3:7401"));
    let Err(Unchanged::Refused(said)) = planned else { panic!("{planned:?}") };
    assert!(said.contains("member 3 was removed") && said.contains("such as 8"), "{said}");
    assert_eq!(plan(&standing, &add(8, "m3:7401")), Ok(Step::Add(8, "m3:7401".to_owned())));
    assert_eq!(plan(&standing, &MemberChange::Remove(ids(&[3]))), Ok(Step::Look));
    let planned = plan(&standing, &MemberChange::Remove(ids(&[3, 9])));
    let Err(Unchanged::Refused(said)) = planned else { panic!("{planned:?}") };
    assert!(said.contains("there is no member 9: the members are 1, 2, 4"), "{said}");
    let planned = plan(&standing, &MemberChange::Promote(ids(&[3])));
    let Err(Unchanged::Refused(said)) = planned else { panic!("{planned:?}") };
    assert!(said.contains("there is no member 3, it was removed: the members are 1, 2, 4"), "{said}");
}

#[test]
fn a_token_is_good_once_and_not_for_who_was_removed() {
    let join = |id| MemberChange::Join { id, address: "m4:7401".to_owned() };
    assert_eq!(plan(&standing(&[1, 2, 3], &[]), &join(4)), Ok(Step::Add(4, "m4:7401".to_owned())));
    refused(&[1, 2, 3], &[4], &join(4), "the token is used: member 4 is here already");
    let standing = Standing { removed: ids(&[4]), ..standing(&[1, 2, 3], &[]) };
    let planned = plan(&standing, &join(4));
    assert!(matches!(&planned, Err(Unchanged::Refused(why)) if why.contains("was removed")), "{planned:?}");
}

#[test]
fn there_is_one_change_at_a_time() {
    let changing = || Standing { changing: true, ..standing(&[1, 2, 3], &[]) };
    let planned = plan(&changing(), &add(4, "m4:7401"));
    assert!(matches!(&planned, Err(Unchanged::Refused(why)) if why.contains("under way")), "{planned:?}");
    assert_eq!(plan(&changing(), &MemberChange::List), Ok(Step::Look));
}

#[test]
fn a_member_moves_to_an_address_of_its_own_and_a_leader_with_others_hands_on_first() {
    let to = |id, address: &str| MemberChange::Move { id, address: address.to_owned() };
    assert_eq!(plan(&standing(&[1, 2, 3], &[]), &to(2, "n2:7401")), Ok(Step::Move(2, "n2:7401".to_owned())));
    assert_eq!(plan(&standing(&[1, 2, 3], &[]), &to(2, "m2:7401")), Ok(Step::Look), "it is there");
    refused(&[1, 2, 3], &[], &to(2, "m3:7401"), "m3:7401 is the address of member 3");
    refused(&[1, 2, 3], &[], &to(1, "n1:7401"), "hand the lead on first");
    let mut bare = standing(&[1, 2, 3], &[]);
    bare.members.get_mut(&3).unwrap().heard_ago = Some(Ttl::from_millis(6_000));
    assert_eq!(
        plan(&bare, &to(1, "n1:7401")),
        Ok(Step::Move(1, "n1:7401".to_owned())),
        "no other could lead"
    );
    let lead = plan(&bare, &MemberChange::Lead(Some(3)));
    assert!(
        matches!(&lead, Err(Unchanged::Refused(why)) if why.contains("last heard 6000ms ago")),
        "{lead:?}"
    );
    let alone = plan(&standing(&[1], &[2]), &to(1, "n1:7401"));
    assert_eq!(alone, Ok(Step::Move(1, "n1:7401".to_owned())), "no other voter is there to lead");
}
