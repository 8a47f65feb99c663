//! What may be wrong with a port's files, a test each; and that a bad file changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::init::Init;

/// A folder as `tenure init` makes it.
fn made(parent: &Path) -> TlsFiles {
    let folder = parent.join("tenure");
    let init = Init { folder: folder.clone(), hosts: vec!["localhost".parse().unwrap()], listen: None };
    init.cluster("alice", Default::default()).unwrap();
    TlsFiles {
        cert: folder.join("node/server.crt"),
        key: folder.join("node/server.key"),
        ca: Some(folder.join("ca/client.crt")),
    }
}

fn error(files: &TlsFiles) -> String {
    match client_port(files.clone()) {
        Ok(_) => panic!("{files:?} were taken"),
        Err(error) => error.to_string(),
    }
}

/// A certificate of its own that is valid between two years, in the place of another.
fn put_valid_between(files: &TlsFiles, from: i32, until: i32) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 2, 3), date_time_ymd(until, 2, 3));
    fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
}

#[test]
fn what_init_makes_is_taken() {
    let parent = tempfile::tempdir().unwrap();
    let files = made(parent.path());
    let config = client_port(files.clone()).unwrap().get();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let without = TlsFiles { ca: None, ..files };
    assert!(client_port(without).is_ok(), "a port that asks for no certificate");
}

/// Row 54: also a key that is another certificate's, locked, or open to others.
#[test]
fn each_file_that_is_wrong_is_named_with_what_is_wrong_and_the_remedy() {
    let parent = tempfile::tempdir().unwrap();
    let files = made(parent.path());
    let refused = |files: &TlsFiles, path: &Path, words: &[&str]| {
        let error = error(files);
        for word in words.iter().chain([&path.to_str().unwrap()]) {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    };
    let none = parent.path().join("none.crt");
    let (cert, key, ca) = (files.cert.as_path(), files.key.as_path(), files.ca.as_deref().unwrap());
    refused(&TlsFiles { cert: none.clone(), ..files.clone() }, &none, &["No such file", "tenure init"]);
    refused(&TlsFiles { key: none.clone(), ..files.clone() }, &none, &["No such file"]);
    refused(&TlsFiles { ca: Some(none.clone()), ..files.clone() }, &none, &["No such file"]);
    refused(&TlsFiles { cert: parent.path().to_owned(), ..files.clone() }, parent.path(), &["directory"]);
    refused(
        &TlsFiles { cert: key.to_owned(), ..files.clone() },
        key,
        &["no certificate", "BEGIN CERTIFICATE"],
    );
    refused(&TlsFiles { ca: Some(key.to_owned()), ..files.clone() }, key, &["no certificate"]);
    let copy = parent.path().join("copy.key");
    fs::copy(cert, &copy).unwrap();
    refused(&TlsFiles { key: copy.clone(), ..files.clone() }, &copy, &["no key", "BEGIN PRIVATE KEY"]);
    // The CA's key is a key, and not the one.
    let other = ca.with_extension("key");
    refused(&TlsFiles { key: other.clone(), ..files.clone() }, &other, &["not that of the certificate"]);
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&copy, locked).unwrap();
    refused(&TlsFiles { key: copy.clone(), ..files.clone() }, &copy, &["locked with a password"]);
    fs::write(&copy, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    refused(&TlsFiles { cert: copy.clone(), ..files.clone() }, &copy, &["cannot be understood"]);
    fs::write(&copy, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    refused(&TlsFiles { cert: copy.clone(), ..files.clone() }, &copy, &["cannot be understood"]);
    fs::write(&copy, vec![b'a'; (1 << 20) + 1]).unwrap();
    refused(&TlsFiles { cert: copy.clone(), ..files.clone() }, &copy, &["more than 1048576 bytes"]);
    for (mode, shown) in [(0o644, "0644"), (0o602, "0602"), (0o660, "0660")] {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        refused(&files, key, &[shown, "chmod 600"]);
    }
    fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(client_port(files).is_ok(), "a group may be handed a key");
}

/// Row 55, of a member's own.
#[test]
fn dates_that_are_over_or_to_come_are_said_with_now() {
    let parent = tempfile::tempdir().unwrap();
    let files = made(parent.path());
    let this_year = format!("it is {}-", date_of_now());
    put_valid_between(&files, 2001, 2002);
    let error_past = error(&files);
    assert!(error_past.contains("was valid until 2002-02-03 00:00 UTC") && error_past.contains(&this_year));
    put_valid_between(&files, 2901, 2902);
    let error_future = error(&files);
    assert!(error_future.contains("valid from 2901-02-03 00:00 UTC on") && error_future.contains("clock"));
}

fn date_of_now() -> i32 {
    time::OffsetDateTime::from_unix_timestamp(wall_seconds()).unwrap().year()
}

#[test]
fn a_bad_file_changes_nothing_and_is_complained_of_once() {
    use super::kept::Reread;
    let parent = tempfile::tempdir().unwrap();
    let files = made(parent.path());
    let kept = client_port(files.clone()).unwrap();
    let first = kept.get();
    assert_eq!(kept.reread(), Reread::Same);
    let (cert, key) = (fs::read(&files.cert).unwrap(), fs::read(&files.key).unwrap());
    put_valid_between(&files, 2001, 2002);
    assert!(matches!(kept.reread(), Reread::Wrong(TlsError::Expired { .. })));
    fs::remove_file(&files.cert).unwrap();
    assert!(matches!(kept.reread(), Reread::Wrong(TlsError::Unreadable { .. })));
    assert!(matches!(kept.reread(), Reread::StillWrong(TlsError::Unreadable { .. })));
    assert!(Arc::ptr_eq(&first, &kept.get()), "the old one stays");
    put_valid_between(&files, 2001, 2901);
    assert_eq!(kept.reread(), Reread::New);
    assert!(!Arc::ptr_eq(&first, &kept.get()));
    // And back again.
    fs::write(&files.cert, cert).unwrap();
    fs::write(&files.key, key).unwrap();
    assert_eq!(kept.reread(), Reread::New);
    assert_eq!(kept.reread(), Reread::Same);
}
