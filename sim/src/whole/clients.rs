//! A client: the real session's machine on a clock of its own rate, and a caller that claims, waits in line, waits, keeps, lets go
//! and hands on at random. Its frames go to a member's handle through the smallest door ([`super::asks`]).

use std::collections::BTreeMap;
use std::time::Duration;

use api::ClientFrame;
use client::Instant;
use client::machine::{Ask, Config, Done, Effect, Input, LinkId, Machine, OpId};
use openraft_rt::{AsyncRuntime as _, Select2};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::asks::{self, From};
use super::cluster::Cluster;
use super::executor::{Life, chance, now, sleep, sleep_until, spawn_in};
use super::judge;
use super::runtime::Simulated;
use crate::caller::{Asking, Lines, Named};
use crate::chance::{MICRO, MILLI};
use crate::clock::Rate;
use crate::door::{NAMES, Words};
use crate::invariants::Believed;

/// Clients of one run, at most.
pub(crate) const CLIENTS_MAX: usize = 4;

/// The holders that there may be. One may have several sessions, each an instance of its own.
pub(crate) const HOLDERS: [&str; CLIENTS_MAX] = ["h0", "h1", "h2", "h3"];

struct Client {
    number: usize,
    machine: Machine,
    rate: Rate,
    holder: &'static str,
    instance: u64,
    cluster: Cluster,
    words: Words,
    inbox: UnboundedSender<Input>,
    /// Its links, each with the member and the life that it leads to.
    links: BTreeMap<LinkId, (u64, Life)>,
    op_last: u64,
    calls: BTreeMap<OpId, usize>,
    /// The claim, acquire or wait under way for each lease.
    busy: BTreeMap<usize, OpId>,
    held: BTreeMap<usize, u64>,
    pace: u64,
    lines: Lines,
}

/// Lives as one client.
pub(crate) async fn live(number: usize, rate: Rate, cluster: Cluster) {
    let (instance, seed) = chance(|it| (it.next() | 1, it.next()));
    let holder = HOLDERS[if chance(|it| it.one_in(4)) { 0 } else { number }];
    let endpoints = cluster.ids().iter().map(|id| format!("m{id}")).collect();
    let home_after = Duration::from_millis(chance(|it| it.pick(&[500, 5_000, 60_000])));
    let (inbox, inputs) = unbounded_channel();
    let client = Client {
        number,
        machine: Machine::new(Config { endpoints, home_after, instance, seed, agent: None }),
        rate,
        holder,
        instance,
        lines: cluster.sizes.lines,
        cluster,
        words: Words::new(),
        inbox,
        links: BTreeMap::new(),
        op_last: 0,
        calls: BTreeMap::new(),
        busy: BTreeMap::new(),
        held: BTreeMap::new(),
        pace: chance(|it| it.pick(&[60, 300, 800, 2_000])),
    };
    client.run(inputs).await;
}

impl Client {
    async fn run(mut self, mut inputs: UnboundedReceiver<Input>) {
        let mut act_at = now() + chance(|it| it.millis(1, 1_500));
        loop {
            let wake = self.machine.next_wake().map_or(u64::MAX, |at| self.rate.when(at.as_nanos()));
            let wake = wake.max(now() + 10 * MICRO);
            let input = Simulated::select2(Box::pin(inputs.recv()), sleep_until(wake.min(act_at))).await;
            match input {
                Select2::First(Some(input)) => self.input(input),
                Select2::First(None) => return,
                Select2::Second(()) if now() >= act_at => {
                    act_at = now() + chance(|it| it.millis(20, self.pace));
                    self.act();
                }
                Select2::Second(()) => self.input(Input::Wake),
            }
        }
    }

    fn local(&self) -> Instant {
        Instant::from_nanos(self.rate.reads(now()))
    }

    fn input(&mut self, input: Input) {
        let (mut inputs, mut effects) = (vec![input], Vec::new());
        while let Some(input) = inputs.pop() {
            self.machine.step(self.local(), input, &mut effects);
            for effect in std::mem::take(&mut effects) {
                inputs.extend(self.effect(effect));
            }
        }
        let (words, rate) = (&self.words, self.rate);
        let believed = self.machine.beliefs().map(|(_, name, token, until)| Believed {
            key: words.index(name),
            token,
            until: rate.when(until.as_nanos()),
        });
        judge::believes(self.number, &believed.collect::<Vec<_>>());
    }

    fn effect(&mut self, effect: Effect) -> Option<Input> {
        let c = self.number;
        if !matches!(effect, Effect::Wake(_)) {
            judge::say(|| format!("c{c}: {effect}"));
        }
        match effect {
            Effect::Open { link, endpoint } => self.open(link, endpoint),
            Effect::Send { link, frame } => self.send(link, frame),
            Effect::Ping { link } => {
                if let Some((member, life)) = self.links.get(&link).copied()
                    && self.cluster.door(member).is_some_and(|(up, _)| up == life)
                {
                    self.later(Input::Heard { link });
                }
            }
            Effect::Close { link } => drop(self.links.remove(&link)),
            Effect::Done { op, result } => {
                judge::called(c, op.0);
                let key = self.calls.remove(&op)?;
                let was_busy = self.busy.get(&key) == Some(&op);
                if was_busy {
                    self.busy.remove(&key);
                }
                if let Ok(Done::Granted { grant, .. }) = result
                    && was_busy
                {
                    self.held.insert(key, grant.token);
                    let (namespace, name) = (api::NAMESPACE_DEFAULT.to_owned(), NAMES[key].to_owned());
                    return Some(Input::Keep { namespace, name, token: grant.token });
                }
            }
            Effect::Over { token, .. } => self.held.retain(|_, held| *held > token),
            _ => {}
        }
        None
    }

    fn later(&self, input: Input) {
        let (inbox, after) = (self.inbox.clone(), self.cluster.wires.latency());
        spawn_in(0, async move {
            sleep(after).await;
            let _ = inbox.send(input);
        });
    }

    /// An endpoint is a seat: whichever member has it now.
    fn open(&mut self, link: LinkId, endpoint: usize) {
        let ids = self.cluster.ids();
        let member = ids[(endpoint + self.number) % ids.len()];
        match self.cluster.door(member) {
            Some((life, _)) => {
                self.links.insert(link, (member, life));
                self.later(Input::Opened { link });
                self.watch_life(link, member, life);
            }
            None => self.later(Input::Lost { link, cause: String::new() }),
        }
    }

    /// A member that goes takes its connections with it.
    fn watch_life(&self, link: LinkId, member: u64, life: Life) {
        let (inbox, cluster) = (self.inbox.clone(), self.cluster.clone());
        spawn_in(0, async move {
            while cluster.door(member).is_some_and(|(up, _)| up == life) && !inbox.is_closed() {
                sleep(20 * MILLI).await;
            }
            let _ = inbox.send(Input::Lost { link, cause: String::new() });
        });
    }

    fn send(&self, link: LinkId, frame: ClientFrame) {
        let Some((member, life)) = self.links.get(&link).copied() else { return };
        let (cluster, words) = (self.cluster.clone(), self.words.clone());
        let (inbox, sent) = (self.inbox.clone(), now());
        spawn_in(0, async move {
            sleep(cluster.wires.latency()).await;
            if let Some((up, handle)) = cluster.door(member)
                && up == life
            {
                let to = From { inbox, link, frame: frame.id, sent, cluster };
                asks::put(&words, frame, &handle, life, to);
            }
        });
    }

    fn act(&mut self) {
        // What has come to an end while it was paused is told first.
        self.input(Input::Wake);
        judge::look_at_client(self.number);
        let key = chance(|it| it.index(NAMES.len()));
        let lease = Named { name: NAMES[key], holder: self.holder, instance: self.instance };
        if let Some(op) = self.busy.get(&key).copied() {
            if chance(|it| it.one_in(12)) {
                self.busy.remove(&key);
                judge::abandons(self.number, op.0);
                self.input(Input::Abandon { op });
            }
            return;
        }
        let Some(token) = self.held.get(&key).copied() else {
            let lines = self.lines;
            let asking = chance(|it| {
                let ttl_ms = it.between(1_000, 4_000);
                lease.want(it, ttl_ms, lines)
            });
            self.busy.insert(key, OpId(self.op_last + 1));
            return self.call(key, asking);
        };
        // A lease that is let go at every other look would never be extended.
        if chance(|it| it.one_in(3))
            && let Some(asking) = chance(|it| lease.let_go(it, token, &HOLDERS))
        {
            self.held.remove(&key);
            self.call(key, asking);
        }
    }

    fn call(&mut self, key: usize, (call, within): Asking) {
        self.op_last += 1;
        let op = OpId(self.op_last);
        let ends = self.local().after(Duration::from_nanos(within));
        judge::calls(self.number, op.0, self.rate.when(ends.as_nanos()));
        self.calls.insert(op, key);
        self.input(Input::Ask { op, ask: Ask::Call(call), ends: Some(ends) });
    }
}
