//! Checks certificates as rustls does, and says whose was refused: afterwards nobody knows.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::{provider, refused};

/// Whether whoever calls must have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// They must.
    Demands,
    /// They may, and one that they present must be good.
    Offers,
}

/// A check of who calls.
#[derive(Debug)]
pub(super) struct Telling {
    inner: Arc<dyn ClientCertVerifier>,
    /// The setting that names the CAs.
    ca: &'static str,
}

impl Telling {
    /// Whoever calls must have a certificate of one of `roots`, which the setting `ca` names; or may come without one, and then has
    /// to say otherwise who they are.
    ///
    /// # Errors
    /// No check can be made of these, in words.
    pub(super) fn new(roots: RootCertStore, ca: &'static str, asks: Asks) -> Result<Arc<Telling>, String> {
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let inner = match asks {
            Asks::Demands => inner.build(),
            Asks::Offers => inner.allow_unauthenticated().build(),
        };
        inner.map(|inner| Arc::new(Telling { inner, ca })).map_err(|error| error.to_string())
    }
}

impl ClientCertVerifier for Telling {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now);
        if let Err(Error::InvalidCertificate(cause)) = &verified {
            refused::tell(self.ca, end_entity, cause);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
