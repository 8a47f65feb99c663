//! Juju's wire as an agent speaks it, for a holder that logs in, claims and waits as Juju's own load tool did; and the snapshot in
//! which Juju keeps its leases.
//!
//! ```text
//!   target ── Ask ──▶ link ── wire: JSON ──▶ WebSocket ── tls ──▶ /model/UUID/api
//!          ◀─ Frame ──┘ (a task: reads, pings)
//! ```

pub(crate) mod link;
mod login;
pub mod snapshot;
pub(crate) mod tls;
pub(crate) mod wire;
mod yaml;

/// How long a claim of Juju's may ask for, in seconds.
pub const CLAIM_SECONDS: std::ops::RangeInclusive<u64> = 5..=300;

pub use login::Login;
pub use yaml::InvalidYaml;
