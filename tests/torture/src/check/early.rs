//! H4, never early.

use std::collections::BTreeMap;

use super::{Evidence, Finding, MS};
use crate::history::Nanos;

/// **H4.** No grant is seen to end before D / (1 + rho) of true time after the call left that was answered last, nor while
/// its holder believes in it.
///
/// It needs the log, and calls or beliefs. When a change was *seen* is when it happened at the latest, so that nothing is called early that
/// was not. Exceptions: its holder's own release or transfer; a grant that was revoked at once or released by another than
/// its holder; a recovery by hand; a clock whose rate errs by more than rho.
pub(crate) fn early(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    let (promised, believed) = (promised(evidence), believed(evidence));
    for (token, life) in &evidence.grants {
        let Some((ended, why)) = life.ended else { continue };
        let seen = evidence.seen_at(ended);
        let own = matches!(why, "released" | "transferred")
            && evidence.given_up.get(token).is_some_and(|at| evidence.at(*at) <= seen);
        let promised = promised.get(token).filter(|_| !own);
        let Some((until, place)) = promised.into_iter().chain(believed.get(token)).max().copied() else {
            continue;
        };
        finding.look();
        if seen >= until {
            continue;
        }
        let recovered = evidence.recovered.iter().any(|at| evidence.at(place) <= *at && *at <= seen);
        if evidence.cut.contains(token) || recovered || evidence.trouble.beyond_rho(seen) {
            finding.excused += 1;
            continue;
        }
        let early_us = (until - seen) / 1_000;
        let lease = life.lease;
        let says = format!(
            "token {token} of {lease} ended as {why}, {early_us} us before its holder's time was over"
        );
        finding.broken(place, evidence.log[ended].place, says);
    }
    finding
}

/// Until when each grant stands at least, and the record that says so.
type Stands = BTreeMap<u64, (Nanos, usize)>;

fn stand(stands: &mut Stands, token: u64, until: Nanos, place: usize) {
    let known = stands.entry(token).or_insert((until, place));
    *known = (*known).max((until, place));
}

/// By the answers to calls.
fn promised(evidence: &Evidence<'_>) -> Stands {
    let mut stands = Stands::new();
    for op in &evidence.ops {
        let (Some(token), Some(returned)) = (op.granted(), op.returned()) else { continue };
        let Some(ttl_ms) = op.ttl_ms() else { continue };
        let rates = u128::from(1_000 + evidence.limits.rho_per_mille);
        let least = u64::try_from(u128::from(ttl_ms) * u128::from(MS) * 1_000 / rates).unwrap_or(Nanos::MAX);
        stand(&mut stands, token, evidence.at(op.invoked).saturating_add(least), returned);
    }
    stands
}

/// By what holders believe.
fn believed(evidence: &Evidence<'_>) -> Stands {
    let mut stands = Stands::new();
    for belief in &evidence.beliefs {
        stand(&mut stands, belief.token, belief.to, belief.renewed);
    }
    stands
}
