//! The leader's fsync hangs for 30 s while the others elect, as in etcd #15247.

use std::time::Duration;

use torture::history::Nanos;

use super::Check;
use super::histories::{Answered, through_one};
use super::stage::Stage;
use crate::clock;
use crate::rig::Trouble;
use crate::rig::doors::{Said, Sample, leads};
use crate::rig::net::Place;

const HANGS: Duration = Duration::from_secs(30);

/// No stale expiry, grant or acknowledgement: the eight rules say the first two, and of the third that nothing acknowledged is
/// lost. What is checked here is that who was deposed knows: what its door acknowledges from then on, it must have passed on, and
/// must not take itself for the leader while it does.
pub(super) fn play(stage: &mut Stage) -> Result<Check, Trouble> {
    let (term, old) = stage.leader()?;
    let from = clock::now();
    let lasting = stage.begin("fsync-stuck", format!("member {old}, the leader in term {term}"));
    stage.world.member(old)?.set_disk("hang")?;
    stage.rest(HANGS)?;
    stage.world.member(old)?.set_disk("")?;
    let to = clock::now();
    stage.end(&lasting);
    stage.rest(Duration::from_secs(5))?;
    let samples = stage.doors.since(from);
    let Some((elected, new, newer)) = elected(&samples, term, old) else {
        stage.complain(format!(
            "nobody else was elected in the {HANGS:?} in which the leader's fsync hung: {}",
            if samples.iter().any(|sample| sample.place == old && leads(sample).is_some()) {
                "it went on leading"
            } else {
                "nobody led"
            }
        ));
        return Ok(Box::new(|_| Vec::new()));
    };
    // From its own words: until when it took itself for the leader of the old term.
    let last = samples.iter().rev().find(|sample| leads(sample) == Some((term, old)));
    let deposed = last.map_or(from, |sample| sample.at);
    let ms = |at: Nanos, since: Nanos| at.saturating_sub(since) / 1_000_000;
    stage.say(&format!(
        "member {new} was seen to lead in term {newer} {} ms into the hang; the old leader last said that it leads {} ms into it",
        ms(elected, from),
        ms(deposed, from)
    ));
    for sample in distinct(&samples, old) {
        println!("          {:>6} ms  member {old}: {:?}", ms(sample.asked, from), sample.said);
    }
    Ok(Box::new(move |records| {
        let calls = through_one(records);
        let during: Vec<&Answered<'_>> = calls
            .iter()
            .filter(|call| call.through == old && call.returned > elected && call.returned < to)
            .collect();
        let acknowledged = during.iter().filter(|call| call.is_acknowledged());
        let stale: Vec<_> =
            acknowledged.clone().filter(|call| call.invoked > elected && call.returned < deposed).collect();
        println!(
            "through the old leader's door, from the election to the hang's end: {} answers, {} of them acknowledge what it passed on; {} acknowledged by it as the leader",
            during.len(),
            acknowledged.count() - stale.len(),
            stale.len()
        );
        let complaint = |call: &&&Answered<'_>| {
            format!(
                "member {old} acknowledged {:?} as the leader {} ms after the others elected",
                call.call,
                ms(call.returned, elected)
            )
        };
        stale.iter().take(1).map(complaint).collect()
    }))
}

/// Who was first seen to lead in a newer term, and when.
fn elected(samples: &[Sample], term: u64, old: Place) -> Option<(Nanos, Place, u64)> {
    samples.iter().find_map(|sample| {
        let (newer, place) = leads(sample)?;
        (newer > term && place != old).then_some((sample.at, place, newer))
    })
}

/// Each answer of one door that differs in kind from the one before.
fn distinct(samples: &[Sample], place: Place) -> Vec<&Sample> {
    let kind = |said: &Said| match said {
        Said::Ready { leader, term, .. } => format!("ready {leader:?} {term}"),
        said => format!("{said:?}"),
    };
    let mut distinct: Vec<&Sample> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.place == place) {
        if distinct.last().is_none_or(|last| kind(&last.said) != kind(&sample.said)) {
            distinct.push(sample);
        }
    }
    distinct
}
