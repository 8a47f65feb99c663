//! One file a target.

pub(crate) mod etcd;
pub(crate) mod juju;
pub mod session;
