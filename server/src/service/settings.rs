//! Changes of the settings that all members agree on: of tokens, and of what namespaces allow.
//!
//! ```text
//! read the settings ─▶ every member knows them? ─▶ set, against the version that was read ─▶ read them again: answer
//!        ▲             (asked before the first        │ somebody was faster
//!        │              of a newer cluster version)   │
//!        └────────────────────────────────────────────┘
//! ```

use std::sync::Arc;

use api::{Code, Problem};
use lease::{Change, Command, Outcome, Refusal, Settings, Ttl};
use replica::{Answer, HeirMust, MemberChange, Proposal, Read, Unchanged};

use super::{Backend, Done, word};

/// So often a change that others came before is made anew.
const TRIES: u32 = 8;

/// Told what came of it.
pub(crate) type Sink = Box<dyn FnOnce(Done) + Send>;
/// The changes that it takes, as the settings stand; none where it is so already.
type Changes = Box<dyn Fn(&Settings) -> Result<Option<Vec<Change>>, Problem> + Send>;
/// What is shown of the settings.
type Shown = fn(&Settings) -> Done;

/// A change under way.
pub(super) struct Changing {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) changes: Changes,
    /// From which cluster version on every member reads such a change.
    pub(super) since: u32,
    pub(super) shown: Shown,
    pub(super) deadline: Ttl,
    pub(super) sink: Sink,
}

impl Changing {
    /// Makes the change, and shows the settings after it.
    pub(super) fn begin(self) {
        self.read(TRIES);
    }

    fn read(self, tries: u32) {
        let (backend, deadline) = (Arc::clone(&self.backend), self.deadline);
        let reply = Box::new(move |table: Result<(&lease::Table, _), _>| match table {
            Ok((table, _)) => {
                let settings = table.settings();
                let (version, known) = (settings.version, settings.cluster_version >= self.since);
                match (self.changes)(settings) {
                    Ok(Some(changes)) if known => self.set(version, changes, tries),
                    Ok(Some(changes)) => self.ask(version, changes, tries),
                    // Read behind a barrier: nothing newer could be shown.
                    Ok(None) => (self.sink)((self.shown)(settings)),
                    Err(problem) => (self.sink)(Done::refused(problem)),
                }
            }
            Err(why) => (self.sink)(Done::Unavailable(why)),
        });
        backend.read(Read { stale: false, deadline, reply });
    }

    fn ask(self, version: u64, mut changes: Vec<Change>, tries: u32) {
        let (backend, deadline, since) = (Arc::clone(&self.backend), self.deadline, self.since);
        let reply = Box::new(move |all: Result<_, Unchanged>| match all {
            Ok(_) => {
                changes.insert(0, Change::ClusterVersion(since));
                self.set(version, changes, tries);
            }
            Err(Unchanged::Refused(why)) => (self.sink)(Done::refused(Problem::new(Code::Members, why))),
            Err(Unchanged::NoLeader) => (self.sink)(Done::Unavailable(replica::Unavailable::NoLeader)),
            Err(Unchanged::Unknown) => {
                let message = "the leader does not say whether every member reads this change: see that all are of this member's version, \
                               and ask again; nothing was changed";
                (self.sink)(Done::refused(Problem::new(Code::Members, message)));
            }
        });
        backend.change_members(MemberChange::Knows(since), deadline, reply);
    }

    fn set(self, version: u64, changes: Vec<Change>, tries: u32) {
        let (backend, deadline) = (Arc::clone(&self.backend), self.deadline);
        let reply = Box::new(move |answer| match answer {
            Answer::Decided { outcome: Outcome::Set { .. }, .. } => {
                let (shown, sink) = (self.shown, self.sink);
                // It is done, and must not be said not to be: who hears "unknown" looks, or asks again.
                let reply = Box::new(move |table: Result<(&lease::Table, _), _>| match table {
                    Ok((table, _)) => sink(shown(table.settings())),
                    Err(_) => sink(Done::refused(word::unknown())),
                });
                self.backend.read(Read { stale: false, deadline: self.deadline, reply });
            }
            Answer::Decided { outcome: Outcome::Refused(Refusal::Version { .. }), .. } if tries > 1 => {
                self.read(tries - 1);
            }
            Answer::Decided { outcome: Outcome::Refused(Refusal::Settings(why)), .. } => {
                (self.sink)(Done::refused(Problem::new(Code::BadRequest, why)));
            }
            Answer::Unavailable(why) | Answer::NotBegun(why) => (self.sink)(Done::Unavailable(why)),
            Answer::Decided { .. } => (self.sink)(Done::refused(Problem::new(
                Code::Version,
                "the settings are changed by others all the time: try again",
            ))),
            _ => (self.sink)(Done::refused(word::unknown())),
        });
        let command = Command::Set { version, changes };
        backend.propose(Proposal { command, named: None, heir: HeirMust::Wait, deadline, reply });
    }
}

/// Answers with the settings, as they are when everything that was answered before is in them.
pub(super) fn show(backend: &Arc<dyn Backend>, shown: Shown, deadline: Ttl, sink: Sink) {
    let reply = Box::new(move |table: Result<(&lease::Table, _), _>| match table {
        Ok((table, _)) => sink(shown(table.settings())),
        Err(why) => sink(Done::Unavailable(why)),
    });
    backend.read(Read { stale: false, deadline, reply });
}
