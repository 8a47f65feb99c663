//! The quorum is cut off from its leader for 5 s and given back, ten times, in three ways in turn:
//!
//! | the leader is cut off from | its clients | who must keep a lease |
//! |---|---|---|
//! | the other members | reach all three | everyone: another endpoint reaches the new leader |
//! | the other members and the clients | reach the other two | everyone |
//! | all members from each other | reach all three, and nobody a quorum | everyone: time without a quorum is not counted |
//!
//! Every keeper knows all endpoints. A program that knows the cut-off leader alone is not promised anything in the first two:
//! it reaches nobody that reaches a quorum. In the third a holder's belief lapses, since nobody can renew it; its lease does not.

use std::time::Duration;

use super::Check;
use super::histories::kept;
use super::stage::Stage;
use crate::rig::Trouble;
use crate::rig::net::{CLIENTS, Drop, Place};

const ROUNDS: usize = 10;
const CUT: Duration = Duration::from_secs(5);

pub(super) fn play(stage: &mut Stage) -> Result<Check, Trouble> {
    for round in 0..ROUNDS {
        let (term, leader) = stage.leader()?;
        let all = stage.world.numbers();
        let others = || all.iter().copied().filter(|other| *other != leader);
        let pairs: Vec<(Place, Place)> = match round % 3 {
            0 => others().map(|other| (leader, other)).collect(),
            1 => others().chain([CLIENTS]).map(|other| (leader, other)).collect(),
            _ => all.iter().flat_map(|a| all.iter().map(|b| (*a, *b))).filter(|(a, b)| a < b).collect(),
        };
        let from = [
            "the others, its clients reach all",
            "the others and the clients",
            "the others, and those from each other",
        ][round % 3];
        let lasting = stage.begin("quorum-cut", format!("member {leader}, the leader, from {from}"));
        let both = |(a, b)| [Drop { from: a, to: b, percent: 100 }, Drop { from: b, to: a, percent: 100 }];
        stage.world.network.strike(0, pairs.into_iter().flat_map(both).collect())?;
        stage.rest(CUT)?;
        stage.world.network.heal(0)?;
        stage.end(&lasting);
        // Whoever was about to lose its lease has lost it by then.
        stage.rest(Duration::from_secs(6))?;
        let (now, leads) = stage.leader()?;
        stage.say(&format!("round {}: term {term} to {now}, member {leads} leads", round + 1));
    }
    Ok(Box::new(|records| {
        let kept = kept(records);
        println!(
            "{} keepers with a ttl of 3 s, {ROUNDS} cuts of {CUT:?}: {} lost; belief lapsed {} times, for {:.2} s at most",
            kept.kept,
            kept.lost.len(),
            kept.lapses,
            kept.longest_lapse as f64 / 1e9
        );
        for (target, lapses) in &kept.by_target {
            let some = lapses.iter().take(5).map(|(who, ms)| format!("{who} {ms} ms"));
            println!("          {:>3}: {target}: {} …", lapses.len(), some.collect::<Vec<_>>().join(", "));
        }
        kept.lost.iter().map(|lost| format!("quorum-cut: {lost}")).collect()
    }))
}
