//! A client of rustls' own, over a transport that gives a few bytes at a time.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::provider;
use super::*;

/// Both sides' configurations.
struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Sides {
    fn new() -> Sides {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let pair_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], pair_key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Sides { server: Arc::new(server), client: Arc::new(client) }
    }

    fn stream(&self, under: DuplexStream) -> Stream<DuplexStream> {
        Stream::new(under, Arc::clone(&self.server)).unwrap()
    }

    async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, under: S) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.client)).connect(name, under).await
    }

    /// Both, once they know each other, over a transport that holds `room` bytes each way.
    async fn pair(&self, room: usize) -> (TlsStream<DuplexStream>, Stream<DuplexStream>) {
        let (near, far) = duplex(room);
        let mut server = self.stream(far);
        let (client, shaken) = tokio::join!(self.connect(near), async {
            server.first_record().await?;
            server.handshake().await
        });
        shaken.unwrap();
        (client.unwrap(), server)
    }
}

/// Sends back what it reads, until nothing more comes.
async fn echo(mut stream: Stream<DuplexStream>) -> io::Result<Stream<DuplexStream>> {
    let mut buf = vec![0; 5_000];
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            read => stream.write_all(&buf[..read]).await?,
        }
        stream.flush().await?;
    }
    stream.shutdown().await?;
    Ok(stream)
}

#[tokio::test]
async fn what_is_sent_comes_whole_through_a_transport_of_any_size_and_over_new_keys() {
    let sides = Sides::new();
    let all: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for room in [7, 1_000, 1_000_000] {
        let sent = &all[..all.len().min(5_000 * room)];
        let (mut client, server) = sides.pair(room).await;
        let echoes = tokio::spawn(echo(server));
        client.get_mut().1.refresh_traffic_keys().unwrap();
        let (mut reads, mut writes) = tokio::io::split(client);
        let mut got = Vec::new();
        let (read, wrote) = tokio::join!(reads.read_to_end(&mut got), async {
            writes.write_all(sent).await?;
            writes.shutdown().await
        });
        wrote.unwrap();
        read.unwrap();
        assert_eq!(got.len(), sent.len(), "of a transport of {room}");
        assert!(got == sent, "of a transport of {room}");
        echoes.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_idle_stream_keeps_nothing_beside_its_keys() {
    let (mut client, mut server) = Sides::new().pair(64 * 1024).await;
    let mut buf = vec![0; 30_000];
    client.write_all(&buf).await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut buf).await.unwrap();
    server.write_all(&buf).await.unwrap();
    server.flush().await.unwrap();
    client.read_exact(&mut buf).await.unwrap();
    let Stream { partial, plain, sealed, .. } = &server;
    assert_eq!([partial.capacity(), plain.bytes.capacity(), sealed.bytes.capacity()], [0; 3]);
}

#[tokio::test]
async fn who_says_that_it_sends_no_more_is_still_written_to_and_who_just_goes_is_cut_off() {
    let sides = Sides::new();
    let (mut client, mut server) = sides.pair(1_000).await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
    server.write_all(b"so long").await.unwrap();
    server.shutdown().await.unwrap();
    let mut last = Vec::new();
    client.read_to_end(&mut last).await.unwrap();
    assert_eq!(last, b"so long");

    let (client, mut server) = sides.pair(1_000).await;
    drop(client);
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_hello_that_is_none_is_refused_with_an_alert() {
    let (mut client, far) = duplex(1_000);
    let mut server = Sides::new().stream(far);
    // A handshake record of four bytes, of no message that there is.
    client.write_all(&[22, 3, 1, 0, 4, 99, 0, 0, 0]).await.unwrap();
    server.first_record().await.unwrap();
    assert_eq!(server.handshake().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    drop(server.into_under());
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    assert_eq!((told[0], told.len()), (21, 7), "an alert: {told:?}");

    let (client, far) = duplex(1_000);
    let mut server = Sides::new().stream(far);
    drop(client);
    assert_eq!(server.first_record().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_message_in_pieces_without_end_is_not_kept() {
    let (mut client, far) = duplex(1 << 20);
    let mut server = Sides::new().stream(far);
    // A ClientHello of 65,535 bytes, a byte to a record.
    let bytes = [1, 0, 0xFF, 0xFF].into_iter().chain(std::iter::repeat_n(0, 20_000));
    let records: Vec<u8> = bytes.flat_map(|byte| [22, 3, 1, 0, 1, byte]).collect();
    client.write_all(&records).await.unwrap();
    server.first_record().await.unwrap();
    let error = server.handshake().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert!(server.partial.len() <= PARTIAL_BYTES_MAX);

    // A record that says it is longer than any is not waited for.
    let (mut client, far) = duplex(1_000);
    let mut server = Sides::new().stream(far);
    client.write_all(&[22, 3, 1, 0xFF, 0xFF]).await.unwrap();
    server.first_record().await.unwrap();
    assert_eq!(server.handshake().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// A transport in which one byte that the client sends is another.
struct Flips {
    under: DuplexStream,
    /// How many bytes come before.
    left: usize,
}

impl AsyncRead for Flips {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.under).poll_read(cx, buf)
    }
}

impl AsyncWrite for Flips {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut sent = buf.to_vec();
        if let Some(byte) = sent.get_mut(self.left) {
            *byte ^= 0x55;
        }
        let wrote = ready!(Pin::new(&mut self.under).poll_write(cx, &sent))?;
        self.left = self.left.checked_sub(wrote).unwrap_or(usize::MAX);
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.under).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.under).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn whichever_byte_is_another_nothing_false_is_read() {
    let sides = Sides::new();
    let (mut whole, mut refused) = (0, 0);
    for left in (0..600).step_by(3) {
        let (near, far) = duplex(64 * 1024);
        let mut server = sides.stream(far);
        let client = async {
            let mut client = sides.connect(Flips { under: near, left }).await?;
            client.write_all(b"hello").await?;
            client.shutdown().await
        };
        let served = async {
            server.first_record().await?;
            server.handshake().await?;
            let mut got = Vec::new();
            server.read_to_end(&mut got).await?;
            io::Result::Ok((got, server))
        };
        // A length that is another may have both wait for more: whichever is done ends it.
        let mut client = Box::pin(client);
        let mut served = Box::pin(served);
        let got = tokio::select! {
            got = &mut served => got,
            _ = &mut client => {
                drop(client);
                served.await
            }
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => Err(cut_off()),
        };
        match got {
            Ok((got, _)) => {
                assert_eq!(got, b"hello", "with byte {left} another");
                whole += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 50 && whole > 50, "{refused} refused, {whole} whole");
}
