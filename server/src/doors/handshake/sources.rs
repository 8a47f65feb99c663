//! How many handshakes each source has under way: so that whoever says hello and then nothing, over and over, keeps out others of its own
//! address and nobody else.
//!
//! A source is what it is for tokens that are not known: an address, of IPv6 a network of 64 bits. It is known for as long as somebody
//! of it is in a handshake or waits for one, so there are no more than there may be connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::identity::source_of;

/// Every source that has come.
#[derive(Debug)]
pub(super) struct Sources {
    /// Handshakes of one at a time.
    each: usize,
    known: Mutex<BTreeMap<IpAddr, Known>>,
}

#[derive(Debug)]
struct Known {
    turns: Arc<Semaphore>,
    /// How many have a place or wait for one.
    count: usize,
}

/// One of a source's handshakes, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    sources: &'a Sources,
    source: IpAddr,
    /// None while it waits.
    turn: Option<OwnedSemaphorePermit>,
}

impl Sources {
    pub(super) fn new(each: usize) -> Sources {
        Sources { each, known: Mutex::default() }
    }

    /// Once there is a place for one more of this one's source.
    pub(super) async fn enter(&self, peer: SocketAddr) -> Place<'_> {
        let (mut place, turns) = self.come(source_of(peer));
        // Never closed: an error would let everybody in.
        place.turn = turns.acquire_owned().await.ok();
        place
    }

    fn come(&self, source: IpAddr) -> (Place<'_>, Arc<Semaphore>) {
        let mut known = self.known();
        let new = || Known { turns: Arc::new(Semaphore::new(self.each)), count: 0 };
        let of_it = known.entry(source).or_insert_with(new);
        of_it.count += 1;
        (Place { sources: self, source, turn: None }, Arc::clone(&of_it.turns))
    }

    /// How many have a place or wait for one.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known().values().map(|of_it| of_it.count).sum()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut known = self.sources.known();
        drop(self.turn.take());
        if let Some(of_it) = known.get_mut(&self.source) {
            of_it.count -= 1;
            if of_it.count == 0 {
                known.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_source_has_its_places_and_is_forgotten_with_its_last() {
        let sources = Sources::new(2);
        let peer = |text: &str| SocketAddr::new(text.parse().unwrap(), 9);
        let enter = |text| sources.enter(peer(text)).now_or_never();
        let (first, second) = (enter("10.0.0.1").unwrap(), enter("::ffff:10.0.0.1").unwrap());
        let mut third = Box::pin(sources.enter(peer("10.0.0.1")));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(enter("10.0.0.2").is_some(), "another is another");
        drop(first);
        let third = third.as_mut().now_or_never().unwrap();
        let waits = Box::pin(sources.enter(peer("10.0.0.1")));
        drop((second, third, waits));
        assert!(sources.known().is_empty());
    }
}
