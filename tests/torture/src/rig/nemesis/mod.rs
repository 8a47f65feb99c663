//! The nemeses: each strikes, and can heal what it struck. Both are written into the history, a stroke before it begins and a
//! healing after it is done.

mod network;
mod process;

use std::collections::BTreeSet;
use std::time::Instant;

use torture::history::{Fault, What};

use super::Trouble;
use super::schedule::{Aim, Kind, Stroke};
use super::world::World;

/// A stroke that lasts.
pub(crate) struct Struck {
    pub(crate) stroke: Stroke,
    number: u64,
    target: String,
    /// The members whose process or disk it hit, or the processes of clients.
    hit: Vec<u64>,
    /// Of flapping: the next turn, and whether it is cut off now.
    turn: Option<(Instant, bool)>,
}

impl World {
    /// Strikes; nothing where what it would hit is struck already.
    pub(crate) fn strike(&mut self, stroke: Stroke) -> Result<Option<Struck>, Trouble> {
        let hit = self.aim(&stroke);
        if hit.is_empty() {
            return Ok(None);
        }
        self.faults += 1;
        let mut struck = Struck { stroke, number: self.faults, target: String::new(), hit, turn: None };
        struck.target = self.describe(&struck);
        println!("{:>6.1}s {} {}", self.since().as_secs_f64(), stroke.kind, struck.target);
        self.mark(&struck, true);
        if stroke.kind.is_of_process() {
            self.busy.extend(&struck.hit);
        }
        if self.strike_process(&mut struck)? {
            return Ok(Some(struck));
        }
        self.strike_network(&mut struck)?;
        Ok(Some(struck))
    }

    /// Heals, and says so once it is done.
    pub(crate) fn heal(&mut self, struck: &Struck) -> Result<(), Trouble> {
        if !self.heal_process(struck)? {
            self.network.heal(struck.number)?;
        }
        if struck.stroke.kind.is_of_process() {
            self.busy.retain(|member| !struck.hit.contains(member));
        }
        self.mark(struck, false);
        println!("{:>6.1}s {} {} is over", self.since().as_secs_f64(), struck.stroke.kind, struck.target);
        Ok(())
    }

    fn mark(&self, struck: &Struck, on: bool) {
        let (kind, target) = (struck.stroke.kind.word().to_owned(), struck.target.clone());
        let beyond_rho = struck.stroke.kind == Kind::WildClock;
        self.recorder.note(What::Fault(Fault { fault: struck.number, kind, target, on, beyond_rho }));
    }

    /// Whom the stroke hits: members, or processes of clients.
    fn aim(&self, stroke: &Stroke) -> Vec<u64> {
        let of_clients = matches!(stroke.kind, Kind::Pause | Kind::Crash);
        let all: Vec<u64> = if of_clients {
            self.clients.iter().map(|clients| clients.number).collect()
        } else {
            self.numbers()
        };
        let busy: &BTreeSet<u64> = &self.busy;
        let free: Vec<u64> =
            all.iter().copied().filter(|one| !stroke.kind.is_of_process() || !busy.contains(one)).collect();
        let everyone = matches!(stroke.kind, Kind::Kill | Kind::PowerCut | Kind::Loss);
        match stroke.aim {
            Aim::All if everyone => free,
            Aim::Leader if !of_clients => {
                let leader = self.observers.seen.leader().filter(|leader| free.contains(leader));
                leader.or(free.first().copied()).into_iter().collect()
            }
            Aim::One(one) => free.get(one as usize % free.len().max(1)).copied().into_iter().collect(),
            Aim::All | Aim::Leader => {
                free.get(stroke.chance as usize % free.len().max(1)).copied().into_iter().collect()
            }
        }
    }

    fn describe(&self, struck: &Struck) -> String {
        let what = if matches!(struck.stroke.kind, Kind::Pause | Kind::Crash) { "clients" } else { "member" };
        let leader = self.observers.seen.leader();
        let one = |hit: &u64| {
            let leads = if what == "member" && Some(*hit) == leader { " (the leader)" } else { "" };
            format!("{what} {hit}{leads}")
        };
        struck.hit.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
