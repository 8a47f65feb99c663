//! The pin calls of `UpgradeSeries` v1 and `LeadershipPinning` v1: a machine holds leaderships still while its system is upgraded.
//!
//! In Juju a machine pins the applications that have units on it. Tenure keeps no machines and no units, so the machine's call may name
//! the applications (`{"applications":["mysql"]}`, which Juju's own clients never send); where it names none, all that have a leader in
//! the model are pinned. What it unpins is what it has pinned. A pin is the machine's tag. Only an application's name may be pinned, and
//! any lease unpinned: another door, or an older version of this one, may have pinned what this one would not.

use std::collections::BTreeMap;

use api::{Call, Lease, List, Pin, Reply, Unpin};
use serde::Deserialize;
use serde_json::json;

use super::errors::{Answer, Error, item, items};
use super::leases::Held;
use super::secretary::Space;
use crate::doors::http::asked;

const WHY: &str = "pinned by a machine of Juju's";

#[derive(Debug, Default, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    applications: Option<Vec<String>>,
}

pub(super) async fn pin(held: Held, which: Which) -> Answer {
    let applications = chosen(&held, which, |lease, _| lease.held.is_some()).await?;
    let uuids = held.0.uuids();
    each(&held, applications, |namespace, name, entity| {
        Space::Leadership.check_pin(uuids, &name)?;
        Ok(Call::Pin(Pin { namespace, name, entity, why: WHY.to_owned(), deadline_ms: None }))
    })
    .await
}

pub(super) async fn unpin(held: Held, which: Which) -> Answer {
    let applications =
        chosen(&held, which, |lease, entity| lease.pins.iter().any(|pin| pin.entity == entity)).await?;
    each(&held, applications, |namespace, name, entity| {
        Ok(Call::Unpin(Unpin { namespace, name, entity, deadline_ms: None }))
    })
    .await
}

/// Who pins what, of the whole model.
pub(super) async fn pinned(held: Held) -> Answer {
    let mut pinned: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let note = |lease: Lease| {
        if !lease.pins.is_empty() {
            pinned.insert(lease.name, lease.pins.into_iter().map(|pin| pin.entity).collect());
        }
    };
    look(&held, note).await?;
    Ok(json!({"result": pinned}))
}

/// The applications that the call names, or else those that are `meant`.
async fn chosen(
    held: &Held,
    which: Which,
    meant: impl Fn(&Lease, &str) -> bool,
) -> Result<Vec<String>, Error> {
    if which.applications.is_some() {
        return items(which.applications);
    }
    let (entity, mut found) = (held.1.tag.to_string(), Vec::new());
    let note = |lease: Lease| {
        if meant(&lease, &entity) {
            found.push(lease.name);
        }
    };
    look(held, note).await?;
    Ok(found)
}

async fn each(
    held: &Held,
    applications: Vec<String>,
    call: impl Fn(String, String, String) -> Result<Call, Error>,
) -> Answer {
    let (line, known) = held;
    let namespace = line.namespace(Space::Leadership).ok_or_else(Error::permission_denied)?;
    let mut results = Vec::with_capacity(applications.len());
    for application in applications {
        let done = match call(namespace.clone(), application.clone(), known.tag.to_string()) {
            Ok(call) => match asked(&line.service, &known.caller, call).await {
                Reply::Error(problem) => Err(Error::of(&problem)),
                _ => Ok(()),
            },
            Err(error) => Err(error),
        };
        let mut result = item(done);
        result["application-name"] = application.into();
        results.push(result);
    }
    Ok(json!({"results": results}))
}

/// Every leadership of the model, a page at a time.
async fn look(held: &Held, mut note: impl FnMut(Lease)) -> Result<(), Error> {
    let (line, known) = held;
    let namespace = Some(line.namespace(Space::Leadership).ok_or_else(Error::permission_denied)?);
    let mut after = None;
    loop {
        let limit = Some(lease::PAGE_LEASES_MAX as u64);
        let list = List { namespace: namespace.clone(), after, limit, ..List::default() };
        match asked(&line.service, &known.caller, Call::List(list)).await {
            Reply::Page(page) => {
                page.leases.into_iter().for_each(&mut note);
                after = page.next;
            }
            Reply::Error(problem) => return Err(Error::of(&problem)),
            _ => return Ok(()),
        }
        if after.is_none() {
            return Ok(());
        }
    }
}
