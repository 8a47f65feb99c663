//! A claim by a holder who is known by name alone: whoever bears the name is the holder, whichever connection, member or life it comes
//! from. So all of them are one instance, and their claim extends what the name holds.
//!
//! ```text
//!  this member's table ─▶ held by that name, as that instance ─▶ extend: goes before claims, and is turned away last
//!                         else ─▶ claim, its seq above what the table has of that name
//! ```
//!
//! What this member sees may be old. It only chooses how to ask, and the leader decides: an extend of what has ended meanwhile is *lost*,
//! and a claim whose seq was overtaken is *late*; both mean not done, and behind a barrier the choice is made anew.

use api::{Call, Claim, Extend};
use lease::{Holder, LeaseView};

use super::{Service, parse};
use crate::identity::{Caller, Scope, Verb, authorize};

/// The instance of all who are known by name. An instance of any other door is drawn at random from 2^64.
pub(crate) const BY_NAME: u64 = api::JUJU_INSTANCE;

/// A claim by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ByName {
    /// The lease's namespace.
    pub(crate) namespace: String,
    /// The lease's name.
    pub(crate) name: String,
    /// Who asks.
    pub(crate) holder: String,
    /// For how long.
    pub(crate) ttl_ms: u64,
}

impl Service {
    /// How to ask for what a name claims, as this member sees the lease. To be submitted: it decides nothing.
    pub(crate) fn by_name(&self, caller: &Caller, claim: &ByName) -> Call {
        match self.seen_by(caller, claim) {
            Some(Seen::Held { token }) => Call::Extend(Extend {
                namespace: claim.namespace.clone(),
                name: claim.name.clone(),
                token,
                instance: Some(BY_NAME),
                ttl_ms: Some(claim.ttl_ms),
                deadline_ms: None,
            }),
            Some(Seen::Ended { seq }) => Call::Claim(claim.with_seq(seq.saturating_add(1))),
            None => Call::Claim(claim.with_seq(1)),
        }
    }

    /// What this member's table has of the name. Nothing is read for who may not claim: they are denied alike whatever is there.
    fn seen_by(&self, caller: &Caller, claim: &ByName) -> Option<Seen> {
        let ByName { namespace, name, holder, .. } = claim;
        let scope = Scope::Lease { namespace, name, holder: Some(holder) };
        authorize(&caller.principal, Verb::Claim, scope).ok()?;
        let key = parse::key(namespace, name).ok()?;
        let holder = parse::holder(holder).ok()?;
        let mut seen = None;
        self.backend.look(&mut |table, _| seen = table.get(&key).and_then(|lease| Seen::of(&lease, &holder)));
        seen
    }
}

impl ByName {
    fn with_seq(&self, seq: u64) -> Claim {
        Claim {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            holder: self.holder.clone(),
            instance: Some(BY_NAME),
            seq: Some(seq),
            ttl_ms: Some(self.ttl_ms),
            ..Claim::default()
        }
    }
}

/// What a table has of a name that claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It holds the lease.
    Held { token: u64 },
    /// It held it last.
    Ended { seq: u64 },
}

impl Seen {
    fn of(lease: &LeaseView, holder: &Holder) -> Option<Seen> {
        match (&lease.grant, &lease.last_end) {
            (Some(grant), _) if grant.holder == *holder && grant.instance.0 == BY_NAME => {
                Some(Seen::Held { token: grant.token.as_u64() })
            }
            (_, Some(end)) if end.holder == *holder && end.instance.0 == BY_NAME => {
                Some(Seen::Ended { seq: end.seq.0 })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::Reply;
    use lease::Ttl;

    use super::*;
    use crate::identity::{Principal, Source};
    use crate::service::Done;
    use crate::service::fake::Fake;

    struct Asked {
        fake: Arc<Fake>,
        service: Service,
        caller: Arc<Caller>,
    }

    impl Asked {
        fn new() -> Asked {
            let fake = Arc::new(Fake::new());
            let service = Service::new(Arc::clone(&fake) as _, 7, 1);
            Asked { fake, service, caller: Caller::anyone() }
        }

        fn call(&self, holder: &str) -> Call {
            self.service.by_name(&self.caller, &claim(holder))
        }

        fn ask(&self, call: Call) -> Reply {
            let (sender, answer) = std::sync::mpsc::channel();
            self.service.submit(&self.caller, call, move |done: Done| sender.send(done).unwrap());
            answer.recv().unwrap().reply(&mut || 0)
        }
    }

    fn claim(holder: &str) -> ByName {
        ByName { namespace: "n".into(), name: "mysql".into(), holder: holder.into(), ttl_ms: 5_000 }
    }

    fn seq(call: &Call) -> Option<u64> {
        let Call::Claim(claim) = call else { return None };
        assert_eq!(claim.instance, Some(BY_NAME));
        claim.seq
    }

    #[test]
    fn what_a_name_holds_is_extended_and_what_it_held_is_claimed_anew() {
        let asked = Asked::new();
        let call = asked.call("mysql/0");
        assert_eq!(seq(&call), Some(1));
        let Reply::Granted(grant) = asked.ask(call) else { panic!("nobody holds it") };
        let again = asked.call("mysql/0");
        let Call::Extend(extend) = &again else { panic!("{again:?} is no extend") };
        assert_eq!((extend.token, extend.instance, extend.ttl_ms), (grant.token, Some(BY_NAME), Some(5_000)));
        assert!(matches!(asked.ask(again), Reply::Granted(same) if same.token == grant.token));
        assert_eq!(seq(&asked.call("mysql/1")), Some(1), "another's");
        // Over, and claimed again and again: never overtaken by its own end.
        let mut newest = grant.token;
        for expected in 2..5 {
            asked.fake.pass(Ttl::from_millis(5_001));
            let ends = Call::Release(api::Release {
                namespace: "n".into(),
                name: "mysql".into(),
                token: newest,
                ..api::Release::default()
            });
            assert!(matches!(asked.ask(ends), Reply::Error(_)), "it has expired");
            let call = asked.call("mysql/0");
            assert_eq!(seq(&call), Some(expected));
            let Reply::Granted(grant) = asked.ask(call) else { panic!("nobody holds it") };
            assert!(grant.token > newest);
            newest = grant.token;
        }
    }

    #[test]
    fn a_grant_of_another_instance_is_nobodys_here_and_is_claimed_against() {
        let asked = Asked::new();
        let theirs = Claim { instance: Some(9), seq: Some(1), ..claim("mysql/0").with_seq(1) };
        assert!(matches!(asked.ask(Call::Claim(theirs)), Reply::Granted(_)));
        let call = asked.call("mysql/0");
        assert_eq!(seq(&call), Some(1));
        assert!(matches!(asked.ask(call), Reply::Error(problem) if problem.by_you == Some(true)));
    }

    #[test]
    fn whoever_may_not_claim_is_shown_nothing_of_what_is_there() {
        let asked = Asked::new();
        assert!(matches!(asked.ask(asked.call("mysql/0")), Reply::Granted(_)));
        let other = Caller::new(
            Arc::new(Principal::unit("mysql/1", "n", Source::Certificate { until: u64::MAX })),
            None,
        );
        let call = asked.service.by_name(&other, &claim("mysql/0"));
        assert_eq!(seq(&call), Some(1), "as if it were free");
    }
}
