//! The members, over HTTP.

use api::{Call, ChangeMembers, ErrorBody, Members};
use axum::http::Uri;
use axum::response::Response;

use super::body::Body;
use super::http::{HowRead, answer, read_query};
use super::identify::Asking;
use super::reply::problem;

/// The cluster's members, as the leader sees them; or, stale, as the member that is asked knows them.
#[utoipa::path(
    get, path = "/v1/members", tag = "member", params(HowRead),
    responses(
        (status = 200, description = "By id", body = Members),
        (status = 400, description = "`bad_request`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "`no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn list(asking: Asking, uri: Uri) -> Response {
    match read_query(&uri) {
        Ok(HowRead { stale }) => {
            answer(&asking, Call::Members(ChangeMembers { stale, ..ChangeMembers::default() })).await
        }
        Err(error) => problem(error),
    }
}

/// Change the cluster's members. Any member may be asked.
#[utoipa::path(
    post, path = "/v1/members", tag = "operator", request_body = ChangeMembers,
    responses(
        (status = 200, description = "Done: the members as they are now", body = Members),
        (status = 400, description = "`bad_request`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`members`: it would break a rule, which the message names", body = ErrorBody),
        (status = 503, description = "Surely not done: `no_leader`, `stopping`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done; look at the members", body = ErrorBody),
    )
)]
pub(super) async fn change(asking: Asking, Body(change): Body<ChangeMembers>) -> Response {
    answer(&asking, Call::Members(change)).await
}
