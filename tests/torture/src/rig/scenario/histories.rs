//! What scenarios read in a whole history: how long calls took, and who lost what it kept.

use std::collections::BTreeMap;

use torture::history::{Answer, Call, Change, Nanos, Record, What};

/// A call that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered<'a> {
    pub(super) invoked: Nanos,
    pub(super) returned: Nanos,
    /// The only member that it was sent to.
    pub(super) through: u64,
    pub(super) call: &'a Call,
    pub(super) answer: &'a Answer,
}

impl Answered<'_> {
    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self.answer, Answer::Granted { .. } | Answer::Done)
    }

    /// In milliseconds.
    pub(super) fn took(&self) -> f64 {
        (self.returned - self.invoked) as f64 / 1e6
    }
}

/// The calls of those who know one member alone.
pub(super) fn through_one(records: &[Record]) -> Vec<Answered<'_>> {
    let mut open = BTreeMap::new();
    let mut answered = Vec::new();
    for record in records {
        match &record.what {
            What::Invoke(invoke) if invoke.client.starts_with('x') => {
                open.insert(invoke.op, (record.at, invoke));
            }
            What::Return(answer) => {
                let Some((invoked, invoke)) = open.remove(&answer.op) else { continue };
                answered.push(Answered {
                    invoked,
                    returned: record.at,
                    through: invoke.through.unwrap_or(0),
                    call: &invoke.call,
                    answer: &answer.answer,
                });
            }
            _ => {}
        }
    }
    answered
}

/// What became of those who keep a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// How many leases were kept.
    pub(super) kept: usize,
    /// Grants that ended though their session kept them.
    pub(super) lost: Vec<String>,
    /// How often belief lapsed for lack of news, and for how long at most.
    pub(super) lapses: usize,
    /// Who lapsed and for how many milliseconds, by the target of the fault that had begun last.
    pub(super) by_target: BTreeMap<String, Vec<(String, Nanos)>>,
    pub(super) longest_lapse: Nanos,
}

/// Reads it. The keepers' names begin with `k`, and a keeper's lease has its name.
pub(super) fn kept(records: &[Record]) -> Kept {
    let mut kept = Kept::default();
    let mut lapsed: BTreeMap<&str, Nanos> = BTreeMap::new();
    let mut holders: BTreeMap<u64, &str> = BTreeMap::new();
    let mut target = "";
    let mut ended: BTreeMap<u64, (Nanos, &str)> = BTreeMap::new();
    for record in records {
        match &record.what {
            What::Believe(believe) if believe.client.starts_with('k') => {
                holders.insert(believe.token, &believe.client);
                if let Some(since) = lapsed.remove(believe.client.as_str()) {
                    let lapse = record.at.saturating_sub(since);
                    kept.longest_lapse = kept.longest_lapse.max(lapse);
                    let who = (believe.client.clone(), lapse / 1_000_000);
                    kept.by_target.entry(target.to_owned()).or_default().push(who);
                }
            }
            What::Doubt(doubt) if doubt.client.starts_with('k') && doubt.why == "expired" => {
                kept.lapses += 1;
                lapsed.insert(&doubt.client, record.at);
            }
            What::Fault(fault) if fault.on => target = &fault.target,
            What::Event(event) => {
                if let Change::Ended { token, why } = &event.change {
                    ended.entry(*token).or_insert((record.at, why));
                }
            }
            _ => {}
        }
    }
    kept.kept = holders.values().collect::<std::collections::BTreeSet<_>>().len();
    for (token, holder) in holders {
        if let Some((at, why)) = ended.get(&token).filter(|(_, why)| *why != "released") {
            let from = records.first().map_or(0, |record| record.at);
            let seconds = at.saturating_sub(from) as f64 / 1e9;
            kept.lost.push(format!("{holder} lost token {token} at {seconds:.3} s: {why}"));
        }
    }
    kept
}

/// p50, p99 and the most of them, in the order in which they are; none where there are none.
pub(super) fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let at = |per_mille: usize| values[(values.len() - 1) * per_mille / 1_000];
    (!values.is_empty()).then(|| (at(500), at(990), at(1_000)))
}

#[cfg(test)]
mod tests {
    use torture::history::{Believe, Doubt, Event, Invoke, Return};

    use super::*;

    fn at(at: Nanos, what: What) -> Record {
        Record { at, what }
    }

    fn believe(token: u64) -> What {
        let (client, lease) = ("k1-0".to_owned(), "k1-0".to_owned());
        What::Believe(Believe { client, lease, token, until: 0, ttl_ms: 3_000, kept: true })
    }

    #[test]
    fn a_grant_that_expires_is_lost_and_a_lapse_is_none() {
        let why = "expired".to_owned();
        let doubt = Doubt { client: "k1-0".to_owned(), lease: "k1-0".to_owned(), token: 1, why: why.clone() };
        let change = Change::Ended { token: 1, why };
        let event = Event { member: 1, watch: 1, revision: 1, lease: "k1-0".to_owned(), change };
        let lapse = [at(1, believe(1)), at(5, What::Doubt(doubt)), at(9, believe(1))];
        let seen = kept(&lapse);
        assert_eq!((seen.kept, seen.lost.len(), seen.lapses, seen.longest_lapse), (1, 0, 1, 4));
        let seen = kept(&[&lapse[..], &[at(12, What::Event(event))]].concat());
        assert_eq!(seen.lost, ["k1-0 lost token 1 at 0.000 s: expired"]);
    }

    #[test]
    fn calls_are_paired_with_their_answers() {
        let call = Call::Extend { token: 4, ttl_ms: 3_000 };
        let (client, lease) = ("x1-2-0".to_owned(), "x1-2-0".to_owned());
        let invoke = Invoke { op: 7, client, lease, through: Some(2), call };
        let answer = Answer::Granted { token: 4 };
        let records =
            [at(1_000_000, What::Invoke(invoke)), at(3_500_000, What::Return(Return { op: 7, answer }))];
        let answered = through_one(&records);
        assert_eq!((answered[0].through, answered[0].took(), answered[0].is_acknowledged()), (2, 2.5, true));
        assert_eq!(spread(answered.iter().map(Answered::took).collect()), Some((2.5, 2.5, 2.5)));
        assert_eq!(spread(Vec::new()), None);
    }
}
