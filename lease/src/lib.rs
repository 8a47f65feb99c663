//! The lease rules: who holds which name, until when, under which token.
//!
//! This crate is pure: no I/O, no clock, no randomness, no async, no threads, and no dependency but `std`.
//! Time comes in as the stamp of each [`Batch`]; [`Table::apply`] is the whole of it.

mod command;
mod limits;
mod table;
mod types;

pub use command::*;
pub use limits::*;
pub use table::*;
pub use types::*;
