//! What this program knows members by, and what it is known by: one for all sessions of the process.
//!
//! ```text
//! CA ──────────────▶ is the member's certificate issued by it, valid, and for the host that was asked?
//! certificate, key ─▶ presented, where the member asks for one
//! ```
//!
//! Before each connection the files are looked at, and read again where they have changed: a program that runs for long comes by its
//! renewed certificate. Where they cannot be used, as between the writing of a certificate and that of its key, what was read before
//! goes on to be used, and the next connection looks again. One looks at a time, on a thread of its own, which no runtime waits for:
//! whoever connects meanwhile comes by what was read before, and a file system that hangs costs one connection a minute its try.
//!
//! TLS 1.3 and nothing older. Only the CA that is given is believed, and none that the machine has: a cluster has its own.

mod files;
mod stream;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, RootCertStore, version};
use tokio::sync::oneshot;

use files::{Stamps, certificates, private_key};
pub(crate) use stream::{Stream, secure};
pub(crate) use words::cause;

/// A look that has not come back for so long is given up: what it hangs on may be another file system by now.
const LOOK_LOST: Duration = Duration::from_secs(60);

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

/// What a program knows members by, and what it is known by. Clones share it, and what is read again of its files.
#[derive(Clone)]
pub struct Tls {
    files: Arc<TlsFiles>,
    read: Arc<Mutex<Read>>,
    /// Since when somebody looks at the files.
    looked_at: Arc<Mutex<Option<Instant>>>,
}

/// What the files held when they were read last.
struct Read {
    config: Arc<ClientConfig>,
    stamps: Stamps,
    /// Why what is there now cannot be used, as the log says.
    complaint: Option<TlsError>,
}

/// One look at the files. Dropped, also where it never came about, the next may begin.
struct Look {
    tls: Tls,
    since: Instant,
}

/// Why certificates cannot be used: which file, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    path: PathBuf,
    why: String,
}

impl Tls {
    /// Reads the files. They are read again when a connection is made and they have changed.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn load(files: TlsFiles) -> Result<Tls, TlsError> {
        let read = Read::of(&files)?;
        Ok(Tls { files: Arc::new(files), read: Arc::new(Mutex::new(read)), looked_at: Arc::default() })
    }

    /// What the files hold now; where that cannot be used, or somebody looks at them already, what they held when they were read last.
    pub(crate) async fn config(&self) -> Arc<ClientConfig> {
        if let Some(look) = self.begin_look() {
            let (done, looked) = oneshot::channel::<()>();
            let thread = thread::Builder::new().name("certificates".to_owned()).spawn(move || {
                look.make();
                drop(done);
            });
            // Where there is no thread for it, what was read before is used; and where there is, its end is all that it says.
            drop((thread, looked.await));
        }
        Arc::clone(&self.read().config)
    }

    fn begin_look(&self) -> Option<Look> {
        let (mut looked_at, now) = (lock(&self.looked_at), Instant::now());
        if looked_at.is_some_and(|since| now.duration_since(since) < LOOK_LOST) {
            return None;
        }
        *looked_at = Some(now);
        Some(Look { tls: self.clone(), since: now })
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        lock(&self.read)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Look {
    /// It may take as long as a disk does, and locks nobody out meanwhile.
    fn make(self) {
        let Tls { files, .. } = &self.tls;
        let stamps = Stamps::of(files);
        if self.tls.read().stamps == stamps {
            return;
        }
        let again = Read::of(files);
        let mut read = self.tls.read();
        match again {
            // It was given up, and what a later one has read is newer.
            _ if *lock(&self.tls.looked_at) != Some(self.since) => {}
            Ok(again) => *read = again,
            // Told once, and tried again each time: what is wrong may be mended without a change of what is in them.
            Err(error) if read.complaint.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "changed certificates cannot be used: those that were read before are");
                read.complaint = Some(error);
            }
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let mut looked_at = lock(&self.tls.looked_at);
        *looked_at = looked_at.filter(|since| *since != self.since);
    }
}

impl Read {
    fn of(files: &TlsFiles) -> Result<Read, TlsError> {
        // Looked at before they are read: what changes meanwhile is seen the next time.
        let stamps = Stamps::of(files);
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
        Ok(Read { config: Arc::new(config), stamps, complaint: None })
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
