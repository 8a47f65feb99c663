//! The whole-cluster simulation itself: some seeds are clean, those that once failed among them, and a seed is always the same.

use sim::{Trace, whole::run};

#[test]
fn a_few_seeds_are_clean() {
    for seed in 1_000_000..1_000_003 {
        if let (_, Err(violation)) = run(seed, Trace::Off) {
            panic!("{violation}");
        }
    }
}

#[test]
fn seeds_that_once_failed_are_clean() {
    let seeds = include_str!("../regressions/whole.txt").lines().filter(|line| !line.starts_with('#'));
    for line in seeds {
        let seed = line.split_whitespace().next().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| panic!("{line:?} begins with no seed"));
        if let (_, Err(violation)) = run(seed, Trace::Off) {
            panic!("{violation}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, _) = run(3, Trace::Kept);
    let (again, _) = run(3, Trace::Kept);
    assert!(!first.trace.is_empty() && first == again, "seed 3 differs");
    assert_eq!(run(3, Trace::Off).0.events, first.events, "to look on changes nothing");
    assert_ne!(run(4, Trace::Kept).0.trace, first.trace);
}
