//! The tokens, over HTTP.

use api::{Call, ChangeTokens, ErrorBody, Tokens};
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
        (status = 409, description = "`members`: a member is of a version that knows no tokens; `version`", body = ErrorBody),
        (status = 503, description = "Surely not done: `no_leader`, `stopping`", body = ErrorBody),
        (status = 504, description = "`unknown`: it may have been done; look at the tokens", body = ErrorBody),
    )
)]
pub(super) async fn change(asking: Asking, Body(change): Body<ChangeTokens>) -> Response {
    answer(&asking, Call::Tokens(change)).await
}
