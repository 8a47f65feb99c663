//! One WebSocket to one member: connects, sends, receives. What it means is not known here.
//!
//! A process may have thousands of these, so a link has no task, no timer and no large buffer of its own.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use api::rules::REPLY_BYTES_MAX;
use futures_util::{Sink, Stream as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::machine::LinkId;
use crate::tls::{self, Stream, Tls};
use crate::{Bearer, Endpoint};

/// What a session reads into at once. The library's own 128 KiB are really resident, for each connection.
const READ_BUFFER: usize = 2 * 1024;
/// Frames that leave together share a system call up to here; the buffer grows only as far as a burst needs.
const WRITE_BUFFER: usize = 4 * 1024;

type Socket = WebSocketStream<Stream>;
/// What members are known by, and this program.
pub(crate) type Who = (Option<Tls>, Option<Bearer>);
type Connecting = Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>;

/// One connection, from its first packet to its last.
pub(crate) struct Wire {
    pub(crate) id: LinkId,
    pub(crate) endpoint: Endpoint,
    state: State,
}

enum State {
    Connecting(Connecting),
    Open { socket: Box<Socket>, outbox: VecDeque<Message>, flushing: bool },
    Gone,
}

/// What came of a link.
#[derive(Debug)]
pub(crate) enum Event {
    Opened,
    Frame(Box<api::ServerFrame>),
    /// A ping or pong.
    Heard,
    Lost(String),
}

impl Wire {
    pub(crate) fn open(id: LinkId, endpoint: Endpoint, who: Who, within: Duration) -> Wire {
        let state = State::Connecting(Box::pin(connect(endpoint.clone(), who, within)));
        Wire { id, endpoint, state }
    }

    /// Whether it is connected.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Sends a text frame, now or when the socket takes it.
    pub(crate) fn send(&mut self, text: String) {
        self.push(Message::text(text));
    }

    pub(crate) fn ping(&mut self) {
        self.push(Message::Ping(Bytes::new()));
    }

    fn push(&mut self, message: Message) {
        if let State::Open { outbox, .. } = &mut self.state {
            outbox.push_back(message);
        }
    }

    /// What comes next. After `Lost` nothing does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        match &mut self.state {
            State::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                Ok(socket) => {
                    self.state =
                        State::Open { socket: Box::new(socket), outbox: VecDeque::new(), flushing: false };
                    Poll::Ready(Event::Opened)
                }
                Err(cause) => self.lost(cause),
            },
            State::Open { socket, outbox, flushing } => {
                if let Poll::Ready(Err(error)) = write(socket, outbox, flushing, cx) {
                    return self.lost(cause(&error, None));
                }
                match ready!(Pin::new(&mut **socket).poll_next(cx)) {
                    Some(Ok(message)) => {
                        // A ping has put its pong into the socket's buffer.
                        *flushing |= message.is_ping();
                        self.received(message)
                    }
                    Some(Err(error)) => self.lost(cause(&error, None)),
                    None => self.lost("closed by the server".to_owned()),
                }
            }
            State::Gone => Poll::Pending,
        }
    }

    /// Sends what waits; for frames that were handed over after the last `poll`.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        let State::Open { socket, outbox, flushing } = &mut self.state else { return Poll::Ready(Ok(())) };
        write(socket, outbox, flushing, cx).map_err(|error| cause(&error, None))
    }

    /// Sends what waits and says goodbye.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open { socket, outbox, flushing } = &mut self.state else { return Poll::Ready(()) };
        if ready!(write(socket, outbox, flushing, cx)).is_err() {
            return Poll::Ready(());
        }
        Pin::new(&mut **socket).poll_close(cx).map(|_| ())
    }

    fn received(&mut self, message: Message) -> Poll<Event> {
        match message {
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(frame) => Poll::Ready(Event::Frame(Box::new(frame))),
                Err(error) => self.lost(format!("a frame that cannot be read: {error}")),
            },
            Message::Close(Some(frame)) if !frame.reason.is_empty() => {
                self.lost(format!("closed by the server: {}", frame.reason))
            }
            Message::Close(_) => self.lost("closed by the server".to_owned()),
            Message::Binary(_) => self.lost("a binary frame, where only text is spoken".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Poll::Ready(Event::Heard),
        }
    }

    fn lost(&mut self, cause: String) -> Poll<Event> {
        self.state = State::Gone;
        Poll::Ready(Event::Lost(cause))
    }
}

fn write(
    socket: &mut Socket,
    outbox: &mut VecDeque<Message>,
    flushing: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    let mut socket = Pin::new(socket);
    while !outbox.is_empty() {
        ready!(socket.as_mut().poll_ready(cx))?;
        if let Some(message) = outbox.pop_front() {
            socket.as_mut().start_send(message)?;
            *flushing = true;
        }
    }
    if outbox.capacity() > 64 {
        *outbox = VecDeque::new();
    }
    if *flushing {
        ready!(socket.as_mut().poll_flush(cx))?;
        *flushing = false;
    }
    Poll::Ready(Ok(()))
}

async fn connect(endpoint: Endpoint, (tls, token): Who, within: Duration) -> Result<Socket, String> {
    let handshake = async {
        let tcp = TcpStream::connect((endpoint.host(), endpoint.port()))
            .await
            .map_err(|error| tls::cause(&error, None))?;
        // A call is one small packet, and waits for its answer: it must not wait for a full segment too.
        tcp.set_nodelay(true).map_err(|error| tls::cause(&error, None))?;
        // Whoever listens on the way would be who we are.
        if token.is_some() && !endpoint.is_tls() && !tcp.peer_addr().is_ok_and(|to| to.ip().is_loopback()) {
            return Err(
                "a token goes to another machine by https alone: give https:// in the address".to_owned()
            );
        }
        let stream = tls::secure(tcp, &endpoint, tls.as_ref()).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(REPLY_BYTES_MAX))
            .max_frame_size(Some(REPLY_BYTES_MAX));
        let mut request =
            endpoint.session_url().into_client_request().map_err(|error| cause(&error, tls.as_ref()))?;
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(token.header()).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            request.headers_mut().insert("authorization", value);
        }
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        // What a member has against our certificate it says only after we took the handshake for done.
        handshake.await.map(|(socket, _)| socket).map_err(|error| cause(&error, tls.as_ref()))
    };
    match tokio::time::timeout(within, handshake).await {
        Ok(result) => result,
        Err(_) => Err(format!("timed out after {}", api::Span(within.as_millis() as u64))),
    }
}

fn cause(error: &Error, tls: Option<&Tls>) -> String {
    match error {
        Error::Io(error) => tls::cause(error, tls),
        Error::Http(response) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            match serde_json::from_slice::<api::ErrorBody>(body) {
                Ok(body) => format!("HTTP {status}: {}", body.error),
                Err(_) => format!("HTTP {status} instead of a session: is it a Tenure member's client port?"),
            }
        }
        Error::Protocol(_) => {
            format!("it does not speak WebSocket ({error}): is it a Tenure member's client port?")
        }
        error => error.to_string(),
    }
}
