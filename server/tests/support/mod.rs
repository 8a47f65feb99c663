#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part of it")]
//! A real server on a free port, and plain clients: blocking, each read bounded, so that a test fails rather than hangs.

pub mod guarded;
pub mod juju;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Config, Flags, Server};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// The longest any test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server in this process, and its folder.
pub struct Node {
    pub server: Option<Server>,
    pub folder: tempfile::TempDir,
}

impl Node {
    pub fn start() -> Node {
        Node::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Config)) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&folder.path().join("data"));
        change(&mut config);
        Node { server: Some(Server::start(&config).unwrap()), folder }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.server().address()
    }

    pub fn get(&self, path: &str) -> Answer {
        http(self.address(), &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.post_as("application/json", path, body)
    }

    pub fn post_as(&self, content_type: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        http(
            self.address(),
            &format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
                 content-length: {length}\r\n\r\n{body}"
            ),
        )
    }

    pub fn session(&self) -> Session {
        Session::open(self.address())
    }

    /// Whether it leads, and serves.
    pub fn leads(&self) -> bool {
        let status = self.server().status();
        status.leader == Some(status.member) && status.trouble.is_none()
    }

    pub fn stop(mut self) {
        self.server.take().unwrap().stop();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

pub fn config(data: &Path) -> Config {
    let flags = Flags {
        dev: true,
        data: Some(data.to_owned()),
        listen: Some("127.0.0.1:0".to_owned()),
        ..Flags::default()
    };
    Config::load(&flags).unwrap()
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status, code and message of a problem.
    pub fn problem(&self) -> (u16, String, String) {
        let json = self.json();
        let of = |field: &str| json["error"][field].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        (self.status, of("code"), of("message"))
    }

    pub fn field(&self) -> Option<String> {
        self.json()["error"]["field"].as_str().map(str::to_owned)
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub fn http(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    answer(&String::from_utf8(bytes).unwrap())
}

pub fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_lowercase(), text: body.to_owned() }
}

/// A session's client.
pub struct Session(pub WebSocket<TcpStream>);

impl Session {
    pub fn open(address: SocketAddr) -> Session {
        let url = format!("ws://{address}/v1/session");
        let (socket, _) = tungstenite::client::client(url, connect(address)).unwrap();
        Session(socket)
    }

    pub fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// The next frame from the server.
    pub fn next(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("no text frame: {other:?}"),
            }
        }
    }

    /// Sends a frame and takes the next one.
    pub fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        self.next()
    }

    /// Frames until the server closes, and its close code.
    pub fn rest(mut self) -> (Vec<Value>, Option<u16>) {
        let mut frames = Vec::new();
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => frames.push(serde_json::from_str(text.as_str()).unwrap()),
                Ok(Message::Close(close)) => return (frames, close.map(|close| close.code.into())),
                Ok(_) => {}
                Err(_) => return (frames, None),
            }
        }
    }

    /// The same connection, to write raw bytes to.
    pub fn raw(self) -> TcpStream {
        self.0.get_ref().try_clone().unwrap()
    }

    pub fn over(stream: TcpStream) -> Session {
        Session(WebSocket::from_raw_socket(stream, Role::Client, None))
    }
}

/// Sends a call.
pub fn call(session: &mut Session, id: u64, verb: &str, body: Value) {
    session.send(&json!({"id": id, "call": {verb: body}}).to_string());
}

/// Sends a call whose reply is the next frame.
pub fn ask(session: &mut Session, id: u64, verb: &str, body: Value) -> Value {
    call(session, id, verb, body);
    let frame = session.next();
    assert_eq!(frame["id"], id, "{frame}");
    frame["reply"].clone()
}

/// Looks until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn token(answer: &Value) -> String {
    answer["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
}
