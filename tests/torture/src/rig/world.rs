//! All that a run is made of, and the order in which it goes: processes before their disks, disks before the folder.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use torture::history::{Gone, What};

use super::Trouble;
use super::clients::{Clients, Crowd};
use super::host::Host;
use super::member::{Member, Setup};
use super::net::{CLIENTS, Network};
use super::observers::Observers;
use crate::recorder::Recorder;

/// How fast the clocks of the first clients run, in thousandths: all within rho.
const RATES: [u64; 3] = [1_000, 1_008, 992];

/// A cluster with its clients and those who look.
pub(crate) struct World {
    pub(crate) clients: Vec<Clients>,
    pub(crate) members: Vec<Member>,
    pub(crate) observers: Observers,
    pub(crate) network: Network,
    pub(crate) recorder: Recorder,
    pub(crate) setup: Setup,
    pub(crate) faults: u64,
    /// Members whose process or disk is struck.
    pub(crate) busy: BTreeSet<u64>,
    seed: u64,
    processes: u64,
    started: Instant,
    _host: Host,
}

impl World {
    /// Makes it, and starts members and observers; no clients yet.
    pub(crate) fn make(setup: Setup, prefix: &str, seed: u64) -> Result<World, Trouble> {
        let network = Network::make(prefix, setup.members)?;
        let recorder = Recorder::create(&setup.folder.join("rig.jsonl"), 0)?;
        let mut members = Vec::new();
        for number in 1..=setup.members {
            members.push(Member::make(&setup, number, network.namespace(number))?);
        }
        members.iter_mut().try_for_each(Member::start)?;
        let observers = Observers::start(&network.namespace(CLIENTS), setup.members, recorder.clone())?;
        let host = Host::start(&setup.folder, recorder.clone())?;
        Ok(World {
            clients: Vec::new(),
            members,
            observers,
            network,
            recorder,
            setup,
            faults: 0,
            busy: BTreeSet::new(),
            seed,
            processes: 0,
            started: Instant::now(),
            _host: host,
        })
    }

    /// Waits until every member is ready.
    pub(crate) fn until_ready(&mut self, within: Duration) -> Result<(), Trouble> {
        let until = Instant::now() + within;
        while !self.numbers().into_iter().all(|member| self.observers.seen.look(member).ready) {
            for member in &mut self.members {
                if !member.is_running() {
                    let words = super::member::last_words(&self.setup.folder, member.number, 5);
                    return Err(Trouble::Rig(format!(
                        "member {} ended at its start: {words}",
                        member.number
                    )));
                }
            }
            if Instant::now() > until {
                let looks: Vec<_> =
                    self.numbers().into_iter().map(|member| self.observers.seen.look(member)).collect();
                return Err(Trouble::Rig(format!("the members are not ready within {within:?}: {looks:?}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Starts another process of clients.
    pub(crate) fn start_clients(&mut self, crowd: Crowd) -> Result<(), Trouble> {
        self.processes += 1;
        let number = self.processes;
        let rate = RATES[(number - 1) as usize % RATES.len()];
        let (namespace, folder) = (self.network.namespace(CLIENTS), &self.setup.folder);
        let members = self.setup.members;
        self.clients.push(Clients::start(&namespace, folder, number, members, self.seed, rate, crowd)?);
        Ok(())
    }

    /// Kills a process of clients, and starts another in its place.
    pub(crate) fn crash(&mut self, number: u64) -> Result<(), Trouble> {
        self.clients_of(number)?.kill()?;
        self.clients.retain(|clients| clients.number != number);
        Clients::names(number).for_each(|client| self.recorder.note(What::Gone(Gone { client })));
        self.start_clients(Crowd::MIXED)
    }

    /// Lets all clients finish.
    pub(crate) fn stop_clients(&mut self) -> Result<(), Trouble> {
        self.clients.iter_mut().try_for_each(|clients| Ok(clients.stop()?))
    }

    pub(crate) fn member(&mut self, number: u64) -> Result<&mut Member, Trouble> {
        let found = self.members.iter_mut().find(|member| member.number == number);
        found.ok_or_else(|| Trouble::Rig(format!("there is no member {number}")))
    }

    pub(crate) fn clients_of(&mut self, number: u64) -> Result<&mut Clients, Trouble> {
        let found = self.clients.iter_mut().find(|clients| clients.number == number);
        found.ok_or_else(|| Trouble::Rig(format!("there are no clients {number}")))
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        (1..=self.setup.members).collect()
    }

    /// How long it has lived.
    pub(crate) fn since(&self) -> Duration {
        self.started.elapsed()
    }

    /// The files of its history.
    pub(crate) fn histories(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
        let files = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "jsonl")).collect())
    }
}
