//! What every scenario has: the world, what its doors say, and a place for complaints.

use std::time::{Duration, Instant};

use torture::history::{self, What};

use crate::rig::command::run;
use crate::rig::doors::Doors;
use crate::rig::net::{CLIENTS, Place, address};
use crate::rig::world::World;
use crate::rig::{Trouble, pause};

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) doors: Doors,
    pub(super) seed: u64,
    pub(super) complaints: Vec<String>,
}

/// A fault that lasts.
pub(super) struct Lasting {
    number: u64,
    kind: &'static str,
    target: String,
}

impl Stage {
    pub(super) fn say(&self, text: &str) {
        println!("{:>6.1}s {text}", self.world.since().as_secs_f64());
    }

    pub(super) fn complain(&mut self, text: String) {
        self.say(&format!("COMPLAINT: {text}"));
        self.complaints.push(text);
    }

    /// Writes into the history that a fault begins. It is to be called before it does.
    pub(super) fn begin(&mut self, kind: &'static str, target: String) -> Lasting {
        self.world.faults += 1;
        let lasting = Lasting { number: self.world.faults, kind, target };
        self.say(&format!("{kind}: {}", lasting.target));
        self.mark(&lasting, true);
        lasting
    }

    /// Writes that it is over. It is to be called once it is.
    pub(super) fn end(&self, lasting: &Lasting) {
        self.mark(lasting, false);
        self.say(&format!("{}: {} is over", lasting.kind, lasting.target));
    }

    fn mark(&self, lasting: &Lasting, on: bool) {
        let (kind, target) = (lasting.kind.to_owned(), lasting.target.clone());
        let fault = history::Fault { fault: lasting.number, kind, target, on, beyond_rho: false };
        self.world.recorder.note(What::Fault(fault));
    }

    pub(super) fn rest(&self, length: Duration) -> Result<(), Trouble> {
        let until = Instant::now() + length;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            pause(left.min(Duration::from_millis(50)))?;
        }
        Ok(())
    }

    /// The term, and who leads in it: it is waited for.
    pub(super) fn leader(&self) -> Result<(u64, Place), Trouble> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match self.doors.leader() {
                Some(leader) => return Ok(leader),
                None if Instant::now() < until => pause(Duration::from_millis(20))?,
                None => {
                    return Err(Trouble::Broken("nobody leads for 10 s though nothing is struck".to_owned()));
                }
            }
        }
    }

    /// Runs `tenure` in the clients' namespace.
    pub(super) fn tenure(&self, words: &[&str]) -> Result<String, Trouble> {
        let net = format!("--net=/run/netns/{}", self.world.network.namespace(CLIENTS));
        let program = self.world.setup.tenure.to_string_lossy().into_owned();
        let endpoints = self.world.numbers().into_iter().map(|place| format!("{}:7400", address(place)));
        let endpoints = endpoints.collect::<Vec<_>>().join(",");
        let own = ["nsenter", &net, &program];
        Ok(run(&[&own[..], words, &["--endpoints", &endpoints]].concat())?)
    }
}
