//! What the client port's files make: a rustls configuration, new at each change of them.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, version};

use super::files::Texts;
use super::{Kept, TlsError, TlsFiles, provider, refused};

/// What the client port speaks inside TLS: sessions need HTTP/1.1, one-shot calls may use either.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The client port's side of TLS.
///
/// # Errors
/// What is wrong with the files.
pub(crate) fn client_port(files: TlsFiles) -> Result<Kept<Arc<ServerConfig>>, TlsError> {
    Kept::read("client", files, |files, texts| Ok(Arc::new(config(files, texts)?)))
}

fn config(files: &TlsFiles, texts: &Texts) -> Result<ServerConfig, TlsError> {
    let pair = texts.pair(files)?;
    let unusable = |path: &std::path::Path, cause: String| TlsError::Garbled { path: path.to_owned(), cause };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| unusable(&files.cert, error.to_string()))?;
    let builder = match (texts.roots(files)?, &files.ca) {
        (Some(roots), Some(ca)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            let verifier = verifier.map_err(|error| unusable(ca, error.to_string()))?;
            builder.with_client_cert_verifier(Arc::new(Telling(verifier)))
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(pair.chain, pair.key).map_err(|error| match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() },
        error => unusable(&files.key, error.to_string()),
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    // A resumed session would not be asked for its certificate again.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Checks a client's certificate as rustls does, and says whose was refused: afterwards nobody knows.
#[derive(Debug)]
struct Telling(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Telling {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now);
        if let Err(Error::InvalidCertificate(cause)) = &verified {
            refused::tell("tls.client_ca", end_entity, cause);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
