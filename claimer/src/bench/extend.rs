//! How many extends a service does, and what each costs its servers: a closed loop of holders that extend their leases in turn.
//!
//! Every extend of Tenure's is in its log, synced on a majority, when it is acknowledged. etcd's is a LeaseKeepAlive, which its leader
//! answers from memory: no log has it, and a new leader starts every lease anew. So the two are not the same act; they are what a program
//! does for the same end.
//!
//! It is checked that each answer is of the token that was asked for, and at the end, of the service, that each lease is held under it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::closed_loop::{self, Act, Service};
use super::in_turn::{Alike, in_turn};
use super::rounds::Round;
use super::{At, Contender, Report, check_holders};
use crate::RunError;

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Extend {
    /// How many leases are held.
    pub leases: usize,
    /// By how many holders, each on a connection of its own with one extend on its way.
    pub holders: usize,
    /// How long each round is measured, in seconds.
    pub seconds: u64,
    /// How many rounds.
    pub runs: u32,
    /// How many members there are, where they are its own.
    pub members: u64,
    /// What is measured beside.
    pub vs: Option<Contender>,
}

impl fmt::Display for Extend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Extend { leases, holders, seconds, runs, .. } = self;
        write!(f, "{leases} leases, extended by {holders} holders one after the other; {runs} x {seconds} s")
    }
}

/// Measures at this place, or at members of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(extend: Extend, at: &At, program: &Path) -> Result<Report<Extend>, RunError> {
    check_holders(extend.holders)?;
    if extend.leases < extend.holders {
        return Err(RunError::Wrong(format!(
            "of {} leases not each of {} holders has one: give --leases {} or more, or fewer --holders",
            extend.leases, extend.holders, extend.holders
        )));
    }
    let turns = (extend.runs, extend.members, extend.vs);
    let (rounds, setting) = in_turn(extend, turns, at, program)?;
    Ok(Report {
        bench: "extend",
        run: extend,
        setting,
        ratio: rounds.more_than(extend.vs, "ops_per_s"),
        checked: rounds.checked("each extend was answered for its own token"),
        results: rounds.results,
    })
}

impl Alike for Extend {
    async fn round<S: Service>(self, service: &S, pids: &[u32]) -> Result<Round, RunError> {
        let prefix = super::prefix("extend");
        let mut holders = closed_loop::connect(service, self.holders).await?;
        closed_loop::claim_all(&mut holders, self.leases, &prefix).await?;
        let lasts = Duration::from_secs(self.seconds);
        closed_loop::round(service, holders, Act::Extend, &prefix, lasts, pids).await
    }
}
