//! What a server answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Problem, decimal};

/// A grant, as its holder is told of it: of claim and of extend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Names this grant, and fences with it: higher than every earlier grant's, kept over extends.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// How long the grant lasts from its last claim or extend, in milliseconds.
    pub ttl_ms: u64,
    /// How long the holder may believe, in milliseconds, counted on its own clock from before this call left.
    pub hold_ms: u64,
    /// When to extend, in milliseconds from this reply: about a third of the ttl, spread by the server.
    pub extend_after_ms: u64,
    /// Whether the holder may believe yet, or must extend first.
    pub confirmed: bool,
}

/// A grant has ended: of release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Released {
    /// Which grant ended.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
}

/// A grant may not be extended any more: of revoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ending {
    /// Which grant.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// When it ends at the latest, in milliseconds from now.
    pub remaining_ms: u64,
}

/// A lease is free: of wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Free {
    /// At which revision it was free.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
}

/// One lease: of get and list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The grant, where it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Who alone may claim it yet, where it expired lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Cooldown>,
    /// What keeps its holder from expiring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pinned>,
    /// How its last grant ended, where history still knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<End>,
    /// The revision of the state that this was read from.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
    /// Of a stale answer: whose state it is, and how old that may be. Absent of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

/// Whose state a stale answer was read from, and how old that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stale {
    /// The member that answered, from what it has itself.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "2")]
    pub member: u64,
    /// How long ago that member last heard the leader, or as the leader a quorum, in milliseconds. What was done since may be missing,
    /// and what was done just before. Absent where it has heard none since it started: then nothing is known of the age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ago_ms: Option<u64>,
}

/// A living grant, as readers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Held {
    /// Who holds it.
    pub holder: String,
    /// The grant's token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// Its ttl in milliseconds.
    pub ttl_ms: u64,
    /// How long until its deadline, in milliseconds, as far as the member that answers knows.
    pub remaining_ms: u64,
    /// Whether its holder has confirmed it.
    pub confirmed: bool,
    /// The operator's reason, where it was revoked and ends at its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
    /// Who is granted the lease when it has ended, where a revoke named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending_heir: Option<String>,
    /// What the holder tells its readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A time after an expiry in which only one holder may claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cooldown {
    /// Who may claim; nobody where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<String>,
    /// For how long, in milliseconds.
    pub remaining_ms: u64,
}

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pinned {
    /// Whose.
    pub entity: String,
    /// The operator's reason.
    pub why: String,
}

/// How a grant ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct End {
    /// Which grant.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// Who held it.
    pub holder: String,
    /// How: `expired`, `unconfirmed`, `released`, `transferred`, `revoked` or `restored`.
    pub why: String,
    /// The operator's reason, where it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long ago on the lease clock, which stands still while nothing is held, in milliseconds.
    pub ago_ms: u64,
    /// How much of it remained when it was last extended, in milliseconds: how close it ran.
    pub remained_ms: u64,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page {
    /// The leases, ordered by namespace and name.
    pub leases: Vec<Lease>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The revision of the state that this was read from: what to watch after, where it is the first page.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
    /// Of a stale answer: whose state it is, and how old that may be. Absent of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

/// How many leases are held: of count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counted {
    /// How many.
    pub held: u64,
    /// The revision of the state that this was read from.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
    /// Of a stale answer: whose state it is, and how old that may be. Absent of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

/// A watch has begun: of watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Watching {
    /// Every event after this revision follows.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
}

/// How grants ended, the newest first: of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ends {
    /// The ends.
    pub ends: Vec<EndOf>,
    /// The revision of the state that this was read from.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
}

/// One end, with its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndOf {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// How its grant ended.
    pub end: End,
}

/// The token is that of the lease's living grant: of check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// The token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// Who holds it.
    pub holder: String,
    /// How long until its deadline, in milliseconds, as far as the member that answers knows.
    pub remaining_ms: u64,
    /// The revision of the state that this was read from.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
}

/// What a watch has seen: of a watch's push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// The watch call's number.
    pub id: u64,
    /// The events, in the order of their revisions.
    pub events: Vec<Event>,
}

/// One change of one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number in the cluster: where a watch goes on that is begun anew.
    #[serde(with = "decimal")]
    #[schema(value_type = String)]
    pub revision: u64,
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a lease. Extends are no events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was granted.
    Granted(EventGrant),
    /// Its holder's first extend, of a grant that came by waiting or transfer.
    Confirmed(EventToken),
    /// Its holder changed what readers see.
    Valued(EventValue),
    /// A grant ended.
    Ended(End),
    /// A grant was revoked, and ends at its deadline.
    Ending(EventEnding),
    /// It was pinned.
    Pinned(EventPin),
    /// A pin was taken away.
    Unpinned(EventPin),
}

/// A grant, as watches see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventGrant {
    /// Its token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// Who holds it.
    pub holder: String,
    /// Whether its holder may believe in it yet.
    pub confirmed: bool,
    /// What readers see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Which grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventToken {
    /// Its token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
}

/// What readers see of a grant from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventValue {
    /// The grant's token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// The value.
    pub value: String,
}

/// A grant that was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventEnding {
    /// The grant's token.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "41")]
    pub token: u64,
    /// The operator's reason.
    pub reason: String,
    /// Who is granted the lease when it has ended, where a revoke named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heir: Option<String>,
}

/// A pin that came or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventPin {
    /// Whose.
    pub entity: String,
}

/// The member that a session reached, and what it allows: of hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Welcome {
    /// The API's version on this session.
    pub version: u32,
    /// The server's program and version.
    pub server: String,
    /// The cluster's id.
    pub cluster: String,
    /// The member's id.
    #[serde(with = "decimal")]
    #[schema(value_type = String, example = "1")]
    pub member: u64,
}

/// The body of every HTTP answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong, and what to do.
    pub error: Problem,
}
