//! Claims a second, for each credential that has such a quota, on one member: a bucket that fills at that rate, and holds five
//! seconds' worth. Extends are never counted: a quota must not cost anybody a lease that is held.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lease::CredentialId;

use super::bucket::{Bucket, Rate};

/// How many seconds' worth a bucket holds.
const BURST_SECONDS: u32 = 5;

/// The buckets of those that have claimed, no more than there are credentials.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Mutex<BTreeMap<CredentialId, Bucket>>);

impl Quotas {
    /// Takes one claim from the bucket of `id`, which fills at `per_second`.
    ///
    /// # Errors
    /// It is empty: when there is one again.
    pub(crate) fn take(&self, id: CredentialId, per_second: u32, now: Instant) -> Result<(), Duration> {
        let rate = Rate { a_second: per_second, burst: per_second.saturating_mul(BURST_SECONDS) };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(&id) && buckets.len() >= lease::CREDENTIALS_MAX {
            // One that is full again says nothing that a new one would not.
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at()) < FULL_AFTER);
        }
        buckets.entry(id).or_insert(Bucket::full(rate, now)).take(rate, now)
    }
}

const FULL_AFTER: Duration = Duration::from_secs(BURST_SECONDS as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (quotas, start) = (Quotas::default(), Instant::now());
        let take = |id, after| quotas.take(CredentialId(id), 2, start + Duration::from_millis(after));
        for _ in 0..10 {
            assert_eq!(take(1, 0), Ok(()));
        }
        assert_eq!(take(1, 0), Err(Duration::from_millis(500)));
        assert_eq!(take(2, 0), Ok(()), "another's is its own");
        assert_eq!(take(1, 500), Ok(()));
        assert!(take(1, 500).is_err());
        for _ in 0..10 {
            assert_eq!(take(1, 60_000), Ok(()), "it holds no more than its burst");
        }
        assert!(take(1, 60_000).is_err());
    }
}
