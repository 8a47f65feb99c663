//! What the holders of a run saw, each on its own clock: the one record from which lines, latencies and the verdict
//! are made.
//!
//! All processes of a run share one machine, and so one clock: CLOCK_BOOTTIME, in nanoseconds since the machine
//! started. Events of different processes can therefore be put side by side without any agreement between them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A reading of the machine's clock, in nanoseconds since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// How long from `earlier` until this reading; zero where it is not later.
    pub fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The reading `length` later.
    pub fn plus(self, length: Duration) -> Nanos {
        Nanos(self.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// What one holder saw, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When the holder knew it.
    pub at: Nanos,
    /// Which holder: its place in the workload.
    pub holder: u32,
    /// What it saw.
    pub what: What,
}

/// What a holder can see. `took` is always from right before the call was sent until its answer was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Its connection stands.
    Connected {
        /// How long that took.
        took: Duration,
        /// The process that it belongs to.
        pid: u32,
        /// Which connection of that process it is, from 1.
        number: u32,
    },
    /// There is no connection yet, and another try will be made.
    ConnectFailed {
        /// Where to.
        to: String,
        /// Why.
        why: String,
    },
    /// Its connection broke: it connects again.
    Disconnected,
    /// It has a new grant.
    Claimed {
        /// The grant's token.
        token: u64,
        /// Until when it believes.
        until: Nanos,
        /// How long the call took.
        took: Duration,
    },
    /// Its grant goes on.
    Extended {
        /// The grant's token.
        token: u64,
        /// Until when it believes.
        until: Nanos,
        /// Since when it has held the lease.
        held: Duration,
        /// How long the call took.
        took: Duration,
    },
    /// Its grant has ended: it learnt so from an extend.
    Lost {
        /// How long it had held the lease.
        held: Duration,
        /// How long the call took.
        took: Duration,
    },
    /// Another has the lease.
    Denied {
        /// How long the call took.
        took: Duration,
    },
    /// Its wait was answered: the lease was free.
    Waited {
        /// How long it waited.
        took: Duration,
    },
    /// A call was surely not done; it will be made again.
    Failed {
        /// Which call.
        call: Call,
        /// How long until that was known.
        took: Duration,
        /// Why.
        why: String,
    },
    /// A call can never be right: the run is over.
    Wrong {
        /// Why.
        why: String,
    },
    /// A call has no answer and may have happened; it will be repeated.
    TimedOut {
        /// Which call.
        call: Call,
        /// How long it was waited for.
        took: Duration,
        /// Why.
        why: String,
    },
}

/// The calls of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Claim a free lease.
    Claim,
    /// Extend a grant.
    Extend,
    /// Wait until the lease is free.
    Wait,
}
