//! Certificates: whose a certificate is, what stands in the files, and the configuration that a port is secured with.
//!
//! ```text
//! files ──▶ Pair (chain, key), CA ──▶ checked: ours to read, belong together, valid today ──▶ rustls
//!   ▲                                                                                          │
//!   └── SIGHUP, or once a minute: read again; what is wrong keeps the old ◀── Kept ◀───────────┘
//! ```
//!
//! Promises:
//! * TLS 1.3 and nothing older; ring is the one provider, named at each use, so that no other can slip in.
//! * A session is never resumed: each connection presents its certificate, and what was taken out of a CA file is out.
//! * A new certificate is for new connections; those that are open go on.
//!
//! This is the one place that reads a wall clock, by what certificates say of themselves, for the end of the tokens of clients and of new
//! members, and for the lines of the audit log. It decides nothing about leases.

mod error;
mod files;
mod fingerprint;
mod kept;
mod leaf;
mod name;
mod peers;
mod port;
mod refused;
mod stream;
mod telling;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use error::TlsError;
pub(crate) use error::instant_now;
pub(crate) use fingerprint::{Fingerprint, fingerprints};
pub(crate) use kept::{Kept, Rereads};
pub(crate) use leaf::Leaf;
pub(crate) use name::{Name, Role, operator};
pub(crate) use peers::{PEER_CA, PeerSides, member_of, peer_port};
pub(crate) use port::client_port;
pub(crate) use refused::words;
pub(crate) use stream::Stream;

/// The files that one port is secured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate that the port presents, with its chain behind it.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CAs under which the other side must have a certificate; none asks for none.
    pub ca: Option<PathBuf>,
}

/// The cryptography of everything here.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Seconds since 1970 as this machine's wall clock has them: for what certificates say, and for nothing else.
pub(crate) fn wall_seconds() -> i64 {
    i64::try_from(rustls::pki_types::UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}
