//! A client: the real session's machine, and a caller that claims, waits, keeps, lets go and hands on at random.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Call, ClientFrame, Reply};
use client::machine::{Ask, Config, Done, Effect, Input, LinkId, Machine, OpId};
use client::{Failure, Instant};

use crate::caller;
use crate::chance::MILLI;
use crate::clock::Rate;
use crate::door::NAMES;
use crate::invariants::Believed;
use crate::world::{Event, World};

pub(crate) struct Client {
    pub(crate) machine: Machine,
    pub(crate) rate: Rate,
    pub(crate) holder: String,
    pub(crate) instance: u64,
    /// Its links, each with its member, and whether it is open.
    pub(crate) links: BTreeMap<LinkId, (usize, bool)>,
    /// Which member each of its endpoints is.
    pub(crate) endpoints: Vec<usize>,
    op_last: u64,
    /// The claim, acquire or wait under way for each lease.
    busy: [Option<OpId>; NAMES.len()],
    held: [Option<Held>; NAMES.len()],
    calls: BTreeMap<OpId, usize>,
    pub(crate) paused_until: u64,
    deferred: Vec<Input>,
    todo: Vec<Input>,
    wake: (u64, u64),
    beliefs: Vec<Believed>,
}

#[derive(Clone, Copy)]
struct Held {
    token: u64,
    ttl_ms: u64,
    kept: bool,
}

impl World {
    pub(crate) fn new_client(&mut self, c: usize) -> Client {
        // Some are another life of the same holder.
        let holder = if self.chance.one_in(4) { 0 } else { c };
        let (instance, seed) = (self.chance.next() | 1, self.chance.next());
        let members = self.members.len();
        let endpoints: Vec<usize> = (0..members).map(|n| (n + c) % members).collect();
        let names = endpoints.iter().map(|m| format!("m{m}")).collect();
        // Half of them go back to the first within a run.
        let home_after = Duration::from_millis(if seed % 2 == 0 { 200 + seed % 800 } else { 30_000 });
        let config = Config { endpoints: names, home_after, instance, seed, agent: None };
        Client {
            machine: Machine::new(config),
            rate: Rate::any(&mut self.chance),
            holder: format!("h{holder}"),
            instance,
            links: BTreeMap::new(),
            endpoints,
            op_last: 0,
            busy: [None; NAMES.len()],
            held: [None; NAMES.len()],
            calls: BTreeMap::new(),
            paused_until: 0,
            deferred: Vec::new(),
            todo: Vec::new(),
            wake: (0, 0),
            beliefs: Vec::new(),
        }
    }

    fn local(&self, c: usize) -> Instant {
        Instant::from_nanos(self.clients[c].rate.reads(self.now))
    }

    /// Something happens to a client: now, or once it runs again.
    pub(crate) fn input(&mut self, c: usize, input: Input) {
        if self.now < self.clients[c].paused_until {
            return self.clients[c].deferred.push(input);
        }
        self.clients[c].todo.push(input);
        let now = self.local(c);
        let mut effects = std::mem::take(&mut self.effects);
        while !self.clients[c].todo.is_empty() {
            let input = self.clients[c].todo.remove(0);
            self.clients[c].machine.step(now, input, &mut effects);
            for effect in effects.drain(..) {
                self.effect(c, effect);
            }
        }
        self.effects = effects;
        self.believe(c);
        self.set_wake(c);
    }

    pub(crate) fn resume(&mut self, c: usize) {
        for input in std::mem::take(&mut self.clients[c].deferred) {
            self.input(c, input);
        }
        self.input(c, Input::Wake);
    }

    pub(crate) fn wake_client(&mut self, c: usize, number: u64) {
        if self.clients[c].wake.0 == number && self.now >= self.clients[c].paused_until {
            self.input(c, Input::Wake);
        }
    }

    fn set_wake(&mut self, c: usize) {
        let client = &mut self.clients[c];
        let Some(at) = client.machine.next_wake() else { return };
        let at = client.rate.when(at.as_nanos()).max(self.now + 1);
        if client.wake.1 == at {
            return;
        }
        client.wake = (client.wake.0 + 1, at);
        let number = client.wake.0;
        self.at(at, Event::Wake { c, number });
    }

    fn believe(&mut self, c: usize) {
        let client = &mut self.clients[c];
        let before = std::mem::take(&mut client.beliefs);
        let words = &self.words;
        let believed = client.machine.beliefs().map(|(_, name, token, until)| Believed {
            key: words.index(name),
            token,
            until: client.rate.when(until.as_nanos()),
        });
        client.beliefs = believed.collect();
        if client.beliefs != before {
            let held = |it: &Believed| {
                let now = Instant::from_nanos(client.rate.reads(self.now));
                client.machine.is_held(api::NAMESPACE_DEFAULT, NAMES[it.key], now) == (self.now < it.until)
            };
            debug_assert!(client.beliefs.iter().all(held), "what it believes is what it says that it holds");
            self.invariants.one_believer.believes(c, &client.beliefs);
            let kept = self.invariants.one_believer.check(c, self.now, &self.invariants.ledger);
            self.judge("one believer", kept);
        }
    }

    fn effect(&mut self, c: usize, effect: Effect) {
        if self.tracing() && !matches!(effect, Effect::Wake(_)) {
            match &effect {
                Effect::Send { link, frame } => {
                    self.say(format!("c{c} sends {} on link {}: {}", frame.id, link.0, shown(&frame.call)));
                }
                effect => self.say(format!("c{c}: {effect}")),
            }
        }
        match effect {
            Effect::Open { link, endpoint } => self.open(c, link, endpoint),
            Effect::Send { link, frame } => self.send(c, link, frame),
            Effect::Ping { link } => {
                let answers = |world: &World| {
                    let m = world.clients[c].links.get(&link).filter(|(_, open)| *open)?.0;
                    world.members[m].leader.as_ref().map(|_| ())
                };
                if answers(self).is_some()
                    && let Some(after) = self.latency()
                {
                    self.after(2 * after, Event::Input { c, input: Box::new(Input::Heard { link }) });
                }
            }
            Effect::Close { link } => self.close(c, link),
            Effect::Done { op, result } => {
                let kept = self.invariants.ends_once.ended(c, op.0);
                self.judge("every call ends exactly once", kept);
                self.done(c, op, result);
            }
            Effect::Over { token, .. } => {
                for held in &mut self.clients[c].held {
                    held.take_if(|held| held.token <= token);
                }
            }
            Effect::Held { .. } | Effect::Doomed { .. } | Effect::Wake(_) => {}
            Effect::Events { .. } | Effect::WatchOver { .. } => unreachable!("nobody watches here"),
        }
    }

    fn open(&mut self, c: usize, link: LinkId, endpoint: usize) {
        let m = self.clients[c].endpoints[endpoint];
        let up = self.members[m].leader.is_some() && !self.chance.one_in(20);
        let after = self.latency().unwrap_or(50 * MILLI);
        self.clients[c].links.insert(link, (m, false));
        let input = match up {
            true => Input::Opened { link },
            false => Input::Lost { link, cause: String::new() },
        };
        self.after(after, Event::Link { c, input: Box::new(input) });
    }

    /// A link opens or is lost, as its client sees it.
    pub(crate) fn link(&mut self, c: usize, input: Input) {
        match &input {
            Input::Opened { link } => match self.clients[c].links.get_mut(link) {
                Some((_, open)) => *open = true,
                None => return,
            },
            Input::Lost { link, .. } => {
                let Some((m, _)) = self.clients[c].links.remove(link) else { return };
                let after = if self.chance.one_in(3) { self.chance.millis(1, 2_000) } else { MILLI };
                self.after(after, Event::Gone { c, link: *link, m });
            }
            _ => {}
        }
        self.input(c, input);
    }

    fn close(&mut self, c: usize, link: LinkId) {
        if let Some((m, _)) = self.clients[c].links.remove(&link) {
            let after = self.latency().unwrap_or(MILLI);
            self.after(after, Event::Gone { c, link, m });
        }
    }

    fn send(&mut self, c: usize, link: LinkId, frame: ClientFrame) {
        let Some((m, _)) = self.clients[c].links.get(&link).copied() else { return };
        let sent = self.now;
        let copies = if self.chance.below(1_000) < self.network.twice { 2 } else { 1 };
        for _ in 0..copies {
            if let Some(after) = self.latency() {
                self.after(after, Event::Arrives { c, link, m, frame: Box::new(frame.clone()), sent });
            }
        }
    }

    fn call(&mut self, c: usize, key: usize, call: Call, within_ns: u64) -> OpId {
        let now = self.local(c);
        let client = &mut self.clients[c];
        client.op_last += 1;
        let op = OpId(client.op_last);
        let ends = now.after(Duration::from_nanos(within_ns));
        let by = client.rate.when(ends.as_nanos());
        client.calls.insert(op, key);
        self.invariants.ends_once.asked(c, op.0, by);
        self.clients[c].todo.push(Input::Ask { op, ask: Ask::Call(call), ends: Some(ends) });
        op
    }

    /// The caller does something, and again later.
    pub(crate) fn caller(&mut self, c: usize) {
        if self.now + 300 * MILLI < self.end {
            let next = self.chance.millis(30, self.pace);
            self.after(next, Event::Caller { c });
        }
        self.act(c);
    }

    pub(crate) fn act(&mut self, c: usize) {
        if self.now < self.clients[c].paused_until {
            return;
        }
        let key = self.chance.index(self.keys);
        if let Some(op) = self.clients[c].busy[key] {
            if self.chance.one_in(12) {
                self.clients[c].busy[key] = None;
                self.invariants.ends_once.abandoned(c, op.0);
                self.input(c, Input::Abandon { op });
            }
            return;
        }
        match self.clients[c].held[key] {
            Some(held) => self.use_held(c, key, held),
            None => self.want(c, key),
        }
        if let Some(input) = self.clients[c].todo.pop() {
            self.input(c, input);
        }
    }

    fn use_held(&mut self, c: usize, key: usize, held: Held) {
        let holders: Vec<&str> = self.clients.iter().map(|client| client.holder.as_str()).collect();
        let (holder, instance) = (holders[c], self.clients[c].instance);
        let lease = caller::Named { name: NAMES[key], holder, instance };
        if let Some((call, within)) = lease.let_go(&mut self.chance, held.token, &holders) {
            self.clients[c].held[key] = None;
            self.call(c, key, call, within);
        }
    }

    fn want(&mut self, c: usize, key: usize) {
        let ttl_ms = self.ttl_ms();
        let (holder, instance) = (&self.clients[c].holder, self.clients[c].instance);
        let lease = caller::Named { name: NAMES[key], holder, instance };
        let (call, within) = lease.want(&mut self.chance, ttl_ms, caller::Lines::Often);
        let op = self.call(c, key, call, within);
        self.clients[c].busy[key] = Some(op);
    }

    fn ttl_ms(&mut self) -> u64 {
        match self.chance.one_in(3) {
            true => self.chance.between(1_500, 3_000),
            false => self.chance.between(250, 1_200),
        }
    }

    fn done(&mut self, c: usize, op: OpId, result: Result<Done, Failure>) {
        let Some(key) = self.clients[c].calls.remove(&op) else { return };
        let was_busy = self.clients[c].busy[key].take_if(|busy| *busy == op).is_some();
        match result {
            Ok(Done::Granted { grant, .. }) if was_busy => {
                let kept = !self.chance.one_in(4);
                let (token, ttl_ms) = (grant.token, grant.ttl_ms);
                self.clients[c].held[key] = Some(Held { token, ttl_ms, kept });
                if kept {
                    let (namespace, name) = (api::NAMESPACE_DEFAULT.to_owned(), NAMES[key].to_owned());
                    self.clients[c].todo.push(Input::Keep { namespace, name, token });
                } else {
                    self.after(ttl_ms * MILLI / 3, Event::Hand { c, key, token });
                }
            }
            Ok(Done::Reply(Reply::Free(_))) if was_busy && self.chance.one_in(2) => self.want(c, key),
            _ => {}
        }
    }

    /// A grant that its caller extends by hand is due: it keeps trying for as long as the grant lasts, and longer.
    pub(crate) fn hand(&mut self, c: usize, key: usize, token: u64) {
        let Some(held) = self.clients[c].held[key].filter(|held| held.token == token && !held.kept) else {
            return;
        };
        if self.now >= self.clients[c].paused_until {
            let (namespace, name) = (api::NAMESPACE_DEFAULT.to_owned(), NAMES[key].to_owned());
            let (instance, ttl_ms) = (Some(self.clients[c].instance), Some(held.ttl_ms));
            let extend = api::Extend { namespace, name, token, instance, ttl_ms, deadline_ms: None };
            let within = self.chance.millis(500, 5_000);
            self.call(c, key, Call::Extend(extend), within);
            if let Some(input) = self.clients[c].todo.pop() {
                self.input(c, input);
            }
        }
        self.after(held.ttl_ms * MILLI / 3, Event::Hand { c, key, token });
    }
}

fn shown(call: &Call) -> String {
    format!("{call:?}")
}
