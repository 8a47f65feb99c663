//! For programs that hold leases: a [`Session`] with many leases and many calls in flight on one connection.
//!
//! ```text
//!     program ──▶ Session ──mailbox──▶ task ──▶ Machine (pure) ──▶ frames ──▶ member
//!        ▲                              │                                       │
//!        └───────── outcome, Grant ◀────┴──────────── replies ◀─────────────────┘
//! ```
//!
//! A session is one task and one connection; leases and calls on it cost map entries. What to send, believe and report
//! is decided by [`machine::Machine`], which reads no clock and owns no socket; the task carries.
//!
//! What it promises:
//! * [`Grant::is_held`] is true only before the instant that the cluster's answer allows, counted on this machine's
//!   faster clock from before the answered attempt left; and never again once a release was asked for.
//! * A call that may have had an effect ends as [`Outcome::Unknown`] at worst, never as a false no.
//! * What a lost answer may have won is looked for and released.
//! * A [`Guard`] keeps its lease, says when it is lost at the very instant at which belief ends, and why.
//!
//! * A [`Watcher`] gives each event once and in order, over any number of connections, or says that it cannot.

#![allow(
    clippy::result_large_err,
    reason = "a failure carries the member's whole problem, and to move it costs nothing beside the round trip"
)]

mod backoff;
mod bearer;
mod belief;
mod call;
mod cell;
mod clock;
mod endpoint;
mod fetch;
mod grant;
mod guard;
mod handle;
mod lost;
pub mod machine;
mod mailbox;
mod outcome;
mod task;
mod tls;
mod transport;
mod verbs;
mod watcher;

pub use bearer::{BEARER_START, Bearer, InvalidToken};
pub use call::*;
pub use clock::{Clock, HolderClock, Instant};
pub use endpoint::{Endpoint, InvalidEndpoint, PORT_DEFAULT};
pub use fetch::{BrokenOff, Fetched, fetch};
pub use grant::Grant;
pub use guard::Guard;
pub use handle::Session;
pub use lost::{Lost, LostWhy};
pub use outcome::*;
pub use tls::{OwnFiles, Tls, TlsError, TlsFiles};
pub use watcher::Watcher;
