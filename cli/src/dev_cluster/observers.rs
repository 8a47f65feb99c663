//! The members that a cluster does not begin with: they wait until they are added, as any new member does.

use std::time::Duration;

use api::{Call, ChangeMembers, MemberChange, Reply};
use client::{Endpoint, Options, Session};

use super::plan::{Member, Plan};
use crate::connect::{misfit, runtime};
use crate::exit::{Exit, Failure};
use crate::output::say;

/// How long the voters may take to have a leader, and that one to add a member.
const ADDED_WITHIN: Duration = Duration::from_secs(30);

/// Adds the observers of `plan` that its cluster does not have. One that an operator has removed stays removed.
pub(super) fn add(plan: &Plan) -> Result<(), Failure> {
    if plan.observers().next().is_none() {
        return Ok(());
    }
    runtime()?.block_on(async {
        let voters = plan.members().filter(|member| !member.observer);
        let endpoints: Vec<String> = voters.map(|member| plan.endpoint(member)).collect();
        let endpoints = Endpoint::parse_list(&endpoints.join(","))
            .map_err(|error| Failure::unavailable(format!("the voters have no address: {error}")))?;
        let options = Options { deadline: ADDED_WITHIN, tls: plan.trust()?, ..Options::new(endpoints) };
        let session = Session::connect(options).await?;
        for Member { id, peers, .. } in plan.observers() {
            let change = MemberChange::Add { id, address: peers.to_string() };
            let deadline_ms = Some(ADDED_WITHIN.as_millis() as u64);
            let call = Call::Members(ChangeMembers { change: Some(change), deadline_ms, stale: false });
            match session.call(call, ADDED_WITHIN).await.map_err(Failure::from) {
                Ok(Reply::Members(_)) => {}
                Ok(_) => return Err(misfit()),
                Err(failure) if failure.exit == Exit::Refused => {
                    say(format!("observer {id} was not added: {}", failure.message));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    })
}
