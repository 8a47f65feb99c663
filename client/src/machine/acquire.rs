//! What more there is to an acquire than to a claim: it waits in line, over any number of links; and what it is granted
//! there it must confirm before anybody believes in it.
//!
//! ```text
//!     sent ──granted, confirmed──────────────────────────────▶ outcome
//!      ▲  └──granted, unconfirmed──▶ confirming ──confirmed──▶ outcome
//!      └────── too late, new seq ────────┘
//! ```
//!
//! * The same call is sent again through every next link, with its number: the cluster keeps the place of a holder and
//!   instance for a while, and answers only the newest call.
//! * A grant that came by waiting came at a time that nobody here could know. It is confirmed by an extend of its token,
//!   or where the acquire has a value by a claim with it; belief counts from when the answered one of these left.
//! * Whatever ends an acquire, its attempts are cancelled where they still stand, what was being confirmed is released,
//!   and what its attempts may have won without our knowledge is looked for.

use std::sync::Arc;
use std::time::Duration;

use api::{Call, Code, Problem};

use super::ops::{Attempt, Op, Purpose, Stage, is_cancelled};
use super::part::Part;
use super::timed::not_after_cancel;
use super::{Ask, Done, Effect, Machine, OpId};
use crate::{Failure, Instant, Unavailable, belief};

/// The shortest and longest time that the cluster gives a holder to confirm.
const WINDOW_MIN: Duration = Duration::from_nanos(api::rules::CONFIRM_MIN.as_nanos());
const WINDOW_MAX: Duration = Duration::from_nanos(api::rules::CONFIRM_MAX.as_nanos());

impl Op {
    /// Takes in that an attempt stands no longer: cancelled, or its link is gone, or its member does not know. Where it
    /// is an acquire's, its time to take effect runs from now.
    pub(super) fn cancelled(&mut self, now: Instant, frame: u64) {
        if !matches!(self.call(), Some(Call::Acquire(_))) {
            return;
        }
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.frame == frame) {
            attempt.not_after = not_after_cancel(now);
        }
    }

    /// Whether to ask once more would prove what a refusal leaves open. "Still held" by whom? Once no older attempt can
    /// take effect any more, the same acquire asked again is answered with whatever they won.
    pub(super) fn may_ask_again(&self, now: Instant, problem: &Problem) -> bool {
        let acquire = matches!(self.call(), Some(Call::Acquire(_)));
        let settled = self.attempts.iter().filter(|attempt| attempt.not_after <= now).count();
        acquire && problem.code == Code::StillHeld && settled + 1 == self.attempts.len()
    }
}

impl Machine {
    /// Whether this answer to an acquire lets nobody believe yet, or not any more.
    pub(super) fn must_confirm(now: Instant, attempt: &Attempt, grant: &api::Grant) -> bool {
        belief::safe_until(attempt.sent_at, grant).is_none_or(|until| until <= now)
    }

    /// Confirms what an acquire was granted.
    pub(super) fn confirm(&mut self, now: Instant, id: OpId, grant: &api::Grant) {
        let by = self.next_own_op();
        let Some(op) = self.ops.get_mut(&id) else { return };
        let Some(Call::Acquire(acquire)) = op.call() else { return };
        let call = confirming(acquire, grant);
        op.stage = Stage::Confirming { by, token: grant.token };
        self.arm_op(id);
        let window = Duration::from_millis(grant.ttl_ms).clamp(WINDOW_MIN, WINDOW_MAX);
        self.begin(now, by, Ask::Call(call), None, Purpose::Confirm { acquire: id, window });
    }

    /// A confirmation has its outcome, and with it its acquire; or it came too late, and the acquire waits again.
    pub(super) fn confirmed(&mut self, now: Instant, by: OpId, id: OpId, result: &Result<Done, Failure>) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        if !matches!(op.stage, Stage::Confirming { by: present, .. } if present == by) {
            return;
        }
        match result {
            Ok(Done::Granted { safe_until: Some(until), .. }) if *until > now => {
                self.finish(now, id, result.clone());
            }
            // Its answer was so long under way that nobody may believe it any more, though the grant stands.
            Ok(Done::Granted { grant, safe_until: Some(_) }) => {
                let grant = grant.clone();
                self.confirm(now, id, &grant);
            }
            Err(Failure::Refused(problem)) if !is_too_late(problem) => {
                op.last = Some(problem.clone());
                self.finish(now, id, result.clone());
            }
            _ => self.wait_again(now, id),
        }
    }

    /// An acquire has ended while its grant was being confirmed: nobody wants that any more.
    pub(super) fn drop_confirmation(&mut self, now: Instant, op: &Op) {
        let Stage::Confirming { by, token } = op.stage else { return };
        let Some(name) = op.name().cloned() else { return };
        self.finish(now, by, Err(Failure::Unavailable(Unavailable::Closed)));
        self.clean(now, &name, token);
    }

    /// Tells members to give up what nobody waits for any more.
    pub(super) fn cancel_attempts(&mut self, now: Instant, op: &mut Op) {
        let cancelled = op.call().is_some_and(is_cancelled);
        let frames: Vec<u64> = op.attempts.iter().map(|attempt| attempt.frame).collect();
        for frame in frames {
            let Some((_, link)) = self.frames.remove(&frame) else { continue };
            op.cancelled(now, frame);
            if cancelled {
                let call = Call::Cancel(api::Cancel { id: frame });
                let frame = api::ClientFrame { id: self.next_frame(), call };
                self.out.push(Effect::Send { link, frame });
            }
        }
    }

    /// An acquire that is about to be sent again is answered with whatever its older attempts won, once they can take
    /// effect no more: they are no longer in doubt, but for a look where it is refused for another reason.
    pub(super) fn settle_old_attempts(&mut self, now: Instant, id: OpId) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        if !matches!(op.call(), Some(Call::Acquire(_))) {
            return;
        }
        let before = op.attempts.len();
        let mut newest = None;
        op.attempts.retain(|attempt| {
            let settled = attempt.not_after <= now;
            newest = newest.max(settled.then_some(attempt.not_after));
            !settled
        });
        op.settled += before - op.attempts.len();
        let (ask, name) = (Arc::clone(&op.ask), op.name().cloned());
        if let (Some(not_after), Ask::Call(call), Some(name)) = (newest, &*ask, name) {
            self.note_loose(Part::from(call), &name, not_after);
        }
    }

    // The grant that was to be confirmed is gone. With a new number the acquire is judged anew, for the end of that grant
    // may have taken the old one.
    fn wait_again(&mut self, now: Instant, id: OpId) {
        self.renumber(id);
        self.pump(now, id);
    }
}

/// The call that confirms `grant`: a claim where there is a value to be set, which what came by waiting has not.
fn confirming(acquire: &api::Acquire, grant: &api::Grant) -> Call {
    match &acquire.value {
        Some(value) => Call::Claim(api::Claim {
            namespace: acquire.namespace.clone(),
            name: acquire.name.clone(),
            holder: acquire.holder.clone(),
            ttl_ms: acquire.ttl_ms,
            value: Some(value.clone()),
            ..api::Claim::default()
        }),
        None => Call::Extend(api::Extend {
            namespace: acquire.namespace.clone(),
            name: acquire.name.clone(),
            token: grant.token,
            instance: acquire.instance,
            ttl_ms: acquire.ttl_ms,
            deadline_ms: None,
        }),
    }
}

/// Whether a refusal says no more than that the grant is gone, or going.
fn is_too_late(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::Lost
            | Code::StaleToken
            | Code::NotYours
            | Code::Held
            | Code::Cooldown
            | Code::Queued
            | Code::Ending
    )
}
