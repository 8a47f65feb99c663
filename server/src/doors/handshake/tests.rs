//! One slot, and two who come.

use std::net::Ipv4Addr;
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, version};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;
use crate::init::Init;
use crate::tls::{TlsFiles, client_port, provider};

/// A port of a folder as `tenure init` makes it, and a client that knows it.
fn sides(folder: &Path) -> (Handshakes, Arc<ClientConfig>) {
    let init = Init { folder: folder.to_owned(), hosts: vec!["localhost".parse().unwrap()], listen: None };
    init.cluster("alice", Default::default()).unwrap();
    let files =
        TlsFiles { cert: folder.join("node/server.crt"), key: folder.join("node/server.key"), ca: None };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca/client.crt")).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(client_port(files).unwrap());
    let slots = Semaphore::new(1);
    let (within, slot_for) = (Duration::from_secs(60), Duration::from_millis(50));
    (Handshakes { slots, within, slot_for, config }, Arc::new(client))
}

#[tokio::test]
async fn who_says_no_more_in_a_handshake_keeps_its_slot_for_a_moment_and_is_waited_for_without() {
    let parent = tempfile::tempdir().unwrap();
    let (handshakes, client) = sides(&parent.path().join("tenure"));
    let handshakes = Arc::new(handshakes);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let localhost = || ServerName::try_from("localhost").unwrap();

    // It says hello, as a client does, and then nothing: the slot is taken for it, and it never answers.
    let mut hello = Vec::new();
    let mut silent = ClientConnection::new(Arc::clone(&client), localhost()).unwrap();
    silent.write_tls(&mut hello).unwrap();
    let mut mute = TcpStream::connect(address).await.unwrap();
    mute.write_all(&hello).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let waits = Arc::clone(&handshakes);
    let waited_for = tokio::spawn(async move { waits.shake(stream, peer).await.is_some() });
    // Its flight has come: by now the mute one has the slot.
    mute.read_exact(&mut [0]).await.unwrap();

    let other = TcpStream::connect(address).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let connector = TlsConnector::from(client);
    let both = async { tokio::join!(handshakes.shake(stream, peer), connector.connect(localhost(), other)) };
    let (served, connected) = timeout(Duration::from_secs(20), both).await.unwrap();
    assert!(served.is_some() && connected.is_ok());
    assert!(!waited_for.is_finished(), "it is waited for all the same, until its five seconds are over");
    drop(mute);
    assert!(!waited_for.await.unwrap());
}
