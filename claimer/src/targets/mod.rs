//! One file a target.

pub(crate) mod etcd;
pub mod session;
