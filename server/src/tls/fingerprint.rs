//! By what a CA is told from another of the same name: the SHA-256 of its certificate.

use std::fmt;
use std::path::Path;

use rustls::CipherSuite;

use super::files::{certificates, read};
use super::{TlsError, provider};

/// Its bytes.
pub(crate) const FINGERPRINT_BYTES: usize = 32;

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) [u8; FINGERPRINT_BYTES]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The fingerprints of all certificates in a file.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub(crate) fn fingerprints(path: &Path) -> Result<Vec<Fingerprint>, TlsError> {
    let all = certificates(path, &read(path)?)?;
    Ok(all.iter().filter_map(|certificate| sha256(certificate)).collect())
}

/// By the one cryptography of everything here, which hashes for its cipher suites.
fn sha256(bytes: &[u8]) -> Option<Fingerprint> {
    let provider = provider();
    let suites = provider.cipher_suites.iter().filter_map(|suite| suite.tls13());
    let suite =
        suites.into_iter().find(|suite| suite.common.suite == CipherSuite::TLS13_AES_128_GCM_SHA256)?;
    suite.common.hash_provider.hash(bytes).as_ref().try_into().ok().map(Fingerprint)
}
