//! What the state is shown as: leases, pages, ends and events, as they cross the network.

use api::{
    Checked, Cooldown, End, EndOf, Ends, Event, EventEnding, EventGrant, EventPin, EventToken, EventValue,
    Held, Lease, Page, Pinned, What,
};
use lease::{Key, LeaseView, PAGE_BYTES_MAX, Why};
use replica::Reading;

use super::{Asked, Verb, page};

/// A page of at most `limit` leases, or of fewer where these are so large that more might not fit into a frame.
pub(super) fn page_of(mut views: Vec<LeaseView>, limit: usize, at: Reading) -> Page {
    let mut bytes = 0;
    let fitting = views.iter().take(limit).take_while(|view| {
        let fits = bytes < PAGE_BYTES_MAX;
        bytes += json_bytes_max(view);
        fits
    });
    let shown = fitting.count();
    let more = views.len() > shown;
    views.truncate(shown);
    let next = views.last().filter(|_| more).map(|view| page::cursor(&view.key));
    Page {
        leases: views.into_iter().map(|view| lease_of(view, at)).collect(),
        next,
        revision: at.revision.0,
        stale: None,
    }
}

/// Bytes that a lease takes at the most: its keys and numbers, and its texts as JSON may write them, a byte of a value as six and one
/// of another text as two.
fn json_bytes_max(view: &LeaseView) -> usize {
    const FIXED: usize = 1_000;
    let pins = view.pins.iter().map(|(entity, why)| 32 + entity.as_str().len() + why.as_str().len());
    let grant = view.grant.as_ref().map_or(0, |grant| {
        let heir = grant.heir.as_ref().map_or(0, |heir| heir.as_str().len());
        grant.holder.as_str().len() + heir + grant.ending.as_ref().map_or(0, |why| why.as_str().len())
    });
    let value = view.grant.as_ref().and_then(|grant| grant.value.as_ref());
    let admitted = view.cooldown.as_ref().and_then(|cooldown| cooldown.admitted.as_ref());
    let end = view.last_end.as_ref().map_or(0, |end| {
        let reason = match &end.why {
            Why::Revoked(reason) => reason.as_str().len(),
            _ => 0,
        };
        end.holder.as_str().len() + reason
    });
    let texts = view.key.namespace.as_str().len()
        + view.key.name.as_str().len()
        + pins.sum::<usize>()
        + grant
        + admitted.map_or(0, |holder| holder.as_str().len())
        + end;
    FIXED + 2 * texts + 6 * value.map_or(0, |value| value.as_str().len())
}

pub(super) fn free_lease(key: &Key, at: Reading) -> Lease {
    Lease {
        namespace: key.namespace.as_str().to_owned(),
        name: key.name.as_str().to_owned(),
        held: None,
        cooldown: None,
        pins: Vec::new(),
        last_end: None,
        revision: at.revision.0,
        stale: None,
    }
}

pub(super) fn lease_of(view: LeaseView, at: Reading) -> Lease {
    Lease {
        held: view.grant.map(|grant| Held {
            holder: grant.holder.as_str().to_owned(),
            token: grant.token.as_u64(),
            ttl_ms: grant.ttl.as_millis(),
            remaining_ms: at.now.until(grant.deadline).as_millis(),
            confirmed: grant.confirmed,
            ending: grant.ending.map(|why| why.as_str().to_owned()),
            ending_heir: grant.heir.map(|heir| heir.as_str().to_owned()),
            value: grant.value.map(|value| value.as_str().to_owned()),
        }),
        cooldown: view.cooldown.map(|cooldown| Cooldown {
            admitted: cooldown.admitted.map(|holder| holder.as_str().to_owned()),
            remaining_ms: at.now.until(cooldown.until).as_millis(),
        }),
        pins: view.pins.into_iter().map(pin_of).collect(),
        last_end: view.last_end.map(|end| end_of(end, at)),
        ..free_lease(&view.key, at)
    }
}

pub(super) fn ends_of(ends: Vec<(Key, lease::End)>, at: Reading) -> Ends {
    let of = |(key, end): (Key, lease::End)| EndOf {
        namespace: key.namespace.as_str().to_owned(),
        name: key.name.as_str().to_owned(),
        end: end_of(end, at),
    };
    Ends { ends: ends.into_iter().map(of).collect(), revision: at.revision.0 }
}

pub(super) fn checked(asked: &Asked, grant: &lease::GrantView, at: Reading) -> Checked {
    debug_assert!(
        matches!(asked.verb, Verb::Check(token) if token == grant.token),
        "another token was found"
    );
    Checked {
        token: grant.token.as_u64(),
        holder: grant.holder.as_str().to_owned(),
        remaining_ms: at.now.until(grant.deadline).as_millis(),
        revision: at.revision.0,
    }
}

/// An event as watches are told of it; none where it is about no lease.
pub(super) fn event_of(event: &lease::Event) -> Option<Event> {
    let key = event.what.key()?;
    let text = |text: &str| text.to_owned();
    let what = match &event.what {
        lease::What::Granted { holder, token, confirmed, value, .. } => What::Granted(EventGrant {
            token: token.as_u64(),
            holder: text(holder.as_str()),
            confirmed: *confirmed,
            value: value.as_ref().map(|value| text(value.as_str())),
        }),
        lease::What::Confirmed { token, .. } => What::Confirmed(EventToken { token: token.as_u64() }),
        lease::What::Valued { token, value, .. } => {
            What::Valued(EventValue { token: token.as_u64(), value: text(value.as_str()) })
        }
        lease::What::Ended { end, .. } => {
            // Told as it happens: at its own instant on the lease clock.
            What::Ended(end_of(end.clone(), Reading { revision: event.revision, now: end.at }))
        }
        lease::What::Ending { token, why, heir, .. } => What::Ending(EventEnding {
            token: token.as_u64(),
            reason: text(why.as_str()),
            heir: heir.as_ref().map(|heir| text(heir.as_str())),
        }),
        lease::What::Pinned { entity, .. } => What::Pinned(EventPin { entity: text(entity.as_str()) }),
        lease::What::Unpinned { entity, .. } => What::Unpinned(EventPin { entity: text(entity.as_str()) }),
        lease::What::Settings { .. } => return None,
    };
    let (namespace, name) = (text(key.namespace.as_str()), text(key.name.as_str()));
    Some(Event { revision: event.revision.0, namespace, name, what })
}

pub(super) fn pin_of((entity, why): (lease::Entity, lease::Reason)) -> Pinned {
    Pinned { entity: entity.as_str().to_owned(), why: why.as_str().to_owned() }
}

pub(super) fn end_of(end: lease::End, at: Reading) -> End {
    let (why, reason) = match end.why {
        Why::Expired => ("expired", None),
        Why::Unconfirmed => ("unconfirmed", None),
        Why::Released => ("released", None),
        Why::Transferred => ("transferred", None),
        Why::Revoked(reason) => ("revoked", Some(reason.as_str().to_owned())),
        Why::Restored => ("restored", None),
    };
    End {
        token: end.token.as_u64(),
        holder: end.holder.as_str().to_owned(),
        why: why.to_owned(),
        reason,
        ago_ms: end.at.until(at.now).as_millis(),
        remained_ms: end.remained.as_millis(),
    }
}
