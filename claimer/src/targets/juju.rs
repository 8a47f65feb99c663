//! Juju's wire, as Juju's own load tool speaks it: a connection a holder, each logged in as the one agent of the command line, whatever
//! holder it claims for; claims that are extends too; and a block until the lease is released.
//!
//! Unlike that tool: a login that is told `try again` is made again on the same connection, after pauses that grow; an operation that
//! timed out is repeated, and ends no holder; and a holder whose server is gone goes to the next.
//!
//! There are no tokens on this wire: every grant has the same, [`NO_TOKEN`], and the verdict judges none. A holder counts its belief
//! from before the claim was sent, for as long as surely fits into the duration on the leaders' clock.

use std::path::PathBuf;
use std::time::Duration;

use api::rules::{Ttl, surely_within};
use client::Endpoint;
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::history::Nanos;
use crate::juju::link::Link;
use crate::juju::wire::Ask;
use crate::juju::{Login, tls};
use crate::target::{Attempt, Granted, No, Seat, Session, Target};
use crate::workload::Share;

/// What stands for the token where there is none.
pub(crate) const NO_TOKEN: u64 = 0;
/// How long a holder waits for an answer to a claim: longer than Juju's own manager tries, so that what it took is measured.
const ANSWERED_WITHIN: Duration = Duration::from_secs(90);
/// How often a login is made on one connection, and the pause before the second: each one after is twice as long.
const LOGINS: u32 = 5;
const LOGIN_PAUSE: Duration = Duration::from_secs(1);

/// Connections to the servers of a share.
pub(crate) struct Juju {
    endpoints: Vec<Endpoint>,
    login: Login,
    /// Where the CA's file cannot be used, connecting says so.
    connector: Result<TlsConnector, String>,
}

impl Juju {
    /// Connections for the holders of this share. Endpoints were checked where they were read.
    pub(crate) fn new(share: &Share, login: Login) -> Juju {
        let ca: Option<PathBuf> = share.trust.clone().map(|trust| trust.ca);
        Juju {
            endpoints: share.endpoints.iter().filter_map(|endpoint| endpoint.parse().ok()).collect(),
            login,
            connector: tls::connector(ca.as_deref()),
        }
    }

    async fn open(&self, seat: &Seat, endpoint: &Endpoint) -> Result<Link, String> {
        let link = Link::open(endpoint, self.connector.as_ref()?, &self.login.model).await?;
        for tries in 0..LOGINS {
            match link.log_in(&self.login).await? {
                Ok(()) => return Ok(link),
                Err(fault) if fault.is_try_again() => tokio::time::sleep(login_pause(tries, seat)).await,
                Err(fault) => return Err(fault.to_string()),
            }
        }
        Err(format!("try again, {LOGINS} times: the server limits how many agents log in a second"))
    }
}

/// Doubled each time, and longer by up to a half, so that those who were turned away together do not come together.
fn login_pause(tries: u32, seat: &Seat) -> Duration {
    // A multiplicative hash: neighbours land far apart.
    let spread = seat.number.wrapping_mul(2_654_435_769) >> 16;
    (LOGIN_PAUSE + LOGIN_PAUSE * spread / 131_072) * (1 << tries)
}

impl Target for Juju {
    type Session = OneAgent;

    async fn connect(&self, seat: &Seat) -> Result<OneAgent, String> {
        let first = seat.number as usize % self.endpoints.len().max(1);
        let (before, from) = self.endpoints.split_at(first);
        let mut why = Vec::new();
        for endpoint in from.iter().chain(before) {
            match self.open(seat, endpoint).await {
                Ok(link) => return Ok(OneAgent { link, seat: seat.clone() }),
                Err(error) => why.push(format!("{endpoint}: {error}")),
            }
        }
        Err(why.join("; "))
    }
}

/// One holder's connection.
pub(crate) struct OneAgent {
    link: Link,
    seat: Seat,
}

impl OneAgent {
    /// A run that ends says whose claim it was, and what to do: Juju's own words say neither.
    fn explained(&self, no: No) -> No {
        let No::Wrong { why } = no else { return no };
        let remedy = match why.as_str() {
            "permission denied" => {
                ": log in as that holder's unit (--unit), or have a server for load tests allow any, with --load-test-any-holder"
            }
            _ => "",
        };
        No::Wrong { why: format!("the claim of {} for {}: {why}{remedy}", self.seat.lease, self.seat.holder) }
    }

    async fn ask(&self) -> Result<Granted, No> {
        let duration = Duration::from_millis(self.seat.ttl_ms);
        let ask = Ask::Claim { unit: self.seat.holder.clone(), duration };
        let sent = clock::now();
        let frame = self.link.ask(ask, Some(ANSWERED_WITHIN)).await?;
        frame.granted().map_err(|fault| self.explained(fault.no()))?;
        Ok(Granted { token: NO_TOKEN, until: until(sent, self.seat.ttl_ms) })
    }
}

impl Session for OneAgent {
    // Juju knows a holder by its name, so that a claim repeated is the same claim.
    async fn claim(&mut self, _: Attempt) -> Result<Granted, No> {
        self.ask().await
    }

    async fn extend(&mut self, _: u64) -> Result<Granted, No> {
        self.ask().await.map_err(|no| match no {
            No::Held { .. } => No::Lost,
            other => other,
        })
    }

    async fn wait(&mut self, _: Option<u64>) -> Result<(), No> {
        let ask = Ask::Block { application: self.seat.lease.clone() };
        self.link.ask(ask, None).await?.done().map_err(|fault| fault.no())
    }
}

/// Until when a holder may believe that claimed so long, before it sent.
fn until(sent: Nanos, ttl_ms: u64) -> Nanos {
    sent.plus(Duration::from_nanos(surely_within(Ttl::from_millis(ttl_ms)).as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn belief_counts_from_before_the_claim_and_is_shorter_than_its_duration() {
        // As `hold_ms` of 15 s is: 15,000 * 990 / 1,010.
        assert_eq!(until(Nanos(7), 15_000).since(Nanos(7)).as_millis(), 14_702);
    }

    #[test]
    fn pauses_between_logins_grow_and_differ() {
        let seat = |number| Seat {
            number,
            holder: String::new(),
            endpoint: String::new(),
            lease: String::new(),
            ttl_ms: 0,
        };
        let first = login_pause(0, &seat(1));
        assert!((1_000..1_500).contains(&first.as_millis()), "{first:?}");
        assert_eq!(login_pause(3, &seat(1)), first * 8);
        let all: std::collections::BTreeSet<_> =
            (0..100).map(|number| login_pause(0, &seat(number))).collect();
        assert!(all.len() > 20, "a hundred holders come at {} times", all.len());
    }
}
