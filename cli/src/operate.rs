//! `transfer`, `revoke`, `pin`, `unpin`: what is done to a grant but to hold it.

use std::time::Duration;

use api::{Call, Reply};
use claimer::duration::GoDuration;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::connect::{Reach, host, misfit, runtime};
use crate::exit::{Exit, Failure, quoted};
use crate::hold::millis;
use crate::output::{JsonFlag, Of, print_done, say};
use crate::parse;

const ENTITY_REMEDY: &str = "give who pins it with --entity, or leave it out for this host";

/// Hand a grant on to one who waits in line for the lease. Its holder may not act on it from the moment this is typed.
#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// The grant's token, as claim printed it.
    #[arg(long, allow_hyphen_values = true, value_parser = parse::token())]
    token: u64,
    /// The instance that claimed it, from 1, as --instance was given to claim or acquire.
    #[arg(long, allow_negative_numbers = true, value_parser = parse::instance())]
    instance: u64,
    /// To which holder: the first of that name in line.
    #[arg(long, value_name = "HOLDER", value_parser = parse::somebody("give the holder that is to have it with --to"))]
    to: String,
    /// Hand it on though nobody of that name waits: its first claim takes it.
    #[arg(long)]
    force: bool,
    /// How long the new grant lasts [default: as the waiter asked, or as this one].
    #[arg(long, allow_hyphen_values = true, value_parser = parse::ttl())]
    ttl: Option<Duration>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// Take a grant away: it may not be extended, and is free at its deadline.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// The grant's token [default: that of whoever holds the lease now].
    #[arg(long, allow_hyphen_values = true, value_parser = parse::token())]
    token: Option<u64>,
    /// The reason: its holder and history are told.
    #[arg(long, value_name = "REASON", default_value = "", value_parser = parse::reason())]
    why: String,
    /// At once, though its holder may still believe for as long as its ttl: only the token protects the resource then.
    #[arg(long)]
    now: bool,
    /// Who is granted the lease when the grant ends.
    #[arg(long, value_name = "HOLDER", value_parser = parse::somebody("give the next holder with --heir, or leave it out"))]
    heir: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// Keep whoever holds a lease from expiring, until the pin is taken away.
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// Who pins it [default: this host].
    #[arg(long, value_parser = parse::somebody(ENTITY_REMEDY))]
    entity: Option<String>,
    /// The reason.
    #[arg(long, value_name = "REASON", default_value = "", value_parser = parse::reason())]
    why: String,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// Take a pin away.
#[derive(Debug, Args)]
pub(crate) struct Unpin {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// Whose pin [default: this host's].
    #[arg(long, value_parser = parse::somebody(ENTITY_REMEDY))]
    entity: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn transfer(args: &Transfer) -> Result<Exit, Failure> {
    let reply = args.reach.call(Call::Transfer(api::Transfer {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        token: args.token,
        instance: args.instance,
        to: args.to.clone(),
        force: args.force,
        ttl_ms: args.ttl.map(millis),
        deadline_ms: None,
    }))?;
    let Reply::Released(released) = reply else { return Err(misfit()) };
    ended((&args.reach.namespace, &args.name), released.token, &released, args.json, "transferred")
}

pub(crate) fn revoke(args: &Revoke) -> Result<Exit, Failure> {
    let token = match args.token {
        Some(token) => token,
        None => present(args)?,
    };
    let reply = args.reach.call(Call::Revoke(api::Revoke {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        token,
        why: args.why.clone(),
        now: args.now,
        heir: args.heir.clone(),
        heir_ttl_ms: None,
        deadline_ms: None,
    }))?;
    match reply {
        Reply::Released(released) => {
            let revoked = Revoked { ending: false, reply: &released };
            ended((&args.reach.namespace, &args.name), released.token, &revoked, args.json, "revoked")
        }
        Reply::Ending(ending) => {
            let remaining = GoDuration::from(Duration::from_millis(ending.remaining_ms));
            let row =
                vec![ending.token.to_string(), args.name.clone(), "ending".to_owned(), remaining.to_string()];
            let deed = format!("lease {} was revoked, token {}", args.name, ending.token);
            let revoked = Revoked { ending: true, reply: &ending };
            let of = Of { namespace: &args.reach.namespace, name: &args.name, reply: &revoked };
            print_done(args.json.format(), &["TOKEN", "NAME", "STATE", "REMAINING"], &[row], &of, &deed)?;
            Ok(Exit::Done)
        }
        _ => Err(misfit()),
    }
}

/// What became of a grant that was revoked, for `--json`: both answers have a token, and programs are to tell them apart.
#[derive(Serialize)]
struct Revoked<'a, T> {
    /// Whether it goes on until its deadline; else it has ended.
    ending: bool,
    #[serde(flatten)]
    reply: &'a T,
}

/// The token of whoever holds the lease now. It is named before it is revoked: what is revoked is a grant, and never whoever holds
/// the lease by then.
fn present(args: &Revoke) -> Result<u64, Failure> {
    let get = api::Get { namespace: args.reach.namespace.clone(), name: args.name.clone(), stale: false };
    let Reply::Lease(lease) = args.reach.call(Call::Get(get))? else { return Err(misfit()) };
    match lease.held {
        Some(held) => {
            say(format!("revoking the grant of {}, token {}", quoted(&held.holder), held.token));
            Ok(held.token)
        }
        None => Err(Failure {
            exit: Exit::Refused,
            code: "lost".to_owned(),
            message: format!("nobody holds {}: there is nothing to revoke", quoted(&args.name)),
            problem: None,
        }),
    }
}

pub(crate) fn pin(args: &Pin) -> Result<Exit, Failure> {
    let entity = args.entity.clone().unwrap_or_else(host);
    let reply = args.reach.call(Call::Pin(api::Pin {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        entity: entity.clone(),
        why: args.why.clone(),
        deadline_ms: None,
    }))?;
    pinned(reply, (&args.reach.namespace, &args.name), entity, args.json, ("pinned", json!({})))
}

pub(crate) fn unpin(args: &Unpin) -> Result<Exit, Failure> {
    let entity = args.entity.clone().unwrap_or_else(host);
    let (reply, before) = runtime()?.block_on(async {
        let session = args.reach.connect().await?;
        // Looked at first: what is answered tells nothing of what was there.
        let before = session.get(&args.reach.namespace, &args.name).await.into_result()?;
        let unpin = api::Unpin {
            namespace: args.reach.namespace.clone(),
            name: args.name.clone(),
            entity: entity.clone(),
            deadline_ms: None,
        };
        let reply = session.call(Call::Unpin(unpin), args.reach.patience).await?;
        Ok::<_, Failure>((reply, before.pins.into_iter().map(|pin| pin.entity).collect::<Vec<_>>()))
    })?;
    let (own, others): (Vec<_>, Vec<_>) = before.into_iter().partition(|pin| *pin == entity);
    let was_pinned = !own.is_empty();
    tell_pins(&args.name, &entity, was_pinned, &others);
    let more = json!({ "was_pinned": was_pinned, "pins": others });
    pinned(reply, (&args.reach.namespace, &args.name), entity, args.json, ("unpinned", more))
}

/// Whoever takes a pin away wants the lease to expire again: says what stands in the way of that, and what was none.
fn tell_pins(name: &str, entity: &str, was_pinned: bool, others: &[String]) {
    let remaining = others.iter().map(|other| quoted(other)).collect::<Vec<_>>().join(", ");
    let still = if remaining.is_empty() {
        "no pin remains".to_owned()
    } else {
        format!("it is still pinned by {remaining}")
    };
    if !was_pinned {
        say(format!("{} was not pinned by {}; {still}", quoted(name), quoted(entity)));
    } else if !remaining.is_empty() {
        say(format!("{}: {still}", quoted(name)));
    }
}

fn ended(
    (namespace, name): (&str, &str),
    token: u64,
    reply: &impl Serialize,
    json: JsonFlag,
    state: &str,
) -> Result<Exit, Failure> {
    let row = vec![token.to_string(), name.to_owned(), state.to_owned()];
    let deed = format!("lease {name} was {state}, token {token}");
    let of = Of { namespace, name, reply };
    print_done(json.format(), &["TOKEN", "NAME", "STATE"], &[row], &of, &deed)?;
    Ok(Exit::Done)
}

fn pinned(
    reply: Reply,
    (namespace, name): (&str, &str),
    entity: String,
    json: JsonFlag,
    (state, more): (&str, Value),
) -> Result<Exit, Failure> {
    let Reply::Done = reply else { return Err(misfit()) };
    let deed = format!("lease {name} was {state} by {entity}");
    let mut body = json!({"namespace": namespace, "name": name, "entity": entity, "state": state});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let row = vec![name.to_owned(), entity, state.to_owned()];
    print_done(json.format(), &["NAME", "ENTITY", "STATE"], &[row], &body, &deed)?;
    Ok(Exit::Done)
}
