//! What a client may ask for.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{decimal, namespace_default};

/// Take a free lease; or extend it, where this holder and instance hold it already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The lease's namespace, 1 to 64 bytes.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name, 1 to 256 bytes.
    pub name: String,
    /// Who would hold it, 1 to 256 bytes.
    pub holder: String,
    /// Which life of the holder: a random number made once a session. Without it, one is made for this call.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "8712345098123")]
    pub instance: Option<u64>,
    /// Raised for each claim of this instance that is not a retry. It goes with `instance`.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1")]
    pub seq: Option<u64>,
    /// How long, in milliseconds: 1,000 to 86,400,000 unless the namespace says otherwise; 200 is the least that any may allow. Default 15,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What readers of the lease shall see: up to 1 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// Move a grant's deadline to at least its ttl from now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// The grant's token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// The instance that claimed it. Without it, the act is an operator's or an app-admin's.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub instance: Option<u64>,
    /// The new ttl in milliseconds; without it, the grant's present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// End a grant, so that the next one may claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// The grant's token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// The instance that claimed it. Without it, the act is an operator's or an app-admin's.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub instance: Option<u64>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// Take a lease as a claim does, or wait in line for it: first come, first served.
///
/// A grant that came by waiting is unconfirmed: its holder may believe only after its first extend, or after a claim by the
/// same instance, and has 500 ms to 2 s to do so: as long as its ttl, within these bounds. A waiter is a holder and an instance: asked again,
/// it keeps its place, and its newest call is the one that is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acquire {
    /// The lease's namespace, 1 to 64 bytes.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name, 1 to 256 bytes.
    pub name: String,
    /// Who would hold it, 1 to 256 bytes.
    pub holder: String,
    /// Which life of the holder: a random number made once a session. Without it, one is made for this call.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "8712345098123")]
    pub instance: Option<u64>,
    /// As of a claim: raised for each claim or acquire of this instance that is not a retry.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1")]
    pub seq: Option<u64>,
    /// How long the grant lasts, in milliseconds: 200 to 86,400,000, within the namespace's range. Default 15,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What readers of the lease shall see, up to 1 KiB. A grant that came by waiting has none until its holder claims it
    /// with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How long to wait, in milliseconds: 1 to 86,400,000. Over a session, for ever where not given; over HTTP 30,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Hand a grant on to another holder in one step. Whoever asks may not believe in it from the moment this leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// The grant's token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// The instance that holds it.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub instance: u64,
    /// To which holder: the first of its instances in line.
    pub to: String,
    /// Hand it on though nobody of that name waits: the first claim of that holder takes it, within 2 s.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
    /// How long the new grant lasts, in milliseconds; without it, as long as the waiter asked for, or as this one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// An operator takes a grant away: it may not be extended, and is free at its deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// The grant's token: what is revoked is this grant, and not whoever holds the lease by then.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// The reason, up to 256 bytes: its holder and history are told. An empty one keeps that of a revoke before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// At once, though its holder may still believe for as long as its ttl: only the token protects the resource then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub now: bool,
    /// Who is granted the lease when the grant ends: the first of its instances in line, or its first claim. Without one, the heir of
    /// a revoke before stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir: Option<String>,
    /// How long the heir's grant lasts, in milliseconds; without it, as long as the waiter asked for, or as this one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir_ttl_ms: Option<u64>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// Keep whoever holds a lease from expiring, held or not, until the pin is taken away. Idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Who pins, 1 to 256 bytes: up to 16 may pin one lease.
    pub entity: String,
    /// The reason, up to 256 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// Take a pin away. Idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unpin {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Whose pin.
    pub entity: String,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// See every change of a lease, or of all whose names start so, from a revision on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Watch {
    /// The namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// Only the lease of this name. Without it, and without a prefix, every lease of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only leases whose names start so; not together with `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Every event after this revision: that of an earlier reply or event. Without it, those from now on.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    #[param(value_type = Option<String>)]
    pub after: Option<u64>,
}

/// How grants ended: the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct History {
    /// The namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// Only of the lease of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most so many: 1 to 1,000. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Ask whether a token is that of a lease's living grant: for resources that fence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Check {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// The token that a caller showed to the resource.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    #[param(value_type = String, example = "41")]
    pub token: u64,
}

/// Be told once a lease is free.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Answer from no state older than this revision: the one that a refusal carried.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    #[param(value_type = Option<String>)]
    pub after: Option<u64>,
    /// How long to wait, in milliseconds: 1 to 86,400,000. Over a session, for ever where not given; over HTTP 30,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// See one lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Get {
    /// The lease's namespace.
    #[serde(default = "namespace_default")]
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Answer from the state that the member has, without asking a leader: it may be old, and needs no quorum.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

/// See many leases, a page at a time, ordered by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct List {
    /// Only in this namespace; without it, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only names that start so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only those that this holder holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// At most so many: 1 to 1,000. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Go on behind the page whose `next` this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Answer from the state that the member has, without asking a leader: it may be old, and needs no quorum.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

/// How many leases are held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Count {
    /// Only in this namespace; without it, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only names that start so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only those that this holder holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Answer from the state that the member has, without asking a leader: it may be old, and needs no quorum.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
