//! From files to what they hold. Each is read once, so that what is checked is what is used.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Leaf, TlsError, TlsFiles, wall_seconds};

/// The most bytes of a file of ours. What is larger is something else.
const BYTES_MAX: u64 = 1 << 20;

/// What the files of one port hold, as they were read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Option<Vec<u8>>,
}

/// A certificate with its chain, and its key.
pub(crate) struct Pair {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Texts {
    /// Reads all of them.
    ///
    /// # Errors
    /// A file cannot be read, or a key can by others.
    pub(super) fn read(files: &TlsFiles) -> Result<Texts, TlsError> {
        check_private(&files.key)?;
        Ok(Texts {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
            ca: files.ca.as_deref().map(read).transpose()?,
        })
    }

    /// The certificate and its key, where they are what they should be and valid today.
    ///
    /// # Errors
    /// What is wrong with them, but for a key of another certificate: that is found where the two are used.
    pub(super) fn pair(&self, files: &TlsFiles) -> Result<Pair, TlsError> {
        let chain = certificates(&files.cert, &self.cert)?;
        let leaf =
            Leaf::read(&chain[0]).map_err(|cause| TlsError::Garbled { path: files.cert.clone(), cause })?;
        leaf.check_dates(&files.cert, wall_seconds())?;
        Ok(Pair { chain, key: key(&files.key, &self.key)? })
    }

    /// When the certificate ends, in seconds since 1970.
    pub(super) fn until(&self, files: &TlsFiles) -> Option<i64> {
        let chain = certificates(&files.cert, &self.cert).ok()?;
        Some(Leaf::read(chain.first()?).ok()?.until)
    }

    /// The CAs under which the other side must have a certificate, where there are any.
    ///
    /// # Errors
    /// There is none in the file, or one that cannot be understood.
    pub(super) fn roots(&self, files: &TlsFiles) -> Result<Option<RootCertStore>, TlsError> {
        let (Some(path), Some(text)) = (&files.ca, &self.ca) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, text)? {
            let garbled =
                |error: rustls::Error| TlsError::Garbled { path: path.clone(), cause: error.to_string() };
            roots.add(certificate).map_err(garbled)?;
        }
        Ok(Some(roots))
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |cause: String| TlsError::Unreadable { path: path.to_owned(), cause };
    let file = fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| unreadable(error.to_string()))?;
    match text.len() as u64 > BYTES_MAX {
        true => Err(unreadable(format!("it has more than {BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

/// A key is its owner's. A group may read it, as where a service is handed it so; nobody else may, and only the owner writes.
fn check_private(path: &Path) -> Result<(), TlsError> {
    // What is not there is said where it is read.
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    match found.permissions().mode() & 0o777 {
        mode if mode & 0o037 != 0 => Err(TlsError::Loose { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

pub(super) fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| TlsError::Garbled { path: path.to_owned(), cause: error.to_string() })?;
    match all.is_empty() {
        true => Err(TlsError::NoCertificate { path: path.to_owned() }),
        false => Ok(all),
    }
}

fn key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    let path = path.to_owned();
    let is_locked = text.windows(9).any(|word| word == b"ENCRYPTED");
    match PrivateKeyDer::from_pem_slice(text) {
        _ if is_locked => Err(TlsError::Encrypted { path }),
        Ok(key) => Ok(key),
        Err(Error::NoItemsFound) => Err(TlsError::NoKey { path }),
        Err(error) => Err(TlsError::Garbled { path, cause: error.to_string() }),
    }
}
