//! Three members in this process, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use support::{Node, until};

/// A free port of this machine, and a socket that keeps it free for us: it does not listen.
fn reserve() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[test]
fn members_of_one_cluster_elect_one_and_apply_the_same() {
    let (_reserved, ports): (Vec<_>, Vec<_>) = (0..3).map(|_| reserve()).unzip();
    let voters: BTreeMap<u64, String> =
        (1..).zip(&ports).map(|(id, address)| (id, address.to_string())).collect();
    let start = |member: u64| {
        Node::start_with(|config| {
            config.cluster = Some(7);
            config.member = Some(member);
            config.peer_listen = Some(ports[member as usize - 1]);
            config.peer_voters = voters.clone();
        })
    };
    // A majority is enough, and who comes later catches up.
    let mut nodes = vec![start(1), start(2)];
    let leads = |node: &Node| {
        let status = node.server().status();
        status.leader == Some(status.member) && status.trouble.is_none()
    };
    until("one of two leads", || nodes.iter().any(leads));
    let leader = nodes.iter().find(|node| leads(node)).unwrap();
    until("it grants", || {
        leader.post("/v1/claim", r#"{"name":"a","holder":"h","ttl_ms":60000}"#).status == 200
    });
    nodes.push(start(3));
    until("all have it", || nodes.iter().all(|node| node.server().status().held == 1));
}
