//! What a verdict says to people: a line a rule, and of each violation what was going on around it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Finding, Verdict, Violation};
use crate::history::{Nanos, Record, What};

/// So many records are shown before and after each of the two.
const AROUND: usize = 6;

/// A verdict with its history.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was found.
    pub verdict: &'a Verdict,
    /// Of which history.
    pub records: &'a [Record],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, finding) in &self.verdict.findings {
            let word = match finding {
                Finding { broken: Some(_), .. } => "BROKEN",
                // Nothing is shown by that.
                Finding { looked_at: 0, .. } => "nothing",
                _ => "kept",
            };
            write!(f, "{:<12} {word:<7} {} looked at", rule.to_string(), finding.looked_at)?;
            if finding.excused > 0 {
                write!(f, ", {} excused", finding.excused)?;
            }
            writeln!(f)?;
        }
        let first = self.verdict.broken().min_by_key(|(_, violation)| violation.second);
        match first {
            Some((rule, violation)) => {
                writeln!(f, "\nfirst: {rule}: {}", violation.says)?;
                self.window(f, violation)
            }
            None => Ok(()),
        }
    }
}

impl<'a> Report<'a> {
    /// The two records, what concerns the same lease around them, and the faults.
    fn window(&self, f: &mut fmt::Formatter<'_>, violation: &Violation) -> fmt::Result {
        let from = self.records.first().map_or(0, |record| record.at);
        let leases = self.leases();
        let lease = leases[violation.second].or(leases[violation.first]);
        let near = |place: &usize| {
            let what = &self.records[*place].what;
            matches!(what, What::Fault(_) | What::Leader(_)) || (lease.is_some() && leases[*place] == lease)
        };
        let mut shown = BTreeSet::new();
        for place in [violation.first, violation.second] {
            shown.extend((0..place).rev().filter(near).take(AROUND));
            shown.insert(place);
            shown.extend((place + 1..self.records.len()).filter(near).take(AROUND));
        }
        for place in shown {
            let mark = if place == violation.first || place == violation.second { '>' } else { ' ' };
            writeln!(f, "{mark} {}", Line { from, place, record: &self.records[place] })?;
        }
        Ok(())
    }

    /// Which lease each record concerns.
    fn leases(&self) -> Vec<Option<&'a str>> {
        let mut calls: BTreeMap<u64, &'a str> = BTreeMap::new();
        let lease_of = |record: &'a Record| {
            let lease: &'a str = match &record.what {
                What::Invoke(invoke) => {
                    calls.insert(invoke.op, &invoke.lease);
                    &invoke.lease
                }
                What::Return(answer) => calls.get(&answer.op)?,
                What::Believe(believe) => &believe.lease,
                What::Doubt(doubt) => &doubt.lease,
                What::Event(event) => &event.lease,
                What::Fenced(fenced) => &fenced.lease,
                _ => return None,
            };
            Some(lease)
        };
        self.records.iter().map(lease_of).collect()
    }
}

struct Line<'a> {
    from: Nanos,
    place: usize,
    record: &'a Record,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.record.at.saturating_sub(self.from) / 1_000;
        let what = serde_json::to_string(&self.record.what).map_err(|_| fmt::Error)?;
        write!(f, "{:>6} {:>4}.{:06}s {what}", self.place, us / 1_000_000, us % 1_000_000)
    }
}
