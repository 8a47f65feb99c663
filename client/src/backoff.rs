//! How long to wait before the next try: jittered, exponential, bounded.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(10);

/// A source of chance that its maker's seed decides: the same seed, the same session.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A length from zero up to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        most.mul_f64(fraction)
    }

    // SplitMix64 (Steele, Lea and Flood, 2014): small, and good enough to spread retries.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The pause before try number `tries` (from 1): 250 ms, doubled each time up to 10 s, at most an eighth of `ttl`
/// where a grant of that ttl is at stake; of which the second half is left to chance.
pub(crate) fn pause(tries: u32, ttl: Option<Duration>, chance: &mut Chance) -> Duration {
    let doubled = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10));
    // Half of a grant's life must hold several tries, whatever the back-off has grown to.
    let most = ttl.map_or(LAST, |ttl| LAST.min(ttl / 8)).min(doubled);
    most / 2 + chance.up_to(most / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_a_quarter_second_to_ten_seconds() {
        let mut chance = Chance::new(1);
        for (tries, most) in [(1, 250), (2, 500), (3, 1_000), (6, 8_000), (7, 10_000), (4_000_000, 10_000)] {
            let most = Duration::from_millis(most);
            for _ in 0..100 {
                let pause = pause(tries, None, &mut chance);
                assert!(pause >= most / 2 && pause <= most, "try {tries}: {pause:?}");
            }
        }
    }

    #[test]
    fn a_live_grant_caps_it_at_an_eighth_of_its_ttl() {
        let mut chance = Chance::new(2);
        for tries in 1..40 {
            assert!(pause(tries, Some(Duration::from_secs(4)), &mut chance) <= Duration::from_millis(500));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses() {
        let run = |seed| {
            let mut chance = Chance::new(seed);
            (1..9).map(|tries| pause(tries, None, &mut chance)).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}
