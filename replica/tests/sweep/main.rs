//! A data folder of a real member, damaged: every byte of every file, and every file lost or put back from an older copy. Opening it
//! refuses, and names the file and where it can the byte; or everything that was acknowledged is there. Nothing is lost in silence,
//! but where docs/contract.md says so.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

#[path = "../common/mod.rs"]
mod common;

mod bytes;
mod folder;
mod swaps;
