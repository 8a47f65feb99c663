//! `LeadershipService` v2: units claim the leadership of their application, and wait until it is free.
//!
//! | who | claims for | and waits for |
//! |---|---|---|
//! | a unit | itself, of its own application | its application |
//! | an application | any of its units, of itself | itself |
//! | anybody else | nobody: `permission denied` | |
//!
//! Juju lets an application claim for a unit of another name too; we look whether the unit is its own. With
//! `juju.load_test_any_holder` any unit and any application claims for any unit.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::{Answer, Error, item, items};
use super::leases::{self, Held, Unclaimed};
use super::secretary::Space;
use super::tags::{Tag, application_of, is_application};

/// The bounds of a claim, both of them good.
const SECONDS: std::ops::RangeInclusive<f64> = 5.0..=300.0;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    params: Option<Vec<Claim>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Claim {
    application_tag: String,
    unit_tag: String,
    /// In seconds.
    duration: f64,
}

/// An application's tag in Juju's own form: its name, without what a tag begins with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    name: String,
}

/// Each claim is judged by itself, one after the other.
pub(super) async fn claim(held: Held, claims: Claims) -> Answer {
    let mut results = Vec::new();
    for claim in items(claims.params)? {
        results.push(item(claim_one(&held, &claim).await));
    }
    Ok(json!({"results": results}))
}

async fn claim_one(held: &Held, claim: &Claim) -> Result<(), Error> {
    let (line, known) = held;
    let (Some(Tag::Application(application)), Some(Tag::Unit(unit))) =
        (Tag::parse(&claim.application_tag), Tag::parse(&claim.unit_tag))
    else {
        return Err(Error::permission_denied());
    };
    if !SECONDS.contains(&claim.duration) {
        return Err(Error::plain("invalid duration"));
    }
    if !line.hall.any_holder && !may_claim(&known.tag, &application, &unit) {
        return Err(Error::permission_denied());
    }
    let ttl = Duration::from_secs_f64(claim.duration);
    leases::claim(line, known, Space::Leadership, &application, &unit, ttl).await.map_err(|why| match why {
        Unclaimed::Denied => Error::new("leadership claim denied", "leadership claim denied"),
        Unclaimed::Failed(error) => error,
    })
}

fn may_claim(who: &Tag, application: &str, unit: &str) -> bool {
    let is_its_own = application_of(unit) == application;
    match who {
        Tag::Unit(own) => own == unit && is_its_own,
        Tag::Application(own) => own == application && is_its_own,
        _ => false,
    }
}

/// Answers once nobody leads the application.
pub(super) async fn block_until_released(held: Held, named: Named) -> Answer {
    let (line, known) = &held;
    let is_member = match &known.tag {
        Tag::Unit(own) => application_of(own) == named.name,
        Tag::Application(own) => *own == named.name,
        _ => false,
    };
    let may = is_application(&named.name) && (is_member || line.hall.any_holder);
    let waited = match may {
        true => leases::wait(line, known, Space::Leadership, &named.name).await,
        false => Err(Error::permission_denied()),
    };
    Ok(waited.map_or_else(|error| json!({"error": error.item()}), |()| Value::Object(Default::default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_claims_for_itself_and_an_application_for_its_units() {
        let (unit, application) = (Tag::Unit("mysql/0".into()), Tag::Application("mysql".into()));
        let cases = [
            (&unit, "mysql", "mysql/0", true),
            (&unit, "mysql", "mysql/1", false),
            (&unit, "wordpress", "mysql/0", false),
            (&unit, "wordpress", "wordpress/0", false),
            (&application, "mysql", "mysql/7", true),
            (&application, "mysql", "wordpress/0", false),
            (&application, "wordpress", "wordpress/0", false),
            (&Tag::Machine("0".into()), "mysql", "mysql/0", false),
            (&Tag::User("admin".into()), "mysql", "mysql/0", false),
        ];
        for (who, application, unit, may) in cases {
            assert_eq!(may_claim(who, application, unit), may, "{who} for {unit} of {application}");
        }
    }
}
