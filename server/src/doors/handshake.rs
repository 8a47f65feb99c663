//! The TLS handshakes of the client port: bounded in number and in time, so that those who connect do not starve those who
//! are connected.
//!
//! ```text
//! accepted ─▶ its first byte ─▶ first record ─▶ its source's place ─▶ a slot ─▶ keys, certificates ─▶ HTTP
//!             │ no TLS: told     (no crypto      (128 each)           (64)     │ refused: told why
//!             ▼                   until here)                                  ▼
//!           closed ◀──────────────── all of it within 5 s ────────────────── closed
//! ```
//!
//! A slot is for our own work, which is done at once. Whoever answers it slowly keeps the slot for 50 ms and goes on without, which costs
//! them nothing: so it takes 1,280 hellos a second that nothing follows to keep newcomers out. And one address has no more than 128
//! handshakes under way, 25 a second that say no more: to keep others out takes fifty addresses, and those who are in are served on.

mod sources;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Code, ErrorBody, Problem};
use futures_util::FutureExt;
use lease::{HANDSHAKES_MAX, HANDSHAKES_OF_SOURCE_MAX};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::log::Limited;
use crate::tls::{Kept, Stream};
use sources::Sources;

/// From the connection to the end of its handshake.
const WITHIN: Duration = Duration::from_secs(5);
/// How long one may keep its slot while it is waited for: so long that of a fleet that comes at once those whose keys are made are through
/// before the next ones' are.
const SLOT_FOR: Duration = Duration::from_millis(50);
/// How long one that was refused may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// The first byte of every TLS connection: a record with a handshake in it.
const RECORD_HANDSHAKE: u8 = 22;

static NO_TLS: Limited = Limited::new(Duration::from_secs(1));
static FAILED: Limited = Limited::new(Duration::from_secs(1));
static SLOW: Limited = Limited::new(Duration::from_secs(1));

/// A connection inside TLS. Boxed from birth: it is large, and would be copied into each future that carries it.
pub(super) type Secured = Box<Stream<TcpStream>>;

/// The port's handshakes.
pub(crate) struct Handshakes {
    sources: Sources,
    slots: Semaphore,
    within: Duration,
    slot_for: Duration,
    config: Arc<Kept<Arc<ServerConfig>>>,
}

/// How far a handshake came that was not done in time.
#[derive(Clone, Copy)]
enum Stage {
    Hello,
    Place,
    Slot,
    Crypto,
}

impl Handshakes {
    pub(crate) fn new(config: Arc<Kept<Arc<ServerConfig>>>) -> Handshakes {
        let (sources, slots) = (Sources::new(HANDSHAKES_OF_SOURCE_MAX), Semaphore::new(HANDSHAKES_MAX));
        Handshakes { sources, slots, within: WITHIN, slot_for: SLOT_FOR, config }
    }

    /// Makes a connection a secured one. Where that fails the client is told, where it can be, and the connection is over.
    pub(super) async fn shake(&self, stream: TcpStream, peer: SocketAddr) -> Option<Secured> {
        let mut stage = Stage::Hello;
        match timeout(self.within, self.steps(stream, peer, &mut stage)).await {
            Ok(secured) => secured,
            Err(_) => {
                if let Some(held_back) = SLOW.pass(Instant::now()) {
                    let within = self.within;
                    match stage {
                        Stage::Hello => {
                            tracing::warn!(%peer, ?within, held_back, "closed: no TLS hello came in time")
                        }
                        Stage::Place => {
                            tracing::warn!(
                                %peer, ?within, held_back,
                                "closed: {HANDSHAKES_OF_SOURCE_MAX} handshakes of its address were under way, the limit: have them \
                                 come more slowly, or from more addresses"
                            );
                        }
                        Stage::Slot => {
                            tracing::warn!(
                                %peer, ?within, held_back,
                                "closed: {HANDSHAKES_MAX} handshakes were under way, the limit: have clients come more slowly, or to more \
                                 members"
                            );
                        }
                        Stage::Crypto => {
                            tracing::warn!(%peer, ?within, held_back, "closed: its TLS handshake was not done in time");
                        }
                    }
                }
                None
            }
        }
    }

    async fn steps(&self, stream: TcpStream, peer: SocketAddr, stage: &mut Stage) -> Option<Secured> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) if first[0] == RECORD_HANDSHAKE => {}
            Ok(1..) => {
                tell_no_tls(peer);
                // Only what looks like HTTP is answered in HTTP.
                if first[0].is_ascii_uppercase() {
                    farewell(stream, plain_answer().as_bytes()).await;
                }
                return None;
            }
            Ok(0) | Err(_) => return None,
        }
        let mut secured = match Stream::new(stream, self.config.get()) {
            Ok(stream) => Box::new(stream),
            Err(error) => {
                tell_failed(peer, &std::io::Error::other(error));
                return None;
            }
        };
        if let Err(error) = secured.first_record().await {
            tell_failed(peer, &error);
            return None;
        }
        *stage = Stage::Place;
        // Kept until the end, unlike the slot.
        let place = self.sources.enter(peer).await;
        *stage = Stage::Slot;
        let slot = self.slots.acquire().await.ok()?;
        // Who waited too long for a slot has gone, and its keys would be made for nobody.
        if let Some(Ok(0) | Err(_)) = secured.under().peek(&mut first).now_or_never() {
            return None;
        }
        *stage = Stage::Crypto;
        let done = {
            let mut handshake = pin!(secured.handshake());
            let in_slot = timeout(self.slot_for, handshake.as_mut()).await;
            drop(slot);
            match in_slot {
                Ok(done) => done,
                Err(_) => handshake.await,
            }
        };
        drop(place);
        match done {
            Ok(()) => Some(secured),
            Err(error) => {
                tell_failed(peer, &error);
                farewell(secured.into_under(), b"").await;
                None
            }
        }
    }
}

/// Sends the last words, and reads what the client sent: closed before that, the connection would be reset, and the client
/// would not see them.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, words: &[u8]) {
    let goodbye = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut most = stream.take(1 << 20);
        tokio::io::copy(&mut most, &mut tokio::io::sink()).await
    };
    // It is over either way.
    let _ = timeout(FAREWELL, goodbye).await;
}

fn tell_no_tls(peer: SocketAddr) {
    if let Some(held_back) = NO_TLS.pass(Instant::now()) {
        tracing::warn!(%peer, held_back, "closed a connection that speaks no TLS");
    }
}

fn tell_failed(peer: SocketAddr, error: &std::io::Error) {
    if let Some(held_back) = FAILED.pass(Instant::now()) {
        tracing::warn!(%peer, %error, held_back, "a TLS handshake failed");
    }
}

/// To a plain HTTP request.
fn plain_answer() -> String {
    let message = "this port speaks TLS: use https, and the cluster's CA to know the member by";
    let error = Problem::new(Code::BadRequest, message);
    let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
