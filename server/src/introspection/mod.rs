//! How a member is, as those read it who know Juju's controllers: its engine report and its leases, with the same paths, words and keys.
//!
//! ```text
//!   GET  /depengine        workers ─▶ engine     what runs here, and why what does not
//!   GET  /leases           table ───▶ leases     who holds what of Juju's, a page at a time
//!   POST /leases/revoke    ─▶ service            as an operator's revoke, at once
//!   GET  /metrics          workers ─▶ metrics    the numbers that are known anyway, for Prometheus
//! ```
//!
//! The first two are YAML as Juju's writer makes it: keys in order, lists at their key's column. All say what is so here: a worker of
//! Juju's that a member has no like of is left out, and one that only a leader runs is stopped on the others, in Juju's words. They are
//! of this member alone and ask no other, so that they can be had when nobody leads. Pure, but for the history of the workers, which
//! remembers when the lead changed.

mod engine;
mod leases;
mod metrics;
mod workers;

pub(crate) use engine::Engine;
pub(crate) use leases::{LeasesPage, Wanted};
pub(crate) use metrics::Metrics;
pub(crate) use workers::Workers;
