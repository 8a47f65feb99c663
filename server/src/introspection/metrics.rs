//! How a member is, as numbers for Prometheus: those that it knows anyway, read when they are asked for.
//!
//! Where Juju counts the same, the name is Juju's; what only we have begins with `tenure_`. Nothing here has a label of a lease's or a
//! holder's name: the number of series does not grow with what is held.

use std::fmt;

use replica::Status;

use super::workers::History;

/// All that is told.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// How the member is.
    pub(crate) status: Status,
    /// How often its part changed.
    pub(crate) history: History,
    /// Logins of Juju's agents that are under way, where the door is open.
    pub(crate) logins: Option<u32>,
}

/// Whether a number can fall.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Metrics {
    fn series(&self) -> Vec<(&'static str, Kind, f64, &'static str)> {
        let Metrics { status, history, logins } = self;
        let whole = |count: u64| count as f64;
        let seconds = |ttl: lease::Ttl| ttl.as_nanos() as f64 / 1e9;
        let yes = |is: bool| f64::from(u8::from(is));
        let follows = history.changes - history.leads;
        let mut all = vec![
            (
                "juju_raft_state_follower",
                Kind::Counter,
                whole(follows + 1),
                "Times that this member began to follow, the start among them.",
            ),
            (
                "juju_raft_state_leader",
                Kind::Counter,
                whole(history.leads),
                "Times that this member took the lead.",
            ),
            ("tenure_acquires", Kind::Gauge, whole(status.acquires), "Acquires that are not answered."),
            (
                "tenure_commands_queued",
                Kind::Gauge,
                whole(status.queued),
                "Commands that are in no batch yet.",
            ),
            (
                "tenure_lease_clock_skipped_seconds",
                Kind::Counter,
                seconds(status.lease_clock_skipped),
                "Lease time that was not counted, because of stalls.",
            ),
            ("tenure_leases_held", Kind::Gauge, whole(status.held), "Leases that are held."),
            (
                "tenure_raft_applied_index",
                Kind::Counter,
                whole(status.applied),
                "The last entry that is applied here.",
            ),
            ("tenure_raft_last_index", Kind::Gauge, whole(status.last), "The last entry of the log here."),
            ("tenure_raft_leads", Kind::Gauge, yes(status.leads), "Whether this member leads."),
            ("tenure_raft_term", Kind::Counter, whole(status.term), "The term."),
            (
                "tenure_reads",
                Kind::Counter,
                whole(status.reads),
                "Reads that took a word of the leader's, since the start.",
            ),
            ("tenure_serving", Kind::Gauge, yes(status.serving), "Whether this member serves."),
            (
                "tenure_unsynced_seconds",
                Kind::Gauge,
                seconds(status.unsynced_for),
                "How long the oldest record waits for its sync.",
            ),
            ("tenure_waits", Kind::Gauge, whole(status.waits), "Waits that are not answered."),
            ("tenure_watches", Kind::Gauge, whole(status.watches), "Watches that go on."),
        ];
        if let Some(logins) = logins {
            let help = "Logins of Juju's agents that are under way.";
            all.insert(0, ("juju_apiserver_active_login_attempts", Kind::Gauge, f64::from(*logins), help));
        }
        all
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.series().iter().try_for_each(|(name, kind, value, help)| {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
        })
    }
}

#[cfg(test)]
mod tests {
    use lease::Ttl;
    use replica::Status;

    use super::super::engine::tests::assert_golden;
    use super::super::workers::Workers;
    use super::Metrics;

    #[test]
    fn each_number_has_its_name_its_kind_and_its_meaning() {
        let workers = Workers::new();
        workers.look(true);
        workers.look(false);
        let history = workers.look(true);
        let status = Status {
            term: 3,
            applied: 1_000_000,
            last: 1_000_002,
            leads: true,
            serving: true,
            held: 16_000,
            reads: 41,
            unsynced_for: Ttl::from_millis(4),
            lease_clock_skipped: Ttl::from_millis(1_500),
            ..Status::default()
        };
        let metrics = Metrics { status, history, logins: Some(7) };
        assert_golden("metrics.txt", &metrics.to_string());
        assert!(!Metrics { logins: None, ..metrics }.to_string().contains("apiserver"));
    }
}
