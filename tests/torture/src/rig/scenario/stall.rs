//! The leader's disk stalls for 1.5 s, five times: all of its file system is frozen, so that writes wait as syncs do. The other
//! two voters are a quorum without it, and it goes on leading: the latency of every extend is measured, through each member.

use std::time::Duration;

use torture::history::{Call, Nanos, Record};

use super::Check;
use super::histories::{Answered, kept, spread, through_one};
use super::stage::Stage;
use crate::clock;
use crate::rig::Trouble;
use crate::rig::net::Place;

const STALLS: Duration = Duration::from_millis(1_500);
const STALLED_TIMES: usize = 5;
/// No extend may take longer while the leader's disk stalls.
const SLOWEST_MS: f64 = 100.0;

pub(super) fn play(stage: &mut Stage) -> Result<Check, Trouble> {
    let mut stalls: Vec<(Nanos, Nanos, Place)> = Vec::new();
    let calm_from = clock::now();
    stage.rest(Duration::from_secs(4))?;
    let calm = (calm_from, clock::now());
    for _ in 0..STALLED_TIMES {
        let (term, leader) = stage.leader()?;
        let from = clock::now();
        let lasting = stage.begin("disk-stall", format!("member {leader}, the leader in term {term}"));
        stage.world.member(leader)?.disk.freeze()?;
        stage.rest(STALLS)?;
        stage.world.member(leader)?.disk.thaw()?;
        stalls.push((from, clock::now(), leader));
        stage.end(&lasting);
        stage.rest(Duration::from_secs(5))?;
        let (now, leads) = stage.leader()?;
        stage.say(&format!("term {term} to {now}, member {leads} leads"));
    }
    Ok(Box::new(move |records| {
        let mut complaints: Vec<String> =
            kept(records).lost.iter().map(|lost| format!("disk-stall: {lost}")).collect();
        measure(records, calm.0, calm.1, "before, ");
        for (from, to, leader) in &stalls {
            let slowest = measure(records, *from, *to, &format!("member {leader} stalls, "));
            if slowest > SLOWEST_MS {
                complaints.push(format!(
                    "disk-stall: with member {leader}'s disk stalled an extend took {slowest:.1} ms, and {SLOWEST_MS} ms is the most"
                ));
            }
        }
        complaints
    }))
}

/// Prints it for each member's clients, and gives the longest.
fn measure(records: &[Record], from: Nanos, to: Nanos, what: &str) -> f64 {
    let calls = through_one(records);
    let is_of = |call: &&Answered<'_>| {
        matches!(call.call, Call::Extend { .. }) && call.invoked < to && call.returned > from
    };
    let during: Vec<&Answered<'_>> = calls.iter().filter(is_of).collect();
    let mut slowest: f64 = 0.0;
    for place in 1..=during.iter().map(|call| call.through).max().unwrap_or(0) {
        let own: Vec<&&Answered<'_>> = during.iter().filter(|call| call.through == place).collect();
        let done = own.iter().filter(|call| call.is_acknowledged()).count();
        let Some((p50, p99, most)) = spread(own.iter().map(|call| call.took()).collect()) else { continue };
        println!(
            "{what}through member {place}: {done} of {} extends done, p50 {p50:.1}, p99 {p99:.1}, most {most:.1} ms",
            own.len()
        );
        slowest = slowest.max(most);
    }
    slowest
}
