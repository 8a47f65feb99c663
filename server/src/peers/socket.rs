//! Where connections between members come into being: whatever else carries a frame sees only a [`Stream`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::CONNECT_WITHIN;
use super::secure::{Proven, Security};

/// What was sent and is not acknowledged for so long ends its connection: the other machine is gone, or the way to it.
const UNACKNOWLEDGED_FOR: Duration = Duration::from_secs(2);
/// A connection on which nothing is sent is tried so often, and ends after so many tries without an answer.
const TRY_AFTER: Duration = Duration::from_secs(1);
const TRIES: u32 = 2;

/// A connection between members.
pub(super) type Stream = Box<dyn Carries>;

/// What reads and writes bytes.
pub(super) trait Carries: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carries for T {}

/// Binds the peer listener.
///
/// # Errors
/// The system's own.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    // On Unix this sets SO_REUSEADDR: a restart does not wait for the connections of the life before to be forgotten.
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to the peer listener at `HOST:PORT`, at each of its addresses, until one answers; and says who that is, where it was
/// proven.
///
/// # Errors
/// The last address's. It takes no longer than [`CONNECT_WITHIN`].
pub(super) async fn connect(address: &str, security: &Security) -> io::Result<(Stream, Proven)> {
    let whole = async {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
        let within = CONNECT_WITHIN / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut why = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match timeout(within, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return outbound(tcp, security).await,
                Ok(Err(error)) => why = error,
                Err(_) => why = late("nobody answered"),
            }
        }
        Err(why)
    };
    timeout(CONNECT_WITHIN, whole).await.unwrap_or_else(|_| Err(late("no connection")))
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {CONNECT_WITHIN:?}"))
}

/// Makes a connection that we opened ready for hellos.
async fn outbound(tcp: TcpStream, security: &Security) -> io::Result<(Stream, Proven)> {
    tune(&tcp)?;
    security.call(tcp).await
}

/// Makes a connection that we accepted ready for hellos, and says who called, where it was proven.
///
/// # Errors
/// The system's own, or why the caller has no place here.
pub(super) async fn inbound(tcp: TcpStream, security: &Security) -> io::Result<(Stream, Proven)> {
    tune(&tcp)?;
    security.called(tcp).await
}

fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_FOR))?;
    let tries = TcpKeepalive::new().with_time(TRY_AFTER).with_interval(TRY_AFTER).with_retries(TRIES);
    socket.set_tcp_keepalive(&tries)
}
