//! When the cluster was in trouble: the spans of the faults, each with the time in which its effects may still be felt.

use crate::history::{Nanos, Record, What};

/// Spans of trouble that do not touch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    spans: Vec<(Nanos, Nanos)>,
    /// The end of the last fault, without what it leaves behind; none where a fault never ended.
    last_end: Option<(Nanos, usize)>,
    /// A fault that never ended.
    open: Option<usize>,
    /// From when on a clock erred by more than promised.
    beyond_rho: Option<Nanos>,
}

impl Trouble {
    /// Reads the faults of an ordered history.
    pub(crate) fn read(records: &[Record], settle: Nanos) -> Trouble {
        let mut trouble = Trouble::default();
        let mut open: Vec<(u64, Nanos, usize)> = Vec::new();
        for (place, record) in records.iter().enumerate() {
            let What::Fault(fault) = &record.what else { continue };
            if fault.beyond_rho {
                trouble.beyond_rho.get_or_insert(record.at);
            }
            if fault.on {
                open.push((fault.fault, record.at, place));
            } else if let Some(i) = open.iter().position(|(number, ..)| *number == fault.fault) {
                let (_, from, _) = open.swap_remove(i);
                trouble.spans.push((from, record.at.saturating_add(settle)));
                trouble.last_end = Some((record.at, place));
            }
        }
        trouble.open = open.iter().map(|(_, _, place)| *place).min();
        trouble.spans.extend(open.iter().map(|(_, from, _)| (*from, Nanos::MAX)));
        trouble.merge();
        trouble
    }

    /// Whether any of it lies between.
    pub(crate) fn within(&self, from: Nanos, to: Nanos) -> bool {
        let next = self.spans.partition_point(|(_, end)| *end <= from);
        self.spans.get(next).is_some_and(|(start, _)| *start < to)
    }

    /// How much of it lies between.
    pub(crate) fn length(&self, from: Nanos, to: Nanos) -> Nanos {
        let next = self.spans.partition_point(|(_, end)| *end <= from);
        if to <= from {
            return 0;
        }
        let spans = self.spans[next..].iter().take_while(|(start, _)| *start < to);
        spans.map(|(start, end)| (*end).min(to) - (*start).max(from)).sum()
    }

    /// When the last fault ended, and the record that says so.
    pub(crate) fn last_end(&self) -> Option<(Nanos, usize)> {
        self.last_end
    }

    /// A fault that never ended.
    pub(crate) fn open(&self) -> Option<usize> {
        self.open
    }

    /// Whether a clock had erred by more than promised by then.
    pub(crate) fn beyond_rho(&self, by: Nanos) -> bool {
        self.beyond_rho.is_some_and(|from| from <= by)
    }

    fn merge(&mut self) {
        self.spans.sort_unstable();
        let mut merged: Vec<(Nanos, Nanos)> = Vec::new();
        for (from, to) in std::mem::take(&mut self.spans) {
            match merged.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        self.spans = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Fault;

    fn record(at: Nanos, fault: u64, on: bool) -> Record {
        let (kind, target) = ("kill".to_owned(), "member 1".to_owned());
        Record { at, what: What::Fault(Fault { fault, kind, target, on, beyond_rho: false }) }
    }

    #[test]
    fn spans_that_touch_are_one_and_lengths_add_up() {
        let records = [
            record(10, 1, true),
            record(15, 2, true),
            record(20, 1, false),
            record(30, 2, false),
            record(50, 3, true),
        ];
        let trouble = Trouble::read(&records, 5);
        assert_eq!(trouble.spans, [(10, 35), (50, Nanos::MAX)]);
        assert_eq!((trouble.length(0, 100), trouble.length(12, 13), trouble.length(35, 50)), (75, 1, 0));
        assert_eq!((trouble.length(60, 55), trouble.length(12, 12)), (0, 0), "nothing lies in no time");
        assert!(trouble.within(34, 36) && !trouble.within(35, 50) && trouble.within(49, 51));
        assert_eq!((trouble.open(), trouble.last_end()), (Some(4), Some((30, 3))));
    }
}
