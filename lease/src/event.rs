//! What changed, for whoever watches or waits: one event a change, in order, each with its revision.

use crate::{End, Entity, Holder, Key, Outcome, Reason, Revision, Token, Value};

/// What changed, for watches and waits. Extends are no events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub revision: Revision,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A new grant.
    Granted {
        /// On which key.
        key: Key,
        /// To whom.
        holder: Holder,
        /// Under which token.
        token: Token,
        /// Whether its holder may believe yet.
        confirmed: bool,
        /// What its readers see.
        value: Option<Value>,
    },
    /// An unconfirmed grant's first extend, or a forced one taken over by its holder.
    Confirmed {
        /// On which key.
        key: Key,
        /// Which grant.
        token: Token,
    },
    /// The holder changed what readers see.
    Valued {
        /// On which key.
        key: Key,
        /// Which grant.
        token: Token,
        /// What its readers see.
        value: Value,
    },
    /// A grant's end.
    Ended {
        /// On which key.
        key: Key,
        /// Which grant, of whom, how and when.
        end: End,
    },
    /// A grant was revoked and ends at its deadline.
    Ending {
        /// On which key.
        key: Key,
        /// Which grant.
        token: Token,
        /// The operator's reason.
        why: Reason,
        /// Who is granted the lease then, where a revoke named one.
        heir: Option<Holder>,
    },
    /// A new pin.
    Pinned {
        /// On which key.
        key: Key,
        /// Whose.
        entity: Entity,
    },
    /// A pin was taken away.
    Unpinned {
        /// On which key.
        key: Key,
        /// Whose.
        entity: Entity,
    },
    /// The settings changed.
    Settings {
        /// Their new version.
        version: u64,
    },
}

impl What {
    /// The lease that it is about; none where it is about the settings.
    pub fn key(&self) -> Option<&Key> {
        match self {
            What::Granted { key, .. }
            | What::Confirmed { key, .. }
            | What::Valued { key, .. }
            | What::Ended { key, .. }
            | What::Ending { key, .. }
            | What::Pinned { key, .. }
            | What::Unpinned { key, .. } => Some(key),
            What::Settings { .. } => None,
        }
    }
}

/// What one batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// One outcome for each request, in order.
    pub outcomes: Vec<Outcome>,
    /// What changed, in order.
    pub events: Vec<Event>,
    /// Keys that were not claimable by everyone before the batch and are after it: freed and not granted
    /// on, or their cooldown is over. In order, each once.
    pub freed: Vec<Key>,
}
