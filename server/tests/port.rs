//! What strangers may do to the port.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::io::{Read, Write};

use support::{Node, answer, connect, until};

#[test]
fn bytes_that_are_no_http_are_closed_and_the_server_goes_on() {
    let node = Node::start();
    let tls_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let random: Vec<u8> =
        (0..4_096_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let long_head = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'a'; 100_000]].concat();
    for bytes in [
        tls_hello.as_slice(),
        &random,
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
        &long_head,
    ] {
        let mut stream = connect(node.address());
        // It may be closed before all of it is sent.
        let _ = stream.write_all(bytes);
        let mut answered = Vec::new();
        let ended = stream.read_to_end(&mut answered);
        let said = String::from_utf8_lossy(&answered).into_owned();
        assert!(ended.is_err() || said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    until("every place is free", || node.server().connections() == 0);
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn one_connection_too_many_is_told_when_to_come_back() {
    let node = Node::start_with(|config| config.connections = 2);
    let (first, _second) = (node.session(), node.session());
    let mut third = connect(node.address());
    let mut text = String::new();
    third.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    third.read_to_string(&mut text).unwrap();
    let (status, code, message) = answer(&text).problem();
    assert_eq!((status, code.as_str()), (503, "overloaded"));
    assert!(message.contains("2 connections are open, the limit"), "{message}");
    assert!(answer(&text).head.contains("retry-after: "), "{text}");
    drop(first);
    until("a place is free again", || node.server().connections() == 1);
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn an_address_in_use_names_the_listener() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let mut config = support::config(&folder.path().join("data"));
    config.listen = node.address();
    let error = server::Server::start(&config).err().unwrap();
    let expected = format!("the client listener (listen) cannot have {}: ", node.address());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(error.to_string().contains("another process has it"), "{error}");
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.peer_listen = Some(node.address());
    let error = server::Server::start(&config).err().unwrap();
    let expected = format!("the peer listener (peer.listen) cannot have {}: ", node.address());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(!folder.path().join("data").exists(), "no folder is made where a port is taken");
    config.listen = "192.0.2.1:7400".parse().unwrap();
    let error = server::Server::start(&config).err().unwrap();
    assert!(error.to_string().contains("this machine has no such address"), "{error}");
}
