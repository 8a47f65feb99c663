//! What those who hold leases notice while three times as much is asked of a cluster as it can do.
//!
//! ```text
//!   keepers   extend, each lease when its grant's field says ──────────────────────────────────────────────▶
//!   flood              as fast as answered │   three times that, whatever is answered   │
//!             ├ before ┤                   ├───────────────── during ──────────────────┤  30 s  ├ after ┤
//! ```
//!
//! The keepers' loop is open: each extend is timed from when it was due, however late the one before was answered. The flood claims
//! leases that nobody has had, in frames of many, for a short ttl that nobody extends, so that the table does not grow for ever. First its loop is closed, so
//! many frames on their way: the rate at which they are granted is what saturates the cluster. Then it is open, at three times that rate:
//! each claim is sent when it is due and is not tried again, and how long its answer took counts from when it was sent. Where one
//! machine has the servers and the flood too, it may not get to send so many; `offered_per_s` is what it did.
//!
//! It is checked that each extend is answered for its own grant, that every lease is held under its token in the end, says the service,
//! that every claim was answered or counted as not, and that no token was granted twice.

mod flood;
mod keepers;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::flood::{Flood, Offered};
use self::keepers::{Extended, Keepers};
use super::closed_loop::Service;
use super::cost::Cost;
use super::rounds::Round;
use super::tenure::Tenure;
use super::{At, Figure, Place, Report, Times, broken, check_holders, on_one_thread};
use crate::RunError;
use crate::target::Contender;

/// How many times more is offered than saturates.
const TIMES_TOO_MUCH: f64 = 3.0;
/// How long the closed loop looks for the rate that saturates, behind a second of warm-up.
const SATURATES_IN: Duration = Duration::from_secs(5);
/// How long extends are measured before the load, and again behind it.
const QUIET: Duration = Duration::from_secs(5);

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Overload {
    /// How many leases are held.
    pub leases: usize,
    /// By how many holders, each on a connection of its own.
    pub holders: usize,
    /// Their ttl, in seconds; each is extended at about a third of it.
    pub ttl_s: u64,
    /// Over how many connections claims are offered.
    pub claimers: usize,
    /// How many claims share a frame.
    pub frame: usize,
    /// How long too much is offered, in seconds.
    pub seconds: u64,
    /// How long behind it extends are measured again, in seconds.
    pub settle_s: u64,
    /// How many members there are, where they are its own.
    pub members: u64,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overload { leases, holders, claimers, seconds, .. } = self;
        write!(
            f,
            "{leases} leases kept by {holders} holders, while {claimers} claim {TIMES_TOO_MUCH} times as much as can be done, \
             for {seconds} s"
        )
    }
}

/// Measures at this place, or at members of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(overload: Overload, at: &At, program: &Path) -> Result<Report<Overload>, RunError> {
    check_holders(overload.holders + overload.claimers)?;
    let place = Place::find(at, program, overload.members)?;
    if place.reach.endpoints.iter().any(client::Endpoint::is_tls) {
        return Err(RunError::Wrong(
            "too much is offered over plain connections: leave --tls and https:// out".into(),
        ));
    }
    let prefix = super::prefix("overload");
    let keepers = Keepers::gather(&place.reach, overload, format!("{prefix}kept/"))?;
    let before = quiet();
    let flood =
        Flood { reach: place.reach.clone(), claimers: overload.claimers, frame: overload.frame, prefix };
    let saturates_at = flood.saturate(SATURATES_IN)?;
    let cost = Cost::of(&place.pids());
    let begun = Instant::now();
    let offered = flood.offer(saturates_at * TIMES_TOO_MUCH, Duration::from_secs(overload.seconds))?;
    let during = (begun, Instant::now());
    let flooded = Cost::of(&place.pids());
    std::thread::sleep(Duration::from_secs(overload.settle_s));
    let after = quiet();
    let kept = keepers.stop()?;
    let held = on_one_thread(Tenure::at(&place).held(&kept.prefix))?;

    let wrong = kept.believes.iter().filter(|(name, token)| held.get(name) != Some(token)).count() as u64;
    let mut round = Round {
        lost: kept.lost.max(wrong),
        errors: kept.errors + offered.failed,
        why: kept.why.or_else(|| offered.why.clone()),
        looked_at: kept.believes.len() as u64,
        ..Round::default()
    };
    round.add("saturates_at_per_s", Figure::Number(saturates_at));
    add_extends(&mut round, NAMES_BEFORE, &kept.extends, before)?;
    add_extends(&mut round, NAMES_DURING, &kept.extends, during)?;
    add_extends(&mut round, NAMES_AFTER, &kept.extends, after)?;
    add_offered(&mut round, &offered);
    if let (Some(cost), Some(flooded)) = (cost, flooded) {
        round.add("server_cpu_s", Figure::Number(flooded.cpu_since(&cost).as_secs_f64()));
        round.add_memory(&flooded);
    }
    report(overload, &place, round, &offered)
}

fn report(
    overload: Overload,
    place: &Place,
    round: Round,
    offered: &Offered,
) -> Result<Report<Overload>, RunError> {
    let distinct = offered.distinct_tokens();
    if distinct != offered.done() {
        return Err(broken(format!("{} claims were granted {distinct} tokens", offered.done())));
    }
    let name = Contender::Tenure.name();
    let mut round = Some(round);
    let rounds = super::rounds::alternate(1, &[Contender::Tenure], |_| Ok(round.take().unwrap_or_default()))?;
    let mut checked = rounds.checked("each extend was answered for its own grant");
    checked.push(format!("{distinct} claims were granted, each under a token of its own"));
    debug_assert!(rounds.results.contains_key(name), "one round was made");
    Ok(Report {
        bench: "overload",
        run: overload,
        setting: place.setting(),
        ratio: None,
        checked,
        results: rounds.results,
    })
}

/// Lets some time pass in which nothing but extends happens.
fn quiet() -> (Instant, Instant) {
    let begun = Instant::now();
    std::thread::sleep(QUIET);
    (begun, Instant::now())
}

type Names = [&'static str; 4];
const NAMES_BEFORE: Names = ["before_p50_ms", "before_p99_ms", "before_p999_ms", "before_max_ms"];
const NAMES_DURING: Names = ["extend_p50_ms", "extend_p99_ms", "extend_p999_ms", "extend_max_ms"];
const NAMES_AFTER: Names = ["after_p50_ms", "after_p99_ms", "after_p999_ms", "after_max_ms"];
const NAMES_REFUSED: Names = ["refusal_p50_ms", "refusal_p99_ms", "refusal_p999_ms", "refusal_max_ms"];
const NAMES_DONE: Names = ["claim_p50_ms", "claim_p99_ms", "claim_p999_ms", "claim_max_ms"];

/// The extends that were due between two instants.
fn add_extends(
    round: &mut Round,
    names: Names,
    extends: &[Extended],
    (from, until): (Instant, Instant),
) -> Result<(), RunError> {
    let mut times = Times::new()?;
    let due = extends.iter().filter(|extended| from <= extended.due && extended.due < until);
    due.for_each(|extended| times.record(extended.took));
    add_times(round, names, &times);
    Ok(())
}

fn add_offered(round: &mut Round, offered: &Offered) {
    round.add("offered_per_s", Figure::Number(offered.per_s()));
    round.add("claims_done", Figure::Count(offered.done()));
    round.add("claims_overloaded", Figure::Count(offered.overloaded));
    round.add("claims_timed_out", Figure::Count(offered.timed_out));
    round.add("refused_too_late", Figure::Count(offered.too_late));
    round.add("refused_without_when", Figure::Count(offered.without_when));
    add_times(round, NAMES_REFUSED, &offered.refusals);
    add_times(round, NAMES_DONE, &offered.claims);
}

fn add_times(round: &mut Round, names: Names, times: &Times) {
    for (name, quantile) in names.into_iter().zip([0.5, 0.99, 0.999, 1.0]) {
        round.add(name, Figure::Number(times.millis_at(quantile)));
    }
}
