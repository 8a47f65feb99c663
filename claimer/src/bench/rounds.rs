//! Rounds: each service in its turn, again and again, and of each figure the median. So a machine that is busy for a while does not
//! decide between two services.
//!
//! ```text
//!     tenure  etcd  tenure  etcd  tenure  etcd
//!        └──────┴─────┬─┴──────┴────┬───┴────┘      each on servers of its own, which are gone before the next begins
//!                  medians: tenure, etcd ──▶ ratio
//! ```

use std::collections::BTreeMap;

use super::cost::Cost;
use super::{Figure, Times};
use crate::RunError;
use crate::target::Contender;

/// What one round came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) figures: BTreeMap<&'static str, Figure>,
    /// Leases that were not their holder's any more.
    pub(super) lost: u64,
    /// Calls and connections that failed.
    pub(super) errors: u64,
    /// The first reason for either.
    pub(super) why: Option<String>,
    /// How many leases were looked at in the end.
    pub(super) looked_at: u64,
}

impl Round {
    pub(super) fn add(&mut self, name: &'static str, figure: Figure) {
        self.figures.insert(name, figure);
    }

    /// The usual quantiles, of times of this kind: `""`, `"claim"` or `"extend"`.
    pub(super) fn add_times(&mut self, kind: &str, times: &Times) {
        let names = match kind {
            "claim" => ["claim_p50_ms", "claim_p99_ms", "claim_p999_ms", "claim_max_ms"],
            "extend" => ["extend_p50_ms", "extend_p99_ms", "extend_p999_ms", "extend_max_ms"],
            _ => ["p50_ms", "p99_ms", "p999_ms", "max_ms"],
        };
        for (name, quantile) in names.into_iter().zip([0.5, 0.99, 0.999, 1.0]) {
            self.add(name, Figure::Number(times.millis_at(quantile)));
        }
    }

    /// Resident memory of all servers, and of each.
    pub(super) fn add_memory(&mut self, cost: &Cost) {
        self.add("rss_bytes", Figure::Count(cost.rss_bytes_all()));
        self.add("rss_bytes_each", Figure::Counts(cost.rss_bytes.clone()));
    }
}

/// All rounds of all services.
pub(super) struct Rounds {
    /// The figures of each service: medians, and of what was lost or failed the sum.
    pub(super) results: BTreeMap<&'static str, BTreeMap<&'static str, Figure>>,
    /// Why something was lost or failed, and of whom.
    pub(super) troubles: Vec<String>,
    /// How many leases were looked at in the end, in all rounds of ours.
    pub(super) looked_at: u64,
}

/// Runs so many rounds of each service, in turn.
pub(super) fn alternate(
    runs: u32,
    services: &[Contender],
    mut round: impl FnMut(Contender) -> Result<Round, RunError>,
) -> Result<Rounds, RunError> {
    let mut all: BTreeMap<&'static str, Vec<Round>> = BTreeMap::new();
    for _ in 0..runs {
        for service in services {
            all.entry(service.name()).or_default().push(round(*service)?);
        }
    }
    let troubles = all.iter().filter_map(|(service, rounds)| {
        let why = rounds.iter().find_map(|round| round.why.as_ref())?;
        Some(format!("{service}: {why}"))
    });
    let troubles = troubles.collect();
    let ours = all.get(Contender::Tenure.name());
    let looked_at = ours.map_or(0, |rounds| rounds.iter().map(|round| round.looked_at).sum());
    let results = all.into_iter().map(|(service, rounds)| (service, together(&rounds))).collect();
    Ok(Rounds { results, troubles, looked_at })
}

fn together(rounds: &[Round]) -> BTreeMap<&'static str, Figure> {
    let names = rounds.first().into_iter().flat_map(|round| round.figures.keys());
    let mut figures: BTreeMap<_, _> = names
        .filter_map(|name| {
            let all: Vec<&Figure> = rounds.iter().filter_map(|round| round.figures.get(name)).collect();
            Some((*name, median(&all)?))
        })
        .collect();
    figures.insert("lost", Figure::Count(rounds.iter().map(|round| round.lost).sum()));
    figures.insert("errors", Figure::Count(rounds.iter().map(|round| round.errors).sum()));
    figures
}

/// The middle one; of an even number the lower of the two, so that it is one that was measured.
fn median(figures: &[&Figure]) -> Option<Figure> {
    let mut sorted: Vec<&Figure> = figures.to_vec();
    sorted.sort_by(|a, b| a.size().total_cmp(&b.size()));
    sorted.get((sorted.len().checked_sub(1)?) / 2).map(|figure| (*figure).clone())
}

impl Rounds {
    /// How many times another service's figure ours is.
    pub(super) fn more_than(&self, other: Option<Contender>, figure: &str) -> Option<f64> {
        let of = |service: Contender| Some(self.results.get(service.name())?.get(figure)?.size());
        let (ours, theirs) = (of(Contender::Tenure)?, of(other?)?);
        (theirs > 0.0).then(|| ours / theirs)
    }

    /// What was checked of each round, as a report says it: this, and that the service was asked in the end; and what was found
    /// that is not as it should be.
    pub(super) fn checked(&self, first: &str) -> Vec<String> {
        let count = |name: &str| self.results.get(name)?.get("lost").map(Figure::size);
        let lost = count(Contender::Tenure.name()).unwrap_or_default();
        let asked = format!(
            "of {} leases, all but {lost} are held as their holders were told, says the service",
            self.looked_at
        );
        let mut checked = vec![first.to_owned(), asked];
        checked.extend(self.troubles.iter().cloned());
        checked
    }

    /// How many times ours another service's figure is: of times, where less is better.
    pub(super) fn less_than(&self, other: Option<Contender>, figure: &str) -> Option<f64> {
        self.more_than(other, figure).filter(|ratio| *ratio > 0.0).map(f64::recip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_take_turns_and_each_figure_is_its_median() {
        let mut turns = Vec::new();
        let mut speeds = [5.0, 1.0, 9.0, 2.0, 7.0, 3.0].into_iter();
        let rounds = alternate(3, &[Contender::Tenure, Contender::Etcd], |service| {
            turns.push(service.name());
            let mut round = Round { lost: 1, ..Round::default() };
            round.add("ops_per_s", Figure::Number(speeds.next().unwrap_or_default()));
            Ok(round)
        });
        let rounds = rounds.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(turns, ["tenure", "etcd", "tenure", "etcd", "tenure", "etcd"]);
        assert_eq!(rounds.results["tenure"]["ops_per_s"], Figure::Number(7.0));
        assert_eq!(rounds.results["etcd"]["lost"], Figure::Count(3));
        assert_eq!(rounds.more_than(Some(Contender::Etcd), "ops_per_s"), Some(3.5));
        assert_eq!(rounds.less_than(Some(Contender::Etcd), "ops_per_s"), Some(1.0 / 3.5));
        assert_eq!(rounds.more_than(None, "ops_per_s"), None);
    }
}
