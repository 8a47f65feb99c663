//! The client port: it is bound, it accepts, and each connection speaks HTTP until it is a session or is done.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use api::{Code, ErrorBody, Problem, Span};
use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::doorstep::Doorstep;
use super::handshake::Secured;
use super::identify::{Arrived, Presented};
use crate::admission::Gate;
pub(crate) use crate::admission::Permit;
use crate::log::Limited;
use crate::service::retry_after_ms;
use crate::tls::Leaf;

/// Connections that the kernel keeps for us until we accept them. With 128, a stampede of 15,000 clients overflowed it.
const BACKLOG: u32 = 4_096;
/// How long a client may take to send a request's head, and be silent between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The largest request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to leave the port alone where accepting failed, as with too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are being told that there is no place for them.
const TURNED_AWAY_MAX: usize = 128;

static DOORSTEP: OnceLock<Arc<Gate>> = OnceLock::new();
static NO_HTTP: Limited = Limited::new(Duration::from_secs(1));
static TURNED_AWAY: Limited = Limited::new(Duration::from_secs(1));
static NOT_ACCEPTED: Limited = Limited::new(Duration::from_secs(1));

/// Binds the client port.
///
/// # Errors
/// The system's own.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the connections of the life before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until `stop` turns true, as the doorstep says. Connections go on by themselves.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    doorstep: Doorstep,
    mut stop: watch::Receiver<bool>,
) {
    let http = Arc::new(http());
    let router = TowerToHyperService::new(router);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(permit) = doorstep.gate.enter() else {
                    turn_away(stream, peer, doorstep.gate.limit(), doorstep.handshakes.is_some());
                    continue;
                };
                doorstep.tune(&stream);
                let arrived = Arrived { peer, presented: None };
                let mut service = Connection { router: router.clone(), permit, arrived };
                let (http, stop) = (Arc::clone(&http), stop.clone());
                match doorstep.handshakes.clone() {
                    None => drop(tokio::spawn(serve(http, stream, peer, service, stop))),
                    // The handshake's future is large, and ends before the connection's begins.
                    Some(handshakes) => drop(tokio::spawn(async move {
                        if let Some(stream) = handshakes.shake(stream, peer).await {
                            service.arrived.presented = presented(&stream);
                            tokio::spawn(serve(http, stream, peer, service, stop));
                        }
                    })),
                }
                doorstep.pace().await;
            }
            Err(error) => {
                if let Some(held_back) = NOT_ACCEPTED.pass(Instant::now()) {
                    tracing::warn!(%error, held_back, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Once `stop` is true, or nobody is left to say so.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // What it returns borrows the channel, and must not be held over an await.
    drop(stop.wait_for(|stop| *stop).await);
}

fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    http
}

/// One connection's requests: each carries the connection's permit, which a session keeps.
struct Connection {
    router: TowerToHyperService<Router>,
    permit: Arc<Permit>,
    arrived: Arrived,
}

/// What stands in the certificate that the other side has presented.
fn presented(stream: &Secured) -> Option<Arc<Presented>> {
    let leaf = Leaf::read(stream.presented()?).ok();
    let until = leaf.as_ref().and_then(|leaf| u64::try_from(leaf.until).ok()).unwrap_or_default();
    Some(Arc::new(Presented { name: leaf.and_then(|leaf| leaf.name()), until }))
}

impl hyper::service::Service<hyper::Request<Incoming>> for Connection {
    type Response = Response;
    type Error = Infallible;
    type Future = TowerToHyperServiceFuture<Router, hyper::Request<Incoming>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Arc::clone(&self.permit));
        request.extensions_mut().insert(self.arrived.clone());
        self.router.call(request)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    http: Arc<Builder<TokioExecutor>>,
    stream: S,
    peer: SocketAddr,
    service: Connection,
    mut stop: watch::Receiver<bool>,
) {
    let mut connection = Box::pin(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    let Err(error) = ended else { return };
    let is_no_http = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    if is_no_http {
        // Strangers must not fill the log: one line, however many such connections come.
        if let Some(held_back) = NO_HTTP.pass(Instant::now()) {
            tracing::warn!(%peer, %error, held_back, "closed a connection that speaks no HTTP");
        }
    } else {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// One connection too many is told so at once, and when to come back; inside TLS nothing can be said for as little, and it
/// is closed.
fn turn_away(mut stream: TcpStream, peer: SocketAddr, limit: usize, is_tls: bool) {
    if let Some(held_back) = TURNED_AWAY.pass(Instant::now()) {
        tracing::warn!(%peer, limit, held_back, "turned a connection away: there are as many as there may be");
    }
    if is_tls {
        return;
    }
    let answer = full(limit);
    // Beyond these they are closed without a word: who is turned away must not take what the others need.
    let Some(place) = DOORSTEP.get_or_init(|| Gate::new(TURNED_AWAY_MAX)).enter() else { return };
    tokio::spawn(async move {
        let _place = place;
        // What the client sent must be read, or closing would reset the connection before it sees the answer.
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        })
        .await;
    });
}

fn full(limit: usize) -> String {
    let millis = retry_after_ms(lease::Ttl::from_millis(2_000), rand::random());
    let message = format!(
        "{limit} connections are open, the limit: try again in {}, or at another member",
        Span(millis)
    );
    let error = Problem::new(Code::Overloaded, message).retry_after_ms(millis);
    let body = serde_json::to_string(&ErrorBody { error }).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: {}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        millis.div_ceil(1_000),
        body.len()
    )
}
