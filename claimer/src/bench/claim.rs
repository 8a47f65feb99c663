//! How many new leases a service grants, and what each costs its servers: a closed loop of holders that claim leases nobody has had.
//!
//! A claim of Tenure's is one call. etcd's is two: a LeaseGrant, and a transaction that creates the key with that lease where it is absent.
//! Both are in the log, synced on a majority, when they are acknowledged.
//!
//! It is checked at the end, of the service, that each lease is held under the token that its holder was told.

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
pub struct Claim {
    /// How many leases are claimed in each round at most.
    pub leases: usize,
    /// By how many holders, each on a connection of its own with one claim on its way.
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

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim { holders, seconds, runs, .. } = self;
        write!(f, "new leases, claimed by {holders} holders one after the other; {runs} x {seconds} s")
    }
}

/// Measures at this place, or at members of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(claim: Claim, at: &At, program: &Path) -> Result<Report<Claim>, RunError> {
    check_holders(claim.holders)?;
    let turns = (claim.runs, claim.members, claim.vs);
    let (rounds, setting) = in_turn(claim, turns, at, program)?;
    Ok(Report {
        bench: "claim",
        run: claim,
        setting,
        ratio: rounds.more_than(claim.vs, "ops_per_s"),
        checked: rounds.checked("each claim was granted"),
        results: rounds.results,
    })
}

impl Alike for Claim {
    async fn round<S: Service>(self, service: &S, pids: &[u32]) -> Result<Round, RunError> {
        let prefix = super::prefix("claim");
        let holders = closed_loop::connect(service, self.holders).await?;
        let each = self.leases.div_ceil(self.holders);
        let lasts = Duration::from_secs(self.seconds);
        closed_loop::round(service, holders, Act::Claim(each), &prefix, lasts, pids).await
    }
}
