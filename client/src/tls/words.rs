//! Why a connection failed, in words that say what to do. Those of the member's certificate come from our own check of it,
//! those of ours from the member, as alerts.

use std::io::{Error, ErrorKind};
use std::path::Path;

use api::Span;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error as TlsFailure};

use super::{OwnFiles, Tls};

/// The most names of a certificate that a message shows.
const NAMES_MAX: usize = 8;

/// Why reading or writing failed.
pub(crate) fn cause(error: &Error, tls: Option<&Tls>) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFailure>());
    match (inner, tls) {
        (Some(failure), Some(tls)) => of_tls(failure, tls),
        _ => of_socket(error),
    }
}

fn of_socket(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "connection reset".to_owned(),
        ErrorKind::UnexpectedEof => "closed by the server".to_owned(),
        ErrorKind::TimedOut => "timed out".to_owned(),
        _ => error.to_string(),
    }
}

fn of_tls(failure: &TlsFailure, tls: &Tls) -> String {
    match failure {
        TlsFailure::InvalidMessage(_) => {
            "it does not speak TLS: where that is meant, write http:// for https://".to_owned()
        }
        TlsFailure::InvalidCertificate(cause) => of_theirs(cause, &tls.files.ca),
        TlsFailure::AlertReceived(alert) => of_ours(*alert, tls.files.own.as_ref()),
        failure => failure.to_string(),
    }
}

/// What is wrong with the member's certificate.
fn of_theirs(cause: &CertificateError, ca: &Path) -> String {
    match cause {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the CA in {} did not issue its certificate: give the CA of that cluster, or find out who answers there",
            ca.display()
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // A URI says whose it is, and no host.
            let names = presented.iter().map(|name| name_in(name)).filter(|name| !name.contains("://"));
            let names: Vec<&str> = names.take(NAMES_MAX).collect();
            format!(
                "its certificate is not for {}, but for {}: use one of those, or have one made with `tenure init --host`",
                shown(expected),
                if names.is_empty() { "no host".to_owned() } else { names.join(", ") }
            )
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate expired {} ago, by this machine's clock: have a new one made, or correct the clock",
            between(*not_after, *time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is valid only in {}, by this machine's clock: correct the clock",
            between(*time, *not_before)
        ),
        CertificateError::InvalidPurposeContext { .. } => {
            "its certificate was not made for a server".to_owned()
        }
        cause => format!("its certificate cannot be believed: {cause}"),
    }
}

/// What the member says of ours. It says no more than a word, and its log has the rest.
fn of_ours(alert: AlertDescription, own: Option<&OwnFiles>) -> String {
    let Some(OwnFiles { cert, .. }) = own else {
        return match alert {
            AlertDescription::CertificateRequired => {
                "it asks for a client's certificate: give one, --cert and --key or TENURE_CERT and TENURE_KEY"
                    .to_owned()
            }
            alert => format!("it ended the handshake: {alert:?}; its log says more"),
        };
    };
    let cert = cert.display();
    match alert {
        AlertDescription::CertificateRequired => {
            format!(
                "it asks for a client's certificate of another kind than {cert}: give one that its client CA issued"
            )
        }
        AlertDescription::UnknownCA => {
            format!(
                "it does not know the CA that issued {cert}: give a certificate of that cluster's client CA"
            )
        }
        AlertDescription::CertificateExpired => {
            format!(
                "by its clock {cert} has expired, or is not yet valid: have a new one made, or correct the clock"
            )
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => {
            format!("it refuses the certificate {cert} ({alert:?}): its log says more")
        }
        alert => format!("it ended the handshake: {alert:?}; its log says more"),
    }
}

/// A name as rustls tells it: `DnsName("a")`, `IpAddress(10.0.0.7)`.
fn name_in(told: &str) -> &str {
    let inside = told.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.map_or(told, |name| name.trim_matches('"'))
}

fn shown(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

fn between(from: UnixTime, to: UnixTime) -> Span {
    Span(to.as_secs().saturating_sub(from.as_secs()).saturating_mul(1_000))
}
