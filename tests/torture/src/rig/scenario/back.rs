//! A member that comes back: a voter in step again within 30 s of its fault's end, untouched by hand (but for `replace`), and
//! its `/readyz` names a reason as long as it is not ready.
//!
//! In step: it says that it is ready, in the leader's term, and that its log is applied at least as far as the leader said
//! before it was asked; and the leader says that it has a vote. Even seeds strike the leader, odd ones another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use torture::history::Nanos;

use super::Check;
use super::stage::Stage;
use crate::clock;
use crate::rig::doors::{Said, Sample, leads};
use crate::rig::member::last_words;
use crate::rig::net::{Drop, Place};
use crate::rig::{Trouble, pause};

/// How soon it must be back.
const BACK: Duration = Duration::from_secs(30);
/// So long a member that is cut off, or whose disk is full, may take until it says so.
const NOTICED: Nanos = 4_000_000_000;
/// A follower knows that an entry is committed a heartbeat or so after its leader.
const LAGS: Nanos = 250_000_000;
/// What is added to the number of a member whose data is lost: the id of the one in its place.
const NEW_IDS: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Stop,
    Partition,
    Wiped,
    FullDisk,
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Stop => "stop",
            Fault::Partition => "partition",
            Fault::Wiped => "wiped",
            Fault::FullDisk => "full-disk",
        }
    }

    fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Fault::Kill => 3,
            Fault::Stop => 30,
            Fault::Partition => 60,
            Fault::Wiped => 3,
            Fault::FullDisk => 20,
        })
    }

    /// What its reason must hold once the fault is noticed, where its door answers meanwhile.
    fn reason(self) -> Option<&'static str> {
        match self {
            Fault::Partition => Some("leader"),
            Fault::FullDisk => Some("disk"),
            Fault::Kill | Fault::Stop | Fault::Wiped => None,
        }
    }
}

pub(super) fn play(stage: &mut Stage, fault: Fault) -> Result<Check, Trouble> {
    let (_, leader) = stage.leader()?;
    let place = if stage.seed.is_multiple_of(2) { leader } else { leader % stage.world.setup.members + 1 };
    let who = if place == leader { "the leader" } else { "not the leader" };
    let from = clock::now();
    let lasting = stage.begin(fault.word(), format!("member {place} ({who})"));
    strike(stage, fault, place)?;
    stage.rest(fault.lasts())?;
    heal(stage, fault, place)?;
    let to = clock::now();
    stage.end(&lasting);
    if fault == Fault::Wiped {
        replace(stage, place)?;
    }
    let back = until_in_step(stage, place, from, to)?;
    match back {
        Some(back) => {
            let early = ready_early(&stage.doors.since(from), place);
            stage.say(&format!(
                "member {place} is a voter in step {:.2} s after; before that it said {early} times that it is ready",
                back.as_secs_f64()
            ));
        }
        None => {
            let last = stage.doors.since(to).into_iter().rev().find(|sample| sample.place == place);
            let last = last.map_or("nothing".to_owned(), |sample| format!("{:?}", sample.said));
            stage.complain(format!(
                "member {place} is no voter in step within {BACK:?} of its fault's end: it last said {last}"
            ));
        }
    }
    let samples = stage.doors.since(from);
    let own: Vec<&Sample> = samples.iter().filter(|sample| sample.place == place).collect();
    tell(stage, &own, from, to);
    if let Some(word) = fault.reason() {
        for sample in own.iter().filter(|sample| sample.asked > from + NOTICED && sample.at < to) {
            let truthful = matches!(&sample.said, Said::Not(reason) if reason.contains(word));
            if !truthful {
                let after = (sample.asked - from) / 1_000_000;
                stage.complain(format!(
                    "member {place} said {:?} {after} ms into its fault, and not a reason with {word:?}",
                    sample.said
                ));
                break;
            }
        }
    }
    Ok(Box::new(|_| Vec::new()))
}

fn strike(stage: &mut Stage, fault: Fault, place: Place) -> Result<(), Trouble> {
    let others: Vec<Place> = stage.world.numbers().into_iter().filter(|other| *other != place).collect();
    match fault {
        Fault::Kill => stage.world.member(place)?.kill()?,
        Fault::Stop => stage.world.member(place)?.signal(Signal::SIGSTOP)?,
        // Not from the clients: they hear its reason.
        Fault::Partition => {
            let both = |other| {
                [Drop { from: place, to: other, percent: 100 }, Drop { from: other, to: place, percent: 100 }]
            };
            stage.world.network.strike(0, others.into_iter().flat_map(both).collect())?;
        }
        Fault::Wiped => {
            let member = stage.world.member(place)?;
            member.kill()?;
            member.wipe()?;
            member.start()?;
            let refused = member.ends_with(3, Duration::from_secs(10));
            let words = last_words(&stage.world.setup.folder, place, 1);
            stage.say(&format!("with an empty folder it says: {words}"));
            if let Err(why) = refused {
                stage.complain(format!("member {place} with an empty folder is not refused: {why}"));
            }
        }
        Fault::FullDisk => {
            let member = stage.world.member(place)?;
            member.disk.fill()?;
            member.set_disk("full")?;
        }
    }
    Ok(())
}

fn heal(stage: &mut Stage, fault: Fault, place: Place) -> Result<(), Trouble> {
    let member = stage.world.member(place)?;
    match fault {
        Fault::Kill => member.start()?,
        Fault::Stop => member.signal(Signal::SIGCONT)?,
        Fault::Partition => stage.world.network.heal(0)?,
        Fault::Wiped => {
            // What the one that was refused may have left.
            let _ = member.wipe();
            member.be_new(place + NEW_IDS)?;
            member.start()?;
        }
        Fault::FullDisk => {
            member.disk.free()?;
            member.set_disk("")?;
        }
    }
    Ok(())
}

/// As docs/operating.md says: added, and once it has caught up it takes the vote of the one that is lost.
fn replace(stage: &mut Stage, place: Place) -> Result<(), Trouble> {
    let (old, new) = (place.to_string(), (place + NEW_IDS).to_string());
    let peer = stage.world.member(place)?.peer();
    let until = Instant::now() + BACK;
    for words in [vec!["members", "add", &new, &peer], vec!["members", "replace", &old, &new]] {
        loop {
            match stage.tenure(&words) {
                Ok(_) => break,
                Err(why) if Instant::now() > until => {
                    stage.complain(format!("`tenure {}` is refused for {BACK:?}: {why}", words.join(" ")));
                    return Ok(());
                }
                Err(Trouble::Interrupted) => return Err(Trouble::Interrupted),
                Err(why) => {
                    stage.say(&format!("not yet: {why}"));
                    pause(Duration::from_millis(500))?;
                }
            }
        }
        stage.say(&format!("by hand: tenure {}", words.join(" ")));
    }
    Ok(())
}

/// How long after `to`, the fault's end, it was; none where it takes too long.
fn until_in_step(
    stage: &mut Stage,
    place: Place,
    from: Nanos,
    to: Nanos,
) -> Result<Option<Duration>, Trouble> {
    while clock::now().saturating_sub(to) < BACK.as_nanos() as u64 {
        let samples = stage.doors.since(from);
        if is_in_step(&samples, place, to) {
            let took = Duration::from_nanos(clock::now().saturating_sub(to));
            let id = stage.world.member(place)?.id();
            match is_voter(stage, id) {
                Ok(true) => return Ok(Some(took)),
                Ok(false) => {}
                Err(Trouble::Interrupted) => return Err(Trouble::Interrupted),
                Err(why) => stage.say(&format!("members list: {why}")),
            }
        }
        pause(Duration::from_millis(20))?;
    }
    Ok(None)
}

/// One that led before it was struck says so for a moment longer: only who leads in the newest term is believed, and what was said
/// since the fault's end.
fn is_in_step(samples: &[Sample], place: Place, healed: Nanos) -> bool {
    let newest = samples.iter().filter_map(leads).map(|(term, _)| term).max();
    let since = samples.iter().filter(|sample| sample.asked >= healed);
    let leader =
        since.clone().rev().find(|sample| leads(sample).is_some_and(|(term, _)| Some(term) == newest));
    let Some((leader, wanted)) = leader.and_then(|leader| Some((leader, applied(leader)?))) else {
        return false;
    };
    let is_there = |sample: &Sample| {
        let term = match sample.said {
            Said::Ready { term, .. } => Some(term),
            Said::Not(_) | Said::Silent => None,
        };
        term == newest && applied(sample).is_some_and(|applied| applied >= wanted)
    };
    place == leader.place
        || since.clone().any(|sample| sample.place == place && sample.asked >= leader.at && is_there(sample))
}

/// How often it said that it is ready though its log was not applied as far as the leader had said a quarter of a second before. It
/// may: refusals and reads wait for the leader's word. But it should be rare.
fn ready_early(samples: &[Sample], place: Place) -> usize {
    let leader = |sample: &Sample| leads(sample).and(applied(sample)).map(|applied| (sample.at, applied));
    let known: Vec<(Nanos, u64)> = samples.iter().filter_map(leader).collect();
    let own = samples.iter().filter(|sample| sample.place == place);
    let is_early = |sample: &&Sample| {
        let before = known.iter().filter(|(at, _)| at + LAGS <= sample.asked).map(|(_, applied)| *applied);
        applied(sample).is_some_and(|applied| before.max().is_some_and(|wanted| applied < wanted))
    };
    own.filter(is_early).count()
}

fn applied(sample: &Sample) -> Option<u64> {
    match sample.said {
        Said::Ready { applied, .. } => Some(applied),
        Said::Not(_) | Said::Silent => None,
    }
}

fn is_voter(stage: &Stage, id: u64) -> Result<bool, Trouble> {
    let text = stage.tenure(&["members", "list", "--json"])?;
    let list: Value =
        serde_json::from_str(&text).map_err(|error| Trouble::Rig(format!("{error}: {text}")))?;
    let members = list["members"].as_array().into_iter().flatten();
    Ok(members.into_iter().any(|member| {
        member["id"].as_str() == Some(&id.to_string()) && member["voter"].as_bool() == Some(true)
    }))
}

/// Prints each distinct answer of the member, when it was first given, and how often.
fn tell(stage: &mut Stage, own: &[&Sample], from: Nanos, to: Nanos) {
    let mut told: BTreeMap<String, (Nanos, Nanos, usize)> = BTreeMap::new();
    for sample in own {
        let words = match &sample.said {
            Said::Ready { .. } => "ready".to_owned(),
            Said::Silent => "(no answer)".to_owned(),
            Said::Not(reason) => reason.clone(),
        };
        let seen = told.entry(words).or_insert((sample.asked, sample.at, 0));
        (seen.1, seen.2) = (sample.at, seen.2 + 1);
    }
    let mut told: Vec<_> = told.into_iter().collect();
    told.sort_by_key(|(_, (first, ..))| *first);
    let seconds = |at: Nanos| (at.saturating_sub(from)) as f64 / 1e9;
    stage.say(&format!("its /readyz, from the fault's begin (its end is at {:.1} s):", seconds(to)));
    for (words, (first, last, count)) in told {
        println!("          {:>5.1} .. {:>5.1} s {count:>5} times  {words}", seconds(first), seconds(last));
        if words.starts_with(':') || words.ends_with(": ") {
            stage.complain(format!("a member that is not ready gave no reason: {words:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Nanos, place: Place, leader: u64, term: u64, applied: u64) -> Sample {
        let said = Said::Ready { member: place, leader: Some(leader), term, applied };
        Sample { asked: at, at: at + 1, place, said }
    }

    #[test]
    fn a_leader_of_an_older_term_is_not_in_step_and_one_that_has_caught_up_is() {
        let before = [sample(1, 1, 1, 4, 10), sample(5, 2, 2, 5, 20)];
        let healed = 10;
        let with = |more: &[Sample]| is_in_step(&[&before[..], more].concat(), 1, healed);
        assert!(!with(&[sample(11, 1, 1, 4, 12)]), "it says of itself that it leads, and another does");
        let leader = sample(12, 2, 2, 5, 40);
        assert!(!with(&[leader.clone(), sample(14, 1, 2, 5, 39)]), "it lacks an entry");
        assert!(!with(&[sample(11, 1, 2, 5, 40), leader.clone()]), "it was asked before the leader");
        assert!(with(&[leader, sample(14, 1, 2, 5, 40)]));
        assert!(with(&[sample(15, 1, 1, 6, 41)]), "it leads anew");
    }

    #[test]
    fn ready_is_early_where_the_leader_had_said_more_for_a_while() {
        let leader = sample(0, 2, 2, 5, 40);
        assert_eq!(ready_early(&[leader.clone(), sample(LAGS, 1, 2, 5, 39)], 1), 0);
        assert_eq!(ready_early(&[leader.clone(), sample(LAGS + 1, 1, 2, 5, 39)], 1), 1);
        assert_eq!(ready_early(&[leader, sample(LAGS + 1, 1, 2, 5, 40)], 1), 0);
    }
}
