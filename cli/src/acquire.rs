//! `acquire`: take a lease, or wait in line for it.

use std::time::Duration;

use api::{Call, Reply};
use clap::Args;
use client::Session;
use nix::sys::signal::Signal;

use crate::announce;
use crate::connect::Reach;
use crate::doubt::{self, Signature};
use crate::exit::{Exit, Failure, quoted};
use crate::hold::{millis, show_grant};
use crate::output::JsonFlag;
use crate::parse;
use crate::pinned::with_pins;
use crate::signals::unless_ended;
use crate::wanted::Wanted;

/// So long a call may take that may take for ever.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The server ends what waits; this much later it is taken for silent.
const SLACK: Duration = Duration::from_secs(2);

/// Take a lease as claim does, or wait in line for it: first come, first served. Nobody extends it once this command has ended.
#[derive(Debug, Args)]
pub(crate) struct Acquire {
    #[command(flatten)]
    wanted: Wanted,
    /// How long to wait in line [default: for ever], outages included; then it is refused as still held.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse::timeout())]
    timeout: Option<Duration>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn acquire(args: &Acquire) -> Result<Exit, Failure> {
    let reply = unless_ended(in_line(args), |signal| Err(interrupted(&args.wanted.name, signal)))?;
    show_grant(reply, args.json, "acquired")
}

async fn in_line(args: &Acquire) -> Result<Reply, Failure> {
    let wanted = &args.wanted;
    let holder = wanted.holder();
    let session = args.reach.connect_aloud().await?;
    let by = wanted.signature(&session, holder);
    // Without an instance the session gives its own.
    let acquire = api::Acquire {
        namespace: args.reach.namespace.clone(),
        name: wanted.name.clone(),
        holder: by.holder.clone(),
        instance: wanted.instance,
        seq: wanted.seq,
        ttl_ms: Some(millis(wanted.ttl)),
        value: wanted.value.clone(),
        timeout_ms: args.timeout.map(millis),
    };
    let call = session.call(Call::Acquire(acquire), args.timeout.map_or(FOR_EVER, |timeout| timeout + SLACK));
    let in_line = format!("in line for {}", quoted(&wanted.name));
    let lease = (&session, args.reach.namespace.as_str(), wanted.name.as_str());
    let (reply, _) = announce::waiting(call, lease, &in_line).await;
    let reply = match reply {
        Err(failure) => Err(not_acquired(failure, lease).await),
        Ok(reply) => Ok(reply),
    };
    let reply = match reply {
        // The session confirms what it gave its own instance to; another's grant is confirmed here, while that is possible.
        Ok(Reply::Granted(grant)) if !grant.confirmed => confirm(args, &session, &by, &grant).await,
        reply => reply,
    };
    reply.map_err(|failure| doubt::with_remedy(failure, &args.reach, &wanted.name, &by))
}

/// Confirms a grant that came by waiting; where there is a value, by the claim that sets it.
async fn confirm(
    args: &Acquire,
    session: &Session,
    by: &Signature,
    grant: &api::Grant,
) -> Result<Reply, Failure> {
    let wanted = &args.wanted;
    let (namespace, name) = (grant.namespace.clone(), grant.name.clone());
    let call = match &wanted.value {
        Some(value) => Call::Claim(api::Claim {
            namespace,
            name,
            holder: by.holder.clone(),
            instance: Some(by.instance),
            seq: Some(by.seq),
            ttl_ms: Some(millis(wanted.ttl)),
            value: Some(value.clone()),
            deadline_ms: None,
        }),
        None => Call::Extend(api::Extend {
            namespace,
            name,
            token: grant.token,
            instance: Some(by.instance),
            ttl_ms: Some(millis(wanted.ttl)),
            deadline_ms: None,
        }),
    };
    Ok(session.call(call, args.reach.patience).await?)
}

/// Why a lease was not acquired, also by `run`: the server names the field of its own call, where we name the flag, and who
/// has the lease.
pub(crate) async fn not_acquired(
    failure: client::Failure,
    (session, namespace, name): (&Session, &str, &str),
) -> Failure {
    let failure = Failure::from(failure);
    let Some(problem) = failure.problem.as_ref().filter(|problem| problem.code == api::Code::StillHeld)
    else {
        return failure;
    };
    let by = problem.holder.as_ref().map(|holder| format!("; it is held by {}", quoted(holder)));
    let message = format!(
        "it was not this call's turn for lease {} within its --timeout{}: try again, or allow more time",
        quoted(name),
        by.unwrap_or_default()
    );
    with_pins(failure.saying(message), session, namespace, name).await
}

fn interrupted(name: &str, signal: Signal) -> Failure {
    let name = quoted(name);
    let message = format!(
        "the wait in line for {name} was ended by a signal: its place is given up, and what it may be granted in this moment ends by itself"
    );
    Failure::interrupted(signal, message)
}
