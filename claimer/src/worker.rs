//! One process's holders, all on one thread: each has a connection and a task of its own.
//!
//! One thread is enough and costs least: between two calls a holder sleeps, and the server needs the other core.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::Sender;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::LocalSet;

use crate::clock;
use crate::crew::Message;
use crate::holder::{Holder, Room};
use crate::target::{Seat, Target};
use crate::workload::{DESCRIPTORS_SPARE, Share, lease_of};

/// Connections that a process opens at once. More would only queue at the server, and would be measured as slow.
const CONNECTING_MAX: usize = 32;

/// Lets the holders of `share` live until `stop` fires or its sender is dropped.
///
/// # Errors
/// Where the process may not open enough descriptors, or has no runtime.
pub(crate) fn work<T: Target>(
    share: &Share,
    target: T,
    out: Sender<Message>,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    raise_descriptors(share.holders.len())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let room = Rc::new(Room {
        target,
        pace: share.pace,
        connecting: Semaphore::new(CONNECTING_MAX),
        now: clock::now,
        // A recorder that is gone has all that it wanted.
        sink: Box::new(move |event| drop(out.send(Message::Saw(event)))),
        pid: std::process::id(),
        opened: Cell::new(0),
    });
    let holders = LocalSet::new();
    runtime.block_on(holders.run_until(async {
        tokio::select! {
            () = begin_lives(share, &room) => {}
            _ = stop => {}
        }
    }));
    Ok(())
}

/// Begins the holders' lives in their order, each at its time, and then only keeps them going.
async fn begin_lives<T: Target>(share: &Share, room: &Rc<Room<T>>) {
    for (number, holder) in &share.holders {
        let wait = share.connects_at(*number).since(clock::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        tokio::task::spawn_local(Holder::new(seat(share, *number, holder), room.clone()).live());
    }
    std::future::pending().await
}

fn seat(share: &Share, number: u32, holder: &str) -> Seat {
    let endpoint = share.endpoints[number as usize % share.endpoints.len()].clone();
    Seat {
        number,
        holder: holder.to_owned(),
        lease: lease_of(holder).to_owned(),
        endpoint,
        ttl_ms: share.pace.ttl_ms(),
    }
}

/// Raises the soft limit of open descriptors to the hard one, and checks that the holders fit.
pub(crate) fn raise_descriptors(holders: usize) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    let needed = holders + DESCRIPTORS_SPARE;
    match u64::try_from(needed).unwrap_or(u64::MAX) <= hard {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "{holders} connections in one process need {needed} open files, and the limit is {hard}; \
             raise it with ulimit -n, or use more --processes"
        ))),
    }
}
