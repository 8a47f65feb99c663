//! The server's side of a TLS connection that keeps no buffer while it is idle.
//!
//! ```text
//!            plain ◀─ decrypted ─┐
//!  reader ◀──(what it has not    │  rustls, without   ◀── scratch ◀── read ── socket
//!             taken yet)         │  buffers of its own      │
//!                                │        │                 └─▶ partial: of a record that is not whole
//!  writer ──────── encrypted ────┘        └──▶ sealed: what the socket has not taken yet ──▶ socket
//! ```
//!
//! rustls' own buffered connection keeps 4 KB for what it reads, for as long as it lives: more than all the rest of an idle
//! session. Here one scratch for each thread is read into, and the three buffers above are there only while something is in them.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{InvalidMessage, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read at once, at most: a whole record of TLS, which has 16 KiB and some bytes more, and room for the next one's beginning.
const READ_BYTES: usize = 20 * 1024;
/// Encrypted at once, at most: what a record holds.
const RECORD_BYTES: usize = 16 * 1024;
/// What a record adds to what is in it, at most, in TLS 1.3: its head, its type and its seal.
const SEAL_BYTES: usize = 64;
/// Kept of records that are not whole, and of a message in several of them, at most: a message may have 64 KiB, and rustls frees none
/// of it before it is whole.
const PARTIAL_BYTES_MAX: usize = 64 * 1024 + READ_BYTES;
/// What a record may have, sealed.
const RECORD_BYTES_MAX: usize = RECORD_BYTES + 2 * 1024;
/// A record's head: its type, a version and its length.
const HEAD_BYTES: usize = 5;

thread_local! {
    /// What is read into; it has its full length from the first read on.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The server's side of TLS over `S`. Reading may write, too, so one task does both: halves that are split would lose a wake-up.
pub(crate) struct Stream<S> {
    under: S,
    tls: UnbufferedServerConnection,
    /// What was read of a record that has not come whole, or of a message in several records.
    partial: Vec<u8>,
    /// What was decrypted and not taken yet.
    plain: Rest,
    /// What was encrypted and not sent yet.
    sealed: Rest,
    /// TLS has failed, and rustls is asked nothing more.
    has_failed: bool,
    /// The other side has said that it sends no more.
    is_read: bool,
    /// It was told the same.
    is_written: bool,
}

/// Bytes that go in pieces; nothing is allocated once they are gone.
#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    gone: usize,
}

impl Rest {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    fn go(&mut self, count: usize) {
        self.gone += count;
        if self.gone == self.bytes.len() {
            *self = Rest::default();
        }
    }
}

/// What rustls waits for, once it has taken in what there was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Handshakes,
    Talks,
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Over `under`, with nothing read yet.
    ///
    /// # Errors
    /// Where the configuration can make no connection.
    pub(crate) fn new(under: S, config: Arc<ServerConfig>) -> Result<Stream<S>, rustls::Error> {
        Ok(Stream {
            under,
            tls: UnbufferedServerConnection::new(config)?,
            partial: Vec::new(),
            plain: Rest::default(),
            sealed: Rest::default(),
            has_failed: false,
            is_read: false,
            is_written: false,
        })
    }

    /// What is secured.
    pub(crate) fn under(&self) -> &S {
        &self.under
    }

    /// What the other side has presented, its own certificate first; none where it has presented none.
    pub(crate) fn presented(&self) -> Option<&CertificateDer<'static>> {
        self.tls.peer_certificates()?.first()
    }

    /// What was secured, for last words of the socket's own.
    pub(crate) fn into_under(self) -> S {
        self.under
    }

    /// Reads until the first record is there, and does nothing with it: no cryptography.
    ///
    /// # Errors
    /// The socket's own, and where it ends before.
    pub(crate) async fn first_record(&mut self) -> io::Result<()> {
        while self.partial.get(3..HEAD_BYTES).is_none_or(|length| {
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            // One that is too long is not waited for: rustls says so.
            length <= RECORD_BYTES_MAX && self.partial.len() < HEAD_BYTES + length
        }) {
            poll_fn(|cx| {
                SCRATCH.with_borrow_mut(|scratch| {
                    scratch.resize(READ_BYTES, 0);
                    let mut buf = ReadBuf::new(scratch);
                    ready!(Pin::new(&mut self.under).poll_read(cx, &mut buf))?;
                    self.partial.extend_from_slice(buf.filled());
                    Poll::Ready(if buf.filled().is_empty() { Err(cut_off()) } else { Ok(()) })
                })
            })
            .await?;
        }
        Ok(())
    }

    /// Goes on until each side knows the other.
    ///
    /// # Errors
    /// Whatever of rustls or the socket: the other side is told before, where it can be.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        let mut stands = self.take_in_partial(&mut ReadBuf::new(&mut []));
        loop {
            match stands {
                Ok(Stands::Handshakes) => poll_fn(|cx| self.poll_send(cx)).await?,
                // What is left to be said goes out with what is read and written next, and fails there where it does.
                Ok(Stands::Talks) => return Ok(()),
                Ok(Stands::Closed) => return Err(cut_off()),
                Err(error) => {
                    // An alert; where it cannot be told, it is over all the same.
                    let _ = poll_fn(|cx| self.poll_send(cx)).await;
                    return Err(error);
                }
            }
            stands = poll_fn(|cx| self.poll_take_in(cx, &mut ReadBuf::new(&mut []))).await;
        }
    }

    /// Reads what has come, and takes it in: what can be decrypted goes to `to`, and to `plain` what finds no room there.
    fn poll_take_in(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<Stands>> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(READ_BYTES, 0);
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.under).poll_read(cx, &mut buf))?;
            let read = buf.filled_mut();
            if read.is_empty() {
                return Poll::Ready(Err(cut_off()));
            }
            if self.partial.len() + read.len() > PARTIAL_BYTES_MAX {
                self.has_failed = true;
                return Poll::Ready(Err(invalid(InvalidMessage::HandshakePayloadTooLarge.into())));
            }
            if !self.partial.is_empty() {
                self.partial.extend_from_slice(read);
                return Poll::Ready(self.take_in_partial(to));
            }
            let (done, stands) = self.take_in(read, to)?;
            self.partial = read[done..].to_vec();
            Poll::Ready(Ok(stands))
        })
    }

    /// Takes in what was left over, with what has come to it.
    fn take_in_partial(&mut self, to: &mut ReadBuf<'_>) -> io::Result<Stands> {
        let mut read = std::mem::take(&mut self.partial);
        let (done, stands) = self.take_in(&mut read, to)?;
        if done < read.len() {
            read.drain(..done);
            self.partial = read;
        }
        Ok(stands)
    }

    /// Takes in what was read, as far as it is whole: how many bytes that are. What is to be said for it goes to `sealed`.
    fn take_in(&mut self, read: &mut [u8], to: &mut ReadBuf<'_>) -> io::Result<(usize, Stands)> {
        if self.has_failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut read[done..]);
            done += discard;
            let stands = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        done += record.discard;
                        let (now, later) = record.payload.split_at(record.payload.len().min(to.remaining()));
                        to.put_slice(now);
                        self.plain.bytes.extend_from_slice(later);
                    }
                    None
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.sealed.bytes)?;
                    None
                }
                // It is in `sealed`, ahead of all that follows.
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    None
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_read = true;
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Stands::Handshakes),
                Ok(ConnectionState::WriteTraffic(_)) => Some(Stands::Talks),
                Ok(ConnectionState::Closed) => Some(Stands::Closed),
                Ok(other) => return Err(io::Error::other(format!("unexpected in TLS: {other:?}"))),
                Err(error) => {
                    self.has_failed = true;
                    self.take_alert(&mut read[done..]);
                    return Err(invalid(error));
                }
            };
            if let Some(stands) = stands {
                return Ok((done, stands));
            }
        }
    }

    /// What is to be told of an error: one record, and the last. rustls wants to see again what it has seen.
    fn take_alert(&mut self, read: &mut [u8]) {
        if let Ok(ConnectionState::EncodeTlsData(data)) = self.tls.process_tls_records(read).state {
            // Where that fails, too, it is not told.
            let _ = encode(data, &mut self.sealed.bytes);
        }
    }

    /// Sends what was encrypted. Ready once there is nothing of it left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.rest().is_empty() {
            let sent = ready!(Pin::new(&mut self.under).poll_write(cx, self.sealed.rest()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sealed.go(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts `plain`, or that nothing more is written where there is none.
    fn encrypt(&mut self, plain: Option<&[u8]>) -> io::Result<()> {
        // What is in the way of writing: keys that are renewed, and what is to be told of it.
        if self.take_in_partial(&mut ReadBuf::new(&mut []))? != Stands::Talks {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.tls.process_tls_records(&mut self.partial).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let room = plain.map_or(0, <[u8]>::len) + SEAL_BYTES;
                seal(&mut self.sealed.bytes, room, |to| {
                    let sealed = match plain {
                        Some(plain) => traffic.encrypt(plain, to),
                        None => traffic.queue_close_notify(to),
                    };
                    sealed.map_err(|error| match error {
                        EncryptError::InsufficientSize(size) => Ok(size.required_size),
                        error => Err(io::Error::other(error)),
                    })
                })
            }
            Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(invalid(error)),
        }
    }
}

/// Puts what the handshake says behind what is in `to`.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, to: &mut Vec<u8>) -> io::Result<()> {
    seal(to, 0, |to| {
        data.encode(to).map_err(|error| match error {
            EncodeError::InsufficientSize(size) => Ok(size.required_size),
            error => Err(io::Error::other(error)),
        })
    })
}

/// Has `encode` write behind what is in `to`, which grows by what it says it needs.
fn seal(
    to: &mut Vec<u8>,
    room: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Result<usize, io::Error>>,
) -> io::Result<()> {
    let before = to.len();
    to.resize(before + room, 0);
    loop {
        match encode(&mut to[before..]) {
            Ok(written) => {
                to.truncate(before + written);
                return Ok(());
            }
            Err(Ok(required)) if required > to.len() - before => to.resize(before + required, 0),
            Err(Ok(_)) => return Err(io::Error::other("TLS asks for no more room than it has")),
            Err(Err(error)) => return Err(error),
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed without a word of TLS")
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let left = this.plain.rest();
        if !left.is_empty() {
            let now = left.len().min(buf.remaining());
            buf.put_slice(&left[..now]);
            this.plain.go(now);
            return Poll::Ready(Ok(()));
        }
        while buf.filled().len() == before && buf.remaining() > 0 && !this.is_read {
            // What the handshake left to be said, or new keys call for, goes out meanwhile. Who cannot be told may still be read.
            let _ = this.poll_send(cx);
            if let Err(error) = ready!(this.poll_take_in(cx, buf)) {
                let _ = this.poll_send(cx);
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_send(cx))?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let now = &buf[..buf.len().min(RECORD_BYTES)];
        this.encrypt(Some(now))?;
        // What it does not take now is sent by the next call.
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(now.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.under).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_written && !self.has_failed {
            self.encrypt(None)?;
        }
        self.is_written = true;
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.under).poll_shutdown(cx)
    }
}
