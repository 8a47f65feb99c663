//! The whole-cluster simulation itself: some seeds are clean, those that once failed among them, and a seed is always the same.

use sim::{Trace, Violation, whole::run, whole::run_outage};

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
    let lines = include_str!("../regressions/whole.txt").lines().filter(|line| !line.starts_with('#'));
    let seed = |line: &str| line.split_whitespace().next().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> =
        lines.map(|line| seed(line).unwrap_or_else(|| panic!("{line:?} begins with no seed"))).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let broken: Vec<Violation> = std::thread::scope(|scope| {
        let of = |core: usize| {
            let seeds = seeds.iter().skip(core).step_by(cores);
            scope.spawn(move || seeds.filter_map(|seed| run(*seed, Trace::Off).1.err()).collect::<Vec<_>>())
        };
        let cores: Vec<_> = (0..cores).map(of).collect();
        cores.into_iter().flat_map(|core| core.join().unwrap_or_else(|_| panic!("a run panicked"))).collect()
    });
    assert!(broken.is_empty(), "{}", broken[0]);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, _) = run(3, Trace::Kept);
    let (again, _) = run(3, Trace::Kept);
    assert!(!first.trace.is_empty() && first == again, "seed 3 differs");
    assert_eq!(run(3, Trace::Off).0.events, first.events, "to look on changes nothing");
    assert_ne!(run(4, Trace::Kept).0.trace, first.trace);
}

/// Juju's acceptance case 17: its raft worker is started anew once there was no leader for 60 s. Our members go on by themselves, as the
/// processes that they were, and serve within 15 s once they hear each other again.
#[test]
fn members_without_a_leader_for_more_than_a_minute_go_on_by_themselves() {
    let (ran, kept) = run_outage(1, Trace::Off);
    if let Err(violation) = kept {
        panic!("{violation}");
    }
    assert!(ran.lived.as_secs() > 15 + 75 + 15, "{:?}", ran.lived);
}
