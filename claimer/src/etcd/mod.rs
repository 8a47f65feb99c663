//! etcd, to be measured beside: servers of its own, and a client as its users have one.

pub(crate) mod client;
pub(crate) mod servers;
mod wire;
