//! New certificates in a running member: new connections have them, open ones go on, and bad files change nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod secured;

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use client::{Claim, Endpoint, Options, OwnFiles, Session, Tls, TlsFiles};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use secured::{Member, PATIENCE, init};

/// The certificate that a new connection is shown.
fn presented(member: &Member) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(member.path("ca/client.crt")).unwrap()).unwrap();
    let own = CertificateDer::from_pem_file(member.path("operator/admin.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(member.path("operator/admin.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_client_auth_cert(vec![own], key).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", member.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    connection.peer_certificates().unwrap()[0].clone().into_owned()
}

fn hang_up(member: &Member) {
    kill(Pid::from_raw(member.pid() as i32), Signal::SIGHUP).unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_a_bad_one_for_none() {
    let member = Member::start();
    let endpoints: Vec<Endpoint> = vec![member.endpoint().parse().unwrap()];
    let own = OwnFiles {
        cert: member.path("operator/admin.crt").into(),
        key: member.path("operator/admin.key").into(),
    };
    let tls = Tls::load(TlsFiles { ca: member.path("ca/client.crt").into(), own: Some(own) }).unwrap();
    let lost = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = lost.clone();
    let options = Options {
        tls: Some(tls),
        deadline: Duration::from_secs(20),
        on_link: Some(Arc::new(move |news| {
            if matches!(news, client::LinkNews::Lost { .. }) {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        })),
        ..Options::new(endpoints)
    };
    let session = Session::connect(options).await.unwrap();
    let grant = session.claim(Claim::new("db/primary", "me")).await.into_result().unwrap();
    let first = presented(&member);

    // Another pair under the same CA, as if it were renewed.
    let next = init(&member.folder.join("next"), &["--node", "1", "--renew", "--from", &member.path("")]);
    for file in ["server.crt", "server.key"] {
        fs::copy(next.join("node").join(file), member.folder.join("node").join(file)).unwrap();
    }
    hang_up(&member);
    member.logged("new certificates", 1);
    let second = presented(&member);
    assert_ne!(first, second);
    let renewed = CertificateDer::from_pem_file(next.join("node/server.crt")).unwrap();
    assert_eq!(second, renewed);

    fs::write(member.path("node/server.crt"), "nonsense").unwrap();
    hang_up(&member);
    member.logged("the certificates' files are wrong; the old ones stay", 1);
    assert!(member.log().contains("node/server.crt holds no certificate"), "{}", member.log());
    assert_eq!(presented(&member), second);

    let extended = session.extend(&grant, Duration::from_secs(15)).await.into_result().unwrap();
    assert_eq!(extended.token(), grant.token());
    assert_eq!(lost.load(std::sync::atomic::Ordering::Relaxed), 0, "the session never lost its connection");
}
