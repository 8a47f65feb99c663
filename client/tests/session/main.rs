//! A session over real sockets, against a member that each test plays by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::result_large_err,
    reason = "a test fails by panicking"
)]

mod calls;
mod guards;
mod lapse;
mod links;
mod member;
mod watches;
