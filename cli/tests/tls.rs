//! TLS as real processes speak it: what `init` makes, who is let in, and what is said to those who are not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod node;
mod secured;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use client::{Claim, Options, OwnFiles, Session, Tls, TlsFiles};
use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use secured::{Member, PATIENCE, init, said, serve, tenure};

/// What a verb says that cannot be done because of a connection.
fn unreachable(command: &mut std::process::Command) -> String {
    let (code, said) = said(command);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.starts_with("error[unavailable]: no endpoint could be reached: "), "{said}");
    said
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn what_init_makes_serves_and_its_operator_claims() {
    let member = Member::start();
    let (code, said) = said(&mut member.operator(&["claim", "db/primary", "--holder", "me"]));
    assert_eq!(code, Some(0), "{said}");
    // A command that is run under a lease finds the cluster too, though its tenure was told by flags.
    let check = r#""$0" check "$TENURE_LEASE" "$TENURE_TOKEN""#;
    let (ca, cert, key) =
        (member.path("ca/client.crt"), member.path("operator/admin.crt"), member.path("operator/admin.key"));
    let endpoint = member.endpoint();
    let mut run =
        tenure(&["run", "job", "--endpoints", &endpoint, "--ca", &ca, "--cert", &cert, "--key", &key, "--"]);
    let (code, told) = secured::said(run.args(["sh", "-c", check, env!("CARGO_BIN_EXE_tenure")]));
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn a_session_comes_again_by_the_certificate_that_was_renewed_meanwhile() {
    let member = Member::start();
    let bob = member.folder.with_file_name("bob");
    init(&bob, &["--from", &member.path(""), "--operator", "bob"]);
    let own = |end: &str| member.folder.join(format!("own.{end}"));
    for end in ["crt", "key"] {
        fs::copy(member.path(&format!("operator/admin.{end}")), own(end)).unwrap();
    }
    let files = OwnFiles { cert: own("crt"), key: own("key") };
    let tls = Tls::load(TlsFiles { ca: member.path("ca/client.crt").into(), own: Some(files) }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let claim = |name: &str| {
        let endpoints = vec![member.endpoint().parse().unwrap()];
        let options = Options { deadline: PATIENCE, tls: Some(tls.clone()), ..Options::new(endpoints) };
        let claim = Claim::new(name, "me");
        runtime.block_on(async {
            let session = Session::connect(options).await.unwrap();
            session.claim(claim).await.into_result().unwrap();
            session.close().await;
        });
    };
    claim("db/first");
    for end in ["crt", "key"] {
        fs::rename(bob.join(format!("operator/bob.{end}")), own(end)).unwrap();
    }
    claim("db/second");
    let start = std::time::Instant::now();
    let claims = || fs::read_to_string(member.path("audit.jsonl")).unwrap();
    while !claims().contains("db/second") {
        assert!(start.elapsed() < PATIENCE, "{}", claims());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let log = claims();
    let who = |name: &str| log.lines().find(|line| line.contains(name)).unwrap();
    assert!(who("db/first").contains(r#""who":"admin""#), "{log}");
    assert!(who("db/second").contains(r#""who":"bob""#), "{log}");
}

/// Rows 56 and 58: of an unknown CA, on either side; and none at all.
#[test]
fn who_presents_no_certificate_or_a_strangers_is_refused_by_name() {
    let member = Member::start();
    let get = ["get", "a", "--patience", "500ms"];
    let (code, said) = said(&mut member.anonymous(&get));
    assert_eq!(code, Some(1), "{said}");
    has(&said, &["error[unauthenticated]", &member.endpoint(), "--token-file", "client's certificate"]);

    let parent = tempfile::tempdir().unwrap();
    let other = init(&parent.path().join("other"), &[]);
    let other = |name: &str| other.join(name).to_str().unwrap().to_owned();
    let stranger = other("operator/admin.crt");
    let said = unreachable(
        member.anonymous(&get).env("TENURE_CERT", &stranger).env("TENURE_KEY", other("operator/admin.key")),
    );
    has(&said, &["does not know the CA that issued", &stranger]);
    member.logged("no CA of tls.client_ca issued it", 1);

    let said = unreachable(member.operator(&get).env("TENURE_CA", other("ca/client.crt")));
    has(&said, &["the CA in", &other("ca/client.crt"), "did not issue its certificate"]);
}

/// Row 56: a peer's certificate on the client port.
#[test]
fn a_members_certificate_is_no_clients() {
    let member = Member::start();
    let peer = member.path("node/peer.crt");
    let mut get = member.anonymous(&["get", "a", "--patience", "500ms"]);
    let said = unreachable(get.env("TENURE_CERT", &peer).env("TENURE_KEY", member.path("node/peer.key")));
    has(&said, &["does not know the CA that issued", &peer]);
    member.logged("/member/1", 1);
    has(&member.log(), &["CN=ca/peer", "no CA of tls.client_ca issued it"]);
}

/// Row 57, of a host.
#[test]
fn a_name_that_the_certificate_has_not_is_said_with_those_that_it_has() {
    let parent = tempfile::tempdir().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--host", "lease1.example,10.0.0.7"];
    let member = Member::of(&init(&parent.path().join("tenure"), &args));
    let endpoint = format!("https://127.0.0.1:{}", member.port);
    let said =
        unreachable(member.operator(&["get", "a", "--patience", "500ms"]).env("TENURE_ENDPOINTS", endpoint));
    has(&said, &["not for 127.0.0.1, but for lease1.example, 10.0.0.7", "tenure init --host"]);
}

/// A certificate under the client CA of a folder that was valid between two years.
fn dated(folder: &Path, from: i32, until: i32) {
    let ca = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let issuer_key = KeyPair::from_pem(&ca("ca/client.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&ca("ca/client.crt"), issuer_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    fs::write(folder.join("dated.crt"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(folder.join("dated.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("dated.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Row 55, of a client's.
#[test]
fn a_client_whose_certificate_is_over_or_to_come_is_told_so() {
    let member = Member::start();
    for (from, until, logged) in
        [(2001, 2002, "it was valid until 2002-01-01"), (2901, 2902, "it is valid from 2901-01-01")]
    {
        dated(&member.folder, from, until);
        let mut get = member.anonymous(&["get", "a", "--patience", "500ms"]);
        get.env("TENURE_CERT", member.path("dated.crt")).env("TENURE_KEY", member.path("dated.key"));
        let said = unreachable(&mut get);
        has(&said, &["dated.crt has expired, or is not yet valid", "clock"]);
        // One line a second: the second may have been held back.
        if from == 2001 {
            member.logged(logged, 1);
        }
    }
}

#[test]
fn a_member_with_files_that_are_wrong_does_not_start() {
    let parent = tempfile::tempdir().unwrap();
    let folder = init(&parent.path().join("tenure"), &["--listen", "127.0.0.1:0"]);
    let refused = |words: &[&str]| {
        let (code, said) = said(&mut serve(&folder));
        assert_eq!(code, Some(2), "{said}");
        has(&said, words);
        assert_eq!(
            fs::read_dir(folder.join("data")).unwrap().count(),
            1,
            "nothing was made beside what init had made"
        );
    };
    dated(&folder, 2001, 2002);
    let toml = fs::read_to_string(folder.join("tenure.toml")).unwrap();
    fs::write(folder.join("tenure.toml"), toml.replace("node/server", "dated")).unwrap();
    refused(&["dated.crt was valid until 2002-01-01 00:00 UTC", "by this machine's clock"]);
    fs::write(folder.join("tenure.toml"), &toml).unwrap();
    fs::set_permissions(folder.join("node/server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    refused(&["node/server.key has mode 0644", "chmod 600"]);
    fs::copy(folder.join("ca/client.key"), folder.join("node/server.key")).unwrap();
    fs::set_permissions(folder.join("node/server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    refused(&["node/server.key is not that of the certificate", "node/server.crt"]);
}

#[test]
fn what_is_there_is_not_made_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = init(&parent.path().join("tenure"), &[]);
    let key = fs::read(folder.join("ca/client.key")).unwrap();
    let (code, said) = said(tenure(&["init"]).arg(&folder));
    assert_eq!(code, Some(1), "{said}");
    has(&said, &["was made before, and nothing in it was changed", "tenure serve --config"]);
    assert_eq!(fs::read(folder.join("ca/client.key")).unwrap(), key);
}

/// Row 58: plain text.
#[test]
fn plain_to_tls_and_tls_to_plain_are_told_which_is_which() {
    let member = Member::start();
    let plain = format!("localhost:{}", member.port);
    let said = unreachable(&mut tenure(&["get", "a", "--patience", "500ms", "--endpoints", &plain]));
    has(&said, &[&plain, "this port speaks TLS", "https"]);

    let node = node::Node::start();
    let endpoint = format!("https://{}", node.address);
    let said =
        unreachable(member.operator(&["get", "a", "--patience", "500ms"]).env("TENURE_ENDPOINTS", &endpoint));
    has(&said, &[&endpoint, "does not speak TLS", "http://"]);
}

#[test]
fn certificates_and_endpoints_that_do_not_go_together_are_a_usage_error() {
    let member = Member::start();
    let usage = |command: &mut std::process::Command, words: &[&str]| {
        let (code, said) = said(command);
        assert_eq!(code, Some(2), "{said}");
        has(&said, words);
    };
    usage(
        &mut tenure(&["get", "a", "--endpoints", "https://a:1"]),
        &["https://a:1 is reached by TLS", "TENURE_CA"],
    );
    usage(
        member.operator(&["get", "a"]).env("TENURE_ENDPOINTS", "a:1"),
        &["no endpoint is reached by TLS", "https://a:1"],
    );
    usage(member.operator(&["get", "a"]).env_remove("TENURE_KEY"), &["--cert is given, and --key is not"]);
    usage(
        &mut tenure(&["bench", "handover", "--endpoints", "https://a:1"]),
        &["https://a:1 is reached by TLS", "TENURE_CA"],
    );
    usage(&mut member.operator(&["get", "a", "--ca", "/none"]), &["/none: it cannot be read", "--ca"]);
}

/// A whole client hello of a version before TLS 1.3, which offers no other.
fn hello_of(minor: u8) -> Vec<u8> {
    let extensions: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0];
    let version = [3, minor];
    // One suite, ECDHE with ECDSA and AES-128, and no compression.
    let rest = [&[0, 0, 2, 0xc0, 0x2b, 1, 0, 0, extensions.len() as u8][..], extensions].concat();
    let body = [&version[..], &[7; 32], &rest].concat();
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

fn connect(member: &Member) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", member.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Row 58: what is no TLS at all, and plain HTTP.
#[test]
fn what_is_no_tls_is_closed_and_so_is_what_never_comes_to_an_end() {
    let member = Member::start();
    for bytes in [&b"\x00\x01\x02\x03"[..], b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x03\x01"] {
        let mut stream = connect(&member);
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // Closed or reset, and not served.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    // Whoever offers what is older is told so in its own words: an alert, fatal, protocol version.
    for minor in [1, 2, 3] {
        let mut stream = connect(&member);
        stream.write_all(&hello_of(minor)).unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!((answer[0], answer[3..].to_vec()), (21, vec![0, 2, 2, 70]), "TLS 1.{}", minor - 1);
        assert_eq!(stream.read(&mut answer).unwrap_or(0), 0, "closed behind it");
    }
    let mut http = connect(&member);
    http.write_all(b"GET /v1/leases HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    http.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    has(&answer, &["this port speaks TLS"]);

    // Two that dawdle: one says nothing, one begins a hello. Both are cut, and meanwhile another is served.
    let (mut mute, mut slow) = (connect(&member), connect(&member));
    slow.write_all(b"\x16\x03\x01").unwrap();
    let (code, told) = said(&mut member.operator(&["count"]));
    assert_eq!(code, Some(0), "{told}");
    for stream in [&mut mute, &mut slow] {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    member.logged("no TLS hello came in time", 1);
}
