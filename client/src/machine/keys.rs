//! What a session knows of each lease it has to do with: its belief, what it let go, and what an unanswered attempt may
//! have won behind its back.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(planted)]
use api::rules::planted;
use api::{Call, Code, Problem};

use super::ops::{Attempt, Purpose};
use super::part::{Part, parts};
use super::{Effect, End, Machine, OpId};
use crate::Instant;
use crate::belief::Belief;

/// A lease's name: namespace and name, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyName(Arc<(String, String)>);

impl KeyName {
    pub(super) fn new(namespace: String, name: String) -> KeyName {
        KeyName(Arc::new((namespace, name)))
    }

    pub(super) fn parts(&self) -> (&str, &str) {
        (&self.0.0, &self.0.1)
    }

    pub(super) fn namespace(&self) -> String {
        self.0.0.clone()
    }

    pub(super) fn name(&self) -> String {
        self.0.1.clone()
    }
}

/// The leases that the parts of a call are about, in their order: none for one that is not of this instance, or about no lease.
pub(super) type Names = Vec<Option<KeyName>>;

/// The parts that are about a lease of this instance's, each with its name.
pub(super) fn with_names<'a>(
    call: &'a Call,
    names: &'a Names,
) -> impl Iterator<Item = (Part<'a>, &'a KeyName)> {
    parts(call).zip(names).filter_map(|(part, name)| Some((part, name.as_ref()?)))
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.0, self.0.1)
    }
}

/// One lease.
#[derive(Debug, Default)]
pub(super) struct Key {
    /// For whom it was claimed last.
    pub(super) holder: Option<String>,
    pub(super) held: Option<Belief>,
    /// It is extended unasked.
    pub(super) kept: bool,
    /// It was kept, and is so no more: why belief will have ended at its time.
    pub(super) doom: Option<End>,
    /// No token up to here is believed any more: its release was asked for, or the cluster said that it ended.
    pub(super) dead: u64,
    /// The release or transfer of `dead` has no answer yet that says that it is gone.
    pub(super) unresolved: bool,
    /// Until when an unanswered claim may still win.
    pub(super) loose: Option<Instant>,
    /// For whom it may.
    pub(super) in_doubt: BTreeSet<String>,
    /// Until when a release of `dead` may still take effect. It was refused as another's; but a forced transfer's grant
    /// becomes its holder's, under the same token, by the holder's next claim.
    pub(super) barred: Option<Instant>,
    /// The claim or acquire that is under way.
    pub(super) claiming: Option<OpId>,
    pub(super) keeping: Option<OpId>,
    pub(super) looking: Option<OpId>,
    /// The release of what nobody wants.
    pub(super) cleaning: Option<OpId>,
    /// Calls about it that have no outcome yet.
    pub(super) ops: u32,
}

impl Key {
    pub(super) fn held(&self) -> Option<&Belief> {
        self.held.as_ref()
    }

    /// When belief ends for good. A grant that its caller extends by hand may come back after `safe_until`, but for a ttl.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        let belief = self.held()?;
        Some(match belief.safe_until() {
            Some(safe_until) if self.kept || self.doom.is_some() => safe_until,
            Some(safe_until) => safe_until.after(belief.ttl()),
            None => belief.extend_at().after(belief.ttl()),
        })
    }

    /// The next extend does not leave at once.
    pub(super) fn put_off(&mut self, now: Instant) {
        if let Some(belief) = &mut self.held {
            belief.put_off(now.after(belief.ttl() / 8));
        }
    }

    pub(super) fn is_done_with(&self) -> bool {
        let idle = self.ops == 0 && self.held.is_none() && self.looking.is_none();
        idle && !self.needs_look() && self.barred.is_none()
    }

    /// Whether a look is called for and nothing under way would make it moot.
    pub(super) fn may_look(&self) -> bool {
        let busy = self.claiming.or(self.looking).or(self.cleaning);
        self.needs_look() && self.held.is_none() && busy.is_none()
    }

    fn needs_look(&self) -> bool {
        self.loose.is_some() || self.unresolved
    }
}

fn extends(call: &Call) -> bool {
    match call {
        Call::Extend(_) => true,
        Call::Bulk(steps) => steps.iter().any(|step| matches!(step, api::Step::Extend(_))),
        _ => false,
    }
}

impl Machine {
    /// Makes a call ready to leave: instance and number for claims, the end of belief for releases and transfers.
    pub(super) fn prepare(
        &mut self,
        now: Instant,
        id: OpId,
        call: &mut Call,
        purpose: &Purpose,
    ) -> Result<Names, Problem> {
        self.sign(call);
        let names: Names = parts(call).map(|part| part.own_key(self.config.instance)).collect();
        // What confirms an acquire is a part of it, and no second guard on its lease.
        let confirms = matches!(purpose, Purpose::Confirm { .. });
        if !confirms {
            self.check(now, call, &names)?;
        }
        for (part, key) in with_names(call, &names) {
            let entry = self.keys.entry(key.clone()).or_default();
            entry.ops += 1;
            if !matches!(part, Part::Extend(_)) {
                // What a look under way sees may be older than what is done now: its answer proves nothing.
                entry.looking = None;
            }
            match part {
                Part::Claim(_) if confirms => {}
                Part::Claim(api::Claim { holder, .. }) | Part::Acquire(api::Acquire { holder, .. }) => {
                    entry.claiming = Some(id);
                    entry.holder = Some(holder.clone());
                }
                #[cfg(planted)]
                Part::Transfer(_) if planted::is(planted::Bug::BeliefAfterTransfer) => {}
                Part::Release(api::Release { token, .. }) | Part::Transfer(api::Transfer { token, .. }) => {
                    self.let_go(now, key, *token);
                }
                _ => {}
            }
        }
        Ok(names)
    }

    /// The shortest ttl that a call is about; none of what changes nothing.
    pub(super) fn ttl_of(&self, call: &Call, names: &Names) -> Option<Duration> {
        let default = Duration::from_nanos(api::rules::TTL_DEFAULT.as_nanos());
        let believed = |name: &Option<KeyName>| Some(self.keys.get(name.as_ref()?)?.held()?.ttl());
        let ttl = |(part, name): (Part<'_>, &Option<KeyName>)| match part {
            Part::Claim(api::Claim { ttl_ms: Some(ms), .. })
            | Part::Extend(api::Extend { ttl_ms: Some(ms), .. }) => Some(Duration::from_millis(*ms)),
            Part::Claim(_) | Part::Extend(_) | Part::Release(_) | Part::Transfer(_) => {
                Some(believed(name).unwrap_or(default))
            }
            _ => None,
        };
        parts(call).zip(names).filter_map(ttl).min()
    }

    /// The shortest ttl of the grants that may stand: those believed in, or until lately, and those that an extend is to save.
    /// After a long outage the cluster has not counted the time, and whoever is back first keeps what it had.
    pub(super) fn ttl_at_stake(&self) -> Option<Duration> {
        let believed = self.keys.values().filter_map(|key| key.held()).map(Belief::ttl);
        let to_save = self.ops.values().filter(|op| op.call().is_some_and(extends)).filter_map(|op| op.ttl);
        believed.chain(to_save).min()
    }

    /// Whether this grant answers a claim or acquire with a tenure that its session has let go already.
    pub(super) fn is_let_go(&self, part: Part<'_>, name: Option<&KeyName>, grant: &api::Grant) -> bool {
        let key = name.filter(|_| matches!(part, Part::Claim(_) | Part::Acquire(_)));
        key.and_then(|key| self.keys.get(key)).is_some_and(|key| grant.token <= key.dead)
    }

    /// Takes in a grant; true where its caller may believe in it.
    pub(super) fn note_grant(
        &mut self,
        now: Instant,
        sent_at: Instant,
        name: Option<&KeyName>,
        grant: &api::Grant,
    ) -> bool {
        let Some(name) = name else { return false };
        let Some(key) = self.keys.get_mut(name) else { return false };
        let newest = key.held().map_or(0, Belief::token);
        // An answer that comes late must not bring back what has ended since.
        if grant.token <= key.dead || grant.token < newest {
            return false;
        }
        // Nor what its holder was told is lost, at an instant for which no timer has run yet: nobody wants it any more.
        if grant.token == newest && key.kept && key.ends_at().is_some_and(|end| end <= now) {
            self.clean(now, name, newest);
            return false;
        }
        match &mut key.held {
            Some(belief) if belief.token() == grant.token => belief.extended(sent_at, now, grant),
            held => {
                if let Some(old) = held.replace(Belief::begin(sent_at, now, grant)) {
                    self.out.push(Effect::Over { token: old.token(), why: End::Replaced(grant.token) });
                }
                (key.kept, key.doom) = (false, None);
                // One lease has one grant: the one before it is gone, released or not.
                key.unresolved = false;
            }
        }
        let until = key.held().and_then(Belief::safe_until);
        self.out.push(Effect::Held { token: grant.token, until });
        self.arm_key(name);
        true
    }

    /// Takes in that an attempt at a part was refused: where the grant has ended, so does belief in it.
    pub(super) fn note_refusal(
        &mut self,
        now: Instant,
        attempt: &Attempt,
        part: Part<'_>,
        name: Option<&KeyName>,
        problem: &Problem,
    ) {
        let (Part::Extend(api::Extend { token, .. })
        | Part::Release(api::Release { token, .. })
        | Part::Transfer(api::Transfer { token, .. })) = part
        else {
            return;
        };
        if !matches!(problem.code, Code::Lost | Code::StaleToken | Code::NotYours) {
            return;
        }
        let Some(name) = name else { return };
        self.end_belief(now, name, *token, End::Lost(problem.clone()));
        if let Some(key) = self.keys.get_mut(name)
            && key.dead == *token
        {
            key.unresolved = false;
            if problem.code == Code::NotYours {
                key.barred = key.barred.max(Some(attempt.not_after));
            }
        }
    }

    /// Takes in that the end which a release or transfer asked for has come.
    pub(super) fn note_released(&mut self, name: Option<&KeyName>, token: u64) {
        let key = name.and_then(|name| self.keys.get_mut(name));
        if let Some(key) = key.filter(|key| key.dead == token) {
            key.unresolved = false;
        }
    }

    /// Takes in that an unanswered attempt may take effect until `not_after`.
    pub(super) fn note_loose(&mut self, part: Part<'_>, name: &KeyName, not_after: Instant) {
        let Some(key) = self.keys.get_mut(name) else { return };
        match part {
            Part::Claim(api::Claim { holder, .. }) | Part::Acquire(api::Acquire { holder, .. }) => {
                key.loose = key.loose.max(Some(not_after));
                key.in_doubt.insert(holder.clone());
            }
            Part::Release(_) | Part::Transfer(_) => {
                key.barred = key.barred.map(|until| until.max(not_after));
            }
            _ => {}
        }
    }

    /// Ends belief in a token and in all before it, because its release or transfer is about to leave.
    pub(super) fn let_go(&mut self, now: Instant, name: &KeyName, token: u64) {
        self.end_belief(now, name, token, End::LetGo);
        if let Some(key) = self.keys.get_mut(name)
            && key.dead == token
        {
            key.unresolved = true;
        }
    }

    pub(super) fn end_belief(&mut self, now: Instant, name: &KeyName, token: u64, why: End) {
        let Some(key) = self.keys.get_mut(name) else { return };
        // What has merely expired may still stand in the cluster, and a claim may be answered with it again.
        let ends = why != End::Expired && token > key.dead;
        if ends {
            key.dead = token;
        }
        let Some(belief) = key.held.take_if(|belief| belief.token() <= token) else {
            // It had expired before: only now is it over for good.
            if ends {
                self.out.push(Effect::Over { token, why });
            }
            return;
        };
        let doom = key.doom.take();
        let why = if why == End::Expired { doom.unwrap_or(why) } else { why };
        key.kept = false;
        // While the grant stood, an attempt that was under way could win nothing but this very grant.
        let stood_until = belief.safe_until().map_or(Instant::ZERO, |end| end.min(now));
        key.loose = key.loose.filter(|loose| *loose > stood_until);
        self.out.push(Effect::Over { token: belief.token(), why });
        self.arm_key(name);
    }

    fn sign(&mut self, call: &mut Call) {
        match call {
            Call::Claim(claim) => self.sign_claim(claim),
            Call::Acquire(acquire) if acquire.instance.is_none() => {
                acquire.instance = Some(self.config.instance);
                acquire.seq = Some(self.next_seq());
            }
            Call::Bulk(steps) => {
                for step in steps {
                    if let api::Step::Claim(claim) = step {
                        self.sign_claim(claim);
                    }
                }
            }
            _ => {}
        }
    }

    fn sign_claim(&mut self, claim: &mut api::Claim) {
        if claim.instance.is_none() {
            claim.instance = Some(self.config.instance);
            claim.seq = Some(self.next_seq());
        }
    }

    // Two guards on one lease in one session would share a grant: the release of one would end the other's.
    fn check(&self, now: Instant, call: &Call, names: &Names) -> Result<(), Problem> {
        let limit = api::rules::FRAME_OPERATIONS_MAX;
        if names.len() > limit {
            let message = format!("the frame has {} steps, and the limit is {limit}: split it", names.len());
            return Err(Problem::new(Code::TooLarge, message));
        }
        let mut seen = BTreeSet::new();
        for (at, (part, name)) in parts(call).zip(names).enumerate() {
            let Some(name) = name else { continue };
            if !seen.insert(name) {
                let message =
                    format!("step {at} names lease {name:?}, which an earlier step names: use two frames");
                return Err(Problem::new(Code::BadRequest, message).in_field(format!("bulk[{at}].name")));
            }
            if let (Part::Claim(_) | Part::Acquire(_), Some(key)) = (part, self.keys.get(name)) {
                check_claim(now, name, key)?;
            }
        }
        Ok(())
    }
}

fn check_claim(now: Instant, name: &KeyName, key: &Key) -> Result<(), Problem> {
    let refuse = |message: String| {
        let mut problem = Problem::new(Code::Held, message);
        problem.holder = key.holder.clone();
        problem.by_you = Some(true);
        problem
    };
    if key.claiming.is_some() {
        return Err(refuse(format!(
            "this session is claiming {name:?} already: wait for that, or use another session"
        )));
    }
    let Some(belief) = key.held().filter(|belief| belief.is_held(now)) else { return Ok(()) };
    let token = belief.token();
    let mut problem = refuse(format!(
        "this session holds {name:?} already, under token {token}: extend that, release it, or use another session"
    ));
    problem.token = Some(token);
    Err(problem)
}
