//! What must hold of every history: eight rules, each in a file of its own.
//!
//! ```text
//!   records ─▶ Evidence: calls, beliefs, the log, spans of trouble ─▶ H1 … H8 ─▶ Verdict
//! ```
//!
//! | rule | says |
//! |---|---|
//! | H1 exclusive | no two clients believe at one instant that they hold one lease |
//! | H2 fencing | tokens rise, name one grant each, and a resource that fences takes no older one |
//! | H3 durable | what was acknowledged is in the log, once and on every member; what was refused is not |
//! | H4 early | no grant ends before its holder's own deadline |
//! | H5 late | a grant that nobody extends ends by a known bound |
//! | H6 linear | there is one order of all changes that agrees with the times of all calls and answers |
//! | H7 waiters | each wait ends once, and only for a lease that was free |
//! | H8 liveness | once the last fault is lifted all members serve again, and holders keep what they extend |
//!
//! Each is a function from the evidence to a [`Finding`], costs O(n log n), and says how much it had to look at: a rule that
//! looked at nothing has shown nothing. H9, the audit log, comes with identity.

mod durable;
mod early;
mod evidence;
mod exclusive;
mod fencing;
mod late;
mod linear;
mod liveness;
mod report;
mod trouble;
mod waiters;

use std::fmt;

pub use evidence::{Evidence, Malformed};
pub use report::Report;

use crate::history::{Nanos, Record};

pub(crate) const MS: Nanos = 1_000_000;
pub(crate) const SECOND: Nanos = 1_000 * MS;

/// What the promises leave open, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// By how much the rate of any clock may err, in thousandths.
    pub rho_per_mille: u64,
    /// How long after a fault ends its effects may still be felt.
    pub settle: Nanos,
    /// How late a grant may end beyond what its ttl and the clocks allow: a tick, a commit, a watch.
    pub late: Nanos,
    /// What one change of the leader may add to that.
    pub leader_change: Nanos,
    /// How soon a waiter is told, for 999 of 1,000.
    pub told: Nanos,
    /// How soon after the last fault everything is well.
    pub heal: Nanos,
}

impl Default for Limits {
    /// Those of the contract.
    fn default() -> Limits {
        Limits {
            rho_per_mille: 10,
            settle: 5 * SECOND,
            late: 500 * MS,
            leader_change: 2 * SECOND,
            told: 250 * MS,
            heal: 30 * SECOND,
        }
    }
}

/// A rule of the checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the table above says it")]
pub enum Rule {
    H1Exclusive,
    H2Fencing,
    H3Durable,
    H4Early,
    H5Late,
    H6Linear,
    H7Waiters,
    H8Liveness,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::H1Exclusive => "H1 exclusive",
            Rule::H2Fencing => "H2 fencing",
            Rule::H3Durable => "H3 durable",
            Rule::H4Early => "H4 early",
            Rule::H5Late => "H5 late",
            Rule::H6Linear => "H6 linear",
            Rule::H7Waiters => "H7 waiters",
            Rule::H8Liveness => "H8 liveness",
        })
    }
}

/// Two records that cannot both be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is wrong, in a sentence.
    pub says: String,
    /// The place of the first record in the history.
    pub first: usize,
    /// The place of the one that contradicts it.
    pub second: usize,
}

/// What a rule found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How many facts it looked at.
    pub looked_at: usize,
    /// The first violation, if any.
    pub broken: Option<Violation>,
    /// How many contradictions a named exception excuses.
    pub excused: usize,
}

impl Finding {
    /// Looks at one more fact.
    pub(crate) fn look(&mut self) {
        self.looked_at += 1;
    }

    /// Notes a violation; the first stands.
    pub(crate) fn broken(&mut self, first: usize, second: usize, says: String) {
        self.broken.get_or_insert(Violation { says, first, second });
    }
}

/// What all rules found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// By rule, in their order.
    pub findings: Vec<(Rule, Finding)>,
}

impl Verdict {
    /// The violations, by rule.
    pub fn broken(&self) -> impl Iterator<Item = (Rule, &Violation)> {
        self.findings.iter().filter_map(|(rule, finding)| Some((*rule, finding.broken.as_ref()?)))
    }

    /// Whether every rule was kept, and there was anything to look at. That one of them looked at nothing is for a reader to see: not
    /// every run has waiters, or faults.
    pub fn is_clean(&self) -> bool {
        let looked = self.findings.iter().any(|(_, finding)| finding.looked_at > 0);
        looked && self.broken().next().is_none()
    }
}

type Look = fn(&Evidence<'_>) -> Finding;

/// Orders the records of all processes by time, as [`check`] wants them.
pub fn order(records: &mut [Record]) {
    records.sort_by_key(|record| record.at);
}

/// Applies every rule to a history that is ordered by time.
///
/// # Errors
/// It is no history: an answer without a call, say.
pub fn check(records: &[Record], limits: Limits) -> Result<Verdict, Malformed> {
    let evidence = Evidence::new(records, limits)?;
    let rules: [(Rule, Look); 8] = [
        (Rule::H1Exclusive, exclusive::exclusive),
        (Rule::H2Fencing, fencing::fencing),
        (Rule::H3Durable, durable::durable),
        (Rule::H4Early, early::early),
        (Rule::H5Late, late::late),
        (Rule::H6Linear, linear::linear),
        (Rule::H7Waiters, waiters::waiters),
        (Rule::H8Liveness, liveness::liveness),
    ];
    Ok(Verdict { findings: rules.into_iter().map(|(rule, look)| (rule, look(&evidence))).collect() })
}
