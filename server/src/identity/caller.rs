//! Who calls, on one connection or in one request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lease::{Holder, Role};

use super::Principal;
use super::seats::Seat;

/// Who calls. A session keeps it for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Who they are.
    pub(crate) principal: Arc<Principal>,
    /// From where.
    pub(crate) peer: Option<SocketAddr>,
    /// What they have waiting here, over all their connections; none where that is not counted.
    pub(super) seat: Option<Arc<Seat>>,
    /// The directory's generation in which they were last found to be who they are.
    seen: AtomicU64,
}

/// No directory has come so far.
const NEVER: u64 = u64::MAX;

impl Caller {
    /// Somebody of whom nothing that waits is counted: whom the doorkeeper has not let in, or takes for anyone.
    pub(crate) fn new(principal: Arc<Principal>, peer: Option<SocketAddr>) -> Caller {
        Caller { principal, peer, seat: None, seen: AtomicU64::new(NEVER) }
    }

    /// The same, at a seat of theirs.
    pub(super) fn seated(self, seat: Option<Arc<Seat>>) -> Caller {
        Caller { seat, ..self }
    }

    /// Whoever comes where nobody is asked.
    #[cfg(test)]
    pub(crate) fn anyone() -> Arc<Caller> {
        Arc::new(Caller::new(Principal::anyone(), None))
    }

    /// The only holder that they may act for; none where they may for any.
    pub(crate) fn only(&self) -> Option<Holder> {
        let is_unit = self.principal.role == Role::Unit;
        is_unit.then(|| Holder::parse(&self.principal.name).ok()).flatten()
    }

    /// Whether they were seen in this generation.
    pub(super) fn was_seen_in(&self, generation: u64) -> bool {
        self.seen.load(Ordering::Relaxed) == generation
    }

    pub(super) fn see_in(&self, generation: u64) {
        self.seen.store(generation, Ordering::Relaxed);
    }
}
