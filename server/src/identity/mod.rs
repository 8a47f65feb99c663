//! Who asks, and what they may do: the same for every door, and decided before anything is proposed.
//!
//! ```text
//!  Authorization: Bearer tenure-token-… ─┐ authenticate
//!                                        ├───────────────▶ Principal ─▶ authorize(principal, verb, scope) ─▶ service
//!  a client certificate's URI name ──────┘  directory          │                    │
//!                                                              └──── audit ◀────────┘ every refusal, and every change
//! ```
//!
//! `principal` is who somebody is, `authorize` is the one rule of who may do what, `secret` is a token's text, `directory` the
//! credentials as the replicated settings have them, and `audit` the lines of who did what. `quota`, `seats` and `strangers` bound
//! what one principal, and those who are none, may ask of a member, and `refusals` how much is written of what it is refused.
//!
//! Promises:
//! * Denied by default: a verb that no line allows is denied.
//! * What is denied is denied before anything is read: whoever may not see a lease learns nothing of it, not even whether it is there.
//! * Whoever cannot be known is told one thing, whatever the cause; the cause is in the audit log.

mod audit;
mod authorize;
mod bucket;
mod caller;
mod directory;
mod doorkeeper;
mod principal;
mod quota;
mod refusals;
mod seats;
mod secret;
mod strangers;

pub(crate) use audit::Audit;
pub(crate) use authorize::{Denied, Scope, Verb, authorize};
pub(crate) use caller::Caller;
pub(crate) use directory::{Directory, Unknown};
pub(crate) use doorkeeper::{Barred, Came, Doorkeeper, Leave, Note};
pub(crate) use principal::{Principal, Source, is_number};
pub(crate) use seats::Crowded;
pub(crate) use secret::hash_of_hex;
pub use secret::{InvalidBearer, Secret};
pub(crate) use strangers::{TooMany, source_of};
