//! Holder time: how long it has been, as a holder must count it.
//!
//! A holder that counts too little believes too long, and then two believe at once. So it takes the faster of two
//! clocks, whichever is the faster at the time: CLOCK_BOOTTIME goes on while the machine sleeps, CLOCK_MONOTONIC_RAW
//! is not slewed by a time daemon. Neither is a wall clock: nobody's `date` call moves a deadline.
//!
//! The larger of two totals would not do: after one sleep CLOCK_BOOTTIME leads for ever, and a daemon that slews it
//! slowly would slow belief with it. So the larger of what each counted is added up, stretch by stretch, and a new
//! stretch begins where the two have come apart.
//!
//! Promises, of any two readings:
//! * They never run backwards, whichever threads read.
//! * Between them at least what the faster of the two counted has passed, less a tenth of a millisecond: by so much the
//!   two may have been apart when the first was read. That error does not grow with the time between, and is a fortieth
//!   of what the clock rates leave a holder of the shortest ttl.
//! * What a thread that was interrupted between its two reads adds to a stretch ends belief early, never late, and by
//!   less than a part in a thousand: a pair that took longer begins no stretch.
//!
//! Everything pure in this crate takes `now` as an argument; only the session's task and a grant's `is_held` read a
//! [`Clock`].

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A reading of holder time: nanoseconds since the clock was made. Readings of two clocks do not compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's start.
    pub const ZERO: Instant = Instant(0);

    /// The reading of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// The reading of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The reading `length` later; stays at the largest reading instead of wrapping.
    pub fn after(self, length: Duration) -> Instant {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }

    /// How long from `self` until `later`: zero where that is past.
    pub fn until(self, later: Instant) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

/// Something that tells holder time.
pub trait Clock: Send + Sync {
    /// What it reads now. It never runs backwards.
    fn now(&self) -> Instant;
}

/// How far the two clocks may come apart, in ns, before the stretch that shows it ends.
const APART: u64 = 100_000;
/// A stretch is so many times as long as it took to read the pair that ends it.
const QUICK: u64 = 1_000;

/// The real one: what has passed since it was made on the faster of CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW, whichever
/// is the faster at the time.
#[derive(Debug)]
pub struct HolderClock(Mutex<Faster>);

impl HolderClock {
    /// A clock that reads zero now.
    ///
    /// # Errors
    /// The system has no CLOCK_BOOTTIME or no CLOCK_MONOTONIC_RAW: without them no lease can be held safely.
    pub fn start() -> std::io::Result<HolderClock> {
        Ok(HolderClock(Mutex::new(Faster::start(Pair::read()?))))
    }
}

impl Clock for HolderClock {
    fn now(&self) -> Instant {
        // Read behind the lock, so that pairs are counted in the order in which they were read.
        let mut faster = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match Pair::read() {
            Ok(pair) => Instant(faster.read(pair)),
            // A clock that was read once and cannot be read any more: say that all time has passed, so that nobody
            // believes in anything, instead of standing still.
            Err(_) => Instant(faster.stop()),
        }
    }
}

/// Both clocks, read one after the other within `spread`. In nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Pair {
    boottime: u64,
    raw: u64,
    spread: u64,
}

impl Pair {
    fn read() -> std::io::Result<Pair> {
        let raw = read(ClockId::CLOCK_MONOTONIC_RAW)?;
        let boottime = read(ClockId::CLOCK_BOOTTIME)?;
        let spread = read(ClockId::CLOCK_MONOTONIC_RAW)?.saturating_sub(raw);
        Ok(Pair { boottime, raw, spread })
    }
}

/// Counts with the faster of two clocks, stretch by stretch.
#[derive(Debug)]
struct Faster {
    /// The last reading.
    told: u64,
    /// What the stretches before this one came to.
    before: u64,
    /// Where this stretch began.
    from: Pair,
}

impl Faster {
    fn start(from: Pair) -> Faster {
        Faster { told: 0, before: 0, from }
    }

    fn read(&mut self, at: Pair) -> u64 {
        let boottime = at.boottime.saturating_sub(self.from.boottime);
        let raw = at.raw.saturating_sub(self.from.raw);
        let counted = boottime.max(raw);
        self.told = self.told.max(self.before.saturating_add(counted));
        if boottime.abs_diff(raw) > APART && at.spread <= counted / QUICK {
            *self = Faster { told: self.told, before: self.told, from: at };
        }
        self.told
    }

    fn stop(&mut self) -> u64 {
        self.told = u64::MAX;
        self.told
    }
}

// Through libc and not as a raw system call, so that a test rig can fake the rate.
fn read(id: ClockId) -> std::io::Result<u64> {
    let time = clock_gettime(id)?;
    let secs = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    Ok(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    /// Two clocks in a world where true time passes in steps, and what holder time makes of them.
    struct World {
        pair: Pair,
        faster: Faster,
    }

    impl World {
        fn new() -> World {
            // As on a machine that has been up for long, and slept.
            let pair = Pair { boottime: 9_000 * SECOND, raw: 901 * SECOND, spread: 80 };
            World { pair, faster: Faster::start(pair) }
        }

        /// Lets `millis` pass, read every millisecond, while CLOCK_BOOTTIME gains `gain_ppm`.
        fn pass(&mut self, millis: u64, gain_ppm: i64) -> u64 {
            for _ in 0..millis {
                self.pair.boottime += MS.saturating_add_signed(gain_ppm);
                self.pair.raw += MS;
                self.faster.read(self.pair);
            }
            self.faster.told
        }

        /// The machine sleeps: only CLOCK_BOOTTIME goes on.
        fn sleep(&mut self, millis: u64) -> u64 {
            self.pair.boottime += millis * MS;
            self.faster.read(self.pair)
        }
    }

    #[test]
    fn after_a_sleep_a_slow_slew_does_not_lengthen_belief() {
        let mut world = World::new();
        let awake = world.pass(1_000, 0);
        let woken = world.sleep(3_600_000);
        assert_eq!(woken - awake, 3_600 * SECOND, "the sleep counts");
        let slewed = world.pass(100_000, -83_333);
        assert!(slewed - woken >= 100 * SECOND - APART, "only {} ns in 100 s", slewed - woken);
        assert!(slewed - woken <= 101 * SECOND, "{} ns in 100 s", slewed - woken);
    }

    #[test]
    fn between_any_two_readings_at_least_what_the_faster_counted_passes() {
        let mut world = World::new();
        let mut seen = vec![(world.pair, 0)];
        for gain_ppm in [0, 83_333, -83_333, 400, -3, -83_333, 20, -100_000, 100_000] {
            for _ in 0..40 {
                let told = world.pass(13, gain_ppm);
                seen.push((world.pair, told));
            }
            let told = world.sleep(170);
            seen.push((world.pair, told));
        }
        for (i, (first, told)) in seen.iter().enumerate() {
            for (second, later) in &seen[i..] {
                let faster = (second.boottime - first.boottime).max(second.raw - first.raw);
                assert!(later - told + APART >= faster, "{} ns, the faster {faster}", later - told);
            }
        }
    }

    #[test]
    fn interruptions_between_the_two_reads_do_not_add_up() {
        let mut world = World::new();
        for i in 0..100_000_u64 {
            world.pair.boottime += MS;
            world.pair.raw += MS;
            // Every third pair is torn apart by 7 ms.
            let torn = if i % 3 == 0 { 7 * MS } else { 80 };
            world.faster.read(Pair { boottime: world.pair.boottime + torn, spread: torn, ..world.pair });
        }
        let told = world.faster.read(world.pair);
        assert!(told >= 100 * SECOND, "{told} ns in 100 s");
        assert!(told <= 100 * SECOND + 100 * SECOND / QUICK + 7 * MS, "{told} ns in 100 s");
    }

    #[test]
    fn a_clock_that_cannot_be_read_any_more_ends_all_belief() {
        let mut world = World::new();
        world.pass(10, 0);
        assert_eq!(world.faster.stop(), u64::MAX);
        assert_eq!(world.pass(10, 0), u64::MAX, "it does not come back to life");
    }

    #[test]
    fn it_runs_backwards_for_no_thread() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let clock = HolderClock::start().unwrap();
        let latest = AtomicU64::new(0);
        let watch = || {
            for _ in 0..20_000 {
                let before = latest.load(Ordering::SeqCst);
                let now = clock.now().as_nanos();
                assert!(now >= before, "{now} was read after {before}");
                latest.fetch_max(now, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(watch))));
    }

    #[test]
    fn the_real_clock_starts_near_zero_and_never_runs_back() {
        let clock = HolderClock::start().unwrap_or_else(|error| panic!("no holder clock: {error}"));
        let mut last = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last, "{now} came after {last}");
            last = now;
        }
        assert!(last.as_nanos() > 0, "the clock stands still");
    }

    #[test]
    fn arithmetic_stays_at_the_ends() {
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(end.until(Instant::ZERO), Duration::ZERO);
        assert_eq!(Instant::from_millis(2).until(Instant::from_millis(5)), Duration::from_millis(3));
        assert_eq!(Instant::from_millis(1_500).to_string(), "1.500000s");
    }
}
