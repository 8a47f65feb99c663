//! Three members of one cluster, in this process, over real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use server::Config;
use socket2::{Domain, Socket, Type};

use crate::support::Node;

/// A free port of this machine, and a socket that keeps it free for us: it does not listen.
fn reserve() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Three members of one cluster, and what keeps their ports: a cluster begins once all its first voters are there.
pub(crate) fn three_with(change: impl Fn(&mut Config)) -> (Vec<Socket>, Vec<Node>) {
    let (reserved, ports): (Vec<_>, Vec<_>) = (0..3).map(|_| reserve()).unzip();
    let voters: BTreeMap<u64, String> =
        (1..).zip(&ports).map(|(id, address)| (id, address.to_string())).collect();
    let start = |member: u64| {
        Node::start_with(|config| {
            config.cluster = Some(7);
            config.member = Some(member);
            config.peer_listen = Some(ports[member as usize - 1]);
            config.peer_voters = voters.clone();
            change(config);
        })
    };
    (reserved, vec![start(1), start(2), start(3)])
}
