//! How a bench comes to the members that it measures: where they are, and what they are known by.

use std::sync::Arc;
use std::time::Duration;

use client::{Clock, Endpoint, HolderClock, Options, OwnFiles, Session, Tls, TlsFiles};

use super::broken;
use crate::RunError;
use crate::workload::Trust;

/// The members, for sessions of this process and for those of its children.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) endpoints: Vec<Endpoint>,
    /// The files, for other processes to read.
    pub(crate) trust: Option<Trust>,
    tls: Option<Tls>,
    /// One for all sessions: to read the machine's clocks costs as much for each.
    clock: Arc<dyn Clock>,
}

impl Reach {
    /// Reads the files, once.
    ///
    /// # Errors
    /// One of them cannot be used; an endpoint is reached by TLS and there are none.
    pub(crate) fn new(endpoints: Vec<Endpoint>, trust: Option<Trust>) -> Result<Reach, RunError> {
        let files = |trust: &Trust| {
            let own = trust.own.clone().map(|(cert, key)| OwnFiles { cert, key });
            TlsFiles { ca: trust.ca.clone(), own }
        };
        let tls = trust.as_ref().map(|trust| Tls::load(files(trust))).transpose();
        let tls = tls.map_err(|error| RunError::Wrong(error.to_string()))?;
        Ok(Reach { endpoints, trust, tls, clock: Arc::new(HolderClock::start()?) })
    }

    /// What sessions and other calls know the members by.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// How to open the session of this number: it is nearest to another member than the one before, so that they spread.
    pub(crate) fn options(&self, number: usize, deadline: Duration) -> Options {
        let mut endpoints = self.endpoints.clone();
        let nearest = number % endpoints.len().max(1);
        endpoints.rotate_left(nearest);
        Options {
            deadline,
            tls: self.tls.clone(),
            clock: Some(Arc::clone(&self.clock)),
            agent: None,
            ..Options::new(endpoints)
        }
    }

    /// Opens that session.
    ///
    /// # Errors
    /// No member can be reached.
    pub(crate) async fn session(&self, number: usize, deadline: Duration) -> Result<Session, RunError> {
        Session::connect(self.options(number, deadline)).await.map_err(broken)
    }
}
