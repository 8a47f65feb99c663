//! What must hold of everything here that reads bytes, whatever bytes it is given. Property tests and fuzz/ share it, and no build
//! of a program has it.
//!
//! * No bytes make a reader panic, or take memory that they do not fill themselves.
//! * What is accepted says what its bytes say: written again it gives the same bytes. So no two members read one thing and keep
//!   another, and nothing is dropped unseen by which a later version may mean something.
//!
//! Each function reads, panics where more was accepted than may be, and tells whether it was.

#[cfg(test)]
pub(crate) mod edits;

pub use crate::log::parsers::{record, records, segment};
pub use crate::raft::peers::parsers::{payload, reply, request};
pub use crate::snapshot::parsers::{sealed_snapshot, snapshot};
