//! The verdict: whether what the holders saw can have happened to a lease service that keeps its word.
//!
//! ```text
//!   a0000/0   ├───── token 7 ─────┤                              believes, until its safe_until or until told
//!   a0000/1                            ├──── token 12 ────▶
//!                                  gap
//! ```
//!
//! Three promises are checked, from the holders' own beliefs and nothing that the server says of itself:
//! * **One believer**: the beliefs of two holders of one lease never overlap.
//! * **Tokens rise**: a later grant of a lease has a higher token; none is given to two holders; extends keep it.
//! * **Every lease is held**: at the end, and without a gap since it was first claimed.
//!
//! A service that tells no tokens (Juju's wire has none) is judged by the first and the third alone, and the verdict says so. Then an
//! extend that came too late, and won the lease anew where nobody had taken it meanwhile, is seen as a gap and not as lost.
//!
//! Events of one holder come in order; those of different holders in any order, since several processes report.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::duration::GoDuration;
use crate::history::{Event, Nanos, What};

/// How many reasons of one kind are told; the rest are counted.
const EXAMPLES_MAX: usize = 3;

/// A holder's belief in one grant: from when it was told until it had to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Belief {
    holder: u32,
    token: u64,
    from: Nanos,
    until: Nanos,
    /// Whether the holder was told that the grant has ended: after that the grant must not come back.
    ended: bool,
}

/// Why a belief is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The server said that the grant has ended.
    Ended,
    /// Time ran out, or a new answer took its place.
    Nothing,
}

/// Whether the service tells its grants' tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokens {
    /// It does, and they are judged.
    #[default]
    Told,
    /// It does not: all that is seen of one stands for nothing.
    Untold,
}

/// Collects beliefs while a run goes on, and judges them at its end.
pub struct Judge {
    /// For each holder, its lease.
    lease_of: Vec<u32>,
    leases: Vec<String>,
    holders: Vec<String>,
    /// For each holder, the belief that its next extend prolongs.
    open: Vec<Option<Belief>>,
    /// For each lease, beliefs that are over.
    closed: Vec<Vec<Belief>>,
    changed_tokens: Vec<String>,
    tokens: Tokens,
}

impl Judge {
    /// A judge of these holders, each `app/N`, whose lease is `app`.
    pub fn new(holders: &[String], tokens: Tokens) -> Judge {
        let mut numbers = BTreeMap::new();
        let mut leases = Vec::new();
        let mut lease_of = Vec::with_capacity(holders.len());
        for holder in holders {
            let lease = crate::workload::lease_of(holder);
            let number = *numbers.entry(lease).or_insert_with(|| {
                leases.push(lease.to_owned());
                leases.len() - 1
            });
            lease_of.push(u32::try_from(number).unwrap_or(u32::MAX));
        }
        Judge {
            lease_of,
            closed: vec![Vec::new(); leases.len()],
            leases,
            open: vec![None; holders.len()],
            holders: holders.to_vec(),
            changed_tokens: Vec::new(),
            tokens,
        }
    }

    /// How many leases somebody believes to hold at `now`.
    pub fn held(&self, now: Nanos) -> usize {
        let mut held = vec![false; self.leases.len()];
        for belief in self.open.iter().flatten().filter(|belief| belief.until >= now) {
            held[self.lease_of[belief.holder as usize] as usize] = true;
        }
        held.into_iter().filter(|held| *held).count()
    }

    /// Takes one event. A holder that is not of this run is a defect of the reporter, and is passed over.
    pub fn observe(&mut self, event: &Event) {
        if event.holder as usize >= self.open.len() {
            return;
        }
        match event.what {
            What::Claimed { token, until, .. } => {
                self.close(event.holder, event.at, Told::Nothing);
                self.begin(event, token, until);
            }
            What::Extended { token, until, .. } => self.prolong(event, token, until),
            What::Lost { .. } => self.close(event.holder, event.at, Told::Ended),
            _ => {}
        }
    }

    /// Judges the run that ended at `end`.
    pub fn finish(mut self, end: Nanos) -> Verdict {
        for holder in 0..self.open.len() {
            self.close(u32::try_from(holder).unwrap_or(u32::MAX), Nanos(u64::MAX), Told::Nothing);
        }
        let mut findings =
            Findings { tokens: std::mem::take(&mut self.changed_tokens), ..Findings::default() };
        for (lease, beliefs) in self.closed.iter_mut().enumerate() {
            beliefs.sort_by_key(|belief| (belief.from, belief.token));
            findings.judge(&self.leases[lease], beliefs, &self.holders, end);
        }
        match self.tokens {
            Tokens::Told => findings.check_reuse(&self.closed, &self.leases),
            Tokens::Untold => findings.tokens.clear(),
        }
        findings.into_verdict(self.leases.len(), self.tokens)
    }

    fn begin(&mut self, event: &Event, token: u64, until: Nanos) {
        self.open[event.holder as usize] =
            Some(Belief { holder: event.holder, token, from: event.at, until, ended: false });
    }

    fn prolong(&mut self, event: &Event, token: u64, until: Nanos) {
        match &mut self.open[event.holder as usize] {
            Some(belief) if belief.token == token && event.at <= belief.until => {
                belief.until = belief.until.max(until);
            }
            // The belief had run out before this answer came: a new one starts, and the time between is a gap.
            Some(belief) if belief.token == token => {
                self.close(event.holder, event.at, Told::Nothing);
                self.begin(event, token, until);
            }
            other => {
                let before = other.map_or("none".to_owned(), |belief| belief.token.to_string());
                let holder = &self.holders[event.holder as usize];
                self.changed_tokens.push(format!("{holder} extended token {token} where it held {before}"));
                self.close(event.holder, event.at, Told::Nothing);
                self.begin(event, token, until);
            }
        }
    }

    fn close(&mut self, holder: u32, at: Nanos, told: Told) {
        if let Some(mut belief) = self.open[holder as usize].take() {
            belief.until = belief.until.min(at);
            belief.ended = told == Told::Ended;
            self.closed[self.lease_of[holder as usize] as usize].push(belief);
        }
    }
}

#[derive(Default)]
struct Findings {
    overlaps: Vec<String>,
    tokens: Vec<String>,
    free: Vec<String>,
    never: Vec<String>,
    gaps: Vec<(Duration, String)>,
    held: usize,
}

impl Findings {
    /// Judges one lease by its beliefs, ordered by their start.
    fn judge(&mut self, lease: &str, beliefs: &[Belief], holders: &[String], end: Nanos) {
        // An answer that was read only after its own end gave nobody anything to believe.
        let was_believed = |belief: &&Belief| belief.from <= end && belief.from < belief.until;
        let beliefs: Vec<Belief> = beliefs.iter().filter(was_believed).copied().collect();
        let Some(mut last) = beliefs.first().copied() else {
            return self.never.push(lease.to_owned());
        };
        for belief in &beliefs[1..] {
            self.check_pair(lease, last, *belief, holders, end);
            if belief.until >= last.until {
                last = *belief;
            }
        }
        match last.until >= end {
            true => self.held += 1,
            false => self.free.push(format!("{lease} for the last {}", tidy(end.since(last.until)))),
        }
    }

    fn check_pair(&mut self, lease: &str, last: Belief, next: Belief, holders: &[String], end: Nanos) {
        let name = |belief: Belief| format!("{} (token {})", holders[belief.holder as usize], belief.token);
        let both_until = last.until.min(next.until).min(end);
        if last.holder != next.holder && next.from < both_until {
            let overlap = tidy(both_until.since(next.from));
            self.overlaps.push(format!("{} and {} for {overlap}", name(last), name(next)));
        }
        let same_grant = last.holder == next.holder && last.token == next.token && !last.ended;
        if !same_grant && next.token <= last.token {
            self.tokens.push(format!("{} came after {}", name(next), name(last)));
        }
        if next.from > last.until {
            self.gaps.push((next.from.since(last.until), lease.to_owned()));
        }
    }

    /// A token names one grant of the whole cluster: no two leases may share one.
    fn check_reuse(&mut self, closed: &[Vec<Belief>], leases: &[String]) {
        let mut owners = BTreeMap::new();
        for (lease, beliefs) in closed.iter().enumerate() {
            for belief in beliefs {
                let other = *owners.entry(belief.token).or_insert(lease);
                if other != lease {
                    let (a, b) = (&leases[other], &leases[lease]);
                    self.tokens.push(format!("token {} named a grant of {a} and one of {b}", belief.token));
                }
            }
        }
    }

    fn into_verdict(self, leases: usize, tokens: Tokens) -> Verdict {
        let longest = self.gaps.iter().max().cloned();
        let gaps: Vec<String> =
            self.gaps.iter().map(|(length, lease)| format!("{lease} for {}", tidy(*length))).collect();
        let mut reasons = Vec::new();
        tell(&mut reasons, "two holders believed in one lease at once", &self.overlaps);
        tell(&mut reasons, "a token did not rise", &self.tokens);
        tell(&mut reasons, "a lease was never held", &self.never);
        tell(&mut reasons, "a lease was held by nobody at the end", &self.free);
        tell(&mut reasons, "a lease was held by nobody after its first claim", &gaps);
        Verdict {
            leases,
            tokens,
            held: self.held,
            gaps: self.gaps.len(),
            gap_longest: longest.map(|gap| gap.0),
            reasons,
        }
    }
}

fn tidy(length: Duration) -> GoDuration {
    let exact = GoDuration::from(length);
    if length < Duration::from_millis(1) { exact } else { exact.to_millis() }
}

fn tell(reasons: &mut Vec<String>, what: &str, cases: &[String]) {
    if cases.is_empty() {
        return;
    }
    let examples = cases[..cases.len().min(EXAMPLES_MAX)].join("; ");
    let more = if cases.len() > EXAMPLES_MAX { "; …" } else { "" };
    reasons.push(format!("{what}, {} times: {examples}{more}", cases.len()));
}

/// What came of the judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How many leases were competed for.
    pub leases: usize,
    /// Whether tokens were judged.
    pub tokens: Tokens,
    /// How many somebody believed to hold at the end.
    pub held: usize,
    /// How often a lease was held by nobody after its first claim.
    pub gaps: usize,
    /// The longest such time.
    pub gap_longest: Option<Duration>,
    /// Why the run is not clean: none where it is.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_clean() {
            true if self.tokens == Tokens::Untold => write!(
                f,
                "clean: one believer at a time, all {} leases held; there are no tokens on Juju's wire to judge",
                self.leases
            ),
            true => write!(f, "clean: one believer at a time, tokens rise, all {} leases held", self.leases),
            false => write!(f, "not clean: {}", self.reasons.join("\n  and ")),
        }
    }
}

#[cfg(test)]
mod tests;
