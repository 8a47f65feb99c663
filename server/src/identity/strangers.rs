//! Those who are not known, and how much work they may make.
//!
//! ```text
//!  a token that is not known ──▶ of this source? ──▶ of this member? ──▶ a read barrier: is it new?
//!                                 │ 10 a second       │ 100 a second
//!                                 ▼                   ▼
//!                               overloaded, and when to come back: nothing is read
//!
//!  whoever was turned away   ──▶ the same two bounds, of their own ──▶ a line of the audit log, or only counted
//! ```
//!
//! A source is an address, of IPv6 a network of 64 bits, of which one machine may have all. A good token is never counted: it is found
//! without a read. Pure: time comes in as an argument.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Rate};

/// What one source may have looked up, and written down, each.
const OF_SOURCE: Rate = Rate { a_second: 10, burst: 100 };
/// What all sources together may, at one member: far below what a member reads for those who are known.
const OF_MEMBER: Rate = Rate { a_second: 100, burst: 400 };
/// Sources that are told apart; those beyond share one bucket.
const SOURCES_MAX: usize = 4_096;
/// One that was not heard of for so long has full buckets.
const FULL_AFTER: Duration = Duration::from_secs((OF_SOURCE.burst / OF_SOURCE.a_second) as u64);

const _: () = assert!(OF_SOURCE.burst * 4 <= OF_MEMBER.burst, "one source must not take all that there is");

/// What those who are not known have left.
#[derive(Debug)]
pub(crate) struct Strangers(Mutex<Buckets>);

#[derive(Debug)]
struct Buckets {
    sources: BTreeMap<IpAddr, Pair>,
    others: Pair,
    all: Pair,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    reads: Bucket,
    lines: Bucket,
}

/// Why a token that is not known is not looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// When again.
    pub(crate) again: Duration,
    /// Whether it is the source's bound; otherwise it is the member's.
    pub(crate) of_source: bool,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, whose) = match self.of_source {
            true => (OF_SOURCE, "of one address"),
            false => (OF_MEMBER, "of all addresses, at one member"),
        };
        write!(
            f,
            "tokens that are not known are looked for {} times a second, {whose}, and more came: come again later; a token that is \
             known is let in at once",
            rate.a_second
        )
    }
}

impl Strangers {
    pub(crate) fn new(now: Instant) -> Strangers {
        let [others, all] = [OF_SOURCE, OF_MEMBER].map(|rate| Pair::full(rate, now));
        Strangers(Mutex::new(Buckets { sources: BTreeMap::new(), others, all }))
    }

    /// Whether the cluster may be asked after a token that is not known here.
    ///
    /// # Errors
    /// Not now.
    pub(crate) fn may_read(&self, peer: Option<SocketAddr>, now: Instant) -> Result<(), TooMany> {
        let mut buckets = self.buckets();
        let of_source = buckets.of(peer, now).reads.take(OF_SOURCE, now);
        of_source.map_err(|again| TooMany { again, of_source: true })?;
        buckets.all.reads.take(OF_MEMBER, now).map_err(|again| TooMany { again, of_source: false })
    }

    /// Whether it may be written down that somebody was turned away.
    pub(crate) fn may_write(&self, peer: Option<SocketAddr>, now: Instant) -> bool {
        let mut buckets = self.buckets();
        buckets.of(peer, now).lines.take(OF_SOURCE, now).is_ok()
            && buckets.all.lines.take(OF_MEMBER, now).is_ok()
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn of(&mut self, peer: Option<SocketAddr>, now: Instant) -> &mut Pair {
        let Some(source) = peer.map(source_of) else { return &mut self.others };
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES_MAX {
            self.sources.retain(|_, pair| now.saturating_duration_since(pair.at()) < FULL_AFTER);
            if self.sources.len() >= SOURCES_MAX {
                return &mut self.others;
            }
        }
        self.sources.entry(source).or_insert_with(|| Pair::full(OF_SOURCE, now))
    }
}

impl Pair {
    fn full(rate: Rate, now: Instant) -> Pair {
        Pair { reads: Bucket::full(rate, now), lines: Bucket::full(rate, now) }
    }

    fn at(&self) -> Instant {
        self.reads.at().max(self.lines.at())
    }
}

/// Whom an address is counted as: itself, or of IPv6 the network of 64 bits that it is in.
pub(crate) fn source_of(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(text.parse().unwrap(), 9))
    }

    fn reads(strangers: &Strangers, from: &str, now: Instant) -> usize {
        (0..10_000).take_while(|_| strangers.may_read(peer(from), now).is_ok()).count()
    }

    #[test]
    fn one_source_has_its_burst_and_then_its_rate_and_another_has_its_own() {
        let now = Instant::now();
        let strangers = Strangers::new(now);
        assert_eq!(reads(&strangers, "10.0.0.1", now), 100);
        let refused = strangers.may_read(peer("::ffff:10.0.0.1"), now).unwrap_err();
        assert_eq!(refused, TooMany { again: Duration::from_millis(100), of_source: true });
        assert_eq!(reads(&strangers, "10.0.0.2", now), 100);
        assert!(strangers.may_write(peer("10.0.0.1"), now), "a line is no read");
        assert_eq!(reads(&strangers, "10.0.0.1", now + Duration::from_secs(2)), 20);
    }

    #[test]
    fn many_sources_have_no_more_than_one_member_gives() {
        let now = Instant::now();
        let strangers = Strangers::new(now);
        let all: usize = (1..=10).map(|last| reads(&strangers, &format!("10.0.0.{last}"), now)).sum();
        assert_eq!(all, 400);
        assert!(!strangers.may_read(peer("10.0.1.1"), now).unwrap_err().of_source);
        let written = (0..10_000).filter(|at| strangers.may_write(peer(&format!("10.1.0.{}", at % 9)), now));
        assert_eq!(written.count(), 400);
    }

    #[test]
    fn a_network_of_64_bits_is_one_source() {
        let now = Instant::now();
        let strangers = Strangers::new(now);
        let each = (0..200).filter(|at| strangers.may_read(peer(&format!("2001:db8::{at:x}")), now).is_ok());
        assert_eq!(each.count(), 100);
        assert!(strangers.may_read(peer("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn the_table_of_sources_is_bounded_and_forgets_those_who_stay_away() {
        let now = Instant::now();
        let strangers = Strangers::new(now);
        let address = |at: usize| peer(&format!("10.{}.{}.1", at / 256, at % 256));
        (0..2 * SOURCES_MAX).for_each(|at| _ = strangers.may_write(address(at), now));
        assert_eq!(strangers.buckets().sources.len(), SOURCES_MAX);
        assert!(!strangers.may_write(address(3 * SOURCES_MAX), now), "those beyond share one bucket");
        assert!(strangers.may_write(address(3 * SOURCES_MAX), now + FULL_AFTER));
        assert_eq!(strangers.buckets().sources.len(), 1);
    }
}
