//! What is said of a certificate that is refused: whose it says it is, who issued it, and what is wrong.

use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError};

use super::error::Date;
use super::{Leaf, PEER_CA};
use crate::log::Limited;

/// Strangers must not fill the log.
static REFUSED: Limited = Limited::new(Duration::from_secs(1));
/// A member that is refused comes back four times a second.
static MEMBER_REFUSED: Limited = Limited::new(Duration::from_secs(60));

/// Logs that a certificate was refused under the CAs of a setting.
pub(super) fn tell(ca: &'static str, der: &CertificateDer<'_>, cause: &CertificateError) {
    let limited = if ca == PEER_CA { &MEMBER_REFUSED } else { &REFUSED };
    let Some(held_back) = limited.pass(Instant::now()) else { return };
    let whose = Leaf::read(der).map_or_else(|cause| cause, |leaf| leaf.to_string());
    tracing::warn!(why = why(ca, cause), held_back, "refused {whose}");
}

/// Why a handshake of members failed, in words, where they have any. The setting `ca` names this side's CAs.
pub(crate) fn words(ca: &'static str, error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match inner {
        rustls::Error::InvalidCertificate(cause) => format!("its certificate is refused: {}", why(ca, cause)),
        rustls::Error::NoCertificatesPresented => "it presents no certificate".to_owned(),
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS: give both members peer.tls.*, or neither".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => {
            "it knows no CA that issued this member's certificate: give both certificates of one cluster"
                .to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::UnsupportedCertificate) => {
            "this member's certificate was not made for members: give it the one for its peer port".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "by its clock this member's certificate has expired, or is not yet valid".to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("it ended the TLS handshake: {alert:?}; its log says more")
        }
        other => format!("the TLS handshake failed: {other}"),
    })
}

/// What is wrong with it.
fn why(ca: &'static str, cause: &CertificateError) -> String {
    match cause {
        CertificateError::UnknownIssuer => format!("no CA of {ca} issued it"),
        CertificateError::BadSignature => {
            format!("it says that a CA of {ca} issued it, and that CA did not sign it")
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("it was valid until {}, and it is {}", date(not_after.as_secs()), date(time.as_secs()))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("it is valid from {} on, and it is {}", date(not_before.as_secs()), date(time.as_secs()))
        }
        CertificateError::InvalidPurposeContext { .. } => {
            "it was not made for this side of a connection".to_owned()
        }
        other => other.to_string(),
    }
}

fn date(seconds: u64) -> String {
    Date(i64::try_from(seconds).unwrap_or(i64::MAX)).to_string()
}
