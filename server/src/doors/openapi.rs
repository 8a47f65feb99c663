//! The description of the HTTP calls that the server serves and docs/openapi.json keeps: made from the handlers and from
//! `api`'s types, so that it cannot fall behind them. The session's frames are described with it.

use api::{ClientFrame, ServerFrame};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::{backup, health, http, introspection, members, session, tokens, watch};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tenure",
        description = "Leases and leadership: claim a name for a time, extend it, wait for it. Tokens and other u64 \
            are decimal strings; durations are whole milliseconds, in fields named `…_ms`. docs/api.md tells it in examples.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        http::claim, http::extend, http::release, http::acquire, http::transfer, http::revoke, http::pin, http::unpin,
        http::get, http::list, http::count, http::wait, http::history, http::check, watch::watch, backup::backup,
        members::list, members::change, tokens::list, tokens::change, tokens::namespaces, tokens::change_namespace,
        session::session, health::healthz, health::readyz, introspection::depengine, introspection::leases,
        introspection::revoke, introspection::metrics, openapi,
    ),
    components(schemas(ClientFrame, ServerFrame)),
    tags(
        (name = "leases", description = "One call a request"),
        (name = "operator", description = "What an operator does to a lease"),
        (name = "session", description = "Many calls on one WebSocket"),
        (name = "member", description = "The member itself"),
    ),
)]
struct Described;

/// The OpenAPI document as the server serves it, and as docs/openapi.json keeps it.
pub fn openapi_json() -> String {
    let mut json = Described::openapi().to_pretty_json().unwrap_or_else(|error| {
        debug_assert!(false, "the document is always JSON: {error}");
        format!("{{\"error\": \"{error}\"}}")
    });
    json.push('\n');
    json
}

/// This document.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "member",
    responses((status = 200, description = "An OpenAPI document", content_type = "application/json"))
)]
pub(super) async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], openapi_json()).into_response()
}
