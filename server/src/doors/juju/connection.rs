//! A connection's task: one hand-written future, as a session's is, so that it holds its socket once and nothing else over an await. Its
//! calls are futures beside it, each in a box of its own for as long as it is under way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, Stream};
use lease::JUJU_CALLS_MAX;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite;

use super::calls::{Begun, begin, not_begun};
use super::codec::{Request, read, write};
use super::errors::{Answer, Error};
use super::line::Line;
use crate::doors::Times;
use crate::doors::listen::Permit;
use crate::doors::timer::wake_at;

/// Frames read in one turn, so that a busy connection lets the others have theirs.
const FRAMES_A_TURN: usize = 16;
/// How long a connection that was closed from here waits for its client to see it.
const LINGER: Duration = Duration::from_secs(1);
/// How far away a look is where nothing is due.
const FAR: Duration = Duration::from_secs(60 * 60);

const CLOSE_GOING: u16 = 1001;
const CLOSE_PROTOCOL: u16 = 1002;
const CLOSE_TOO_LARGE: u16 = 1009;

type Replying = Pin<Box<dyn Future<Output = String> + Send>>;

/// A connection, as its task.
pub(super) struct Connection {
    socket: WebSocket,
    line: Arc<Line>,
    calls: FuturesUnordered<Replying>,
    /// What is to be written.
    out: VecDeque<Message>,
    times: Times,
    timer: Pin<Box<Sleep>>,
    /// Since when something waits for the client to read.
    blocked: Option<Instant>,
    /// The socket took no more messages when it was last asked.
    full: bool,
    /// The socket failed and reads no more; what is written may still arrive.
    failed: bool,
    phase: Phase,
    _permit: Option<Arc<Permit>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Calls are taken.
    Open,
    /// The calls under way are answered until then, and no other is taken.
    Going { until: Instant },
    /// The close frame is on its way; the client may answer it until then.
    Closing { until: Instant },
}

/// The connection has ended.
struct Ended;

impl Connection {
    pub(super) fn new(
        socket: WebSocket,
        line: Arc<Line>,
        times: Times,
        permit: Option<Arc<Permit>>,
    ) -> Connection {
        Connection {
            socket,
            line,
            calls: FuturesUnordered::new(),
            out: VecDeque::new(),
            times,
            timer: Box::pin(tokio::time::sleep(FAR)),
            blocked: None,
            full: false,
            failed: false,
            phase: Phase::Open,
            _permit: permit,
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        self.line.bell.task.register(cx.waker());
        for _ in 0..FRAMES_A_TURN {
            let now = Instant::now();
            self.look_around(now)?;
            self.finish(cx);
            self.close_when_done(now);
            let sent = self.send(cx, now)?;
            // A client that does not read is not read from either: its replies would pile up here.
            let quiet = sent.is_pending() || self.receive(cx)?.is_pending();
            if quiet && (sent.is_pending() || self.out.is_empty()) {
                wake_at(self.next_time(), self.timer.as_mut(), cx);
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// What time and the process ask for.
    fn look_around(&mut self, now: Instant) -> Result<(), Ended> {
        if self.line.bell.is_rung() && self.phase == Phase::Open {
            self.phase = Phase::Going { until: now + self.times.going_for };
        }
        let over = matches!(self.phase, Phase::Closing { until } if until <= now);
        let stalled = self.blocked.is_some_and(|since| since + self.times.stall_after <= now);
        let silent = self.line.gone_at().is_some_and(|at| at <= now);
        if over || stalled || silent {
            tracing::debug!(over, stalled, silent, "a Juju connection ends");
            return Err(Ended);
        }
        Ok(())
    }

    /// Takes the replies of calls that are through.
    fn finish(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(reply)) = Pin::new(&mut self.calls).poll_next(cx) {
            self.out.push_back(Message::Text(reply.into()));
        }
    }

    fn close_when_done(&mut self, now: Instant) {
        let Phase::Going { until } = self.phase else { return };
        let is_done = self.calls.is_empty() && self.out.is_empty() && self.blocked.is_none();
        if is_done || until <= now {
            self.close(CLOSE_GOING, "going", now);
        }
    }

    /// Says goodbye. Behind that nothing may follow, so what is under way is given up.
    fn close(&mut self, code: u16, why: &'static str, now: Instant) {
        self.calls.clear();
        self.out.push_back(Message::Close(Some(CloseFrame { code, reason: why.into() })));
        self.phase = Phase::Closing { until: now + LINGER };
    }

    /// Hands what there is to the socket. Pending while the client does not read it.
    fn send(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Poll<()>, Ended> {
        loop {
            if Pin::new(&mut self.socket).poll_ready(cx).map_err(|_| Ended)?.is_pending() {
                self.full = true;
                self.blocked.get_or_insert(now);
                return Ok(Poll::Pending);
            }
            if std::mem::take(&mut self.full) {
                self.blocked = None;
            }
            let Some(message) = self.out.pop_front() else { break };
            Pin::new(&mut self.socket).start_send(message).map_err(|_| Ended)?;
        }
        // A connection that was busy once shall not stay large.
        self.out.shrink_to(0);
        match Pin::new(&mut self.socket).poll_flush(cx).map_err(|_| Ended)? {
            Poll::Pending => {
                self.blocked.get_or_insert(now);
                Ok(Poll::Pending)
            }
            Poll::Ready(()) => {
                self.blocked = None;
                Ok(Poll::Ready(()))
            }
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Ended> {
        if self.failed {
            return Ok(Poll::Pending);
        }
        let Poll::Ready(received) = Pin::new(&mut self.socket).poll_next(cx) else {
            return Ok(Poll::Pending);
        };
        match received {
            Some(Ok(message)) => self.take(&message),
            Some(Err(error)) => self.fail(error)?,
            None => return Err(Ended),
        }
        Ok(Poll::Ready(()))
    }

    fn take(&mut self, message: &Message) {
        if self.phase != Phase::Open {
            return;
        }
        match message {
            Message::Text(text) => match read(text.as_str()) {
                Ok(Some(request)) => self.begin(request),
                // An answer, to nothing that was asked.
                Ok(None) => {}
                Err(_) => self.close(CLOSE_PROTOCOL, "not a request in JSON", Instant::now()),
            },
            Message::Binary(_) => self.close(CLOSE_PROTOCOL, "not a text frame", Instant::now()),
            // The library answers pings and closes by itself, with the next flush.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
        }
    }

    fn begin(&mut self, mut request: Request) {
        let (id, spelling) = (request.id, request.spelling);
        match begin(&self.line, &mut request) {
            // What is answered at once is so always: an agent must be able to ping. A call that was not polled has done nothing.
            Begun::Later(_) if self.calls.len() >= JUJU_CALLS_MAX => {
                not_begun(&self.line, &request);
                self.out.push_back(Message::Text(write(id, spelling, &Err(crowded())).into()));
            }
            Begun::Now(answer) => self.out.push_back(Message::Text(write(id, spelling, &answer).into())),
            Begun::Later(call) => self.calls.push(Box::pin(async move {
                let answer: Answer = call.await;
                write(id, spelling, &answer)
            })),
        }
    }

    /// The socket failed. Where the client can still be told, it is.
    fn fail(&mut self, error: axum::Error) -> Result<(), Ended> {
        let Ok(error) = error.into_inner().downcast::<tungstenite::Error>() else { return Err(Ended) };
        let (code, why) = match *error {
            tungstenite::Error::Capacity(_) => (CLOSE_TOO_LARGE, "a frame of more than 64 KiB"),
            tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                return Err(Ended);
            }
            tungstenite::Error::Utf8(_) | tungstenite::Error::Protocol(_) => {
                (CLOSE_PROTOCOL, "the WebSocket's rules are broken")
            }
            _ => return Err(Ended),
        };
        self.failed = true;
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.close(code, why, Instant::now());
        }
        Ok(())
    }

    /// The earliest time at which there is something to do.
    fn next_time(&self) -> Instant {
        let stall = self.blocked.map(|since| since + self.times.stall_after);
        let phase = match self.phase {
            Phase::Open => None,
            Phase::Going { until } | Phase::Closing { until } => Some(until),
        };
        let due = [stall, phase, self.line.gone_at()].into_iter().flatten().min();
        due.unwrap_or_else(|| Instant::now() + FAR)
    }
}

/// The answer to a call too many.
fn crowded() -> Error {
    let message =
        format!("there are {JUJU_CALLS_MAX} calls under way on this connection, the limit: await some first");
    Error::new(message, "try again")
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut().advance(cx) {
            Ok(()) => Poll::Pending,
            Err(Ended) => Poll::Ready(()),
        }
    }
}
