//! H6, linearizable.

use super::evidence::Logged;
use super::{Evidence, Finding};
use crate::history::{Answer, Call, Change, Nanos};

/// **H6.** There is one order of all changes that agrees with the times of all calls and answers, and in it every lease follows
/// the model {free, held by one grant}.
///
/// The cluster names that order itself: the log's revisions. So nothing has to be searched: each answer says of some change
/// that it happened no earlier than its call left, or no later than its answer came. Times for all changes, in the order of the
/// log, exist if and only if no change that is not earlier than a moment stands before one that is not later than an earlier moment.
/// Calls without an answer bind nothing.
///
/// It needs the log and calls. Exceptions: a recovery by hand, after which the log begins anew.
pub(crate) fn linear(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    follows_the_model(evidence, &mut finding);
    if evidence.recovered.is_empty() {
        agrees_in_time(evidence, &mut finding);
    }
    finding
}

fn follows_the_model(evidence: &Evidence<'_>, finding: &mut Finding) {
    for (lease, changes) in &evidence.leases {
        let mut held: Option<(u64, usize)> = None;
        for Logged { event, place } in changes.iter().map(|i| evidence.log[*i]) {
            finding.look();
            let before = held.map_or(place, |(_, place)| place);
            match (&event.change, held) {
                (Change::Granted { token, .. }, None) => held = Some((*token, place)),
                (Change::Granted { token, .. }, Some((old, _))) => {
                    finding.broken(
                        before,
                        place,
                        format!("{lease} was granted as {token} while {old} held it"),
                    );
                    held = Some((*token, place));
                }
                (Change::Ended { token, .. }, Some((old, _))) if old == *token => held = None,
                (Change::Confirmed { token }, Some((old, _))) if old == *token => {}
                // What was granted before the log was first seen is not known.
                (Change::Ended { token, .. } | Change::Confirmed { token }, _)
                    if evidence.grants.contains_key(token) =>
                {
                    finding.broken(
                        before,
                        place,
                        format!("{lease}: token {token} changed while it did not hold it"),
                    );
                }
                _ => {}
            }
        }
    }
}

/// A moment, and the record that names it.
type Moment = (Nanos, usize);

/// What is known of the times of the changes in the log.
struct Bounds {
    /// Each change happened no earlier.
    earliest: Vec<Moment>,
    /// Each change happened no later.
    latest: Vec<Moment>,
}

impl Bounds {
    fn no_earlier(&mut self, change: usize, moment: Moment) {
        self.earliest[change] = self.earliest[change].max(moment);
    }

    fn no_later(&mut self, change: usize, moment: Moment) {
        self.latest[change] = self.latest[change].min(moment);
    }
}

fn agrees_in_time(evidence: &Evidence<'_>, finding: &mut Finding) {
    let seen = evidence.log.iter().map(|logged| (evidence.at(logged.place), logged.place)).collect();
    let mut bounds = Bounds { earliest: vec![(0, 0); evidence.log.len()], latest: seen };
    winners(evidence, &mut bounds);
    for op in &evidence.ops {
        let Some((answer, place)) = op.answer else { continue };
        finding.look();
        let (left, came) = ((evidence.at(op.invoked), op.invoked), (evidence.at(place), place));
        match (answer, &op.invoke.call) {
            (Answer::Granted { token }, _) | (Answer::Seen { token: Some(token), .. }, _) => {
                lived(evidence, &mut bounds, *token, left, came);
            }
            (Answer::Refused { code, token: Some(token) }, _) if code == "held" => {
                lived(evidence, &mut bounds, *token, left, came);
            }
            (Answer::Refused { code, .. }, Call::Extend { token, .. } | Call::Release { token })
                if code == "lost" || code == "stale_token" =>
            {
                if let Some((ended, _)) = evidence.grants.get(token).and_then(|life| life.ended) {
                    bounds.no_later(ended, came);
                }
            }
            (Answer::Done, Call::Release { token } | Call::Transfer { token }) => {
                if let Some((ended, _)) = evidence.grants.get(token).and_then(|life| life.ended) {
                    bounds.no_later(ended, came);
                }
            }
            (Answer::Seen { token: None, revision }, _) => {
                free(evidence, &mut bounds, &op.invoke.lease, *revision, left, came, finding);
            }
            _ => {}
        }
    }
    compare(&bounds, finding);
}

/// A new grant was made no earlier than its call left, and ended by its holder no earlier than that asked for it.
fn winners(evidence: &Evidence<'_>, bounds: &mut Bounds) {
    for (token, life) in &evidence.grants {
        if let Some((invoked, _)) = evidence.won.get(token) {
            bounds.no_earlier(life.granted, (evidence.at(*invoked), *invoked));
        }
        let by_hand = life.ended.filter(|(_, why)| matches!(*why, "released" | "transferred" | "revoked"));
        if let (Some((ended, _)), Some(asked)) = (by_hand, evidence.given_up.get(token)) {
            bounds.no_earlier(ended, (evidence.at(*asked), *asked));
        }
    }
}

/// The grant lived at some moment between.
fn lived(evidence: &Evidence<'_>, bounds: &mut Bounds, token: u64, left: Moment, came: Moment) {
    let Some(life) = evidence.grants.get(&token) else { return };
    bounds.no_later(life.granted, came);
    if let Some((ended, _)) = life.ended {
        bounds.no_earlier(ended, left);
    }
}

/// The lease was free at some moment between, in the state of this revision.
fn free(
    evidence: &Evidence<'_>,
    bounds: &mut Bounds,
    lease: &str,
    revision: u64,
    left: Moment,
    came: Moment,
    finding: &mut Finding,
) {
    let (before, after) = evidence.around(lease, revision);
    if let Some(before) = before {
        bounds.no_later(before, came);
        if let Some(held) = evidence.held_after(before) {
            let says =
                format!("{lease} was seen to be free at revision {revision}, and token {held} held it");
            finding.broken(evidence.log[before].place, came.1, says);
        }
    }
    if let Some(after) = after {
        bounds.no_earlier(after, left);
    }
}

fn compare(bounds: &Bounds, finding: &mut Finding) {
    let mut earliest = (0, 0);
    for (from, until) in bounds.earliest.iter().zip(&bounds.latest) {
        finding.look();
        earliest = earliest.max(*from);
        if earliest.0 > until.0 {
            let gap_us = (earliest.0 - until.0) / 1_000;
            let says = format!(
                "a change that happened before the one record stands in the log behind one that happened after the other, \
                 {gap_us} us later"
            );
            finding.broken(earliest.1, until.1, says);
        }
    }
}
