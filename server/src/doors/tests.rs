//! The doors in front of a replica that never answers: no call is left hanging, and nothing stays behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::{self, Message};

use super::*;
use crate::admission::Gate;
use crate::doors::doorstep::Doorstep;
use crate::service::fake::Fake;

const PATIENCE: Duration = Duration::from_secs(20);

struct Mute {
    _runtime: Runtime,
    _stop: tokio::sync::watch::Sender<bool>,
    address: SocketAddr,
    fake: Arc<Fake>,
}

impl Mute {
    fn start() -> Mute {
        let fake = Arc::new(Fake::new());
        fake.fall_silent();
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let second = Duration::from_secs(1);
        let doors = Doors {
            service: Arc::new(Service::new(Arc::clone(&fake) as _, 7, 1)),
            sessions: Arc::new(Registry::default()),
            times: Times {
                ping_every: 20 * second,
                dead_after: 40 * second,
                stall_after: 10 * second,
                going_for: second,
            },
            juju: None,
            stop: stopping.clone(),
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener =
            runtime.block_on(async { listen::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap() });
        let address = listener.local_addr().unwrap();
        let doorstep = Doorstep::new(Gate::new(10), None, Arc::clone(&doors.service), &doors.times);
        runtime.spawn(listen::accept(listener, router(doors, origin::Names::Loopback), doorstep, stopping));
        Mute { _runtime: runtime, _stop: stop, address, fake }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn http(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn an_http_command_without_an_answer_is_unknown_and_a_read_was_not_made() {
    let mute = Mute::start();
    let body = r#"{"name":"a","holder":"h","deadline_ms":1}"#;
    let head = "POST /v1/claim HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let answer = mute.http(&format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("\"code\":\"unknown\""), "{answer}");
    let answer = mute.http("GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("not ready: no leader"), "{answer}");
}

#[test]
fn a_sessions_command_without_an_answer_is_unknown_and_a_late_answer_is_dropped() {
    let mute = Mute::start();
    let url = format!("ws://{}/v1/session", mute.address);
    let (mut session, _) = tungstenite::client::client(url, mute.connect()).unwrap();
    let claim = r#"{"id":1,"call":{"claim":{"name":"a","holder":"h","deadline_ms":1}}}"#;
    session.send(Message::text(claim)).unwrap();
    let answer = text(session.read().unwrap());
    assert!(answer.starts_with(r#"{"id":1,"reply":{"error":{"code":"unknown""#), "{answer}");
    for proposal in mute.fake.kept() {
        (proposal.reply)(replica::Answer::Unknown);
    }
    session.send(Message::text(r#"{"id":2,"call":{"hello":{"version":1,"agent":"t"}}}"#)).unwrap();
    let answer = text(session.read().unwrap());
    assert!(answer.starts_with(r#"{"id":2,"reply":{"welcome""#), "the late answer was dropped: {answer}");
}

fn text(message: Message) -> String {
    match message {
        Message::Text(text) => text.as_str().to_owned(),
        other => panic!("no text frame: {other:?}"),
    }
}
