//! etcd under load: a gRPC connection a holder, with the calls that its own libraries make.

use std::collections::BTreeMap;

use tonic::Status;

use super::closed_loop::{Holder, Service, Trouble};
use super::{broken, tenure};
use crate::RunError;
use crate::etcd::client::{Claimed, Client, KeepAlive};
use crate::etcd::servers::Servers;

/// As of ours.
const TTL_S: i64 = tenure::TTL.as_secs().cast_signed();

/// The service, at its members.
pub(super) struct Etcd {
    urls: Vec<String>,
}

impl Etcd {
    pub(super) fn at(servers: &Servers) -> Etcd {
        Etcd { urls: servers.urls.clone() }
    }
}

impl Service for Etcd {
    type Holder = OneClient;

    async fn connect(&self, number: usize) -> Result<OneClient, RunError> {
        let url = &self.urls[number % self.urls.len()];
        let mut client = Client::connect(url).await.map_err(broken)?;
        let keep_alive = client.keep_alive().await.map_err(broken)?;
        Ok(OneClient { client, keep_alive, holder: format!("holder-{number}"), leases: Vec::new() })
    }

    async fn held(&self, prefix: &str) -> Result<BTreeMap<String, u64>, RunError> {
        let mut client = Client::connect(&self.urls[0]).await.map_err(broken)?;
        let keys = client.keys(prefix).await.map_err(broken)?;
        Ok(keys.into_iter().map(|(key, lease)| (key, lease.cast_unsigned())).collect())
    }
}

/// A holder's connection, and the leases that it has.
pub(super) struct OneClient {
    client: Client,
    keep_alive: KeepAlive,
    holder: String,
    leases: Vec<(String, i64)>,
}

impl Holder for OneClient {
    async fn claim(&mut self, name: String) -> Result<(), Trouble> {
        match self.client.claim(&name, &self.holder, TTL_S).await.map_err(failed)? {
            Claimed::Ours(id) => {
                self.leases.push((name, id));
                Ok(())
            }
            Claimed::Held(_) => Err(Trouble(format!("{name} is somebody else's"))),
        }
    }

    async fn claim_all(&mut self, names: Vec<String>) -> Result<(), RunError> {
        for name in names {
            self.claim(name).await?;
        }
        Ok(())
    }

    fn turns(&self) -> usize {
        self.leases.len()
    }

    async fn extend(&mut self, turn: usize) -> Result<usize, Trouble> {
        let (name, id) = &self.leases[turn];
        match self.keep_alive.extend(*id).await.map_err(failed)? {
            true => Ok(1),
            false => Err(Trouble(format!("{name} has no lease {id} any more"))),
        }
    }

    fn believes(&self) -> Vec<(String, u64)> {
        self.leases.iter().map(|(name, id)| (name.clone(), id.cast_unsigned())).collect()
    }

    async fn leave(self) {}
}

fn failed(status: Status) -> Trouble {
    Trouble(status.to_string())
}
