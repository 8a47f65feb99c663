//! The HTTP/JSON door: one call a request, for curl and for programs that need no session.

use std::sync::Arc;
use std::time::Duration;

use api::{
    Acquire, Call, Check, Checked, Claim, Code, Count, Counted, Ending, Ends, ErrorBody, Extend, Free, Get,
    Grant, History, Lease, List, Page, Pin, Problem, Release, Released, Reply, Revoke, Transfer, Unpin, Wait,
};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use lease::WAIT_DEFAULT;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::Doors;
use super::body::Body;
use super::identify::Asking;
use super::listen::stopped;
use super::reply::{problem, problem_as, reply};
use crate::identity::Caller;
use crate::service::{
    Done, Service, TURN_SLACK, Waiting, bounds, clean, patience, stopping, unanswered, unauthenticated,
};

/// Take a free lease; or extend it, where this holder and instance hold it already.
#[utoipa::path(
    post, path = "/v1/claim", tag = "leases", request_body = Claim,
    responses(
        (status = 200, description = "Granted", body = Grant),
        (status = 400, description = "`bad_request`, `bad_name`, `bad_ttl`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`held`, `cooldown`, `queued`, `full`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "The content type is not application/json", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn claim(asking: Asking, Body(claim): Body<Claim>) -> Response {
    answer(&asking, Call::Claim(claim)).await
}

/// Move a grant's deadline to at least its ttl from now.
#[utoipa::path(
    post, path = "/v1/extend", tag = "leases", request_body = Extend,
    responses(
        (status = 200, description = "Extended", body = Grant),
        (status = 400, description = "`bad_request`, `bad_name`, `bad_ttl`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`lost`, `stale_token`, `ending`, `not_yours`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "The content type is not application/json", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn extend(asking: Asking, Body(extend): Body<Extend>) -> Response {
    answer(&asking, Call::Extend(extend)).await
}

/// End a grant, so that the next one may claim.
#[utoipa::path(
    post, path = "/v1/release", tag = "leases", request_body = Release,
    responses(
        (status = 200, description = "Released", body = Released),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`lost`, `stale_token`, `not_yours`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "The content type is not application/json", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn release(asking: Asking, Body(release): Body<Release>) -> Response {
    answer(&asking, Call::Release(release)).await
}

/// How one lease is read.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HowRead {
    /// Answer from the state that the member has, without asking a leader: it may be old, and needs no quorum.
    #[serde(default)]
    pub(super) stale: bool,
}

/// See one lease. A lease that nobody holds is answered as free, known or not.
#[utoipa::path(
    get, path = "/v1/leases/{namespace}/{name}", tag = "leases",
    params(
        ("namespace" = String, Path, description = "The lease's namespace, percent-encoded"),
        ("name" = String, Path, description = "The lease's name, percent-encoded; slashes may stand as they are"),
        HowRead,
    ),
    responses(
        (status = 200, description = "The lease", body = Lease),
        (status = 400, description = "`bad_name`, `bad_request`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn get(
    asking: Asking,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Response {
    let HowRead { stale } = match read_query(&uri) {
        Ok(how) => how,
        Err(error) => return problem(error),
    };
    match path {
        Ok(Path((namespace, name))) => answer(&asking, Call::Get(Get { namespace, name, stale })).await,
        Err(rejection) => problem(Problem::new(Code::BadRequest, clean(&rejection.body_text()))),
    }
}

/// A path that ends where the name should stand: the name is empty, and the answer says so.
pub(super) async fn get_unnamed(asking: Asking, Path(namespace): Path<String>) -> Response {
    answer(&asking, Call::Get(Get { namespace, ..Get::default() })).await
}

/// See many leases, a page at a time, ordered by namespace and name.
#[utoipa::path(
    get, path = "/v1/leases", tag = "leases", params(List),
    responses(
        (status = 200, description = "A page", body = Page),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn list(asking: Asking, uri: Uri) -> Response {
    match read_query::<List>(&uri) {
        Ok(list) => answer(&asking, Call::List(list)).await,
        Err(error) => problem(error),
    }
}

/// How many leases are held.
#[utoipa::path(
    get, path = "/v1/count", tag = "leases", params(Count),
    responses(
        (status = 200, description = "The count", body = Counted),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn count(asking: Asking, uri: Uri) -> Response {
    match read_query::<Count>(&uri) {
        Ok(count) => answer(&asking, Call::Count(count)).await,
        Err(error) => problem(error),
    }
}

/// Be told once a lease is free: the answer comes when it is, or when `timeout_ms` has passed.
#[utoipa::path(
    get, path = "/v1/wait", tag = "leases", params(Wait),
    responses(
        (status = 200, description = "The lease is free", body = Free),
        (status = 400, description = "`bad_request`, `bad_name`, `index_ahead`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`still_held`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn wait(State(doors): State<Doors>, asking: Asking, uri: Uri) -> Response {
    match read_query::<Wait>(&uri) {
        Ok(wait) => {
            let begin = |sink| doors.service.wait(&asking.caller, &wait, sink);
            answer_when_due(doors.clone(), &asking.caller, begin).await
        }
        Err(error) => problem(error),
    }
}

/// Take a free lease, or wait in line for it: the answer comes when it is granted, or when `timeout_ms` has passed. A grant that
/// came by waiting is unconfirmed: extend it at once, and believe in it from then on.
#[utoipa::path(
    post, path = "/v1/acquire", tag = "leases", request_body = Acquire,
    responses(
        (status = 200, description = "Granted", body = Grant),
        (status = 400, description = "`bad_request`, `bad_name`, `bad_ttl`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`still_held`, `queued`, `full`", body = ErrorBody),
        (status = 413, description = "`too_large`", body = ErrorBody),
        (status = 415, description = "The content type is not application/json", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn acquire(
    State(doors): State<Doors>,
    asking: Asking,
    Body(acquire): Body<Acquire>,
) -> Response {
    let begin = |sink| doors.service.acquire(&asking.caller, acquire, sink);
    answer_when_due(doors.clone(), &asking.caller, begin).await
}

type Sink = Box<dyn FnOnce(Done) + Send>;

/// The answer of a call that waits: when it comes, or when it has lasted too long, or when its caller is not known any more.
async fn answer_when_due(
    doors: Doors,
    caller: &Caller,
    begin: impl FnOnce(Sink) -> Result<(Waiting, Option<Duration>), Problem>,
) -> Response {
    let (sender, receiver) = oneshot::channel();
    let (waiting, timeout) = match begin(Box::new(move |done| drop(sender.send(done)))) {
        Ok(begun) => begun,
        Err(error) => return problem(error),
    };
    // Dropped with this future, where the client goes away: a wait for nobody would stay in the table for ever.
    let waiting = GivenUp(waiting);
    let mut stop = doors.stop;
    let timeout = timeout.unwrap_or(Duration::from_nanos(WAIT_DEFAULT.as_nanos()));
    let mut receiver = receiver;
    let why = tokio::select! {
        biased;
        done = &mut receiver => return reply(worded(done, false)),
        () = doors.service.doorkeeper.forgets(caller) => Some(unauthenticated()),
        () = stopped(&mut stop) => Some(stopping()),
        () = tokio::time::sleep(timeout) => None,
    };
    if let Some(error) = waiting.0.time_out() {
        return problem(why.unwrap_or(error));
    }
    // Its claim may be on its way already: then what comes of that is the answer, and not why it was given up.
    let answer = match tokio::time::timeout(TURN_SLACK, receiver).await {
        Ok(done) => worded(done, true),
        Err(_) => Reply::Error(unanswered(true)),
    };
    match (answer, why) {
        (Reply::Error(error), Some(why)) if error.code == Code::StillHeld => problem(why),
        (answer, _) => reply(answer),
    }
}

struct GivenUp(Waiting);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Hand a grant on to another holder in one step. Whoever asks may not believe in it from the moment this leaves.
#[utoipa::path(
    post, path = "/v1/transfer", tag = "leases", request_body = Transfer,
    responses(
        (status = 200, description = "Handed on: the grant of that token has ended", body = Released),
        (status = 400, description = "`bad_request`, `bad_name`, `bad_ttl`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`not_waiting`, `lost`, `ending`, `not_yours`", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn transfer(asking: Asking, Body(transfer): Body<Transfer>) -> Response {
    answer(&asking, Call::Transfer(transfer)).await
}

/// An operator takes a grant away: it may not be extended, and is free at its deadline; with `now`, at once.
#[utoipa::path(
    post, path = "/v1/revoke", tag = "operator", request_body = Revoke,
    responses(
        (status = 200, description = "It ends at its deadline; with `now`, it has ended: then only its `token` is there", body = Ending),
        (status = 400, description = "`bad_request`, `bad_name`, `bad_ttl`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`lost`, `not_yours`", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn revoke(asking: Asking, Body(revoke): Body<Revoke>) -> Response {
    answer(&asking, Call::Revoke(revoke)).await
}

/// Keep whoever holds a lease from expiring, held or not, until the pin is taken away. Idempotent.
#[utoipa::path(
    post, path = "/v1/pin", tag = "operator", request_body = Pin,
    responses(
        (status = 204, description = "It is pinned"),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`full`: there are 16 pins on it", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn pin(asking: Asking, Body(pin): Body<Pin>) -> Response {
    answer(&asking, Call::Pin(pin)).await
}

/// Take a pin away. Idempotent.
#[utoipa::path(
    post, path = "/v1/unpin", tag = "operator", request_body = Unpin,
    responses(
        (status = 204, description = "There is no such pin any more"),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "Surely not done: `overloaded`, `late`, `behind`, `no_leader`, `stopping`, `disk_full`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done", body = ErrorBody),
    )
)]
pub(super) async fn unpin(asking: Asking, Body(unpin): Body<Unpin>) -> Response {
    answer(&asking, Call::Unpin(unpin)).await
}

/// How grants ended, the newest first.
#[utoipa::path(
    get, path = "/v1/history", tag = "leases", params(History),
    responses(
        (status = 200, description = "The ends", body = Ends),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn history(asking: Asking, uri: Uri) -> Response {
    match read_query::<History>(&uri) {
        Ok(history) => answer(&asking, Call::History(history)).await,
        Err(error) => problem(error),
    }
}

/// Ask whether a token is that of a lease's living grant: for resources that fence.
#[utoipa::path(
    get, path = "/v1/check", tag = "leases", params(Check),
    responses(
        (status = 200, description = "It is", body = Checked),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "It is not: `not_yours` where it is another lease's, `stale_token` where there is a newer grant, else `lost`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn check(asking: Asking, uri: Uri) -> Response {
    match read_query::<Check>(&uri) {
        Ok(check) => answer(&asking, Call::Check(check)).await,
        Err(error) => problem(error),
    }
}

/// A query on a path that takes none is refused, as an unknown field is: what it was to change would silently stay as it is.
pub(super) async fn no_query(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let takes_one = matches!(
        uri.path(),
        "/v1/leases" | "/v1/count" | "/v1/wait" | "/v1/history" | "/v1/check" | "/v1/watch"
    );
    let introspects = uri.path().strip_prefix("/introspection").unwrap_or(uri.path());
    let takes_one = takes_one || matches!(introspects, "/leases" | "/leases/revoke");
    // To see the members takes one, and to change them none.
    let takes_one = takes_one || (uri.path() == "/v1/members" && request.method() == Method::GET);
    let takes_one = takes_one || uri.path().starts_with("/v1/leases/");
    match uri.query().filter(|query| !takes_one && !query.is_empty()) {
        None => next.run(request).await,
        Some(query) => {
            let field = query.split(['=', '&']).next().unwrap_or_default();
            let message = format!(
                "the query is wrong: unknown parameter `{}`; {} takes none",
                clean(field),
                clean(uri.path())
            );
            problem(Problem::new(Code::BadRequest, message).in_field(clean(field)))
        }
    }
}

/// No such path.
pub(super) async fn not_found(uri: Uri) -> Response {
    let path = clean(uri.path());
    let message = match path.strip_prefix("/v1/leases/").filter(|namespace| !namespace.is_empty()) {
        // Only a path without a name comes here.
        Some(namespace) => format!(
            "there is no path {path}: did you mean /v1/leases?namespace={namespace}, or for one lease {path}/NAME?"
        ),
        None => format!("there is no path {path}: GET /v1/openapi.json lists them"),
    };
    problem(Problem::new(Code::NotFound, message))
}

/// The path is right, and the method is not.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let takes = match uri.path() {
        "/v1/claim" | "/v1/extend" | "/v1/release" | "/v1/acquire" | "/v1/transfer" | "/v1/revoke"
        | "/v1/pin" | "/v1/unpin" => Method::POST,
        _ => Method::GET,
    };
    let message = format!("{} does not take {method}: use {takes}", clean(uri.path()));
    problem_as(StatusCode::METHOD_NOT_ALLOWED, Problem::new(Code::BadRequest, message))
}

pub(super) async fn answer(asking: &Asking, call: Call) -> Response {
    reply(asked(&asking.service, &asking.caller, call).await)
}

/// Asks for one thing, and awaits what comes of it, by its deadline at the latest.
pub(super) async fn asked(service: &Service, caller: &Arc<Caller>, call: Call) -> Reply {
    let (patience, is_command) = (patience(&call), call.has_effect());
    let (sender, receiver) = oneshot::channel();
    service.submit(caller, call, move |done| drop(sender.send(done)));
    match tokio::time::timeout(patience, receiver).await {
        Ok(done) => worded(done, is_command),
        Err(_) => Reply::Error(unanswered(is_command)),
    }
}

/// A sink that was dropped unanswered is a replica that is gone: that is no answer either.
fn worded(done: Result<Done, oneshot::error::RecvError>, is_command: bool) -> Reply {
    match done {
        Ok(done) => done.reply(&mut rand::random),
        Err(_) => Reply::Error(unanswered(is_command)),
    }
}

pub(super) fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let query: Result<Query<T>, QueryRejection> = Query::try_from_uri(uri);
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => {
            let text = rejection.body_text();
            let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            let named =
                ["missing field `", "unknown field `"].iter().find_map(|start| why.strip_prefix(start));
            let field = match named {
                Some(rest) => rest.split('`').next(),
                None => why.split_once(": ").map(|(field, _)| field),
            };
            // A number that is none, or is below zero, is told what is one.
            let remedy = field.filter(|_| named.is_none()).and_then(bounds);
            let remedy = remedy.map_or(String::new(), |bounds| format!(": {bounds}"));
            let error = Problem::new(Code::BadRequest, format!("the query is wrong: {}{remedy}", clean(why)));
            Err(match field {
                Some(field) => error.in_field(clean(field)),
                None => error,
            })
        }
    }
}
