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
pub(crate) const BY_NAME: u64 = 0x6a75_6a75;

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
