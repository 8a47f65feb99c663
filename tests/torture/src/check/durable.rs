//! H3, durable.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding, MS};
use crate::history::{Answer, Call, Change, What};

/// **H3.** All members show the same log, each change once and in order. What was acknowledged is in it, once; what was
/// refused, or said to be surely not done, left nothing in it; what is unknown is in it once or not at all.
///
/// It needs the log as several members showed it, calls, and one client a holder. A grant that an acquire won while it
/// waited, and that ended again without its caller, is the acquire's. Exceptions: after a recovery by hand, what was
/// acknowledged before is not looked for.
pub(crate) fn durable(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    one_log(evidence, &mut finding);
    acknowledged(evidence, &mut finding);
    attributed(evidence, &mut finding);
    finding
}

fn one_log(evidence: &Evidence<'_>, finding: &mut Finding) {
    let mut by_revision: BTreeMap<u64, usize> = BTreeMap::new();
    let mut last: BTreeMap<(u64, u64), (u64, usize)> = BTreeMap::new();
    for (place, record) in evidence.records.iter().enumerate() {
        let What::Event(event) = &record.what else { continue };
        finding.look();
        let first = *by_revision.entry(event.revision).or_insert(place);
        let What::Event(shown) = &evidence.records[first].what else { continue };
        if (&shown.lease, &shown.change) != (&event.lease, &event.change) {
            let says = format!(
                "revision {} is one change at member {} and another at member {}",
                event.revision, shown.member, event.member
            );
            finding.broken(first, place, says);
        }
        let before = last.insert((event.member, event.watch), (event.revision, place));
        if let Some((revision, earlier)) = before.filter(|(revision, _)| *revision >= event.revision) {
            let says = format!(
                "watch {} of member {} was shown revision {} after {revision}",
                event.watch, event.member, event.revision
            );
            finding.broken(earlier, place, says);
        }
    }
}

fn acknowledged(evidence: &Evidence<'_>, finding: &mut Finding) {
    // The log was watched up to here: the last grant of it, whose call left then.
    let Some((highest, last)) = evidence.grants.last_key_value() else { return };
    let watched = evidence
        .ops
        .iter()
        .filter(|op| op.granted().is_some_and(|token| evidence.grants.contains_key(&token)));
    let watched = watched.filter(|op| op.claims()).map(|op| op.invoked).max().unwrap_or(0);
    let last = evidence.log[last.granted].place;
    let recovered = evidence.recovered.last().copied().unwrap_or(0);
    for op in evidence.ops.iter().filter(|op| evidence.at(op.invoked) >= recovered) {
        let Some((answer, returned)) = op.answer else { continue };
        match (answer, &op.invoke.call) {
            (Answer::Granted { token }, _) => {
                finding.look();
                let life = evidence.grants.get(token);
                if life.is_none_or(|life| life.lease != op.invoke.lease) && token <= highest {
                    let says =
                        format!("token {token} was acknowledged and is not in the log that was watched");
                    finding.broken(returned, last, says);
                }
            }
            (Answer::Done, Call::Release { token } | Call::Transfer { token }) if returned < watched => {
                finding.look();
                let Some(life) = evidence.grants.get(token) else { continue };
                match life.ended {
                    None => {
                        let says =
                            format!("the release of token {token} was acknowledged, and it never ended");
                        finding.broken(returned, evidence.log[life.granted].place, says);
                    }
                    Some((i, why)) if !matches!(why, "released" | "transferred") => {
                        let says =
                            format!("the release of token {token} was acknowledged, and it ended as {why}");
                        finding.broken(returned, evidence.log[i].place, says);
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
}

/// Every grant has a call that won it, and no call won two.
fn attributed(evidence: &Evidence<'_>, finding: &mut Finding) {
    let answered: BTreeSet<u64> = evidence.ops.iter().filter_map(|op| op.granted()).collect();
    // Calls that may have won a grant of which their caller was not told, by client and lease, the latest first.
    let mut doubtful: BTreeMap<(&str, &str), Vec<(usize, bool)>> = BTreeMap::new();
    for op in evidence.ops.iter().rev().filter(|op| op.claims()) {
        let waits = matches!(op.invoke.call, Call::Acquire { .. });
        if waits || matches!(op.answer, None | Some((Answer::Unknown, _))) {
            doubtful.entry((&op.invoke.client, &op.invoke.lease)).or_default().push((op.invoked, waits));
        }
    }
    let known: BTreeSet<&str> = evidence.ops.iter().map(|op| op.invoke.client.as_str()).collect();
    for logged in &evidence.log {
        let Change::Granted { token, holder, .. } = &logged.event.change else { continue };
        if answered.contains(token) || !known.contains(holder.as_str()) {
            continue;
        }
        finding.look();
        let calls = doubtful.get_mut(&(holder.as_str(), logged.event.lease.as_str()));
        let won = calls.and_then(|calls| {
            let i = calls.iter().rposition(|(invoked, _)| *invoked < logged.place)?;
            // An acquire may win again, where what it won before has ended without its caller.
            Some(if calls[i].1 { calls[i] } else { calls.remove(i) })
        });
        if won.is_none() {
            let place = last_no(evidence, holder, &logged.event.lease, logged.place);
            let says = format!("token {token} was granted to {holder}, none of whose calls can have won it");
            finding.broken(place, logged.place, says);
        }
    }
}

/// The refusal, or whatever else this client was told, that the grant contradicts.
fn last_no(evidence: &Evidence<'_>, holder: &str, lease: &str, place: usize) -> usize {
    let of =
        |op: &&super::evidence::Op<'_>| op.claims() && op.invoke.client == holder && op.invoke.lease == lease;
    // An answer may come a little after what it contradicts was seen.
    let until = evidence.at(place) + 1_000 * MS;
    let returns = evidence.ops.iter().filter(of).filter_map(|op| op.returned());
    returns.filter(|returned| evidence.at(*returned) <= until).max().unwrap_or(place)
}
