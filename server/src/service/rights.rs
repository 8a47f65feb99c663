//! Who comes, by what this member has applied; what a call asks for, as the one rule of who may do what sees it; and what is written
//! down of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::{Call, Code, Problem, Step};
use lease::{Outcome, RETRY_AFTER_MIN, Token, Ttl};
use replica::{Answer, Unavailable};

use super::{Done, Service, retry_after_ms};
#[cfg(test)]
mod tests;

use crate::identity::{
    Barred, Caller, Came, Crowded, Doorkeeper, Leave, Principal, Scope, TooMany, Unknown, Verb,
};

/// The verb and the scope of a call; none of a greeting, a cancel, and a bulk call, whose steps each have their own.
pub(super) fn asked(call: &Call) -> Option<(Verb, Scope<'_>)> {
    Some(match call {
        Call::Claim(it) => (Verb::Claim, lease(&it.namespace, &it.name, Some(&it.holder))),
        Call::Acquire(it) => (Verb::Claim, lease(&it.namespace, &it.name, Some(&it.holder))),
        Call::Extend(it) => (Verb::Extend, lease(&it.namespace, &it.name, None)),
        Call::Release(it) => (Verb::Release, lease(&it.namespace, &it.name, None)),
        // Forced, it makes a grant for one who has not asked for any.
        Call::Transfer(it) => {
            (Verb::Transfer, lease(&it.namespace, &it.name, it.force.then_some(it.to.as_str())))
        }
        Call::Revoke(it) => (Verb::Revoke, lease(&it.namespace, &it.name, it.heir.as_deref())),
        Call::Pin(it) => (Verb::Pin, lease(&it.namespace, &it.name, None)),
        Call::Unpin(it) => (Verb::Unpin, lease(&it.namespace, &it.name, None)),
        Call::Wait(it) => (Verb::Wait, lease(&it.namespace, &it.name, None)),
        Call::Get(it) => (Verb::Get, lease(&it.namespace, &it.name, None)),
        Call::Check(it) => (Verb::Check, lease(&it.namespace, &it.name, None)),
        Call::Watch(it) => (Verb::Watch, one_or_all(&it.namespace, it.name.as_deref())),
        Call::History(it) => (Verb::History, one_or_all(&it.namespace, it.name.as_deref())),
        Call::List(it) => (Verb::List, Scope::Namespace(it.namespace.as_deref())),
        Call::Count(it) => (Verb::Count, Scope::Namespace(it.namespace.as_deref())),
        Call::Members(it) if it.change.is_some() => (Verb::ChangeMembers, Scope::Cluster),
        Call::Members(_) => (Verb::Members, Scope::Cluster),
        Call::Tokens(it) if it.change.is_some() => (Verb::ChangeTokens, Scope::Cluster),
        Call::Tokens(_) => (Verb::Tokens, Scope::Cluster),
        Call::Namespaces(it) if it.change.is_some() => (Verb::ChangeNamespaces, Scope::Cluster),
        Call::Namespaces(_) => (Verb::Namespaces, Scope::Cluster),
        Call::Hello(_) | Call::Cancel(_) | Call::Bulk(_) => return None,
    })
}

/// The same of a step.
pub(super) fn asked_by(step: &Step) -> (Verb, Scope<'_>) {
    match step {
        Step::Claim(it) => (Verb::Claim, lease(&it.namespace, &it.name, Some(&it.holder))),
        Step::Extend(it) => (Verb::Extend, lease(&it.namespace, &it.name, None)),
        Step::Release(it) => (Verb::Release, lease(&it.namespace, &it.name, None)),
    }
}

/// A read that names no namespace is of the caller's own, where it has one.
pub(super) fn narrowed(caller: &Caller, mut call: Call) -> Call {
    match &mut call {
        Call::List(list) => list.namespace = caller.principal.narrowed(list.namespace.take()),
        Call::Count(count) => count.namespace = caller.principal.narrowed(count.namespace.take()),
        _ => {}
    }
    call
}

fn lease<'a>(namespace: &'a str, name: &'a str, holder: Option<&'a str>) -> Scope<'a> {
    Scope::Lease { namespace, name, holder }
}

pub(super) fn one_or_all<'a>(namespace: &'a str, name: Option<&'a str>) -> Scope<'a> {
    name.map_or(Scope::Namespace(Some(namespace)), |name| lease(namespace, name, None))
}

impl Service {
    /// The same, behind somebody who asks who comes.
    pub(crate) fn behind(self, doorkeeper: Doorkeeper) -> Service {
        Service { doorkeeper: Arc::new(doorkeeper), ..self }
    }

    /// Who comes with this token, by what this member has applied.
    ///
    /// # Errors
    /// Why nobody does: for the audit log alone.
    pub(crate) fn authenticate(&self, token: &str) -> Result<Arc<Principal>, Unknown> {
        match self.doorkeeper.directory.authenticate(token) {
            Err(Unknown::NoSuch(_)) => {
                self.look_at_credentials();
                self.doorkeeper.directory.authenticate(token)
            }
            known => known,
        }
    }

    /// Whether the first operator's token is yet to be set up: until then, one that is not known may be that.
    pub(crate) fn waits_for_first_token(&self) -> bool {
        self.first_token.load(Ordering::Acquire)
    }

    /// The first operator's token is yet to be set up, or no longer.
    pub(crate) fn set_first_token_waits(&self, waits: bool) {
        self.first_token.store(waits, Ordering::Release);
    }

    /// Takes in the credentials that this member has applied. What is decided by them is as old as a look is, and the leader does not
    /// ask again who comes: it sees again whose a grant is, and nothing else of rights changes with what is applied.
    pub(crate) fn look_at_credentials(&self) {
        let now = u64::try_from(crate::tls::wall_seconds()).unwrap_or_default();
        let mut seen = None;
        self.backend.look(&mut |table, _| {
            let settings = table.settings();
            seen = Some((Arc::clone(&settings.credentials), settings.version));
        });
        // Outside the table's lock, and so perhaps behind a look that began later: its version tells.
        if let Some((credentials, version)) = seen {
            self.doorkeeper.directory.look(&credentials, version, now);
        }
    }

    /// Lets a caller go on, with the line that its act is to leave in the audit log, and its place among what waits.
    ///
    /// # Errors
    /// Why it may not: nothing was read of what is there.
    pub(crate) fn permit(&self, caller: &Caller, verb: Verb, scope: Scope<'_>) -> Result<Leave, Problem> {
        self.doorkeeper.check(caller, verb, scope).map_err(barred)?;
        let place = self.doorkeeper.place(caller, verb, scope).map_err(barred)?;
        Ok(Leave { note: self.doorkeeper.note(caller, verb, scope), place })
    }

    /// Writes down that a door had no room for a call, where a change is what it asks for.
    pub(crate) fn not_begun(&self, caller: &Caller, call: &Call, problem: &Problem) {
        if problem.code != Code::Overloaded {
            return;
        }
        let steps = match call {
            Call::Bulk(steps) => &steps[..steps.len().min(lease::FRAME_OPERATIONS_MAX)],
            _ => &[],
        };
        for (verb, scope) in steps.iter().map(asked_by).chain(asked(call)) {
            self.doorkeeper.crowded_out(caller, verb, scope);
        }
    }

    /// Whether the caller is still who they were when they were let in.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn still(&self, caller: &Caller) -> Result<(), Problem> {
        if self.doorkeeper.knows(caller) { Ok(()) } else { Err(unauthenticated()) }
    }
}

fn barred(why: Barred) -> Problem {
    match why {
        Barred::Unknown => unauthenticated(),
        Barred::Denied(denied) => Problem::new(Code::Forbidden, denied.to_string()),
        Barred::TooOften(again) => {
            let millis = retry_after_ms(millis(again), rand::random());
            let message = "the token's quota of claims a second is used up: claim less often, or have an operator raise it";
            Problem::new(Code::Overloaded, message).retry_after_ms(millis)
        }
        Barred::Crowded(Crowded { share }) => {
            let message = format!(
                "{share} of your calls of this kind wait for their turn at this member, half of its limits.commands and the limit of one \
                 principal: not done; await some first"
            );
            let millis = retry_after_ms(RETRY_AFTER_MIN, rand::random());
            Problem::new(Code::Overloaded, message).retry_after_ms(millis)
        }
    }
}

/// What whoever comes with a token is told that is not known, where it is not looked for.
pub(crate) fn not_looked_for(why: &TooMany) -> Problem {
    let millis = retry_after_ms(millis(why.again).max(RETRY_AFTER_MIN), rand::random());
    Problem::new(Code::Overloaded, why.to_string()).retry_after_ms(millis)
}

fn millis(duration: Duration) -> Ttl {
    Ttl::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// The one answer to whoever is not known, whatever the cause.
pub(crate) fn unauthenticated() -> Problem {
    let message = "who asks is not known here: come with a good token (--token-file, TENURE_TOKEN, or Authorization: Bearer) or a \
                   client's certificate; the cause is in the member's audit log";
    Problem::new(Code::Unauthenticated, message)
}

/// A sink that writes what came of the call, and gives its place back, before it passes it on. Dropped uncalled, it does both too.
pub(super) fn noting<S: FnOnce(Done) + Send + 'static>(
    leave: Leave,
    sink: S,
) -> impl FnOnce(Done) + Send + 'static {
    noting_as(leave, came, sink)
}

/// The same of an acquire. One that is sent away while it waits may have its claim on its way: its line is never left out, but where
/// nothing was sent on.
pub(super) fn noting_acquire<S: FnOnce(Done) + Send + 'static>(
    leave: Leave,
    sink: S,
) -> impl FnOnce(Done) + Send + 'static {
    let came_of_it = |done: &Done| match done {
        Done::Answered { answer: Answer::Unavailable(why), .. }
            if !matches!(why, Unavailable::Overloaded { .. }) =>
        {
            (Came::Done("unavailable"), None)
        }
        _ => came(done),
    };
    noting_as(leave, came_of_it, sink)
}

fn noting_as<S: FnOnce(Done) + Send + 'static>(
    leave: Leave,
    came: impl FnOnce(&Done) -> (Came, Option<Token>) + Send + 'static,
    sink: S,
) -> impl FnOnce(Done) + Send + 'static {
    move |done| {
        let Leave { note, place } = leave;
        if let Some(note) = note {
            let (came, token) = came(&done);
            note.outcome(came, token);
        }
        drop(place);
        sink(done);
    }
}

/// Writes that a call was refused before it began; what is wrong with it goes on to its caller.
pub(super) fn refused(leave: Leave, problem: Problem) -> Problem {
    leave.note.into_iter().for_each(|note| note.outcome(Came::of(&problem), None));
    problem
}

/// What came of a change, in a word, and the token that it is about.
fn came(done: &Done) -> (Came, Option<Token>) {
    let answer = match done {
        Done::Answered { answer, .. } => answer,
        Done::Members(Ok(_), _) | Done::Tokens(_) | Done::Namespaces(_) => return (Came::Done("done"), None),
        Done::Reply(api::Reply::Error(problem)) => return (Came::of(problem), None),
        Done::Members(Err(replica::Unchanged::Unknown), _) => return (Came::Done("unknown"), None),
        // Some are refused halfway: a member that drains and still leads, a lead that was asked for and not taken.
        Done::Members(Err(replica::Unchanged::Refused(_)), _) => return (Came::Done("refused"), None),
        Done::Unavailable(_) => return (Came::Refused("unavailable"), None),
        _ => return (Came::Refused("refused"), None),
    };
    let (outcome, token) = match answer {
        Answer::Decided { outcome: Outcome::Granted(it), .. } => ("granted", Some(it.token)),
        Answer::Decided { outcome: Outcome::Extended(it), .. } => ("extended", Some(it.token)),
        Answer::Decided { outcome: Outcome::Released { token }, .. } => ("released", Some(*token)),
        Answer::Decided { outcome: Outcome::Ending { token, .. }, .. } => ("ending", Some(*token)),
        Answer::Decided { outcome: Outcome::Done | Outcome::Set { .. }, .. } => ("done", None),
        Answer::Unknown => ("unknown", None),
        Answer::Unavailable(_) | Answer::NotBegun(_) => return (Came::Refused("unavailable"), None),
        _ => return (Came::Refused("refused"), None),
    };
    (Came::Done(outcome), token)
}

/// What a denied step is answered, and what an allowed one leaves behind.
pub(super) fn permit_step(service: &Service, caller: &Arc<Caller>, step: &Step) -> Result<Leave, Problem> {
    let (verb, scope) = asked_by(step);
    service.permit(caller, verb, scope)
}
