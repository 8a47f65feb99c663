//! What came of a call, before it is worded.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Problem, Reply, Stale};
use lease::{
    Credential, CredentialId, End, GrantView, Key, LeaseView, Namespace, NamespaceSettings, Refusal,
    Revision, Token,
};
use replica::{Answer, Reading, Unavailable, Unwatchable, Waited};

use super::backend::Changed;
use super::members::Around;
use crate::identity::Caller;

/// What came of a call. Made on the replica's thread, turned into a [`Reply`] by [`Done::reply`] on the door's.
pub(crate) enum Done {
    /// It was known at once.
    Reply(Reply),
    /// A command or an acquire was answered.
    Answered {
        /// What was asked for.
        asked: Asked,
        /// What the replica said.
        answer: Answer,
    },
    /// A lease was read; none where neither table nor history knows it.
    Lease {
        /// Which.
        key: Key,
        /// What is known of it.
        view: Option<Box<LeaseView>>,
        /// The state that was read.
        at: Reading,
    },
    /// Leases were listed, one more than `limit` where there are more.
    Page {
        /// What was found.
        views: Vec<LeaseView>,
        /// How many the page shows.
        limit: usize,
        /// The state that was read.
        at: Reading,
    },
    /// Leases were counted.
    Counted {
        /// How many are held.
        held: u64,
        /// The state that was read.
        at: Reading,
    },
    /// Ends were read from history.
    Ends {
        /// The newest first.
        ends: Vec<(Key, End)>,
        /// The state that was read.
        at: Reading,
    },
    /// A token was looked up.
    Checked {
        /// What was asked for.
        asked: Asked,
        /// Its living grant, or why it has none.
        found: Result<Box<GrantView>, Unfit>,
        /// The state that was read.
        at: Reading,
    },
    /// A stale read: from whose state, and what was found.
    Stale(Stale, Box<Done>),
    /// The members were looked at, or changed.
    Members(Changed, Around),
    /// The credentials were looked at, or changed.
    Tokens(Arc<BTreeMap<CredentialId, Credential>>),
    /// What namespaces allow was looked at, or changed.
    Namespaces(BTreeMap<Namespace, NamespaceSettings>),
    /// A watch began, or could not.
    Watching(Result<Revision, Unwatchable>),
    /// A wait ended.
    Waited(Waited),
    /// A read could not be made.
    Unavailable(Unavailable),
    /// Every step of a bulk call was answered, in order.
    Bulk(Vec<Done>),
}

impl Done {
    /// The call is answered with a problem.
    pub(crate) fn refused(problem: Problem) -> Done {
        Done::Reply(Reply::Error(problem))
    }
}

/// Why a token is not that of a lease's living grant.
pub(crate) enum Unfit {
    /// It is, or was, another lease's.
    AnotherLeases(Token),
    /// Its grant has ended, or it never had one here.
    Refused(Refusal),
}

/// What a call asked for, as far as its answer repeats it.
pub(crate) struct Asked {
    /// The lease's namespace.
    pub(crate) namespace: String,
    /// The lease's name.
    pub(crate) name: String,
    /// What to do.
    pub(crate) verb: Verb,
    /// Whether there are leases that the caller may not see: then nothing is told of any but the one that is asked for.
    pub(crate) is_narrow: bool,
}

impl Asked {
    /// Of a caller who may see everything.
    pub(super) fn of(namespace: String, name: String, verb: Verb) -> Asked {
        Asked { namespace, name, verb, is_narrow: false }
    }

    /// The same, of this caller.
    pub(super) fn seen_by(self, caller: &Caller) -> Asked {
        Asked { is_narrow: caller.principal.is_narrow(), ..self }
    }
}

/// What to do to a lease.
#[derive(Clone, Copy)]
pub(crate) enum Verb {
    /// Take it.
    Claim,
    /// Keep this grant of it.
    Extend(Token),
    /// End this grant of it.
    Release(Token),
    /// Hand this grant of it on.
    Transfer(Token),
    /// Take this grant of it away.
    Revoke(Token),
    /// Ask whether this is its grant.
    Check(Token),
    /// Pin it.
    Pin,
    /// Take a pin of it away.
    Unpin,
}

impl Verb {
    /// The token that it names its grant by.
    pub(crate) fn token(self) -> Option<Token> {
        match self {
            Verb::Extend(token)
            | Verb::Release(token)
            | Verb::Transfer(token)
            | Verb::Revoke(token)
            | Verb::Check(token) => Some(token),
            Verb::Claim | Verb::Pin | Verb::Unpin => None,
        }
    }
}
