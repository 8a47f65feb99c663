//! What those who are known are refused, and how much of it is written down each by itself: so that whoever asks again and again for
//! what they may not have does not fill the audit log, and push what others did out of it.
//!
//! ```text
//!  refused ──▶ of this principal, with this outcome? ──▶ of this member? ──▶ a line of the audit log
//!               │ 1 a second, 100 at once                 │ 100 a second, 2,000 at once
//!               └──────────────────┬──────────────────────┘
//!                                  └ counted ──▶ each 10 s a line with `left_out`: of whom, with which outcome, how many
//! ```
//!
//! Of what was done every line is written; only what was not done is bounded. Pure: time comes in as an argument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lease::Role;

use super::Principal;
use super::bucket::{Bucket, Rate};

/// Lines of one principal's refusals with one outcome.
const OF_PRINCIPAL: Rate = Rate { a_second: 1, burst: 100 };
/// Of all together, at one member.
const OF_MEMBER: Rate = Rate { a_second: 100, burst: 2_000 };
/// Principals and outcomes that are told apart; those beyond share one bucket, and are counted without a name.
const KNOWN_MAX: usize = 4_096;
/// One that was refused nothing for so long has a full bucket.
const FULL_AFTER: Duration = Duration::from_secs((OF_PRINCIPAL.burst / OF_PRINCIPAL.a_second) as u64);
/// How often those are looked for, at most.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// How often it is told what was left out.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Of so many principals each by itself; the rest in one line.
const TOLD_AT_ONCE: usize = 64;

const _: () =
    assert!(OF_PRINCIPAL.burst * 4 <= OF_MEMBER.burst, "one principal must not take all that there is");

/// Every principal's.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    known: BTreeMap<Key, Count>,
    /// Those who are too many to be told apart.
    others: Count,
    all: Bucket,
    told: Instant,
    /// When some were forgotten last: it is a look at them all.
    forgot: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    namespace: Option<Arc<str>>,
    name: Arc<str>,
    role: Role,
    outcome: &'static str,
}

#[derive(Debug)]
struct Count {
    lines: Bucket,
    left_out: u64,
}

/// So many refusals are not written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Whose, and with which outcome; none of several together.
    pub(super) of: Option<(Arc<str>, Role, &'static str)>,
    /// How many.
    pub(super) count: u64,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Refusals {
        Refusals(Mutex::new(Counts {
            known: BTreeMap::new(),
            others: Count::new(now),
            all: Bucket::full(OF_MEMBER, now),
            told: now,
            forgot: None,
        }))
    }

    /// Whether a refusal may be written down; otherwise it is counted.
    pub(super) fn may_write(&self, principal: &Principal, outcome: &'static str, now: Instant) -> bool {
        let counts = &mut *self.counts();
        let key = Key {
            namespace: principal.namespace.clone(),
            name: Arc::clone(&principal.name),
            role: principal.role,
            outcome,
        };
        counts.make_room(&key, now);
        let count = match counts.known.len() < KNOWN_MAX || counts.known.contains_key(&key) {
            true => counts.known.entry(key).or_insert_with(|| Count::new(now)),
            false => &mut counts.others,
        };
        let may = count.lines.take(OF_PRINCIPAL, now).is_ok() && counts.all.take(OF_MEMBER, now).is_ok();
        count.left_out += u64::from(!may);
        may
    }

    /// What was left out since it was told last, where it is time to tell.
    pub(super) fn take_when_due(&self, now: Instant) -> Vec<LeftOut> {
        let is_due = now.saturating_duration_since(self.counts().told) >= TELL_EVERY;
        if is_due { self.take(now) } else { Vec::new() }
    }

    /// What was left out since it was told last.
    pub(super) fn take(&self, now: Instant) -> Vec<LeftOut> {
        let counts = &mut *self.counts();
        counts.told = now;
        let mut rest = std::mem::take(&mut counts.others.left_out);
        let mut told = Vec::new();
        for (key, count) in counts.known.iter_mut().filter(|(_, count)| count.left_out > 0) {
            let count = std::mem::take(&mut count.left_out);
            match told.len() < TOLD_AT_ONCE {
                true => {
                    told.push(LeftOut { of: Some((Arc::clone(&key.name), key.role, key.outcome)), count })
                }
                false => rest += count,
            }
        }
        told.extend((rest > 0).then_some(LeftOut { of: None, count: rest }));
        told
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Forgets those of whom nothing is to be told and whose buckets are full again, where there are too many; now and then.
    fn make_room(&mut self, key: &Key, now: Instant) {
        let is_time = self.forgot.is_none_or(|at| now.saturating_duration_since(at) >= FORGET_EVERY);
        if is_time && self.known.len() >= KNOWN_MAX && !self.known.contains_key(key) {
            self.forgot = Some(now);
            let is_recent = |at| now.saturating_duration_since(at) < FULL_AFTER;
            self.known.retain(|_, count| count.left_out > 0 || is_recent(count.lines.at()));
        }
    }
}

impl Count {
    fn new(now: Instant) -> Count {
        Count { lines: Bucket::full(OF_PRINCIPAL, now), left_out: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Source;

    const DENIED: &str = "denied";

    fn unit(name: &str) -> Principal {
        Principal::unit(name, "prod", Source::Certificate { until: 9 })
    }

    fn written(refusals: &Refusals, who: &Principal, times: usize, now: Instant) -> usize {
        (0..times).filter(|_| refusals.may_write(who, DENIED, now)).count()
    }

    #[test]
    fn one_principal_has_its_burst_and_then_its_rate_and_the_rest_is_counted_once() {
        let now = Instant::now();
        let refusals = Refusals::new(now);
        assert_eq!(written(&refusals, &unit("a/0"), 1_000, now), 100);
        assert_eq!(written(&refusals, &unit("a/1"), 3, now), 3, "another has its own");
        assert!(refusals.may_write(&unit("a/0"), "overloaded", now), "so has another outcome");
        let later = now + TELL_EVERY;
        assert_eq!(refusals.take_when_due(later - Duration::from_millis(1)), []);
        let left_out = LeftOut { of: Some(("a/0".into(), Role::Unit, DENIED)), count: 900 };
        assert_eq!(refusals.take_when_due(later), [left_out]);
        assert_eq!(written(&refusals, &unit("a/0"), 1_000, later), 10);
        assert_eq!(refusals.take_when_due(later), [], "it was told just now");
        assert_eq!(refusals.take(later)[0].count, 990);
        assert_eq!(refusals.take(later), []);
    }

    #[test]
    fn many_principals_have_no_more_than_one_member_gives_and_few_lines_tell_of_the_rest() {
        let now = Instant::now();
        let refusals = Refusals::new(now);
        let many = KNOWN_MAX + 100;
        let lines: usize = (0..many).map(|at| written(&refusals, &unit(&format!("a/{at}")), 1, now)).sum();
        assert_eq!(lines, 2_000);
        assert_eq!(refusals.counts().known.len(), KNOWN_MAX);
        let told = refusals.take(now);
        assert_eq!(told.len(), TOLD_AT_ONCE + 1);
        assert_eq!(told.iter().map(|it| it.count).sum::<u64>() as usize, many - lines);
        let newcomer = unit("b/0");
        assert_eq!(written(&refusals, &newcomer, 1, now + FULL_AFTER), 1);
        assert_eq!(refusals.counts().known.len(), 1, "those who stay away are forgotten");
    }
}
