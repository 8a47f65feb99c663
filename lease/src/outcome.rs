//! What comes out of the table: one outcome for each request, a closed enum, so that whoever wants to know
//! what can happen reads one list.

use crate::{Holder, Instance, Reason, Seq, Time, Token, Ttl};

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
    /// No grant has had that token yet.
    NeverGiven {
        /// The newest that one has; none where there is none of this epoch.
        newest: Option<Token>,
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
        /// Which, its value, and what the bound is.
        String,
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
