//! One file a target.

pub mod session;
