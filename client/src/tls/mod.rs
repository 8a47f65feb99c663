//! What this program knows members by, and what it is known by: read once, for all sessions of the process.
//!
//! ```text
//! CA ──────────────▶ is the member's certificate issued by it, valid, and for the host that was asked?
//! certificate, key ─▶ presented, where the member asks for one
//! ```
//!
//! TLS 1.3 and nothing older. Only the CA that is given is believed, and none that the machine has: a cluster has its own.

mod stream;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, version};

pub(crate) use stream::{Stream, secure};
pub(crate) use words::cause;

/// Where a program's certificates are, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The CA that issued the members' certificates.
    pub ca: PathBuf,
    /// What the program is known by, where members ask for it.
    pub own: Option<OwnFiles>,
}

/// A program's certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate, with its chain behind it.
    pub cert: PathBuf,
    /// Its key, which others must not be able to read.
    pub key: PathBuf,
}

/// What a program knows members by, and what it is known by. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    /// For messages.
    files: Arc<TlsFiles>,
}

/// Why certificates cannot be used: which file, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    path: PathBuf,
    why: String,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn load(files: TlsFiles) -> Result<Tls, TlsError> {
        let wrong = |path: &Path, why: String| TlsError { path: path.to_owned(), why };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.ca)? {
            roots.add(certificate).map_err(|error| wrong(&files.ca, format!("it is no CA: {error}")))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| wrong(&files.ca, error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match &files.own {
            None => builder.with_no_client_auth(),
            Some(OwnFiles { cert, key }) => {
                let pair = (certificates(cert)?, private_key(key)?);
                builder.with_client_auth_cert(pair.0, pair.1).map_err(|error| match error {
                    rustls::Error::InconsistentKeys(_) => wrong(
                        key,
                        format!(
                            "it is not the key of {}: give the pair that was made together",
                            cert.display()
                        ),
                    ),
                    error => wrong(key, format!("it cannot be used: {error}")),
                })?
            }
        };
        // A session is a WebSocket, and that is made of HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), files: Arc::new(files) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.files)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for TlsError {}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable =
        |error: io::Error| TlsError { path: path.to_owned(), why: format!("it cannot be read: {error}") };
    fs::read(path).map_err(unreadable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError { path: path.to_owned(), why };
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| wrong(format!("it cannot be understood: {error}")))?;
    match all.is_empty() {
        true => Err(wrong("it holds no certificate: one begins with -----BEGIN CERTIFICATE-----".to_owned())),
        false => Ok(all),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |why: String| TlsError { path: path.to_owned(), why };
    let text = read(path)?;
    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o037 != 0 {
        return Err(wrong(format!(
            "others may read or change it, by its mode {mode:04o}: chmod 600 {}",
            path.display()
        )));
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) if text.windows(9).any(|word| word == b"ENCRYPTED") => {
            Err(wrong("it is locked with a password: store it without one, with mode 0600".to_owned()))
        }
        Err(PemError::NoItemsFound) => {
            Err(wrong("it holds no key: one begins with -----BEGIN PRIVATE KEY-----".to_owned()))
        }
        Err(error) => Err(wrong(format!("it cannot be understood: {error}"))),
    }
}
