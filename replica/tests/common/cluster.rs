//! Several members in one process, over links that the test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openraft_rt_tokio::TokioRuntime;
use replica::log::MemoryDisk;
use replica::{
    Asked, Clock, First, Handle, Link, Member, Mono, Network, Options, Parts, Peer, Peers, Status, Unreached,
    World,
};
use tokio::sync::{mpsc, oneshot};

use super::{ProcessClock, options};

pub struct Wired;

impl World for Wired {
    type Runtime = TokioRuntime;
    type Network = Port;
}

/// The kind of a frame that has a piece of a snapshot.
const PIECE: u8 = 5;
/// The kinds of frames from here on are asks, and those below are Raft's.
const FIRST_ASK: u8 = 16;

type Frame = (Vec<u8>, oneshot::Sender<Vec<u8>>);

/// Where the members' links end.
#[derive(Clone, Default)]
pub struct Switch(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    members: BTreeMap<u64, Peers<Wired>>,
    connections: BTreeMap<(u64, u64), mpsc::UnboundedSender<Frame>>,
    /// Members that hear nobody and are heard by nobody.
    cut: BTreeSet<u64>,
    /// A member that elects nobody and is sent no entries: only what members ask each other besides is carried.
    muted: Option<u64>,
    /// From the one to the other nothing is carried.
    one_way: Option<(u64, u64)>,
    /// Pieces of snapshots that were carried.
    pieces: usize,
}

/// One member's side of it.
#[derive(Clone)]
pub struct Port {
    from: u64,
    to: u64,
    switch: Switch,
}

impl Network for Port {
    type Link = Port;

    fn link(&self, member: u64, address: &str) -> Port {
        assert_eq!(address, format!("m{member}:7401"));
        Port { to: member, ..self.clone() }
    }
}

impl Link for Port {
    fn ask(&self, frame: Vec<u8>) -> Asked {
        let answer = self.switch.carry(self.from, self.to, frame);
        let (switch, pair) = (self.switch.clone(), [self.from, self.to]);
        Box::pin(async move {
            let lost = || Unreached::unanswered("the wire is cut");
            let answer = answer?.await.map_err(|_| lost())?;
            if switch.is_cut(pair) { Err(lost()) } else { Ok(answer) }
        })
    }
}

impl Switch {
    /// How many pieces of snapshots were carried.
    pub fn pieces(&self) -> usize {
        self.0.lock().unwrap().pieces
    }

    fn is_cut(&self, pair: [u64; 2]) -> bool {
        let wires = self.0.lock().unwrap();
        pair.iter().any(|member| wires.cut.contains(member))
    }

    fn carry(&self, from: u64, to: u64, frame: Vec<u8>) -> Result<oneshot::Receiver<Vec<u8>>, Unreached> {
        let lost = || Unreached::unanswered("the wire is cut");
        if self.is_cut([from, to]) {
            return Err(lost());
        }
        let mut wires = self.0.lock().unwrap();
        let is_rafts = frame[3] < FIRST_ASK;
        if wires.one_way == Some((from, to)) {
            return Err(lost());
        }
        if is_rafts && wires.muted.is_some_and(|muted| [from, to].contains(&muted)) {
            return Err(lost());
        }
        let peers =
            wires.members.get(&to).cloned().ok_or_else(|| Unreached::never_left("it does not run"))?;
        let connection = wires.connections.entry((from, to)).or_insert_with(|| connect(&peers, from));
        let (answer, answered) = oneshot::channel();
        let is_piece = frame[3] == PIECE;
        connection.send((frame, answer)).map_err(|_| lost())?;
        wires.pieces += usize::from(is_piece);
        Ok(answered)
    }

    fn join(&self, id: u64, peers: Peers<Wired>) {
        let mut wires = self.0.lock().unwrap();
        wires.members.insert(id, peers);
        wires.connections.retain(|(_, to), _| *to != id);
    }

    fn leave(&self, id: u64) {
        let mut wires = self.0.lock().unwrap();
        wires.members.remove(&id);
        wires.connections.retain(|(from, to), _| *from != id && *to != id);
    }

    pub fn cut(&self, id: u64) {
        self.0.lock().unwrap().cut.insert(id);
    }

    /// What goes out from one member does not arrive at another, which it hears all the same.
    pub fn cut_one_way(&self, from: u64, to: u64) {
        self.0.lock().unwrap().one_way = Some((from, to));
    }

    pub fn mend(&self) {
        let mut wires = self.0.lock().unwrap();
        wires.one_way = None;
        wires.cut.clear();
        wires.muted = None;
    }
}

fn connect(peers: &Peers<Wired>, caller: u64) -> mpsc::UnboundedSender<Frame> {
    let (sender, mut frames) = mpsc::unbounded_channel::<Frame>();
    let mut connection = peers.connection(caller);
    tokio::spawn(async move {
        while let Some((frame, answer)) = frames.recv().await {
            let answering = connection.take(&frame).expect("a frame of our own");
            tokio::spawn(async move { drop(answer.send(answering.await)) });
        }
    });
    sender
}

/// The members of a cluster, and what they keep over a restart.
pub struct Cluster {
    pub switch: Switch,
    /// How many first voters it has: from member 1 on.
    size: u64,
    disks: BTreeMap<u64, (MemoryDisk, MemoryDisk)>,
    pub members: BTreeMap<u64, Member<Wired>>,
    /// Members whose folders bear the mark of one that has begun, and their logs when it was made.
    begun: Arc<Mutex<BTreeMap<u64, MemoryDisk>>>,
    /// Members whose clocks disagree.
    pub strays: Arc<Mutex<BTreeSet<u64>>>,
}

/// A member's clock, which may be said to disagree with another.
struct StrayingClock {
    clock: ProcessClock,
    member: u64,
    strays: Arc<Mutex<BTreeSet<u64>>>,
}

impl Clock for StrayingClock {
    fn now(&self) -> Mono {
        self.clock.now()
    }

    fn strays(&self) -> bool {
        self.strays.lock().unwrap().contains(&self.member)
    }
}

impl Cluster {
    pub async fn start(size: u64) -> Cluster {
        Cluster::start_with(size, None).await
    }

    /// Starts a cluster in which one member hears no Raft.
    pub async fn start_with(size: u64, muted: Option<u64>) -> Cluster {
        let ids = 1..=size;
        let (switch, members) = (Switch::default(), BTreeMap::new());
        let mut cluster = Cluster {
            size,
            switch,
            disks: BTreeMap::new(),
            members,
            begun: Arc::default(),
            strays: Arc::default(),
        };
        cluster.switch.0.lock().unwrap().muted = muted;
        for id in ids {
            cluster.begin(id).await;
        }
        cluster
    }

    pub async fn begin(&mut self, id: u64) {
        let peer = |id: u64| (id, Peer::at(format!("m{id}:7401")));
        let voters = (1..=self.size).map(peer).collect();
        self.begin_as(id, First::With(voters)).await;
    }

    /// Starts a member that is to be added.
    pub async fn add(&mut self, id: u64) {
        self.begin_as(id, First::Added).await;
    }

    /// Starts a member as a cluster of its own.
    pub async fn begin_alone(&mut self, id: u64) {
        self.begin_as(id, First::Alone).await;
    }

    /// Waits until a member ends by itself, and gives what it says then: it names what to do.
    pub async fn ends_with(&mut self, id: u64) -> String {
        let why = self.members.get_mut(&id).unwrap().ended().await.expect("it says why");
        assert!(why.contains("tenure members invite"), "{why}");
        self.stop(id).await;
        why
    }

    /// A member's disks are new ones.
    pub fn wipe(&mut self, id: u64) {
        self.disks.remove(&id);
        self.begun.lock().unwrap().remove(&id);
    }

    /// A member's disks are as they were when it was about to begin.
    pub fn take_back_to_the_mark(&mut self, id: u64) {
        let log = self.begun.lock().unwrap()[&id].fork();
        self.disks.insert(id, (log, MemoryDisk::new()));
    }

    async fn begin_as(&mut self, id: u64, first: First) {
        let new = || (MemoryDisk::new(), MemoryDisk::new());
        let (log, snapshots) = self.disks.entry(id).or_insert_with(new).clone();
        let begun = self.begun.lock().unwrap().contains_key(&id);
        let parts = Parts::<Wired> {
            clock: Arc::new(StrayingClock {
                clock: ProcessClock(Instant::now()),
                member: id,
                strays: Arc::clone(&self.strays),
            }),
            log_disk: Arc::new(log.clone()),
            snapshot_disk: Arc::new(snapshots),
            network: Port { from: id, to: id, switch: self.switch.clone() },
            on_begun: {
                let (begun, log) = (Arc::clone(&self.begun), log.clone());
                Arc::new(move || {
                    begun.lock().unwrap().insert(id, log.fork());
                    Ok(())
                })
            },
            on_fatal: Box::new(|fatal| panic!("{fatal}")),
        };
        let options = Options { member: id, first, begun, snapshot_log_bytes: 20_000, ..options() };
        let member = replica::start(options, parts).await.expect("it starts");
        self.switch.join(id, member.peers());
        self.members.insert(id, member);
    }

    pub async fn stop(&mut self, id: u64) {
        self.switch.leave(id);
        self.members.remove(&id).expect("it runs").stop().await;
    }

    pub fn status(&self, id: u64) -> Status {
        self.members[&id].handle().status()
    }

    pub fn handle(&self, id: u64) -> Handle {
        self.members[&id].handle()
    }

    /// The one that serves, among these.
    pub async fn leader_of(&self, ids: &[u64]) -> u64 {
        let start = Instant::now();
        loop {
            if let Some(leader) = ids.iter().find(|id| self.status(**id).leads) {
                return *leader;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "nobody leads");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn leader(&self) -> u64 {
        self.leader_of(&self.members.keys().copied().collect::<Vec<_>>()).await
    }

    pub fn others(&self, id: u64) -> Vec<u64> {
        self.members.keys().copied().filter(|other| *other != id).collect()
    }

    /// Waits until all members have applied as much.
    pub async fn until_alike(&self) {
        let start = Instant::now();
        loop {
            let revisions: BTreeSet<_> =
                self.members.keys().map(|id| self.status(*id).reading.revision).collect();
            if revisions.len() == 1 {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "they stay apart: {revisions:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
