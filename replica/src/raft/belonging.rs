//! Whether this member still belongs to its cluster: one that was removed is told, and ends.
//!
//! ```text
//!   removed, and does not know it                     another, which has applied the entry that removed it
//!     asks for votes, for its clients, ─────────────▶   looks who calls, and answers `removed`
//!     or, without a leader for 3 s, who leads               │
//!     ends, and says why ◀──────────────────────────────────┘
//! ```
//!
//! Nobody sends a removed member the entry that removes it, so it would go on without a leader for ever. The word of one other is enough,
//! and cannot be stale: it is given from applied entries alone, which are committed and stand, and an id that was removed is never given
//! to anybody again. A cluster that was restored or recovered has another id, and does not talk to this one.

use std::sync::Arc;
use std::time::Duration;

use lease::Ttl;
use openraft::async_runtime::AsyncRuntime;
use openraft_rt::watch::WatchReceiver as _;

use super::{Raft, asks::Ask, frame_of};
use crate::World;
use crate::shared::Shared;

/// How long a member hears no leader before it asks the others.
const ASK_AFTER: Ttl = Ttl::from_millis(3_000);
/// How often one of them is asked, each in its turn.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// This member's place in its cluster.
#[derive(Clone)]
pub(crate) struct Belonging {
    shared: Arc<Shared>,
    cluster: u128,
    member: u64,
}

impl Belonging {
    pub(super) fn new(shared: Arc<Shared>, cluster: u128, member: u64) -> Belonging {
        Belonging { shared, cluster, member }
    }

    /// It was removed: it ends, and says so.
    pub(crate) fn is_over(&self) {
        self.shared.end_because(format!(
            "removed: member {} was removed from cluster {:032x}, and no member has its id again. Remove its data folder; to take part \
             again it comes as a new member, with an id that none has had and an empty folder: `tenure members invite ID`, then `tenure \
             join`",
            self.member, self.cluster
        ));
    }

    /// Whether it has applied the entry that removed it itself.
    fn knows_it_is_over(&self) -> bool {
        self.shared.state().removed.contains(&self.member)
    }
}

impl<W: World> Raft<W> {
    /// Looks from time to time whether this member was removed, until it ends.
    pub(crate) async fn look_whether_removed(self) {
        let began = self.shared.clock.now();
        for turn in 0.. {
            W::Runtime::sleep(ASK_EVERY).await;
            if self.shared.engine_has_ended() || self.shared.is_stopping() {
                return;
            }
            if self.belonging.knows_it_is_over() {
                return self.belonging.is_over();
            }
            let alone_for = self.shared.leader_heard_ago().unwrap_or(self.shared.clock.now().since(began));
            if alone_for < ASK_AFTER || self.leader_here().is_some() {
                continue;
            }
            if let Some((id, address)) = self.another(turn) {
                // Whatever is asked, the answer may be that; and any member of any version answers this.
                drop(self.ask_at(id, &address, frame_of(&Ask::Index), PATIENCE).await);
            }
        }
    }

    /// The other members in turn, and where they are.
    fn another(&self, turn: usize) -> Option<(u64, String)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let others: Vec<_> = membership.nodes().filter(|(id, _)| **id != metrics.id).collect();
        let (id, peer) = others.get(turn.checked_rem(others.len())?)?;
        Some((**id, peer.address.clone()))
    }
}
