//! Every "no": a code that programs branch on, a sentence that people read, and the details of each.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decimal;

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What programs branch on.
    pub code: Code,
    /// What is wrong, with the value, and what to do.
    pub message: String,
    /// The field that is wrong: of `bad_request` and its kin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Who has the lease: of `held`, and of `not_yours` where known; who may claim it: of `cooldown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The token of the grant that is in the way: of `held`, and of `not_yours` where known; of the newer one: of `stale_token`.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token: Option<u64>,
    /// How long until the grant's deadline, or the cooldown's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Whether the holder's name is the caller's own, in another life: of `held`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_you: Option<bool>,
    /// How the grant ended: of `lost`; absent where history has rolled past it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Box<crate::End>>,
    /// When to try again, in milliseconds, spread by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The revision at which this was decided: what to give a wait as `after`.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub revision: Option<u64>,
}

impl Problem {
    /// A problem with a code and a sentence, and no details.
    pub fn new(code: Code, message: impl Into<String>) -> Problem {
        Problem {
            code,
            message: message.into(),
            field: None,
            holder: None,
            token: None,
            remaining_ms: None,
            by_you: None,
            end: None,
            retry_after_ms: None,
            revision: None,
        }
    }

    /// The same problem, found in `field`.
    pub fn in_field(mut self, field: impl Into<String>) -> Problem {
        self.field = Some(field.into());
        self
    }

    /// The same problem, worth another try after so long.
    pub fn retry_after_ms(mut self, millis: u64) -> Problem {
        self.retry_after_ms = Some(millis);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Problem {}

/// The four kinds of "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Agreed by the cluster: no. Trying the same again gives the same.
    Refused,
    /// The call itself is wrong.
    Usage,
    /// This member or the cluster could not; surely not done. Worth another try.
    Unavailable,
    /// It may have happened. Never to be rounded to no.
    Unknown,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident, $status:literal;)*) => {
        /// What programs branch on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// The code as it stands in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// Which kind of "no" it is.
            pub const fn kind(self) -> Kind {
                match self { $(Code::$name => Kind::$kind,)* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// Another holder, or another life of the same one, has the lease.
    Held = "held", Refused, 409;
    /// The lease expired lately, and only its last holder may claim it yet.
    Cooldown = "cooldown", Refused, 409;
    /// Others wait in line for the lease.
    Queued = "queued", Refused, 409;
    /// The grant ended, and there is a newer one: its own holder's, or of `check` anyone's.
    StaleToken = "stale_token", Refused, 409;
    /// The grant ended.
    Lost = "lost", Refused, 409;
    /// The grant was revoked and ends at its deadline.
    Ending = "ending", Refused, 409;
    /// The grant is another holder's, instance's or lease's than the call says.
    NotYours = "not_yours", Refused, 409;
    /// There are as many as there may be.
    Full = "full", Refused, 409;
    /// The settings have changed since they were read.
    Version = "version", Refused, 409;
    /// There is something else under that id.
    Conflict = "conflict", Refused, 409;
    /// The lease is to be handed on to one who does not wait for it.
    NotWaiting = "not_waiting", Refused, 409;
    /// A change of the members would break a rule.
    Members = "members", Refused, 409;
    /// The wait ended before the lease was free, or the acquire before its turn.
    StillHeld = "still_held", Refused, 409;
    /// The caller is not known: no token, or none that is good here, and no certificate that names somebody.
    Unauthenticated = "unauthenticated", Refused, 401;
    /// The caller is known, and may not do that. Nothing is said of what is there.
    Forbidden = "forbidden", Refused, 403;
    /// The call's JSON, or a field of it, is not what it should be.
    BadRequest = "bad_request", Usage, 400;
    /// A name, holder, namespace or value is out of bounds.
    BadName = "bad_name", Usage, 400;
    /// A ttl is out of bounds.
    BadTtl = "bad_ttl", Usage, 400;
    /// The frame or body has more bytes or operations than the limit.
    TooLarge = "too_large", Usage, 413;
    /// There is no such path or call.
    NotFound = "not_found", Usage, 404;
    /// The revision asked for is higher than any yet.
    IndexAhead = "index_ahead", Usage, 400;
    /// The revision asked for is no longer kept: list the leases again, and watch after the revision of that.
    Compacted = "compacted", Refused, 410;
    /// There is more work than can be done in time. Surely not done.
    Overloaded = "overloaded", Unavailable, 503;
    /// The command came after its deadline. Surely not done.
    Late = "late", Unavailable, 503;
    /// This member has had no news of a leader.
    Behind = "behind", Unavailable, 503;
    /// No leader with a quorum. Surely not done.
    NoLeader = "no_leader", Unavailable, 503;
    /// An operator has the member left alone: it serves, and whoever can should go to another.
    Draining = "draining", Unavailable, 503;
    /// The member is stopping.
    Stopping = "stopping", Unavailable, 503;
    /// The member's disk is full.
    DiskFull = "disk_full", Unavailable, 503;
    /// The member's disk has not synced for 3 s.
    DiskStalled = "disk_stalled", Unavailable, 503;
    /// It may have happened, or may still.
    Unknown = "unknown", Unknown, 504;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
