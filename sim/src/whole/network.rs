//! The network between members: frames over connections that keep their order, are slow, break, and are cut one way or both.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft_rt::{AsyncRuntime as _, Select2};
use replica::simulation::asks_for_vote;
use replica::{Asked, Connection, Link, Network, Peers, Unreached};

use tokio::sync::oneshot;

use super::Whole;
use super::executor::{self, Life, chance, live, now, sleep_until, spawn_in};
use super::judge;
use super::runtime::Simulated;
use crate::chance::{MICRO, MILLI};
use crate::tally::Happened;

/// Where the members' links end.
#[derive(Clone, Default)]
pub(crate) struct Wires(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    up: BTreeMap<u64, (Life, Peers<Whole>)>,
    connections: BTreeMap<(u64, u64), Wire>,
    /// What is on its way between two, over their present connection or the first one yet to be.
    ways: BTreeMap<(u64, u64), Way>,
    /// Nothing gets from the first to the second.
    cut: BTreeSet<(u64, u64)>,
    /// Where each member listens: at two addresses while it moves from one to the other.
    listens: BTreeMap<u64, BTreeSet<String>>,
    /// Of a thousand frames so many break their connection.
    breaks: u64,
    /// The most nanoseconds that a frame may take besides.
    slow: u64,
    /// Who is to hear of the next vote that is given.
    aim: Option<oneshot::Sender<Voted>>,
}

/// A candidate, who has voted for it, and how many nanoseconds the answer takes.
type Voted = (u64, u64, u64);

struct Wire {
    life: Life,
    connection: Arc<Mutex<Connection<Whole>>>,
}

#[derive(Default)]
struct Way {
    /// How many connections between the two are over: what was sent over one of them is lost with it.
    over: u64,
    /// When the last frame arrives: none passes another.
    last: u64,
}

/// One member's side of it.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Where the one that is called is looked for.
    pub(crate) address: String,
    pub(crate) wires: Wires,
}

impl Network for Port {
    type Link = Port;

    fn link(&self, member: u64, address: &str) -> Port {
        Port { to: member, address: address.to_owned(), ..self.clone() }
    }
}

impl Link for Port {
    fn ask(&self, frame: Vec<u8>) -> Asked {
        let (answer, answered) = oneshot::channel();
        let port = self.clone();
        let (at, over) = self.wires.arrives(self.from, self.to);
        // A frame outlives who sent it.
        spawn_in(0, async move {
            sleep_until(at).await;
            if port.wires.over(port.from, port.to) == over {
                port.deliver(frame, answer);
            }
        });
        let lost = || Unreached::unanswered("the wire is cut");
        Box::pin(async move {
            // A socket that hears nothing for so long is given up.
            match Simulated::select2(answered, executor::sleep(3_000 * MILLI)).await {
                Select2::First(Ok(answer)) => Ok(answer),
                _ => Err(lost()),
            }
        })
    }
}

impl Port {
    fn deliver(self, frame: Vec<u8>, answer: oneshot::Sender<Vec<u8>>) {
        if !self.wires.listens(self.to, &self.address) {
            return;
        }
        let Some((life, connection)) = self.wires.connection(self.from, self.to) else { return };
        let answering = live(life, || connection.lock().unwrap_or_else(PoisonError::into_inner).take(&frame));
        let answering = answering.unwrap_or_else(|error| panic!("a frame of ours: {error}"));
        let aim = if asks_for_vote(&frame) { self.wires.state().aim.take() } else { None };
        spawn_in(life, async move {
            let said = answering.await;
            let (from, to) = (self.to, self.from);
            let after = self.wires.latency();
            let _: Option<Result<(), Voted>> = aim.map(|aim| aim.send((to, from, after)));
            spawn_in(0, async move {
                executor::sleep(after).await;
                if !self.wires.is_cut(from, to) {
                    let _ = answer.send(said);
                }
            });
        });
    }
}

impl State {
    fn close(&mut self, pair: (u64, u64)) -> Option<Wire> {
        self.ways.entry(pair).or_default().over += 1;
        self.connections.remove(&pair)
    }
}

impl Wires {
    /// The run is over. Who is up has ports, which lead here: neither would ever go.
    pub(crate) fn end(&self) {
        let state = std::mem::take(&mut *self.state());
        drop(state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most nanoseconds that a frame takes besides its own time.
    pub(crate) fn slow(&self) -> u64 {
        self.state().slow
    }

    pub(crate) fn latency(&self) -> u64 {
        let slow = self.slow();
        chance(|it| it.between(50 * MICRO, 800 * MICRO) + if slow > 0 { it.below(slow) } else { 0 })
    }

    /// When what is sent now arrives, if its connection lasts.
    fn arrives(&self, from: u64, to: u64) -> (u64, u64) {
        let at = now() + self.latency();
        let mut state = self.state();
        let way = state.ways.entry((from, to)).or_default();
        // At the same instant either might be taken first.
        way.last = at.max(way.last + 1);
        (way.last, way.over)
    }

    fn over(&self, from: u64, to: u64) -> u64 {
        self.state().ways.get(&(from, to)).map_or(0, |way| way.over)
    }

    /// The connection between two members, where a frame gets through.
    fn connection(&self, from: u64, to: u64) -> Option<(Life, Arc<Mutex<Connection<Whole>>>)> {
        let breaks = self.state().breaks;
        if breaks > 0 && chance(|it| it.below(1_000)) < breaks {
            let broken = self.state().close((from, to));
            drop(broken);
            judge::count(Happened::ConnectionBroken);
            judge::trouble(now());
            return None;
        }
        if self.is_cut(from, to) {
            return None;
        }
        let (life, peers) = self.state().up.get(&to)?.clone();
        if self.state().connections.get(&(from, to)).is_none_or(|wire| wire.life != life) {
            let connection = Arc::new(Mutex::new(live(life, || peers.connection(from))));
            let old = self.state().connections.insert((from, to), Wire { life, connection });
            drop(old);
        }
        self.state().connections.get(&(from, to)).map(|wire| (life, Arc::clone(&wire.connection)))
    }

    /// Makes the next vote that is given known: who voted, for whom, and how long its answer takes.
    pub(crate) fn await_vote(&self) -> impl Future<Output = Option<Voted>> + Send + use<> {
        let (aim, voted) = oneshot::channel();
        let old = self.state().aim.replace(aim);
        drop(old);
        async move { voted.await.ok() }
    }

    pub(crate) fn is_cut(&self, from: u64, to: u64) -> bool {
        self.state().cut.contains(&(from, to))
    }

    fn listens(&self, member: u64, address: &str) -> bool {
        self.state().listens.get(&member).is_some_and(|at| at.contains(address))
    }

    /// A member listens at an address, too.
    pub(crate) fn listen(&self, member: u64, address: String) {
        self.state().listens.entry(member).or_default().insert(address);
    }

    /// It listens there and nowhere else.
    pub(crate) fn listen_only(&self, member: u64, address: String) {
        self.state().listens.insert(member, BTreeSet::from([address]));
    }

    pub(crate) fn join(&self, member: u64, life: Life, peers: Peers<Whole>) {
        self.state().up.insert(member, (life, peers));
    }

    pub(crate) fn leave(&self, member: u64) {
        let gone = {
            let mut state = self.state();
            let gone: Vec<_> =
                state.ways.keys().filter(|(a, b)| *a == member || *b == member).copied().collect();
            let wires: Vec<_> = gone.iter().filter_map(|pair| state.close(*pair)).collect();
            (state.up.remove(&member), wires)
        };
        drop(gone);
    }

    /// Nothing gets from one to the other.
    pub(crate) fn cut(&self, from: u64, to: u64) {
        self.state().cut.insert((from, to));
    }

    /// Everything gets through again.
    pub(crate) fn mend(&self) {
        self.state().cut.clear();
    }

    /// How bad the network is.
    pub(crate) fn worsen(&self, breaks: u64, slow: u64) {
        let mut state = self.state();
        (state.breaks, state.slow) = (breaks, slow);
    }
}
