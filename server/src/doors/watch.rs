//! Watches over HTTP: server-sent events, as browsers and curl read them.
//!
//! ```text
//! id: 1841
//! event: granted
//! data: {"revision":"1841","namespace":"default","name":"db/primary","granted":{"token":"41",…}}
//! ```
//!
//! The `id` of an event is its revision, so that a client that comes back with `Last-Event-ID` goes on behind it. A comment
//! every 15 s keeps what stands between from closing the connection. The stream ends with an event `error`, whose data is a
//! problem: `compacted`, `stopping`, or `unauthenticated` where who asked for it is known no more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::{Code, ErrorBody, Event, Problem, Watch, What};
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use tokio::sync::{Notify, oneshot};

use super::Doors;
use super::http::read_query;
use super::identify::Asking;
use super::listen::stopped;
use super::reply::problem;
use crate::identity::Caller;
use crate::service::{Done, Echo, Service, Watching, stopping, unanswered, unauthenticated};

/// Events pulled at a time.
const PULL: usize = 256;
/// How long a watch waits to begin.
const BEGINS_WITHIN: Duration = Duration::from_millis(5_500);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// See every change of a lease, or of all whose names start so, from a revision on, as server-sent events.
#[utoipa::path(
    get, path = "/v1/watch", tag = "leases",
    params(Watch, ("Last-Event-ID" = Option<String>, Header, description = "As `after`, where that is not given: what a browser sends when it comes back")),
    responses(
        (status = 200, description = "A stream: `id` is the revision, `event` what happened, `data` the event", body = Event, content_type = "text/event-stream"),
        (status = 400, description = "`bad_request`, `bad_name`, `index_ahead`", body = ErrorBody),
        (status = 401, description = "`unauthenticated`", body = ErrorBody),
        (status = 403, description = "`forbidden`", body = ErrorBody),
        (status = 410, description = "`compacted`: list again, and watch after the revision of the list's first page", body = ErrorBody),
        (status = 503, description = "`overloaded`, `behind`, `no_leader`, `stopping`", body = ErrorBody),
    )
)]
pub(super) async fn watch(
    State(doors): State<Doors>,
    asking: Asking,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let asked =
        read_query::<Watch>(&uri).and_then(|watch| Ok(Watch { after: after(&watch, &headers)?, ..watch }));
    match asked {
        Ok(watch) => match begin(&doors, &asking.caller, &watch).await {
            Ok(seen) => Sse::new(seen).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response(),
            Err(error) => problem(error),
        },
        Err(error) => problem(error),
    }
}

fn after(watch: &Watch, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(last) = headers.get("last-event-id").filter(|_| watch.after.is_none()) else {
        return Ok(watch.after);
    };
    match last.to_str().ok().and_then(|last| last.parse().ok()) {
        Some(revision) => Ok(Some(revision)),
        None => {
            let last = String::from_utf8_lossy(last.as_bytes());
            let message = format!(
                "Last-Event-ID {} is not a revision: send that of the last event, or leave it out",
                Echo(&last)
            );
            Err(Problem::new(Code::BadRequest, message).in_field("Last-Event-ID"))
        }
    }
}

async fn begin(
    doors: &Doors,
    caller: &Arc<Caller>,
    watch: &Watch,
) -> Result<impl Stream<Item = Result<sse::Event, Infallible>> + use<>, Problem> {
    let woken = Arc::new(Notify::new());
    let wake = Arc::clone(&woken);
    let (sender, begun) = oneshot::channel();
    let watching = doors
        .service
        .watch(caller, watch, Arc::new(move || wake.notify_one()), move |done| drop(sender.send(done)))?;
    match tokio::time::timeout(BEGINS_WITHIN, begun).await {
        Ok(Ok(Done::Watching(Ok(_)))) => {}
        Ok(Ok(done)) => match done.reply(&mut rand::random) {
            api::Reply::Error(error) => return Err(error),
            _ => return Err(unanswered(false)),
        },
        Ok(Err(_)) | Err(_) => return Err(unanswered(false)),
    }
    let seen = Seen {
        watching: Some(watching),
        service: Arc::clone(&doors.service),
        caller: Arc::clone(caller),
        woken,
        pulled: VecDeque::new(),
        more: true,
        stop: doors.stop.clone(),
    };
    Ok(stream::unfold(seen, |mut seen| async { Some((Ok(seen.next().await?), seen)) }))
}

/// What a watch has seen and its client has not.
struct Seen {
    /// None once it has ended.
    watching: Option<Watching>,
    service: Arc<Service>,
    caller: Arc<Caller>,
    woken: Arc<Notify>,
    pulled: VecDeque<Event>,
    more: bool,
    stop: tokio::sync::watch::Receiver<bool>,
}

impl Seen {
    /// The next event; none behind the one that told the end.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.pulled.pop_front() {
                return Some(written(&event));
            }
            // Its end was told: to wait for that once more would tell it for ever.
            self.watching.as_ref()?;
            if !self.more {
                tokio::select! {
                    () = self.woken.notified() => {}
                    () = stopped(&mut self.stop) => {
                        self.watching = None;
                        return Some(ended(&stopping()));
                    }
                    () = self.service.doorkeeper.forgets(&self.caller) => {
                        self.watching = None;
                        return Some(ended(&unauthenticated()));
                    }
                }
            }
            match self.watching.as_ref()?.pull(PULL) {
                Ok((events, more)) => {
                    self.pulled.extend(events);
                    self.more = more;
                }
                Err(error) => {
                    self.watching = None;
                    return Some(ended(&error));
                }
            }
        }
    }
}

fn written(event: &Event) -> sse::Event {
    let name = match &event.what {
        What::Granted(_) => "granted",
        What::Confirmed(_) => "confirmed",
        What::Valued(_) => "valued",
        What::Ended(_) => "ended",
        What::Ending(_) => "ending",
        What::Pinned(_) => "pinned",
        What::Unpinned(_) => "unpinned",
    };
    sse::Event::default().id(event.revision.to_string()).event(name).data(json(event))
}

fn ended(error: &Problem) -> sse::Event {
    sse::Event::default().event("error").data(json(error))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        debug_assert!(false, "what is told is always JSON: {error}");
        "{}".to_owned()
    })
}
