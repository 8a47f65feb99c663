//! `claim`, `extend`, `release`: one act on one lease each.

use std::time::Duration;

use api::{Call, Claim as ClaimCall, Extend as ExtendCall, Grant, Release as ReleaseCall, Reply};
use claimer::duration::GoDuration;
use clap::Args;
use client::Session;

use crate::connect::{Reach, holder_default, misfit, runtime};
use crate::doubt::{self, Signature};
use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, Of, print_done, say};
use crate::parse;
use crate::pinned::with_pins;

/// Take a free lease. Prints its token first: give it to extend, release, and whatever the lease protects.
#[derive(Debug, Args)]
pub(crate) struct Claim {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// How long the grant lasts, from now and from each extend: 15s, 1m30s, 1500ms. At least 1s unless the namespace says
    /// otherwise; 200ms is the least that any namespace may allow.
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
    /// The claim's number within its instance: the same for a repetition, higher for a new claim.
    #[arg(long, requires = "instance", allow_negative_numbers = true, value_parser = parse::number("a seq"))]
    seq: Option<u64>,
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
    /// The instance that claimed it, from 1; without it, the act is an operator's.
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
    /// The instance that claimed it, from 1; without it, the act is an operator's.
    #[arg(long, allow_negative_numbers = true, value_parser = parse::instance())]
    instance: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn claim(args: &Claim) -> Result<Exit, Failure> {
    let holder = args.holder.clone().unwrap_or_else(|| {
        let holder = holder_default();
        say(format!("holder {holder} (choose one with --holder or TENURE_HOLDER)"));
        holder
    });
    let reply = runtime()?.block_on(async {
        let session = args.reach.connect().await?;
        let by = signature(&session, holder, args.instance, args.seq);
        // Without an instance the session gives its own, and numbers the claim itself.
        let claim = ClaimCall {
            namespace: args.reach.namespace.clone(),
            name: args.name.clone(),
            holder: by.holder.clone(),
            instance: args.instance,
            seq: args.seq,
            ttl_ms: Some(millis(args.ttl)),
            value: args.value.clone(),
            deadline_ms: None,
        };
        match session.call(Call::Claim(claim), args.reach.patience).await {
            Ok(reply) => Ok(reply),
            Err(failure) => {
                let failure = doubt::with_remedy(failure.into(), &args.reach, &args.name, &by);
                Err(with_pins(failure, &session, &args.reach.namespace, &args.name).await)
            }
        }
    })?;
    show_grant(reply, args.json, "claimed")
}

/// By what a claim is known when it is repeated: what was given, or what the session gives its first.
pub(crate) fn signature(
    session: &Session,
    holder: String,
    instance: Option<u64>,
    seq: Option<u64>,
) -> Signature {
    Signature { holder, instance: instance.unwrap_or(session.instance()), seq: seq.unwrap_or(1) }
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
    let get = Call::Get(api::Get { namespace: args.reach.namespace.clone(), name: args.name.clone() });
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
