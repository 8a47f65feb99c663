//! A client: the real session's machine on a clock of its own rate, and a caller that claims, waits in line, keeps, lets go and
//! hands on at random. Its frames go to a member's handle through the smallest door.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Call, ClientFrame, Reply, ServerFrame};
use client::Instant;
use client::machine::{Ask, Config, Done, Effect, Input, LinkId, Machine, OpId};
use openraft_rt::{AsyncRuntime as _, Select2};
use replica::{Proposal, Read};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::cluster::Cluster;
use super::executor::{Life, chance, now, sleep, sleep_until, spawn_in};
use super::judge;
use super::runtime::Simulated;
use crate::chance::{MICRO, MILLI};
use crate::clock::Rate;
use crate::door::{self, NAMES, Put, Told, Words};
use crate::invariants::Believed;

struct Client {
    number: usize,
    machine: Machine,
    rate: Rate,
    holder: String,
    instance: u64,
    cluster: Cluster,
    words: Words,
    inbox: UnboundedSender<Input>,
    /// Its links, each with the member and the life that it leads to.
    links: BTreeMap<LinkId, (u64, Life)>,
    endpoints: Vec<u64>,
    op_last: u64,
    calls: BTreeMap<OpId, usize>,
    held: BTreeMap<usize, u64>,
    pace: u64,
}

/// A client that lives until the run ends.
pub(crate) async fn live(number: usize, cluster: Cluster) {
    let (rate, seed, instance) = chance(|it| (Rate::any(it), it.next(), it.next() | 1));
    let ids = cluster.ids();
    let endpoints: Vec<u64> = (0..ids.len()).map(|n| ids[(n + number) % ids.len()]).collect();
    let names = endpoints.iter().map(|id| format!("m{id}")).collect();
    let config = Config { endpoints: names, home_after: Duration::from_secs(5), instance, seed, agent: None };
    let (inbox, inputs) = unbounded_channel();
    let client = Client {
        number,
        machine: Machine::new(config),
        rate,
        holder: format!("h{number}"),
        instance,
        cluster,
        words: Words::new(),
        inbox,
        links: BTreeMap::new(),
        endpoints,
        op_last: 0,
        calls: BTreeMap::new(),
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
            Effect::Open { link, endpoint } => self.open(link, self.endpoints[endpoint]),
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
                let key = self.calls.remove(&op)?;
                if let Ok(Done::Granted { grant, .. }) = result {
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

    fn open(&mut self, link: LinkId, member: u64) {
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
        let (cluster, sent) = (self.cluster.clone(), now());
        let answer =
            Answer { inbox: self.inbox.clone(), link, frame: frame.id, sent, cluster: cluster.clone() };
        let put = self.words.put(frame.call.clone());
        let transferred = match &frame.call {
            Call::Transfer(transfer) => Some(transfer.token),
            _ => None,
        };
        let key = self.words.index(door::name_of(&frame.call));
        spawn_in(0, async move {
            sleep(cluster.wires.latency()).await;
            if let Some((up, handle)) = cluster.door(member)
                && up == life
            {
                ask(&handle, put, key, transferred, answer, life);
            }
        });
    }

    fn act(&mut self) {
        let key = chance(|it| it.index(NAMES.len()));
        let (namespace, name) = (api::NAMESPACE_DEFAULT.to_owned(), NAMES[key].to_owned());
        let (instance, dice) = (self.instance, chance(|it| it.below(10)));
        let within_ms = chance(|it| it.pick(&[300, 1_500, 4_000]));
        let ttl_ms = Some(chance(|it| it.between(1_000, 4_000)));
        let holder = self.holder.clone();
        if self.calls.values().any(|busy| *busy == key) {
            return;
        }
        let call = match self.held.get(&key).copied() {
            Some(_) if dice < 6 => return,
            Some(token) if dice < 9 => {
                self.held.remove(&key);
                Call::Release(api::Release {
                    namespace,
                    name,
                    token,
                    instance: Some(instance),
                    deadline_ms: None,
                })
            }
            Some(token) => {
                self.held.remove(&key);
                let (to, force) = (format!("h{}", chance(|it| it.below(4))), dice == 9);
                Call::Transfer(api::Transfer {
                    namespace,
                    name,
                    token,
                    instance,
                    to,
                    force,
                    ttl_ms,
                    deadline_ms: None,
                })
            }
            None if dice < 5 => {
                Call::Claim(api::Claim { namespace, name, holder, ttl_ms, ..api::Claim::default() })
            }
            None => {
                let timeout_ms = Some(within_ms);
                Call::Acquire(api::Acquire {
                    namespace,
                    name,
                    holder,
                    ttl_ms,
                    timeout_ms,
                    ..api::Acquire::default()
                })
            }
        };
        self.op_last += 1;
        let op = OpId(self.op_last);
        self.calls.insert(op, key);
        let ends = Some(self.local().after(Duration::from_millis(within_ms)));
        self.input(Input::Ask { op, ask: Ask::Call(call), ends });
    }
}

/// Reads at any member: what was told before a read is asked for, it has seen.
pub(crate) async fn read(cluster: Cluster) {
    let ids = cluster.ids();
    loop {
        sleep(chance(|it| it.millis(20, 400))).await;
        let Some((_, handle)) = cluster.door(chance(|it| it.pick(&ids))) else { continue };
        let before = judge::heard(0);
        let reply = Box::new(move |read: Result<(&lease::Table, replica::Reading), _>| {
            if let Ok((_, at)) = read {
                judge::judge(
                    "no read is stale",
                    match at.revision.0 < before {
                        true => {
                            Err(format!("a read at revision {} came after {before} was told", at.revision.0))
                        }
                        false => Ok(()),
                    },
                );
                judge::heard(at.revision.0);
            }
        });
        handle.read(Read { stale: false, deadline: lease::DEADLINE_DEFAULT, reply });
    }
}

/// Where an answer goes.
struct Answer {
    inbox: UnboundedSender<Input>,
    link: LinkId,
    frame: u64,
    sent: u64,
    cluster: Cluster,
}

impl Answer {
    fn give(self, reply: Reply) {
        if let Reply::Granted(grant) = &reply
            && grant.confirmed
        {
            judge::granted(grant.token, self.sent, grant.ttl_ms * MILLI);
        }
        spawn_in(0, async move {
            sleep(self.cluster.wires.latency()).await;
            let frame = Box::new(ServerFrame::reply(self.frame, reply));
            let _ = self.inbox.send(Input::Answer { link: self.link, frame: *frame });
        });
    }
}

fn ask(handle: &replica::Handle, put: Put, key: usize, transferred: Option<u64>, answer: Answer, life: Life) {
    match put {
        Put::Answered(reply) => answer.give(reply),
        Put::Cancel(_) => answer.give(Reply::Cancelled),
        Put::Command(command, named, heir, deadline) => {
            let reply = Box::new(move |told| {
                if let replica::Answer::Decided { at, .. } = &told {
                    judge::heard(at.revision.0);
                }
                answer.give(door::reply(key, transferred, Told::Answer(told)));
            });
            handle.propose(Proposal { command, named, heir, deadline, reply });
        }
        Put::Acquire(claim, timeout_ms) => {
            let reply = Box::new(move |told| answer.give(door::reply(key, None, Told::Answer(told))));
            let wait = handle.acquire(claim, reply);
            let handle = handle.clone();
            spawn_in(life, async move {
                sleep(timeout_ms.unwrap_or(1_000) * MILLI).await;
                handle.give_up(wait);
            });
        }
        Put::Wait(of, after, _) => {
            let reply = Box::new(move |told| answer.give(door::reply(key, None, Told::Waited(told))));
            handle.wait(of, after, reply);
        }
        Put::Get(of) => {
            let reply = Box::new(move |table: Result<(&lease::Table, replica::Reading), _>| {
                let told = match table {
                    Ok((table, at)) => Told::Lease(table.get(&of).map(Box::new), at),
                    Err(why) => Told::Unavailable(why),
                };
                answer.give(door::reply(key, None, told));
            });
            handle.read(Read { stale: false, deadline: lease::DEADLINE_DEFAULT, reply });
        }
    }
}
