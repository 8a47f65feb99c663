//! The rules that are quick because they are clever, against twins that are neither, on random histories.

use torture::check::Rule;

use crate::story::{finding, judge};

/// Chance from a seed, enough for a test.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn h1_finds_an_overlap_exactly_where_some_pair_overlaps() {
    let (mut clean, mut broken) = (0, 0);
    for seed in 0..2_000 {
        let mut chance = Chance(seed);
        let mut spans: Vec<(u64, u64, u64, u64)> = Vec::new();
        let mut story = String::new();
        for token in 1..=2 + chance.below(5) {
            let (client, lease) = (chance.below(3), chance.below(2));
            let from = chance.below(100);
            let to = from + 1 + chance.below(30);
            spans.push((client, lease, from, to));
            story += &format!("{from} c{client} believes l{lease} {token} until {to} ttl 1000\n");
            story += &format!("{to} c{client} doubts l{lease} {token} released\n");
        }
        let overlap = |a: &(u64, u64, u64, u64), b: &(u64, u64, u64, u64)| {
            a.0 != b.0 && a.1 == b.1 && a.2 < b.3 && b.2 < a.3
        };
        let naive = spans.iter().enumerate().any(|(i, a)| spans[..i].iter().any(|b| overlap(a, b)));
        let (_, verdict) = judge(&story);
        assert_eq!(finding(&verdict, Rule::H1Exclusive).broken.is_some(), naive, "seed {seed}:\n{story}");
        if naive { broken += 1 } else { clean += 1 }
    }
    assert!(clean > 200 && broken > 200, "{clean} clean and {broken} broken: the chance is not fair");
}

/// A call on one lease: when it left and came back, and what it did or saw.
#[derive(Clone, Copy, Debug)]
enum Did {
    Won(u64),
    Ended(u64),
    SawHeld(u64),
    SawFree(u64),
}

/// Whether the calls can be put into an order that agrees with their times and with the log, by trying all.
fn can_be_ordered(calls: &[(u64, u64, Did)], done: &mut Vec<bool>, revision: u64) -> bool {
    if done.iter().all(|done| *done) {
        return true;
    }
    for i in 0..calls.len() {
        let next = |j: usize| !done[j] && calls[j].1 < calls[i].0;
        if done[i] || (0..calls.len()).any(next) {
            continue;
        }
        // Revision 2 n - 1 grants token n, revision 2 n ends it.
        let behind = match calls[i].2 {
            Did::Won(token) if revision == 2 * token - 2 => revision + 1,
            Did::Ended(token) if revision == 2 * token - 1 => revision + 1,
            Did::SawHeld(token) if revision == 2 * token - 1 => revision,
            Did::SawFree(at) if revision == at => revision,
            _ => continue,
        };
        done[i] = true;
        if can_be_ordered(calls, done, behind) {
            return true;
        }
        done[i] = false;
    }
    false
}

#[test]
fn h6_finds_an_order_exactly_where_trying_all_finds_one() {
    let (mut clean, mut broken) = (0, 0);
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        let grants = 1 + chance.below(2);
        let mut what: Vec<Did> =
            (1..=grants).flat_map(|token| [Did::Won(token), Did::Ended(token)]).collect();
        for _ in 0..chance.below(4) {
            let token = 1 + chance.below(grants);
            what.push(match chance.below(2) {
                0 => Did::SawHeld(token),
                _ => Did::SawFree(2 * chance.below(grants + 1)),
            });
        }
        let mut calls = Vec::new();
        let mut story = String::new();
        for (i, did) in what.into_iter().enumerate() {
            // Near where it belongs, so that both answers are common; no two calls of the story leave at one time.
            let home = match did {
                Did::Won(token) => 40 * token - 20,
                Did::Ended(token) => 40 * token,
                Did::SawHeld(token) => 40 * token - 10,
                Did::SawFree(revision) => 20 * revision + 10,
            };
            let left = (home + chance.below(40)) * 10 + i as u64;
            let came = left + 1 + chance.below(200);
            calls.push((left, came, did));
            story += &match did {
                Did::Won(token) => format!("{left} c{i} claim a 1 -> granted {token} @{came}\n"),
                Did::Ended(token) => format!("{left} c{i} release a {token} -> done @{came}\n"),
                Did::SawHeld(token) => format!("{left} c{i} get a -> seen {token} 0 @{came}\n"),
                Did::SawFree(revision) => format!("{left} c{i} get a -> seen free {revision} @{came}\n"),
            };
        }
        for token in 1..=grants {
            story += &format!("9000 m1 sees {} a granted {token} x\n", 2 * token - 1);
            story += &format!("9000 m1 sees {} a ended {token} released\n", 2 * token);
        }
        let naive = can_be_ordered(&calls, &mut vec![false; calls.len()], 0);
        let (_, verdict) = judge(&story);
        let h6 = finding(&verdict, Rule::H6Linear);
        assert_eq!(h6.broken.is_none(), naive, "seed {seed}: {:?}\n{story}", h6.broken);
        if naive { clean += 1 } else { broken += 1 }
    }
    assert!(clean > 300 && broken > 300, "{clean} clean and {broken} broken: the chance is not fair");
}
