//! The whole state as one stream, which is a backup once it is kept: the bytes of a snapshot, frozen at one applied entry.
//!
//! ```text
//!   barrier ─▶ freeze ─▶ blocking thread: a piece at a time ──channel of one──▶ body ──▶ client
//! ```
//!
//! However large the state, a few pieces are in memory, and the client's reading sets the pace; one that reads nothing for as long as
//! a session's client may is cut off, for the frozen state is paid for by everyone. A stream that ends before its time is cut off and
//! never ended in order, and what has come of it has no trailer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use api::{ErrorBody, Problem};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use replica::FrozenState;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::Doors;
use super::identify::Asking;
use super::listen::stopped;
use super::reply::problem;
use crate::admission::Permit;
use crate::identity::{Caller, Came, Scope, Verb};
use crate::service::{Service, unanswered};

/// How long the barrier may take: a little longer than its own deadline.
const FROZEN_WITHIN: Duration = Duration::from_millis(5_500);

/// A piece, or the word that the one before was the last.
enum Sent {
    Piece(Vec<u8>),
    End,
}

/// The whole state as a backup: every grant, pin, setting and end in history, at one applied entry that has all that was answered
/// before. The bytes are drawn in docs/format.md; keep them as a secret, for they name the instances that may extend.
#[utoipa::path(
    get, path = "/v1/backup", tag = "operator",
    responses(
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 200, description = "The backup. It is whole where it ends with its trailer", content_type = "application/octet-stream"),
        (status = 503, description = "`overloaded` while another is being given, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn backup(State(doors): State<Doors>, asking: Asking) -> Response {
    let leave = match doors.service.permit(&asking.caller, Verb::Backup, Scope::Cluster) {
        Ok(leave) => leave,
        Err(error) => return problem(error),
    };
    let begun = begin(&doors).await;
    let came = begun.as_ref().map_or_else(Came::of, |_| Came::Done("begun"));
    leave.note.into_iter().for_each(|note| note.outcome(came, None));
    let place = match begun {
        Ok(place) => place,
        Err(error) => return problem(error),
    };
    let (cluster, member) = doors.service.identity();
    let (pieces, taken) = mpsc::channel(1);
    let here = Handle::current();
    tokio::task::spawn_blocking(move || {
        // Here, and not on the door's thread: the state's lock is held while it is frozen.
        let frozen = doors.service.freeze();
        give(&frozen, (cluster, member), |sent| here.block_on(send(&doors, &asking.caller, &pieces, sent)));
        drop(place);
    });
    let octets = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, octets)], body(taken)).into_response()
}

/// A place for it, once what was answered before is in the state.
async fn begin(doors: &Doors) -> Result<Arc<Permit>, Problem> {
    let place = doors.service.enter_backup()?;
    let (sender, passed) = oneshot::channel();
    doors.service.barrier(move |passed| {
        // Whoever asked may be gone.
        let _ = sender.send(passed);
    });
    match tokio::time::timeout(FROZEN_WITHIN, passed).await {
        Ok(Ok(Ok(()))) => Ok(place),
        Ok(Ok(Err(why))) => Err(Service::unfrozen(why)),
        Ok(Err(_)) | Err(_) => Err(unanswered(false)),
    }
}

/// Nobody takes what is sent any more.
struct Gone;

fn give(frozen: &FrozenState, of: (u128, u64), mut send: impl FnMut(Sent) -> Result<(), Gone>) {
    let given = frozen.give(of.0, of.1, |piece| send(Sent::Piece(piece)));
    if given.and_then(|()| send(Sent::End)).is_err() {
        tracing::warn!(revision = frozen.reading().revision.0, "a backup was not taken whole");
    }
}

async fn send(doors: &Doors, caller: &Caller, pieces: &mpsc::Sender<Sent>, sent: Sent) -> Result<(), Gone> {
    // Between two pieces, so that whoever is known no more has no whole backup.
    doors.service.still(caller).map_err(|_| Gone)?;
    let mut stop = doors.stop.clone();
    tokio::select! {
        sent = pieces.send_timeout(sent, doors.times.stall_after) => sent.map_err(|_| Gone),
        () = stopped(&mut stop) => Err(Gone),
    }
}

fn body(taken: mpsc::Receiver<Sent>) -> Body {
    Body::from_stream(stream::unfold(Some(taken), |taken| async {
        let mut taken = taken?;
        match taken.recv().await {
            Some(Sent::Piece(piece)) => Some((Ok(Bytes::from(piece)), Some(taken))),
            Some(Sent::End) => None,
            None => Some((Err(io::Error::other("the backup was given up")), None)),
        }
    }))
}
