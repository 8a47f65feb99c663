//! What happens, and when: one queue of events ordered by time and number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use client::machine::{Effect, Input, LinkId};
use lease::{Batch, Change, Command, NamespaceSettings, Request, Table, Time};
use replica::Unreached;

use crate::chance::{Chance, MILLI, SECOND};
use crate::client::Client;
use crate::clock::{Rate, Shown};
use crate::door::Words;
use crate::invariants::{Invariants, Kept, same_bytes};
use crate::log::{self, Promise};
use crate::member::Member;
use crate::peers;
use crate::trouble::Trouble;
use crate::{Ran, Trace, Violation};

pub(crate) enum Event {
    Step { m: usize, number: u64 },
    Commit { index: usize, term: u64 },
    Apply { m: usize },
    Barrier { m: usize, term: u64, index: usize, promise: Promise<bool> },
    Timeout { m: usize, id: u64 },
    Arrives { c: usize, link: LinkId, m: usize, frame: Box<api::ClientFrame>, sent: u64 },
    Answers { c: usize, link: LinkId, frame: Box<api::ServerFrame> },
    Link { c: usize, input: Box<Input> },
    Gone { c: usize, link: LinkId, m: usize },
    Input { c: usize, input: Box<Input> },
    Wake { c: usize, number: u64 },
    Resume { c: usize },
    Rush { c: usize },
    Caller { c: usize },
    Hand { c: usize, key: usize, token: u64 },
    Operator,
    Operates { key: usize, command: Box<Command> },
    Fault,
    Stall { m: usize, length: u64 },
    Elect { m: Option<usize> },
    StepDown { m: usize },
    Up { m: usize },
    PeerAsks { m: usize, from: usize, frame: Vec<u8>, answer: peers::Answer },
    PeerAnswers { m: usize, result: Box<Result<Vec<u8>, Unreached>>, answer: peers::Answer },
    Look,
}

struct Item {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Item) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// How the network treats messages, in parts of a thousand or a hundred.
pub(crate) struct Network {
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) late: u64,
    pub(crate) slow: u64,
    pub(crate) slow_until: u64,
}

pub(crate) struct World {
    seed: u64,
    pub(crate) now: u64,
    pub(crate) truth: Arc<AtomicU64>,
    pub(crate) chance: Chance,
    queue: BinaryHeap<Reverse<Item>>,
    queued: u64,
    /// When faults stop.
    pub(crate) calm: u64,
    pub(crate) end: u64,
    /// Most milliseconds between two acts of a caller, and between two faults.
    pub(crate) pace: u64,
    pub(crate) peace: u64,
    pub(crate) keys: usize,
    pub(crate) words: Words,
    pub(crate) network: Network,
    pub(crate) log: log::Shared,
    pub(crate) log_stalled_until: u64,
    pub(crate) last_commit: u64,
    /// What the log makes, for the invariants.
    pub(crate) table: Table,
    pub(crate) snapshot: Option<(usize, Vec<Vec<u8>>)>,
    pub(crate) members: Vec<Member>,
    pub(crate) waiting_barriers: Vec<Vec<Promise<bool>>>,
    pub(crate) ask_last: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) effects: Vec<Effect>,
    trouble: Trouble,
    pub(crate) invariants: Invariants,
    broken: Option<Violation>,
    ran: Ran,
    trace: Trace,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Trace) -> World {
        let mut chance = Chance::new(seed);
        let members = chance.pick(&[1, 1, 2, 3]);
        let calm = chance.millis(800, 3_000);
        let faulty = chance.one_in(2);
        let mut world = World {
            seed,
            now: 0,
            truth: Arc::default(),
            queue: BinaryHeap::new(),
            queued: 0,
            calm,
            end: calm + chance.millis(1_000, 1_800),
            pace: chance.pick(&[200, 500, 900]),
            peace: chance.pick(&[400, 1_200, 2_500]),
            keys: chance.pick(&[1, 1, 2, 3]),
            words: Words::new(),
            network: Network {
                lost: if faulty { chance.below(30) } else { 0 },
                twice: if faulty { chance.below(30) } else { 0 },
                late: if faulty { chance.below(10) } else { 0 },
                slow: 0,
                slow_until: 0,
            },
            log: log::new(members),
            log_stalled_until: 0,
            last_commit: 0,
            table: Table::default(),
            snapshot: None,
            members: Vec::new(),
            waiting_barriers: (0..members).map(|_| Vec::new()).collect(),
            ask_last: 0,
            clients: Vec::new(),
            effects: Vec::new(),
            trouble: Trouble::default(),
            invariants: Invariants::default(),
            broken: None,
            ran: Ran::default(),
            trace,
            chance,
        };
        world.table = world.first_table();
        world.begin(members);
        world
    }

    fn begin(&mut self, members: usize) {
        for m in 0..members {
            let rate = Rate::any(&mut self.chance);
            let member = Member {
                leader: None,
                rate,
                applied: 0,
                wake: (0, 0),
                stalled_until: 0,
                asks: Default::default(),
                outbox: Default::default(),
                serving: Vec::new(),
                takes_out: false,
                sees: usize::MAX,
            };
            self.members.push(member);
            let table = self.first_table();
            self.begin_member(m, table);
        }
        for c in 0..self.chance.between(2, 4) as usize {
            let client = self.new_client(c);
            self.clients.push(client);
            let after = self.chance.millis(0, 300);
            self.after(after, Event::Caller { c });
        }
        self.elect(None);
        let first = self.chance.millis(100, 1_500);
        self.after(first, Event::Fault);
        let first = self.chance.millis(100, 900);
        self.after(first, Event::Operator);
        self.after(50 * MILLI, Event::Look);
    }

    /// The table that every log begins with: short ttls are allowed.
    pub(crate) fn first_table(&self) -> Table {
        let mut table = Table::new(0);
        let settings = NamespaceSettings { ttl_min: lease::TTL_MIN, ..NamespaceSettings::default() };
        let change = Change::Namespace(self.words.namespace.clone(), Some(settings));
        let command = Command::Set { version: 0, changes: vec![change] };
        let requests = vec![Request { not_after: None, command }];
        table.apply(0, &Batch { term: 0, stamp: Time::ZERO, sweep: 0, requests });
        table
    }

    pub(crate) fn run(mut self) -> (Ran, Result<(), Violation>) {
        while let Some(Reverse(Item { at, event, .. })) = self.queue.pop() {
            if at > self.end || self.broken.is_some() {
                break;
            }
            self.now = at;
            self.truth.store(at, Ordering::Relaxed);
            self.ran.events += 1;
            self.happen(event);
        }
        if self.broken.is_none() {
            self.look_back();
        }
        let broken = self.broken.take();
        if let Some(violation) = &broken {
            self.say(format!("VIOLATION {violation}"));
        }
        (self.ran, broken.map_or(Ok(()), Err))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step { m, number } => self.step(m, number),
            Event::Commit { index, term } => self.commit(index, term),
            Event::Apply { m } => self.apply(m),
            Event::Barrier { m, term, index, promise } => self.barrier(m, term, index, promise),
            Event::Timeout { m, id } => self.timeout(m, id),
            Event::Arrives { c, link, m, frame, sent } => self.arrives(c, link, m, *frame, sent),
            Event::Answers { c, link, frame } => {
                if self.clients[c].links.contains_key(&link) {
                    self.input(c, Input::Answer { link, frame: *frame });
                }
            }
            Event::Link { c, input } => self.link(c, *input),
            Event::Gone { c, link, m } => self.gone(c, link, m),
            Event::Input { c, input } => self.input(c, *input),
            Event::Wake { c, number } => self.wake_client(c, number),
            Event::Resume { c } => self.resume(c),
            Event::Caller { c } => self.caller(c),
            Event::Rush { c } => self.act(c),
            Event::Hand { c, key, token } => self.hand(c, key, token),
            Event::Operator => self.operator(),
            Event::Operates { key, command } => self.operates(key, *command),
            Event::Fault => self.fault(),
            Event::Stall { m, length } => self.stall(m, length),
            Event::Elect { m } => self.elect(m),
            Event::StepDown { m } => self.step_down(m),
            Event::Up { m } => self.come_up(m),
            Event::PeerAsks { m, from, frame, answer } => self.peer_asks(m, from, &frame, answer),
            Event::PeerAnswers { m, result, answer } => self.peer_answers(m, *result, &answer),
            Event::Look => self.look(),
        }
    }

    pub(crate) fn after(&mut self, nanos: u64, event: Event) {
        self.at(self.now + nanos, event);
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse(Item { at: at.max(self.now), number: self.queued, event }));
    }

    pub(crate) fn tracing(&self) -> bool {
        self.trace == Trace::Kept
    }

    pub(crate) fn say(&mut self, line: String) {
        if self.tracing() {
            let _ = writeln!(self.ran.trace, "{} {line}", Shown(self.now));
        }
    }

    pub(crate) fn judge(&mut self, invariant: &'static str, kept: Kept) {
        if let Err(what) = kept {
            let (seed, at) = (self.seed, self.now);
            self.broken.get_or_insert(Violation { seed, at, invariant, what });
        }
    }

    /// The cluster is in trouble until then, and busy with it for a while after.
    pub(crate) fn trouble(&mut self, until: u64) {
        self.trouble.lasts(self.now, until);
    }

    pub(crate) fn troubled(&self) -> u64 {
        self.trouble.so_far(self.now)
    }

    fn look(&mut self) {
        self.after(50 * MILLI, Event::Look);
        let leader = self.log.get().leader;
        let healthy = self.now > self.trouble.until();
        for key in 0..self.keys {
            let free = healthy && self.table.is_free(&self.words.keys[key]);
            let line = match &self.members[leader].leader {
                Some(leader) if free => leader.line(&self.words.keys[key]),
                _ => Vec::new(),
            };
            let in_line = line.iter().any(|waiter| waiter.live);
            let waiting = free && self.is_waited_for(leader, key);
            for (invariant, kept) in
                self.invariants.look(key, [in_line, waiting], self.now, self.trouble.until())
            {
                self.judge(invariant, kept);
            }
        }
        let kept = self.invariants.on_time.look(self.now, self.troubled());
        self.judge("late within the bound", kept);
        for m in 0..self.members.len() {
            let runs =
                self.members[m].leader.is_some() && self.members[m].stalled_until + 200 * MILLI < self.now;
            if let Some(what) = self.overdue(m).filter(|_| runs) {
                self.judge("every ask is answered", Err(what));
            }
        }
        for c in 0..self.clients.len() {
            if self.clients[c].paused_until + 50 * MILLI < self.now {
                let kept = self.invariants.ends_once.look(c, self.now);
                self.judge("every call ends exactly once", kept);
            }
        }
    }

    /// At the end: the table is sound, and the log makes it anew.
    fn look_back(&mut self) {
        let kept = self.table.check();
        self.judge("the table's own", kept);
        if self.seed.is_multiple_of(4) {
            let committed = self.log.get().committed;
            let again = self.replay(committed);
            let kept = same_bytes(&again, &self.table, "what a restart reads");
            self.judge("nothing acknowledged is forgotten", kept);
        }
        debug_assert!(self.end < 60 * SECOND, "seeds are short");
    }
}
