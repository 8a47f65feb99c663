//! H2, fencing.

use std::collections::BTreeMap;

use super::{Evidence, Finding};
use crate::history::{Change, What};

/// **H2.** Tokens rise with every grant, over the whole cluster and over restarts and restores; one that was won after
/// another was answered is higher; one never names two grants; and a resource that fences never takes a token after a
/// higher one of the same lease.
///
/// It needs the log for the first and third, answers and writes for the others. Exceptions: none. A
/// torn tail that was accepted may bring tokens again; a history that has one is to be judged up to there.
pub(crate) fn fencing(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    rising_in_the_log(evidence, &mut finding);
    rising_in_time(evidence, &mut finding);
    one_grant_each(evidence, &mut finding);
    fenced(evidence, &mut finding);
    finding
}

fn rising_in_the_log(evidence: &Evidence<'_>, finding: &mut Finding) {
    let mut highest: Option<(u64, usize)> = None;
    for logged in &evidence.log {
        let Change::Granted { token, .. } = &logged.event.change else { continue };
        finding.look();
        if let Some((high, place)) = highest.filter(|(high, _)| high >= token) {
            finding.broken(place, logged.place, format!("token {token} was granted after token {high}"));
        }
        highest = Some((*token, logged.place));
    }
}

/// A new grant's token is higher than every token that was answered before its call was made.
fn rising_in_time(evidence: &Evidence<'_>, finding: &mut Finding) {
    // Under one token the first answer counts: what comes later is an extend.
    let first = &evidence.won;
    let mut by_invoke: Vec<(usize, u64)> =
        first.iter().map(|(token, (invoked, _))| (*invoked, *token)).collect();
    let mut by_return: Vec<(usize, u64)> =
        first.iter().map(|(token, (_, returned))| (*returned, *token)).collect();
    by_invoke.sort_unstable();
    by_return.sort_unstable();
    let mut answered = by_return.into_iter().peekable();
    let mut highest: Option<(u64, usize)> = None;
    for (invoked, token) in by_invoke {
        finding.look();
        while let Some((returned, earlier)) = answered.next_if(|(returned, _)| *returned < invoked) {
            highest = highest.max(Some((earlier, returned)));
        }
        if let Some((high, returned)) = highest.filter(|(high, _)| *high > token) {
            let says = format!("token {token} was won by a call made after token {high} was answered");
            finding.broken(returned, first[&token].1, says);
        }
    }
}

fn one_grant_each(evidence: &Evidence<'_>, finding: &mut Finding) {
    let mut names: BTreeMap<u64, (&str, &str, usize)> = BTreeMap::new();
    let mut name = |token: u64, lease, holder, place, finding: &mut Finding| {
        finding.look();
        let (known, of, first) = *names.entry(token).or_insert((lease, holder, place));
        if (known, of) != (lease, holder) {
            let says = format!("token {token} names {known} held by {of}, and {lease} held by {holder}");
            finding.broken(first, place, says);
        }
    };
    for logged in &evidence.log {
        if let Change::Granted { token, holder, .. } = &logged.event.change {
            name(*token, logged.event.lease.as_str(), holder.as_str(), logged.place, finding);
        }
    }
    for op in &evidence.ops {
        if let (Some(token), Some(place)) = (op.granted(), op.returned()) {
            name(token, &op.invoke.lease, &op.invoke.client, place, finding);
        }
    }
    for belief in &evidence.beliefs {
        name(belief.token, belief.lease, belief.client, belief.began, finding);
    }
}

fn fenced(evidence: &Evidence<'_>, finding: &mut Finding) {
    let mut highest: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for (place, record) in evidence.records.iter().enumerate() {
        let What::Fenced(write) = &record.what else { continue };
        finding.look();
        if !write.accepted {
            continue;
        }
        let (high, first) = highest.entry(&write.lease).or_insert((write.token, place));
        if write.token < *high {
            let says =
                format!("the resource of {} took token {} after token {high}", write.lease, write.token);
            finding.broken(*first, place, says);
        } else {
            (*high, *first) = (write.token, place);
        }
    }
}
