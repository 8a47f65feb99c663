//! What members secure their connections with: TLS both ways, under a CA that vouches for members and for nobody else.
//!
//! ```text
//! caller                                         listener
//!   its certificate: under peer.tls.ca? ──────▶  │
//!   │  ◀────── its certificate: under peer.tls.ca?
//!   └─ is it the member that was meant?          └─ is the caller's hello its certificate's?
//! ```
//!
//! Where a member is reached says nothing about who it is: hosts are not looked at, and the name is the member's.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme, version,
};

use super::files::Texts;
use super::port::{listening, mismatch, unusable};
use super::telling::Asks;
use super::{Kept, Leaf, Name, Role, TlsError, TlsFiles, provider, refused};

/// The setting that names the CAs.
pub(crate) const PEER_CA: &str = "peer.tls.ca";

/// Both sides of a member.
#[derive(Clone)]
pub(crate) struct PeerSides {
    /// Where it is called.
    pub(crate) called: Arc<ServerConfig>,
    /// Where it calls.
    pub(crate) calls: Arc<ClientConfig>,
    /// Whose its certificate is: cluster and member.
    pub(crate) whose: (u128, u64),
}

impl PeerSides {
    /// Whether the certificate is this member's, once it is known which that is.
    ///
    /// # Errors
    /// It is another's.
    pub(crate) fn check(&self, files: &TlsFiles, cluster: u128, member: u64) -> Result<(), TlsError> {
        if self.whose == (cluster, member) {
            return Ok(());
        }
        let name = |(cluster, member)| Name { cluster, role: Role::Member(member) }.to_string();
        let found = format!("the certificate of {}", name(self.whose));
        Err(TlsError::NotOurs { path: files.cert.clone(), found, wanted: name((cluster, member)) })
    }
}

/// The peer port's sides of TLS, for a member that its certificate must be of: where the configuration says which it is.
///
/// # Errors
/// What is wrong with the files.
pub(crate) fn peer_port(
    files: TlsFiles,
    cluster: Option<u128>,
    member: Option<u64>,
) -> Result<Kept<PeerSides>, TlsError> {
    Kept::read("peer", files, move |files, texts| {
        let whose = ours(files, texts, cluster, member)?;
        Ok(PeerSides {
            called: Arc::new(listening(files, texts, (PEER_CA, Asks::Demands))?),
            calls: Arc::new(calling(files, texts)?),
            whose,
        })
    })
}

/// Whose the certificate is that the other member presented.
///
/// # Errors
/// No member's, in words.
pub(crate) fn member_of(presented: Option<&[CertificateDer<'_>]>) -> Result<(u128, u64), String> {
    let leaf = presented.and_then(<[_]>::first).ok_or("it presented no certificate")?;
    let leaf = Leaf::read(leaf)?;
    match leaf.name() {
        Some(Name { cluster, role: Role::Member(member) }) => Ok((cluster, member)),
        _ => Err(format!("it presented {leaf}, and a member's is wanted, tenure://CLUSTER/member/N")),
    }
}

/// Whose the certificate is, where it is this member's.
fn ours(
    files: &TlsFiles,
    texts: &Texts,
    cluster: Option<u128>,
    member: Option<u64>,
) -> Result<(u128, u64), TlsError> {
    let pair = texts.pair(files)?;
    let leaf = Leaf::read(&pair.chain[0]).map_err(|cause| unusable(&files.cert, cause))?;
    if let Some(Name { cluster: of, role: Role::Member(whose) }) = leaf.name()
        && cluster.is_none_or(|cluster| cluster == of)
        && member.is_none_or(|member| member == whose)
    {
        return Ok((of, whose));
    }
    let wanted = match (cluster, member) {
        (Some(cluster), Some(member)) => Name { cluster, role: Role::Member(member) }.to_string(),
        (Some(cluster), None) => format!("tenure://{cluster:032x}/member/N"),
        (None, Some(member)) => format!("tenure://CLUSTER/member/{member}"),
        (None, None) => "tenure://CLUSTER/member/N".to_owned(),
    };
    Err(TlsError::NotOurs { path: files.cert.clone(), found: leaf.to_string(), wanted })
}

fn calling(files: &TlsFiles, texts: &Texts) -> Result<ClientConfig, TlsError> {
    let pair = texts.pair(files)?;
    let roots = texts.roots(files)?.unwrap_or_else(RootCertStore::empty);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| unusable(&files.cert, error))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(OfMembers(roots)));
    let paired = builder.with_client_auth_cert(pair.chain, pair.key);
    let mut config = paired.map_err(|error| mismatch(files, &error))?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Whether a certificate is under the members' CA. Whose it is, is looked at when the handshake is done.
#[derive(Debug)]
struct OfMembers(RootCertStore);

impl ServerCertVerifier for OfMembers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let algorithms = provider().signature_verification_algorithms.all;
        let verified = ParsedCertificate::try_from(end_entity).and_then(|parsed| {
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.0, intermediates, now, algorithms)
        });
        if let Err(Error::InvalidCertificate(cause)) = &verified {
            refused::tell(PEER_CA, end_entity, cause);
        }
        verified.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
