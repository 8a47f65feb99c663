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

/// A port of a folder as `tenure init` makes it, with one slot and so many places for each source, and a client that knows it.
fn sides(folder: &Path, of_source: usize) -> (Handshakes, Arc<ClientConfig>) {
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
    let (sources, slots) = (Sources::new(of_source), Semaphore::new(1));
    let (within, slot_for) = (Duration::from_secs(60), Duration::from_millis(50));
    (Handshakes { sources, slots, within, slot_for, config }, Arc::new(client))
}

/// One that says hello, as a client does, and then nothing: the slot is taken for it, and it never answers.
async fn mute(listener: &TcpListener, client: &Arc<ClientConfig>) -> (TcpStream, TcpStream, SocketAddr) {
    let mut hello = Vec::new();
    let mut silent = ClientConnection::new(Arc::clone(client), localhost()).unwrap();
    silent.write_tls(&mut hello).unwrap();
    let mut mute = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    mute.write_all(&hello).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    (mute, stream, peer)
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Whether a client that does all that it should is served, as one who comes from `from`.
async fn is_served(
    handshakes: &Handshakes,
    listener: &TcpListener,
    client: &Arc<ClientConfig>,
    from: Option<SocketAddr>,
) -> bool {
    let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let shaken = handshakes.shake(stream, from.unwrap_or(peer));
    let connector = TlsConnector::from(Arc::clone(client));
    let (served, connected) = tokio::join!(shaken, connector.connect(localhost(), other));
    served.is_some() && connected.is_ok()
}

#[tokio::test]
async fn who_says_no_more_in_a_handshake_keeps_its_slot_for_a_moment_and_is_waited_for_without() {
    let parent = tempfile::tempdir().unwrap();
    let (handshakes, client) = sides(&parent.path().join("tenure"), 2);
    let handshakes = Arc::new(handshakes);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (mut mute, stream, peer) = mute(&listener, &client).await;
    let waits = Arc::clone(&handshakes);
    let waited_for = tokio::spawn(async move { waits.shake(stream, peer).await.is_some() });
    // Its flight has come: by now the mute one has the slot.
    mute.read_exact(&mut [0]).await.unwrap();
    let served = is_served(&handshakes, &listener, &client, None);
    assert!(timeout(Duration::from_secs(20), served).await.unwrap());
    assert!(!waited_for.is_finished(), "it is waited for all the same, until its five seconds are over");
    drop(mute);
    assert!(!waited_for.await.unwrap());
}

#[tokio::test]
async fn many_who_say_no_more_keep_out_their_own_address_and_nobody_else() {
    let parent = tempfile::tempdir().unwrap();
    let (handshakes, client) = sides(&parent.path().join("tenure"), 3);
    let handshakes = Arc::new(handshakes);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (mut mutes, mut waited_for) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (mut mute, stream, peer) = mute(&listener, &client).await;
        let waits = Arc::clone(&handshakes);
        waited_for.push(tokio::spawn(async move { waits.shake(stream, peer).await.is_some() }));
        mute.read_exact(&mut [0]).await.unwrap();
        mutes.push(mute);
    }
    let mut same = Box::pin(is_served(&handshakes, &listener, &client, None));
    let comes = async {
        while handshakes.sources.count() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = same.as_mut() => panic!("there is no place for it"),
        () = comes => {}
    }
    let from = Some("10.0.0.1:9".parse().unwrap());
    let other = is_served(&handshakes, &listener, &client, from);
    assert!(timeout(Duration::from_secs(20), other).await.unwrap());
    // Once one of them is gone there is.
    drop(mutes.pop());
    assert!(timeout(Duration::from_secs(20), same).await.unwrap());
}
