//! The machine's rules one by one, with explicit times; and all of them at once against a model cluster.

mod acquires;
mod belief;
mod claims;
mod cluster;
mod links;
mod model;
mod releases;
mod retries;
mod rig;
mod watches;
