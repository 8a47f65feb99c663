//! What the service tells of itself: its workers, and Juju's leases as this member has them. Nothing here waits for anybody.

use crate::introspection::{Engine, LeasesPage};

use super::Service;

/// Leases of one look into the table, which is locked meanwhile.
const LOOK: usize = 250;

impl Service {
    /// How the workers are.
    pub(crate) fn engine(&self) -> Engine {
        let status = self.status();
        Engine {
            history: self.look_at_lead(),
            is_stopping: self.is_stopping(),
            members: self.backend.members(),
            heard_ago: self.backend.age().heard_ago,
            cluster: self.cluster,
            api_server: Vec::new(),
            status,
        }
    }

    /// Takes in whether this member leads, for the history of its workers.
    pub(crate) fn look_at_lead(&self) -> crate::introspection::History {
        self.workers.look(self.status().leads)
    }

    /// The next part of the text of Juju's leases.
    pub(crate) fn leases_page(&self, page: &mut LeasesPage) -> String {
        let (after, mut text) = (page.after(), String::new());
        self.backend.look(&mut |table, at| {
            let views = table.list(&lease::Filter::default(), after.as_ref(), LOOK);
            text = page.take(&views, views.len() < LOOK, at.now);
        });
        text
    }
}
