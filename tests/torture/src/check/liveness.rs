//! H8, liveness.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Op;
use super::{Evidence, Finding, MS, SECOND};
use crate::history::{Answer, Call, What};

/// **H8.** Soon after the last fault every member is ready and in step, and a claim and its release work through each; and a
/// holder whose session had two seconds for its next extend, and no trouble, loses nothing.
///
/// It needs spans of faults, members' states, calls that name the member they went through, and beliefs. Exceptions: what was
/// revoked, or released by another than its holder, is not lost by a fault. A history without faults is only judged for what holders keep.
pub(crate) fn liveness(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    if let Some(open) = evidence.trouble.open() {
        finding.broken(open, evidence.records.len() - 1, "a fault was never lifted".to_owned());
    } else if let Some((_, place)) = evidence.trouble.last_end() {
        healed(evidence, place, &mut finding);
    }
    kept(evidence, &mut finding);
    finding
}

fn healed(evidence: &Evidence<'_>, lifted: usize, finding: &mut Finding) {
    let from = evidence.at(lifted);
    let by = from.saturating_add(evidence.limits.heal);
    let before = evidence.records[..lifted].iter();
    let wanted = before.filter_map(|record| match &record.what {
        What::Event(event) => Some(event.revision),
        _ => None,
    });
    let wanted = wanted.max().unwrap_or(0);
    let in_time = evidence.records[lifted..].iter().take_while(|record| record.at <= by);
    let well: BTreeSet<u64> = in_time
        .filter_map(|record| match &record.what {
            What::Member(state) if state.ready && state.revision >= wanted => Some(state.member),
            _ => None,
        })
        .collect();
    let probes = probes(evidence, lifted, by);
    let last = evidence.records.len() - 1;
    let seconds = evidence.limits.heal / SECOND;
    for member in members(evidence) {
        finding.look();
        if !well.contains(&member) {
            let says = format!(
                "member {member} was not ready and at revision {wanted} within {seconds} s of the last fault"
            );
            finding.broken(lifted, last, says);
        }
        if !probes.get(&member).is_some_and(|done| done.0 && done.1) {
            let says = format!(
                "no claim and release through member {member} was done within {seconds} s of the last fault"
            );
            finding.broken(lifted, last, says);
        }
    }
}

fn members(evidence: &Evidence<'_>) -> BTreeSet<u64> {
    let named = evidence.records.iter().filter_map(|record| match &record.what {
        What::Event(event) => Some(event.member),
        What::Member(member) => Some(member.member),
        What::Invoke(invoke) => invoke.through,
        _ => None,
    });
    named.collect()
}

/// Through which members a claim and a release were done in time.
fn probes(evidence: &Evidence<'_>, lifted: usize, by: u64) -> BTreeMap<u64, (bool, bool)> {
    let mut done: BTreeMap<u64, (bool, bool)> = BTreeMap::new();
    let in_time =
        |op: &&Op<'_>| op.invoked > lifted && op.returned().is_some_and(|place| evidence.at(place) <= by);
    for op in evidence.ops.iter().filter(in_time) {
        let Some(member) = op.invoke.through else { continue };
        let of = done.entry(member).or_default();
        match (&op.invoke.call, op.answer) {
            (Call::Claim { .. }, Some((Answer::Granted { .. }, _))) => of.0 = true,
            (Call::Release { .. }, Some((Answer::Done, _))) => of.1 = true,
            _ => {}
        }
    }
    done
}

/// So long its session had for another extend, where it extends after a third of the ttl.
const ENOUGH: u64 = 2 * SECOND;

fn kept(evidence: &Evidence<'_>, finding: &mut Finding) {
    for belief in &evidence.beliefs {
        let What::Believe(news) = &evidence.records[belief.renewed].what else { continue };
        let enough = news.ttl_ms.saturating_mul(MS) * 2 / 3 >= ENOUGH;
        if !news.kept || !enough || evidence.gone.contains_key(belief.client) {
            continue;
        }
        let end = belief.doubted.unwrap_or(belief.renewed);
        let given_up = match &evidence.records[end].what {
            What::Doubt(doubt) => doubt.why == "released",
            _ => belief.to >= evidence.end(),
        };
        let calm = !evidence.trouble.within(evidence.at(belief.renewed), belief.to.min(evidence.end()));
        finding.look();
        if !given_up && calm && !evidence.cut.contains(&belief.token) && !revoked(evidence, belief.token) {
            let says = format!(
                "{} lost {} though it extended it and nothing was in trouble",
                belief.client, belief.lease
            );
            finding.broken(belief.renewed, end, says);
        }
    }
}

fn revoked(evidence: &Evidence<'_>, token: u64) -> bool {
    evidence.grants.get(&token).and_then(|life| life.ended).is_some_and(|(_, why)| why == "revoked")
}
