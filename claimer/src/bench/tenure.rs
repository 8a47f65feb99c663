//! Tenure under load: a session a holder, as a program has that uses the client crate.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Held, List};
use client::{Claim, Failure, Grant, Session, Step, Stepped};

use super::closed_loop::{Holder, Service, Trouble};
use super::granted::granted;
use super::reach::Reach;
use super::{Place, broken};
use crate::RunError;

/// Of every lease: longer than any run between two of its extends.
pub(super) const TTL: Duration = Duration::from_secs(3_600);
/// Steps of one bulk frame, where they are not what is measured.
const FRAME_STEPS: usize = 1_000;
/// Leases in a page of a list: the most that a page may have.
const PAGE_LEASES: u64 = 1_000;
/// How long a session goes on with one call.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service, at its members.
#[derive(Clone)]
pub(super) struct Tenure {
    reach: Reach,
    is_left_tidy: bool,
}

impl Tenure {
    /// At this place. Servers of somebody else are left without leases of ours.
    pub(super) fn at(place: &Place) -> Tenure {
        Tenure { reach: place.reach.clone(), is_left_tidy: place.is_theirs() }
    }

    /// Who holds each lease of this namespace whose name begins so.
    pub(super) async fn list(
        &self,
        namespace: &str,
        prefix: &str,
    ) -> Result<BTreeMap<String, Held>, RunError> {
        let session = self.reach.session(0, PATIENCE).await?;
        let mut held = BTreeMap::new();
        let mut after = None;
        loop {
            let list = List {
                namespace: Some(namespace.to_owned()),
                prefix: Some(prefix.to_owned()),
                limit: Some(PAGE_LEASES),
                after,
                ..List::default()
            };
            let page = session.list(list).await.into_result().map_err(broken)?;
            held.extend(page.leases.into_iter().filter_map(|lease| Some((lease.name, lease.held?))));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        session.close().await;
        Ok(held)
    }
}

impl Service for Tenure {
    type Holder = OneSession;

    async fn connect(&self, number: usize) -> Result<OneSession, RunError> {
        let session = self.reach.session(number, PATIENCE).await?;
        let holder = format!("holder-{number}");
        Ok(OneSession { session, holder, grants: Vec::new(), is_left_tidy: self.is_left_tidy })
    }

    async fn held(&self, prefix: &str) -> Result<BTreeMap<String, u64>, RunError> {
        let held = self.list(api::NAMESPACE_DEFAULT, prefix).await?;
        Ok(held.into_iter().map(|(name, held)| (name, held.token)).collect())
    }
}

/// A holder's session, and the grants that it has.
pub(super) struct OneSession {
    session: Session,
    holder: String,
    grants: Vec<Grant>,
    is_left_tidy: bool,
}

impl OneSession {
    fn asked(&self, name: String) -> Claim {
        Claim { ttl: TTL, ..Claim::new(name, self.holder.as_str()) }
    }

    /// Extends its leases from `first` on in one frame, up to so many.
    pub(super) async fn extend_many(&mut self, first: usize, count: usize) -> Result<usize, Trouble> {
        let grants = &self.grants[first..self.grants.len().min(first + count)];
        let steps = grants.iter().map(|grant| Step::Extend(grant.clone(), TTL)).collect();
        let done = self.session.bulk(steps).await.map_err(trouble)?;
        for (grant, step) in grants.iter().zip(done) {
            match step.into_result().map_err(trouble)? {
                Stepped::Granted(extended) => check_token(grant, &extended)?,
                Stepped::Released => {
                    return Err(Trouble("an extend was answered as a release".into()));
                }
            }
        }
        Ok(grants.len())
    }
}

impl Holder for OneSession {
    async fn claim(&mut self, name: String) -> Result<(), Trouble> {
        let grant = self.session.claim(self.asked(name)).await.into_result().map_err(trouble)?;
        self.grants.push(grant);
        Ok(())
    }

    async fn claim_all(&mut self, names: Vec<String>) -> Result<(), RunError> {
        for names in names.chunks(FRAME_STEPS) {
            let steps = names.iter().map(|name| Step::Claim(self.asked(name.clone())));
            self.grants.extend(granted(&self.session, steps.collect()).await?);
        }
        Ok(())
    }

    fn turns(&self) -> usize {
        self.grants.len()
    }

    async fn extend(&mut self, turn: usize) -> Result<usize, Trouble> {
        let grant = &self.grants[turn];
        let extended = self.session.extend(grant, TTL).await.into_result().map_err(trouble)?;
        check_token(grant, &extended).map(|()| 1)
    }

    fn believes(&self) -> Vec<(String, u64)> {
        self.grants.iter().map(|grant| (grant.name().to_owned(), grant.token())).collect()
    }

    async fn leave(self) {
        if self.is_left_tidy {
            for grants in self.grants.chunks(FRAME_STEPS) {
                // What is left over ends at its ttl.
                drop(self.session.bulk(grants.iter().cloned().map(Step::Release).collect()).await);
            }
        }
        self.session.close().await;
    }
}

/// An extend is of the grant that it was asked for, or the answer is wrong.
fn check_token(asked: &Grant, answered: &Grant) -> Result<(), Trouble> {
    match asked.token() == answered.token() && asked.name() == answered.name() {
        true => Ok(()),
        false => Err(Trouble(format!("{asked:?} was extended, and the answer was for {answered:?}"))),
    }
}

fn trouble(failure: Failure) -> Trouble {
    Trouble(failure.to_string())
}
