//! Agents of Juju that do nothing but be there, as most of a model's do most of the time: each logged in on a connection of its own, which
//! it pings each minute.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio_rustls::TlsConnector;

use super::reach::Reach;
use super::{AT_ONCE, broken};
use crate::RunError;
use crate::juju::Login;
use crate::juju::link::Link;
use crate::juju::tls::connector;
use crate::juju::wire::Ask;

/// The model that benches log in to; a server of theirs takes any.
const MODEL: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";
/// How long the answer to a ping may take, where very many are sent.
const PONG_WITHIN: Duration = Duration::from_secs(60);

/// As whom benches log in; their servers ask for no password.
pub(super) fn login() -> Login {
    Login { model: MODEL.to_owned(), unit: "bench/0".to_owned(), password: String::new() }
}

/// Agents that are logged in.
pub(super) struct Agents {
    connector: TlsConnector,
    links: Vec<Link>,
}

impl Agents {
    /// None yet.
    ///
    /// # Errors
    /// The CA's file cannot be used.
    pub(super) fn new(reach: &Reach) -> Result<Agents, RunError> {
        let ca = reach.trust.as_ref().map(|trust| trust.ca.as_path());
        Ok(Agents { connector: connector(ca).map_err(RunError::Wrong)?, links: Vec::new() })
    }

    /// So many more log in, at the members in turn; within a `LocalSet`.
    pub(super) async fn come(&mut self, reach: &Reach, count: usize) -> Result<(), RunError> {
        let numbers = self.links.len()..self.links.len() + count;
        let come = stream::iter(numbers).map(|number| self.one(reach, number)).buffer_unordered(AT_ONCE);
        let came: Vec<Link> = come.try_collect().await?;
        self.links.extend(came);
        Ok(())
    }

    async fn one(&self, reach: &Reach, number: usize) -> Result<Link, RunError> {
        let endpoint = &reach.endpoints[number % reach.endpoints.len()];
        let login = login();
        let link = Link::open(endpoint, &self.connector, &login.model).await.map_err(broken)?;
        link.log_in(&login).await.map_err(broken)?.map_err(broken)?;
        Ok(link)
    }

    /// Each of them is still logged in: a server answers pings of nobody else.
    pub(super) async fn check(&self) -> Result<(), RunError> {
        let pings = stream::iter(&self.links).map(|link| link.ask(Ask::Ping, Some(PONG_WITHIN)));
        let mut pings = pings.buffer_unordered(AT_ONCE);
        while let Some(pong) = pings.next().await {
            let gone =
                |why: String| RunError::Broken(format!("an agent that was logged in is not any more: {why}"));
            pong.map_err(|no| gone(format!("{no:?}")))?.done().map_err(|fault| gone(fault.to_string()))?;
        }
        Ok(())
    }
}
