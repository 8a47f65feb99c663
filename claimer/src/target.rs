//! What is claimed against: one trait, so that every figure compares like with like.
//!
//! A target opens a holder's session, and a session makes the three calls of the loop in `holder`. A target
//! keeps no time and no counts, prints nothing and retries nothing: it only says what came of a call.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::Nanos;

/// Which service is claimed against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// Ours.
    #[default]
    Tenure,
    /// etcd's.
    Etcd,
}

impl Contender {
    /// As figures and messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Contender::Tenure => "tenure",
            Contender::Etcd => "etcd",
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A service that can be claimed against.
pub trait Target: 'static {
    /// One holder's connection.
    type Session: Session;

    /// Opens a session for a seat.
    ///
    /// # Errors
    /// In words, where there is no connection.
    fn connect(&self, seat: &Seat) -> impl Future<Output = Result<Self::Session, String>>;
}

/// Whose session it is.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The holder's number in the workload.
    pub number: u32,
    /// The holder: `a0000/0`.
    pub holder: String,
    /// The endpoint that it starts at.
    pub endpoint: String,
    /// The lease that it wants: `a0000`.
    pub lease: String,
    /// The ttl of its claims and extends, in milliseconds.
    pub ttl_ms: u64,
}

/// The calls of one holder.
pub trait Session {
    /// Asks for the lease.
    ///
    /// # Errors
    /// [`No`], in its kinds.
    fn claim(&mut self, which: Attempt) -> impl Future<Output = Result<Granted, No>>;

    /// Extends the grant of `token`.
    ///
    /// # Errors
    /// [`No`], in its kinds.
    fn extend(&mut self, token: u64) -> impl Future<Output = Result<Granted, No>>;

    /// Waits until the lease is free in a state not older than `after`.
    ///
    /// # Errors
    /// [`No`], in its kinds.
    fn wait(&mut self, after: Option<u64>) -> impl Future<Output = Result<(), No>>;
}

/// Whether a claim repeats one whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A claim of its own.
    New,
    /// The last claim once more, under the same number: so that it takes effect at most once.
    Repeat,
}

/// A grant, as its holder is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its token.
    pub token: u64,
    /// Until when the holder may believe, counted from before the call was sent.
    pub until: Nanos,
}

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// Another has the lease: wait until it is free.
    Held {
        /// The revision at which this was so: what the wait starts from.
        after: Option<u64>,
    },
    /// The grant has ended.
    Lost,
    /// Surely not done: worth another try.
    Again {
        /// When, where the server says.
        after: Option<Duration>,
        /// Why.
        why: String,
    },
    /// It may have happened.
    Unknown {
        /// Why.
        why: String,
    },
    /// The connection is gone, and whether the call was done is not known.
    Gone {
        /// Why.
        why: String,
    },
    /// The call is wrong, and always will be: the run cannot go on.
    Wrong {
        /// Why.
        why: String,
    },
}
