//! A machine with a hand on its clock and its wires.

use std::time::Duration;

use api::{Call, Code, End as ApiEnd, Problem, Reply, ServerFrame};

use crate::machine::{Ask, Config, Done, Effect, End, Input, LinkId, Machine, OpId};
use crate::{Failure, Instant, Unavailable};

pub(super) const INSTANCE: u64 = 77;
pub(super) const HOME_AFTER: Duration = Duration::from_secs(30);

/// Times are milliseconds since the machine was made.
pub(super) struct Rig {
    pub(super) machine: Machine,
    now: Instant,
    seen: Vec<Effect>,
    op_last: u64,
}

impl Rig {
    pub(super) fn new(endpoints: usize) -> Rig {
        let endpoints = (0..endpoints).map(|n| format!("m{n}:7400")).collect();
        let config = Config { endpoints, home_after: HOME_AFTER, instance: INSTANCE, seed: 1, agent: None };
        Rig { machine: Machine::new(config), now: Instant::ZERO, seen: Vec::new(), op_last: 0 }
    }

    /// A machine whose first link is open, at 0 ms.
    pub(super) fn connected(endpoints: usize) -> Rig {
        let mut rig = Rig::new(endpoints);
        rig.ask_ready();
        let link = rig.opening();
        rig.input(Input::Opened { link });
        rig.seen.clear();
        rig
    }

    /// Lets time pass, waking the machine whenever it asked for it.
    pub(super) fn at(&mut self, ms: u64) -> &mut Rig {
        let to = Instant::from_millis(ms);
        assert!(to >= self.now, "time does not run back");
        while let Some(wake) = self.machine.next_wake().filter(|wake| *wake <= to) {
            self.now = self.now.max(wake);
            self.input(Input::Wake);
            assert!(self.machine.next_wake() != Some(wake), "the machine asks for the same time again");
        }
        self.now = to;
        self
    }

    pub(super) fn input(&mut self, input: Input) {
        self.machine.step(self.now, input, &mut self.seen);
    }

    pub(super) fn ask(&mut self, call: Call, within_ms: u64) -> OpId {
        self.op_last += 1;
        let op = OpId(self.op_last);
        let ends = Some(self.now.after(Duration::from_millis(within_ms)));
        self.input(Input::Ask { op, ask: Ask::Call(call), ends });
        op
    }

    pub(super) fn ask_ready(&mut self) -> OpId {
        self.op_last += 1;
        let op = OpId(self.op_last);
        let ends = Some(self.now.after(Duration::from_secs(60)));
        self.input(Input::Ask { op, ask: Ask::Ready, ends });
        op
    }

    pub(super) fn answer(&mut self, link: u64, frame: u64, reply: Reply) {
        self.input(Input::Answer { link: LinkId(link), frame: ServerFrame::reply(frame, reply) });
    }

    /// A watch's push.
    pub(super) fn push(&mut self, link: u64, frame: u64, revisions: impl IntoIterator<Item = u64>) {
        let events = api::Events { id: frame, events: revisions.into_iter().map(event).collect() };
        let frame = ServerFrame::push(api::Push::Events(events));
        self.input(Input::Answer { link: LinkId(link), frame });
    }

    /// The revisions that a watch was told of, in order.
    pub(super) fn told(&self, op: OpId) -> Vec<u64> {
        let events = self.seen.iter().filter_map(|effect| match effect {
            Effect::Events { op: of, events } if *of == op => Some(events.iter().map(|event| event.revision)),
            _ => None,
        });
        events.flatten().collect()
    }

    pub(super) fn watch_over(&self, op: OpId) -> Option<Failure> {
        self.seen.iter().find_map(|effect| match effect {
            Effect::WatchOver { op: over, failure } if *over == op => Some(failure.clone()),
            _ => None,
        })
    }

    pub(super) fn lose(&mut self, link: u64) {
        self.input(Input::Lost { link: LinkId(link), cause: "cut".to_owned() });
    }

    /// The link that was asked for last.
    pub(super) fn opening(&mut self) -> LinkId {
        let opened = self.seen.iter().rev().find_map(|effect| match effect {
            Effect::Open { link, .. } => Some(*link),
            _ => None,
        });
        opened.unwrap_or_else(|| panic!("no link was asked for: {:?}", self.seen))
    }

    /// The frames sent since the last look, as (link, number, call).
    pub(super) fn sent(&mut self) -> Vec<(u64, u64, Call)> {
        let sent = self.seen.iter().filter_map(|effect| match effect {
            Effect::Send { link, frame } => Some((link.0, frame.id, frame.call.clone())),
            _ => None,
        });
        let sent = sent.collect();
        self.seen.retain(|effect| !matches!(effect, Effect::Send { .. }));
        sent
    }

    pub(super) fn sent_one(&mut self) -> (u64, u64, Call) {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// The endpoints asked to be opened since the last look.
    pub(super) fn opens(&mut self) -> Vec<(LinkId, usize)> {
        let opens = self.seen.iter().filter_map(|effect| match effect {
            Effect::Open { link, endpoint } => Some((*link, *endpoint)),
            _ => None,
        });
        let opens = opens.collect();
        self.seen.retain(|effect| !matches!(effect, Effect::Open { .. }));
        opens
    }

    pub(super) fn saw(&self, wanted: &Effect) -> bool {
        self.seen.contains(wanted)
    }

    pub(super) fn saw_any(&self, wanted: impl Fn(&Effect) -> bool) -> bool {
        self.seen.iter().any(wanted)
    }

    /// A link opens, in place of one that was lost.
    pub(super) fn reopen(&mut self) {
        let link = self.opening();
        self.input(Input::Opened { link });
        self.opens();
    }

    /// Until when its caller may believe in what a call was granted, as milliseconds.
    pub(super) fn granted_until(&self, op: OpId) -> Option<u64> {
        let Some(Ok(Done::Granted { safe_until, .. })) = self.result(op) else { return None };
        safe_until.map(|until| until.as_nanos() / 1_000_000)
    }

    /// The outcome of a call, if it has one.
    pub(super) fn result(&self, op: OpId) -> Option<Result<Done, Failure>> {
        let mut results = self.seen.iter().filter_map(|effect| match effect {
            Effect::Done { op: done, result } if *done == op => Some(result.clone()),
            _ => None,
        });
        let result = results.next();
        assert!(results.next().is_none(), "call {} had two outcomes", op.0);
        result
    }

    pub(super) fn failure(&self, op: OpId) -> Failure {
        match self.result(op) {
            Some(Err(failure)) => failure,
            other => panic!("call {} has no failure: {other:?}", op.0),
        }
    }

    pub(super) fn is_unknown(&self, op: OpId) -> bool {
        matches!(self.result(op), Some(Err(Failure::Unknown(_))))
    }

    pub(super) fn unavailable(&self, op: OpId) -> Unavailable {
        match self.failure(op) {
            Failure::Unavailable(cause) => cause,
            other => panic!("call {} is not unavailable: {other}", op.0),
        }
    }

    /// Whether lease `a` is held now.
    pub(super) fn is_held(&self) -> bool {
        self.machine.is_held("default", "a", self.now)
    }

    pub(super) fn over(&self, token: u64) -> Option<End> {
        self.seen.iter().find_map(|effect| match effect {
            Effect::Over { token: over, why } if *over == token => Some(why.clone()),
            _ => None,
        })
    }

    /// Claims lease `a` for 12 s at once, wins `token`, and forgets what was seen on the way.
    pub(super) fn won(&mut self, token: u64) {
        let op = self.ask(claim(12_000), 5_000);
        let (link, frame, _) = self.sent_one();
        self.answer(link, frame, granted(token, 12_000));
        assert!(matches!(self.result(op), Some(Ok(Done::Granted { .. }))));
        self.seen.clear();
    }
}

pub(super) fn claim(ttl_ms: u64) -> Call {
    Call::Claim(api::Claim {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        holder: "h".to_owned(),
        ttl_ms: Some(ttl_ms),
        ..api::Claim::default()
    })
}

pub(super) fn extend(token: u64) -> Call {
    Call::Extend(api::Extend {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        token,
        instance: Some(INSTANCE),
        ttl_ms: Some(12_000),
        deadline_ms: None,
    })
}

pub(super) fn release(token: u64) -> Call {
    let (namespace, name) = ("default".to_owned(), "a".to_owned());
    Call::Release(api::Release { namespace, name, token, instance: Some(INSTANCE), deadline_ms: None })
}

/// For 12 s, in line for at most a minute.
pub(super) fn acquire(value: Option<&str>) -> Call {
    Call::Acquire(api::Acquire {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        holder: "h".to_owned(),
        ttl_ms: Some(12_000),
        value: value.map(str::to_owned),
        timeout_ms: Some(60_000),
        ..api::Acquire::default()
    })
}

pub(super) fn transfer(token: u64) -> Call {
    Call::Transfer(api::Transfer {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        token,
        instance: INSTANCE,
        to: "other".to_owned(),
        ..api::Transfer::default()
    })
}

pub(super) fn watch(after: Option<u64>) -> Call {
    Call::Watch(api::Watch { namespace: "default".to_owned(), after, ..api::Watch::default() })
}

pub(super) fn event(revision: u64) -> api::Event {
    let (namespace, name) = ("default".to_owned(), "a".to_owned());
    let what = api::What::Confirmed(api::EventToken { token: revision });
    api::Event { revision, namespace, name, what }
}

pub(super) fn wait() -> Call {
    Call::Wait(api::Wait {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        after: Some(3),
        timeout_ms: None,
    })
}

/// The hold of 12 s is 11,762 ms.
pub(super) fn granted(token: u64, ttl_ms: u64) -> Reply {
    Reply::Granted(api::Grant {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        token,
        ttl_ms,
        hold_ms: ttl_ms * 990 / 1_010,
        extend_after_ms: ttl_ms / 3,
        confirmed: true,
    })
}

/// As an acquire is answered that waited in line: to be confirmed within 2 s.
pub(super) fn unconfirmed(token: u64) -> Reply {
    let Reply::Granted(grant) = granted(token, 12_000) else { panic!() };
    Reply::Granted(api::Grant { confirmed: false, hold_ms: 1_960, extend_after_ms: 0, ..grant })
}

pub(super) fn released(token: u64) -> Reply {
    Reply::Released(api::Released { token })
}

pub(super) fn no(code: Code) -> Reply {
    Reply::Error(Problem::new(code, "as the test says"))
}

pub(super) fn no_after(code: Code, retry_after_ms: u64) -> Reply {
    Reply::Error(Problem::new(code, "as the test says").retry_after_ms(retry_after_ms))
}

pub(super) fn lost_since(token: u64, why: &str, ago_ms: u64) -> Reply {
    let mut problem = Problem::new(Code::Lost, "as the test says");
    let (holder, why) = ("h".to_owned(), why.to_owned());
    problem.end = Some(Box::new(ApiEnd { token, holder, why, reason: None, ago_ms, remained_ms: 0 }));
    Reply::Error(problem)
}

pub(super) fn lease(held: Option<(u64, &str)>) -> Reply {
    let held = held.map(|(token, holder)| api::Held {
        holder: holder.to_owned(),
        token,
        ttl_ms: 12_000,
        remaining_ms: 1_000,
        confirmed: true,
        ending: None,
        ending_heir: None,
        value: None,
    });
    Reply::Lease(Box::new(api::Lease {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
        held,
        cooldown: None,
        pins: Vec::new(),
        last_end: None,
        revision: 9,
        stale: None,
    }))
}
