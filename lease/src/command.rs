//! What goes into the table and what comes out of it: closed enums, so that whoever wants to know what
//! can happen reads one list.

use crate::{Entity, Holder, Instance, Key, Namespace, Reason, Revision, Seq, Time, Token, Ttl, Value};

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
}

/// What a namespace allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceSettings {
    /// The shortest ttl.
    pub ttl_min: Ttl,
    /// The longest ttl.
    pub ttl_max: Ttl,
    /// How long after an expiry only the same holder may claim.
    pub cooldown: Ttl,
    /// The most leases; free names with pins and cooldowns count.
    pub leases_max: u64,
    /// The most ends kept in history.
    pub history_max: u32,
}

impl Default for NamespaceSettings {
    fn default() -> NamespaceSettings {
        NamespaceSettings {
            ttl_min: crate::TTL_MIN_DEFAULT,
            ttl_max: crate::TTL_MAX,
            cooldown: Ttl::ZERO,
            leases_max: crate::LEASES_MAX_DEFAULT,
            history_max: crate::HISTORY_MAX as u32,
        }
    }
}

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new grant, or the present one of this holder and instance: of claim, succeed and transfer.
    Granted(Granted),
    /// The grant's deadline stands at least its ttl from now: of extend.
    Extended(Granted),
    /// The grant has ended: of release, and of revoke now.
    Released {
        /// Which grant ended.
        token: Token,
    },
    /// The grant may not be extended and ends at its deadline: of revoke.
    Ending {
        /// Which grant.
        token: Token,
        /// When it ends at the latest.
        deadline: Time,
    },
    /// It is so: of pin and unpin.
    Done,
    /// The settings' new version: of set.
    Set {
        /// The version that now stands.
        version: u64,
    },
    /// Agreed by all replicas: no.
    Refused(Refusal),
}

/// A grant as its holder is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its token.
    pub token: Token,
    /// Its ttl.
    pub ttl: Ttl,
    /// When it ends, on the lease clock.
    pub deadline: Time,
    /// Whether the holder may believe yet, or must extend first.
    pub confirmed: bool,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another holder, or another instance of the same one, has it.
    Held {
        /// Who has it.
        holder: Holder,
        /// Under which token.
        token: Token,
        /// How long until its deadline.
        remaining: Ttl,
        /// Whether the holder's name is the asker's own, in another life.
        by_you: bool,
    },
    /// It expired lately, and only the one named may claim it yet.
    Cooldown {
        /// Who may claim; none where nobody may.
        holder: Option<Holder>,
        /// For how long.
        remaining: Ttl,
    },
    /// That grant ended, and this holder and instance have a newer one.
    StaleToken {
        /// The newer grant's token.
        current: Token,
    },
    /// That grant ended.
    Lost {
        /// How and when, where history still knows.
        end: Option<End>,
    },
    /// That grant was revoked: it may not be extended nor transferred.
    Ending {
        /// When it ends.
        deadline: Time,
    },
    /// The request came after its `not_after`, or its claim was overtaken: it had no effect.
    Late,
    /// The batch was made for another term and had no effect: surely not done.
    Retry,
    /// The namespace's limit on its ttl.
    Ttl {
        /// What was asked for.
        ttl: Ttl,
        /// The shortest allowed.
        min: Ttl,
        /// The longest allowed.
        max: Ttl,
    },
    /// The namespace has as many leases as it may, or the lease as many pins.
    Full {
        /// What there is too much of.
        what: Full,
        /// The limit.
        limit: u64,
    },
    /// The settings have changed since.
    Version {
        /// The version that stands.
        current: u64,
    },
    /// A change of the settings is out of bounds.
    Settings(
        /// Which, and what the bound is.
        &'static str,
    ),
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Leases in the namespace.
    Leases,
    /// Pins on the lease.
    Pins,
    /// Namespaces.
    Namespaces,
}

/// How a grant ended: its last trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Which grant.
    pub token: Token,
    /// Who held it.
    pub holder: Holder,
    /// Which life of that holder. No reply or list shows it.
    pub instance: Instance,
    /// The claim's number. With `instance`, what tells a retry from a new claim.
    pub seq: Seq,
    /// How.
    pub why: Why,
    /// When, on the lease clock.
    pub at: Time,
    /// How much of it remained when it was last extended or claimed anew: how close it ran.
    pub remained: Ttl,
}

/// How a grant ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its deadline passed.
    Expired,
    /// An unconfirmed grant was not confirmed in time.
    Unconfirmed,
    /// Its holder released it.
    Released,
    /// Its holder handed it on.
    Transferred,
    /// An operator took it away.
    Revoked(Reason),
    /// The cluster was restored from a backup.
    Restored,
}

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
