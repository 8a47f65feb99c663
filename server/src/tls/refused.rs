//! What is said of a certificate that is refused: whose it says it is, who issued it, and what is wrong.

use std::time::{Duration, Instant};

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;

use super::Leaf;
use super::error::Date;
use crate::log::Limited;

static REFUSED: Limited = Limited::new(Duration::from_secs(1));

/// Logs that a certificate was refused under the CAs of a setting. Strangers must not fill the log: one line a second.
pub(super) fn tell(ca: &'static str, der: &CertificateDer<'_>, cause: &CertificateError) {
    let Some(held_back) = REFUSED.pass(Instant::now()) else { return };
    let whose = Leaf::read(der).map_or_else(|cause| cause, |leaf| leaf.to_string());
    tracing::warn!(why = why(ca, cause), held_back, "refused {whose}");
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
