//! The lease rules: who holds which name, until when, under which token.
//!
//! This crate is pure: no I/O, no clock, no randomness, no async, no threads, and no dependency but `std`.
//! Time comes in as the stamp of each [`Batch`]; [`Table::apply`] is the whole of it.
//!
//! The rooms, in reading order: `types text limits command outcome event` are the words; `table` is what a batch
//! does, `rules` what is refused, `expiry` how things end; `record space history settings` are what is kept,
//! `slab names tokens deadline keep` how; `views` is what readers see, `codec snapshot` the bytes, `recover` what an
//! operator's recovery does, `check` what must hold.

mod access;
mod check;
mod codec;
mod command;
mod deadline;
mod error;
mod event;
mod expiry;
mod history;
mod keep;
mod limits;
mod names;
mod outcome;
#[cfg(planted)]
pub mod planted;
mod record;
mod recover;
mod rules;
mod settings;
mod slab;
mod snapshot;
mod space;
mod table;
mod text;
mod tokens;
mod types;
mod views;

pub use access::*;
pub use command::*;
pub use error::*;
pub use event::*;
pub use limits::*;
pub use outcome::*;
pub use recover::Recovery;
pub use settings::*;
pub use snapshot::Frozen;
pub use table::Table;
pub use text::*;
pub use types::*;
pub use views::*;
