//! The machine against a model cluster that loses, delays, repeats nothing and lies never: random schedules of calls,
//! answers, lost links and slow ones, from one seed each.
//!
//! Checked at every step: belief implies the model's grant, and none outlives its release; an acquire that ends as a
//! definite no has nothing then. At the end: no other call ended as a definite no of which an attempt was applied; and
//! nothing is left in the cluster under the session's instance that the session does not know of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::{Call, Code, Problem, Reply, ServerFrame};
use proptest::prelude::*;

use super::cluster::{Cluster, RIVAL};
use super::rig::INSTANCE;
use crate::backoff::Chance;
use crate::machine::part::{Part, parts};
use crate::machine::{Config, Done, Effect, End, Input, LinkId, Machine, OpId};
use crate::{Failure, Instant};
use line::Place;

mod caller;
mod line;

const _: () = assert!(RIVAL != INSTANCE, "the rival is another");
const NAMES: [&str; 2] = ["a", "b"];
/// When callers stop asking and faults stop happening.
const CALM: Instant = Instant::from_millis(60_000);
const LAST: Instant = Instant::from_millis(180_000);

#[derive(Clone, Debug)]
enum Event {
    Connected {
        link: LinkId,
    },
    Refused {
        link: LinkId,
    },
    Cut {
        link: LinkId,
    },
    /// A frame reaches the member.
    Arrives {
        link: LinkId,
        frame: api::ClientFrame,
    },
    /// The cluster decides it.
    Decided {
        link: LinkId,
        frame: api::ClientFrame,
        not_after: Instant,
    },
    Answered {
        link: LinkId,
        frame: ServerFrame,
    },
    /// The member hears that a link is gone, or that an acquire is cancelled: its place in line goes.
    Gone {
        link: LinkId,
        frame: Option<u64>,
    },
    /// The time of a place in line is over.
    StillHeld {
        link: LinkId,
        frame: u64,
    },
    Caller,
    Rival,
    Wake,
}

struct World {
    now: Instant,
    chance: Chance,
    machine: Machine,
    cluster: Cluster,
    queue: BTreeMap<(Instant, u64), Event>,
    queued: u64,
    open: BTreeSet<LinkId>,
    op_last: u64,
    /// Which call each frame was an attempt of.
    attempts: BTreeMap<u64, OpId>,
    /// The calls of which the cluster has applied an attempt, each with its step, and the token that a claim won.
    applied: BTreeMap<(OpId, usize), Option<u64>>,
    results: BTreeMap<OpId, Result<Done, Failure>>,
    pending: BTreeSet<OpId>,
    /// Who is in line for each lease: this session, by its newest acquire.
    line: BTreeMap<String, Place>,
    /// Frames that the member was told to give up.
    given_up: BTreeSet<u64>,
    /// The acquires: what for, and the last token that there was before each.
    acquires: BTreeMap<OpId, (String, u64)>,
    tokens: BTreeMap<&'static str, u64>,
    /// Tokens that callers were told of.
    told: BTreeSet<u64>,
    /// Tokens whose release was sent, or is to be.
    gone: BTreeSet<u64>,
}

impl World {
    fn new(seed: u64, endpoints: usize) -> World {
        let endpoints = (0..endpoints).map(|n| format!("m{n}")).collect();
        let config = Config {
            endpoints,
            home_after: Duration::from_millis(300 + seed % 5_000),
            instance: INSTANCE,
            seed,
            agent: None,
        };
        let mut world = World {
            now: Instant::ZERO,
            chance: Chance::new(!seed),
            machine: Machine::new(config),
            cluster: Cluster::default(),
            queue: BTreeMap::new(),
            queued: 0,
            open: BTreeSet::new(),
            op_last: 0,
            attempts: BTreeMap::new(),
            applied: BTreeMap::new(),
            results: BTreeMap::new(),
            pending: BTreeSet::new(),
            line: BTreeMap::new(),
            given_up: BTreeSet::new(),
            acquires: BTreeMap::new(),
            tokens: BTreeMap::new(),
            told: BTreeSet::new(),
            gone: BTreeSet::new(),
        };
        world.soon(10, Event::Caller);
        world.soon(10, Event::Rival);
        world
    }

    fn below(&mut self, n: u64) -> u64 {
        let nanos = self.chance.up_to(Duration::from_nanos(n * 1_000_000)).as_nanos();
        u64::try_from(nanos / 1_000_000).unwrap_or(0).min(n - 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.now < CALM && self.below(n) == 0
    }

    fn soon(&mut self, within_ms: u64, event: Event) {
        let after = self.chance.up_to(Duration::from_millis(within_ms));
        self.queued += 1;
        self.queue.insert((self.now.after(after), self.queued), event);
    }

    fn run(&mut self) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > LAST {
                break;
            }
            self.now = self.now.max(at);
            self.happen(event);
            self.serve_line();
            self.check_beliefs();
        }
        self.check_end();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connected { link } => {
                self.open.insert(link);
                self.input(Input::Opened { link });
            }
            Event::Refused { link } => self.input(Input::Lost { link, cause: "refused".to_owned() }),
            Event::Cut { link } => {
                if self.open.remove(&link) {
                    self.soon(1_000, Event::Gone { link, frame: None });
                    self.input(Input::Lost { link, cause: "cut".to_owned() });
                }
            }
            Event::Arrives { link, frame } => self.arrives(link, frame),
            Event::Decided { link, frame, not_after } => self.decided(link, frame, not_after),
            Event::Answered { link, frame } => {
                if self.open.contains(&link) {
                    self.input(Input::Answer { link, frame });
                }
            }
            Event::Gone { link, frame } => self.gone(link, frame),
            Event::StillHeld { link, frame } => self.still_held(link, frame),
            Event::Caller => self.caller(),
            Event::Rival => self.rival(),
            Event::Wake => self.input(Input::Wake),
        }
    }

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.machine.step(self.now, input, &mut effects);
        for effect in effects {
            self.effect(effect);
        }
        if let Some(at) = self.machine.next_wake() {
            assert!(at > self.now, "the machine wants to be woken in the past");
            self.queued += 1;
            self.queue.insert((at, self.queued), Event::Wake);
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Open { link, .. } => {
                let refused = self.one_in(3);
                self.soon(300, if refused { Event::Refused { link } } else { Event::Connected { link } });
                if self.one_in(2) {
                    self.soon(20_000, Event::Cut { link });
                }
            }
            Effect::Send { link, frame } => {
                self.note_releases(&frame.call);
                if let Some((op, _)) = self.machine.frames.get(&frame.id) {
                    self.attempts.insert(frame.id, *op);
                }
                // A frame in a socket's buffer may die with its link, or arrive after it.
                let lost = self.one_in(8) && !matches!(frame.call, Call::Cancel(_));
                if !lost {
                    // Up to the second that `not_after` has in hand: a slower network can beat the look, and then the
                    // grant's ttl ends what nobody found.
                    let slow = if self.one_in(4) { 900 } else { 50 };
                    self.soon(slow, Event::Arrives { link, frame });
                }
            }
            Effect::Ping { link } => {
                if self.open.contains(&link) {
                    self.input(Input::Heard { link });
                }
            }
            Effect::Close { link } => {
                self.open.remove(&link);
                self.soon(1_000, Event::Gone { link, frame: None });
            }
            Effect::Done { op, result } => {
                assert!(self.pending.remove(&op), "call {} had two outcomes, or none was wanted", op.0);
                self.note_tokens(&result);
                // A claim that was answered with a tenure which the session was letting go has won nothing.
                let gone = &self.gone;
                self.applied
                    .retain(|(of, _), won| *of != op || !won.is_some_and(|token| gone.contains(&token)));
                self.check_acquire(op, &result);
                self.results.insert(op, result);
            }
            Effect::Held { token, .. } => assert!(!self.gone.contains(&token), "token {token} came back"),
            Effect::Over { token, why: End::LetGo } => {
                self.gone.insert(token);
            }
            Effect::Doomed { .. } | Effect::Over { .. } | Effect::Wake(_) => {}
            Effect::Events { .. } | Effect::WatchOver { .. } => unreachable!("nobody watches"),
        }
    }

    fn note_releases(&mut self, call: &Call) {
        for part in parts(call) {
            if let Part::Release(release) = part {
                self.gone.insert(release.token);
            }
        }
    }

    fn note_tokens(&mut self, result: &Result<Done, Failure>) {
        match result {
            Ok(Done::Granted { grant, safe_until }) => {
                let deadline = self.cluster.deadline(&grant.name, grant.token);
                let safe_until = safe_until.filter(|until| *until > self.now);
                assert!(safe_until <= deadline, "token {}: told {safe_until:?} of {deadline:?}", grant.token);
                let name = NAMES.into_iter().find(|name| *name == grant.name);
                self.told.insert(grant.token);
                self.tokens.extend(name.map(|name| (name, grant.token)));
            }
            Ok(Done::Bulk(parts)) => parts.iter().for_each(|part| self.note_tokens(part)),
            _ => {}
        }
    }

    fn arrives(&mut self, link: LinkId, frame: api::ClientFrame) {
        if let Call::Cancel(cancel) = &frame.call {
            self.soon(20, Event::Gone { link, frame: Some(cancel.id) });
            return;
        }
        let deadline = |part: Part<'_>| match part {
            Part::Claim(claim) => claim.deadline_ms,
            Part::Extend(extend) => extend.deadline_ms,
            Part::Release(release) => release.deadline_ms,
            _ => None,
        };
        let deadline_ms = parts(&frame.call).filter_map(deadline).min();
        let not_after = self.now.after(Duration::from_millis(500 + deadline_ms.unwrap_or(5_000)));
        let codes = [Code::Overloaded, Code::NoLeader, Code::Behind, Code::Stopping, Code::Late];
        if self.one_in(6) {
            let code = codes[usize::try_from(self.below(5)).unwrap_or(0)];
            self.reply(link, frame.id, Reply::Error(Problem::new(code, "surely not done")));
            return;
        }
        let slow = if self.one_in(6) { 4_000 } else { 20 };
        self.soon(slow, Event::Decided { link, frame, not_after });
    }

    fn decided(&mut self, link: LinkId, frame: api::ClientFrame, not_after: Instant) {
        let forgetful = self.one_in(3);
        let (reply, applied) = self.cluster.decide(self.now, not_after, &frame.call, forgetful);
        if let (Call::Acquire(acquire), true) = (&frame.call, is_held(&reply)) {
            self.line_up(link, frame.id, acquire.clone());
            return;
        }
        if let Some(op) = self.attempts.get(&frame.id) {
            let won = applied.into_iter().map(|step| ((*op, step), won(&frame.call, &reply, step)));
            self.applied.extend(won);
        }
        let forgotten = self.one_in(8);
        let shrug = Reply::Error(Problem::new(Code::Unknown, "the leader is gone"));
        self.reply(link, frame.id, if forgotten { shrug } else { reply });
    }

    fn reply(&mut self, link: LinkId, id: u64, reply: Reply) {
        let slow = if self.one_in(8) { 6_000 } else { 50 };
        self.soon(slow, Event::Answered { link, frame: ServerFrame::reply(id, reply) });
    }

    fn check_beliefs(&self) {
        for name in NAMES {
            let Some(belief) = self.machine.keys.iter().find_map(|(key, known)| {
                known.held().filter(|belief| key.name() == name && belief.is_held(self.now))
            }) else {
                continue;
            };
            let token = belief.token();
            assert!(!self.gone.contains(&token), "{}: {name} is believed after its release", self.now);
            let holds = self.cluster.holds(self.now, name, INSTANCE);
            assert_eq!(holds, Some(token), "{}: {name} is believed under {token}", self.now);
        }
    }

    fn check_end(&self) {
        assert!(self.pending.is_empty(), "calls without an outcome: {:?}", self.pending);
        for (op, result) in &self.results {
            self.check_no(*op, 0, result);
            if let Ok(Done::Bulk(parts)) = result {
                for (step, part) in parts.iter().enumerate() {
                    self.check_no(*op, step, part);
                }
            }
        }
        for name in NAMES {
            let Some(token) = self.cluster.holds(self.now, name, INSTANCE) else { continue };
            // What its caller was told of and never released is the caller's to extend, or to let lapse.
            let known = self.told.contains(&token) && !self.gone.contains(&token);
            assert!(known, "{name} is held under {token}, and nobody knows");
        }
    }

    fn check_no(&self, op: OpId, step: usize, result: &Result<Done, Failure>) {
        let acquire = self.acquires.contains_key(&op);
        if matches!(result, Err(Failure::Refused(_) | Failure::Unavailable(_))) && !acquire {
            assert!(
                !self.applied.contains_key(&(op, step)),
                "call {} was applied, and ended as {result:?}",
                op.0
            );
        }
    }
}

fn is_held(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(problem) if problem.code == Code::Held)
}

/// The token that step `at` of a call won, where it is a claim.
fn won(call: &Call, reply: &Reply, at: usize) -> Option<u64> {
    match (call, reply) {
        (Call::Claim(_) | Call::Acquire(_), Reply::Granted(grant)) => Some(grant.token),
        (Call::Bulk(steps), Reply::Bulk(replies)) => match (&steps[at], &replies[at]) {
            (api::Step::Claim(_), Reply::Granted(grant)) => Some(grant.token),
            _ => None,
        },
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn belief_is_never_wrong_and_no_is_never_said_of_what_was_done(seed: u64, endpoints in 1_usize..4) {
        World::new(seed, endpoints).run();
    }
}
