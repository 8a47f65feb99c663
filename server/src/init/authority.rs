//! A CA: made anew or opened again, and what it issues.

use std::fs;
use std::path::Path;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Host, InitError};
use crate::tls::{Leaf, Name, Role, wall_seconds};

/// How long a CA may vouch.
const CA_DAYS: i64 = 3_653;
/// How long what it issues is valid.
const ISSUED_DAYS: i64 = 365;
/// How long before it was made a certificate is valid: the next machine's clock may be behind.
const BEFORE: Duration = Duration::hours(1);

/// A certificate and its key, as PEM.
pub(super) struct Issued {
    pub(super) cert: String,
    pub(super) key: String,
}

/// On which side of a connection a certificate is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
    /// A member calls and is called.
    Both,
}

/// A CA that can issue.
pub(super) struct Authority {
    cluster: u128,
    cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub(super) fn new(cluster: u128, role: Role) -> Result<Authority, InitError> {
        let name = Name { cluster, role };
        let mut params = params(&name, &[], CA_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?.pem();
        Ok(Authority { cluster, cert, issuer: Issuer::new(params, key) })
    }

    /// The one in `from`, at `name` with `.crt` and `.key` behind it, where it has the role that is wanted.
    pub(super) fn open(from: &Path, name: &str, wanted: &Role) -> Result<Authority, InitError> {
        let (cert_path, key_path) = (from.join(format!("{name}.crt")), from.join(format!("{name}.key")));
        let wrong = |path: &Path, cause: String| InitError::Authority { path: path.to_owned(), cause };
        let read = |path: &Path| fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()));
        let (cert, key) = (read(&cert_path)?, read(&key_path)?);
        let whose = whose(&cert_path).filter(|name| name.role == *wanted);
        let whose = whose.ok_or_else(|| wrong(&cert_path, "it is not that CA's certificate".to_owned()))?;
        let key = KeyPair::from_pem(&key).map_err(|error| wrong(&key_path, error.to_string()))?;
        if !belong_together(&cert, &key) {
            return Err(wrong(&key_path, format!("it is not the key of {}", cert_path.display())));
        }
        let issuer =
            Issuer::from_ca_cert_pem(&cert, key).map_err(|error| wrong(&cert_path, error.to_string()))?;
        Ok(Authority { cluster: whose.cluster, cert, issuer })
    }

    /// Of which cluster it is.
    pub(super) fn cluster(&self) -> u128 {
        self.cluster
    }

    /// Its own certificate and key.
    pub(super) fn issued(&self) -> Issued {
        Issued { cert: self.cert.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// Issues a certificate, with a key of its own.
    pub(super) fn issue(&self, name: &Name, hosts: &[Host], side: Side) -> Result<Issued, InitError> {
        let mut params = params(name, hosts, ISSUED_DAYS)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match side {
            Side::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Side::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Side::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert, key: key.serialize_pem() })
    }
}

/// Whose the certificate in a file is, where there is one of ours.
pub(super) fn whose(path: &Path) -> Option<Name> {
    let der = CertificateDer::from_pem_file(path).ok()?;
    Leaf::read(&der).ok()?.name()
}

fn params(name: &Name, hosts: &[Host], days: i64) -> Result<CertificateParams, InitError> {
    let mut params = CertificateParams::default();
    // For people who look at a list of certificates; nothing reads it.
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, format!("tenure {:032x}", name.cluster));
    params.distinguished_name.push(DnType::CommonName, name.role.to_string());
    params.subject_alt_names = vec![SanType::URI(ia5(&name.to_string())?)];
    for host in hosts {
        params.subject_alt_names.push(match host {
            Host::Name(name) => SanType::DnsName(ia5(name)?),
            Host::Address(address) => SanType::IpAddress(*address),
        });
    }
    params.serial_number = Some(serial());
    let now = OffsetDateTime::from_unix_timestamp(wall_seconds())
        .map_err(|error| InitError::Certificate { cause: format!("this machine's clock: {error}") })?;
    params.not_before = now - BEFORE;
    params.not_after = now + Duration::days(days);
    Ok(params)
}

fn ia5(text: &str) -> Result<Ia5String, InitError> {
    Ok(Ia5String::try_from(text)?)
}

/// At random, so that no two are alike, whoever makes them and where. Positive, as a serial number must be.
fn serial() -> SerialNumber {
    let mut bytes = rand::random::<[u8; 16]>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn belong_together(cert: &str, key: &KeyPair) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(cert.as_bytes()) else { return false };
    let found = X509Certificate::from_der(&der).map(|(_, found)| found.public_key().raw.to_vec());
    found.is_ok_and(|found| found == key.subject_public_key_info())
}
