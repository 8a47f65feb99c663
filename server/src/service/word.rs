//! From the replica's answers to sentences: every message names the value, the limit and the remedy.

use api::{Code, Cooldown, Counted, End, Free, Grant, Held, Lease, Page, Pinned, Problem, Released, Reply};
use lease::{Full, Granted, Key, LeaseView, Outcome, Refusal, Ttl, Why};
use replica::{Answer, Reading, Unavailable, Waited};

use super::time::{extend_after_ms, hold_ms, retry_after_ms};
use super::{Asked, Done, Echo, Verb, page};

impl Done {
    /// Words it. `chance` spreads the times that callers are told, so that they do not all come at once.
    pub(crate) fn reply(self, chance: &mut dyn FnMut() -> u32) -> Reply {
        match self {
            Done::Reply(reply) => reply,
            Done::Step { asked, answer } => step(asked, answer, chance),
            Done::Lease { key, view, at } => Reply::Lease(Box::new(match view {
                Some(view) => lease_of(*view, at),
                None => free_lease(&key, at),
            })),
            Done::Page { views, limit, at } => Reply::Page(page_of(views, limit, at)),
            Done::Counted { held, at } => Reply::Counted(Counted { held, revision: at.revision.0 }),
            Done::Waited(Waited::Free(at)) => Reply::Free(Free { revision: at.revision.0 }),
            Done::Waited(Waited::Unavailable(why)) | Done::Unavailable(why) => {
                Reply::Error(unavailable(why, chance()))
            }
            Done::Bulk(outcomes) => {
                Reply::Bulk(outcomes.into_iter().map(|done| done.reply(chance)).collect())
            }
        }
    }
}

fn step(asked: Asked, answer: Answer, chance: &mut dyn FnMut() -> u32) -> Reply {
    match answer {
        Answer::Decided { outcome: Outcome::Granted(granted) | Outcome::Extended(granted), .. } => {
            Reply::Granted(grant(asked, granted, chance()))
        }
        Answer::Decided { outcome: Outcome::Released { token }, .. } => {
            Reply::Released(Released { token: token.as_u64() })
        }
        Answer::Decided { outcome: Outcome::Refused(refusal), at } => {
            let mut problem = refused(&asked, refusal, at, chance);
            problem.revision = Some(at.revision.0);
            Reply::Error(problem)
        }
        Answer::Decided { outcome, .. } => {
            debug_assert!(false, "no step's outcome is {outcome:?}");
            Reply::Error(unknown())
        }
        Answer::NotYours { at } => {
            let mut problem = not_yours(&asked);
            problem.revision = Some(at.revision.0);
            Reply::Error(problem)
        }
        Answer::Unavailable(why) => Reply::Error(unavailable(why, chance())),
        Answer::Unknown => Reply::Error(unknown()),
    }
}

fn grant(asked: Asked, granted: Granted, chance: u32) -> Grant {
    // A grant that its holder did not see coming may not be believed before its first extend, which is due at once.
    let (hold_ms, extend_after_ms) = match granted.confirmed {
        true => (hold_ms(granted.ttl), extend_after_ms(granted.ttl, chance)),
        false => (0, 0),
    };
    Grant {
        namespace: asked.namespace,
        name: asked.name,
        token: granted.token.as_u64(),
        ttl_ms: granted.ttl.as_millis(),
        hold_ms,
        extend_after_ms,
        confirmed: granted.confirmed,
    }
}

fn refused(asked: &Asked, refusal: Refusal, at: Reading, chance: &mut dyn FnMut() -> u32) -> Problem {
    let lease = Named(asked);
    match refusal {
        Refusal::Held { holder, token, remaining, by_you } => {
            let whom = match by_you {
                true => "another life of your own holder name",
                false => "another holder",
            };
            let message = format!(
                "{lease} is held by {whom}, {}, for {} ms more at least (token {token}): wait for it, then claim again",
                Echo(holder.as_str()),
                remaining.as_millis(),
            );
            Problem {
                holder: Some(holder.as_str().to_owned()),
                token: Some(token.as_u64()),
                remaining_ms: Some(remaining.as_millis()),
                by_you: Some(by_you),
                ..Problem::new(Code::Held, message)
            }
        }
        Refusal::Cooldown { holder, remaining } => {
            let admitted = match &holder {
                Some(holder) => format!("only {} may claim it", Echo(holder.as_str())),
                None => "nobody may claim it".to_owned(),
            };
            let remaining_ms = remaining.as_millis();
            let message =
                format!("{lease} cools down: {admitted} for {remaining_ms} ms more; claim again after that");
            Problem {
                holder: holder.map(|holder| holder.as_str().to_owned()),
                remaining_ms: Some(remaining_ms),
                ..Problem::new(Code::Cooldown, message)
            }
        }
        Refusal::StaleToken { current } => {
            let message = format!(
                "{} of {lease} has ended, and you have a newer grant: use its token, {current}",
                Of(asked)
            );
            Problem { token: Some(current.as_u64()), ..Problem::new(Code::StaleToken, message) }
        }
        Refusal::Lost { end } => lost(asked, end, at),
        Refusal::Ending { deadline } => {
            let remaining_ms = at.now.until(deadline).as_millis();
            let message = format!(
                "{} of {lease} was revoked and ends in {remaining_ms} ms: finish, and release it before that",
                Of(asked)
            );
            Problem { remaining_ms: Some(remaining_ms), ..Problem::new(Code::Ending, message) }
        }
        Refusal::Late => late(),
        Refusal::Retry => overloaded(Ttl::from_millis(50), chance()),
        Refusal::Ttl { ttl, min, max } => {
            let message = format!(
                "ttl_ms {} is out of bounds: namespace {} allows {} to {} milliseconds",
                ttl.as_millis(),
                Echo(&asked.namespace),
                min.as_millis(),
                max.as_millis(),
            );
            Problem::new(Code::BadTtl, message).in_field("ttl_ms")
        }
        Refusal::Full { what, limit } => {
            let what = match what {
                Full::Leases => format!("leases in namespace {}", Echo(&asked.namespace)),
                Full::Pins => format!("pins on {lease}"),
                Full::Namespaces => "namespaces".to_owned(),
            };
            let message =
                format!("there are {limit} {what}, as many as there may be: end some, or raise the limit");
            Problem::new(Code::Full, message)
        }
        Refusal::Version { current } => Problem::new(
            Code::Version,
            format!("the settings are at version {current} by now: read them again"),
        ),
        Refusal::Settings(why) => Problem::new(Code::BadRequest, why),
    }
}

fn lost(asked: &Asked, end: Option<lease::End>, at: Reading) -> Problem {
    let (grant, lease) = (Of(asked), Named(asked));
    let end = end.map(|end| end_of(end, at));
    let message = match &end {
        Some(end) => format!(
            "{grant} of {lease} has ended: {} {} ms ago, when {} ms remained at its last extend; claim it again",
            end.why, end.ago_ms, end.remained_ms
        ),
        None => format!("{grant} of {lease} has ended, and history has rolled past how; claim it again"),
    };
    Problem { end: end.map(Box::new), ..Problem::new(Code::Lost, message) }
}

fn not_yours(asked: &Asked) -> Problem {
    let message = format!(
        "{} is not a grant of {} to the instance that the call names: use the token and the instance of your own claim",
        Of(asked),
        Named(asked)
    );
    Problem::new(Code::NotYours, message)
}

/// This member could not.
pub(super) fn unavailable(why: Unavailable, chance: u32) -> Problem {
    let (code, message, base) = match why {
        Unavailable::Overloaded { retry_after } => return overloaded(retry_after, chance),
        Unavailable::NoLeader => (Code::NoLeader, "no leader with a quorum: not done; try again", 300),
        Unavailable::Behind => (
            Code::Behind,
            "this member has had no news of a leader for 3 s: not done; try another member",
            300,
        ),
        Unavailable::Stopping => return stopping(chance),
        Unavailable::DiskFull => {
            (Code::DiskFull, "the member's disk is full: not done; free space on it, then try again", 2_000)
        }
    };
    Problem::new(code, message).retry_after_ms(retry_after_ms(Ttl::from_millis(base), chance))
}

pub(super) fn overloaded(retry_after: Ttl, chance: u32) -> Problem {
    let millis = retry_after_ms(retry_after, chance);
    Problem::new(
        Code::Overloaded,
        format!("more work than can be done in time: not done; try again in {millis} ms"),
    )
    .retry_after_ms(millis)
}

pub(super) fn stopping(chance: u32) -> Problem {
    Problem::new(
        Code::Stopping,
        "this member is stopping: not done; try another member, or this one again later",
    )
    .retry_after_ms(retry_after_ms(Ttl::from_millis(1_000), chance))
}

fn late() -> Problem {
    let message = "the command came after its deadline, or after a newer claim of its instance: not done; try again, with a \
        longer deadline_ms or a higher seq";
    Problem::new(Code::Late, message)
}

pub(super) fn unknown() -> Problem {
    let message = "no answer within the deadline: it may have been done, or may be yet; claim again with the same instance \
        and seq, or look at the lease";
    Problem::new(Code::Unknown, message)
}

/// The wait lasted as long as it might.
pub(super) fn still_held(key: &Key, view: Option<LeaseView>, at: Reading) -> Problem {
    let grant = view.and_then(|view| view.grant);
    let by = grant.as_ref().map(|grant| format!(" by {}", Echo(grant.holder.as_str()))).unwrap_or_default();
    let message =
        format!("lease {key} was not free within the wait's timeout_ms; it is held{by}: wait again");
    Problem {
        holder: grant.as_ref().map(|grant| grant.holder.as_str().to_owned()),
        token: grant.as_ref().map(|grant| grant.token.as_u64()),
        remaining_ms: grant.as_ref().map(|grant| at.now.until(grant.deadline).as_millis()),
        revision: Some(at.revision.0),
        ..Problem::new(Code::StillHeld, message)
    }
}

fn page_of(mut views: Vec<LeaseView>, limit: usize, at: Reading) -> Page {
    let more = views.len() > limit;
    views.truncate(limit);
    let next = views.last().filter(|_| more).map(|view| page::cursor(&view.key));
    Page { leases: views.into_iter().map(|view| lease_of(view, at)).collect(), next }
}

fn free_lease(key: &Key, at: Reading) -> Lease {
    Lease {
        namespace: key.namespace.as_str().to_owned(),
        name: key.name.as_str().to_owned(),
        held: None,
        cooldown: None,
        pins: Vec::new(),
        last_end: None,
        revision: at.revision.0,
    }
}

fn lease_of(view: LeaseView, at: Reading) -> Lease {
    Lease {
        held: view.grant.map(|grant| Held {
            holder: grant.holder.as_str().to_owned(),
            token: grant.token.as_u64(),
            ttl_ms: grant.ttl.as_millis(),
            remaining_ms: at.now.until(grant.deadline).as_millis(),
            confirmed: grant.confirmed,
            ending: grant.ending.map(|why| why.as_str().to_owned()),
            value: grant.value.map(|value| value.as_str().to_owned()),
        }),
        cooldown: view.cooldown.map(|cooldown| Cooldown {
            admitted: cooldown.admitted.map(|holder| holder.as_str().to_owned()),
            remaining_ms: at.now.until(cooldown.until).as_millis(),
        }),
        pins: view.pins.into_iter().map(pin_of).collect(),
        last_end: view.last_end.map(|end| end_of(end, at)),
        ..free_lease(&view.key, at)
    }
}

fn pin_of((entity, why): (lease::Entity, lease::Reason)) -> Pinned {
    Pinned { entity: entity.as_str().to_owned(), why: why.as_str().to_owned() }
}

fn end_of(end: lease::End, at: Reading) -> End {
    let (why, reason) = match end.why {
        Why::Expired => ("expired", None),
        Why::Unconfirmed => ("unconfirmed", None),
        Why::Released => ("released", None),
        Why::Transferred => ("transferred", None),
        Why::Revoked(reason) => ("revoked", Some(reason.as_str().to_owned())),
        Why::Restored => ("restored", None),
    };
    End {
        token: end.token.as_u64(),
        holder: end.holder.as_str().to_owned(),
        why: why.to_owned(),
        reason,
        ago_ms: end.at.until(at.now).as_millis(),
        remained_ms: end.remained.as_millis(),
    }
}

/// A lease as messages name it.
struct Named<'a>(&'a Asked);

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "lease {} in namespace {}", Echo(&self.0.name), Echo(&self.0.namespace))
    }
}

/// A grant as messages name it.
struct Of<'a>(&'a Asked);

impl std::fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.verb {
            Verb::Extend(token) | Verb::Release(token) => write!(f, "the grant of token {token}"),
            Verb::Claim => f.write_str("the grant"),
        }
    }
}
