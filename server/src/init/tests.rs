//! What `init` makes, and what it refuses to touch.

use std::os::unix::fs::PermissionsExt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::config::{Config, Flags};

fn none() -> BTreeMap<u64, String> {
    BTreeMap::new()
}

fn three() -> BTreeMap<u64, String> {
    parse_voters("1=localhost:7401,2=b.example:7401,3=10.0.0.3:7401").unwrap()
}

fn init(folder: PathBuf) -> Init {
    let hosts = ["lease1.example", "10.0.0.7"].map(|host| host.parse().unwrap()).into();
    Init { folder, hosts, listen: None }
}

/// Each file below a folder with its mode, and each folder.
fn listed(folder: &Path) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        all.insert(name.clone(), fs::metadata(&path).unwrap().permissions().mode() & 0o777);
        if path.is_dir() {
            all.extend(listed(&path).into_iter().map(|(inner, mode)| (format!("{name}/{inner}"), mode)));
        }
    }
    all
}

fn names(path: &Path) -> Vec<String> {
    crate::tls::Leaf::read(&CertificateDer::from_pem_file(path).unwrap()).unwrap().names
}

#[test]
fn a_new_clusters_folder_is_private_and_whole() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/tenure");
    let made = init(folder.clone()).cluster("alice", none()).unwrap();
    assert_eq!((made.member, made.endpoint.as_str()), (1, "https://lease1.example:7400"));
    let files = "ca/client.crt ca/client.key ca/peer.crt ca/peer.key node/peer.crt node/peer.key node/server.crt \
                 node/server.key operator.env operator/alice.crt operator/alice.key operator/alice.token tenure.toml data/identity.toml";
    let mut expected: BTreeMap<String, u32> = files.split(' ').map(|file| (file.to_owned(), 0o600)).collect();
    expected.extend(["ca", "data", "node", "operator"].map(|folder| (folder.to_owned(), 0o700)));
    assert_eq!(listed(&folder), expected);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");

    let uri = |role| format!("tenure://{:032x}/{role}", made.cluster);
    assert_eq!(names(&folder.join("node/server.crt")), [&uri("member/1"), "lease1.example", "10.0.0.7"]);
    assert_eq!(names(&folder.join("node/peer.crt")), [uri("member/1")]);
    assert_eq!(names(&folder.join("operator/alice.crt")), [uri("operator/alice")]);
    assert_eq!(names(&folder.join("ca/client.crt")), [uri("ca/client")]);
    assert_eq!(names(&folder.join("ca/peer.crt")), [uri("ca/peer")]);

    let config =
        Config::load(&Flags { config: Some(folder.join("tenure.toml")), ..Flags::default() }).unwrap();
    assert_eq!((config.cluster, config.member), (Some(made.cluster), Some(1)));
    assert_eq!(config.listen.to_string(), "0.0.0.0:7400", "others know it by a name of theirs");
    assert_eq!(config.data, folder.join("data"));
    assert!(crate::tls::client_port(config.tls.unwrap()).is_ok());
    assert!(crate::tls::peer_port(config.peer_tls.unwrap(), config.cluster, config.member).is_ok());
    assert!(config.peer_voters.is_empty() && config.peer_listen.is_none());
    let env = fs::read_to_string(folder.join("operator.env")).unwrap();
    assert!(env.contains("\nexport TENURE_ENDPOINTS=https://lease1.example:7400\n"), "{env}");
    assert!(env.contains(&format!("TENURE_KEY={}/operator/alice.key\n", folder.display())), "{env}");
}

#[test]
fn validity_and_serial_numbers_are_as_they_should_be() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("tenure");
    init(folder.clone()).cluster("alice", none()).unwrap();
    let mut serials = Vec::new();
    for (file, days) in [
        ("ca/client", CA_DAYS),
        ("ca/peer", CA_DAYS),
        ("node/server", 365),
        ("node/peer", 365),
        ("operator/alice", 365),
    ] {
        let der = CertificateDer::from_pem_file(folder.join(format!("{file}.crt"))).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let validity = certificate.validity();
        let lasts = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert_eq!(lasts, days * 86_400 + 3_600, "{file}");
        assert_eq!(certificate.raw_serial().len(), 16, "{file}");
        serials.push(certificate.raw_serial().to_vec());
        assert_eq!(certificate.is_ca(), file.starts_with("ca/"), "{file}");
    }
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 5, "no two are alike");
}

const CA_DAYS: i64 = 3_653;

#[test]
fn a_further_member_is_vouched_for_by_the_same_cas() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (parent.path().join("tenure"), parent.path().join("tenure-2"));
    let cluster = init(first.clone()).cluster("alice", three()).unwrap().cluster;
    let made = init(second.clone()).member(2, &first, Further::New).unwrap();
    assert_eq!((made.cluster, made.member), (cluster, 2));
    let files = "ca ca/client.crt ca/peer.crt node node/peer.crt node/peer.key node/server.crt node/server.key tenure.toml";
    assert_eq!(listed(&second).into_keys().collect::<Vec<_>>(), files.split(' ').collect::<Vec<_>>());
    assert_eq!(names(&second.join("node/peer.crt")), [format!("tenure://{cluster:032x}/member/2")]);
    for ca in ["ca/client.crt", "ca/peer.crt"] {
        assert_eq!(fs::read(first.join(ca)).unwrap(), fs::read(second.join(ca)).unwrap());
    }
    let issuer = |path: PathBuf| {
        let der = CertificateDer::from_pem_file(path).unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        certificate.issuer().to_string()
    };
    assert_eq!(issuer(second.join("node/peer.crt")), issuer(first.join("node/peer.crt")));
    for (folder, member, listens) in [(&first, 1, "127.0.0.1:7401"), (&second, 2, "0.0.0.0:7401")] {
        let flags = Flags { config: Some(folder.join("tenure.toml")), ..Flags::default() };
        let config = Config::load(&flags).unwrap();
        assert_eq!((config.cluster, config.member), (Some(cluster), Some(member)));
        assert_eq!(config.peer_voters, three());
        assert_eq!(config.peer_listen.unwrap().to_string(), listens, "the second is reached by a name");
    }
}

#[test]
fn certificates_that_end_are_made_again_and_only_where_that_is_said() {
    let parent = tempfile::tempdir().unwrap();
    let (first, again) = (parent.path().join("tenure"), parent.path().join("again"));
    init(first.clone()).cluster("alice", none()).unwrap();
    let error = init(again.clone()).member(1, &first, Further::New).unwrap_err().to_string();
    assert!(error.contains("itself the folder of member 1") && error.contains("--renew"), "{error}");
    let renew = Renew { folder: again.clone(), member: 1, hosts: Vec::new(), old: None };
    renew.make(&first).unwrap();
    let files =
        "ca ca/client.crt ca/peer.crt node node/peer.crt node/peer.key node/server.crt node/server.key";
    assert_eq!(listed(&again).into_keys().collect::<Vec<_>>(), files.split(' ').collect::<Vec<_>>());
    for file in ["node/peer.crt", "node/server.crt"] {
        assert_eq!(names(&again.join(file)), names(&first.join(file)), "also the hosts");
    }
    assert_ne!(
        fs::read(again.join("node/peer.key")).unwrap(),
        fs::read(first.join("node/peer.key")).unwrap()
    );
}

#[test]
fn certificates_of_a_member_that_has_joined_are_made_again_from_its_old_one() {
    let parent = tempfile::tempdir().unwrap();
    let folder = |name: &str| parent.path().join(name);
    let (first, joined) = (folder("tenure"), folder("tenure-4"));
    init(first.clone()).cluster("alice", three()).unwrap();
    init(joined.clone()).member(4, &first, Further::Joins).unwrap();
    let renew = Renew { folder: folder("again"), member: 4, hosts: Vec::new(), old: None };
    let error = renew.make(&first).unwrap_err().to_string();
    assert!(error.contains("/member/1") && error.contains("--old"), "it is another member's: {error}");
    let renew = Renew { old: Some(joined.join("node/server.crt")), ..renew };
    renew.make(&first).unwrap();
    assert_eq!(names(&folder("again/node/server.crt")), names(&joined.join("node/server.crt")));
    let hosts = vec!["10.0.0.4".parse().unwrap()];
    let other = Renew { folder: folder("other"), hosts: hosts.clone(), ..renew };
    assert_eq!(other.make(&first).unwrap(), hosts, "hosts that are given are the only ones");
    assert!(names(&folder("other/node/server.crt")).contains(&"10.0.0.4".to_owned()));
}

#[test]
fn a_further_operator_has_a_certificate_and_no_ca() {
    let parent = tempfile::tempdir().unwrap();
    let (first, bob) = (parent.path().join("tenure"), parent.path().join("tenure-bob"));
    let cluster = init(first.clone()).cluster("alice", none()).unwrap().cluster;
    init_operator("bob", &bob, &first).unwrap();
    let files = "ca ca/client.crt operator operator.env operator/bob.crt operator/bob.key";
    assert_eq!(listed(&bob).into_keys().collect::<Vec<_>>(), files.split(' ').collect::<Vec<_>>());
    assert_eq!(names(&bob.join("operator/bob.crt")), [format!("tenure://{cluster:032x}/operator/bob")]);
    let env = fs::read_to_string(bob.join("operator.env")).unwrap();
    assert!(env.contains("\nexport TENURE_ENDPOINTS=https://lease1.example:7400\n"), "{env}");
    assert!(env.contains(&format!("TENURE_CERT={}/operator/bob.crt\n", bob.display())), "{env}");
}

#[test]
fn a_voter_that_nobody_knows_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (alone, first) = (parent.path().join("alone"), parent.path().join("first"));
    init(alone.clone()).cluster("alice", none()).unwrap();
    init(first.clone()).cluster("alice", three()).unwrap();
    let second = init(parent.path().join("second"));
    let error = |from: &Path, member| second.member(member, from, Further::New).unwrap_err().to_string();
    assert!(error(&alone, 2).contains("for a member alone, which would not know member 2"));
    assert!(error(&first, 4).contains("member 4 is none of the cluster's first voters, 1=localhost:7401,2="));
    let others = parse_voters("2=b:1,3=c:1,4=d:1").unwrap();
    let error = second.cluster("alice", others).unwrap_err().to_string();
    assert!(error.contains("member 1 is none of"), "{error}");
    fs::remove_file(first.join("tenure.toml")).unwrap();
    let error = second.member(2, &first, Further::New).unwrap_err().to_string();
    assert!(error.contains("voters cannot be read from") && error.contains("tenure.toml"), "{error}");
}

#[test]
fn a_folder_that_vouches_for_nobody_is_named_with_the_reason() {
    let parent = tempfile::tempdir().unwrap();
    let (first, other) = (parent.path().join("tenure"), parent.path().join("other"));
    init(first.clone()).cluster("alice", none()).unwrap();
    init(other.clone()).cluster("alice", none()).unwrap();
    let second = init(parent.path().join("second"));
    let error = |from: &Path, member| second.member(member, from, Further::New).unwrap_err().to_string();
    assert!(error(&parent.path().join("none"), 2).contains("No such file"));
    assert!(error(&first, 1).contains("itself the folder of member 1"));
    fs::copy(other.join("ca/client.key"), first.join("ca/client.key")).unwrap();
    let mismatch = error(&first, 2);
    assert!(mismatch.contains("ca/client.key") && mismatch.contains("not the key of"), "{mismatch}");
    fs::copy(other.join("ca/client.crt"), first.join("ca/client.crt")).unwrap();
    assert!(error(&first, 2).contains("different clusters"));
    fs::copy(other.join("ca/peer.crt"), first.join("ca/client.crt")).unwrap();
    assert!(error(&first, 2).contains("not that CA's certificate"));
    assert!(!second.folder.exists(), "nothing is left behind");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
}

#[test]
fn what_is_there_is_not_touched() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("tenure");
    init(folder.clone()).cluster("alice", none()).unwrap();
    let key = fs::read(folder.join("ca/peer.key")).unwrap();
    let error = init(folder.clone()).cluster("alice", none()).unwrap_err();
    assert_eq!(error.exit_kind(), crate::ExitKind::Refused);
    let text = error.to_string();
    assert!(text.contains("tenure serve --config") && text.contains("tenure init --node 2 --from"), "{text}");
    assert_eq!(fs::read(folder.join("ca/peer.key")).unwrap(), key);

    let strange = parent.path().join("strange");
    fs::create_dir(&strange).unwrap();
    init(strange.clone()).cluster("alice", none()).unwrap();
    let full = parent.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes"), "mine").unwrap();
    let error = init(full.clone()).cluster("alice", none()).unwrap_err().to_string();
    assert!(error.contains("files in it, and nothing was changed"), "{error}");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    let error = init(full.join("notes")).cluster("alice", none()).unwrap_err().to_string();
    assert!(error.contains("is no folder"), "{error}");
}

#[test]
fn an_operator_who_cannot_stand_in_a_certificate_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["", "a/b", "../x", "a b", "é"] {
        let error = init(parent.path().join("tenure")).cluster(name, none()).unwrap_err().to_string();
        assert!(error.contains(&format!("the operator's name {:?}", name)), "{error}");
    }
}

#[test]
fn a_word_for_a_shell_means_itself() {
    for (word, shown) in [
        ("a/b-c_d.e:1", "a/b-c_d.e:1"),
        ("a b", "'a b'"),
        ("it's", r"'it'\''s'"),
        ("$HOME", "'$HOME'"),
        ("[::1]", "'[::1]'"),
    ] {
        assert_eq!(shell_quoted(word), shown);
    }
}
