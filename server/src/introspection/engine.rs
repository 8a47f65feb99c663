//! The engine report: the workers of a member, as Juju's dependency engine tells of them.
//!
//! A member is one process of a few threads, and has no engine that starts and stops workers. What stands for each is what does its
//! work here: `raft` the log and its votes, `raft-leader-flag` whether this member leads, `raft-clusterer` and `raft-forwarder` the
//! leader's changes of members and its taking of what others pass on, `lease-clock-updater` the leader's clock, `lease-manager` the
//! calls of clients, `api-server` the doors.

use std::fmt::{self, Write as _};

use api::YamlText;
use lease::Ttl;
use replica::{MemberView, Status, Unavailable};

use super::workers::History;

const NOT_LEADING: &str = "\"raft-leader-flag\" not set: dependency not available";

/// All that a report is made of.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// How the member is.
    pub(crate) status: Status,
    /// Whether it is stopping.
    pub(crate) is_stopping: bool,
    /// The members, as this one knows them.
    pub(crate) members: Vec<MemberView>,
    /// How long ago it heard a leader; as the leader, a quorum.
    pub(crate) heard_ago: Option<Ttl>,
    /// When its workers started.
    pub(crate) history: History,
    /// The cluster.
    pub(crate) cluster: u128,
    /// What the client port reports, by Juju's keys.
    pub(crate) api_server: Vec<(&'static str, String)>,
}

/// One worker.
struct Worker<'a> {
    name: &'static str,
    inputs: &'static [&'static str],
    error: Option<String>,
    start_count: u64,
    /// None where it is stopped.
    started: Option<&'a str>,
    /// Its own report: lines of YAML at no indentation.
    report: String,
}

impl Engine {
    /// In the order of their names, as YAML has keys.
    fn workers(&self) -> [Worker<'_>; 7] {
        let began = Some(&*self.history.began);
        let always = |name, inputs, error, report| Worker {
            name,
            inputs,
            error,
            start_count: 1,
            started: began,
            report,
        };
        let flag = Worker {
            start_count: 1 + self.history.changes,
            started: Some(&*self.history.changed),
            ..always("raft-leader-flag", &["raft"], None, String::new())
        };
        [
            always("api-server", &["lease-manager"], None, self.api_server_report()),
            self.of_leader("lease-clock-updater"),
            Worker {
                started: began.filter(|_| self.status.serving),
                ..always("lease-manager", &["raft"], self.unserved(), self.manager_report())
            },
            always("raft", &[], self.disk_trouble(), self.raft_report()),
            self.of_leader("raft-clusterer"),
            self.of_leader("raft-forwarder"),
            flag,
        ]
    }

    /// A worker that only a leader runs.
    fn of_leader(&self, name: &'static str) -> Worker<'_> {
        let leads = self.status.leads;
        Worker {
            name,
            inputs: &["raft", "raft-leader-flag"],
            error: (!leads).then(|| NOT_LEADING.to_owned()),
            start_count: self.history.leads,
            started: leads.then_some(&*self.history.changed),
            report: String::new(),
        }
    }

    /// Why the member serves nobody.
    fn unserved(&self) -> Option<String> {
        let why = self.status.trouble.unwrap_or(Unavailable::NoLeader);
        (!self.status.serving).then(|| why.to_string())
    }

    fn disk_trouble(&self) -> Option<String> {
        let of_disk = |why: &Unavailable| matches!(why, Unavailable::DiskFull | Unavailable::DiskStalled);
        self.status.trouble.filter(of_disk).map(|why| why.to_string())
    }

    fn raft_report(&self) -> String {
        let mut text = String::new();
        // A String takes whatever is written to it.
        let _ = self.write_raft(&mut text);
        text
    }

    fn write_raft(&self, text: &mut String) -> fmt::Result {
        let Status { leader, applied, last, .. } = self.status;
        writeln!(text, "cluster-config:\n  servers:{}", if self.members.is_empty() { " {}" } else { "" })?;
        for member in &self.members {
            let suffrage = if member.is_voter { "Voter" } else { "Nonvoter" };
            writeln!(text, "    \"{}\":\n      address: {}", member.id, YamlText(&member.address))?;
            writeln!(text, "      suffrage: {suffrage}")?;
        }
        writeln!(text, "index:\n  applied: {applied}\n  last: {last}")?;
        if let (false, Some(ago)) = (self.status.leads, self.heard_ago) {
            writeln!(text, "last-contact: {}", Ago(ago))?;
        }
        let address = self.members.iter().find(|member| Some(member.id) == leader).map(|it| &*it.address);
        writeln!(text, "leader: {}", YamlText(address.unwrap_or_default()))?;
        writeln!(text, "state: {}", self.raft_state())
    }

    fn raft_state(&self) -> &'static str {
        let Status { member, leads, leader, .. } = self.status;
        let votes = self.members.iter().any(|it| it.id == member && it.is_voter);
        match (self.is_stopping, leads, leader) {
            (true, ..) => "Shutdown",
            (_, true, _) => "Leader",
            // Elected, and not yet at work.
            (_, _, Some(leader)) if leader == member => "Candidate",
            (_, _, None) if votes => "Candidate",
            _ => "Follower",
        }
    }

    /// No expiry is ever outstanding: it is decided in the entry that ends the lease.
    fn manager_report(&self) -> String {
        let uuid = api::juju_uuid(self.cluster);
        let claims = self.status.queued;
        format!("entity-uuid: {uuid}\noutstanding-claims: {claims}\noutstanding-expires: 0\n")
    }

    fn api_server_report(&self) -> String {
        self.api_server.iter().fold(String::new(), |text, (key, value)| format!("{text}{key}: {value}\n"))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dependency Engine Report\n\nmanifolds:\n")?;
        self.workers().iter().try_for_each(|worker| worker.fmt(f))?;
        writeln!(f, "state: {}", if self.is_stopping { "stopping" } else { "started" })
    }
}

impl fmt::Display for Worker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}:", self.name)?;
        if let Some(error) = &self.error {
            writeln!(f, "    error: {}", YamlText(error))?;
        }
        match self.inputs {
            [] => f.write_str("    inputs: []\n")?,
            inputs => {
                f.write_str("    inputs:\n")?;
                inputs.iter().try_for_each(|input| writeln!(f, "    - {input}"))?;
            }
        }
        if !self.report.is_empty() {
            f.write_str("    report:\n")?;
            self.report.lines().try_for_each(|line| writeln!(f, "      {line}"))?;
        }
        if self.start_count > 0 {
            writeln!(f, "    start-count: {}", self.start_count)?;
        }
        match self.started {
            Some(started) => writeln!(f, "    started: {}\n    state: started", YamlText(started)),
            None => f.write_str("    state: stopped\n"),
        }
    }
}

/// How long ago, as people say it.
struct Ago(Ttl);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_millis() / 1_000;
        let (count, unit) = match seconds {
            0 => return f.write_str("now"),
            1..60 => (seconds, "second"),
            60..3_600 => (seconds / 60, "minute"),
            _ => (seconds / 3_600, "hour"),
        };
        write!(f, "{count} {unit}{} ago", if count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
pub(super) mod tests;
