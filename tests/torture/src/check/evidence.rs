//! A history as the rules want it: calls with their answers, beliefs as spans, the log in its order, grants with their lives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Limits;
use super::trouble::Trouble;
use crate::history::{Answer, Call, Change, Event, Invoke, Nanos, Record, What};

/// What the rules look at. A `place` is the place of a record in the history.
#[derive(Debug)]
pub struct Evidence<'a> {
    pub(crate) records: &'a [Record],
    pub(crate) limits: Limits,
    /// In the order in which they were made.
    pub(crate) ops: Vec<Op<'a>>,
    /// Answers to calls that had one already.
    pub(crate) answered_twice: Vec<(usize, usize)>,
    /// In the order in which they began.
    pub(crate) beliefs: Vec<Belief<'a>>,
    /// Every change once, as it was seen first, by revision.
    pub(crate) log: Vec<Logged<'a>>,
    /// The grants of the log, by token.
    pub(crate) grants: BTreeMap<u64, Life<'a>>,
    /// The changes of each lease, as places in `log`.
    pub(crate) leases: BTreeMap<&'a str, Vec<usize>>,
    /// Of each token that was answered, where the call left that won it, at the earliest, and where it was answered first.
    pub(crate) won: BTreeMap<u64, (usize, usize)>,
    pub(crate) trouble: Trouble,
    /// Tokens that were taken from their holders at once by another's hand.
    pub(crate) cut: BTreeSet<u64>,
    /// Where each grant's holder first gave it up, or somebody asked for its end: it ends by a release or transfer no earlier.
    pub(crate) given_up: BTreeMap<u64, usize>,
    /// When each client that is gone went.
    pub(crate) gone: BTreeMap<&'a str, usize>,
    /// When the cluster was recovered by hand.
    pub(crate) recovered: Vec<Nanos>,
}

/// A call and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    pub(crate) invoke: &'a Invoke,
    pub(crate) invoked: usize,
    /// The answer and its place, where one came.
    pub(crate) answer: Option<(&'a Answer, usize)>,
}

/// A span in which a client took itself for the holder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belief<'a> {
    pub(crate) client: &'a str,
    pub(crate) lease: &'a str,
    pub(crate) token: u64,
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    /// The records that say so: where it begins, and where it was last renewed.
    pub(crate) began: usize,
    pub(crate) renewed: usize,
    /// Where it ended before its time.
    pub(crate) doubted: Option<usize>,
}

/// A change in the log, as it was seen first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged<'a> {
    pub(crate) event: &'a Event,
    pub(crate) place: usize,
}

/// A grant's life, as places in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life<'a> {
    pub(crate) lease: &'a str,
    pub(crate) holder: &'a str,
    pub(crate) confirmed: bool,
    pub(crate) granted: usize,
    pub(crate) ended: Option<(usize, &'a str)>,
}

impl<'a> Evidence<'a> {
    /// Reads a history that is ordered by time.
    ///
    /// # Errors
    /// It is no history.
    pub fn new(records: &'a [Record], limits: Limits) -> Result<Evidence<'a>, Malformed> {
        let mut evidence = Evidence {
            records,
            limits,
            ops: Vec::new(),
            answered_twice: Vec::new(),
            beliefs: Vec::new(),
            log: Vec::new(),
            grants: BTreeMap::new(),
            leases: BTreeMap::new(),
            won: BTreeMap::new(),
            trouble: Trouble::read(records, limits.settle),
            cut: BTreeSet::new(),
            given_up: BTreeMap::new(),
            gone: BTreeMap::new(),
            recovered: Vec::new(),
        };
        if let Some(place) = records.windows(2).position(|pair| pair[0].at > pair[1].at) {
            return Err(Malformed { place: place + 1, why: "it is older than the record before it" });
        }
        evidence.read_calls()?;
        evidence.read_beliefs();
        evidence.read_log();
        evidence.read_ends();
        evidence.read_wins();
        Ok(evidence)
    }

    pub(crate) fn at(&self, place: usize) -> Nanos {
        self.records[place].at
    }

    /// When the history ends.
    pub(crate) fn end(&self) -> Nanos {
        self.records.last().map_or(0, |record| record.at)
    }

    /// When a change in the log was first seen.
    pub(crate) fn seen_at(&self, in_log: usize) -> Nanos {
        self.at(self.log[in_log].place)
    }

    /// The last change of a lease up to a revision, and the first one after it.
    pub(crate) fn around(&self, lease: &str, revision: u64) -> (Option<usize>, Option<usize>) {
        let Some(changes) = self.leases.get(lease) else { return (None, None) };
        let next = changes.partition_point(|i| self.log[*i].event.revision <= revision);
        (next.checked_sub(1).map(|i| changes[i]), changes.get(next).copied())
    }

    /// The token that holds a lease behind this change of it, as far as the change says.
    pub(crate) fn held_after(&self, in_log: usize) -> Option<u64> {
        match self.log[in_log].event.change {
            Change::Granted { token, .. } | Change::Confirmed { token } => Some(token),
            Change::Ended { .. } | Change::Other => None,
        }
    }

    fn read_calls(&mut self) -> Result<(), Malformed> {
        let mut by_number = BTreeMap::new();
        for (place, record) in self.records.iter().enumerate() {
            match &record.what {
                What::Invoke(invoke) => {
                    if by_number.insert(invoke.op, self.ops.len()).is_some() {
                        return Err(Malformed { place, why: "its call has the number of another" });
                    }
                    if let Call::Release { token } | Call::Transfer { token } | Call::Revoke { token, .. } =
                        invoke.call
                    {
                        self.given_up.entry(token).or_insert(place);
                    }
                    self.ops.push(Op { invoke, invoked: place, answer: None });
                }
                What::Return(answer) => {
                    let Some(op) = by_number.get(&answer.op) else {
                        return Err(Malformed { place, why: "it answers a call that was not made" });
                    };
                    match &mut self.ops[*op].answer {
                        Some((_, first)) => self.answered_twice.push((*first, place)),
                        none => *none = Some((&answer.answer, place)),
                    }
                }
                What::Doubt(doubt) if doubt.why != "ended" => {
                    self.given_up.entry(doubt.token).or_insert(place);
                }
                What::Gone(gone) => drop(self.gone.insert(&gone.client, place)),
                What::Recovered(_) => self.recovered.push(record.at),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_beliefs(&mut self) {
        let mut open: BTreeMap<(&str, &str, u64), Belief<'a>> = BTreeMap::new();
        for (place, record) in self.records.iter().enumerate() {
            match &record.what {
                What::Believe(news) => {
                    let key = (news.client.as_str(), news.lease.as_str(), news.token);
                    let fresh = Belief {
                        client: &news.client,
                        lease: &news.lease,
                        token: news.token,
                        from: record.at,
                        to: news.until,
                        began: place,
                        renewed: place,
                        doubted: None,
                    };
                    match open.get_mut(&key) {
                        // News that came before belief had ended.
                        Some(belief) if record.at <= belief.to => {
                            belief.to = belief.to.max(news.until);
                            belief.renewed = place;
                        }
                        _ => self.beliefs.extend(open.insert(key, fresh)),
                    }
                }
                What::Doubt(news) => {
                    let key = (news.client.as_str(), news.lease.as_str(), news.token);
                    if let Some(mut belief) = open.remove(&key) {
                        belief.to = belief.to.min(record.at);
                        belief.doubted = Some(place);
                        self.beliefs.push(belief);
                    }
                }
                _ => {}
            }
        }
        self.beliefs.extend(open.into_values());
        self.beliefs.sort_by_key(|belief| (belief.from, belief.began));
    }

    fn read_log(&mut self) {
        let mut first: BTreeMap<u64, Logged<'a>> = BTreeMap::new();
        for (place, record) in self.records.iter().enumerate() {
            if let What::Event(event) = &record.what {
                first.entry(event.revision).or_insert(Logged { event, place });
            }
        }
        self.log = first.into_values().collect();
        for (i, Logged { event, .. }) in self.log.iter().enumerate() {
            self.leases.entry(&event.lease).or_default().push(i);
            match &event.change {
                Change::Granted { token, holder, confirmed } => {
                    let life =
                        Life { lease: &event.lease, holder, confirmed: *confirmed, granted: i, ended: None };
                    self.grants.entry(*token).or_insert(life);
                }
                Change::Confirmed { token } => {
                    if let Some(life) = self.grants.get_mut(token) {
                        life.confirmed = true;
                    }
                }
                Change::Ended { token, why } => {
                    if let Some(life) = self.grants.get_mut(token) {
                        life.ended.get_or_insert((i, why));
                    }
                }
                Change::Other => {}
            }
        }
    }

    fn read_wins(&mut self) {
        // Calls since the client was last granted the lease that may have won it without its hearing: a later claim finds it. One
        // that gave up its place in line may have been granted it at that very moment.
        let mut doubtful: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for op in self.ops.iter().filter(|op| op.claims()) {
            let key = (op.invoke.client.as_str(), op.invoke.lease.as_str());
            match op.answer {
                Some((Answer::Granted { token }, returned)) => {
                    let invoked = doubtful.remove(&key).unwrap_or(op.invoked);
                    let won = self.won.entry(*token).or_insert((invoked, returned));
                    *won = (won.0.min(invoked), won.1.min(returned));
                }
                Some((answer, _)) if !op.waits() && *answer != Answer::Unknown => {}
                _ => {
                    doubtful.entry(key).or_insert(op.invoked);
                }
            }
        }
    }

    fn read_ends(&mut self) {
        for op in &self.ops {
            let holder = |token: &u64| self.grants.get(token).map(|life| life.holder);
            match &op.invoke.call {
                Call::Revoke { token, now: true } => drop(self.cut.insert(*token)),
                Call::Release { token } if holder(token).is_some_and(|holder| holder != op.invoke.client) => {
                    self.cut.insert(*token);
                }
                _ => {}
            }
        }
    }
}

impl Op<'_> {
    /// The token that it was granted.
    pub(crate) fn granted(&self) -> Option<u64> {
        match self.answer {
            Some((Answer::Granted { token }, _)) => Some(*token),
            _ => None,
        }
    }

    /// Whether it waits in line.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.invoke.call, Call::Acquire { .. })
    }

    /// For how long it asks.
    pub(crate) fn ttl_ms(&self) -> Option<u64> {
        match self.invoke.call {
            Call::Claim { ttl_ms } | Call::Acquire { ttl_ms } | Call::Extend { ttl_ms, .. } => Some(ttl_ms),
            _ => None,
        }
    }

    /// Where its answer is.
    pub(crate) fn returned(&self) -> Option<usize> {
        self.answer.map(|(_, place)| place)
    }

    /// Whether it may win a new grant.
    pub(crate) fn claims(&self) -> bool {
        matches!(self.invoke.call, Call::Claim { .. } | Call::Acquire { .. })
    }
}

/// Why these records are no history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The place of the record that is wrong.
    pub place: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} cannot stand in a history: {}", self.place, self.why)
    }
}

impl std::error::Error for Malformed {}
