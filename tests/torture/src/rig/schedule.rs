//! What strikes when: a plan from a seed, made before anything runs. The same seed, kinds and length give the same plan.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

macro_rules! kinds {
    ($($name:ident $word:literal $doc:literal;)*) => {
        /// What a nemesis does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind { $(#[doc = $doc] $name,)* }

        impl Kind {
            /// All of them.
            pub(crate) const ALL: &[Kind] = &[$(Kind::$name,)*];

            /// Its name on the command line and in histories.
            pub(crate) fn word(self) -> &'static str {
                match self { $(Kind::$name => $word,)* }
            }

            /// What it does, in a line.
            pub(crate) fn doc(self) -> &'static str {
                match self { $(Kind::$name => $doc,)* }
            }
        }
    };
}

kinds! {
    Kill "kill" "kill -9 of a member, or of all at once, and a start after a while";
    Stop "stop" "SIGSTOP of a member, and SIGCONT";
    Partition "partition" "a member is cut off from the others, and perhaps from the clients";
    OneWay "one-way" "a member hears another, and is not heard by it";
    Bridge "bridge" "two members are cut off from each other, and both from none else";
    Flap "flap" "a member is cut off and let back, again and again";
    Loss "loss" "packets between all places are lost by chance";
    SlowDisk "slow-disk" "every sync of a member takes longer";
    FullDisk "full-disk" "a member's disk takes nothing more";
    FailedSync "failed-sync" "a member's sync fails: its process must end at once";
    Clock "clock" "a member is started again with a clock that errs by less than rho";
    PowerCut "power-cut" "a member's disk, or all at once, lose all that was not synced";
    Pause "pause" "SIGSTOP of a process full of clients, and SIGCONT";
    Crash "crash" "kill -9 of a process full of clients, and a start of another";
    WildClock "wild-clock" "as clock, but by half: nobody's belief is promised then, and tokens still are";
}

impl Kind {
    /// Those of a mixed run: all that the promises cover.
    pub(crate) fn mixed() -> Vec<Kind> {
        Kind::ALL.iter().copied().filter(|kind| *kind != Kind::WildClock).collect()
    }

    /// Whether it hits a member's process or disk, of which it then must be the only one.
    pub(crate) fn is_of_process(self) -> bool {
        use Kind::{Clock, FailedSync, FullDisk, Kill, PowerCut, SlowDisk, Stop, WildClock};
        matches!(self, Kill | Stop | SlowDisk | FullDisk | FailedSync | Clock | PowerCut | WildClock)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let known = || Kind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
        let found = Kind::ALL.iter().copied().find(|kind| kind.word() == text);
        found.ok_or_else(|| format!("there is no nemesis {text:?}: name some of {}, or mixed", known()))
    }
}

/// Whom it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Whoever leads then.
    Leader,
    /// This member, or this process of clients, counted round.
    One(u64),
    /// All at once, where the kind can.
    All,
}

/// One stroke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stroke {
    /// When it begins, from the start of the faults.
    pub(crate) from: Duration,
    /// When it is lifted.
    pub(crate) to: Duration,
    pub(crate) kind: Kind,
    pub(crate) aim: Aim,
    /// What else there is to choose.
    pub(crate) chance: u64,
}

/// Strokes of these kinds for so long; where they may mix, one in three begins while the one before lasts.
pub(crate) fn plan(seed: u64, kinds: &[Kind], length: Duration) -> Vec<Stroke> {
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut strokes, mut free): (Vec<Stroke>, Duration) = (Vec::new(), Duration::from_secs(1));
    while let Some(kind) = kinds.choose(&mut chance).copied() {
        let hold = Duration::from_millis(chance.random_range(1_500..6_000));
        let rest = Duration::from_millis(chance.random_range(500..4_000));
        let overlaps = kinds.len() > 1 && chance.random_range(0..3) == 0;
        let last = strokes.last().map_or(Duration::ZERO, |stroke| stroke.from);
        let from = if overlaps { last + rest / 2 } else { free + rest };
        let to = from + hold;
        if to > length && !strokes.is_empty() {
            break;
        }
        strokes.push(Stroke { from, to, kind, aim: aim(&mut chance), chance: chance.random() });
        free = free.max(to);
    }
    strokes
}

/// Each kind once, one after the other.
pub(crate) fn each(seed: u64, kinds: &[Kind], hold: Duration, rest: Duration) -> Vec<Stroke> {
    let mut chance = StdRng::seed_from_u64(seed);
    let strokes = kinds.iter().zip(0..).map(|(kind, i)| {
        let from = rest + (hold + rest) * i;
        Stroke { from, to: from + hold, kind: *kind, aim: aim(&mut chance), chance: chance.random() }
    });
    strokes.collect()
}

fn aim(chance: &mut StdRng) -> Aim {
    match chance.random_range(0..10) {
        0..5 => Aim::Leader,
        5..9 => Aim::One(chance.random_range(0..1_000)),
        _ => Aim::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_which_ends_in_time() {
        let length = Duration::from_secs(60);
        for seed in 0..200 {
            let strokes = plan(seed, &Kind::mixed(), length);
            assert_eq!(strokes, plan(seed, &Kind::mixed(), length));
            assert!(strokes.len() >= 4, "{seed}: {strokes:?}");
            assert!(strokes.iter().all(|stroke| stroke.from < stroke.to && stroke.to <= length));
        }
        assert_ne!(plan(1, &Kind::mixed(), length), plan(2, &Kind::mixed(), length));
    }

    #[test]
    fn strokes_of_one_kind_do_not_overlap_and_some_of_many_do() {
        let overlap = |strokes: &[Stroke]| strokes.windows(2).any(|pair| pair[1].from < pair[0].to);
        let length = Duration::from_secs(60);
        assert!((0..50).all(|seed| !overlap(&plan(seed, &[Kind::Loss], length))));
        assert!((0..50).any(|seed| overlap(&plan(seed, &Kind::mixed(), length))));
    }

    #[test]
    fn every_kind_has_a_word_that_is_read_again() {
        for kind in Kind::ALL {
            assert_eq!(kind.word().parse(), Ok(*kind));
        }
        let error = "kil".parse::<Kind>().unwrap_err();
        assert!(error.contains("\"kil\"") && error.contains("power-cut"), "{error}");
    }
}
