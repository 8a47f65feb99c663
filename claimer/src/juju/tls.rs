//! What a connection to Juju's port is carried by: a socket as it is, or inside TLS 1.3.
//!
//! Where a CA is given, the server's certificate must be of it and for the host that was asked. Where none is, whoever answers is
//! taken for the server, as Juju's own load tool takes it: a tool that measures has nothing to lose but the password that it is
//! given, and the command line says that. Nothing else here trusts so.

use std::path::Path;
use std::sync::Arc;

use client::Endpoint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection, secured or not.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Carrier for T {}

/// How TLS is spoken: to who has a certificate of the CA in this file, or to anyone.
///
/// # Errors
/// In words, where the file cannot be used.
pub(crate) fn connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| error.to_string())?;
    let config = match ca {
        Some(ca) => builder.with_root_certificates(roots(ca)?).with_no_client_auth(),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca: &Path) -> Result<RootCertStore, String> {
    let wrong = |why: String| format!("{}: {why}", ca.display());
    let mut roots = RootCertStore::empty();
    let text = std::fs::read(ca).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(format!("it cannot be understood: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("it is no CA: {error}")))?;
    }
    match roots.is_empty() {
        true => Err(wrong("it holds no certificate".to_owned())),
        false => Ok(roots),
    }
}

/// Makes a connection what its endpoint says.
///
/// # Errors
/// In words, where it cannot be secured.
pub(crate) async fn secure(
    tcp: TcpStream,
    endpoint: &Endpoint,
    connector: &TlsConnector,
) -> Result<Box<dyn Carrier>, String> {
    if !endpoint.is_tls() {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(endpoint.host().to_owned())
        .map_err(|_| format!("no certificate can be for the host {}", endpoint.host()))?;
    let secured = connector.connect(name, tcp).await;
    Ok(Box::new(secured.map_err(|error| format!("TLS: {error}"))?))
}

/// Takes every certificate. Who answers still proves that it has the certificate's key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
