//! A cluster in a page: the lease rules that a session's client can see, on the world's own clock.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Call, Code, Problem, Reply};

use crate::Instant;

pub(super) const RIVAL: u64 = 99;
/// How long a grant stands that came by waiting.
const CONFIRM_MS: u64 = 2_000;

#[derive(Default)]
pub(super) struct Cluster {
    leases: BTreeMap<String, Lease>,
    pub(super) token_last: u64,
}

#[derive(Default)]
struct Lease {
    grant: Option<Grant>,
    /// Instance and number of the last grant that ended.
    last: Option<(u64, u64)>,
    ends: BTreeMap<u64, (&'static str, Instant)>,
}

#[derive(Clone)]
struct Grant {
    token: u64,
    instance: u64,
    seq: u64,
    ttl_ms: u64,
    deadline: Instant,
    confirmed: bool,
}

impl Lease {
    fn touch(&mut self, now: Instant) {
        if let Some(grant) = self.grant.take_if(|grant| grant.deadline < now) {
            self.last = Some((grant.instance, grant.seq));
            self.ends.insert(grant.token, ("expired", grant.deadline));
        }
    }

    fn end(&mut self, now: Instant) {
        if let Some(grant) = self.grant.take() {
            self.last = Some((grant.instance, grant.seq));
            self.ends.insert(grant.token, ("released", now));
        }
    }
}

fn claim_of(acquire: &api::Acquire) -> api::Claim {
    api::Claim {
        namespace: acquire.namespace.clone(),
        name: acquire.name.clone(),
        holder: acquire.holder.clone(),
        instance: acquire.instance,
        seq: acquire.seq,
        ttl_ms: acquire.ttl_ms,
        ..api::Claim::default()
    }
}

fn after(now: Instant, ttl_ms: u64) -> Instant {
    now.after(Duration::from_millis(ttl_ms))
}

fn no(code: Code) -> Reply {
    Reply::Error(Problem::new(code, "as the model says"))
}

impl Cluster {
    /// Which grant this instance has at `now`.
    pub(super) fn holds(&self, now: Instant, name: &str, instance: u64) -> Option<u64> {
        let grant = self.leases.get(name)?.grant.as_ref()?;
        (grant.instance == instance && grant.deadline >= now).then_some(grant.token)
    }

    /// Which confirmed grant this instance has at `now`.
    pub(super) fn confirmed(&self, now: Instant, name: &str, instance: u64) -> Option<u64> {
        let grant = self.leases.get(name)?.grant.as_ref()?;
        self.holds(now, name, instance).filter(|_| grant.confirmed)
    }

    /// When this grant ends; none where it has ended already, or may have.
    pub(super) fn deadline(&self, name: &str, token: u64) -> Option<Instant> {
        let grant = self.leases.get(name)?.grant.as_ref().filter(|grant| grant.token == token);
        grant.map(|grant| grant.deadline)
    }

    /// Decides a call; with the steps of it that were applied.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        not_after: Instant,
        call: &Call,
        forgetful: bool,
    ) -> (Reply, Vec<usize>) {
        match call {
            Call::Bulk(steps) => {
                let mut applied = Vec::new();
                let mut replies = Vec::new();
                for (at, step) in steps.iter().enumerate() {
                    let call = match step.clone() {
                        api::Step::Claim(claim) => Call::Claim(claim),
                        api::Step::Extend(extend) => Call::Extend(extend),
                        api::Step::Release(release) => Call::Release(release),
                    };
                    let (reply, done) = self.decide(now, not_after, &call, forgetful);
                    applied.extend(done.iter().map(|_| at));
                    replies.push(reply);
                }
                (Reply::Bulk(replies), applied)
            }
            Call::Claim(_) | Call::Extend(_) | Call::Release(_) | Call::Acquire(_) if now > not_after => {
                (no(Code::Late), Vec::new())
            }
            Call::Claim(claim) => with_effect(self.claim(now, claim)),
            Call::Extend(extend) => with_effect(self.extend(now, extend, forgetful)),
            Call::Release(release) => with_effect(self.release(now, release, forgetful)),
            // Where it is held, the world puts it in line.
            Call::Acquire(acquire) => with_effect(self.claim(now, &claim_of(acquire))),
            Call::Get(get) => (self.get(now, &get.name), Vec::new()),
            _ => (no(Code::NotFound), Vec::new()),
        }
    }

    /// Somebody else: takes a free lease, gives back its own.
    pub(super) fn rival(&mut self, now: Instant, name: &str) {
        if self.holds(now, name, RIVAL).is_some() {
            self.leases.entry(name.to_owned()).or_default().end(now);
            return;
        }
        let (namespace, holder) = ("default".to_owned(), "rival".to_owned());
        let claim = api::Claim {
            namespace,
            name: name.to_owned(),
            holder,
            instance: Some(RIVAL),
            seq: Some(self.token_last + 1),
            ttl_ms: Some(2_000),
            ..api::Claim::default()
        };
        self.claim(now, &claim);
    }

    /// Grants a free lease to whoever is next in line, for as long as it takes to confirm; also what its own older claim won.
    pub(super) fn succeed(&mut self, now: Instant, acquire: &api::Acquire) -> Option<Reply> {
        let lease = self.leases.entry(acquire.name.clone()).or_default();
        lease.touch(now);
        let instance = acquire.instance.unwrap_or(0);
        match &lease.grant {
            Some(grant) if grant.instance != instance => return None,
            // An older claim of the waiter's own has won meanwhile.
            Some(_) => {}
            None => {
                let seq = lease.last.filter(|(last, _)| *last == instance).map_or(0, |(_, seq)| seq);
                self.token_last += 1;
                lease.grant = Some(Grant {
                    token: self.token_last,
                    instance,
                    seq,
                    ttl_ms: acquire.ttl_ms.unwrap_or(15_000),
                    deadline: after(now, CONFIRM_MS),
                    confirmed: false,
                });
            }
        }
        let ttl_ms = acquire.ttl_ms.unwrap_or(15_000);
        let Reply::Granted(grant) = granted(&acquire.name, ttl_ms, lease) else { return None };
        let hold_ms = CONFIRM_MS * 990 / 1_010;
        Some(Reply::Granted(api::Grant { confirmed: false, hold_ms, extend_after_ms: 0, ..grant }))
    }

    fn claim(&mut self, now: Instant, claim: &api::Claim) -> Reply {
        let (instance, seq) = (claim.instance.unwrap_or(0), claim.seq.unwrap_or(0));
        let ttl_ms = claim.ttl_ms.unwrap_or(15_000);
        let lease = self.leases.entry(claim.name.clone()).or_default();
        lease.touch(now);
        match &mut lease.grant {
            Some(grant) if grant.instance != instance => return no(Code::Held),
            Some(grant) if seq < grant.seq => return no(Code::Late),
            Some(grant) => {
                grant.seq = seq;
                grant.confirmed = true;
                grant.deadline = grant.deadline.max(after(now, ttl_ms));
            }
            None => {
                if lease.last.is_some_and(|(last, number)| last == instance && seq <= number) {
                    return no(Code::Late);
                }
                self.token_last += 1;
                let deadline = after(now, ttl_ms);
                let (token, confirmed) = (self.token_last, true);
                lease.grant = Some(Grant { token, instance, seq, ttl_ms, deadline, confirmed });
            }
        }
        granted(&claim.name, ttl_ms, lease)
    }

    fn extend(&mut self, now: Instant, extend: &api::Extend, forgetful: bool) -> Reply {
        let lease = self.leases.entry(extend.name.clone()).or_default();
        lease.touch(now);
        let Some(grant) = lease.grant.as_mut().filter(|grant| grant.token == extend.token) else {
            return lost(now, lease, extend.token, forgetful);
        };
        let ttl_ms = extend.ttl_ms.unwrap_or(grant.ttl_ms);
        grant.confirmed = true;
        grant.deadline = grant.deadline.max(after(now, ttl_ms));
        granted(&extend.name, ttl_ms, lease)
    }

    fn release(&mut self, now: Instant, release: &api::Release, forgetful: bool) -> Reply {
        let lease = self.leases.entry(release.name.clone()).or_default();
        lease.touch(now);
        match &lease.grant {
            Some(grant) if grant.token == release.token && Some(grant.instance) != release.instance => {
                no(Code::NotYours)
            }
            Some(grant) if grant.token == release.token => {
                lease.end(now);
                Reply::Released(api::Released { token: release.token })
            }
            _ => lost(now, lease, release.token, forgetful),
        }
    }

    fn get(&mut self, now: Instant, name: &str) -> Reply {
        let lease = self.leases.entry(name.to_owned()).or_default();
        lease.touch(now);
        let held = lease.grant.as_ref().map(|grant| api::Held {
            holder: if grant.instance == RIVAL { "rival" } else { "h" }.to_owned(),
            token: grant.token,
            ttl_ms: grant.ttl_ms,
            remaining_ms: 1,
            confirmed: true,
            ending: None,
            ending_heir: None,
            value: None,
        });
        Reply::Lease(Box::new(api::Lease {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            held,
            cooldown: None,
            pins: Vec::new(),
            last_end: None,
            revision: 1,
            stale: None,
        }))
    }
}

fn granted(name: &str, ttl_ms: u64, lease: &Lease) -> Reply {
    let token = lease.grant.as_ref().map_or(0, |grant| grant.token);
    Reply::Granted(api::Grant {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        token,
        ttl_ms,
        hold_ms: ttl_ms * 990 / 1_010,
        extend_after_ms: ttl_ms / 3,
        confirmed: true,
    })
}

fn lost(now: Instant, lease: &Lease, token: u64, forgetful: bool) -> Reply {
    let mut problem = Problem::new(Code::Lost, "as the model says");
    if let Some((why, at)) = lease.ends.get(&token).filter(|_| !forgetful) {
        let ago_ms = u64::try_from(at.until(now).as_millis()).unwrap_or(u64::MAX);
        let (holder, why) = ("h".to_owned(), (*why).to_owned());
        problem.end = Some(Box::new(api::End { token, holder, why, reason: None, ago_ms, remained_ms: 0 }));
    }
    Reply::Error(problem)
}

fn with_effect(reply: Reply) -> (Reply, Vec<usize>) {
    let applied = matches!(reply, Reply::Granted(_) | Reply::Released(_));
    (reply, if applied { vec![0] } else { Vec::new() })
}
