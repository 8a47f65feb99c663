//! What a frame from a member does to the call that it answers.

use std::sync::Arc;

use api::{Call, Code, Kind, Problem, Reply, ServerFrame};

use super::judge::{Verdict, judge};
use super::keys::KeyName;
use super::ops::{Attempt, Stage};
use super::part::{Part, parts};
use super::{Ask, Done, LinkId, Machine, OpId, Timer};
use crate::{Failure, Instant, Unavailable, Unknown, backoff, belief};

impl Machine {
    pub(super) fn answer(&mut self, now: Instant, link: LinkId, frame: ServerFrame) {
        self.links.heard(now, link);
        match frame {
            ServerFrame { push: Some(api::Push::Going(going)), .. } => self.going(now, link, &going),
            ServerFrame { push: Some(api::Push::Events(events)), .. } => self.events(link, events),
            ServerFrame { push: Some(api::Push::Unreadable(problem)), .. } => {
                self.unreadable(now, link, problem)
            }
            ServerFrame { id: Some(frame), reply: Some(reply), .. } => self.reply(now, link, frame, reply),
            _ => self.break_link(now, link, "a frame that is neither reply nor push"),
        }
        self.close_drained();
    }

    fn reply(&mut self, now: Instant, link: LinkId, frame: u64, reply: Reply) {
        // A call that has ended, or the hello's welcome: nobody waits for it.
        let Some((id, _)) = self.frames.remove(&frame) else { return };
        let Some(op) = self.ops.get_mut(&id) else { return };
        let Some(at) = op.attempts.iter().position(|attempt| attempt.frame == frame) else { return };
        if let Stage::Confirming { by, token } = op.stage {
            match &reply {
                // What is being confirmed was gone, and this attempt won anew.
                Reply::Granted(grant) if grant.token > token => {
                    op.stage = Stage::Unsent;
                    self.finish(now, by, Err(Failure::Unavailable(Unavailable::Closed)));
                }
                Reply::Error(problem) if problem.code.kind() == Kind::Unknown => {
                    op.cancelled(now, frame);
                    return;
                }
                // The confirmation under way decides.
                _ => {
                    op.attempts.remove(at);
                    return;
                }
            }
        }
        let Some(op) = self.ops.get_mut(&id) else { return };
        let others_since = op.others_since(frame);
        let ask = Arc::clone(&op.ask);
        let Ask::Call(call) = &*ask else { return };
        if let (Call::Watch(_), Reply::Watching(watching)) = (call, &reply) {
            self.watching(id, link, frame, watching.clone());
            return;
        }
        match judge(Part::from(call), reply, others_since, now) {
            Verdict::Done(reply) => {
                let attempt = op.attempts.remove(at);
                self.done(now, id, &attempt, reply, others_since);
            }
            Verdict::Refused(problem) => {
                let attempt = op.attempts.remove(at);
                self.refused(now, id, &attempt, problem.clone(), Failure::Refused(problem));
            }
            Verdict::Unprovable(problem) if op.may_ask_again(now, &problem) => {
                op.attempts.remove(at);
                self.pump(now, id);
            }
            Verdict::Unprovable(problem) => {
                let attempt = op.attempts.remove(at);
                let unanswered = u32::try_from(op.attempts.len()).unwrap_or(u32::MAX);
                let unknown = Unknown { unanswered, last: Some(problem.clone()) };
                self.refused(now, id, &attempt, problem, Failure::Unknown(unknown));
            }
            Verdict::Again(problem) => {
                op.attempts.remove(at);
                self.again(now, id, frame, link, problem);
            }
            // The attempt stays among the unanswered: the server itself does not know.
            Verdict::Doubt(problem) => {
                op.cancelled(now, frame);
                self.again(now, id, frame, link, problem);
            }
            Verdict::Nonsense => {
                // The attempt left, and its answer cannot be read: strand it with all others on this link.
                self.frames.insert(frame, (id, link));
                self.break_link(now, link, "a reply that does not fit its call");
            }
        }
    }

    fn done(
        &mut self,
        now: Instant,
        id: OpId,
        attempt: &Attempt,
        reply: Reply,
        others_since: Option<Instant>,
    ) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        let ask = Arc::clone(&op.ask);
        let Ask::Call(call) = &*ask else { return };
        // Lent until it is settled: what looks at the parts' answers asks no call for its names.
        let names = std::mem::take(&mut op.names);
        let of_call = names.first().and_then(Option::as_ref);
        let end = match (call, reply) {
            (call, Reply::Granted(grant)) if self.is_let_go(Part::from(call), of_call, &grant) => {
                Answered::LetGo(grant.token)
            }
            (Call::Acquire(_), Reply::Granted(grant))
                if of_call.is_some() && Self::must_confirm(now, attempt, &grant) =>
            {
                Answered::Unconfirmed(grant)
            }
            (Call::Bulk(_), Reply::Bulk(replies)) => {
                let parts = parts(call).zip(&names).zip(replies).map(|((part, name), reply)| {
                    self.part(now, attempt, (part, name.as_ref()), reply, others_since)
                });
                Answered::Done(Done::Bulk(parts.collect()))
            }
            (_, reply) => Answered::Done(self.believe(now, attempt, of_call, reply)),
        };
        if let Some(op) = self.ops.get_mut(&id) {
            op.names = names;
        }
        // Whoever changes the call changes it in place.
        drop(ask);
        match end {
            Answered::LetGo(token) => self.granted_what_was_let_go(now, id, token),
            Answered::Unconfirmed(grant) => self.confirm(now, id, &grant),
            Answered::Done(done) => self.finish(now, id, Ok(done)),
        }
    }

    // One step of a bulk call. It is not tried again by itself: its caller sees which steps were not done.
    fn part(
        &mut self,
        now: Instant,
        attempt: &Attempt,
        (part, name): (Part<'_>, Option<&KeyName>),
        reply: Reply,
        others_since: Option<Instant>,
    ) -> Result<Done, Failure> {
        let loose = |machine: &mut Machine| {
            name.into_iter().for_each(|name| machine.note_loose(part, name, attempt.not_after));
        };
        let unknown = |last| Failure::Unknown(Unknown { unanswered: 1, last });
        match judge(part, reply, others_since, now) {
            Verdict::Done(Reply::Granted(grant)) if self.is_let_go(part, name, &grant) => {
                // Another attempt may yet win a tenure after that one.
                match others_since {
                    None => Err(Failure::Unavailable(Unavailable::LetGo { token: grant.token })),
                    Some(_) => Err(unknown(None)),
                }
            }
            Verdict::Done(reply) => Ok(self.believe(now, attempt, name, reply)),
            Verdict::Refused(problem) => {
                self.note_refusal(now, attempt, part, name, &problem);
                Err(Failure::Refused(problem))
            }
            Verdict::Unprovable(problem) => {
                self.note_refusal(now, attempt, part, name, &problem);
                Err(unknown(Some(problem)))
            }
            Verdict::Again(problem) if others_since.is_none() => {
                Err(Failure::Unavailable(Unavailable::Answered(problem)))
            }
            Verdict::Again(problem) | Verdict::Doubt(problem) => {
                loose(self);
                Err(unknown(Some(problem)))
            }
            Verdict::Nonsense => {
                loose(self);
                Err(unknown(None))
            }
        }
    }

    fn believe(&mut self, now: Instant, attempt: &Attempt, name: Option<&KeyName>, reply: Reply) -> Done {
        let Reply::Granted(grant) = reply else {
            if let Reply::Released(released) = &reply {
                self.note_released(name, released.token);
            }
            return Done::Reply(reply);
        };
        let believed = self.note_grant(now, attempt.sent_at, name, &grant);
        let safe_until = if believed { belief::safe_until(attempt.sent_at, &grant) } else { None };
        Done::Granted { grant, safe_until }
    }

    fn refused(&mut self, now: Instant, id: OpId, attempt: &Attempt, problem: Problem, failure: Failure) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        op.last = Some(problem.clone());
        let (ask, name) = (Arc::clone(&op.ask), op.name().cloned());
        if let Ask::Call(call) = &*ask {
            self.note_refusal(now, attempt, Part::from(call), name.as_ref(), &problem);
        }
        self.finish(now, id, Err(failure));
    }

    // Surely not done, or not known even to the server: once more, elsewhere where there is an elsewhere.
    fn again(&mut self, now: Instant, id: OpId, frame: u64, link: LinkId, problem: Problem) {
        let several = self.endpoints() > 1;
        let Some(op) = self.ops.get_mut(&id) else { return };
        let present = matches!(op.stage, Stage::Flying { frame: flying, .. } if flying == frame);
        let (code, retry_after_ms) = (problem.code, problem.retry_after_ms);
        op.last = Some(problem);
        if !present {
            // An older attempt: a newer one is on its way already.
            self.arm_op(id);
            return;
        }
        op.tries = op.tries.saturating_add(1);
        op.avoid = (several && !matches!(code, Code::Overloaded | Code::Queued)).then_some(link);
        let (tries, ttl) = (op.tries, op.ttl);
        if code == Code::Late {
            self.renumber(id);
        }
        // Only a grant that is alive is in a hurry; a claim waits as long as the server asks.
        let at_stake = self.ops.get(&id).filter(|op| op.is_urgent()).and(ttl);
        let pause = match retry_after_ms.map(std::time::Duration::from_millis) {
            Some(said) => at_stake.map_or(said, |ttl| said.min(ttl / 8)),
            None if code == Code::Late && tries == 1 => std::time::Duration::ZERO,
            None => backoff::pause(tries, at_stake, &mut self.chance),
        };
        self.rest(now, id, pause);
    }

    // "Late" may also mean that a grant won by an earlier attempt of this number has ended already. As a new claim it is
    // judged anew, and an attempt with the lower number that is still under way can no longer win over it.
    pub(super) fn renumber(&mut self, id: OpId) {
        let (seq, instance) = (self.next_seq(), self.config.instance);
        let Some(op) = self.ops.get_mut(&id) else { return };
        if let Ask::Call(
            Call::Claim(api::Claim { instance: by, seq: number, .. })
            | Call::Acquire(api::Acquire { instance: by, seq: number, .. }),
        ) = Arc::make_mut(&mut op.ask)
            && *by == Some(instance)
        {
            *number = Some(seq);
        }
    }

    // None of it took effect, but which call was it? Only where one alone is under way is it known.
    fn unreadable(&mut self, now: Instant, link: LinkId, problem: Problem) {
        let mut frames = self.frames.iter().filter(|(_, (_, on))| *on == link).map(|(frame, _)| *frame);
        match (frames.next(), frames.next()) {
            (Some(frame), None) => self.reply(now, link, frame, Reply::Error(problem)),
            _ => self.break_link(now, link, "a frame that the server could not read"),
        }
    }

    /// A call has its outcome: tell whoever wanted it, and settle what it was about.
    pub(super) fn finish(&mut self, now: Instant, id: OpId, result: Result<Done, Failure>) {
        let Some(mut op) = self.ops.remove(&id) else { return };
        self.timers.set(Timer::Op(id), None);
        self.cancel_attempts(now, &mut op);
        // It is told before anything that settling it leads to, and settled before it is given away.
        let before = std::mem::take(&mut self.out);
        self.settle_op(now, id, &op, &result);
        if result.is_err() {
            self.drop_confirmation(now, &op);
        }
        let settled = std::mem::replace(&mut self.out, before);
        #[cfg(planted)]
        if api::rules::planted::is(api::rules::planted::Bug::ToldTwice) && id.0 % 8 == 7 {
            self.tell(id, &op, result.clone());
        }
        self.tell(id, &op, result);
        self.out.extend(settled);
        self.close_drained();
    }
}

/// What an answer that is no refusal makes of its call.
enum Answered {
    Done(Done),
    /// A tenure that its session has let go.
    LetGo(u64),
    /// It must be confirmed first.
    Unconfirmed(api::Grant),
}

impl Machine {
    fn granted_what_was_let_go(&mut self, now: Instant, id: OpId, token: u64) {
        self.renumber(id);
        let Some(op) = self.ops.get_mut(&id) else { return };
        let Some(key) = op.name().cloned() else { return };
        op.let_go = Some(token);
        op.tries = op.tries.saturating_add(1);
        let pause = backoff::pause(op.tries, op.ttl, &mut self.chance);
        self.rest(now, id, pause);
        self.clean(now, &key, token);
    }
}
