//! From the replica's answers to sentences: every message names the value, the limit and the remedy.

use api::{Code, Counted, Ending, Free, Grant, Problem, Released, Reply, Span, Stale, Watching};
use lease::{Full, Granted, Holder, Key, LeaseView, Outcome, Refusal, Revision, Token, Ttl};
use replica::{Answer, Reading, Unavailable, Unwatchable, Waited, Whose};

use super::shown::{checked, end_of, ends_of, free_lease, lease_of, page_of};
use super::time::{extend_after_ms, hold_ms, retry_after_ms};
use super::{Asked, Done, Echo, Unfit, Verb, members, namespaces, tokens};

impl Done {
    /// Words it. `chance` spreads the times that callers are told, so that they do not all come at once.
    pub(crate) fn reply(self, chance: &mut dyn FnMut() -> u32) -> Reply {
        match self {
            Done::Reply(reply) => reply,
            Done::Answered { asked, answer } => step(asked, answer, chance),
            Done::Lease { key, view, at } => Reply::Lease(Box::new(match view {
                Some(view) => lease_of(*view, at),
                None => free_lease(&key, at),
            })),
            Done::Page { views, limit, at } => Reply::Page(page_of(views, limit, at)),
            Done::Counted { held, at } => {
                Reply::Counted(Counted { held, revision: at.revision.0, stale: None })
            }
            Done::Stale(stale, done) => marked(stale, done.reply(chance)),
            Done::Ends { ends, at } => Reply::Ends(ends_of(ends, at)),
            Done::Checked { asked, found: Ok(grant), at } => Reply::Checked(checked(&asked, &grant, at)),
            Done::Checked { asked, found: Err(unfit), at } => {
                let mut problem = match unfit {
                    Unfit::AnotherLeases(token) => another_leases(&asked, token),
                    Unfit::Refused(refusal) => refused(&asked, refusal, at, chance),
                };
                problem.revision = Some(at.revision.0);
                Reply::Error(problem)
            }
            Done::Members(changed, around) => members::worded(changed, around, chance()),
            Done::Tokens(credentials) => {
                let now = u64::try_from(crate::tls::wall_seconds()).unwrap_or_default();
                Reply::Tokens(tokens::worded(&credentials, now))
            }
            Done::Namespaces(namespaces) => Reply::Namespaces(namespaces::worded(&namespaces)),
            Done::Watching(Ok(revision)) => Reply::Watching(Watching { revision: revision.0 }),
            Done::Watching(Err(why)) => Reply::Error(unwatchable(why, chance())),
            Done::Waited(Waited::Free(at)) => Reply::Free(Free { revision: at.revision.0 }),
            Done::Waited(Waited::Ahead { after, newest }) => Reply::Error(index_ahead(after, newest)),
            Done::Waited(Waited::Unavailable(why)) | Done::Unavailable(why) => {
                Reply::Error(unavailable(why, chance()))
            }
            Done::Bulk(outcomes) => {
                Reply::Bulk(outcomes.into_iter().map(|done| done.reply(chance)).collect())
            }
        }
    }
}

/// A reply that says from whose state it is.
fn marked(stale: Stale, mut reply: Reply) -> Reply {
    let mark = match &mut reply {
        Reply::Lease(lease) => &mut lease.stale,
        Reply::Page(page) => &mut page.stale,
        Reply::Counted(counted) => &mut counted.stale,
        Reply::Members(members) => &mut members.stale,
        _ => return reply,
    };
    *mark = Some(stale);
    reply
}

fn step(asked: Asked, answer: Answer, chance: &mut dyn FnMut() -> u32) -> Reply {
    let at_revision =
        |problem: Problem, at: Reading| Reply::Error(Problem { revision: Some(at.revision.0), ..problem });
    match answer {
        // What its holder handed on has ended; the new grant is another's to hear of.
        Answer::Decided { outcome: Outcome::Granted(_), .. } if matches!(asked.verb, Verb::Transfer(_)) => {
            let Verb::Transfer(token) = asked.verb else { return Reply::Error(unknown()) };
            Reply::Released(Released { token: token.as_u64() })
        }
        Answer::Decided { outcome: Outcome::Granted(granted) | Outcome::Extended(granted), .. } => {
            Reply::Granted(grant(asked, granted, chance()))
        }
        Answer::Decided { outcome: Outcome::Released { token }, .. } => {
            Reply::Released(Released { token: token.as_u64() })
        }
        Answer::Decided { outcome: Outcome::Ending { token, deadline }, at } => {
            let remaining_ms = at.now.until(deadline).as_millis();
            Reply::Ending(Ending { token: token.as_u64(), remaining_ms })
        }
        Answer::Decided { outcome: Outcome::Done, .. } => Reply::Done,
        Answer::Decided { outcome: Outcome::Refused(refusal), at } => {
            at_revision(refused(&asked, refusal, at, chance), at)
        }
        Answer::Decided { outcome, .. } => {
            debug_assert!(false, "no step's outcome is {outcome:?}");
            Reply::Error(unknown())
        }
        Answer::NotYours { whose: Whose::AnotherLeases, at, .. } if asked.is_narrow => {
            at_revision(unseen(&asked), at)
        }
        Answer::NotYours { whose, held, at } => at_revision(not_yours(&asked, whose, held), at),
        Answer::Queued { at } => at_revision(queued(&asked, chance()), at),
        Answer::NotWaiting { at } => at_revision(not_waiting(&asked), at),
        // Worded by the service, which sees the lease, unless that is gone.
        Answer::NotItsTurn { .. } => Reply::Error(stopping(chance())),
        Answer::Replaced { at } => at_revision(replaced(&asked), at),
        Answer::Unavailable(why) | Answer::NotBegun(why) => Reply::Error(unavailable(why, chance())),
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
        Refusal::Lost { end: None } | Refusal::NeverGiven { .. } if asked.is_narrow => unseen(asked),
        Refusal::Held { holder, token, remaining, by_you } => {
            let whom = match by_you {
                true => "another life of your own holder name",
                false => "another holder",
            };
            let message = format!(
                "{lease} is held by {whom}, {}, for {} more at least (token {token}): wait for it, then claim again",
                Echo(holder.as_str()),
                Span(remaining.as_millis()),
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
            let remaining = Span(remaining_ms);
            let message =
                format!("{lease} cools down: {admitted} for {remaining} more; claim again after that");
            Problem {
                holder: holder.map(|holder| holder.as_str().to_owned()),
                remaining_ms: Some(remaining_ms),
                ..Problem::new(Code::Cooldown, message)
            }
        }
        Refusal::StaleToken { current } => {
            let message = match asked.verb {
                // It may have been of this lease or not, where history has rolled past it.
                Verb::Check(token) => {
                    format!(
                        "token {token} is older than the living grant of {lease}, token {current}: refuse it"
                    )
                }
                _ => format!(
                    "{} of {lease} has ended, and you have a newer grant: use its token, {current}",
                    Of(asked)
                ),
            };
            Problem { token: Some(current.as_u64()), ..Problem::new(Code::StaleToken, message) }
        }
        Refusal::Lost { end } => lost(asked, end, at),
        Refusal::NeverGiven { newest } => never_given(asked, newest),
        Refusal::Ending { deadline } => {
            let remaining_ms = at.now.until(deadline).as_millis();
            let message = format!(
                "{} of {lease} was revoked and ends in {}: finish, and release it before that",
                Of(asked),
                Span(remaining_ms)
            );
            Problem { remaining_ms: Some(remaining_ms), ..Problem::new(Code::Ending, message) }
        }
        Refusal::Late => late(),
        Refusal::Retry => overloaded(Ttl::from_millis(50), chance()),
        Refusal::Ttl { ttl, min, max } => {
            let message = format!(
                "ttl_ms {} is out of bounds: namespace {} allows {} to {} milliseconds ({} to {})",
                ttl.as_millis(),
                Echo(&asked.namespace),
                min.as_millis(),
                max.as_millis(),
                Span(min.as_millis()),
                Span(max.as_millis()),
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
    let message = match (&end, asked.verb) {
        (Some(end), verb) => format!(
            "{grant} of {lease} has ended: {}, when {} remained at its last extend; {}",
            end.why,
            Span(end.remained_ms),
            // Who checks is a resource: it has claimed nothing.
            if matches!(verb, Verb::Check(_)) { "refuse it" } else { "claim it again" }
        ),
        (None, Verb::Check(token)) => format!(
            "token {token} is not the living grant's of {lease}, and nothing is known of how it ended: refuse it"
        ),
        (None, _) => format!("{grant} of {lease} has ended, and history has rolled past how; claim it again"),
    };
    Problem { end: end.map(Box::new), ..Problem::new(Code::Lost, message) }
}

/// What a resource is told of a token that is, or was, another lease's.
fn another_leases(asked: &Asked, token: Token) -> Problem {
    let lease = Named(asked);
    let message = format!("token {token} was never a grant of {lease}: it is another lease's; refuse it");
    Problem::new(Code::NotYours, message)
}

/// What a caller who may not see every lease is told of a token of which no grant of this lease is known: whether it was forgotten,
/// is another lease's or was never given is not theirs to know.
fn unseen(asked: &Asked) -> Problem {
    let token = asked.verb.token().map_or("the token".to_owned(), |token| format!("token {token}"));
    let remedy = match asked.verb {
        Verb::Check(_) => "refuse it",
        Verb::Revoke(_) => "give that of the grant that it has",
        _ => "give the one that the claim returned, or claim it again",
    };
    let lease = Named(asked);
    Problem::new(
        Code::Lost,
        format!("{token} is of no living grant of {lease}, and no more is told of it: {remedy}"),
    )
}

fn never_given(asked: &Asked, newest: Option<Token>) -> Problem {
    let token = asked.verb.token().map_or("the token".to_owned(), |token| format!("token {token}"));
    let newest =
        newest.map_or("none has been given yet".to_owned(), |newest| format!("the newest is {newest}"));
    let remedy = match asked.verb {
        Verb::Check(_) => "refuse it",
        _ => "give the one that the claim returned",
    };
    Problem::new(Code::Lost, format!("{token} was never given; {newest}: {remedy}"))
}

fn not_yours(asked: &Asked, whose: Whose, held: Option<(Holder, Token)>) -> Problem {
    let lease = Named(asked);
    let message = match (whose, asked.verb.token()) {
        (Whose::AnotherLeases, Some(wrong)) => {
            let by = held.as_ref().map_or(String::new(), |(holder, token)| {
                format!(", which {} holds under token {token}", Echo(holder.as_str()))
            });
            format!(
                "token {wrong} belongs to another lease, and not to {lease}{by}: give the token's own lease"
            )
        }
        _ => format!(
            "{} of {lease} is not to the instance that the call names: use the token and the instance of your own claim",
            Of(asked)
        ),
    };
    let (holder, token) = held.unzip();
    Problem {
        holder: holder.map(|holder| holder.as_str().to_owned()),
        token: token.map(Token::as_u64),
        ..Problem::new(Code::NotYours, message)
    }
}

fn queued(asked: &Asked, chance: u32) -> Problem {
    let message =
        format!("{} is free, and others wait in line for it: acquire it, to wait in line too", Named(asked));
    Problem::new(Code::Queued, message).retry_after_ms(retry_after_ms(Ttl::from_millis(1_000), chance))
}

fn not_waiting(asked: &Asked) -> Problem {
    let message = format!(
        "{} was not handed on: nobody of that name waits in line for it; have it acquire the lease first, or force the transfer",
        Named(asked)
    );
    Problem::new(Code::NotWaiting, message)
}

fn replaced(asked: &Asked) -> Problem {
    let message = format!(
        "a newer call of this holder and instance waits in line for {} in this one's place",
        Named(asked)
    );
    Problem::new(Code::Queued, message)
}

/// Why a watch could not begin or go on.
pub(super) fn unwatchable(why: Unwatchable, chance: u32) -> Problem {
    match why {
        Unwatchable::Compacted { first } => {
            let message = format!(
                "events before revision {} are no longer kept: list the leases again, and watch after the revision of the list's first page",
                first.0
            );
            Problem { revision: Some(first.0), ..Problem::new(Code::Compacted, message) }
        }
        Unwatchable::Ahead { newest } => {
            let message = format!(
                "the newest revision is {}: watch after that, or leave it out to watch from now on",
                newest.0
            );
            Problem { revision: Some(newest.0), ..Problem::new(Code::IndexAhead, message) }
        }
        Unwatchable::Unavailable(why) => unavailable(why, chance),
    }
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
        Unavailable::Unanswered => (
            Code::NoLeader,
            "the leader has not answered this member for 3 s: not done; try another member",
            300,
        ),
        Unavailable::Stopping => return stopping(chance),
        Unavailable::DiskFull => {
            (Code::DiskFull, "the member's disk is full: not done; free space on it, then try again", 2_000)
        }
        Unavailable::DiskStalled => {
            (Code::DiskStalled, "the member's disk has not synced for 3 s: not done; look at the disk", 2_000)
        }
    };
    Problem::new(code, message).retry_after_ms(retry_after_ms(Ttl::from_millis(base), chance))
}

pub(super) fn overloaded(retry_after: Ttl, chance: u32) -> Problem {
    let millis = retry_after_ms(retry_after, chance);
    Problem::new(
        Code::Overloaded,
        format!(
            "as much waits here as can be done in time, or limits.commands lets in: not done; try again in {}, \
             or at another member",
            Span(millis)
        ),
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

/// The acquire lasted as long as it might, and its place in line is given up.
pub(super) fn not_its_turn(key: &Key, view: Option<LeaseView>, at: Reading) -> Problem {
    let mut problem = still_held(key, view, at);
    let lease = lease_named(key.name.as_str(), key.namespace.as_str());
    problem.message =
        format!("it was not this call's turn for {lease} within its timeout_ms: acquire it again");
    problem
}

/// The wait lasted as long as it might.
pub(super) fn still_held(key: &Key, view: Option<LeaseView>, at: Reading) -> Problem {
    let grant = view.and_then(|view| view.grant);
    let by = grant.as_ref().map(|grant| format!(" by {}", Echo(grant.holder.as_str()))).unwrap_or_default();
    let lease = lease_named(key.name.as_str(), key.namespace.as_str());
    let message = format!("{lease} was not free within the wait's timeout_ms; it is held{by}: wait again");
    Problem {
        holder: grant.as_ref().map(|grant| grant.holder.as_str().to_owned()),
        token: grant.as_ref().map(|grant| grant.token.as_u64()),
        remaining_ms: grant.as_ref().map(|grant| at.now.until(grant.deadline).as_millis()),
        revision: Some(at.revision.0),
        ..Problem::new(Code::StillHeld, message)
    }
}

/// A wait names a revision that does not exist yet.
fn index_ahead(after: Revision, newest: Revision) -> Problem {
    let message = format!(
        "after {} is ahead of the newest revision, {}: give one that an answer carried, or leave it out",
        after.0, newest.0
    );
    let problem = Problem::new(Code::IndexAhead, message).in_field("after");
    Problem { revision: Some(newest.0), ..problem }
}

/// The wait lasted as long as it might, and this member's state is older than its `after`: whether such a state is there yet,
/// nobody could tell.
pub(super) fn not_so_far(after: Revision, at: Reading, chance: u32) -> Problem {
    let (wanted, own) = (after.0, at.revision.0);
    let message = format!(
        "this member is at revision {own}, and the wait is for {wanted}: wait again, or at another member"
    );
    let problem = Problem::new(Code::Behind, message);
    let problem = problem.retry_after_ms(retry_after_ms(Ttl::from_millis(300), chance));
    Problem { revision: Some(own), ..problem }
}

/// A lease as messages name it.
struct Named<'a>(&'a Asked);

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&lease_named(&self.0.name, &self.0.namespace))
    }
}

fn lease_named(name: &str, namespace: &str) -> String {
    format!("lease {} in namespace {}", Echo(name), Echo(namespace))
}

/// A grant as messages name it.
struct Of<'a>(&'a Asked);

impl std::fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.verb.token() {
            Some(token) => write!(f, "the grant of token {token}"),
            None => f.write_str("the grant"),
        }
    }
}
