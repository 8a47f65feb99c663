//! The fast simulation: from one seed, a small cluster's leaders and its clients live some simulated seconds of trouble.
//!
//! ```text
//!   seed ─▶ chance ─▶ faults, callers, an operator
//!                         │
//!     client::Machine ◀──network──▶ door ──▶ replica::Handle ─▶ driver (real) ─▶ engine: one perfect log
//!       (real, several)               ▲                                              │ commits, in order
//!                                     └──── answers ◀──── apply (real) ◀─────────────┘
//!                                                            │
//!                                     invariants ◀───────────┴─── and all that anybody believes
//! ```
//!
//! What is real: the lease table, the batcher, the lease clock, the queue, the waits, the driver, the session's machine. What is
//! not: Raft (there is one log, in which committed entries never change and a leader may be deposed at any time), sockets, disks
//! and tasks. Time is an event queue ordered by time and number; every member and every client counts it at a rate of its own,
//! within rho. The same seed gives the same events, to the byte of the trace.
//!
//! The rooms: `world` is what happens and when; `log` the engine, `cluster`, `member` and `door` the members, `client` and `operator` who uses
//! it, `faults` what goes wrong; `invariants` has a file for each promise. `caller` and `operates` are what anybody asks here and in
//! `whole`.

#![allow(clippy::result_large_err, reason = "a violation ends the run: it costs nothing to move it once")]

mod caller;
mod chance;
mod client;
mod clock;
mod cluster;
pub mod command;
mod door;
mod faults;
mod invariants;
mod log;
mod member;
mod operates;
mod operator;
mod peers;
pub mod tally;
mod trouble;
pub mod whole;
mod world;

use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed that shows it.
    pub seed: u64,
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// Which invariant.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {}: {}: {}", self.seed, clock::Shown(self.at), self.invariant, self.what)
    }
}

/// What a seed came to.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// How many voters its cluster began with; 0 where it has no voters.
    pub voters: u64,
    /// How long it lasted, in simulated time; zero where that is not told.
    pub lived: Duration,
    /// How long a core was busy with it.
    pub took: Duration,
    /// How many events there were.
    pub events: u64,
    /// A line an event, where it was asked for.
    pub trace: String,
    /// What happened, where it is counted.
    pub tally: tally::Tally,
}

impl PartialEq for Ran {
    /// How long it took is not the seed's.
    fn eq(&self, other: &Ran) -> bool {
        let seeds = |it: &Ran| (it.voters, it.lived, it.events);
        seeds(self) == seeds(other) && self.trace == other.trace && self.tally == other.tally
    }
}

/// Whether to write down what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A line an event.
    Kept,
    /// Nothing.
    Off,
}

/// Lives through one seed.
pub fn run(seed: u64, trace: Trace) -> (Ran, Result<(), Violation>) {
    let began = busy();
    let (mut ran, kept) = world::World::new(seed, trace).run();
    ran.took = busy() - began;
    (ran, kept)
}

/// How long a core has been busy with this thread.
fn busy() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
