//! How many extends a second a cluster does of very many leases that come in bulk frames, as an agent has that holds leases for a whole
//! machine.
//!
//! ```text
//!     session   ── extend 1 … 1000 ──▶ member   an outcome for each   then the next thousand of its own
//! ```
//!
//! Each session has its part of the leases, and one frame on its way; the time is of a frame. It is checked that each outcome is of the
//! token that was asked for, and at the end, of the service, that each lease is held under it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::closed_loop::{self, Act, Holder, Service, Trouble};
use super::rounds::{Round, alternate};
use super::tenure::{OneSession, Tenure};
use super::{At, Contender, Place, Report, check_holders, on_one_thread};
use crate::RunError;

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bulk {
    /// How many leases are held.
    pub leases: usize,
    /// By how many holders, each with a session of its own and one frame on its way.
    pub holders: usize,
    /// How many leases a frame extends.
    pub frame: usize,
    /// How long each round is measured, in seconds.
    pub seconds: u64,
    /// How many rounds.
    pub runs: u32,
    /// How many members there are, where they are its own.
    pub members: u64,
}

impl fmt::Display for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bulk { leases, holders, frame, seconds, runs, .. } = self;
        write!(f, "{leases} leases, extended by {holders} holders in frames of {frame}; {runs} x {seconds} s")
    }
}

/// Measures at this place, or at members of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(bulk: Bulk, at: &At, program: &Path) -> Result<Report<Bulk>, RunError> {
    check_holders(bulk.holders)?;
    let mut setting = None;
    let rounds = alternate(bulk.runs, &[Contender::Tenure], |_| {
        let place = Place::find(at, program, bulk.members)?;
        setting.get_or_insert_with(|| place.setting());
        on_one_thread(round(bulk, Framed { tenure: Tenure::at(&place), frame: bulk.frame }, &place.pids()))
    })?;
    Ok(Report {
        bench: "bulk",
        run: bulk,
        setting: setting.unwrap_or_else(super::Setting::unknown),
        ratio: None,
        checked: rounds.checked("each extend was answered for its own token"),
        results: rounds.results,
    })
}

async fn round(bulk: Bulk, service: Framed, pids: &[u32]) -> Result<Round, RunError> {
    let prefix = super::prefix("bulk");
    let mut holders = closed_loop::connect(&service, bulk.holders).await?;
    closed_loop::claim_all(&mut holders, bulk.leases, &prefix).await?;
    let lasts = Duration::from_secs(bulk.seconds);
    closed_loop::round(&service, holders, Act::Extend, &prefix, lasts, pids).await
}

/// Ours, where each call is a frame.
struct Framed {
    tenure: Tenure,
    frame: usize,
}

impl Service for Framed {
    type Holder = OneFramed;

    async fn connect(&self, number: usize) -> Result<OneFramed, RunError> {
        Ok(OneFramed { session: self.tenure.connect(number).await?, frame: self.frame })
    }

    async fn held(&self, prefix: &str) -> Result<BTreeMap<String, u64>, RunError> {
        self.tenure.held(prefix).await
    }
}

struct OneFramed {
    session: OneSession,
    frame: usize,
}

impl Holder for OneFramed {
    async fn claim(&mut self, name: String) -> Result<(), Trouble> {
        self.session.claim(name).await
    }

    async fn claim_all(&mut self, names: Vec<String>) -> Result<(), RunError> {
        self.session.claim_all(names).await
    }

    fn turns(&self) -> usize {
        self.session.turns().div_ceil(self.frame)
    }

    async fn extend(&mut self, turn: usize) -> Result<usize, Trouble> {
        self.session.extend_many(turn * self.frame, self.frame).await
    }

    fn believes(&self) -> Vec<(String, u64)> {
        self.session.believes()
    }

    async fn leave(self) {
        self.session.leave().await;
    }
}
