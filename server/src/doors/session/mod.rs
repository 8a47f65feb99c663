//! The session door: a WebSocket with many calls in flight, on one task, without a task or a future for each call.
//!
//! ```text
//! socket ── text frame ──▶ Call ──▶ service          (the session's task)
//!   ◀── text frame ◀── word ◀── outbox ◀── Done ◀──  (the replica's thread)
//! ```
//!
//! Promises:
//! * Each call is answered once: by the replica, or by the session where the replica is mute at its deadline.
//! * A frame that cannot be read, is cut off or is too large has no effect, and the client is told so.
//! * A client that is gone is noticed: by its socket's end, or by its silence after a ping.
//! * A client that does not read is not written to for ever: reading stops while its replies wait, and it is closed when
//!   they have waited too long.
//! * An idle session is small: 1 KiB of read buffer, one timer, no queue.

mod call;
mod outbox;
mod registry;
mod task;

use std::sync::Arc;
use std::time::Duration;

use api::{Code, Problem};
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;

pub(crate) use outbox::Going;
pub(crate) use registry::Registry;
pub(super) use registry::{Place, Told};

use super::Doors;
use super::identify::Asking;
use super::listen::Permit;
use super::reply::problem;
use crate::service::clean;

/// What one read from the socket takes. An idle session keeps so much.
const READ_BYTES: usize = 1024;
/// Replies that are written together. Nothing of it is kept by a session that never wrote so much.
const WRITE_BYTES: usize = 4 * 1024;

/// A session's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// A client that is silent for so long is pinged.
    pub(crate) ping_every: Duration,
    /// A client that is silent for so long is gone.
    pub(crate) dead_after: Duration,
    /// A client that reads nothing for so long while something is written to it is closed.
    pub(crate) stall_after: Duration,
    /// How long a session that is told to go may deliver answers.
    pub(crate) going_for: Duration,
}

/// A session: calls and replies as JSON text frames, described in docs/api.md.
#[utoipa::path(
    get, path = "/v1/session", tag = "session",
    responses(
        (status = 101, description = "A session: each text frame is a ClientFrame to the server, a ServerFrame to the client", body = api::ServerFrame),
        (status = 401, description = "`unauthenticated`", body = api::ErrorBody),
        (status = 400, description = "The request is no WebSocket upgrade", body = api::ErrorBody),
    )
)]
pub(super) async fn session(
    State(doors): State<Doors>,
    asking: Asking,
    permit: Option<Extension<Arc<Permit>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let why = clean(&rejection.body_text());
            let message = format!("{why}: open /v1/session as a WebSocket over HTTP/1.1");
            return problem(Problem::new(Code::BadRequest, message));
        }
    };
    upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(lease::FRAME_BYTES_MAX)
        .max_frame_size(lease::FRAME_BYTES_MAX)
        .on_upgrade(move |socket| {
            // A task of its own: the one that upgraded is larger, and ends here.
            tokio::spawn(task::Session::new(
                socket,
                &doors,
                asking.caller,
                permit.map(|Extension(permit)| permit),
            ));
            std::future::ready(())
        })
}
