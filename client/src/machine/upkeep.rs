//! What the machine does unasked: extends what is kept, and after an attempt that nobody answered looks once whether it
//! won, and releases what it won.

use std::time::Duration;

use api::{Call, Code, Kind, Problem, Reply};

use super::keys::KeyName;
use super::ops::{Op, Purpose};
use super::part::{Part, parts};
use super::{Ask, Done, Effect, End, Machine, OpId, Timer};
use crate::belief::Belief;
use crate::handle::millis;
use crate::{Failure, Instant};

/// How long a look, or the release after it, may take.
const UPKEEP_DEADLINE: Duration = Duration::from_secs(5);
/// How long after a look that came to nothing the next one is made.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Machine {
    /// Extends the grant from now on, unasked.
    pub(super) fn keep(&mut self, now: Instant, name: &KeyName, token: u64) {
        let Some(key) = self.keys.get_mut(name) else { return };
        if key.held().is_some_and(|belief| belief.token() == token) {
            key.kept = true;
            self.key_due(now, name);
        }
    }

    /// Releases a grant that nobody wants.
    pub(super) fn clean(&mut self, now: Instant, name: &KeyName, token: u64) {
        if self.keys.entry(name.clone()).or_default().cleaning.is_some() {
            // One at a time; the look that follows finds what is left.
            self.let_go(now, name, token);
            return;
        }
        let id = self.next_own_op();
        self.keys.entry(name.clone()).or_default().cleaning = Some(id);
        let call = Call::Release(api::Release {
            namespace: name.namespace(),
            name: name.name(),
            token,
            instance: Some(self.config.instance),
            deadline_ms: None,
        });
        let ends = Some(now.after(UPKEEP_DEADLINE));
        self.begin(now, id, Ask::Call(call), ends, Purpose::Clean(name.clone()));
    }

    pub(super) fn key_due(&mut self, now: Instant, name: &KeyName) {
        let Some(key) = self.keys.get_mut(name) else { return };
        key.barred = key.barred.filter(|until| *until > now);
        let over = key.ends_at().is_some_and(|end| end <= now);
        match key.held() {
            Some(belief) if over => {
                let token = belief.token();
                self.end_belief(now, name, token, End::Expired);
            }
            Some(belief) if key.kept && key.keeping.is_none() && belief.extend_at() <= now => {
                self.extend_kept(now, name);
            }
            None if key.may_look() && key.loose.is_none_or(|loose| loose <= now) => self.look(now, name),
            _ => {}
        }
        self.settle(name);
    }

    pub(super) fn arm_key(&mut self, name: &KeyName) {
        let Some(key) = self.keys.get(name) else { return };
        let at = match key.held() {
            Some(belief) if key.kept && key.keeping.is_none() => {
                key.ends_at().map(|end| end.min(belief.extend_at()))
            }
            Some(_) => key.ends_at(),
            None if key.may_look() => Some(key.loose.unwrap_or(Instant::ZERO)),
            None => key.barred,
        };
        self.timers.set(Timer::Key(name.clone()), at);
    }

    /// A call about leases has ended.
    pub(super) fn settle_op(&mut self, now: Instant, id: OpId, op: &Op, result: &Result<Done, Failure>) {
        let parts = op.call().into_iter().flat_map(parts).zip(&op.names);
        for (at, (part, name)) in parts.enumerate() {
            let Some(name) = name else { continue };
            if let Some(key) = self.keys.get_mut(name) {
                key.ops = key.ops.saturating_sub(1);
                key.claiming = key.claiming.filter(|claiming| *claiming != id);
            }
            for attempt in &op.attempts {
                self.note_loose(part, name, attempt.not_after);
            }
            if let (Part::Claim(_) | Part::Acquire(_), true, Some(token)) =
                (part, op.abandoned, granted(result, at))
            {
                self.clean(now, name, token);
            }
            self.settle(name);
        }
        match &op.purpose {
            Purpose::Caller => {}
            Purpose::Keep(name) => self.kept_extended(now, name, result),
            Purpose::Look(name) => self.looked(now, id, name, result),
            Purpose::Clean(name) => self.cleaned(now, name, result),
            Purpose::Why(name, token) => self.told_why(name, *token, result),
            Purpose::Confirm { acquire, .. } => self.confirmed(now, id, *acquire, result),
        }
    }

    fn extend_kept(&mut self, now: Instant, name: &KeyName) {
        let id = self.next_own_op();
        let Some(key) = self.keys.get_mut(name) else { return };
        let Some(belief) = key.held() else { return };
        let call = Call::Extend(api::Extend {
            namespace: name.namespace(),
            name: name.name(),
            token: belief.token(),
            instance: Some(self.config.instance),
            ttl_ms: Some(millis(belief.ttl())),
            deadline_ms: None,
        });
        // Later than belief ends, an extend would only bring back what its holder was told is over.
        let ends = key.ends_at();
        key.keeping = Some(id);
        self.begin(now, id, Ask::Call(call), ends, Purpose::Keep(name.clone()));
    }

    fn kept_extended(&mut self, now: Instant, name: &KeyName, result: &Result<Done, Failure>) {
        let Some(key) = self.keys.get_mut(name) else { return };
        key.keeping = None;
        let over = key.ends_at().is_some_and(|end| end <= now);
        let token = key.held().map(Belief::token);
        match (result, token) {
            (Err(_), Some(token)) if over => self.end_belief(now, name, token, End::Expired),
            (Err(failure), Some(token)) => match refusal(failure) {
                // Of one member's own, whose clock may be wrong: it says who may ask there, and nothing of the lease.
                Some(problem) if problem.code != Code::Unauthenticated => {
                    self.doom(now, name, token, problem)
                }
                // Not in this extend's time; belief goes on, and so does the keeping of it.
                _ => key.put_off(now),
            },
            _ => {}
        }
        self.settle(name);
    }

    // Refused though it lives, as when it was revoked and ends at its deadline: to ask again would change nothing. Belief
    // goes on to its time, and then it is said why.
    fn doom(&mut self, now: Instant, name: &KeyName, token: u64, problem: &Problem) {
        let Some(key) = self.keys.get_mut(name) else { return };
        key.kept = false;
        let revoked = problem.code == Code::Ending;
        let why = if revoked { End::Revoked(None) } else { End::Lost(problem.clone()) };
        key.doom = Some(why.clone());
        self.out.push(Effect::Doomed { token, why });
        if revoked {
            self.ask_why(now, name, token);
        }
    }

    fn ask_why(&mut self, now: Instant, name: &KeyName, token: u64) {
        let id = self.next_own_op();
        let ends = self.keys.get(name).and_then(|key| key.ends_at());
        let call = Call::Get(api::Get { namespace: name.namespace(), name: name.name(), stale: false });
        self.begin(now, id, Ask::Call(call), ends, Purpose::Why(name.clone(), token));
    }

    fn told_why(&mut self, name: &KeyName, token: u64, result: &Result<Done, Failure>) {
        let Ok(Done::Reply(Reply::Lease(lease))) = result else { return };
        let Some(reason) = reason_of(lease, token) else { return };
        let Some(key) = self.keys.get_mut(name) else { return };
        if key.held().is_some_and(|belief| belief.token() == token) && key.doom.is_some() {
            let why = End::Revoked(Some(reason));
            key.doom = Some(why.clone());
            self.out.push(Effect::Doomed { token, why });
        }
    }

    fn look(&mut self, now: Instant, name: &KeyName) {
        let id = self.next_own_op();
        let Some(key) = self.keys.get_mut(name) else { return };
        key.looking = Some(id);
        let call = Call::Get(api::Get { namespace: name.namespace(), name: name.name(), stale: false });
        let ends = Some(now.after(UPKEEP_DEADLINE));
        self.begin(now, id, Ask::Call(call), ends, Purpose::Look(name.clone()));
    }

    fn looked(&mut self, now: Instant, id: OpId, name: &KeyName, result: &Result<Done, Failure>) {
        let Some(key) = self.keys.get_mut(name).filter(|key| key.looking == Some(id)) else { return };
        key.looking = None;
        let claimed_since = key.claiming.is_some() || key.cleaning.is_some() || key.held.is_some();
        match result {
            // What is seen may be what the new claim won: when that has its outcome, the look is made again if need be.
            _ if claimed_since => {}
            Ok(Done::Reply(Reply::Lease(lease))) => {
                (key.loose, key.unresolved) = (None, false);
                let in_doubt = std::mem::take(&mut key.in_doubt);
                let ours = lease
                    .held
                    .as_ref()
                    .filter(|held| in_doubt.contains(&held.holder) || held.token == key.dead);
                // It may be another life of the same holder: the release carries our instance, so the cluster refuses it then.
                if let Some(token) = ours.map(|held| held.token) {
                    self.clean(now, name, token);
                }
            }
            Err(Failure::Refused(_)) => (key.loose, key.unresolved) = (None, false),
            _ => key.loose = Some(now.after(LOOK_AGAIN)),
        }
        self.settle(name);
    }

    fn cleaned(&mut self, now: Instant, name: &KeyName, result: &Result<Done, Failure>) {
        let Some(key) = self.keys.get_mut(name) else { return };
        key.cleaning = None;
        match result {
            Ok(_) | Err(Failure::Refused(_)) => {
                if let Some(claiming) = key.claiming {
                    // A claim rests until this token is gone.
                    self.pump_rested(now, claiming);
                }
            }
            Err(_) => key.loose = key.loose.max(Some(now.after(LOOK_AGAIN))),
        }
        self.settle(name);
    }

    /// Forgets a lease that nothing is to be done about any more; else sets when something is.
    pub(super) fn settle(&mut self, name: &KeyName) {
        let Some(key) = self.keys.get(name) else { return };
        if key.is_done_with() {
            self.keys.remove(name);
            self.timers.set(Timer::Key(name.clone()), None);
        } else {
            self.arm_key(name);
        }
    }
}

/// What refused an extend, if anything did: a repeat of it that was refused proves as much about the grant.
fn refusal(failure: &Failure) -> Option<&Problem> {
    match failure {
        Failure::Refused(problem) => Some(problem),
        Failure::Unknown(doubt) => doubt.last.as_ref().filter(|problem| problem.code.kind() == Kind::Refused),
        Failure::Unavailable(_) => None,
    }
}

/// Why an operator took this grant away.
fn reason_of(lease: &api::Lease, token: u64) -> Option<String> {
    let ending = lease.held.as_ref().filter(|held| held.token == token).and_then(|held| held.ending.clone());
    let ended = lease.last_end.as_ref().filter(|end| end.token == token);
    ending.or_else(|| ended.and_then(|end| end.reason.clone()))
}

fn granted(result: &Result<Done, Failure>, at: usize) -> Option<u64> {
    match result {
        Ok(Done::Granted { grant, .. }) => Some(grant.token),
        Ok(Done::Bulk(parts)) => parts.get(at).and_then(|part| granted(part, 0)),
        _ => None,
    }
}
