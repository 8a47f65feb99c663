//! `acquire`: take a lease, or wait in line for it.

use std::time::Duration;

use api::{Call, Reply};
use clap::Args;
use client::Session;
use nix::sys::signal::Signal;

use crate::announce;
use crate::connect::{Reach, holder_default, runtime};
use crate::doubt::{self, Signature};
use crate::exit::{Exit, Failure, quoted};
use crate::hold::{millis, show_grant, signature};
use crate::output::{JsonFlag, say};
use crate::parse;
use crate::pinned::with_pins;
use crate::signals::Held;

/// So long a call may take that may take for ever.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The server ends what waits; this much later it is taken for silent.
const SLACK: Duration = Duration::from_secs(2);

/// Take a lease as claim does, or wait in line for it: first come, first served. Nobody extends it once this command has ended.
#[derive(Debug, Args)]
pub(crate) struct Acquire {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// How long to wait in line [default: for ever], outages included; then it is refused as still held.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse::timeout())]
    timeout: Option<Duration>,
    /// How long the grant lasts, from now and from each extend: 15s, 1m30s. At least 1s unless the namespace says otherwise.
    #[arg(long, default_value = "15s", allow_hyphen_values = true, value_parser = parse::ttl())]
    ttl: Duration,
    /// What readers of the lease shall see, such as where to reach its holder.
    #[arg(long, value_parser = parse::value())]
    value: Option<String>,
    /// Who holds it [default: unique, host:process:chance].
    #[arg(long, env = "TENURE_HOLDER", value_parser = parse::holder())]
    holder: Option<String>,
    /// Which life of the holder, from 1: the same for a repetition, and for transfer [default: a random number].
    #[arg(long, requires = "seq", allow_negative_numbers = true, value_parser = parse::instance())]
    instance: Option<u64>,
    /// The acquire's number within its instance: the same for a repetition, higher for a new one.
    #[arg(long, requires = "instance", allow_negative_numbers = true, value_parser = parse::number("a seq"))]
    seq: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn acquire(args: &Acquire) -> Result<Exit, Failure> {
    let signal = Held::hold().next();
    let reply = runtime()?.block_on(async {
        tokio::select! {
            reply = in_line(args) => reply,
            Ok(signal) = signal => Err(interrupted(&args.name, signal)),
        }
    })?;
    show_grant(reply, args.json, "acquired")
}

async fn in_line(args: &Acquire) -> Result<Reply, Failure> {
    let holder = args.holder.clone().unwrap_or_else(|| {
        let holder = holder_default();
        say(format!("holder {holder} (choose one with --holder or TENURE_HOLDER)"));
        holder
    });
    let session = args.reach.connect_aloud().await?;
    let by = signature(&session, holder, args.instance, args.seq);
    // Without an instance the session gives its own.
    let acquire = api::Acquire {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        holder: by.holder.clone(),
        instance: args.instance,
        seq: args.seq,
        ttl_ms: Some(millis(args.ttl)),
        value: args.value.clone(),
        timeout_ms: args.timeout.map(millis),
    };
    let call = session.call(Call::Acquire(acquire), args.timeout.map_or(FOR_EVER, |timeout| timeout + SLACK));
    let in_line = format!("in line for {}", quoted(&args.name));
    let lease = (&session, args.reach.namespace.as_str(), args.name.as_str());
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
    reply.map_err(|failure| doubt::with_remedy(failure, &args.reach, &args.name, &by))
}

/// Confirms a grant that came by waiting; where there is a value, by the claim that sets it.
async fn confirm(
    args: &Acquire,
    session: &Session,
    by: &Signature,
    grant: &api::Grant,
) -> Result<Reply, Failure> {
    let (namespace, name) = (grant.namespace.clone(), grant.name.clone());
    let call = match &args.value {
        Some(value) => Call::Claim(api::Claim {
            namespace,
            name,
            holder: by.holder.clone(),
            instance: Some(by.instance),
            seq: Some(by.seq),
            ttl_ms: Some(millis(args.ttl)),
            value: Some(value.clone()),
            deadline_ms: None,
        }),
        None => Call::Extend(api::Extend {
            namespace,
            name,
            token: grant.token,
            instance: Some(by.instance),
            ttl_ms: Some(millis(args.ttl)),
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
    Failure {
        exit: Exit::Signal(signal),
        code: "interrupted".to_owned(),
        message: format!(
            "the wait in line for {} was ended by a signal: its place is given up, and what it may be granted in this moment ends by itself",
            quoted(name)
        ),
        problem: None,
    }
}
