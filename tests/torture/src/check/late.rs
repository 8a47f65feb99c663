//! H5, late by a known bound.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding, MS};
use crate::history::{Call, Nanos, What};

/// The longest that a holder has to take up a grant that it won by waiting.
const CONFIRM: Nanos = 2_000 * MS;

/// **H5.** A grant that nobody extends any more is seen to end by D / (1 - rho) after the last answer that its holder may have
/// had, and a tick, a commit and a watch; each change of the leader adds what it may, and time in trouble is not counted.
/// One that lives at the history's end must not be over for so long.
///
/// It needs the log, calls and beliefs, and spans of faults. It looks only at grants that an answer names, and at those
/// that a session keeps from the end of belief on. Exceptions: none; pins are not in these histories.
pub(crate) fn late(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    let last = last_extends(evidence);
    let leaders = leader_changes(evidence);
    for (token, life) in &evidence.grants {
        let granted = evidence.seen_at(life.granted);
        let unconfirmed = Last { at: granted, place: evidence.log[life.granted].place, length: CONFIRM };
        let Some(last) = last.get(token).copied().or_else(|| (!life.confirmed).then_some(unconfirmed)) else {
            continue;
        };
        let ended = match life.ended {
            Some((i, "expired" | "unconfirmed")) => Some(evidence.log[i].place),
            Some(_) => continue,
            None => None,
        };
        finding.look();
        let place = ended.unwrap_or(evidence.records.len() - 1);
        let seen = evidence.at(place);
        // A call that was still on its way may have been the last.
        if seen <= last.at {
            continue;
        }
        let changes =
            leaders.partition_point(|at| *at <= seen) - leaders.partition_point(|at| *at <= last.at);
        let due = last.due(evidence)
            + evidence.trouble.length(last.at, seen)
            + evidence.limits.leader_change.saturating_mul(changes as u64);
        if seen > due {
            let late_ms = (seen - due) / MS;
            let lease = life.lease;
            let says = match ended {
                Some(_) => {
                    format!("token {token} of {lease} ended {late_ms} ms after the latest time for it")
                }
                None => format!(
                    "token {token} of {lease} still stands, {late_ms} ms after the latest time for its end"
                ),
            };
            finding.broken(last.place, place, says);
        }
    }
    finding
}

/// The last that may have moved a grant's deadline.
#[derive(Clone, Copy)]
struct Last {
    at: Nanos,
    place: usize,
    length: Nanos,
}

impl Last {
    fn due(&self, evidence: &Evidence<'_>) -> Nanos {
        let rates = u128::from(1_000 - evidence.limits.rho_per_mille);
        let length = u64::try_from(u128::from(self.length) * 1_000 / rates).unwrap_or(Nanos::MAX);
        self.at.saturating_add(length).saturating_add(evidence.limits.late)
    }
}

fn last_extends(evidence: &Evidence<'_>) -> BTreeMap<u64, Last> {
    let mut last: BTreeMap<u64, Last> = BTreeMap::new();
    let mut note = |token: u64, place: usize, at: Nanos, ttl_ms: u64| {
        let news = Last { at, place, length: ttl_ms.saturating_mul(MS) };
        let known = last.entry(token).or_insert(news);
        *known =
            Last { length: known.length.max(news.length), ..if news.at >= known.at { news } else { *known } };
    };
    for op in &evidence.ops {
        let token = match op.invoke.call {
            Call::Extend { token, .. } => Some(token),
            _ => op.granted(),
        };
        let (Some(token), Some(ttl_ms)) = (token, op.ttl_ms()) else { continue };
        // A call without an answer may be on its way until the end.
        let (place, at) = op.returned().map_or((op.invoked, Nanos::MAX), |place| (place, evidence.at(place)));
        note(token, place, at, ttl_ms);
    }
    let mut kept = BTreeSet::new();
    for (place, record) in evidence.records.iter().enumerate() {
        match &record.what {
            // Its session may extend it for as long as it is believed.
            What::Believe(news) if news.kept => {
                kept.insert(news.token);
                note(news.token, place, record.at.max(news.until), news.ttl_ms);
            }
            What::Doubt(doubt) if kept.contains(&doubt.token) => note(doubt.token, place, record.at, 0),
            _ => {}
        }
    }
    last
}

/// When a later term's leader was first seen.
fn leader_changes(evidence: &Evidence<'_>) -> Vec<Nanos> {
    let mut changes = Vec::new();
    let mut latest = None;
    for record in evidence.records {
        let What::Leader(leader) = &record.what else { continue };
        if latest.is_some_and(|term| leader.term > term) {
            changes.push(record.at);
        }
        latest = latest.max(Some(leader.term));
    }
    changes
}
