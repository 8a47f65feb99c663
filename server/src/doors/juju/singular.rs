//! `Singular` v2: the controller's machines agree which of them works for a model, or for the controller.
//!
//! Only a machine asks here, and only for itself. Which machines are the controller's is told by their token: a unit's whose name is the
//! machine's tag and whose namespace is the model's `singular-controller`, or an operator's. Any other machine's call is `permission denied` as a whole.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::errors::{Answer, Error, item, items};
use super::leases::{self, Held, Unclaimed};
use super::secretary::Space;
use super::tags::Tag;
use crate::identity::{Scope, Verb, authorize};

/// The bounds of a claim, both of them good.
const BOUNDS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    claims: Option<Vec<Claim>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Claim {
    entity_tag: String,
    claimant_tag: String,
    /// In nanoseconds.
    duration: i64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Entities {
    #[serde(default)]
    entities: Option<Vec<Entity>>,
}

#[derive(Debug, Default, Deserialize)]
struct Entity {
    #[serde(default)]
    tag: String,
}

/// Refuses a machine that is not the controller's: one that may claim neither of the two entities for itself.
fn check((line, known): &Held) -> Result<(), Error> {
    let (namespace, tag) = (line.namespace(Space::Singular).unwrap_or_default(), known.tag.to_string());
    let uuids = line.uuids();
    let scope = |name| Scope::Lease { namespace: &namespace, name, holder: Some(&tag) };
    let may = |name| authorize(&known.caller.principal, Verb::Claim, scope(name)).is_ok();
    if may(uuids.model) || may(uuids.controller) {
        return Ok(());
    }
    // Asked as it would be of a claim, so that it is written down.
    let denied = line.service.doorkeeper.check(&known.caller, Verb::Claim, scope(uuids.model));
    debug_assert!(denied.is_err(), "the rule says one thing");
    Err(Error::permission_denied())
}

pub(super) async fn claim(held: Held, claims: Claims) -> Answer {
    check(&held)?;
    let mut results = Vec::new();
    for claim in items(claims.claims)? {
        results.push(item(claim_one(&held, &claim).await));
    }
    Ok(json!({"results": results}))
}

async fn claim_one(held: &Held, claim: &Claim) -> Result<(), Error> {
    let (line, known) = held;
    let lease = entity(held, &claim.entity_tag)?;
    let ttl = u64::try_from(claim.duration).map(Duration::from_nanos).unwrap_or_default();
    if claim.claimant_tag != known.tag.to_string() || !BOUNDS.contains(&ttl) {
        return Err(Error::permission_denied());
    }
    leases::claim(line, known, Space::Singular, &lease, &claim.claimant_tag, ttl).await.map_err(|why| {
        match why {
            Unclaimed::Denied => Error::new("lease claim denied", "lease claim denied"),
            Unclaimed::Failed(error) => error,
        }
    })
}

/// Answers once nobody works for any of them.
pub(super) async fn wait(held: Held, entities: Entities) -> Answer {
    check(&held)?;
    let mut results = Vec::new();
    for Entity { tag } in items(entities.entities)? {
        results.push(item(wait_one(&held, &tag).await));
    }
    Ok(json!({"results": results}))
}

async fn wait_one(held: &Held, tag: &str) -> Result<(), Error> {
    let lease = entity(held, tag)?;
    leases::wait(&held.0, &held.1, Space::Singular, &lease).await
}

/// The lease of an entity: its UUID, where it is this connection's model or the controller.
fn entity(held: &Held, tag: &str) -> Result<String, Error> {
    let uuids = held.0.uuids();
    match Tag::parse(tag) {
        Some(Tag::Model(uuid)) if uuid == uuids.model => Ok(uuid),
        Some(Tag::Controller(uuid)) if uuid == uuids.controller => Ok(uuid),
        _ => Err(Error::permission_denied()),
    }
}
