//! `juju import`: pins first, so that a lease with little left does not end before its pin is there; then claims, many to a frame.
//!
//! Tokens come from the cluster's own counter. A claim's number among those of its holder is above every number that the cluster can
//! have seen of it: the Juju door counts by ones, each time a lease has ended, and every end is an event of the revision that is read
//! here first.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use api::{Call, Claim, Count, JUJU_INSTANCE, Pin, Reply, Step};
use claimer::juju::snapshot::{Import, SNAPSHOT_BYTES_MAX, Snapshot, Wanted};
use client::Session;
use serde::Serialize;

use crate::connect::{Reached, misfit, runtime};
use crate::exit::{Exit, Failure, escaped, quoted};
use crate::output::{print, say};

/// Claims of one frame.
const FRAME: usize = 1_000;
/// Why a lease is pinned that was pinned in Juju, where no reason is kept.
const WHY: &str = "imported from Juju";
const TITLES: &[&str] = &["CLAIMED", "PINS", "OVER", "REFUSED"];

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Done {
    claimed: usize,
    pins: usize,
    over: usize,
    refused: usize,
}

pub(super) fn import(file: &Path, reached: &Reached) -> Result<Exit, Failure> {
    let import = read(file)?.import();
    let done = runtime()?.block_on(async {
        let session = reached.way.connect().await?;
        ask(&session, reached, &import).await
    });
    let done = done.map_err(|mut failure| {
        failure
            .message
            .push_str("; part of the snapshot may be there already: import it again, which is no harm");
        failure
    })?;
    let row = [done.claimed, done.pins, done.over, done.refused].map(|count| count.to_string());
    print(reached.json.format(), TITLES, &[row.to_vec()], &done)?;
    Ok(if done.refused == 0 { Exit::Done } else { Exit::Refused })
}

fn read(file: &Path) -> Result<Snapshot, Failure> {
    let shown = quoted(&file.display().to_string());
    let text = match file.as_os_str() == "-" {
        true => bounded(io::stdin().lock()),
        false => File::open(file).and_then(bounded),
    };
    let text = text.map_err(|error| {
        Failure::usage(format!("{shown} cannot be read: {error}; name the state.bin of a snapshot"))
    })?;
    Snapshot::read(&text).map_err(|error| {
        Failure::usage(format!(
            "{shown}: {error}; a snapshot of Juju's raft is YAML of version 1, in the file state.bin; nothing was imported"
        ))
    })
}

fn bounded(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than may be there, so that a file of more is told from one of just as much.
    from.take(SNAPSHOT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

async fn ask(session: &Session, reached: &Reached, import: &Import) -> Result<Done, Failure> {
    let mut done = Done { over: import.over, ..Done::default() };
    let patience = reached.way.patience;
    for wanted in &import.wanted {
        for entity in &wanted.pins {
            let pinned = session.call(Call::Pin(pin(wanted, entity)), patience).await;
            done.pins += usize::from(settle(wanted, pinned.map_err(Failure::from), &mut done.refused)?);
        }
    }
    let revision = match session.call(Call::Count(Count::default()), patience).await? {
        Reply::Counted(counted) => counted.revision,
        _ => return Err(misfit()),
    };
    let held: Vec<&Wanted> = import.wanted.iter().filter(|wanted| wanted.held.is_some()).collect();
    for frame in held.chunks(FRAME) {
        let steps = frame.iter().filter_map(|wanted| claim(wanted, revision + 1)).map(Step::Claim).collect();
        let Reply::Bulk(replies) = session.call(Call::Bulk(steps), patience).await? else {
            return Err(misfit());
        };
        if replies.len() != frame.len() {
            return Err(misfit());
        }
        for (wanted, reply) in frame.iter().zip(replies) {
            done.claimed += usize::from(settle(wanted, Ok(reply), &mut done.refused)?);
        }
    }
    Ok(done)
}

/// Whether a step was done; one that was refused is counted and said, and what is neither ends the import.
fn settle(wanted: &Wanted, reply: Result<Reply, Failure>, refused: &mut usize) -> Result<bool, Failure> {
    let failure = match reply {
        Ok(Reply::Error(problem)) => Failure::from(problem),
        Ok(_) => return Ok(true),
        Err(failure) => failure,
    };
    if failure.exit != Exit::Refused || failure.code == "forbidden" {
        return Err(failure);
    }
    *refused += 1;
    say(format!("{} of {}: {}", quoted(&wanted.name), wanted.namespace, escaped(&failure.message)));
    Ok(false)
}

fn pin(wanted: &Wanted, entity: &str) -> Pin {
    Pin {
        namespace: wanted.namespace.clone(),
        name: wanted.name.clone(),
        entity: entity.to_owned(),
        why: WHY.to_owned(),
        deadline_ms: None,
    }
}

fn claim(wanted: &Wanted, seq: u64) -> Option<Claim> {
    let (holder, remaining) = wanted.held.clone()?;
    Some(Claim {
        namespace: wanted.namespace.clone(),
        name: wanted.name.clone(),
        holder,
        instance: Some(JUJU_INSTANCE),
        seq: Some(seq),
        ttl_ms: u64::try_from(remaining.as_millis()).ok(),
        ..Claim::default()
    })
}
