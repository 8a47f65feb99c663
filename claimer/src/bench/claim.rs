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
use super::etcd::Etcd;
use super::rounds::{Round, alternate};
use super::tenure::Tenure;
use super::{At, Contender, Place, Report, beside, check_holders, on_one_thread, services};
use crate::RunError;
use crate::etcd::servers::Servers;

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
    let other = beside(claim.vs)?;
    let mut setting = None;
    let rounds = alternate(claim.runs, &services(claim.vs), |service| match service {
        Contender::Tenure => {
            let place = Place::find(at, program, claim.members)?;
            setting.get_or_insert_with(|| place.setting());
            on_one_thread(round(claim, &Tenure::at(&place), &place.pids()))
        }
        Contender::Etcd => {
            let servers = Servers::start()?;
            on_one_thread(round(claim, &Etcd::at(&servers), &servers.pids()))
        }
    })?;
    Ok(Report {
        bench: "claim",
        run: claim,
        setting: setting.unwrap_or_else(super::Setting::unknown).beside(other),
        ratio: rounds.more_than(claim.vs, "ops_per_s"),
        checked: rounds.checked("each claim was granted"),
        results: rounds.results,
    })
}

async fn round<S: Service>(claim: Claim, service: &S, pids: &[u32]) -> Result<Round, RunError> {
    let prefix = super::prefix("claim");
    let holders = closed_loop::connect(service, claim.holders).await?;
    let each = claim.leases.div_ceil(claim.holders);
    let lasts = Duration::from_secs(claim.seconds);
    closed_loop::round(service, holders, Act::Claim(each), &prefix, lasts, pids).await
}
