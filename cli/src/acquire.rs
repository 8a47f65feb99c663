//! `acquire`: take a lease, or wait in line for it.

use std::time::Duration;

use clap::Args;
use client::Grant;
use nix::sys::signal::Signal;

use crate::announce;
use crate::connect::{Reach, holder_default, runtime};
use crate::exit::{Exit, Failure, quoted};
use crate::hold::show_grant;
use crate::output::{JsonFlag, say};
use crate::parse;
use crate::signals::Held;

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
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn acquire(args: &Acquire) -> Result<Exit, Failure> {
    let signal = Held::hold().next();
    let grant = runtime()?.block_on(async {
        tokio::select! {
            grant = in_line(args) => grant,
            Ok(signal) = signal => Err(interrupted(&args.name, signal)),
        }
    })?;
    let hold = grant.remaining();
    let grant = api::Grant {
        namespace: grant.namespace().to_owned(),
        name: grant.name().to_owned(),
        token: grant.token(),
        ttl_ms: crate::hold::millis(grant.ttl()),
        hold_ms: crate::hold::millis(hold),
        extend_after_ms: crate::hold::millis(grant.extend_after()),
        confirmed: true,
    };
    show_grant(api::Reply::Granted(grant), args.json, "acquired")
}

async fn in_line(args: &Acquire) -> Result<Grant, Failure> {
    let holder = args.holder.clone().unwrap_or_else(|| {
        let holder = holder_default();
        say(format!("holder {holder} (choose one with --holder or TENURE_HOLDER)"));
        holder
    });
    let session = args.reach.connect_aloud().await?;
    let acquire = client::Acquire {
        namespace: args.reach.namespace.clone(),
        ttl: args.ttl,
        value: args.value.clone(),
        timeout: args.timeout,
        ..client::Acquire::new(&args.name, holder)
    };
    let in_line = format!("in line for {}", quoted(&args.name));
    let lease = (&session, args.reach.namespace.as_str(), args.name.as_str());
    let (grant, _) = announce::waiting(session.acquire(acquire), lease, &in_line).await;
    let grant = grant.into_result().map_err(|failure| not_acquired(failure, &args.name))?;
    // Dropped, the grant stands; a guard would release it.
    Ok(grant)
}

/// Why a lease was not acquired, also by `run`: the server names the field of its own call, where we name the flag, and who
/// has the lease.
pub(crate) fn not_acquired(failure: client::Failure, name: &str) -> Failure {
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
    failure.saying(message)
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
