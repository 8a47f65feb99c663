//! One believer: at every instant of true time at most one client may act as the holder of a lease, but for a grant that an
//! operator revoked at once. It compares clients, not tokens.

use lease::Token;

use super::{Kept, Ledger};
use crate::clock::Shown;

/// What one client believes of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Believed {
    pub(crate) key: usize,
    pub(crate) token: u64,
    /// Until when, in true time.
    pub(crate) until: u64,
}

#[derive(Default)]
pub(crate) struct OneBeliever {
    clients: Vec<Vec<Believed>>,
}

impl OneBeliever {
    /// What `client` believes from `now` on.
    pub(crate) fn believes(&mut self, client: usize, beliefs: &[Believed]) {
        if self.clients.len() <= client {
            self.clients.resize_with(client + 1, Vec::new);
        }
        self.clients[client].clear();
        self.clients[client].extend_from_slice(beliefs);
    }

    /// Beliefs begin only where a client takes something in, so that to look at that client then is enough.
    pub(crate) fn check(&self, client: usize, now: u64, ledger: &Ledger) -> Kept {
        let lives =
            |belief: &&Believed| now < belief.until && !ledger.cut.contains(&Token::from_u64(belief.token));
        for mine in self.clients[client].iter().filter(lives) {
            for (other, beliefs) in self.clients.iter().enumerate().filter(|(other, _)| *other != client) {
                if let Some(theirs) = beliefs.iter().filter(lives).find(|theirs| theirs.key == mine.key) {
                    return Err(format!(
                        "clients {client} and {other} both believe that they hold lease {}: under token {} until {}, and under \
                         token {} until {}",
                        crate::door::NAMES[mine.key],
                        mine.token,
                        Shown(mine.until),
                        theirs.token,
                        Shown(theirs.until)
                    ));
                }
            }
        }
        Ok(())
    }
}
