//! One tenure of one lease, in its holder's hands.

use std::sync::Arc;
use std::time::Duration;

use crate::cell::Cell;
use crate::{Clock, Instant};

/// A grant that this session won. Clones are the same grant: one belief, which ends for all of them at once.
///
/// Dropping a grant does not release it: it then ends at its ttl, and until belief in it has ended the session
/// refuses another claim on its lease.
#[derive(Clone)]
pub struct Grant {
    namespace: Arc<str>,
    name: Arc<str>,
    token: u64,
    ttl: Duration,
    extend_after: Duration,
    pub(crate) cell: Arc<Cell>,
    clock: Arc<dyn Clock>,
}

impl Grant {
    pub(crate) fn new(grant: api::Grant, cell: Arc<Cell>, clock: Arc<dyn Clock>) -> Grant {
        Grant {
            namespace: grant.namespace.into(),
            name: grant.name.into(),
            token: grant.token,
            ttl: Duration::from_millis(grant.ttl_ms),
            extend_after: Duration::from_millis(grant.extend_after_ms),
            cell,
            clock,
        }
    }

    /// The lease's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What names this grant and fences with it: give it to every resource that the lease protects.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// How long the grant lasts from its last claim or extend.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// When to extend, counted from the reply that this grant came with.
    pub fn extend_after(&self) -> Duration {
        self.extend_after
    }

    /// Whether its holder may act as such at this instant. A process can be paused right after the answer: what
    /// must never be done twice checks the token too.
    pub fn is_held(&self) -> bool {
        self.safe_until().is_some_and(|end| self.clock.now() < end)
    }

    /// Until when the holder may believe, on the session's clock; none where it may not.
    pub fn safe_until(&self) -> Option<Instant> {
        self.cell.safe_until()
    }

    /// How much longer the holder may believe: zero where it may not.
    pub fn remaining(&self) -> Duration {
        self.safe_until().map_or(Duration::ZERO, |end| self.clock.now().until(end))
    }

    /// Whether belief has ended for good: a release was sent, the cluster said that the grant ended, or the session has a later
    /// grant of the lease. A grant that merely ran out while nothing was heard is not over: the cluster may not have counted
    /// that time, and an extend, or another claim, that is answered with it is belief again.
    pub fn is_over(&self) -> bool {
        self.cell.is_over()
    }
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grant({}:{} token {})", self.namespace, self.name, self.token)
    }
}
