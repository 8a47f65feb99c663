//! What a session is opened with and asked for, in a program's own words: durations, not milliseconds.

use std::sync::Arc;
use std::time::Duration;

use crate::cell::Cell;
use crate::handle::millis;
use crate::{Bearer, Clock, Endpoint, Grant, Tls};

/// How to open a session.
#[derive(Clone)]
pub struct Options {
    /// Where the members are, tried in this order. A program that opens many sessions rotates the list, so that they spread.
    pub endpoints: Vec<Endpoint>,
    /// How long a session that could not stay at the first endpoint is at another before it tries to go back: so long to twice as
    /// long, at random. Default 30 s.
    pub home_after: Duration,
    /// What to know members by that are reached by TLS, and to be known by; loaded once a program.
    pub tls: Option<Tls>,
    /// The token to come by, where the program is not known by a certificate.
    pub token: Option<Bearer>,
    /// The program and its version, for the servers' logs; none says nothing.
    pub agent: Option<String>,
    /// How long a call waits for its answer, where it does not say. Default 5 s; the server allows at most 60 s.
    pub deadline: Duration,
    /// How long one endpoint may take to connect. Default 2 s.
    pub connect_timeout: Duration,
    /// Told when the session has lost its last connection, and when it has one again; none is told nothing. It is called on the
    /// session's task: it must be quick.
    pub on_link: Option<OnLink>,
    /// Holder time; by default a [`crate::HolderClock`] of the session's own. Give all sessions of a process the same one to
    /// compare their instants.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Options {
    /// The defaults, with these endpoints.
    pub fn new(endpoints: Vec<Endpoint>) -> Options {
        Options {
            endpoints,
            home_after: Duration::from_secs(30),
            tls: None,
            token: None,
            agent: Some(concat!("tenure-client/", env!("CARGO_PKG_VERSION")).to_owned()),
            deadline: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            on_link: None,
            clock: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Options({})", crate::handle::listed(&self.endpoints))
    }
}

/// Who is told of a session's connections.
pub type OnLink = Arc<dyn Fn(LinkNews<'_>) + Send + Sync>;

/// What became of a session's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkNews<'a> {
    /// A member is reached.
    Reached {
        /// Which.
        endpoint: &'a str,
    },
    /// The last connection is lost, or one could not be made while there is none: the session tries again.
    Lost {
        /// To which member.
        endpoint: &'a str,
        /// Why, in a few words.
        cause: &'a str,
    },
}

/// Which lease to take, for whom and for how long. What is allowed is checked by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Who would hold it.
    pub holder: String,
    /// How long from the claim, and from each extend; in whole milliseconds.
    pub ttl: Duration,
    /// What readers of the lease shall see.
    pub value: Option<String>,
}

impl Claim {
    /// A claim in the default namespace, for 15 s, without a value.
    pub fn new(name: impl Into<String>, holder: impl Into<String>) -> Claim {
        Claim {
            namespace: api::NAMESPACE_DEFAULT.to_owned(),
            name: name.into(),
            holder: holder.into(),
            ttl: Duration::from_secs(15),
            value: None,
        }
    }

    pub(crate) fn into_call(self) -> api::Claim {
        api::Claim {
            namespace: self.namespace,
            name: self.name,
            holder: self.holder,
            ttl_ms: Some(millis(self.ttl)),
            value: self.value,
            ..api::Claim::default()
        }
    }
}

/// Which lease to take, for whom and for how long, and how long to wait in line for it. What is allowed is checked by the
/// server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Who would hold it.
    pub holder: String,
    /// How long from when it is confirmed, and from each extend; in whole milliseconds.
    pub ttl: Duration,
    /// What readers of the lease shall see.
    pub value: Option<String>,
    /// How long to wait in line, up to a day; none for ever.
    pub timeout: Option<Duration>,
}

impl Acquire {
    /// In the default namespace, for 15 s, without a value; in line for ever.
    pub fn new(name: impl Into<String>, holder: impl Into<String>) -> Acquire {
        let Claim { namespace, name, holder, ttl, value } = Claim::new(name, holder);
        Acquire { namespace, name, holder, ttl, value, timeout: None }
    }

    pub(crate) fn into_call(self) -> api::Acquire {
        api::Acquire {
            namespace: self.namespace,
            name: self.name,
            holder: self.holder,
            ttl_ms: Some(millis(self.ttl)),
            value: self.value,
            timeout_ms: self.timeout.map(millis),
            ..api::Acquire::default()
        }
    }
}

/// To whom to hand a grant on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which holder: the first of its instances in line.
    pub to: String,
    /// Hand it on though nobody of that name waits: the first claim of that holder takes it, within 2 s.
    pub force: bool,
    /// How long the new grant lasts; none for as long as the waiter asked for, or as this one did.
    pub ttl: Option<Duration>,
}

impl Transfer {
    /// To this holder, if it waits in line.
    pub fn to(holder: impl Into<String>) -> Transfer {
        Transfer { to: holder.into(), force: false, ttl: None }
    }
}

impl Grant {
    pub(crate) fn transfer_call(&self, instance: u64, transfer: Transfer) -> api::Transfer {
        api::Transfer {
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
            token: self.token(),
            instance,
            to: transfer.to,
            force: transfer.force,
            ttl_ms: transfer.ttl.map(millis),
            deadline_ms: None,
        }
    }

    pub(crate) fn extend_call(&self, instance: u64, ttl: Duration) -> api::Extend {
        api::Extend {
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
            token: self.token(),
            instance: Some(instance),
            ttl_ms: Some(millis(ttl)),
            deadline_ms: None,
        }
    }

    pub(crate) fn release_call(&self, instance: u64) -> api::Release {
        api::Release {
            namespace: self.namespace().to_owned(),
            name: self.name().to_owned(),
            token: self.token(),
            instance: Some(instance),
            deadline_ms: None,
        }
    }
}

/// One step of [`crate::Session::bulk`].
#[derive(Clone, Debug)]
pub enum Step {
    /// As [`crate::Session::claim`].
    Claim(Claim),
    /// As [`crate::Session::extend`].
    Extend(Grant, Duration),
    /// As [`crate::Session::release`].
    Release(Grant),
}

impl Step {
    pub(crate) fn into_call(self, instance: u64) -> api::Step {
        match self {
            Step::Claim(claim) => api::Step::Claim(claim.into_call()),
            Step::Extend(grant, ttl) => api::Step::Extend(grant.extend_call(instance, ttl)),
            Step::Release(grant) => api::Step::Release(grant.release_call(instance)),
        }
    }

    pub(crate) fn cell(&self) -> Option<Arc<Cell>> {
        match self {
            Step::Claim(_) => None,
            Step::Extend(grant, _) | Step::Release(grant) => Some(grant.cell.clone()),
        }
    }
}

/// What a revoke came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// At once: the grant has ended, though its holder may still believe for a while.
    Ended(api::Released),
    /// It may not be extended, and ends at its deadline.
    Ending(api::Ending),
}

/// What one step of a bulk call came to, where it was done.
#[derive(Clone, Debug)]
pub enum Stepped {
    /// Of claim and extend.
    Granted(Grant),
    /// Of release.
    Released,
}
