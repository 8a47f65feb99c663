//! Scenarios: one fault each, held for as long as the promise about it says, with checks of their own beyond the eight rules.
//!
//! ```text
//!   world, ready ─▶ doors asked ─▶ clients ─▶ the scenario ─▶ healed ─▶ its own checks ─▶ H1 … H8
//!                                               │ complaints                │
//!                                               └───────────────────────────┴──▶ BROKEN, each with its reason
//! ```
//!
//! A complaint does not end a scenario: the history is made whole first, so that the rules can be judged too.

mod back;
mod calm;
mod cut;
mod histories;
mod stage;
mod stall;
mod stuck;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::clients::Crowd;
use super::doors::Doors;
use super::lacks::lacks;
use super::net::CLIENTS;
use super::{Ended, Run, Trouble, finish, judged, make_world, read_all};
use stage::Stage;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    QuorumCut,
    Back(back::Fault),
    FsyncStuck,
    DiskStall,
    Calm,
}

impl Scenario {
    /// All of them, with their names on the command line and what each must show.
    pub(crate) const ALL: [(Scenario, &str, &str); 9] = [
        (
            Scenario::Back(back::Fault::Kill),
            "back-kill",
            "a member killed for 3 s is a voter in step within 30 s",
        ),
        (Scenario::Back(back::Fault::Stop), "back-stop", "the same, stopped for 30 s"),
        (
            Scenario::Back(back::Fault::Partition),
            "back-partition",
            "the same, cut off from the others for 60 s; /readyz says why meanwhile",
        ),
        (
            Scenario::Back(back::Fault::Wiped),
            "back-wiped",
            "the same, its data folder removed: refused by name, and replaced as docs/operating.md says",
        ),
        (
            Scenario::Back(back::Fault::FullDisk),
            "back-full-disk",
            "the same, its disk full for 20 s; /readyz says so meanwhile",
        ),
        (
            Scenario::QuorumCut,
            "quorum-cut",
            "the quorum cut off from its leader for 5 s, ten times: who has a ttl of 3 s keeps its lease",
        ),
        (
            Scenario::FsyncStuck,
            "fsync-stuck",
            "the leader's fsync hangs for 30 s while the others elect: it acknowledges nothing from then on",
        ),
        (
            Scenario::DiskStall,
            "disk-stall",
            "the leader's disk stalls for 1.5 s, five times: no extend takes longer than 100 ms",
        ),
        (Scenario::Calm, "calm", "load, waves of reconnects and no fault, for --seconds: nobody is elected"),
    ];

    fn word(self) -> &'static str {
        Scenario::ALL.iter().find(|(scenario, ..)| *scenario == self).map_or("", |(_, word, _)| word)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        let found = Scenario::ALL.iter().find(|(_, word, _)| *word == text);
        found.map(|(scenario, ..)| *scenario).ok_or_else(|| {
            let known = Scenario::ALL.iter().map(|(_, word, _)| *word).collect::<Vec<_>>().join(", ");
            format!("there is no scenario {text:?}: name one of {known}")
        })
    }
}

/// Does one, prints what it measured, and judges it.
pub(crate) fn run(run: &Run, scenario: Scenario, length: Duration) -> Result<Ended, Trouble> {
    if let Some(why) = lacks() {
        return Ok(Ended::Skipped(why));
    }
    println!("scenario {scenario}, seed {}", run.seed);
    judged(&run.keep.join(format!("{scenario}-{}", run.seed)), |folder| {
        in_folder(run, scenario, length, folder)
    })
}

fn in_folder(run: &Run, scenario: Scenario, length: Duration, folder: &Path) -> Result<(), Trouble> {
    let mut world = make_world(run, folder)?;
    world.until_ready(Duration::from_secs(30))?;
    let doors = Doors::start(&world.network.namespace(CLIENTS), &world.numbers())?;
    let mixed = Crowd { keepers: 6, ..Crowd::MIXED };
    let crowd = match scenario {
        Scenario::QuorumCut => Crowd { keepers: 20, ..mixed },
        Scenario::Back(_) => mixed,
        Scenario::FsyncStuck => Crowd { extenders: 2, ..mixed },
        // Only what is measured: two cores have enough to do.
        Scenario::DiskStall => {
            Crowd { holders: 2, keepers: 2, extenders: 3, every: Duration::from_millis(25), ..mixed }
        }
        Scenario::Calm => Crowd { holders: 2, keepers: 100, waiters: 2, ..mixed },
    };
    (0..3).try_for_each(|_| world.start_clients(crowd))?;
    let mut stage = Stage { world, doors, seed: run.seed, complaints: Vec::new() };
    // Everyone has what it wants before anything happens.
    stage.rest(Duration::from_secs(3))?;
    let check = match scenario {
        Scenario::QuorumCut => cut::play(&mut stage)?,
        Scenario::Back(fault) => back::play(&mut stage, fault)?,
        Scenario::FsyncStuck => stuck::play(&mut stage)?,
        Scenario::DiskStall => stall::play(&mut stage)?,
        Scenario::Calm => calm::play(&mut stage, length)?,
    };
    let Stage { world, doors, mut complaints, .. } = stage;
    drop(doors);
    finish(world)?;
    complaints.extend(check(&read_all(folder)?));
    if complaints.is_empty() { Ok(()) } else { Err(Trouble::Broken(complaints.join("\nBROKEN: "))) }
}

/// What is left to check once the histories are whole: it prints what it measured, and gives its complaints.
type Check = Box<dyn FnOnce(&[torture::history::Record]) -> Vec<String>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_word_that_is_read_again() {
        for (scenario, word, _) in Scenario::ALL {
            assert_eq!(word.parse(), Ok(scenario));
            assert_eq!(scenario.to_string(), word);
        }
        let error = "back".parse::<Scenario>().unwrap_err();
        assert!(error.contains("\"back\"") && error.contains("back-wiped"), "{error}");
    }
}
