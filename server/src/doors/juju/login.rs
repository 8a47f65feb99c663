//! The login: a tag says as what a client comes, and its password is a Tenure token, whose principal must allow the tag.
//!
//! | tag | token |
//! |---|---|
//! | `unit-mysql-0` | a unit's, named `mysql/0`, of the model's `application-leadership:UUID` |
//! | `machine-0` | a unit's, named `machine-0`, of `singular-controller:UUID`; or, to pin, an app-admin's of that name |
//! | `application-mysql` | an app-admin's, named `mysql`, of the model's `application-leadership:UUID` |
//! | `user-bob` | anybody's but a unit's, named `bob` |
//! | any of them | an operator's, of that namespace or of all: it may act for anybody at any door |
//!
//! What those who logged in may then do is decided, call by call, where it is for every door. Where nobody is asked who they are (`--dev`),
//! any password will do. Nonces are not asked for: a machine's token is drawn for it alone.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::uri::Authority;
use lease::Role;
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::offered;
use super::errors::{Answer, Error};
use super::line::{Known, Line};
use super::secretary::Space;
use super::tags::Tag;
use super::throttle::TryAgain;
use crate::doors::identify::{Stranger, by_token};
use crate::identity::{Principal, Source, Unknown};
use crate::service::Echo;

/// The version of Juju whose API this is: clients want one that they can read.
const SERVER_VERSION: &str = "2.5.1";

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Asks {
    auth_tag: String,
    credentials: String,
}

/// Answers a login that was begun; whatever comes of it, it is ended.
pub(super) async fn login(line: Arc<Line>, asks: Asks) -> Answer {
    let known = known(&line, asks).await;
    let result = known.as_ref().map(|known| welcome(&line, known)).map_err(Error::clone);
    line.end_login(known.ok());
    // Who only came too early waits on; who is not known has as long as anybody to log in.
    if result == Err(Error::try_again()) {
        line.ping();
    }
    result
}

async fn known(line: &Line, asks: Asks) -> Result<Known, Error> {
    let tag = Tag::parse(&asks.auth_tag);
    let throttled = match tag {
        Some(Tag::User(_)) => None,
        _ => Some(throttled(line).await?),
    };
    let no_tag = || Error::plain(format!("{} is not a valid tag", Echo(&asks.auth_tag)));
    let tag = tag.ok_or_else(no_tag)?;
    let principal = principal(line, &tag, &asks.credentials).await?;
    // Until here it was under way.
    drop(throttled);
    Ok(Known { tag, caller: Arc::new(line.service.doorkeeper.admit(principal, line.peer)) })
}

/// Waits for its turn, and gives the place that is to be kept until the login is done.
async fn throttled(line: &Line) -> Result<super::throttle::Passed, Error> {
    match line.hall.turnstile.pass(std::time::Instant::now(), rand::random()) {
        Ok(passed) => {
            pause(passed.pause).await;
            Ok(passed)
        }
        Err(TryAgain { pause: until }) => {
            pause(until).await;
            Err(Error::try_again())
        }
    }
}

async fn pause(time: std::time::Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn principal(line: &Line, tag: &Tag, credentials: &str) -> Result<Arc<Principal>, Error> {
    let service = &line.service;
    // Nobody is a model or a controller, whoever may come.
    if matches!(tag, Tag::Model(_) | Tag::Controller(_)) {
        return Err(Error::unknown_entity());
    }
    if service.doorkeeper.is_open() {
        return Ok(Principal::anyone());
    }
    let why = match by_token(service, credentials, line.peer).await {
        Ok(principal) if may_come(line, tag, &principal) => return Ok(principal),
        Ok(principal) => match principal.source {
            Source::Token(id) => Unknown::AnotherTag(id),
            Source::Certificate { .. } | Source::Unasked => Unknown::Nameless,
        },
        Err(Stranger::Unknown(why)) => why,
        Err(Stranger::TooMany(_) | Stranger::NotYet) => return Err(Error::try_again()),
    };
    service.doorkeeper.turned_away(line.peer, why);
    Err(Error::unknown_entity())
}

/// Whether a principal may come as what the tag says, on this connection.
fn may_come(line: &Line, tag: &Tag, principal: &Principal) -> bool {
    let own = principal.namespace.as_deref();
    let is_of = |space| own.is_some() && own == line.namespace(space).as_deref();
    let is_within = |space| own.is_none() || is_of(space);
    let is_named = |name: &str| *principal.name == *name;
    match (tag, principal.role) {
        (_, Role::Operator) => is_within(Space::Leadership) || is_within(Space::Singular),
        (Tag::Unit(name), Role::Unit) => is_named(name) && is_of(Space::Leadership),
        (Tag::Machine(_), Role::Unit) => is_named(&tag.to_string()) && is_of(Space::Singular),
        (Tag::Machine(_), Role::AppAdmin) => is_named(&tag.to_string()) && is_within(Space::Leadership),
        (Tag::Application(name), Role::AppAdmin) => is_named(name) && is_within(Space::Leadership),
        (Tag::User(name), Role::Reader | Role::AppAdmin | Role::Auditor) => {
            is_named(local(name)) && (is_within(Space::Leadership) || is_within(Space::Singular))
        }
        _ => false,
    }
}

/// A user's name without `@local`, which says nothing.
fn local(user: &str) -> &str {
    user.strip_suffix("@local").unwrap_or(user)
}

fn welcome(line: &Line, known: &Known) -> Value {
    let mut result = json!({
        "servers": servers(line.host.as_deref()),
        "controller-tag": format!("controller-{}", line.controller),
        "server-version": SERVER_VERSION,
        "facades": offered(&line.home),
    });
    if let Some(uuid) = line.model() {
        result["model-tag"] = json!(format!("model-{uuid}"));
    }
    if let Tag::User(name) = &known.tag {
        result["user-info"] = user_info(name, known, line.model().is_some());
    }
    result
}

fn user_info(name: &str, known: &Known, in_model: bool) -> Value {
    let (controller, model) = match known.caller.principal.role {
        Role::Operator => ("superuser", "admin"),
        Role::AppAdmin => ("login", "write"),
        _ => ("login", "read"),
    };
    json!({
        "display-name": local(name),
        "identity": known.tag.to_string(),
        "controller-access": controller,
        "model-access": if in_model { model } else { "" },
    })
}

/// Where the controller is: this member, as the client called it. It knows the others only by where members reach them.
fn servers(host: Option<&str>) -> Value {
    let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else { return json!([]) };
    let value = authority.host().trim_start_matches('[').trim_end_matches(']');
    let (kind, scope) = match value.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => (kind(address), "local-machine"),
        Ok(address) => (kind(address), "local-cloud"),
        Err(_) => ("hostname", "local-cloud"),
    };
    let port = authority.port_u16().unwrap_or(443);
    json!([[{"value": value, "type": kind, "scope": scope, "port": port}]])
}

fn kind(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}
