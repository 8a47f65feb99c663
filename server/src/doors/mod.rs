//! The doors: one port, one router, one folder or file a door. Each turns what it hears into calls of the service.

mod backup;
mod body;
pub(crate) mod doorstep;
pub(crate) mod handshake;
pub(crate) mod health;
mod http;
pub(crate) mod identify;
mod introspection;
pub(crate) mod json;
pub(crate) mod juju;
pub(crate) mod listen;
mod members;
mod openapi;
pub(crate) mod origin;
mod reply;
pub(crate) mod session;
#[cfg(test)]
mod tests;
mod timer;
mod tokens;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};

pub use openapi::openapi_json;
pub(crate) use session::{Going, Registry, Times};

use crate::service::Service;

/// What every door needs.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) service: Arc<Service>,
    pub(crate) sessions: Arc<Registry>,
    pub(crate) times: Times,
    /// The Juju door, where it is open.
    pub(crate) juju: Option<Arc<juju::Hall>>,
    /// Turns true when the member begins to stop.
    pub(crate) stop: tokio::sync::watch::Receiver<bool>,
}

impl FromRef<Doors> for Arc<Service> {
    fn from_ref(doors: &Doors) -> Arc<Service> {
        Arc::clone(&doors.service)
    }
}

/// Every path of the client port, for those who may ask by one of `names`.
pub(crate) fn router(doors: Doors, names: origin::Names) -> Router {
    let juju = if doors.juju.is_some() { juju::routes() } else { Router::new() };
    Router::new()
        .route("/v1/claim", post(http::claim))
        .route("/v1/extend", post(http::extend))
        .route("/v1/release", post(http::release))
        .route("/v1/acquire", post(http::acquire))
        .route("/v1/transfer", post(http::transfer))
        .route("/v1/revoke", post(http::revoke))
        .route("/v1/pin", post(http::pin))
        .route("/v1/unpin", post(http::unpin))
        .route("/v1/history", get(http::history))
        .route("/v1/check", get(http::check))
        .route("/v1/watch", get(watch::watch))
        .route("/v1/leases", get(http::list))
        .route("/v1/leases/{namespace}/", get(http::get_unnamed))
        .route("/v1/leases/{namespace}/{*name}", get(http::get))
        .route("/v1/count", get(http::count))
        .route("/v1/wait", get(http::wait))
        .route("/v1/members", get(members::list).post(members::change))
        .route("/v1/tokens", get(tokens::list).post(tokens::change))
        .route("/v1/namespaces", get(tokens::namespaces).post(tokens::change_namespace))
        .route("/v1/session", get(session::session))
        .route("/v1/backup", get(backup::backup))
        .route("/v1/openapi.json", get(openapi::openapi))
        .route("/depengine", get(introspection::depengine))
        .route("/introspection/depengine", get(introspection::depengine))
        .route("/leases", get(introspection::leases))
        .route("/introspection/leases", get(introspection::leases))
        .route("/leases/revoke", revoke_route())
        .route("/introspection/leases/revoke", revoke_route())
        .route("/metrics", get(introspection::metrics))
        .route("/introspection/metrics", get(introspection::metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route_layer(from_fn(http::no_query))
        .fallback(http::not_found)
        .method_not_allowed_fallback(http::method_not_allowed)
        .layer(from_fn_with_state(doors.clone(), identify::identify))
        // Behind that layer: Juju's clients say who they are once they are connected.
        .merge(juju)
        .layer(DefaultBodyLimit::max(lease::FRAME_BYTES_MAX))
        .layer(from_fn_with_state(names, origin::guard))
        .with_state(doors)
}

/// Its other methods are refused in Juju's words.
fn revoke_route() -> MethodRouter<Doors> {
    post(introspection::revoke).fallback(introspection::revoke_is_a_post)
}
