//! `claim`, `extend`, `release`: one act on one lease each.

use std::time::Duration;

use api::{Call, Claim as ClaimCall, Extend as ExtendCall, Grant, Release as ReleaseCall, Reply};
use claimer::duration::GoDuration;
use clap::Args;

use crate::connect::{Reach, misfit, runtime};
use crate::doubt;
use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, Of, print_done, say};
use crate::parse;
use crate::pinned::with_pins;
use crate::wanted::Wanted;

/// Take a free lease. Prints its token first: give it to extend, release, and whatever the lease protects.
#[derive(Debug, Args)]
pub(crate) struct Claim {
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// Let a grant go on: its deadline moves to at least the ttl from now.
#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// The grant's token, as claim printed it.
    #[arg(long, allow_hyphen_values = true, value_parser = parse::token())]
    token: u64,
    /// The new ttl [default: the grant's present one].
    #[arg(long, allow_hyphen_values = true, value_parser = parse::ttl())]
    ttl: Option<Duration>,
    /// The instance that claimed it, from 1; without it, the act is an operator's or an app-admin's.
    #[arg(long, allow_negative_numbers = true, value_parser = parse::instance())]
    instance: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// End a grant, so that the next one may claim. Prints its token.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// The grant's token, as claim printed it.
    #[arg(long, allow_hyphen_values = true, value_parser = parse::token())]
    token: u64,
    /// The instance that claimed it, from 1; without it, the act is an operator's or an app-admin's.
    #[arg(long, allow_negative_numbers = true, value_parser = parse::instance())]
    instance: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn claim(args: &Claim) -> Result<Exit, Failure> {
    let wanted = &args.wanted;
    let holder = wanted.holder();
    let reply = runtime()?.block_on(async {
        let session = args.reach.connect().await?;
        let by = wanted.signature(&session, holder);
        // Without an instance the session gives its own, and numbers the claim itself.
        let claim = ClaimCall {
            namespace: args.reach.namespace.clone(),
            name: wanted.name.clone(),
            holder: by.holder.clone(),
            instance: wanted.instance,
            seq: wanted.seq,
            ttl_ms: Some(millis(wanted.ttl)),
            value: wanted.value.clone(),
            deadline_ms: None,
        };
        match session.call(Call::Claim(claim), args.reach.patience).await {
            Ok(reply) => Ok(reply),
            Err(failure) => {
                let failure = doubt::with_remedy(failure.into(), &args.reach, &wanted.name, &by);
                Err(with_pins(failure, &session, &args.reach.namespace, &wanted.name).await)
            }
        }
    })?;
    show_grant(reply, args.json, "claimed")
}

pub(crate) fn extend(args: &Extend) -> Result<Exit, Failure> {
    let reply = args.reach.call(Call::Extend(ExtendCall {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        token: args.token,
        instance: args.instance,
        ttl_ms: args.ttl.map(millis),
        deadline_ms: None,
    }))?;
    show_grant(reply, args.json, "extended")
}

pub(crate) fn release(args: &Release) -> Result<Exit, Failure> {
    let reply = args.reach.call(Call::Release(ReleaseCall {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        token: args.token,
        instance: args.instance,
        deadline_ms: None,
    }));
    match reply.map_err(|failure| with_present_holder(failure, args))? {
        Reply::Released(released) => {
            let row = vec![released.token.to_string(), args.name.clone(), "released".to_owned()];
            let deed = format!("lease {} was released, token {}", args.name, released.token);
            let of = Of { namespace: &args.reach.namespace, name: &args.name, reply: &released };
            print_done(args.json.format(), &["TOKEN", "NAME", "STATE"], &[row], &of, &deed)?;
            Ok(Exit::Done)
        }
        _ => Err(misfit()),
    }
}

/// Whoever releases what is not theirs any more wants to know whose it is.
fn with_present_holder(mut failure: Failure, args: &Release) -> Failure {
    let knows_holder = failure.problem.as_ref().is_none_or(|problem| problem.holder.is_some());
    if failure.exit != Exit::Refused || knows_holder {
        return failure;
    }
    let get = Call::Get(api::Get {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        stale: false,
    });
    if let Ok(Reply::Lease(lease)) = args.reach.call(get) {
        let present = lease.held.map_or("nobody holds it now".to_owned(), |held| {
            format!("{} holds it now, under token {}", crate::exit::quoted(&held.holder), held.token)
        });
        let message = format!("{}; {present}", failure.message);
        failure = failure.saying(message);
    }
    failure
}

pub(crate) fn show_grant(reply: Reply, json: JsonFlag, done: &str) -> Result<Exit, Failure> {
    let Reply::Granted(grant) = reply else { return Err(misfit()) };
    if !grant.confirmed {
        say("the grant is not confirmed yet: extend it before you act on it");
    }
    let deed = format!("lease {} was {done}, token {}", grant.name, grant.token);
    print_done(json.format(), &["TOKEN", "NAME", "TTL", "HOLD"], &[row(&grant)], &grant, &deed)?;
    Ok(Exit::Done)
}

fn row(grant: &Grant) -> Vec<String> {
    let [ttl, hold] =
        [grant.ttl_ms, grant.hold_ms].map(|millis| GoDuration::from(Duration::from_millis(millis)));
    vec![grant.token.to_string(), grant.name.clone(), ttl.to_string(), hold.to_string()]
}

pub(crate) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
