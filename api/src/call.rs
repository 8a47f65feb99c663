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
    /// How long, in milliseconds: 200 to 86,400,000, within the namespace's range. Default 15,000.
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
    /// The instance that claimed it. Without it, the act is an operator's.
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
    /// The instance that claimed it. Without it, the act is an operator's.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub instance: Option<u64>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
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
}
