//! Who belongs to the cluster, and how that changes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Stale, decimal};

/// See the cluster's members, or change them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMembers {
    /// What to change; without it, the members are only shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<MemberChange>,
    /// Only to look: answer with the members that this one knows, without asking a leader. It may be old, and needs no quorum.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// How long the caller waits for an answer, in milliseconds: 1 to 60,000. Default 5,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// A change of the members. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MemberChange {
    /// Take a new member in, as an observer: it serves clients and has no vote.
    Add {
        /// Its id, which no member has or had, from 1.
        #[serde(with = "decimal")]
        #[schema(value_type = String)]
        id: u64,
        /// Where the others reach it: HOST:PORT.
        address: String,
    },
    /// Make observers voters. The number of voters stays odd, and at most 7.
    Promote {
        /// Which.
        #[serde(with = "decimal::list")]
        #[schema(value_type = Vec<String>)]
        ids: Vec<u64>,
    },
    /// Take members out: not the one that leads, and no majority of the voters.
    Remove {
        /// Which.
        #[serde(with = "decimal::list")]
        #[schema(value_type = Vec<String>)]
        ids: Vec<u64>,
    },
    /// Have an observer take a voter's place, who goes.
    Replace {
        /// The voter.
        #[serde(with = "decimal")]
        #[schema(value_type = String)]
        old: u64,
        /// The observer.
        #[serde(with = "decimal")]
        #[schema(value_type = String)]
        new: u64,
    },
    /// Reach a member at another address from now on.
    SetAddress {
        /// Which.
        #[serde(with = "decimal")]
        #[schema(value_type = String)]
        id: u64,
        /// Where the others reach it: HOST:PORT.
        address: String,
    },
    /// Have a member left alone, as before it is stopped or its machine is worked on: its clients are told to go elsewhere, it is not
    /// ready, and it leads only where nobody else can. It serves whoever stays. Kept until it is ended.
    Drain {
        /// Which.
        #[serde(with = "decimal")]
        #[schema(value_type = String)]
        id: u64,
        /// True to end it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        end: bool,
    },
    /// Have another voter lead.
    TransferLeadership {
        /// Which; without it, the one that has most of the log.
        #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        to: Option<u64>,
    },
}

/// The cluster's members, as the leader sees them; or, of a stale answer, as the member that answered knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Members {
    /// By id.
    pub members: Vec<Member>,
    /// The cluster's id: 32 hexadecimal digits.
    #[serde(default)]
    pub cluster: String,
    /// Ids of members that were removed, as far as the member that was asked knows. No other may have one of them.
    #[serde(default, with = "decimal::list")]
    #[schema(value_type = Vec<String>)]
    pub removed: Vec<u64>,
    /// The SHA-256 of each CA under which the members' certificates are, in hexadecimal digits; none without TLS between them.
    #[serde(default)]
    pub peer_ca: Vec<String>,
    /// Of a stale answer: whose state it is, and how old that may be. Absent of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its id.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub id: u64,
    /// Where the others reach it; empty where it has no others.
    pub address: String,
    /// Whether it has a vote. One that has none is an observer.
    pub voter: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it is to be left alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// How many entries of the leader's log it does not have yet; absent where the leader has not heard of it.
    #[serde(default, with = "decimal::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub lacks: Option<u64>,
    /// How long ago the leader heard it last; absent of the leader itself, and where it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ago_ms: Option<u64>,
}
