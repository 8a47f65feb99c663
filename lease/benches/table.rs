//! Placeholder until the measurements follow.
fn main() {}
