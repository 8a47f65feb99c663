//! What stands in one certificate: for identity, for dates, and for messages.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Name, TlsError};
use crate::service::Echo;

/// The most alternative names that a message shows.
const SHOWN_MAX: usize = 8;

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Its alternative names, as text: URIs, host names and addresses.
    pub(crate) names: Vec<String>,
    /// Who issued it.
    pub(crate) issuer: String,
    /// From when it is valid, in seconds since 1970.
    pub(crate) from: i64,
    /// Until when, in seconds since 1970.
    pub(crate) until: i64,
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Leaf, String> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| format!("no certificate: {error}"))?;
        let names = match certificate.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(shown).collect(),
            Ok(None) => Vec::new(),
            Err(error) => return Err(format!("its alternative names: {error}")),
        };
        let validity = certificate.validity();
        Ok(Leaf {
            names,
            issuer: certificate.issuer().to_string(),
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
        })
    }

    /// Whose it is: the one of its names that is of our form.
    pub(crate) fn name(&self) -> Option<Name> {
        self.names.iter().find_map(|name| name.parse().ok())
    }

    /// Whether it is valid now.
    ///
    /// # Errors
    /// It is not any more, or not yet.
    pub(super) fn check_dates(&self, path: &Path, now: i64) -> Result<(), TlsError> {
        let path = || path.to_owned();
        match now {
            now if now > self.until => Err(TlsError::Expired { path: path(), until: self.until, now }),
            now if now < self.from => Err(TlsError::NotYet { path: path(), from: self.from, now }),
            _ => Ok(()),
        }
    }
}

/// As a message shows a stranger's certificate.
impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.as_slice() {
            [] => f.write_str("a certificate without a name")?,
            names => {
                f.write_str("the certificate of ")?;
                for (at, name) in names.iter().take(SHOWN_MAX).enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { ", " }, Echo(name))?;
                }
                f.write_str(if names.len() > SHOWN_MAX { ", …" } else { "" })?;
            }
        }
        write!(f, ", issued by {}", Echo(&self.issuer))
    }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}
