//! `juju export`: every page of every lease, those of Juju's taken out, and printed as its raft would keep them.

use std::time::Duration;

use api::{Lease, List};
use claimer::juju::snapshot::Snapshot;
use client::Session;

use crate::connect::{Reached, runtime};
use crate::exit::{Exit, Failure};
use crate::output::write_out;

/// Leases of one page: the server's limit.
const PAGE: u64 = api::rules::PAGE_LEASES_MAX as u64;

pub(super) fn export(reached: &Reached) -> Result<Exit, Failure> {
    let mut snapshot = Snapshot::empty();
    runtime()?.block_on(async {
        let session = reached.way.connect().await?;
        let mut after = None;
        loop {
            let page = page(&session, after).await?;
            page.leases.iter().for_each(|lease| take(&mut snapshot, lease));
            after = page.next;
            if after.is_none() {
                return Ok::<_, Failure>(());
            }
        }
    })?;
    write_out(snapshot.to_string().as_bytes())?;
    Ok(Exit::Done)
}

async fn page(session: &Session, after: Option<String>) -> Result<api::Page, Failure> {
    let call = List { limit: Some(PAGE), after, ..List::default() };
    Ok(session.list(call).await.into_result()?)
}

fn take(snapshot: &mut Snapshot, lease: &Lease) {
    let millis = Duration::from_millis;
    let held = lease.held.as_ref();
    let held = held.map(|held| (held.holder.as_str(), millis(held.ttl_ms), millis(held.remaining_ms)));
    let pins = lease.pins.iter().map(|pin| pin.entity.clone()).collect();
    snapshot.export(&lease.namespace, &lease.name, held, pins);
}
