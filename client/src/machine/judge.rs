//! What a reply proves about a call, given that other attempts of it may be unanswered.

use api::rules::{Ttl, surely_within};
use api::{Call, Code, Kind, Problem, Reply};

use super::part::Part;
use crate::Instant;

/// What a reply says about its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done, by this attempt or one before it.
    Done(Reply),
    /// Decided, and surely no attempt had or will have an effect.
    Refused(Problem),
    /// This attempt surely did nothing: worth another.
    Again(Problem),
    /// Not even the server knows about this attempt.
    Doubt(Problem),
    /// This attempt was refused, but one before it may have been done.
    Unprovable(Problem),
    /// A reply that does not fit the call.
    Nonsense,
}

/// Judges `reply` to `call` at `now`. `others_since` is when the first other attempt left that was not answered, if any.
pub(super) fn judge(call: Part<'_>, reply: Reply, others_since: Option<Instant>, now: Instant) -> Verdict {
    let problem = match reply {
        Reply::Error(problem) => problem,
        reply if fits(call, &reply) => return Verdict::Done(reply),
        _ => return Verdict::Nonsense,
    };
    // An attempt of the same acquire took this one's place in line, as where that went on through another link.
    if matches!((call, problem.code), (Part::Acquire(_), Code::Queued)) {
        return Verdict::Again(problem);
    }
    match problem.code.kind() {
        Kind::Unavailable => Verdict::Again(problem),
        Kind::Unknown if call.has_effect() => Verdict::Doubt(problem),
        Kind::Unknown => Verdict::Again(problem),
        Kind::Refused | Kind::Usage => match others_since.filter(|_| call.has_effect()) {
            None => Verdict::Refused(problem),
            Some(since) => refused_repeat(call, problem, since, now),
        },
    }
}

fn fits(part: Part<'_>, reply: &Reply) -> bool {
    match (part, reply) {
        (Part::Claim(claim), Reply::Granted(grant)) => {
            claim.name == grant.name && claim.namespace == grant.namespace
        }
        (Part::Extend(extend), Reply::Granted(grant)) => extend.token == grant.token,
        (Part::Acquire(acquire), Reply::Granted(grant)) => {
            acquire.name == grant.name && acquire.namespace == grant.namespace
        }
        (Part::Release(release), Reply::Released(released)) => release.token == released.token,
        (Part::Transfer(transfer), Reply::Released(released)) => transfer.token == released.token,
        (Part::Other(call), reply) => fits_whole(call, reply),
        _ => false,
    }
}

fn fits_whole(call: &Call, reply: &Reply) -> bool {
    match (call, reply) {
        (Call::Revoke(revoke), Reply::Released(released)) => revoke.now && revoke.token == released.token,
        (Call::Revoke(revoke), Reply::Ending(ending)) => !revoke.now && revoke.token == ending.token,
        (Call::Check(check), Reply::Checked(checked)) => check.token == checked.token,
        (Call::Bulk(steps), Reply::Bulk(replies)) => steps.len() == replies.len(),
        (Call::Hello(_), Reply::Welcome(_))
        | (Call::Wait(_), Reply::Free(_))
        | (Call::Get(_), Reply::Lease(_))
        | (Call::List(_), Reply::Page(_))
        | (Call::Count(_), Reply::Counted(_))
        | (Call::Pin(_) | Call::Unpin(_), Reply::Done)
        | (Call::Watch(_), Reply::Watching(_))
        | (Call::History(_), Reply::Ends(_))
        | (Call::Members(_), Reply::Members(_))
        | (Call::Tokens(_), Reply::Tokens(_))
        | (Call::Namespaces(_), Reply::Namespaces(_))
        | (Call::Cancel(_), Reply::Cancelled) => true,
        _ => false,
    }
}

// A refusal to a repeat speaks of the state after the attempts before it: "held" may mean by the grant that the first
// attempt won, "lost" may mean by the release that the first attempt was. So it proves nothing, but in these cases.
fn refused_repeat(call: Part<'_>, problem: Problem, since: Instant, now: Instant) -> Verdict {
    // The same text was wrong the first time too.
    if matches!(problem.code, Code::BadRequest | Code::BadName | Code::TooLarge | Code::NotFound) {
        return Verdict::Refused(problem);
    }
    match call {
        Part::Release(release) => ended_once(release.token, "released", problem),
        Part::Transfer(transfer) => ended_once(transfer.token, "transferred", problem),
        Part::Extend(extend) => match end_of(extend.token, &problem) {
            Some(end) if ended_before(end.ago_ms, since, now) => Verdict::Refused(problem),
            _ => Verdict::Unprovable(problem),
        },
        _ => Verdict::Unprovable(problem),
    }
}

// A grant ends once. The end that we asked for is ours; any other means that no attempt of ours did it.
fn ended_once(token: u64, asked: &str, problem: Problem) -> Verdict {
    match end_of(token, &problem) {
        Some(end) if end.why == asked => Verdict::Done(Reply::Released(api::Released { token })),
        Some(_) => Verdict::Refused(problem),
        None => Verdict::Unprovable(problem),
    }
}

fn end_of(token: u64, problem: &Problem) -> Option<&api::End> {
    problem.end.as_deref().filter(|end| end.token == token)
}

// The lease clock may lag ours by any stall, but never runs ahead by more than both rates' error: what was that long ago
// there was at least this long ago here.
fn ended_before(ago_ms: u64, since: Instant, now: Instant) -> bool {
    let ago_at_least = surely_within(Ttl::from_millis(ago_ms)).as_millis();
    u128::from(ago_at_least) > since.until(now).as_millis() + 1
}
