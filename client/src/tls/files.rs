//! The files: what is in them, and whether they have changed.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsError, TlsFiles};

/// By what it is seen that one of the files has changed: each one's inode, time of its last change, and size; none of one that is not
/// there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<(u64, i64, i64, u64)>>);

impl Stamps {
    pub(super) fn of(files: &TlsFiles) -> Stamps {
        let own = files.own.iter().flat_map(|own| [&own.cert, &own.key]);
        let stamp = |path| {
            let it = fs::metadata(path).ok()?;
            Some((it.ino(), it.mtime(), it.mtime_nsec(), it.size()))
        };
        Stamps(std::iter::once(&files.ca).chain(own).map(stamp).collect())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable =
        |error: io::Error| TlsError { path: path.to_owned(), why: format!("it cannot be read: {error}") };
    fs::read(path).map_err(unreadable)
}

/// The certificates in a file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError { path: path.to_owned(), why };
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| wrong(format!("it cannot be understood: {error}")))?;
    match all.is_empty() {
        true => Err(wrong("it holds no certificate: one begins with -----BEGIN CERTIFICATE-----".to_owned())),
        false => Ok(all),
    }
}

/// The key in a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
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
