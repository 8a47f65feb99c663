//! H7, waiters.

use super::evidence::Op;
use super::{Evidence, Finding, MS};
use crate::history::{Answer, Call, Nanos};

/// How much longer than its own time a wait may go without an answer: its client takes its member for silent then.
const SLACK: Nanos = 5_000 * MS;
/// Of so many waits all but one are told in time.
const OF: usize = 1_000;

/// **H7.** Each wait ends once. It is told that its lease is free only at a revision at which it was free, which is not
/// older than the one that it named or, where it named none, was not past before it asked; and, where nothing is in trouble, soon
/// after.
///
/// It needs the log and waits. Exceptions: a wait of a client that is gone needs no end.
pub(crate) fn waiters(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    if let Some((first, second)) = evidence.answered_twice.first() {
        finding.broken(*first, *second, "a call was answered twice".to_owned());
    }
    let mut delays = Vec::new();
    for op in &evidence.ops {
        let Call::Wait { after, timeout_ms } = op.invoke.call else { continue };
        finding.look();
        match op.answer {
            Some((Answer::Free { revision }, place)) => {
                told(evidence, op, after, *revision, place, &mut finding);
                delays.extend(delay(evidence, op, *revision, place));
            }
            Some(_) => {}
            None => unended(evidence, op, timeout_ms, &mut finding),
        }
    }
    in_time(evidence, delays, &mut finding);
    finding
}

fn told(
    evidence: &Evidence<'_>,
    op: &Op<'_>,
    wanted: Option<u64>,
    revision: u64,
    place: usize,
    finding: &mut Finding,
) {
    let lease = &op.invoke.lease;
    if let Some(wanted) = wanted.filter(|wanted| *wanted > revision) {
        let says =
            format!("a wait for {lease} after revision {wanted} was answered from revision {revision}");
        finding.broken(op.invoked, place, says);
    }
    let (before, after) = evidence.around(lease, revision);
    if let Some((before, held)) = before.and_then(|before| Some((before, evidence.held_after(before)?))) {
        let says =
            format!("a wait was told that {lease} is free at revision {revision}, and token {held} held it");
        finding.broken(evidence.log[before].place, place, says);
    }
    // One that named a revision asked whether the lease has been free since then, and its member may be behind.
    let after = after.filter(|_| wanted.is_none());
    if let Some(after) = after.filter(|after| evidence.seen_at(*after) < evidence.at(op.invoked)) {
        let says = format!(
            "a wait was told that {lease} is free at revision {revision}, which was past before it asked"
        );
        finding.broken(evidence.log[after].place, place, says);
    }
}

/// How long after it was free the waiter was told, where it waited and nothing was in trouble.
fn delay(evidence: &Evidence<'_>, op: &Op<'_>, revision: u64, place: usize) -> Option<(Nanos, usize, usize)> {
    let freed = evidence.log[evidence.around(&op.invoke.lease, revision).0?].place;
    let (asked, seen, told) = (evidence.at(op.invoked), evidence.at(freed), evidence.at(place));
    let calm = !evidence.trouble.within(asked.min(seen), told);
    (calm && asked < seen).then(|| (told.saturating_sub(seen), freed, place))
}

fn unended(evidence: &Evidence<'_>, op: &Op<'_>, timeout_ms: u64, finding: &mut Finding) {
    let ends = evidence.at(op.invoked) + timeout_ms.saturating_mul(MS) + SLACK;
    if ends < evidence.end() && !evidence.gone.contains_key(op.invoke.client.as_str()) {
        let lease = &op.invoke.lease;
        let says = format!("a wait for {lease} of {timeout_ms} ms has no end");
        finding.broken(op.invoked, evidence.records.len() - 1, says);
    }
}

fn in_time(evidence: &Evidence<'_>, mut delays: Vec<(Nanos, usize, usize)>, finding: &mut Finding) {
    delays.sort_unstable();
    let allowed = delays.len() / OF;
    let Some((delay, freed, told)) = delays.iter().rev().nth(allowed) else { return };
    if *delay > evidence.limits.told {
        let (delay_ms, limit_ms) = (delay / MS, evidence.limits.told / MS);
        let waits = delays.len();
        let says = format!(
            "of {waits} waits more than one in {OF} were told late: this one after {delay_ms} ms of {limit_ms}"
        );
        finding.broken(*freed, *told, says);
    }
}
