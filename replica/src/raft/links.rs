//! The ways to the other members, for openraft and for what this member asks them besides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Network;

/// The ways to the other members, each made once for an address.
pub(crate) struct Links<N: Network> {
    network: N,
    links: Mutex<BTreeMap<u64, Known<N>>>,
}

/// An address, and the way there.
type Known<N> = (String, Arc<<N as Network>::Link>);

impl<N: Network> Links<N> {
    pub(super) fn new(network: N) -> Links<N> {
        Links { network, links: Mutex::default() }
    }

    pub(crate) fn get(&self, member: u64, address: &str) -> Arc<N::Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, link) = links
            .entry(member)
            .or_insert_with(|| (address.to_owned(), Arc::new(self.network.link(member, address))));
        if known != address {
            (*known, *link) = (address.to_owned(), Arc::new(self.network.link(member, address)));
        }
        Arc::clone(link)
    }

    /// A way to where a member may be, tried once: what goes to it otherwise keeps its own, as two connections of one caller would
    /// end each other for ever.
    pub(super) fn untried(&self, member: u64, address: &str) -> N::Link {
        self.network.link(member, address)
    }
}
