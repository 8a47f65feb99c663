//! How many clients are let in: a count, and a permit that each connection carries for as long as its socket is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::Notify;

/// File descriptors that clients leave to the log, the snapshots, peers and the process itself.
const RESERVED_FILES: usize = 256;

/// The door's count of connections.
pub(crate) struct Gate {
    limit: usize,
    inside: AtomicUsize,
    emptied: Notify,
}

/// A connection's place. Dropped with its socket.
pub(crate) struct Permit {
    gate: Arc<Gate>,
}

impl Gate {
    /// A gate for `limit` connections at a time.
    pub(crate) fn new(limit: usize) -> Arc<Gate> {
        Arc::new(Gate { limit, inside: AtomicUsize::new(0), emptied: Notify::new() })
    }

    /// A place for one more, if there is one.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Arc<Permit>> {
        let room = |inside| (inside < self.limit).then_some(inside + 1);
        self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(Arc::new(Permit { gate: Arc::clone(self) }))
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many there are.
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::Acquire)
    }

    /// Once there is none.
    pub(crate) async fn empty(&self) {
        loop {
            // Asked for before the look, so that one that leaves in between is not missed.
            let emptied = self.emptied.notified();
            if self.inside() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.gate.inside.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.emptied.notify_waiters();
        }
    }
}

/// Asks for as many file descriptors as this process may have, and says how many clients fit in them: at most `wanted`.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let fits = match raise_files() {
        Ok(files) => usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(RESERVED_FILES).max(1),
        Err(error) => {
            tracing::warn!(%error, "the limit on open files could not be read or raised");
            wanted
        }
    };
    if fits < wanted {
        tracing::warn!(
            wanted,
            fits,
            "fewer connections fit than are configured: raise the limit on open files (nofile)"
        );
    }
    wanted.min(fits)
}

fn raise_files() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_in_as_many_as_it_may_and_again_when_one_leaves() {
        let gate = Gate::new(2);
        let first = gate.enter().unwrap();
        let _second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        // A session that came of a connection shares its place.
        let shared = Arc::clone(&first);
        drop(first);
        assert!(gate.enter().is_none());
        drop(shared);
        assert!(gate.enter().is_some());
        assert_eq!(gate.inside(), 1);
    }
}
