//! The ways to the other members, for openraft and for what this member asks them besides.
//!
//! ```text
//!   openraft's streams ──▶ way ──▶ link to the present address
//!   what is asked besides ─┘ ▲
//!                            └── the membership says another: a new link, from the next frame on
//! ```
//!
//! openraft makes its streams once for each member that a leader finds or takes in, and keeps them over a change of address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Asked, Link, Network};

/// The ways to the other members, one to each, and for each address a link.
pub(crate) struct Links<N: Network> {
    network: N,
    ways: Mutex<BTreeMap<u64, Arc<Way<N::Link>>>>,
}

/// The way to a member, wherever it is.
pub(crate) struct Way<L>(Mutex<Known<L>>);

struct Known<L> {
    address: String,
    link: Arc<L>,
}

impl<L: Link> Way<L> {
    fn known(&self) -> MutexGuard<'_, Known<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a frame to where the member is now.
    pub(crate) fn ask(&self, frame: Vec<u8>) -> Asked {
        let link = Arc::clone(&self.known().link);
        link.ask(frame)
    }
}

impl<N: Network> Links<N> {
    pub(super) fn new(network: N) -> Links<N> {
        Links { network, ways: Mutex::default() }
    }

    fn ways(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Way<N::Link>>>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to a member, which is at `address` now.
    pub(crate) fn way(&self, member: u64, address: &str) -> Arc<Way<N::Link>> {
        let new = || {
            let (address, link) = (address.to_owned(), Arc::new(self.network.link(member, address)));
            Known { address, link }
        };
        let mut ways = self.ways();
        let way = ways.entry(member).or_insert_with(|| Arc::new(Way(Mutex::new(new()))));
        let mut known = way.known();
        if known.address != address {
            *known = new();
        }
        drop(known);
        Arc::clone(way)
    }

    /// Members are at these addresses now: ways that lead elsewhere lead there.
    pub(super) fn follow<'a>(&self, members: impl Iterator<Item = (u64, &'a str)>) {
        for (member, address) in members {
            let known = self.ways().contains_key(&member);
            if known {
                self.way(member, address);
            }
        }
    }

    /// A way to where a member may be, tried once: what goes to it otherwise keeps its own, as two connections of one caller would
    /// end each other for ever.
    pub(super) fn untried(&self, member: u64, address: &str) -> N::Link {
        self.network.link(member, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Unreached;

    /// Links that say where they lead.
    struct Signposts;

    struct Signpost(String);

    impl Network for Signposts {
        type Link = Signpost;

        fn link(&self, member: u64, address: &str) -> Signpost {
            Signpost(format!("{member} at {address}"))
        }
    }

    impl Link for Signpost {
        fn ask(&self, _: Vec<u8>) -> Asked {
            Box::pin(std::future::ready(Err(Unreached::unanswered(&self.0))))
        }
    }

    fn leads_to(way: &Way<Signpost>) -> String {
        let mut asked = way.ask(Vec::new());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match asked.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(Err(unreached)) => unreached.why,
            _ => panic!("a signpost answers at once"),
        }
    }

    /// Found by the simulation of whole clusters: a member that had moved heard nothing of its leader until another led.
    #[test]
    fn a_way_that_is_in_use_leads_to_where_its_member_has_moved() {
        let links = Links::new(Signposts);
        let way = links.way(2, "old:1");
        assert_eq!(leads_to(&way), "2 at old:1");
        links.follow([(1, "one:1"), (2, "new:1")].into_iter());
        assert_eq!(leads_to(&way), "2 at new:1");
        assert!(links.ways().keys().eq([&2]), "whoever was never asked has no way yet");
    }
}
