//! What each of Juju's two namespaces takes for a lease, a holder and a duration: asked before anything is claimed or waited for,
//! whichever facade asks.
//!
//! | namespace | lease | holder | duration |
//! |---|---|---|---|
//! | `application-leadership` | an application's name | a unit's name | above 0 |
//! | `singular-controller` | the controller's UUID, or the model's own | a machine's tag | above 0 |

use std::time::Duration;

use api::JujuNamespace;

use super::errors::Error;
use super::tags::{Tag, is_application, is_unit};
use crate::service::Echo;

/// One of Juju's namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// Which unit leads its application.
    Leadership,
    /// Which machine works for a model or the controller.
    Singular,
}

/// The UUIDs that a lease of [`Space::Singular`] may be called by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uuids<'a> {
    pub(super) controller: &'a str,
    pub(super) model: &'a str,
}

struct Rule {
    is_lease: fn(&str, Uuids<'_>) -> bool,
    no_lease: &'static str,
    is_holder: fn(&str) -> bool,
    no_holder: &'static str,
}

const LEADERSHIP: Rule = Rule {
    is_lease: |lease, _| is_application(lease),
    no_lease: "not an application name",
    is_holder: is_unit,
    no_holder: "not a unit name",
};

const SINGULAR: Rule = Rule {
    is_lease: |lease, uuids| lease == uuids.controller || lease == uuids.model,
    no_lease: "expected controller or model UUID",
    is_holder: |holder| matches!(Tag::parse(holder), Some(Tag::Machine(_))),
    no_holder: "expected machine tag",
};

// Juju's third row, any other namespace, cannot be named here.
impl Space {
    fn rule(self) -> &'static Rule {
        match self {
            Space::Leadership => &LEADERSHIP,
            Space::Singular => &SINGULAR,
        }
    }

    /// Our namespace for this one of a model: isolation by model is isolation by namespace, and its 64 bytes are enough.
    pub(super) fn of_model(self, uuid: &str) -> String {
        let juju = match self {
            Space::Leadership => JujuNamespace::ApplicationLeadership,
            Space::Singular => JujuNamespace::SingularController,
        };
        juju.of_model(uuid)
    }

    /// Whether `holder` may claim `lease` for so long.
    pub(super) fn check_claim(
        self,
        uuids: Uuids<'_>,
        lease: &str,
        holder: &str,
        ttl: Duration,
    ) -> Result<(), Error> {
        let rule = self.rule();
        let no = |what: String, why| Err(Error::plain(format!("cannot claim lease {what}: {why}")));
        match () {
            () if !(rule.is_lease)(lease, uuids) => no(format!("{lease:?}"), rule.no_lease),
            () if !(rule.is_holder)(holder) => no(format!("for holder {holder:?}"), rule.no_holder),
            () if ttl.is_zero() => no("for 0s".to_owned(), "non-positive"),
            () => Ok(()),
        }
    }

    /// Whether `lease` may be pinned. Juju asks nobody, for its machines name none: here they may, and it is the same rule.
    pub(super) fn check_pin(self, uuids: Uuids<'_>, lease: &str) -> Result<(), Error> {
        let rule = self.rule();
        match (rule.is_lease)(lease, uuids) {
            true => Ok(()),
            false => Err(Error::plain(format!("cannot pin lease {}: {}", Echo(lease), rule.no_lease))),
        }
    }

    /// Whether anybody may wait for `lease`.
    pub(super) fn check_wait(self, uuids: Uuids<'_>, lease: &str) -> Result<(), Error> {
        let rule = self.rule();
        match (rule.is_lease)(lease, uuids) {
            true => Ok(()),
            false => Err(Error::plain(format!("cannot wait for lease {lease:?} expiry: {}", rule.no_lease))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUIDS: Uuids<'_> = Uuids {
        controller: "c0000000-0000-4000-8000-000000000000",
        model: "a0000000-0000-4000-8000-000000000000",
    };

    #[test]
    fn each_rule_refuses_with_its_words() {
        let (long, none) = (Duration::from_secs(60), Duration::ZERO);
        let claims = [
            (Space::Leadership, "mysql", "mysql/0", long, None),
            (
                Space::Leadership,
                "mysql/0",
                "mysql/0",
                long,
                Some("lease \"mysql/0\": not an application name"),
            ),
            (Space::Leadership, "mysql", "mysql", long, Some("lease for holder \"mysql\": not a unit name")),
            (Space::Leadership, "mysql", "mysql/0", none, Some("lease for 0s: non-positive")),
            (Space::Singular, UUIDS.controller, "machine-0", long, None),
            (Space::Singular, UUIDS.model, "machine-0-lxd-1", long, None),
            (
                Space::Singular,
                "mysql",
                "machine-0",
                long,
                Some("lease \"mysql\": expected controller or model UUID"),
            ),
            (Space::Singular, UUIDS.model, "0", long, Some("lease for holder \"0\": expected machine tag")),
            (
                Space::Singular,
                UUIDS.model,
                "unit-mysql-0",
                long,
                Some("lease for holder \"unit-mysql-0\": expected machine tag"),
            ),
            (Space::Singular, UUIDS.model, "machine-0", none, Some("lease for 0s: non-positive")),
        ];
        for (space, lease, holder, ttl, expected) in claims {
            let refused = space.check_claim(UUIDS, lease, holder, ttl).err();
            assert_eq!(refused, expected.map(|why| Error::plain(format!("cannot claim {why}"))));
        }
        let refused = Space::Leadership.check_wait(UUIDS, "x/0").unwrap_err();
        assert_eq!(refused, Error::plain("cannot wait for lease \"x/0\" expiry: not an application name"));
        assert_eq!(Space::Singular.check_wait(UUIDS, UUIDS.model), Ok(()));
        let refused = Space::Leadership.check_pin(UUIDS, "a b").unwrap_err();
        assert_eq!(refused, Error::plain("cannot pin lease \"a b\": not an application name"));
        assert_eq!(Space::Leadership.check_pin(UUIDS, "mysql"), Ok(()));
    }

    #[test]
    fn a_model_has_namespaces_of_its_own_that_fit() {
        let names = [Space::Leadership, Space::Singular].map(|space| space.of_model(UUIDS.model));
        assert_eq!(names[0], format!("application-leadership:{}", UUIDS.model));
        assert!(names.iter().all(|name| name.len() <= lease::NAMESPACE_BYTES_MAX));
    }
}
