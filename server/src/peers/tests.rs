//! The carrier over real sockets on loopback.

use std::net::SocketAddr;
use std::time::Instant;

use replica::{Answering, Link, Network, PEER_FRAME_BYTES_MAX, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::hello::{Answer, Call, Versions};
use super::line::Line;
use super::listen::{Answers, Takes};
use super::*;

const CLUSTER: u128 = 0xabc;
const ME: Who = Who { cluster: CLUSTER, member: 1 };
const OTHER: Who = Who { cluster: CLUSTER, member: 2 };
const V1: Versions = Versions { oldest: 1, newest: 1 };
/// No test waits longer for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers each frame with its own bytes and the number of its connection; `wait` only once the gate is open, `no` never.
struct Echo {
    connections: watch::Sender<u8>,
    gate: watch::Receiver<bool>,
}

struct Echoing {
    number: u8,
    gate: watch::Receiver<bool>,
}

impl Answers for Echo {
    type Connection = Echoing;

    fn connection(&self, _: u64) -> Echoing {
        self.connections.send_modify(|count| *count += 1);
        Echoing { number: *self.connections.borrow(), gate: self.gate.clone() }
    }
}

impl Takes for Echoing {
    fn take(&mut self, frame: &[u8]) -> Result<Answering, WireError> {
        let (frame, number, mut gate) = (frame.to_vec(), self.number, self.gate.clone());
        if frame == b"garbage" {
            return Err(WireError::Version { theirs: 9, ours: 1 });
        }
        Ok(Box::pin(async move {
            match frame.as_slice() {
                b"no" => std::future::pending().await,
                b"wait" => drop(gate.wait_for(|open| *open).await),
                _ => {}
            }
            [frame, vec![number]].concat()
        }))
    }
}

/// A listener of member 2, on a port of its own.
pub(super) struct Member {
    pub(super) address: SocketAddr,
    open: watch::Sender<bool>,
    pub(super) connections: watch::Receiver<u8>,
    task: JoinHandle<()>,
}

impl Member {
    fn start() -> Member {
        Member::start_at("127.0.0.1:0".parse().unwrap())
    }

    fn start_at(address: SocketAddr) -> Member {
        Member::start_of(OTHER, address, Security::Plain)
    }

    pub(super) fn start_as(me: Who, security: Security) -> Member {
        Member::start_of(me, "127.0.0.1:0".parse().unwrap(), security)
    }

    fn start_of(me: Who, address: SocketAddr, security: Security) -> Member {
        let listener = TcpListener::from_std(bind(address).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (open, gate) = watch::channel(false);
        let (counted, connections) = watch::channel(0);
        let task = tokio::spawn(accept(listener, me, security, Echo { connections: counted, gate }));
        Member { address, open, connections, task }
    }

    fn link(&self) -> Line {
        link(ME, 2, self.address)
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn link(me: Who, member: u64, address: SocketAddr) -> Line {
    Carrier::new(me, Security::Plain).link(member, &address.to_string())
}

pub(super) async fn ask(link: &Line, frame: &[u8]) -> Result<Vec<u8>, String> {
    let answer = link.ask(frame.to_vec());
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("an answer, or why there is none");
    answer.map_err(|unreached| unreached.why)
}

/// What the connection still says, until it is closed.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    // It may be reset, where what we sent was not read to its end.
    drop(tokio::time::timeout(PATIENCE, read).await.expect("it is closed"));
    bytes
}

/// A listener that is what the test makes of it: after the caller's hello it says `answer`.
async fn false_member(answer: Vec<u8>) -> (Line, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(ME, 2, listener.local_addr().unwrap());
    drop(link.ask(b"first".to_vec()));
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = [0; 41];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(hello.as_slice(), Call { versions: V1, caller: ME, meant: 2 }.encode());
    stream.write_all(&answer).await.unwrap();
    (link, stream)
}

fn welcome() -> Vec<u8> {
    Answer { versions: V1, listener: OTHER, verdict: 0 }.encode()
}

fn frame(ask: u64, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), ask.to_le_bytes().as_slice(), bytes].concat()
}

#[tokio::test]
async fn answers_come_in_any_order_each_to_its_ask() {
    let member = Member::start();
    let link = member.link();
    let late = link.ask(b"wait".to_vec());
    let soon: Vec<_> = (0..100_u8).map(|number| (number, link.ask(vec![number; 1_000]))).collect();
    for (number, answer) in soon {
        let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
        assert_eq!(answer, [vec![number; 1_000], vec![1]].concat());
    }
    member.open.send_replace(true);
    assert_eq!(late.await.unwrap(), b"wait\x01");
    let large = vec![7; 3_000_000];
    assert_eq!(ask(&link, &large).await.unwrap(), [large, vec![1]].concat());
    assert_eq!(ask(&link, b"").await.unwrap(), [1]);
}

#[tokio::test]
async fn links_to_one_member_share_a_connection() {
    let member = Member::start();
    let carrier = Carrier::new(ME, Security::Plain);
    for _ in 0..3 {
        let link = carrier.link(2, &member.address.to_string());
        assert_eq!(ask(&link, b"a").await.unwrap(), b"a\x01");
    }
    assert_eq!(*member.connections.borrow(), 1);
    // A member that has moved is called where it is now.
    let moved = Member::start();
    let link = carrier.link(2, &moved.address.to_string());
    assert_eq!(ask(&link, b"a").await.unwrap(), b"a\x01");
    assert_eq!((*member.connections.borrow(), *moved.connections.borrow()), (1, 1));
}

#[tokio::test]
async fn another_cluster_is_refused_with_both_ids() {
    let member = Member::start();
    let why = ask(&link(Who { cluster: 0xdef, member: 1 }, 2, member.address), b"a").await.unwrap_err();
    assert!(why.starts_with(&format!("member 2 at {}: wrong cluster: ", member.address)), "{why}");
    let both = format!("it is of {:032x}, and this member of {:032x}", CLUSTER, 0xdef);
    assert!(why.contains(&both) && why.contains("correct the address"), "{why}");
    assert_eq!(*member.connections.borrow(), 0);
}

#[tokio::test]
async fn another_member_than_was_meant_is_refused_and_so_is_oneself() {
    let member = Member::start();
    let why = ask(&link(ME, 3, member.address), b"a").await.unwrap_err();
    assert!(why.contains("wrong member: member 2 listens there, and member 3 was meant"), "{why}");
    let why = ask(&link(OTHER, 2, member.address), b"a").await.unwrap_err();
    assert!(
        why.contains("wrong member: member 2 was called by itself, or by another with the same id"),
        "{why}"
    );
}

#[tokio::test]
async fn versions_that_have_none_in_common_are_named_on_both_sides() {
    let member = Member::start();
    let newer = Versions { oldest: 8, newest: 9 };
    let mut stream = member.raw().await;
    stream.write_all(&Call { versions: newer, caller: ME, meant: 2 }.encode()).await.unwrap();
    let refused = Answer { versions: V1, listener: OTHER, verdict: 1 }.encode();
    assert_eq!(rest(&mut stream).await, refused);
    // One that speaks more than this program is talked to in what both speak.
    let mut stream = member.raw().await;
    let call = Call { versions: Versions { oldest: 1, newest: 9 }, caller: ME, meant: 2 }.encode();
    stream.write_all(&[call, frame(5, b"a")].concat()).await.unwrap();
    let mut answer = [0; 34 + 12 + 2];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer.as_slice(), [welcome(), frame(5, b"a\x01")].concat());

    let refused = Answer { versions: newer, listener: OTHER, verdict: 1 }.encode();
    let (link, _stream) = false_member(refused).await;
    let why = ask(&link, b"a").await.unwrap_err();
    let expected =
        "it speaks version 8 to 9 of the peers' protocol, and this member speaks 1: upgrade the older one";
    assert!(why.contains(expected), "{why}");
}

#[tokio::test]
async fn a_connection_that_is_cut_fails_what_was_asked_over_it() {
    let (link, mut stream) = false_member(welcome()).await;
    let asked = link.ask(b"a".to_vec());
    let mut sent = [0; 12 + 1];
    stream.read_exact(&mut sent).await.unwrap();
    assert_eq!(sent.as_slice(), frame(1, b"a"), "nobody waits for the first any more: it was not sent");
    stream.write_all(&frame(1, b"answer")[..14]).await.unwrap();
    drop(stream);
    let why = asked.await.unwrap_err().why;
    assert!(why.contains("the connection was cut in the middle of a frame"), "{why}");
    let why = ask(&link, b"a").await.unwrap_err();
    assert!(why.contains("Connection refused") || why.contains("cut in the middle"), "{why}");
}

#[tokio::test]
async fn a_caller_that_breaks_off_or_talks_nonsense_hurts_nobody() {
    let member = Member::start();
    let link = member.link();
    assert_eq!(ask(&link, b"a").await.unwrap(), b"a\x01");
    let hello = Call { versions: V1, caller: Who { member: 3, ..ME }, meant: 2 }.encode();
    let too_long = [(PEER_FRAME_BYTES_MAX as u32 + 1).to_le_bytes().as_slice(), &[0; 8], b"abc"].concat();
    for bytes in
        [&b"GET / HTTP/1.1\r\nhost: localhost:7401\r\nuser-agent: a browser\r\n\r\n"[..], b"", &[0; 100]]
    {
        let mut stream = member.raw().await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    for bytes in [&frame(1, b"abc")[..14], &too_long, &frame(1, b"garbage")] {
        let mut stream = member.raw().await;
        stream.write_all(&[&hello, bytes].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, welcome());
    }
    assert_eq!(ask(&link, b"a").await.unwrap(), b"a\x01", "over the same connection as before");
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_not_sent() {
    let member = Member::start();
    let link = member.link();
    let why = ask(&link, &vec![0; PEER_FRAME_BYTES_MAX + 1]).await.unwrap_err();
    assert!(why.contains("a frame of 67108865 bytes; the limit is 67108864"), "{why}");
    let (link, mut stream) = false_member(welcome()).await;
    let asked = link.ask(b"a".to_vec());
    stream.write_all(&[&u32::MAX.to_le_bytes()[..], &[0; 8]].concat()).await.unwrap();
    let why = asked.await.unwrap_err().why;
    assert!(why.contains("a frame of 4294967295 bytes was announced, and the limit is 67108864"), "{why}");
}

#[test]
fn a_member_that_returns_is_found_again() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ours = runtime();
    let mut address = "127.0.0.1:0".parse().unwrap();
    let mut link = None;
    for _ in 0..3 {
        let theirs = runtime();
        let member = theirs.block_on(async { Member::start_at(address) });
        address = member.address;
        ours.block_on(async {
            let link = link.get_or_insert_with(|| member.link());
            let began = Instant::now();
            while ask(link, b"a").await.is_err() {
                assert!(began.elapsed() < PATIENCE, "it is not found");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let unanswered = link.ask(b"no".to_vec());
            assert_eq!(ask(link, b"b").await.unwrap(), b"b\x01", "what was asked before has arrived too");
            // Everything of the other ends, as with its process.
            drop(member);
            theirs.shutdown_background();
            assert!(tokio::time::timeout(PATIENCE, unanswered).await.unwrap().is_err());
        });
        // Until nobody has the port any more.
        let began = Instant::now();
        while bind(address).is_err() {
            assert!(began.elapsed() < PATIENCE, "the port stays taken");
        }
    }
}

#[tokio::test]
async fn a_newer_connection_of_a_caller_ends_its_older_one() {
    let member = Member::start();
    let link = member.link();
    let unanswered = link.ask(b"no".to_vec());
    assert_eq!(ask(&link, b"a").await.unwrap(), b"a\x01");
    let newer = member.link();
    assert_eq!(ask(&newer, b"a").await.unwrap(), b"a\x02");
    let why = tokio::time::timeout(PATIENCE, unanswered).await.unwrap().unwrap_err().why;
    assert!(why.contains("it closed the connection"), "{why}");
}

#[tokio::test]
async fn a_member_that_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(ME, 2, listener.local_addr().unwrap());
    let why = ask(&link, b"a").await.unwrap_err();
    assert!(why.contains("it did not say who it is within 1s"), "{why}");
    drop(listener);
}

#[tokio::test]
async fn what_a_member_does_not_read_is_bounded() {
    let (link, stream) = false_member(welcome()).await;
    let part = PEER_FRAME_BYTES_MAX / 4;
    let asked: Vec<_> = (0..12).map(|_| link.ask(vec![0; part])).collect();
    let why = asked.into_iter().last().unwrap().await.unwrap_err().why;
    assert!(why.contains("bytes wait to be sent to") && why.contains("the limit is 134217728"), "{why}");
    drop(stream);
    let began = Instant::now();
    // All were dropped with the connection: there is room again.
    while ask(&link, b"a").await.unwrap_err().contains("wait to be sent") {
        assert!(began.elapsed() < PATIENCE, "what failed keeps its place");
    }
}

#[tokio::test]
async fn answers_that_never_come_are_bounded() {
    let member = Member::start();
    let link = member.link();
    let asked: Vec<_> = (0..UNANSWERED_MAX).map(|_| link.ask(b"no".to_vec())).collect();
    let why = ask(&link, b"a").await.unwrap_err();
    assert!(why.contains("4096 frames are without an answer already, the limit"), "{why}");
    drop(asked);
}

#[tokio::test]
async fn a_member_that_is_down_costs_an_ask_no_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(ME, 2, listener.local_addr().unwrap());
    drop(listener);
    for _ in 0..1_000 {
        let why = ask(&link, b"a").await.unwrap_err();
        assert!(why.contains("no connection: Connection refused"), "{why}");
    }
}
