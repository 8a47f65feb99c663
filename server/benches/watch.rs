//! Ten thousand watches of one prefix, a thousand events each: how long until all have seen all. Each watch's events are checked
//! as they come: in order, none twice, none missing. `cargo bench -p server --bench watch -- [WATCHES] [EVENTS]`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot go on should stop, and say where"
)]

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Config, Flags, Server};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

const WATCHES_A_SESSION: usize = 500;

type Socket = WebSocket<TcpStream>;

fn open(address: SocketAddr) -> Socket {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    client(format!("ws://{address}/v1/session"), stream).unwrap().0
}

fn next(socket: &mut Socket) -> String {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return text.as_str().to_owned();
        }
    }
}

fn ask(socket: &mut Socket, frame: &Value) -> Value {
    socket.send(Message::text(frame.to_string())).unwrap();
    serde_json::from_str(&next(socket)).unwrap()
}

/// Reads what the watches of one session see, until each has seen `events` after `from`.
fn see(mut socket: Socket, watches: usize, events: u64, from: u64) {
    let mut last = vec![from; watches];
    let mut left = watches;
    while left > 0 {
        let text = next(&mut socket);
        let (head, list) = text.split_once("\"events\":[").expect("only events come");
        let id: usize = head.rsplit_once("\"id\":").unwrap().1.trim_end_matches(',').parse().unwrap();
        for part in list.split("{\"revision\":\"").skip(1) {
            let revision: u64 = part.split('"').next().unwrap().parse().unwrap();
            assert_eq!(revision, last[id] + 1, "watch {id} missed an event, or saw one twice");
            last[id] = revision;
        }
        left -= usize::from(last[id] == from + events);
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (watches, events) =
        (numbers.next().unwrap_or(10_000usize), numbers.next().unwrap_or(1_000usize) as u64);
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        dev: true,
        data: Some(folder.path().join("data")),
        listen: Some("127.0.0.1:0".to_owned()),
        ..Flags::default()
    };
    let server = Server::start(&Config::load(&flags).unwrap()).unwrap();
    let address = server.address();

    let mut sessions = Vec::new();
    let mut from = 0;
    for first in (0..watches).step_by(WATCHES_A_SESSION) {
        let (mut socket, count) = (open(address), WATCHES_A_SESSION.min(watches - first));
        for id in 0..count {
            let begun = ask(&mut socket, &json!({"id": id, "call": {"watch": {"prefix": "w/"}}}));
            from = begun["reply"]["watching"]["revision"].as_str().unwrap().parse().unwrap();
        }
        sessions.push((socket, count));
    }

    let began = Instant::now();
    let read = |(socket, count)| std::thread::spawn(move || see(socket, count, events, from));
    let readers: Vec<_> = sessions.into_iter().map(read).collect();
    let mut holder = open(address);
    let mut sent = 0;
    while sent < events {
        let claim =
            |at| json!({"claim": {"name": format!("w/{at}"), "holder": "h", "instance": "7", "seq": "1"}});
        let steps: Vec<Value> = (sent..events.min(sent + 100)).map(claim).collect();
        sent += steps.len() as u64;
        ask(&mut holder, &json!({"id": sent, "call": {"bulk": steps}}));
    }
    let written = began.elapsed();
    for reader in readers {
        reader.join().expect("a watch did not see what it should");
    }
    let seen = began.elapsed();
    let total = watches as u64 * events;
    println!(
        "{watches} watches saw {events} events each, in order, none twice: {total} in {:.2} s ({:.0} a second); written in {:.2} s",
        seen.as_secs_f64(),
        total as f64 / seen.as_secs_f64(),
        written.as_secs_f64(),
    );
    server.stop();
}
