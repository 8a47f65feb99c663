//! Who is let in by which certificate, over real sockets on loopback.

use std::path::Path;

use replica::Network;

use super::super::Carrier;
use super::super::line::Line;
use super::super::tests::{Member, ask};
use super::*;
use crate::init::{Further, Init};
use crate::tls::{TlsFiles, peer_port};

/// The folders of a cluster's three members, and its id.
struct Cluster {
    parent: tempfile::TempDir,
    id: u128,
}

impl Cluster {
    fn new() -> Cluster {
        let parent = tempfile::tempdir().unwrap();
        let init = |member: u64| Init {
            folder: parent.path().join(member.to_string()),
            hosts: vec!["localhost".parse().unwrap()],
            listen: None,
        };
        let voters = crate::config::parse_voters("1=localhost:1,2=localhost:2,3=localhost:3").unwrap();
        let id = init(1).cluster("alice", voters).unwrap().cluster;
        for member in [2, 3] {
            init(member).member(member, &parent.path().join("1"), Further::New).unwrap();
        }
        Cluster { parent, id }
    }

    fn who(&self, member: u64) -> Who {
        Who { cluster: self.id, member }
    }

    fn files(&self, member: u64, pair: &str, ca: &str) -> TlsFiles {
        let folder = self.parent.path().join(member.to_string());
        let file = |name: &str| folder.join(Path::new(name));
        TlsFiles {
            cert: file(&format!("{pair}.crt")),
            key: file(&format!("{pair}.key")),
            ca: Some(file(&format!("ca/{ca}.crt"))),
        }
    }

    /// What a member presents and believes.
    fn security(&self, member: u64) -> Security {
        let files = self.files(member, "node/peer", "peer");
        Security::Mutual(Arc::new(peer_port(files, Some(self.id), Some(member)).unwrap()))
    }

    /// Member 2, as it listens.
    fn listening(&self, security: Security) -> Member {
        Member::start_as(self.who(2), security)
    }
}

/// The way of a caller to member 2, wherever that is.
fn line(me: Who, security: Security, to: &Member) -> Line {
    Carrier::new(me, security).link(2, &to.address.to_string())
}

/// Why it does not get through.
async fn why(me: Who, security: Security, to: &Member) -> String {
    ask(&line(me, security, to), b"a").await.unwrap_err()
}

#[tokio::test]
async fn members_of_one_cluster_talk_and_large_frames_get_through() {
    let cluster = Cluster::new();
    let two = cluster.listening(cluster.security(2));
    let line = line(cluster.who(1), cluster.security(1), &two);
    assert_eq!(ask(&line, b"a").await.unwrap(), b"a\x01");
    let large = vec![7; 3_000_000];
    assert_eq!(ask(&line, &large).await.unwrap(), [large, vec![1]].concat());
}

/// Row 56: of an unknown CA, between members.
#[tokio::test]
async fn another_clusters_member_is_refused_on_both_sides() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let two = ours.listening(ours.security(2));
    // It says that it is ours, and its certificate says otherwise; it does not believe our certificate either.
    let said = why(ours.who(1), theirs.security(1), &two).await;
    assert!(said.contains("no CA of peer.tls.ca issued it"), "{said}");
    // One that believes anybody's certificate is told by the other side.
    let files =
        TlsFiles { ca: ours.files(1, "node/peer", "peer").ca, ..theirs.files(1, "node/peer", "peer") };
    let credulous = Security::Mutual(Arc::new(peer_port(files, None, None).unwrap()));
    let said = why(ours.who(1), credulous, &two).await;
    assert!(said.contains("it knows no CA that issued this member's certificate"), "{said}");
    assert_eq!(*two.connections.borrow(), 0);
}

/// Row 57, of a member: the names that were found, and the one that is wanted.
#[tokio::test]
async fn a_certificate_is_one_members_and_no_others() {
    let cluster = Cluster::new();
    let two = cluster.listening(cluster.security(2));
    let said = why(cluster.who(1), cluster.security(3), &two).await;
    assert!(said.contains("it says that this member's certificate is another's"), "{said}");
    // And where another listens than was meant, its hello does not help it.
    let three = cluster.listening(cluster.security(3));
    let said = why(cluster.who(1), cluster.security(1), &three).await;
    let id = format!("{:032x}", cluster.id);
    let words =
        format!("its certificate is of member 3 of cluster {id}, and member 2 of cluster {id} is wanted");
    assert!(said.contains(&words), "{said}");
    assert_eq!((*two.connections.borrow(), *three.connections.borrow()), (0, 0));
}

/// Row 56: a client's certificate on the peer port; what it is, and what is wanted.
#[tokio::test]
async fn a_clients_certificate_is_no_members() {
    let cluster = Cluster::new();
    let two = cluster.listening(cluster.security(2));
    let operator = cluster.files(1, "operator/alice", "peer");
    let Err(error) = peer_port(operator.clone(), None, None) else { panic!("it is taken for a member's") };
    let error = error.to_string();
    assert!(error.contains("/operator/alice") && error.contains("tenure://CLUSTER/member/N"), "{error}");
    // The client port's certificate has the member's name, and is not for calling.
    let files = cluster.files(1, "node/server", "peer");
    let security = Security::Mutual(Arc::new(peer_port(files, None, None).unwrap()));
    let said = why(cluster.who(1), security, &two).await;
    assert!(said.contains("this member's certificate was not made for members"), "{said}");
}

#[tokio::test]
async fn plain_to_tls_and_tls_to_plain_say_so() {
    let cluster = Cluster::new();
    let secured = cluster.listening(cluster.security(2));
    let said = why(cluster.who(1), Security::Plain, &secured).await;
    // It cannot know why; the one that was called says that the caller does not speak TLS.
    assert!(said.contains("the connection ended before it said who it is"), "{said}");
    let plain = cluster.listening(Security::Plain);
    let said = why(cluster.who(1), cluster.security(1), &plain).await;
    assert!(said.contains("does not speak TLS, give both") && said.contains("peer.tls.*"), "{said}");
}

#[test]
fn a_members_own_certificate_must_be_its_own() {
    let cluster = Cluster::new();
    let files = cluster.files(2, "node/peer", "peer");
    for (id, member) in [(cluster.id, 1), (7, 2)] {
        let Err(error) = peer_port(files.clone(), Some(id), Some(member)) else { panic!("it is taken") };
        let error = error.to_string();
        let wanted = format!("tenure://{id:032x}/member/{member}");
        assert!(
            error.contains(&wanted) && error.contains(&format!("{:032x}/member/2", cluster.id)),
            "{error}"
        );
        // Also where the configuration does not say, and the data folder does.
        let kept = peer_port(files.clone(), None, None).unwrap();
        assert!(kept.get().check(&files, id, member).unwrap_err().to_string().contains(&wanted));
    }
    assert!(peer_port(files, Some(cluster.id), Some(2)).is_ok());
}
