//! A call's life: prepared, sent, given up and sent elsewhere, or rested and sent again, until it has an outcome or its
//! time is over.
//!
//! ```text
//!     ask ──▶ unsent ──send──▶ flying ──answered──▶ outcome
//!               ▲  ▲             │ │
//!               │  └──given up───┘ └─surely not done─▶ resting
//!               └────────────────────────────────────────┘
//! ```
//!
//! An acquire has one stage more, *confirming*: see `acquire`.

use std::sync::Arc;
use std::time::Duration;

use api::Call;

use super::keys::{KeyName, Names};
use super::timed::{ACQUIRE_DEADLINE, not_after, timed};
use super::{Ask, Done, Effect, LinkId, Machine, OpId, Timer};
use crate::{Failure, Instant, Unavailable, Unknown};

/// The longest that an attempt waits before the call is sent through another endpoint.
const PATIENCE_MAX: Duration = Duration::from_secs(2);

/// An acquire may take effect as long as it stands: what it may do after that is set when it is cancelled.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

#[derive(Debug)]
pub(super) struct Op {
    /// Shared with whoever looks at an answer to it.
    pub(super) ask: Arc<Ask>,
    /// The leases that its parts are about, in their order.
    pub(super) names: Names,
    pub(super) purpose: Purpose,
    pub(super) began: Instant,
    pub(super) ends: Option<Instant>,
    /// The shortest ttl that the call is about.
    pub(super) ttl: Option<Duration>,
    /// Those that left and have no answer that settles them.
    pub(super) attempts: Vec<Attempt>,
    /// How many more left that were never answered, and can take effect no more: the next answer that tells of the lease tells
    /// of what they won.
    pub(super) settled: usize,
    pub(super) stage: Stage,
    /// Not through this link.
    pub(super) avoid: Option<LinkId>,
    /// Answers so far that called for another try.
    pub(super) tries: u32,
    pub(super) last: Option<api::Problem>,
    pub(super) let_go: Option<u64>,
    pub(super) abandoned: bool,
    /// It is a watch whose caller knows that it has begun.
    pub(super) watching: bool,
}

/// For whom a call is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Caller,
    /// To keep a grant alive.
    Keep(KeyName),
    /// To see whether an attempt won what nobody knows of.
    Look(KeyName),
    /// To release what nobody wants.
    Clean(KeyName),
    /// To learn why an operator took this token's grant away.
    Why(KeyName, u64),
    /// To confirm what an acquire was granted, which stands for no longer than this unless it is confirmed.
    Confirm {
        acquire: OpId,
        window: Duration,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) frame: u64,
    pub(super) sent_at: Instant,
    /// When it can surely take no effect any more.
    pub(super) not_after: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Unsent,
    Flying {
        frame: u64,
        link: LinkId,
        give_up_at: Option<Instant>,
    },
    Resting {
        until: Instant,
    },
    /// An acquire was granted what must be confirmed, and this other call does that.
    Confirming {
        by: OpId,
        token: u64,
    },
}

impl Op {
    pub(super) fn call(&self) -> Option<&Call> {
        match &*self.ask {
            Ask::Call(call) => Some(call),
            Ask::Ready => None,
        }
    }

    /// The lease that it is about, where it is about one.
    pub(super) fn name(&self) -> Option<&KeyName> {
        match self.names.as_slice() {
            [name] => name.as_ref(),
            _ => None,
        }
    }

    /// When the first attempt but `frame` left that was not answered, if any.
    pub(super) fn others_since(&self, frame: u64) -> Option<Instant> {
        self.attempts.iter().filter(|attempt| attempt.frame != frame).map(|attempt| attempt.sent_at).min()
    }

    /// Whether a grant is at stake, so that it may not wait for as long as a server asks.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self.call(), Some(Call::Extend(_))) || matches!(self.purpose, Purpose::Confirm { .. })
    }

    fn patience(&self) -> Option<Duration> {
        match (self.call(), &self.purpose) {
            (Some(Call::Wait(_) | Call::Acquire(_)), _) => None,
            // Time for two, and for a round trip over a continent.
            (_, Purpose::Confirm { window, .. }) => Some(*window / 3),
            _ => Some(self.ttl.map_or(PATIENCE_MAX, |ttl| PATIENCE_MAX.min(ttl / 6))),
        }
    }

    fn due(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Unsent | Stage::Confirming { .. } => None,
            Stage::Flying { give_up_at, .. } => give_up_at,
            Stage::Resting { until } => Some(until),
        };
        [stage, self.ends].into_iter().flatten().min()
    }
}

impl Machine {
    pub(super) fn ask(&mut self, now: Instant, id: OpId, ask: Ask, ends: Option<Instant>) {
        debug_assert!(!self.ops.contains_key(&id), "call {} was asked for twice", id.0);
        if ask == Ask::Ready && self.links.current().is_some() {
            self.out.push(Effect::Done { op: id, result: Ok(Done::Ready) });
            return;
        }
        self.begin(now, id, ask, ends, Purpose::Caller);
    }

    pub(super) fn begin(
        &mut self,
        now: Instant,
        id: OpId,
        ask: Ask,
        ends: Option<Instant>,
        purpose: Purpose,
    ) {
        let (ask, names, ttl) = match ask {
            Ask::Ready => (Ask::Ready, Names::default(), None),
            Ask::Call(mut call) => match self.prepare(now, id, &mut call, &purpose) {
                Ok(names) => {
                    let ttl = match purpose {
                        Purpose::Confirm { window, .. } => Some(window),
                        _ => self.ttl_of(&call, &names),
                    };
                    (Ask::Call(call), names, ttl)
                }
                Err(problem) => {
                    self.out.push(Effect::Done { op: id, result: Err(Failure::Refused(problem)) });
                    return;
                }
            },
        };
        let op = Op {
            ask: Arc::new(ask),
            names,
            purpose,
            began: now,
            ends,
            ttl,
            attempts: Vec::new(),
            settled: 0,
            stage: Stage::Unsent,
            avoid: None,
            tries: 0,
            last: None,
            let_go: None,
            abandoned: false,
            watching: false,
        };
        self.ops.insert(id, Box::new(op));
        self.pump(now, id);
    }

    /// Sends the call if a link will take it; else sees to it that there is one.
    pub(super) fn pump(&mut self, now: Instant, id: OpId) {
        let current = self.links.current();
        let Some(op) = self.ops.get_mut(&id) else { return };
        if *op.ask == Ask::Ready && current.is_some() {
            self.finish_ready(id);
            return;
        }
        match current.filter(|link| op.avoid != Some(*link)) {
            Some(link) => self.send(now, id, link),
            None => {
                op.stage = Stage::Unsent;
                self.seek(now);
            }
        }
        self.arm_op(id);
    }

    /// Sends a call that rests, before its pause is over.
    pub(super) fn pump_rested(&mut self, now: Instant, id: OpId) {
        let stage = self.ops.get(&id).map(|op| op.stage);
        if matches!(stage, Some(Stage::Resting { .. })) {
            self.pump(now, id);
        }
    }

    pub(super) fn pump_all(&mut self, now: Instant) {
        let unsent = self.ops.iter().filter(|(_, op)| op.stage == Stage::Unsent).map(|(id, _)| *id);
        for id in unsent.collect::<Vec<_>>() {
            self.pump(now, id);
        }
    }

    pub(super) fn op_due(&mut self, now: Instant, id: OpId) {
        let Some(op) = self.ops.get(&id) else { return };
        if op.ends.is_some_and(|ends| ends <= now) {
            self.finish_by_time(now, id);
            return;
        }
        match op.stage {
            Stage::Flying { link, give_up_at: Some(at), .. } if at <= now => self.give_up(now, id, link),
            Stage::Resting { until } if until <= now => self.pump(now, id),
            _ => self.arm_op(id),
        }
    }

    pub(super) fn arm_op(&mut self, id: OpId) {
        let due = self.ops.get(&id).and_then(|op| op.due());
        self.timers.set(Timer::Op(id), due);
    }

    /// What waits may stand on the new link at once: a wait or watch, for it has no effect; an acquire, for its newest attempt is
    /// the one that is answered, and keeps the place in line. An answer to the older one still counts.
    pub(super) fn move_waits(&mut self, from: LinkId) {
        for op in self.ops.values_mut() {
            let Stage::Flying { frame, link, .. } = op.stage else { continue };
            if link != from {
                continue;
            }
            match &*op.ask {
                Ask::Call(Call::Acquire(_)) => op.stage = Stage::Unsent,
                Ask::Call(Call::Wait(_) | Call::Watch(_)) => {
                    self.frames.remove(&frame);
                    op.attempts.clear();
                    op.stage = Stage::Unsent;
                }
                _ => {}
            }
        }
    }

    /// Lets the call wait, then sends it again; or ends it now, where its time would be over and no answer is to come.
    pub(super) fn rest(&mut self, now: Instant, id: OpId, pause: Duration) {
        let until = now.after(pause);
        let Some(op) = self.ops.get_mut(&id) else { return };
        if op.attempts.is_empty() && op.ends.is_some_and(|ends| ends <= until) {
            self.finish_by_time(now, id);
            return;
        }
        op.stage = Stage::Resting { until };
        self.arm_op(id);
    }

    fn send(&mut self, now: Instant, id: OpId, link: LinkId) {
        self.settle_old_attempts(now, id);
        let frame = self.next_frame();
        let Some(op) = self.ops.get_mut(&id) else { return };
        let Some(call) = op.call() else { return };
        let ends = match op.purpose {
            // However long its acquire may wait, what is to be confirmed will not.
            Purpose::Confirm { .. } => Some(now.after(ACQUIRE_DEADLINE)),
            _ => op.ends,
        };
        let (call, deadline) = timed(call, now, op.began, ends);
        let not_after = match call {
            Call::Acquire(_) => NEVER,
            _ => not_after(now, deadline),
        };
        if call.has_effect() {
            op.attempts.push(Attempt { frame, sent_at: now, not_after });
        } else {
            op.attempts = vec![Attempt { frame, sent_at: now, not_after }];
        }
        let give_up_at = op.patience().map(|patience| now.after(patience));
        op.stage = Stage::Flying { frame, link, give_up_at };
        self.frames.insert(frame, (id, link));
        self.out.push(Effect::Send { link, frame: api::ClientFrame { id: frame, call } });
    }

    fn give_up(&mut self, now: Instant, id: OpId, link: LinkId) {
        if self.endpoints() > 1 {
            if let Some(op) = self.ops.get_mut(&id) {
                op.stage = Stage::Unsent;
                op.avoid = Some(link);
            }
            self.pump(now, id);
            return;
        }
        let Some(op) = self.ops.get(&id) else { return };
        let patience = op.patience().unwrap_or(PATIENCE_MAX);
        let sent_at = op.attempts.last().map_or(now, |attempt| attempt.sent_at);
        if self.probe(now, link, sent_at, patience) {
            self.pump(now, id);
            return;
        }
        if let Some(Stage::Flying { give_up_at, .. }) = self.ops.get_mut(&id).map(|op| &mut op.stage) {
            *give_up_at = Some(now.after(patience));
        }
        self.arm_op(id);
    }

    /// Nobody waits any more. What has no effect ends here, and so does what the member can be told to give up; the rest
    /// goes on, and what it wins is released.
    pub(super) fn abandon(&mut self, now: Instant, id: OpId) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        op.abandoned = true;
        let goes_on = op.call().is_some_and(|call| call.has_effect() && !is_cancelled(call));
        if goes_on && !op.attempts.is_empty() {
            return;
        }
        self.finish(now, id, Err(Failure::Unavailable(Unavailable::Closed)));
    }

    pub(super) fn finish_ready(&mut self, id: OpId) {
        let result = match self.links.current() {
            Some(_) => Ok(Done::Ready),
            None => Err(Failure::Unavailable(Unavailable::Unreachable(self.tries()))),
        };
        self.ops.remove(&id);
        self.timers.set(Timer::Op(id), None);
        self.out.push(Effect::Done { op: id, result });
    }

    /// The session ends: every call gets the outcome that its attempts allow.
    pub(super) fn close(&mut self) {
        for (id, op) in std::mem::take(&mut self.ops) {
            let failure = match in_doubt(&op) {
                Some(unknown) => Failure::Unknown(unknown),
                None => Failure::Unavailable(Unavailable::Closed),
            };
            self.tell(id, &op, Err(failure));
        }
        self.frames.clear();
        self.timers = super::Timers::default();
    }

    /// Tells a call's outcome to whoever wants it.
    pub(super) fn tell(&mut self, id: OpId, op: &Op, result: Result<Done, Failure>) {
        if op.purpose != Purpose::Caller || op.abandoned {
            return;
        }
        self.out.push(match result {
            Err(failure) if op.watching => Effect::WatchOver { op: id, failure },
            result => Effect::Done { op: id, result },
        });
    }

    fn finish_by_time(&mut self, now: Instant, id: OpId) {
        let Some(op) = self.ops.get(&id) else { return };
        if *op.ask == Ask::Ready {
            self.finish_ready(id);
            return;
        }
        let failure = match in_doubt(op) {
            Some(unknown) => Failure::Unknown(unknown),
            None => Failure::Unavailable(self.why_unavailable(now, op)),
        };
        self.finish(now, id, Err(failure));
    }

    fn why_unavailable(&self, now: Instant, op: &Op) -> Unavailable {
        // A member that answered "no leader" says more than that another could not be reached.
        match (op.let_go, &op.last) {
            (Some(token), _) => Unavailable::LetGo { token },
            (None, Some(problem)) => Unavailable::Answered(problem.clone()),
            // What only reads has left no attempt behind that matters: why there is no link says more.
            (None, None) if self.links.current().is_none() && in_doubt(op).is_none() => {
                Unavailable::Unreachable(self.tries())
            }
            (None, None) => {
                let endpoint = self.config.endpoints[self.links.endpoint()].clone();
                Unavailable::Unanswered { endpoint, waited: op.began.until(now) }
            }
        }
    }
}

/// The doubt left about a call that must end now; `None` if no attempt can have had an effect.
pub(super) fn in_doubt(op: &Op) -> Option<Unknown> {
    // What is being confirmed was granted, and is yet to be released.
    let confirming = matches!(op.stage, Stage::Confirming { .. });
    let unanswered = op.attempts.len() + op.settled + usize::from(confirming);
    let unanswered = u32::try_from(unanswered).unwrap_or(u32::MAX);
    let doubtful = op.call().is_some_and(Call::has_effect) && unanswered > 0;
    doubtful.then(|| Unknown { unanswered, last: op.last.clone() })
}

/// Whether the member is to be told where nobody waits for the answer any more.
pub(super) fn is_cancelled(call: &Call) -> bool {
    matches!(call, Call::Wait(_) | Call::Acquire(_) | Call::Watch(_))
}
