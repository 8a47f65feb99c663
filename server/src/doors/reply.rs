//! From a reply or a problem to an HTTP answer.

use api::{Code, ErrorBody, Problem, Reply};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The HTTP answer of a reply.
pub(super) fn reply(reply: Reply) -> Response {
    match reply {
        Reply::Granted(grant) => Json(grant).into_response(),
        Reply::Released(released) => Json(released).into_response(),
        Reply::Free(free) => Json(free).into_response(),
        Reply::Lease(lease) => Json(*lease).into_response(),
        Reply::Page(page) => Json(page).into_response(),
        Reply::Counted(counted) => Json(counted).into_response(),
        Reply::Ending(ending) => Json(ending).into_response(),
        Reply::Ends(ends) => Json(ends).into_response(),
        Reply::Members(members) => Json(members).into_response(),
        Reply::Tokens(tokens) => Json(tokens).into_response(),
        Reply::Namespaces(namespaces) => Json(namespaces).into_response(),
        Reply::Checked(checked) => Json(checked).into_response(),
        Reply::Done => StatusCode::NO_CONTENT.into_response(),
        Reply::Error(error) => problem(error),
        Reply::Welcome(_) | Reply::Bulk(_) | Reply::Watching(_) | Reply::Cancelled => {
            debug_assert!(false, "only sessions are answered so");
            problem(Problem::new(Code::NotFound, "only a session has this answer"))
        }
    }
}

/// The HTTP answer of a problem, with the status of its code.
pub(super) fn problem(error: Problem) -> Response {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    problem_as(status, error)
}

/// The HTTP answer of a problem whose status says more than its code.
pub(super) fn problem_as(status: StatusCode, error: Problem) -> Response {
    let retry_after = error.retry_after_ms.map(|millis| HeaderValue::from(millis.div_ceil(1_000)));
    let mut response = (status, Json(ErrorBody { error })).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}
