//! What may be wrong with a program's files, and what is said of a connection that failed.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, InvalidMessage};

use super::*;

/// A CA that vouches for itself, and its key, in a folder of their own.
fn made(folder: &Path, name: &str) -> OwnFiles {
    let files =
        OwnFiles { cert: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(&files.cert, cert.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    set_mode(&files.key, 0o600);
    files
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_is_wrong_is_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, own, other) =
        (made(folder.path(), "ca").cert, made(folder.path(), "own"), made(folder.path(), "other"));
    let with = |ca: &Path, own: &OwnFiles| Tls::load(TlsFiles { ca: ca.to_owned(), own: Some(own.clone()) });
    assert!(with(&ca, &own).is_ok() && Tls::load(TlsFiles { ca: ca.clone(), own: None }).is_ok());

    let refused = |ca: &Path, own: &OwnFiles, path: &Path, words: &str| {
        let error = with(ca, own).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", path.display())) && error.contains(words), "{error}");
    };
    let none = folder.path().join("none");
    refused(&none, &own, &none, "cannot be read: No such file");
    refused(&own.key, &own, &own.key, "no certificate");
    refused(&ca, &OwnFiles { cert: own.key.clone(), ..own.clone() }, &own.key, "no certificate");
    refused(&ca, &OwnFiles { key: other.key.clone(), ..own.clone() }, &other.key, "not the key of");
    set_mode(&own.cert, 0o600);
    refused(&ca, &OwnFiles { key: own.cert.clone(), ..own.clone() }, &own.cert, "no key");
    set_mode(&own.key, 0o644);
    refused(&ca, &own, &own.key, "by its mode 0644: chmod 600");
    set_mode(&own.key, 0o600);
    fs::write(&own.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    refused(&ca, &own, &own.key, "locked with a password");
}

#[tokio::test]
async fn a_renewed_certificate_is_read_at_the_next_connection_and_a_broken_one_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, own) = (made(folder.path(), "ca").cert, made(folder.path(), "own"));
    let tls = Tls::load(TlsFiles { ca, own: Some(own.clone()) }).unwrap();
    let (shared, first) = (tls.clone(), tls.config().await);
    assert!(Arc::ptr_eq(&first, &tls.config().await), "nothing has changed");
    let renewed = made(folder.path(), "renewed");
    // As a program does that renews: each file in one step, one after the other.
    fs::rename(&renewed.cert, &own.cert).unwrap();
    assert!(Arc::ptr_eq(&first, &tls.config().await), "of the new certificate the key is not there yet");
    fs::rename(&renewed.key, &own.key).unwrap();
    let second = tls.config().await;
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &shared.config().await), "for all sessions of the process");
    fs::remove_file(&own.key).unwrap();
    assert!(Arc::ptr_eq(&second, &tls.config().await), "what was read is used on");
}

/// As on a network's file system that answers nothing any more.
#[tokio::test]
async fn a_file_that_hangs_costs_one_connection_its_try_and_nobody_else_anything() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, own) = (made(folder.path(), "ca").cert, made(folder.path(), "own"));
    let tls = Tls::load(TlsFiles { ca, own: Some(own.clone()) }).unwrap();
    let first = tls.config().await;
    let pem = fs::read(&own.cert).unwrap();
    // Whoever opens a pipe to read it waits for one who writes.
    fs::remove_file(&own.cert).unwrap();
    nix::unistd::mkfifo(&own.cert, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let hangs = tokio::time::timeout(Duration::from_millis(100), tls.config()).await;
    assert!(hangs.is_err(), "and this thread goes on");
    assert!(Arc::ptr_eq(&first, &tls.config().await), "by what was read before");
    // Nobody else looks: one writer is enough.
    tokio::task::spawn_blocking(move || fs::write(&own.cert, pem)).await.unwrap().unwrap();
    while lock(&tls.looked_at).is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!Arc::ptr_eq(&first, &tls.read().config), "what came at last is used");
}

#[tokio::test]
async fn a_look_that_never_comes_back_is_given_up_and_what_it_reads_at_last_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, own) = (made(folder.path(), "ca").cert, made(folder.path(), "own"));
    let tls = Tls::load(TlsFiles { ca, own: Some(own.clone()) }).unwrap();
    let (pem, pipe) = (fs::read(&own.cert).unwrap(), folder.path().join("pipe"));
    fs::remove_file(&own.cert).unwrap();
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::hard_link(&pipe, &own.cert).unwrap();
    let hangs = tokio::time::timeout(Duration::from_millis(100), tls.config()).await;
    assert!(hangs.is_err());
    fs::remove_file(&own.cert).unwrap();
    fs::write(&own.cert, &pem).unwrap();
    let first = tls.config().await;
    let lost = Instant::now().checked_sub(LOOK_LOST).unwrap();
    let hung = lock(&tls.looked_at).replace(lost).unwrap();
    let second = tls.config().await;
    assert!(!Arc::ptr_eq(&first, &second), "another has looked");
    assert_eq!(*lock(&tls.looked_at), None);
    // The first one comes back, as it will here too, to find itself given up.
    fs::write(&own.cert, &pem).unwrap();
    Look { tls: tls.clone(), since: hung }.make();
    assert!(Arc::ptr_eq(&second, &tls.read().config));
    tokio::task::spawn_blocking(move || fs::write(pipe, pem)).await.unwrap().unwrap();
}

#[test]
fn each_failure_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, own) = (made(folder.path(), "ca").cert, made(folder.path(), "own"));
    let anonymous = Tls::load(TlsFiles { ca: ca.clone(), own: None }).unwrap();
    let known = Tls::load(TlsFiles { ca: ca.clone(), own: Some(own.clone()) }).unwrap();
    let said = |failure: rustls::Error, tls: &Tls| cause(&io::Error::other(failure), Some(tls));
    let theirs = |cause| said(rustls::Error::InvalidCertificate(cause), &known);
    let alert = |alert, tls| said(rustls::Error::AlertReceived(alert), tls);
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let expected = ServerName::try_from("a.example").unwrap();
    let presented = vec![r#"DnsName("b.example")"#.to_owned(), "IpAddress(10.0.0.7)".to_owned()];
    let (ca, cert) = (ca.display().to_string(), own.cert.display().to_string());
    let cases = [
        (theirs(CertificateError::UnknownIssuer), vec!["did not issue", &ca]),
        (
            theirs(CertificateError::NotValidForNameContext { expected, presented }),
            vec!["not for a.example, but for b.example, 10.0.0.7:", "--host"],
        ),
        (
            theirs(CertificateError::ExpiredContext { time: at(90_000), not_after: at(3_600) }),
            vec!["expired 24h0m0s ago"],
        ),
        (
            theirs(CertificateError::NotValidYetContext { time: at(0), not_before: at(60) }),
            vec!["valid only in 1m0s", "clock"],
        ),
        (alert(AlertDescription::CertificateRequired, &anonymous), vec!["--cert", "TENURE_KEY"]),
        (alert(AlertDescription::UnknownCA, &known), vec!["does not know the CA that issued", &cert]),
        (alert(AlertDescription::CertificateExpired, &known), vec!["expired, or is not yet valid", &cert]),
        (alert(AlertDescription::BadCertificate, &known), vec!["refuses the certificate", &cert, "log"]),
        (
            said(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), &known),
            vec!["does not speak TLS", "http://"],
        ),
        (cause(&io::ErrorKind::ConnectionRefused.into(), None), vec!["connection refused"]),
    ];
    for (said, words) in cases {
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }
}
