//! Who is let in, and what is written down of it: what every door and the service ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::audit::{Audit, Entry};
use super::quota::Quotas;
use super::{Caller, Denied, Directory, Principal, Scope, Source, Unknown, Verb, authorize};

/// What stands between a door and the service.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    /// Nobody is asked who they are.
    open: bool,
    /// Who comes with which token.
    pub(crate) directory: Directory,
    audit: Option<Audit>,
    quotas: Quotas,
}

/// Why a caller may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// They are not, or no longer, known.
    Unknown,
    /// They are, and may not do that.
    Denied(Denied),
    /// They may, and not so often: when again.
    TooOften(Duration),
}

impl Doorkeeper {
    /// One that lets everyone in.
    pub(crate) fn open(cluster: u128) -> Doorkeeper {
        let directory = Directory::new(cluster);
        Doorkeeper { open: true, directory, audit: None, quotas: Quotas::default() }
    }

    /// One that asks who comes, to the cluster of that id; or, `open`, one that only writes down what is done.
    pub(crate) fn new(cluster: u128, open: bool, audit: Option<Audit>) -> Doorkeeper {
        Doorkeeper { open, audit, ..Doorkeeper::open(cluster) }
    }

    /// Whether nobody is asked who they are.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Opens the audit log anew.
    pub(crate) fn reopen_audit(&self) {
        self.audit.iter().for_each(Audit::reopen);
    }

    /// Writes down that somebody was not known, and why.
    pub(crate) fn turned_away(&self, peer: Option<SocketAddr>, why: Unknown) {
        if let Some(audit) = &self.audit {
            audit.write(Entry::of_unknown(peer, why));
        }
    }

    /// Whether the caller is still who they were when they were let in.
    pub(crate) fn knows(&self, caller: &Caller) -> bool {
        let generation = self.directory.generation();
        if caller.was_seen_in(generation) {
            return true;
        }
        match self.directory.current(&caller.principal) {
            Ok(()) => {
                caller.see_in(generation);
                true
            }
            Err(why) => {
                self.turned_away(caller.peer, why);
                false
            }
        }
    }

    /// Whether the caller may do `verb` to `scope`, now. Every no is written down.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, caller: &Caller, verb: Verb, scope: Scope<'_>) -> Result<(), Barred> {
        if !self.knows(caller) {
            return Err(Barred::Unknown);
        }
        if let Err(denied) = authorize(&caller.principal, verb, scope) {
            self.write(|| Entry::of(caller, verb, scope).with("denied", None));
            return Err(Barred::Denied(denied));
        }
        if let (Verb::Claim, Principal { source: Source::Token(id), claims_per_second: Some(rate), .. }) =
            (verb, &*caller.principal)
            && let Err(again) = self.quotas.take(*id, *rate, Instant::now())
        {
            self.write(|| Entry::of(caller, verb, scope).with("over quota", None));
            return Err(Barred::TooOften(again));
        }
        Ok(())
    }

    /// The line of an act that is allowed, where it is to be written once it is known what came of it.
    pub(crate) fn note(self: &Arc<Self>, caller: &Caller, verb: Verb, scope: Scope<'_>) -> Option<Note> {
        let noted = self.audit.is_some() && verb.changes() && verb != Verb::Extend;
        noted.then(|| Note { keeper: Arc::clone(self), entry: Entry::of(caller, verb, scope) })
    }

    fn write(&self, entry: impl FnOnce() -> Entry) {
        if let Some(audit) = &self.audit {
            audit.write(entry());
        }
    }
}

/// A line of the audit log that waits for its outcome.
pub(crate) struct Note {
    keeper: Arc<Doorkeeper>,
    entry: Entry,
}

impl Note {
    /// The same, with what is changed.
    pub(crate) fn about(self, what: impl ToString) -> Note {
        Note { entry: self.entry.about(what), ..self }
    }

    /// Writes it.
    pub(crate) fn outcome(self, outcome: &'static str, token: Option<lease::Token>) {
        let Note { keeper, entry } = self;
        keeper.write(|| entry.with(outcome, token));
    }
}
