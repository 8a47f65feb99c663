//! A session's task: one hand-written future, so that it holds its socket once and nothing else over an await.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use api::{Code, Events, Problem, Push, Reply, ServerFrame};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{Sink, Stream};
use lease::Ttl;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite;

use super::Times;
use super::call;
use super::outbox::{Going, Outbox, Unanswered};
use super::registry::{Place, Told};
use crate::doors::Doors;
use crate::doors::listen::Permit;
use crate::doors::timer::wake_at;
use crate::identity::{Caller, Source};
use crate::service::{Done, Service, TURN_SLACK, Waiting, retry_after_ms, unanswered};

/// Frames read in one turn, so that a busy session lets the others have theirs: with 64, those of 128 busy sessions kept an extend
/// on one of its own waiting for 80 ms.
const FRAMES_A_TURN: usize = 16;
/// The same of bytes, for frames of many steps.
const BYTES_A_TURN: usize = 16 * 1024;
/// How long a session that was closed from here waits for its client to see it.
const LINGER: Duration = Duration::from_secs(1);

/// Events in one frame of a watch.
const EVENTS_A_FRAME: usize = 256;

/// Why a session goes that was opened by what is good no more, and what to do.
const TOKEN_OVER: &str = "the token that opened this session is good no more: it was revoked, or has expired; come with a good one \
                          (--token-file, TENURE_TOKEN), which an operator makes with tenure token create";
const CERTIFICATE_OVER: &str =
    "the certificate that opened this session is good no more: its time is over; come with a renewed one";

const CLOSE_GOING: u16 = 1001;
const CLOSE_PROTOCOL: u16 = 1002;
const CLOSE_NOT_TEXT: u16 = 1007;
const CLOSE_TOO_LARGE: u16 = 1009;

/// A session, as its task.
pub(super) struct Session {
    socket: WebSocket,
    outbox: Arc<Outbox>,
    service: Arc<Service>,
    caller: Arc<Caller>,
    times: Times,
    timer: Pin<Box<Sleep>>,
    /// What the session itself says, ahead of replies.
    own: VecDeque<Message>,
    heard: Instant,
    pinged: bool,
    /// Since when something waits for the client to read.
    blocked: Option<Instant>,
    /// The socket took no more messages when it was last asked.
    full: bool,
    /// Bytes of frames that were read in this turn.
    taken: usize,
    /// The socket failed and reads no more; what is written may still arrive.
    failed: bool,
    /// When the next call's answer is due.
    due: Option<Instant>,
    phase: Phase,
    /// Whether who opened it may come again.
    is_known: bool,
    _place: Place,
    _permit: Option<Arc<Permit>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Calls are taken.
    Open,
    /// Answers are delivered until then.
    Going { until: Instant },
    /// The close frame is on its way; the client may answer it until then.
    Closing { until: Instant },
}

/// The session has ended.
struct Ended;

/// For how long a client leaves whose waits are given up.
enum Left {
    /// It may go on waiting at another member.
    Elsewhere,
    /// It may by another session, at any member.
    ToComeAgain,
    /// Nothing that it has opens another.
    ForGood,
}

impl Left {
    /// What whoever waited is told.
    fn told(&self, why: &str) -> Problem {
        let ended = format!("the wait ended early: {why}");
        let again = |ended| {
            let after = retry_after_ms(Ttl::from_millis(1_000), rand::random());
            Problem::new(Code::Stopping, ended).retry_after_ms(after)
        };
        match self {
            Left::Elsewhere => again(ended + "; wait at another member"),
            Left::ToComeAgain => again(ended),
            Left::ForGood => Problem::new(Code::Unauthenticated, ended),
        }
    }
}

impl Session {
    pub(super) fn new(
        socket: WebSocket,
        doors: &Doors,
        caller: Arc<Caller>,
        permit: Option<Arc<Permit>>,
    ) -> Session {
        let outbox = Outbox::new();
        let now = Instant::now();
        let place = doors.sessions.join(Arc::clone(&outbox) as Arc<dyn Told>, &caller);
        // Asked again now that it would be told: between the request and this, nobody would have.
        if !doors.service.doorkeeper.knows(&caller) {
            outbox.go(&Going::NoMore);
        }
        Session {
            socket,
            _place: place,
            caller,
            outbox,
            service: Arc::clone(&doors.service),
            times: doors.times,
            timer: Box::pin(tokio::time::sleep_until((now + doors.times.ping_every).into())),
            own: VecDeque::new(),
            heard: now,
            pinged: false,
            blocked: None,
            full: false,
            taken: 0,
            failed: false,
            due: None,
            phase: Phase::Open,
            is_known: true,
            _permit: permit,
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        self.outbox.register(cx.waker());
        self.taken = 0;
        for _ in 0..FRAMES_A_TURN {
            if self.taken >= BYTES_A_TURN {
                break;
            }
            let now = Instant::now();
            self.look_around(now)?;
            let sent = self.send(cx, now)?;
            self.close_when_done()?;
            // A client that does not read is not read from either: its replies would pile up here.
            let quiet = sent.is_pending() || self.receive(cx, now)?.is_pending();
            if quiet && (sent.is_pending() || self.own.is_empty()) {
                wake_at(self.next_time(), self.timer.as_mut(), cx);
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// What time and the process ask for.
    fn look_around(&mut self, now: Instant) -> Result<(), Ended> {
        match self.outbox.take_going() {
            Some(Going::Must(why)) => self.go(&why, &Left::Elsewhere, now),
            Some(Going::NoMore) => self.end(now),
            Some(Going::Should(why)) if self.phase == Phase::Open => self.say_going(&why),
            _ => {}
        }
        if self.due.is_some_and(|due| due <= now) {
            self.answer_overdue(now);
        }
        let over = match self.phase {
            Phase::Closing { until } => until <= now,
            _ => false,
        };
        let stalled = self.blocked.is_some_and(|since| since + self.times.stall_after <= now);
        let silent = self.heard + self.times.dead_after <= now;
        if over || stalled || silent {
            tracing::debug!(over, stalled, silent, "session ends");
            return Err(Ended);
        }
        if !self.pinged && self.heard + self.times.ping_every <= now {
            self.pinged = true;
            self.own.push_back(Message::Ping(Default::default()));
        }
        Ok(())
    }

    fn answer_overdue(&mut self, now: Instant) {
        let (over, next) = self.outbox.overdue(now);
        self.due = next;
        for call in over {
            let problem = match call.what {
                Unanswered::Call { is_command } => unanswered(is_command),
                Unanswered::Wait(waiting) => match waiting.time_out() {
                    Some(problem) => problem,
                    None => continue,
                },
                Unanswered::GivenUp => unanswered(true),
            };
            self.say(&ServerFrame::reply(call.id, Reply::Error(problem)));
        }
    }

    /// Whoever opened the session is known no more. A certificate's successor may open the next one; a token's is another token.
    fn end(&mut self, now: Instant) {
        match self.caller.principal.source {
            Source::Certificate { .. } | Source::Unasked => {
                self.go(CERTIFICATE_OVER, &Left::ToComeAgain, now)
            }
            Source::Token(_) => self.go(TOKEN_OVER, &Left::ForGood, now),
        }
    }

    /// Tells the client, gives its waits up, and leaves what is in flight some time.
    fn go(&mut self, why: &str, left: &Left, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Going { until: now + self.times.going_for };
        self.say_going(why);
        if matches!(left, Left::ForGood) {
            // What comes of them is told yet: a claim may be on its way, and of that nobody may be told that it surely is not.
            self.outbox.give_up_acquires(now + TURN_SLACK).iter().for_each(Waiting::cancel);
            (self.due, self.is_known) = (Some(now), false);
        }
        for (id, waiting) in self.outbox.cancel_all() {
            // Whoever acquires finds its place again at another member, or the grant that was on its way.
            waiting.leave();
            self.say(&ServerFrame::reply(id, Reply::Error(left.told(why))));
        }
        for id in self.outbox.end_watches() {
            self.say(&ServerFrame::reply(id, Reply::Error(left.told(why))));
        }
    }

    fn say_going(&mut self, why: &str) {
        let reconnect_after_ms = retry_after_ms(Ttl::from_millis(1_000), rand::random());
        self.say(&ServerFrame::push(Push::Going(api::Going { why: why.to_owned(), reconnect_after_ms })));
    }

    fn close_when_done(&mut self) -> Result<(), Ended> {
        let Phase::Going { until } = self.phase else { return Ok(()) };
        let delivered = self.outbox.is_idle() && self.own.is_empty() && self.blocked.is_none();
        if delivered || until <= Instant::now() {
            self.close(CLOSE_GOING, "going: see the push before");
        }
        Ok(())
    }

    fn close(&mut self, code: u16, why: &'static str) {
        self.own.push_back(Message::Close(Some(CloseFrame { code, reason: why.into() })));
        self.phase = Phase::Closing { until: Instant::now() + LINGER };
    }

    fn say(&mut self, frame: &ServerFrame) {
        if let Some(message) = text(frame) {
            self.own.push_back(message);
        }
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
                // What it had is written: the client reads, if slowly. That is also its sign of life, for while its replies wait
                // it is not read from.
                self.blocked = None;
                self.heard = now;
            }
            let Some(message) = self.next_message() else { break };
            Pin::new(&mut self.socket).start_send(message).map_err(|_| Ended)?;
        }
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

    fn next_message(&mut self) -> Option<Message> {
        if let Some(message) = self.own.pop_front() {
            return Some(message);
        }
        // Behind the close frame nothing may follow.
        if matches!(self.phase, Phase::Closing { .. }) {
            return None;
        }
        let Some((id, done)) = self.outbox.pop() else { return self.next_events() };
        if matches!(done, Done::Watching(Err(_))) {
            self.outbox.end_watch(id);
        }
        let reply = match done.reply(&mut rand::random) {
            // It was in line, and not only this turn will not come.
            Reply::Error(problem) if !self.is_known && problem.code == Code::StillHeld => {
                Reply::Error(Left::ForGood.told(TOKEN_OVER))
            }
            reply => reply,
        };
        text(&ServerFrame::reply(id, reply))
    }

    /// What the next watch that has news has seen. Pulled only when the socket takes it: a client that reads slowly falls behind
    /// in the ring, and costs nobody anything.
    fn next_events(&mut self) -> Option<Message> {
        while let Some((id, watching)) = self.outbox.pop_ready() {
            match watching.pull(EVENTS_A_FRAME) {
                Ok((events, more)) => {
                    if more {
                        self.outbox.ready(id);
                    }
                    if !events.is_empty() {
                        return text(&ServerFrame::push(Push::Events(Events { id, events })));
                    }
                }
                Err(problem) => {
                    self.outbox.end_watch(id);
                    return text(&ServerFrame::reply(id, Reply::Error(problem)));
                }
            }
        }
        None
    }

    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Poll<()>, Ended> {
        if self.failed {
            return Ok(Poll::Pending);
        }
        let Poll::Ready(received) = Pin::new(&mut self.socket).poll_next(cx) else {
            return Ok(Poll::Pending);
        };
        (self.heard, self.pinged) = (now, false);
        match received {
            Some(Ok(message)) => self.take(message, now),
            Some(Err(error)) => self.fail(error)?,
            None => return Err(Ended),
        }
        Ok(Poll::Ready(()))
    }

    fn take(&mut self, message: Message, now: Instant) {
        if matches!(self.phase, Phase::Closing { .. }) {
            return;
        }
        match message {
            Message::Text(frame) => {
                self.taken += frame.len();
                let at_once = call::begin(
                    &self.service,
                    &self.caller,
                    &self.outbox,
                    frame.as_str(),
                    now,
                    &mut self.due,
                );
                if let Some(frame) = at_once {
                    self.say(&frame);
                }
            }
            Message::Binary(bytes) => {
                let message = format!("a binary frame of {} bytes: send JSON in text frames", bytes.len());
                self.say(&ServerFrame::push(Push::Unreadable(Problem::new(Code::BadRequest, message))));
            }
            // The library answers pings and closes by itself, with the next flush.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
        }
    }

    /// The socket failed. Where the client can still be told, it is.
    fn fail(&mut self, error: axum::Error) -> Result<(), Ended> {
        let Ok(error) = error.into_inner().downcast::<tungstenite::Error>() else { return Err(Ended) };
        let (code, problem) = match *error {
            tungstenite::Error::Capacity(tungstenite::error::CapacityError::MessageTooLong {
                size,
                max_size,
            }) => {
                let message =
                    format!("a frame of {size} bytes is over the limit, {max_size}: send it in parts");
                (CLOSE_TOO_LARGE, Problem::new(Code::TooLarge, message))
            }
            tungstenite::Error::Utf8(_) => (
                CLOSE_NOT_TEXT,
                Problem::new(Code::BadRequest, "a text frame is not UTF-8: send JSON in UTF-8"),
            ),
            tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                return Err(Ended);
            }
            tungstenite::Error::Protocol(why) => (
                CLOSE_PROTOCOL,
                Problem::new(Code::BadRequest, format!("the WebSocket's rules are broken: {why}")),
            ),
            _ => return Err(Ended),
        };
        self.failed = true;
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.say(&ServerFrame::push(Push::Unreadable(problem)));
            self.close(code, "unreadable: see the push before");
        }
        Ok(())
    }

    /// The earliest time at which there is something to do.
    fn next_time(&self) -> Instant {
        let silence = match self.pinged {
            false => self.times.ping_every,
            true => self.times.dead_after,
        };
        let stall = self.blocked.map(|since| since + self.times.stall_after);
        let phase = match self.phase {
            Phase::Open => None,
            Phase::Going { until } | Phase::Closing { until } => Some(until),
        };
        [self.due, stall, phase].into_iter().flatten().fold(self.heard + silence, Instant::min)
    }
}

fn text(frame: &ServerFrame) -> Option<Message> {
    match serde_json::to_string(frame) {
        Ok(json) => Some(Message::Text(json.into())),
        Err(error) => {
            tracing::error!(%error, "a reply could not be written as JSON");
            debug_assert!(false, "replies are always JSON: {error}");
            None
        }
    }
}

impl Future for Session {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut().advance(cx) {
            Ok(()) => Poll::Pending,
            Err(Ended) => Poll::Ready(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A wait for nobody would stay in the table for ever.
        self.outbox.cancel_all().into_iter().for_each(|(_, waiting)| waiting.leave());
        self.outbox.end_watches();
    }
}
