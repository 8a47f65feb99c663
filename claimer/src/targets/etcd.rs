//! etcd, as a program claims leases there that has read its documentation: a connection a holder; a look, and where the key is free a lease
//! and the key with it; a keep-alive stream; and a watch until the key is gone.
//!
//! A holder counts its belief from before the call was sent, by the ttl that it asked for; etcd promises no bound on how its clocks
//! err, and says whole seconds.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{Code, Status};

use crate::clock;
use crate::etcd::client::{Claimed, Client, KeepAlive};
use crate::history::Nanos;
use crate::target::{Attempt, Granted, No, Seat, Session, Target};
use crate::workload::Share;

/// How long a holder waits for a connection, and for an answer to a claim or an extend: as ours do.
const DEADLINE: Duration = Duration::from_secs(5);

/// Connections to the members of a share.
pub(crate) struct Etcd {
    urls: Vec<String>,
}

impl Etcd {
    pub(crate) fn new(share: &Share) -> Etcd {
        Etcd { urls: share.endpoints.clone() }
    }
}

impl Target for Etcd {
    type Session = OneClient;

    async fn connect(&self, seat: &Seat) -> Result<OneClient, String> {
        let url = &self.urls[seat.number as usize % self.urls.len()];
        let client = timeout(DEADLINE, Client::connect(url)).await;
        let client = client.map_err(|_| format!("timed out after {DEADLINE:?}"))??;
        Ok(OneClient { client, keep_alive: None, seat: seat.clone() })
    }
}

/// One holder's connection.
pub(crate) struct OneClient {
    client: Client,
    /// Opened with the first grant: most never have one.
    keep_alive: Option<KeepAlive>,
    seat: Seat,
}

impl OneClient {
    fn granted(&self, id: i64, sent: Nanos) -> Granted {
        Granted { token: id.cast_unsigned(), until: sent.plus(Duration::from_millis(self.seat.ttl_ms)) }
    }

    async fn take(&mut self, sent: Nanos) -> Result<Granted, No> {
        let seat = self.seat.clone();
        if let (Some(_), revision) = self.client.holder_of(&seat.lease).await.map_err(no)? {
            return Err(No::Held { after: u64::try_from(revision).ok() });
        }
        let ttl_s = i64::try_from(seat.ttl_ms.div_ceil(1_000)).unwrap_or(i64::MAX);
        match self.client.claim(&seat.lease, &seat.holder, ttl_s).await.map_err(no)? {
            Claimed::Ours(id) => Ok(self.granted(id, sent)),
            Claimed::Held(revision) => Err(No::Held { after: u64::try_from(revision).ok() }),
        }
    }

    async fn prolong(&mut self, id: i64, sent: Nanos) -> Result<Granted, No> {
        let keep_alive = match &mut self.keep_alive {
            Some(keep_alive) => keep_alive,
            none => none.insert(self.client.keep_alive().await.map_err(no)?),
        };
        match keep_alive.extend(id).await {
            Ok(true) => Ok(self.granted(id, sent)),
            Ok(false) => Err(No::Lost),
            Err(status) => {
                self.keep_alive = None;
                Err(no(status))
            }
        }
    }
}

impl Session for OneClient {
    // A claim of unknown outcome has a key that is in its own way until its lease ends; no number is there to repeat it by.
    async fn claim(&mut self, _: Attempt) -> Result<Granted, No> {
        let sent = clock::now();
        timeout(DEADLINE, self.take(sent)).await.unwrap_or_else(|_| Err(unanswered()))
    }

    async fn extend(&mut self, token: u64) -> Result<Granted, No> {
        let sent = clock::now();
        match timeout(DEADLINE, self.prolong(token.cast_signed(), sent)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Else the next one would read this one's answer.
                self.keep_alive = None;
                Err(unanswered())
            }
        }
    }

    async fn wait(&mut self, after: Option<u64>) -> Result<(), No> {
        let from = after.map_or(0, |after| i64::try_from(after).unwrap_or(0) + 1);
        let lease = self.seat.lease.clone();
        self.client.until_deleted(&lease, from).await.map_err(no)
    }
}

fn unanswered() -> No {
    No::Unknown { why: format!("no answer within {DEADLINE:?}") }
}

fn no(status: Status) -> No {
    match status.code() {
        Code::NotFound => No::Lost,
        Code::Unavailable | Code::Cancelled => No::Gone { why: status.to_string() },
        Code::ResourceExhausted => No::Again { after: None, why: status.to_string() },
        _ => No::Unknown { why: status.to_string() },
    }
}
