//! H1, exclusive.

use std::collections::BTreeMap;

use super::evidence::Belief;
use super::{Evidence, Finding};

/// **H1.** At no instant do two clients believe that they hold one lease. Clients are compared, not tokens: one client that
/// believes by two grants at once harms nobody.
///
/// It needs beliefs. Exceptions: a grant that was revoked at once, or released by another than its holder; a recovery by
/// hand, for beliefs that are older; a clock whose rate errs by more than rho. Such overlaps are counted as excused.
pub(crate) fn exclusive(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    // Of each lease the belief that lasts longest, and the one that lasts longest of all other clients'.
    let mut last: BTreeMap<&str, (Belief<'_>, Option<Belief<'_>>)> = BTreeMap::new();
    for belief in &evidence.beliefs {
        finding.look();
        let Some((longest, other)) = last.get_mut(belief.lease) else {
            last.insert(belief.lease, (*belief, None));
            continue;
        };
        let rival = if longest.client == belief.client { other.as_ref() } else { Some(&*longest) };
        if let Some(rival) = rival.filter(|rival| rival.to > belief.from && belief.to > belief.from) {
            judge(evidence, rival, belief, &mut finding);
        }
        if belief.client == longest.client {
            *longest = if belief.to > longest.to { *belief } else { *longest };
        } else if belief.to > longest.to {
            *other = Some(std::mem::replace(longest, *belief));
        } else if other.is_none_or(|other| belief.to > other.to) {
            *other = Some(*belief);
        }
    }
    finding
}

fn judge(evidence: &Evidence<'_>, old: &Belief<'_>, new: &Belief<'_>, finding: &mut Finding) {
    let cut = [old, new].iter().any(|belief| evidence.cut.contains(&belief.token));
    let forgotten = evidence.recovered.iter().any(|at| old.from <= *at && *at <= new.from);
    if cut || forgotten || evidence.trouble.beyond_rho(new.from) {
        finding.excused += 1;
        return;
    }
    let overlap_us = (old.to.min(new.to) - new.from) / 1_000;
    let says = format!(
        "{} and {} both believed that they held {}, under tokens {} and {}, for {overlap_us} us",
        old.client, new.client, new.lease, old.token, new.token
    );
    finding.broken(old.renewed, new.began, says);
}
