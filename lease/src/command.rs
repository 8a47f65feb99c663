//! What goes into the table: closed enums, so that whoever wants to know what can be asked reads one list.

use crate::{
    Credential, CredentialId, Entity, Holder, Instance, Key, Namespace, NamespaceSettings, Reason, Seq, Time,
    Token, Ttl, Value,
};

/// One entry of the log: what [`crate::Table::apply`] takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The Raft term of the anchor that `stamp` was computed from.
    pub term: u64,
    /// What the leader's lease clock read when the batch was sealed.
    pub stamp: Time,
    /// The most grants, cooldowns and unclaimable keys that this batch's sweep may end.
    pub sweep: u32,
    /// What was asked for, in order.
    pub requests: Vec<Request>,
}

/// A command, and until when it may still take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The lease clock's last reading at which the command may take effect. A client's always has one.
    pub not_after: Option<Time>,
    /// What to do.
    pub command: Command,
}

/// What can be done to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take a free key, or extend what this holder and instance hold there already.
    Claim(Claim),
    /// Grant a free key to a waiter. Only the leader makes it.
    Succeed(Succeed),
    /// Move a grant's deadline.
    Extend {
        /// Which grant.
        token: Token,
        /// The new deadline is at least this long from now.
        ttl: Ttl,
    },
    /// End a grant at its holder's word.
    Release {
        /// Which grant.
        token: Token,
    },
    /// End a grant and grant to another in one step.
    Transfer {
        /// Which grant.
        token: Token,
        /// To whom.
        to: Heir,
    },
    /// Take a grant away: it may not be extended, and is free at its deadline, or at once.
    Revoke {
        /// Which grant.
        token: Token,
        /// The operator's reason.
        why: Reason,
        /// When it ends.
        when: RevokeWhen,
        /// Who is granted the key when the grant ends.
        heir: Option<Heir>,
    },
    /// Keep whoever holds the key from expiring. Idempotent.
    Pin {
        /// Which key; it need not be held.
        key: Key,
        /// Who pins.
        entity: Entity,
        /// The operator's reason.
        why: Reason,
    },
    /// Take a pin away. Idempotent.
    Unpin {
        /// Which key.
        key: Key,
        /// Whose pin.
        entity: Entity,
    },
    /// Change the settings, if they are still at `version`.
    Set {
        /// The version that the change was made against.
        version: u64,
        /// The changes, all or none.
        changes: Vec<Change>,
    },
}

/// A holder asks for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which key.
    pub key: Key,
    /// For whom.
    pub holder: Holder,
    /// Which life of that holder.
    pub instance: Instance,
    /// Raised for each claim of this instance that is not a retry.
    pub seq: Seq,
    /// How long.
    pub ttl: Ttl,
    /// What readers shall see; none leaves a present value as it is.
    pub value: Option<Value>,
}

/// The leader grants a key to the waiter whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succeed {
    /// Which key.
    pub key: Key,
    /// To whom.
    pub to: Heir,
}

/// To whom a grant goes at a time that it could not know: it must confirm by an extend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heir {
    /// The holder.
    pub holder: Holder,
    /// Which life of it; zero is *forced*, and taken over by the holder's first claim.
    pub instance: Instance,
    /// How long, from its first extend.
    pub ttl: Ttl,
    /// How long it may take to confirm.
    pub confirm: Ttl,
}

/// When a revoked grant ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeWhen {
    /// At its deadline, whether pinned or not, or when its holder releases it: nobody believes wrongly.
    AtDeadline,
    /// At once, though its holder may still believe: an operator's choice, and a named exception.
    Now,
}

/// One change of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Let newer kinds of command in.
    ClusterVersion(u32),
    /// What a namespace allows; none takes its settings back to the defaults.
    Namespace(Namespace, Option<NamespaceSettings>),
    /// Who may come by a credential; none forgets it.
    Credential(CredentialId, Option<Credential>),
}
