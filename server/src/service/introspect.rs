//! What the service tells of itself: who it is, how it is, its workers, and Juju's leases as this member has them. Nothing here waits
//! for anybody.

use std::sync::atomic::Ordering;

use replica::Status;

use super::Service;
use crate::introspection::{Engine, LeasesPage, Metrics};

/// Leases of one look into the table, which is locked meanwhile.
const LOOK: usize = 250;

impl Service {
    /// Which member of which cluster this is: the cluster, then the member.
    pub(crate) fn identity(&self) -> (u128, u64) {
        (self.cluster, self.welcome.member)
    }

    /// Whether this member has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How the member is.
    pub(crate) fn status(&self) -> Status {
        self.backend.status()
    }

    /// Whether newcomers are to be let in one by one, because so much is asked by those who are in.
    pub(crate) fn is_pressed(&self) -> bool {
        self.backend.is_pressed()
    }

    /// How the workers are.
    pub(crate) fn engine(&self) -> Engine {
        let status = self.status();
        Engine {
            history: self.workers.look(status.leads),
            is_stopping: self.is_stopping(),
            members: self.backend.members(),
            heard_ago: self.backend.age().heard_ago,
            cluster: self.cluster,
            api_server: Vec::new(),
            status,
        }
    }

    /// The numbers that this member knows; of logins, the door knows.
    pub(crate) fn metrics(&self, logins: Option<u32>) -> Metrics {
        let status = self.status();
        Metrics { history: self.workers.look(status.leads), status, logins }
    }

    /// Takes in whether this member leads, for the history of its workers.
    pub(crate) fn look_at_lead(&self, status: &Status) {
        self.workers.look(status.leads);
    }

    /// The next part of the text of Juju's leases. The table is locked while they are read, and not while they are chosen and written.
    pub(crate) fn leases_page(&self, page: &mut LeasesPage) -> String {
        let (after, mut seen) = (page.after(), None);
        self.backend.look(&mut |table, at| {
            seen = Some((table.list(&lease::Filter::default(), after.as_ref(), LOOK), at.now));
        });
        seen.map(|(views, now)| page.take(&views, views.len() < LOOK, now)).unwrap_or_default()
    }
}
