//! `members invite`: a token by which one new member joins. The cluster is asked who it is, and remembers nothing of it: that a
//! token is good once follows from the id in it, which is one member's for ever.

use std::time::Duration;

use api::{Call, ChangeMembers, Members, Reply};
use claimer::duration::GoDuration;
use serde::Serialize;
use server::JoinToken;

use crate::connect::{Way, misfit};
use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, print, say};

/// What was made, for `--json`.
#[derive(Debug, Serialize)]
struct Invited {
    member: String,
    token: String,
    expires_in_ms: u64,
}

/// Makes a token for the member `id`, good for so long.
pub(crate) fn invite(id: u64, life: Duration, way: &Way, json: JsonFlag) -> Result<Exit, Failure> {
    let call = Call::Members(ChangeMembers::default());
    let Reply::Members(members) = way.call(call)? else { return Err(misfit()) };
    check(id, &members)?;
    let cluster = u128::from_str_radix(&members.cluster, 16).map_err(|_| misfit())?;
    let until = server::wall_seconds() + life.as_secs();
    let voters = members.members.iter().filter(|member| member.voter);
    let voters = voters.map(|member| (member.id, member.address.clone())).collect();
    let token = JoinToken::new(cluster, id, until, &members.peer_ca, voters)
        .map_err(|error| refused(error.to_string()))?;
    let invited =
        Invited { member: id.to_string(), token: token.to_string(), expires_in_ms: life.as_millis() as u64 };
    print(json.format(), &["TOKEN"], &[vec![invited.token.clone()]], &invited)?;
    say(format!("Good once, for member {id}, within {}. On its machine:", GoDuration::from(life)));
    let at = if members.peer_ca.is_empty() { "--data DIR" } else { "--config tenure.toml" };
    say(format!("  tenure join {at} --address HOST:PORT --token TOKEN"));
    Ok(Exit::Done)
}

fn check(id: u64, members: &Members) -> Result<(), Failure> {
    let last = members.members.iter().map(|member| &member.id).chain(&members.removed).max();
    let free = last.map_or(1, |id| id.saturating_add(1));
    if let Some(member) = members.members.iter().find(|member| member.id == id) {
        return Err(refused(format!(
            "member {id} is here already, at {}: invite one with an id that none has or had, such as {free}",
            member.address
        )));
    }
    match members.removed.contains(&id) {
        true => Err(refused(format!(
            "member {id} was removed, and what it has voted and acknowledged stands: invite one with an id that none has or had, \
             such as {free}"
        ))),
        false => Ok(()),
    }
}

fn refused(message: String) -> Failure {
    Failure { exit: Exit::Refused, code: "members".to_owned(), message, problem: None }
}
