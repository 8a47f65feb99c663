//! This machine's clock: what has elapsed on the slower of CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW, whichever is the slower at
//! the time.
//!
//! The one is slewed by time daemons, by up to a twelfth; the other is not. The slower of the two never makes a lease short. The
//! lesser of two totals would not do: once the slewed clock lags, the lesser total is the slewed one, and while a daemon makes the
//! lag good the leases would run as fast as it slews. So the lesser of what each counted is added up, stretch by stretch, and a
//! new stretch begins where the two have come apart.
//!
//! Promises, of any two readings:
//! * They never run backwards, whichever threads read.
//! * Between them the clock counts at most what the slower of the two counted, and [`APART`]: by so much the two may have been
//!   apart when the first was read. That error does not grow with the time between, and is a fortieth of what the clock rates
//!   leave a holder of the shortest ttl.
//! * What a thread that was interrupted between its two reads takes from a stretch makes leases late, never short, and by less
//!   than a part in [`QUICK`]: a pair that took longer begins no stretch.
//!
//! Both are read through libc, so that a test rig can fake them.

use std::sync::{Mutex, PoisonError};

use lease::RHO_PER_MILLE;
use nix::time::{ClockId, clock_gettime};
use replica::{Clock, Mono};

/// How far the two may come apart, in ns, before the stretch that shows it ends.
const APART: u64 = 100_000;
/// A stretch is so many times as long as it took to read the pair that ends it.
const QUICK: u64 = 1_000;

/// Over so long the rates of the two are compared, in ns.
const COMPARED_OVER: u64 = 10_000_000_000;

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct MachineClock(Mutex<(Slower, Rates)>);

impl MachineClock {
    /// Starts at zero.
    ///
    /// # Errors
    /// The system has no such clock.
    pub(crate) fn start() -> nix::Result<MachineClock> {
        let from = Pair::read()?;
        Ok(MachineClock(Mutex::new((Slower::start(from), Rates { from, differ: false }))))
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Mono {
        // Read behind the lock, so that pairs are counted in the order in which they were read.
        let (slower, rates) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was read once can be read again; if ever it cannot, time stands still, which ends no lease early.
        let Ok(pair) = Pair::read() else { return Mono(slower.told) };
        rates.read(pair);
        Mono(slower.read(pair))
    }

    fn strays(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.differ
    }
}

/// Both clocks, read one after the other within `spread`. In nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Pair {
    slewed: u64,
    raw: u64,
    spread: u64,
}

impl Pair {
    fn read() -> nix::Result<Pair> {
        let slewed = read(ClockId::CLOCK_MONOTONIC)?;
        let raw = read(ClockId::CLOCK_MONOTONIC_RAW)?;
        let spread = read(ClockId::CLOCK_MONOTONIC)?.saturating_sub(slewed);
        Ok(Pair { slewed, raw, spread })
    }
}

/// Counts with the slower of two clocks, stretch by stretch.
#[derive(Debug)]
struct Slower {
    /// The last reading.
    told: u64,
    /// What the stretches before this one came to.
    before: u64,
    /// Where this stretch began.
    from: Pair,
}

impl Slower {
    fn start(from: Pair) -> Slower {
        Slower { told: 0, before: 0, from }
    }

    fn read(&mut self, at: Pair) -> u64 {
        let slewed = at.slewed.saturating_sub(self.from.slewed);
        let raw = at.raw.saturating_sub(self.from.raw);
        let counted = slewed.min(raw);
        self.told = self.told.max(self.before.saturating_add(counted));
        if slewed.abs_diff(raw) > APART && at.spread <= counted / QUICK {
            *self = Slower { told: self.told, before: self.told, from: at };
        }
        self.told
    }
}

/// Whether the two ran at rates that differ by more than rho, over the last stretch of [`COMPARED_OVER`] or longer.
#[derive(Debug)]
struct Rates {
    /// Where the stretch at hand began.
    from: Pair,
    differ: bool,
}

impl Rates {
    fn read(&mut self, at: Pair) {
        let slewed = at.slewed.saturating_sub(self.from.slewed);
        let raw = at.raw.saturating_sub(self.from.raw);
        // A pair that was torn apart says nothing of rates.
        if slewed.max(raw) < COMPARED_OVER || at.spread > APART {
            return;
        }
        // One of the two may not have moved at all.
        let (per_mille, apart) = (u128::from(RHO_PER_MILLE), u128::from(slewed.abs_diff(raw)));
        *self = Rates { from: at, differ: apart * 1_000 > u128::from(slewed.min(raw)) * per_mille };
    }
}

fn read(clock: ClockId) -> nix::Result<u64> {
    let now = clock_gettime(clock)?;
    let (seconds, nanos) =
        (u64::try_from(now.tv_sec()).unwrap_or(0), u64::try_from(now.tv_nsec()).unwrap_or(0));
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    /// Two clocks in a world where true time passes in steps, and what the machine's clock makes of them.
    struct World {
        pair: Pair,
        slower: Slower,
    }

    impl World {
        fn new() -> World {
            // As on a machine that has been up for long.
            let pair = Pair { slewed: 900 * SECOND, raw: 901 * SECOND, spread: 80 };
            World { pair, slower: Slower::start(pair) }
        }

        /// Lets `millis` pass, read every millisecond, while the slewed clock gains `gain_ppm`.
        fn pass(&mut self, millis: u64, gain_ppm: i64) -> u64 {
            for _ in 0..millis {
                self.pair.slewed += MS.checked_add_signed(gain_ppm).unwrap();
                self.pair.raw += MS;
                self.slower.read(self.pair);
            }
            self.slower.told
        }
    }

    #[test]
    fn a_lag_that_is_made_good_by_a_fast_slew_makes_no_lease_short() {
        let mut world = World::new();
        // Ten seconds behind, and then a daemon makes them good as fast as it may.
        let lagged = world.pass(200_000, -50_000);
        assert!(lagged <= 190 * SECOND, "the slower clock counted 190 s, not {lagged} ns");
        let caught_up = world.pass(100_000, 83_333);
        assert!(caught_up - lagged <= 100 * SECOND + APART, "{} ns in 100 s", caught_up - lagged);
        assert!(caught_up - lagged > 99 * SECOND, "time stood still: {} ns in 100 s", caught_up - lagged);
    }

    #[test]
    fn between_any_two_readings_it_counts_no_more_than_the_slower() {
        let mut world = World::new();
        let mut seen = vec![(world.pair, 0)];
        for gain_ppm in [0, 83_333, -83_333, 400, -3, 83_333, 20, -100_000, 100_000] {
            for _ in 0..40 {
                let told = world.pass(13, gain_ppm);
                seen.push((world.pair, told));
            }
        }
        for (i, (first, told)) in seen.iter().enumerate() {
            for (second, later) in &seen[i..] {
                let slower = (second.slewed - first.slewed).min(second.raw - first.raw);
                assert!(later - told <= slower + APART, "{} ns, the slower {slower}", later - told);
            }
        }
    }

    #[test]
    fn rates_that_differ_by_more_than_rho_over_ten_seconds_are_seen_and_so_is_their_end() {
        let mut pair = Pair { slewed: 900 * SECOND, raw: 901 * SECOND, spread: 80 };
        let mut rates = Rates { from: pair, differ: false };
        let mut pass = |seconds: u64, gain_ppm: i64| {
            for _ in 0..seconds * 10 {
                pair.slewed += (100 * MS).checked_add_signed(gain_ppm * 100).unwrap();
                pair.raw += 100 * MS;
                rates.read(pair);
            }
            rates.differ
        };
        assert!(!pass(60, 9_900), "within rho");
        assert!(pass(21, 10_200) && pass(21, -10_200), "beyond it");
        assert!(!pass(21, 0), "and no more");
        let torn = Pair { slewed: pair.slewed + SECOND, raw: pair.raw + 20 * SECOND, spread: SECOND };
        rates.read(torn);
        assert!(!rates.differ, "torn apart by a pause of a second");
        rates.read(Pair { slewed: pair.slewed, raw: pair.raw + 20 * SECOND, spread: 80 });
        assert!(rates.differ, "one stands still");
    }

    #[test]
    fn a_long_time_without_a_reading_counts_as_the_slower_counted_it() {
        let mut world = World::new();
        let told = world.pass(10, 0);
        world.pair.slewed += 50 * SECOND;
        world.pair.raw += 60 * SECOND;
        assert_eq!(world.slower.read(world.pair) - told, 50 * SECOND);
        world.pair.slewed += 65 * SECOND;
        world.pair.raw += 60 * SECOND;
        assert_eq!(world.slower.read(world.pair) - told, 110 * SECOND);
    }

    #[test]
    fn interruptions_between_the_two_reads_do_not_add_up() {
        let mut world = World::new();
        for i in 0..100_000_u64 {
            world.pair.slewed += MS;
            world.pair.raw += MS;
            // Every third pair is torn apart by 7 ms.
            let torn = if i % 3 == 0 { 7 * MS } else { 80 };
            world.slower.read(Pair { raw: world.pair.raw + torn, spread: torn, ..world.pair });
        }
        let told = world.slower.read(world.pair);
        assert!(told >= 100 * SECOND - 100 * SECOND / QUICK, "{told} ns in 100 s");
        assert!(told <= 100 * SECOND, "{told} ns in 100 s");
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_take_time_back() {
        let mut world = World::new();
        let told = world.pass(50, 0);
        world.pair.raw -= 20 * MS;
        assert_eq!(world.slower.read(world.pair), told);
        assert!(world.pass(100, 0) > told);
    }

    #[test]
    fn it_starts_near_zero_and_goes_on() {
        let clock = MachineClock::start().unwrap();
        let first = clock.now();
        assert!(first.0 < 60_000_000_000, "not the machine's uptime: {first:?}");
        while clock.now() == first {
            std::hint::spin_loop();
        }
        assert!(clock.now() > first);
    }

    #[test]
    fn it_runs_backwards_for_no_thread() {
        let clock = MachineClock::start().unwrap();
        let latest = AtomicU64::new(0);
        let watch = || {
            for _ in 0..20_000 {
                let before = latest.load(Ordering::SeqCst);
                let now = clock.now().0;
                assert!(now >= before, "{now} was read after {before}");
                latest.fetch_max(now, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(watch))));
    }
}
