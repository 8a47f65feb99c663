//! What a port's files make: a rustls configuration, new at each change of them.

use std::path::Path;
use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::{Error, ServerConfig, version};

use super::files::Texts;
use super::telling::{Asks, Telling};
use super::{Kept, TlsError, TlsFiles, provider};

/// What the client port speaks inside TLS: sessions need HTTP/1.1, one-shot calls may use either.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The client port's side of TLS.
///
/// # Errors
/// What is wrong with the files.
pub(crate) fn client_port(files: TlsFiles) -> Result<Kept<Arc<ServerConfig>>, TlsError> {
    Kept::read("client", files, |files, texts| {
        let mut config = listening(files, texts, ("tls.client_ca", Asks::Offers))?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Arc::new(config))
    })
}

/// The side of whoever is called. The setting `ca` names the CAs.
pub(super) fn listening(
    files: &TlsFiles,
    texts: &Texts,
    (ca, asks): (&'static str, Asks),
) -> Result<ServerConfig, TlsError> {
    let pair = texts.pair(files)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| unusable(&files.cert, error))?;
    let builder = match (texts.roots(files)?, &files.ca) {
        (Some(roots), Some(path)) => {
            let verifier = Telling::new(roots, ca, asks).map_err(|cause| unusable(path, cause))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let paired = builder.with_single_cert(pair.chain, pair.key);
    let mut config = paired.map_err(|error| mismatch(files, &error))?;
    // A resumed session would not be asked for its certificate again.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Why a certificate and its key cannot be used together.
pub(super) fn mismatch(files: &TlsFiles, error: &Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() },
        error => unusable(&files.key, error),
    }
}

pub(super) fn unusable(path: &Path, cause: impl ToString) -> TlsError {
    TlsError::Garbled { path: path.to_owned(), cause: cause.to_string() }
}
