//! A connection as it is, or inside TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Tls, words};
use crate::Endpoint;

/// A connection to a member.
pub(crate) enum Stream {
    Plain(TcpStream),
    /// Boxed: it is large, and would be copied into each future that carries it.
    Secured(Box<TlsStream<TcpStream>>),
}

/// Makes a connection what its endpoint says.
///
/// # Errors
/// Why it cannot be secured, in words.
pub(crate) async fn secure(tcp: TcpStream, endpoint: &Endpoint, tls: Option<&Tls>) -> Result<Stream, String> {
    if !endpoint.is_tls() {
        return Ok(Stream::Plain(tcp));
    }
    let tls = tls.ok_or(
        "it is reached by TLS, and no CA is given to know it by: give the cluster's own, --ca or TENURE_CA",
    )?;
    let name = ServerName::try_from(endpoint.host().to_owned()).map_err(|_| {
        format!("no certificate can be for the host {}: use another of its names", endpoint.host())
    })?;
    match TlsConnector::from(tls.config().await).connect(name, tcp).await {
        Ok(stream) => Ok(Stream::Secured(Box::new(stream))),
        Err(error) => Err(words::cause(&error, Some(tls))),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Secured(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Secured(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Secured(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
