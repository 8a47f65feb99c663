//! The tokens, and what namespaces allow, over HTTP.

use api::{Call, ChangeNamespaces, ChangeTokens, ErrorBody, Namespaces, Tokens};
use axum::response::Response;

use super::body::Body;
use super::http::answer;
use super::identify::Asking;

/// The tokens by which clients may come, and nothing of their secrets.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "operator",
    responses(
        (status = 200, description = "By id", body = Tokens),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn list(asking: Asking) -> Response {
    answer(&asking, Call::Tokens(ChangeTokens::default())).await
}

/// Make, revoke or forget a token. The secret of a new one stays with whoever drew it: only its hash is sent.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "operator", request_body = ChangeTokens,
    responses(
        (status = 200, description = "Done: the tokens as they are now", body = Tokens),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 404, description = "`not_found`: there is no such token", body = ErrorBody),
        (status = 409, description = "`conflict`: there is another token of that id; `members`: a member is of a version that knows no tokens; `version`", body = ErrorBody),
        (status = 503, description = "Surely not done: `no_leader`, `stopping`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done; look at the tokens", body = ErrorBody),
    )
)]
pub(super) async fn change(asking: Asking, Body(change): Body<ChangeTokens>) -> Response {
    answer(&asking, Call::Tokens(change)).await
}

/// What namespaces allow, where it is not the default.
#[utoipa::path(
    get, path = "/v1/namespaces", tag = "operator",
    responses(
        (status = 200, description = "By name", body = Namespaces),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn namespaces(asking: Asking) -> Response {
    answer(&asking, Call::Namespaces(ChangeNamespaces::default())).await
}

/// Change what a namespace allows: its ttls, its cooldown, and how many leases it may have.
#[utoipa::path(
    post, path = "/v1/namespaces", tag = "operator", request_body = ChangeNamespaces,
    responses(
        (status = 200, description = "Done: the namespaces as they are now", body = Namespaces),
        (status = 400, description = "`bad_request`, `bad_name`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 409, description = "`version`", body = ErrorBody),
        (status = 503, description = "Surely not done: `no_leader`, `stopping`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done; look at the namespaces", body = ErrorBody),
    )
)]
pub(super) async fn change_namespace(asking: Asking, Body(change): Body<ChangeNamespaces>) -> Response {
    answer(&asking, Call::Namespaces(change)).await
}
