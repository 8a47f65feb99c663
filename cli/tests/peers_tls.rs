//! Members that know each other by certificate: three processes, each in the folder that `init` made for it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod secured;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use secured::{Member, init, said, serve};
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// The folders of three voters, and their ports for each other, which nobody else is given meanwhile.
struct Folders {
    parent: TempDir,
    _held: Vec<TcpSocket>,
}

impl Folders {
    fn make() -> Folders {
        let parent = TempDir::new().unwrap();
        let held: Vec<TcpSocket> = (0..3).map(|_| hold()).collect();
        let address = |at: usize| held[at].local_addr().unwrap();
        let voters = format!("1={},2={},3={}", address(0), address(1), address(2));
        let first = init(&parent.path().join("1"), &["--listen", "127.0.0.1:0", "--voters", &voters]);
        let from = first.to_str().unwrap();
        for id in ["2", "3"] {
            init(&parent.path().join(id), &["--listen", "127.0.0.1:0", "--node", id, "--from", from]);
        }
        Folders { parent, _held: held }
    }

    fn folder(&self, id: u64) -> PathBuf {
        self.parent.path().join(id.to_string())
    }

    /// The cluster's id, as its configuration has it.
    fn cluster(&self) -> String {
        let toml = fs::read_to_string(self.folder(1).join("tenure.toml")).unwrap();
        toml.split("cluster = \"").nth(1).unwrap()[..32].to_owned()
    }
}

/// A free port. A listener that takes its address too is let in while this one does not listen.
fn hold() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// A claim through all of these members, as the operator.
fn claim(members: &[&Member], name: &str) -> (Option<i32>, String) {
    let endpoints: Vec<String> = members.iter().map(|member| member.endpoint()).collect();
    let first = members[0];
    let args = ["claim", name, "--holder", "me", "--patience", "20s"];
    said(first.operator(&args).env("TENURE_ENDPOINTS", endpoints.join(",")))
}

#[test]
fn three_members_with_certificates_are_a_cluster_and_go_on_without_one() {
    let folders = Folders::make();
    let [one, two, three] = [1, 2, 3].map(|id| Member::of(&folders.folder(id)));
    let (code, said) = claim(&[&one, &two, &three], "a");
    assert_eq!(code, Some(0), "{said}");
    drop(three);
    let (code, said) = claim(&[&one, &two], "b");
    assert_eq!(code, Some(0), "{said}");
    let three = Member::of(&folders.folder(3));
    drop(two);
    let (code, said) = claim(&[&one, &three], "c");
    assert_eq!(code, Some(0), "{said}");
    for log in [one.log(), three.log()] {
        assert!(
            !log.contains("was refused") && !log.contains("refused the") && !log.contains("not let in"),
            "{log}"
        );
    }
}

#[test]
fn a_new_member_joins_by_a_token_and_the_certificate_that_was_made_for_it_and_not_without() {
    let folders = Folders::make();
    let [one, two, three] = [1, 2, 3].map(|id| Member::of(&folders.folder(id)));
    assert_eq!(claim(&[&one, &two, &three], "a").0, Some(0));
    let output = one.operator(&["members", "invite", "4"]).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
    let held = hold();
    let at = held.local_addr().unwrap().to_string();
    let join = |config: &Path, token: &str| {
        let config = config.join("tenure.toml");
        let words = ["join", "--allow-volatile-data", "--address", &at, "--token", token, "--config"];
        said(secured::tenure(&words).arg(config))
    };
    let dev = folders.parent.path().join("dev");
    let (code, said) =
        said(secured::tenure(&["join", "--dev", "--address", &at, "--token", &token, "--data"]).arg(&dev));
    assert!(code == Some(2) && said.contains("tenure init --node 4 --join --from tenure"), "{said}");

    // Of another cluster's CA; then of ours.
    let theirs = Folders::make();
    let make = |from: &Folders, name: &str| {
        let from = from.folder(1);
        let words = ["--listen", "127.0.0.1:0", "--node", "4", "--join", "--from", from.to_str().unwrap()];
        let folder = init(&folders.parent.path().join(name), &words);
        let toml = fs::read_to_string(folder.join("tenure.toml")).unwrap();
        assert!(toml.contains("join = true"), "{toml}");
        fs::write(folder.join("tenure.toml"), toml.replace("127.0.0.1:7401", &at)).unwrap();
        folder
    };
    let (code, said) = join(&make(&theirs, "foreign"), &token);
    assert!(code == Some(1) && said.contains("the token is for member 4 of cluster"), "{said}");
    let four = make(&folders, "4");
    let right = fs::read(four.join("ca/peer.crt")).unwrap();
    fs::copy(theirs.folder(1).join("ca/peer.crt"), four.join("ca/peer.crt")).unwrap();
    let (code, said) = join(&four, &token);
    assert!(code == Some(1) && said.contains("that is none of the cluster's"), "{said}");
    fs::write(four.join("ca/peer.crt"), right).unwrap();
    let (code, said) = join(&four, &token);
    assert_eq!(code, Some(0), "{said}");
    let four = Member::of(&four);
    four.logged("leads=false", 1);
    let (_, _) = claim(&[&one], "b");
    let output = one.operator(&["members", "list"]).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert!(list.contains(&format!("4\tobserver\t{at}\t")), "{list}");
    assert!(!one.log().contains("refused the"), "{}", one.log());
}

#[test]
fn a_member_with_another_clusters_certificate_does_not_start() {
    let (ours, theirs) = (Folders::make(), Folders::make());
    for file in ["peer.crt", "peer.key"] {
        fs::copy(theirs.folder(3).join("node").join(file), ours.folder(3).join("node").join(file)).unwrap();
    }
    let (code, said) = said(&mut serve(&ours.folder(3)));
    assert_eq!(code, Some(2), "{said}");
    for word in [format!("{}/member/3", theirs.cluster()), format!("{}/member/3, ", ours.cluster())] {
        assert!(said.contains(word.trim_end_matches(", ")), "{word:?} is not in: {said}");
    }
}

/// Gives a member a certificate with its right name, of a CA that has the right name too and is nobody's.
fn forge(folder: &Path, cluster: &str, id: u64) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.distinguished_name.push(DnType::CommonName, "ca/peer");
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let mut params = CertificateParams::default();
    let name = format!("tenure://{cluster}/member/{id}");
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(name).unwrap())];
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    fs::write(folder.join("node/peer.crt"), cert.pem()).unwrap();
    fs::write(folder.join("node/peer.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("node/peer.key"), fs::Permissions::from_mode(0o600)).unwrap();
    // It believes the others, and itself.
    let real = fs::read_to_string(folder.join("ca/peer.crt")).unwrap();
    fs::write(folder.join("ca/peer.crt"), real + &ca_pem).unwrap();
}

#[test]
fn a_member_with_a_forged_certificate_is_refused_by_name_and_the_others_go_on() {
    let folders = Folders::make();
    let [one, two, three] = [1, 2, 3].map(|id| Member::of(&folders.folder(id)));
    // A cluster begins once all its first voters are there.
    let (code, said) = claim(&[&one, &two, &three], "a");
    assert_eq!(code, Some(0), "{said}");
    drop(three);
    forge(&folders.folder(3), &folders.cluster(), 3);
    let three = Member::of(&folders.folder(3));
    let (code, said) = claim(&[&one, &two], "b");
    assert_eq!(code, Some(0), "{said}");
    let refused = format!("refused the certificate of \"tenure://{}/member/3\"", folders.cluster());
    one.logged(&refused, 1);
    one.logged("no CA of peer.tls.ca issued it", 1);
    three.logged("it knows no CA that issued this member's certificate", 1);
}
