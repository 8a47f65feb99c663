//! Frames on a connection: a length, the number of an ask, and bytes that are not ours to read.

use std::fmt;
use std::io;

use replica::PEER_FRAME_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const HEAD_BYTES: usize = 12;
/// A buffer that a long frame has made larger than this is given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Why no frame could be read.
#[derive(Debug)]
pub(super) enum Broken {
    /// The other side ended the connection, between two frames.
    Closed,
    /// And this, within one.
    Cut,
    /// A frame is longer than it may be.
    TooLong(u32),
    /// The system.
    Io(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Closed => f.write_str("it closed the connection"),
            Broken::Cut => f.write_str("the connection was cut in the middle of a frame"),
            Broken::TooLong(bytes) => {
                write!(f, "a frame of {bytes} bytes was announced, and the limit is {PEER_FRAME_BYTES_MAX}")
            }
            Broken::Io(error) => write!(f, "the connection failed: {error}"),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

/// Reads the next frame into `bytes`, and gives the number of its ask. Dropped halfway, it leaves the connection of no use.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Result<u64, Broken> {
    let mut head = [0; HEAD_BYTES];
    let mut have = 0;
    while have < HEAD_BYTES {
        match (from.read(&mut head[have..]).await?, have) {
            (0, 0) => return Err(Broken::Closed),
            (0, _) => return Err(Broken::Cut),
            (more, _) => have += more,
        }
    }
    let [a, b, c, d, ask @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length as usize > PEER_FRAME_BYTES_MAX {
        return Err(Broken::TooLong(length));
    }
    bytes.clear();
    bytes.shrink_to(KEPT_BYTES);
    // It grows with what comes: a length alone takes no memory.
    let came = from.take(u64::from(length)).read_to_end(bytes).await?;
    if came < length as usize { Err(Broken::Cut) } else { Ok(u64::from_le_bytes(ask)) }
}

/// Writes a frame, which must not be too long. What is written may wait in a buffer of `to`.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), ask: u64, bytes: &[u8]) -> io::Result<()> {
    debug_assert!(bytes.len() <= PEER_FRAME_BYTES_MAX, "a frame of {} bytes", bytes.len());
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&ask.to_le_bytes());
    to.write_all(&head).await?;
    to.write_all(bytes).await
}
