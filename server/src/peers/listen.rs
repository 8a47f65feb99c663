//! Being called by the other members: who calls is asked first, then each frame is taken in its order, and answered when its
//! answer has come about.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use replica::{Answering, Connection, Peers, WireError, World};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::frame::{self, Broken};
use super::hello::{self, Called, Refusal};
use super::said::Said;
use super::socket::{self, Stream};
use super::{HELLO_WITHIN, INBOUND_MAX, Security, UNANSWERED_MAX, Who};

/// How long to leave the port alone where accepting failed, as with too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Callers that are being told that there is no room, or that they are not welcome.
const DOORSTEP_MAX: usize = 32;
const BUFFER_BYTES: usize = 64 * 1024;

/// What takes the frames of other members.
pub(crate) trait Answers: Send + Sync + 'static {
    /// What takes those of one connection.
    type Connection: Takes;

    /// A new connection, of the member that calls.
    fn connection(&self, caller: u64) -> Self::Connection;
}

/// What takes the frames of one connection, in their order.
pub(crate) trait Takes: Send + 'static {
    /// Takes the next one; its answer comes about in its own time.
    ///
    /// # Errors
    /// The connection is of no use.
    fn take(&mut self, frame: &[u8]) -> Result<Answering, WireError>;
}

impl<W: World> Answers for Peers<W> {
    type Connection = Connection<W>;

    fn connection(&self, caller: u64) -> Connection<W> {
        Peers::connection(self, caller)
    }
}

impl<W: World> Takes for Connection<W> {
    fn take(&mut self, frame: &[u8]) -> Result<Answering, WireError> {
        Connection::take(self, frame)
    }
}

/// What all connections share.
struct Listening<A> {
    me: Who,
    security: Security,
    answers: A,
    said: Said,
    /// The newest connection of each caller, which a newer one ends.
    newest: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    room: Arc<Semaphore>,
    doorstep: Arc<Semaphore>,
}

/// Accepts the other members' connections, for as long as it is polled. To be called within the replica's runtime.
pub(crate) async fn accept<A: Answers>(listener: TcpListener, me: Who, security: Security, answers: A) {
    let listening = Arc::new(Listening {
        me,
        security,
        answers,
        said: Said::default(),
        newest: Mutex::default(),
        room: Arc::new(Semaphore::new(INBOUND_MAX)),
        doorstep: Arc::new(Semaphore::new(DOORSTEP_MAX)),
    });
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => listening.admit(tcp, from),
            Err(error) => {
                listening.tell(format!("a connection of a member could not be accepted: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl<A: Answers> Listening<A> {
    /// Lets it in, or as far as the doorstep, where it is told that there is no room; beyond that it is closed without a word.
    fn admit(self: &Arc<Self>, tcp: TcpStream, from: SocketAddr) {
        let room = Arc::clone(&self.room).try_acquire_owned().ok();
        let doorstep = match room {
            Some(_) => None,
            None => match Arc::clone(&self.doorstep).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => return,
            },
        };
        let listening = Arc::clone(self);
        drop(tokio::spawn(async move {
            listening.serve(tcp, from.ip(), room).await;
            drop(doorstep);
        }));
    }

    async fn serve(&self, tcp: TcpStream, from: IpAddr, room: Option<OwnedSemaphorePermit>) {
        let hello = async {
            let (mut stream, proven) = socket::inbound(tcp, &self.security).await?;
            let called = hello::answer(&mut stream, self.me, proven, room.is_some()).await?;
            Ok((stream, called))
        };
        let greeted = timeout(HELLO_WITHIN, hello).await.unwrap_or(Err(Refusal::Silent));
        let (stream, Called { caller, judged }) = match greeted {
            Ok(greeted) => greeted,
            // It was stopped, or thought better of it.
            Err(Refusal::Io(error)) if is_gone(&error) => {
                return tracing::debug!(%from, %error, "a caller went away before it said who it is");
            }
            Err(why) => return self.tell(format!("a caller from {from} was not let in: {why}")),
        };
        if let Err(why) = judged {
            return self.tell(format!("member {caller}, calling from {from}, was refused: {why}"));
        }
        tracing::debug!(member = caller, %from, "a member has connected");
        let why = tokio::select! {
            why = carry(stream, self.answers.connection(caller)) => why,
            () = self.newer(caller) => Some("it has made a newer one".to_owned()),
        };
        tracing::debug!(member = caller, %from, why, "a member's connection has ended");
        if let Some(why) = why {
            self.tell(format!("the connection of member {caller}, calling from {from}, has ended: {why}"));
        }
    }

    /// Once the caller has made a newer connection.
    fn newer(&self, caller: u64) -> impl Future<Output = ()> + use<A> {
        let (replaces, replaced) = oneshot::channel();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.retain(|_, replaces| !replaces.is_closed());
        // The older one's end of it is dropped, and that tells.
        newest.insert(caller, replaces);
        async move { drop(replaced.await) }
    }

    fn tell(&self, line: String) {
        if self.said.is_news(&line, Instant::now()) {
            tracing::warn!("{line}");
        }
    }
}

/// Takes and answers until the connection ends, and says why, or nothing where the caller closed it.
async fn carry(stream: Stream, connection: impl Takes) -> Option<String> {
    let (read, write) = tokio::io::split(stream);
    let (taken, answering) = unbounded_channel();
    let room = Arc::new(Semaphore::new(UNANSWERED_MAX));
    tokio::select! {
        why = take(read, connection, &taken, &room) => why,
        error = answer(write, answering) => Some(format!("it failed: {error}")),
    }
}

/// A frame that was taken: the number of its ask, what becomes its answer, and its place among those without one.
type Taken = (u64, Answering, OwnedSemaphorePermit);

async fn take(
    from: impl AsyncRead + Unpin,
    mut connection: impl Takes,
    taken: &UnboundedSender<Taken>,
    room: &Arc<Semaphore>,
) -> Option<String> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let mut bytes = Vec::new();
    loop {
        // Beyond these the caller's frames wait where they are.
        let place = Arc::clone(room).acquire_owned().await.ok()?;
        let number = match frame::read(&mut from, &mut bytes).await {
            Ok(number) => number,
            Err(Broken::Closed) => return None,
            Err(broken) => return Some(broken.to_string()),
        };
        match connection.take(&bytes) {
            Ok(answering) => drop(taken.send((number, answering, place))),
            Err(error) => return Some(error.to_string()),
        }
    }
}

/// Writes answers in the order in which they come about.
async fn answer(to: impl AsyncWrite + Unpin, mut taken: UnboundedReceiver<Taken>) -> std::io::Error {
    let mut to = BufWriter::with_capacity(BUFFER_BYTES, to);
    let mut answering = FuturesUnordered::new();
    let mut is_flushed = true;
    loop {
        let answered = tokio::select! {
            biased;
            Some((number, answer, place)) = taken.recv() => {
                answering.push(async move { (number, answer.await, place) });
                continue;
            }
            Some(answered) = answering.next() => answered,
            // Nothing else is ready: what was written must not wait for what is yet to come.
            flushed = to.flush(), if !is_flushed => match flushed {
                Ok(()) => { is_flushed = true; continue }
                Err(error) => return error,
            },
        };
        let (number, bytes, _place) = answered;
        is_flushed = false;
        if let Err(error) = frame::write(&mut to, number, &bytes).await {
            return error;
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
