//! What each namespace allows, and how that changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decimal;

/// See what namespaces allow, or change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeNamespaces {
    /// What to change; without it, they are only shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<NamespaceChange>,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// What a namespace allows from now on. What is left out stays as it is; present leases are never taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceChange {
    /// Which.
    pub namespace: String,
    /// From the defaults, and not from what it allows now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_defaults: bool,
    /// The shortest ttl, in milliseconds: at least 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms_min: Option<u64>,
    /// The longest ttl, in milliseconds: at most 86,400,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms_max: Option<u64>,
    /// How long after an expiry only the same holder may claim, in milliseconds: at most 3,600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_ms: Option<u64>,
    /// The most leases; free names with pins and cooldowns count.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "20000")]
    pub leases_max: Option<u64>,
    /// The most ends kept in history: at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_max: Option<u32>,
}

/// What namespaces allow, where it is not the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Namespaces {
    /// By name.
    pub namespaces: Vec<NamespaceView>,
}

/// What one namespace allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespaceView {
    /// Which.
    pub namespace: String,
    /// The shortest ttl, in milliseconds.
    pub ttl_ms_min: u64,
    /// The longest ttl, in milliseconds.
    pub ttl_ms_max: u64,
    /// How long after an expiry only the same holder may claim, in milliseconds.
    pub cooldown_ms: u64,
    /// The most leases.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub leases_max: u64,
    /// The most ends kept in history.
    pub history_max: u32,
}
