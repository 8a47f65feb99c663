//! The Juju door: Juju's agents claim leaderships here as they do of Juju 2.5, over a WebSocket on the client port.
//!
//! ```text
//!  /model/UUID/api ─┐                 ┌ Admin (login)          ┌ secretary ─▶ by name ─▶ service
//!  /api, / ─────────┴▶ connection ──▶ ├ LeadershipService ─────┤
//!                      a task         ├ Singular ──────────────┘
//!   ◀── replies, as they come ◀────── ├ LeadershipPinning, UpgradeSeries ─▶ service
//!                                     └ Pinger
//! ```
//!
//! The leases are those of every other door, under the names that [`secretary`] gives them: application `mysql` of model UUID is the lease
//! `mysql` in the namespace `application-leadership:UUID`. Juju knows a holder by its name, and so does this door: all its claims are of
//! one instance, [`crate::service::ByName`].
//!
//! Promises:
//! * It is shut unless it is asked for (`juju.enabled`, `--juju`): whoever has no Juju needs no second way in, and this one lets
//!   strangers as far as a login, where all others turn them away before they can say anything.
//! * Nothing is done before the login, and nothing of the service beside [`crate::identity::authorize`].
//! * A client that breaks JSON, does not log in, does not ping or does not read is closed; what it waited for is given up.
//! * An idle connection is small: as a session's, 1 KiB of read buffer, one timer, no queue. A call in flight has a future of its own,
//!   so that a slow one delays no other; there are at most [`lease::JUJU_CALLS_MAX`].
//!
//! Left out: macaroons, nonces and redirects, for the token is all that is asked; every facade that has nothing to do with leases.

mod calls;
mod codec;
mod connection;
mod errors;
mod leadership;
mod leases;
mod line;
mod login;
mod pins;
mod secretary;
mod singular;
mod tags;
#[cfg(test)]
mod tests;
mod throttle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::Doors;
use super::http::not_found;
use super::identify::Arrived;
use super::listen::Permit;
use crate::config::{Juju, Throttle};
use crate::service::Echo;
use line::{Home, Line};
use throttle::Turnstile;

/// What one read from the socket takes. An idle connection keeps so much.
const READ_BYTES: usize = 1024;
/// Replies that are written together.
const WRITE_BYTES: usize = 4 * 1024;

/// The longest host and port that a client is told to come back to.
const HOST_BYTES_MAX: usize = 253 + 6;

/// What all connections of the door share.
#[derive(Debug)]
pub(crate) struct Hall {
    any_holder: bool,
    ping_timeout: Duration,
    turnstile: Arc<Turnstile>,
}

impl Hall {
    /// The door's, where it is open.
    pub(crate) fn open(juju: &Juju) -> Option<Arc<Hall>> {
        juju.enabled.then(|| {
            Arc::new(Hall {
                any_holder: juju.load_test_any_holder,
                ping_timeout: juju.ping_timeout,
                turnstile: Turnstile::new(juju.throttle.clone(), Instant::now()),
            })
        })
    }

    /// What an engine report says of the door, by Juju's keys.
    pub(super) fn report(&self) -> Vec<(&'static str, String)> {
        let Throttle { ratelimit_max, ratelimit_rate, .. } = self.turnstile.settings();
        let rate = api::Span(u64::try_from(ratelimit_rate.as_millis()).unwrap_or(u64::MAX));
        vec![("agent-ratelimit-max", ratelimit_max.to_string()), ("agent-ratelimit-rate", rate.to_string())]
    }

    /// How many logins are under way.
    pub(super) fn logins(&self) -> u32 {
        self.turnstile.under_way()
    }

    /// Throttles logins so from now on.
    pub(crate) fn throttle(&self, throttle: &Throttle) {
        self.turnstile.set(throttle.clone(), Instant::now());
    }
}

/// What must hold of a request's text, whatever it is: whether it is one.
#[cfg(any(test, feature = "parsers"))]
pub(crate) fn check_request(text: &str) -> bool {
    codec::check(text)
}

/// The door's paths. Whoever comes by them has not said who they are: the login asks.
pub(super) fn routes() -> Router<Doors> {
    Router::new().route("/model/{uuid}/api", get(open)).route("/api", get(open)).route("/", get(open))
}

async fn open(
    State(doors): State<Doors>,
    model: Option<Path<String>>,
    uri: Uri,
    headers: HeaderMap,
    arrived: Option<Extension<Arrived>>,
    permit: Option<Extension<Arc<Permit>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // Whoever asks for no WebSocket means no Juju.
    let (Ok(upgrade), Some(hall)) = (upgrade, doors.juju.clone()) else { return not_found(uri).await };
    if doors.service.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "apiserver shutdown in progress").into_response();
    }
    let home = match model {
        None => Home::Controller,
        Some(Path(uuid)) if api::is_model_uuid(&uuid) => Home::Model(uuid),
        Some(Path(other)) => Home::Unknown(Echo(&other).to_string()),
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // As long as a name and a port may be: the connection keeps it.
    let host = host.filter(|host| host.len() <= HOST_BYTES_MAX).map(str::to_owned);
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(lease::JUJU_FRAME_BYTES_MAX)
        .max_frame_size(lease::JUJU_FRAME_BYTES_MAX)
        .on_upgrade(move |socket| {
            let peer = arrived.map(|Extension(arrived)| arrived.peer);
            let line = Line::new(&doors, &hall, home, host, peer);
            let permit = permit.map(|Extension(permit)| permit);
            // A task of its own: the one that upgraded is larger, and ends here.
            tokio::spawn(connection::Connection::new(socket, line, doors.times, permit));
            std::future::ready(())
        })
}
