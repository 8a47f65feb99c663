//! Mutual TLS between members: whoever is on the other side is who its certificate says, before a word of his is read.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Who;
use super::secured::Secured;
use super::socket::Stream;
use crate::tls::{Kept, PeerSides, member_of};

/// How long a caller that was refused may take to read why.
const FAREWELL: Duration = Duration::from_millis(500);

/// How connections between members are secured.
#[derive(Clone)]
pub(crate) enum Security {
    /// Not at all: who is on the other side is what it says.
    Plain,
    /// By mutual TLS.
    Mutual(Arc<Kept<PeerSides>>),
}

/// Who is on the other side, where that was proven.
pub(super) type Proven = Option<Who>;

impl Security {
    /// Secures a connection that we opened.
    pub(super) async fn call(&self, tcp: TcpStream) -> io::Result<(Stream, Proven)> {
        let Security::Mutual(kept) = self else { return Ok((Box::new(tcp), None)) };
        let stream = TlsConnector::from(kept.get().calls).connect(no_host(), tcp).await;
        let stream = stream.map_err(cut_short)?;
        let who = proven(stream.get_ref().1.peer_certificates())?;
        Ok((Box::new(Secured(stream)), Some(who)))
    }

    /// Secures a connection that we accepted.
    pub(super) async fn called(&self, tcp: TcpStream) -> io::Result<(Stream, Proven)> {
        let Security::Mutual(kept) = self else { return Ok((Box::new(tcp), None)) };
        match TlsAcceptor::from(kept.get().called).accept(tcp).into_fallible().await {
            Ok(stream) => {
                let who = proven(stream.get_ref().1.peer_certificates())?;
                Ok((Box::new(Secured(stream)), Some(who)))
            }
            Err((error, mut tcp)) => {
                // What the caller sent must be read, or closing would reset the connection before it sees why.
                let goodbye = async {
                    tcp.shutdown().await?;
                    tokio::io::copy(&mut tcp.take(64 * 1024), &mut tokio::io::sink()).await
                };
                // It is over either way.
                let _ = timeout(FAREWELL, goodbye).await;
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Security::Plain => "Plain",
            Security::Mutual(_) => "Mutual",
        })
    }
}

fn proven(presented: Option<&[CertificateDer<'_>]>) -> io::Result<Who> {
    let (cluster, member) = member_of(presented).map_err(io::Error::other)?;
    Ok(Who { cluster, member })
}

/// A listener that speaks no TLS closes the connection as it would a stranger's.
fn cut_short(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ (io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
            let why = "it closed the connection in the TLS handshake: where it does not speak TLS, give both members \
                       peer.tls.*, or neither";
            io::Error::new(kind, why)
        }
        _ => error,
    }
}

/// Who is called is known by its member's name, and by no host: this one is not looked at, and not sent.
fn no_host() -> ServerName<'static> {
    IpAddr::V4(Ipv4Addr::UNSPECIFIED).into()
}
