//! Juju's wire as an agent speaks it, for a holder that logs in, claims and waits as Juju's own load tool did.
//!
//! ```text
//!   target ── Ask ──▶ link ── wire: JSON ──▶ WebSocket ── tls ──▶ /model/UUID/api
//!          ◀─ Frame ──┘ (a task: reads, pings)
//! ```

pub(crate) mod link;
mod login;
pub(crate) mod tls;
pub(crate) mod wire;

pub use login::Login;
