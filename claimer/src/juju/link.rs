//! One connection: a task reads it, since answers come in any order, and pings each minute, since a server closes what is silent for
//! three. A holder asks over a channel, and is told when the connection is gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use client::Endpoint;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Login;
use super::tls::{Carrier, secure};
use super::wire::{Ask, Fault, Frame};
use crate::target::No;

/// How long a connection may take to stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How often it is pinged, and how long the answer may take: as Juju's own client does.
const PING_EVERY: Duration = Duration::from_secs(60);
const PONG_WITHIN: Duration = Duration::from_secs(30);
/// How long a login may take: a server that throttles them answers late.
const LOGGED_IN_WITHIN: Duration = Duration::from_secs(90);
/// How long a frame may wait for the server to read: nothing else is done meanwhile, and one that reads no more is gone.
const SENT_WITHIN: Duration = Duration::from_secs(30);
/// What is read at once, and what is written at once: a process may have thousands of these.
const READ_BUFFER: usize = 2 * 1024;
const WRITE_BUFFER: usize = 4 * 1024;

type Socket = WebSocketStream<Box<dyn Carrier>>;

/// A connection. Dropped, it is closed.
pub(crate) struct Link {
    asks: mpsc::Sender<Asked>,
    /// Why it is gone, once it is.
    cause: Rc<RefCell<String>>,
}

struct Asked {
    ask: Ask,
    answer: oneshot::Sender<Frame>,
}

impl Link {
    /// Connects to a model's API, within a `LocalSet`.
    ///
    /// # Errors
    /// In words, where there is no connection.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        connector: &TlsConnector,
        model: &str,
    ) -> Result<Link, String> {
        let socket = timeout(CONNECT_WITHIN, connect(endpoint, connector, model)).await;
        let socket = socket.map_err(|_| format!("timed out after {CONNECT_WITHIN:?}"))??;
        let (asks, asked) = mpsc::channel(1);
        let cause = Rc::new(RefCell::new(String::new()));
        let told = Rc::clone(&cause);
        tokio::task::spawn_local(async move {
            let mut line = Line { socket, waiting: BTreeMap::new(), next: 1, pinged: None };
            // Said before the asks are dropped, so that whoever waits for an answer finds the cause.
            *told.borrow_mut() = line.carry(asked).await;
        });
        Ok(Link { asks, cause })
    }

    /// Logs in, once.
    ///
    /// # Errors
    /// In words, where there is no answer.
    pub(crate) async fn log_in(&self, login: &Login) -> Result<Result<(), Fault>, String> {
        let frame = self.ask(Ask::Login(login.clone()), Some(LOGGED_IN_WITHIN)).await;
        let frame = frame.map_err(|no| match no {
            No::Gone { why } | No::Unknown { why } => format!("no answer to the login: {why}"),
            other => format!("no login: {other:?}"),
        })?;
        Ok(frame.logged_in(&login.model))
    }

    /// Asks, and waits for the answer: for ever, where no bound is given.
    ///
    /// # Errors
    /// There is none, and why: what was asked may have been done.
    pub(crate) async fn ask(&self, ask: Ask, within: Option<Duration>) -> Result<Frame, No> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.asks.send(Asked { ask, answer }).await.ok()?;
            answered.await.ok()
        };
        let frame = match within {
            Some(within) => timeout(within, asked)
                .await
                .map_err(|_| No::Unknown { why: format!("no answer within {within:?}") })?,
            None => asked.await,
        };
        frame.ok_or_else(|| No::Gone { why: self.cause.borrow().clone() })
    }
}

async fn connect(endpoint: &Endpoint, connector: &TlsConnector, model: &str) -> Result<Socket, String> {
    let tcp = TcpStream::connect((endpoint.host(), endpoint.port())).await.map_err(|it| it.to_string())?;
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let carrier = secure(tcp, endpoint, connector).await?;
    let shown = endpoint.to_string();
    let (scheme, authority) = match shown.strip_prefix("https://") {
        Some(authority) => ("wss", authority),
        None => ("ws", shown.as_str()),
    };
    let url = format!("{scheme}://{authority}/model/{model}/api");
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
    let shaken = client_async_with_config(url, carrier, Some(config)).await;
    Ok(shaken.map_err(|error| format!("{error}: is it a port where Juju's wire is spoken?"))?.0)
}

/// The task's own.
struct Line {
    socket: Socket,
    waiting: BTreeMap<u64, oneshot::Sender<Frame>>,
    next: u64,
    /// The ping that is not answered, and until when it may be.
    pinged: Option<(u64, Instant)>,
}

impl Line {
    /// Carries asks and answers until the connection is gone, and says why; or until nobody asks any more.
    async fn carry(&mut self, mut asked: mpsc::Receiver<Asked>) -> String {
        let mut ping_at = Instant::now() + PING_EVERY;
        loop {
            let pong_by = self.pinged.map(|(_, by)| by);
            let done = tokio::select! {
                asked = asked.recv() => match asked {
                    Some(Asked { ask, answer }) => {
                        let id = self.send(&ask).await;
                        // Whoever gave up waiting is forgotten with the next ask.
                        self.waiting.retain(|_, answer| !answer.is_closed());
                        id.map(|id| drop(self.waiting.insert(id, answer)))
                    }
                    None => {
                        // Whoever measures is done with it, in order or not.
                        let _ = timeout(SENT_WITHIN, self.socket.close(None)).await;
                        return "closed".to_owned();
                    }
                },
                message = self.socket.next() => self.take(message),
                () = sleep_until(ping_at) => {
                    ping_at = Instant::now() + PING_EVERY;
                    self.send(&Ask::Ping).await.map(|id| self.pinged = Some((id, Instant::now() + PONG_WITHIN)))
                }
                () = silent(pong_by) => Err(format!("no answer to a ping within {PONG_WITHIN:?}")),
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    async fn send(&mut self, ask: &Ask) -> Result<u64, String> {
        let id = self.next;
        self.next += 1;
        let sent = timeout(SENT_WITHIN, self.socket.send(Message::text(ask.text(id)))).await;
        sent.map_err(|_| format!("the server has read nothing for {SENT_WITHIN:?}"))?
            .map_err(|error| error.to_string())?;
        Ok(id)
    }

    fn take(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Result<(), String> {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(frame)))) if !frame.reason.is_empty() => {
                return Err(format!("closed by the server: {}", frame.reason));
            }
            Some(Ok(Message::Close(_))) | None => return Err("closed by the server".to_owned()),
            Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => return Err(error.to_string()),
        };
        let frame: Frame = serde_json::from_str(&text)
            .map_err(|error| format!("the server sent what is no answer: {error}"))?;
        if self.pinged.is_some_and(|(id, _)| id == frame.request_id) {
            self.pinged = None;
            return frame.done().map_err(|fault| format!("a ping was refused: {fault}"));
        }
        if let Some(answer) = self.waiting.remove(&frame.request_id) {
            // Nobody waits any more where it came too late.
            let _ = answer.send(frame);
        }
        Ok(())
    }
}

async fn silent(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_reads_nothing_is_given_up_and_whoever_asks_is_told() {
        // A wire that takes a few bytes, and whose other end nobody reads.
        let (ours, _theirs) = tokio::io::duplex(16);
        let carrier: Box<dyn Carrier> = Box::new(ours);
        let config = WebSocketConfig::default().read_buffer_size(64).write_buffer_size(0);
        let socket = WebSocketStream::from_raw_socket(carrier, Role::Client, Some(config)).await;
        let (asks, asked) = mpsc::channel(1);
        let mut line = Line { socket, waiting: BTreeMap::new(), next: 1, pinged: None };
        let (answer, answered) = oneshot::channel();
        let began = Instant::now();
        let (why, ()) = tokio::join!(line.carry(asked), async {
            assert!(asks.send(Asked { ask: Ask::Ping, answer }).await.is_ok());
        });
        assert_eq!(why, "the server has read nothing for 30s");
        assert!((SENT_WITHIN..2 * SENT_WITHIN).contains(&began.elapsed()));
        assert!(answered.await.is_err());
    }
}
