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
use super::etcd::Etcd;
use super::rounds::{Round, alternate};
use super::tenure::Tenure;
use super::{At, Contender, Place, Report, beside, check_holders, on_one_thread, services};
use crate::RunError;
use crate::etcd::servers::Servers;

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
    let other = beside(extend.vs)?;
    let mut setting = None;
    let rounds = alternate(extend.runs, &services(extend.vs), |service| match service {
        Contender::Tenure => {
            let place = Place::find(at, program, extend.members)?;
            setting.get_or_insert_with(|| place.setting());
            on_one_thread(round(extend, &Tenure::at(&place), &place.pids()))
        }
        Contender::Etcd => {
            let servers = Servers::start()?;
            on_one_thread(round(extend, &Etcd::at(&servers), &servers.pids()))
        }
    })?;
    Ok(Report {
        bench: "extend",
        run: extend,
        setting: setting.unwrap_or_else(super::Setting::unknown).beside(other),
        ratio: rounds.more_than(extend.vs, "ops_per_s"),
        checked: rounds.checked("each extend was answered for its own token"),
        results: rounds.results,
    })
}

async fn round<S: Service>(extend: Extend, service: &S, pids: &[u32]) -> Result<Round, RunError> {
    let prefix = super::prefix("extend");
    let mut holders = closed_loop::connect(service, extend.holders).await?;
    closed_loop::claim_all(&mut holders, extend.leases, &prefix).await?;
    let lasts = Duration::from_secs(extend.seconds);
    closed_loop::round(service, holders, Act::Extend, &prefix, lasts, pids).await
}
