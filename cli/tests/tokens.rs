//! Tokens as real processes use them: the README's way from an empty folder to the first lease, and what each program may do after it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop, and say where"
)]

mod secured;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType, date_time_ymd};
use secured::{Member, said, tenure};

/// A verb as somebody who comes by the token in this file.
fn by_token(member: &Member, file: &str, args: &[&str]) -> Command {
    let mut command = member.anonymous(args);
    command.env("TENURE_TOKEN_FILE", file);
    command
}

/// What a verb prints, which has to be done.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// How a verb ended, and the code that it named.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let (code, said) = said(command);
    let named = said.split(['[', ']']).nth(1).unwrap_or(&said).to_owned();
    (code, named)
}

#[test]
fn from_an_empty_folder_to_the_first_lease_over_tls_with_a_token() {
    let begun = Instant::now();
    let member = Member::start();
    let folder = member.folder.parent().unwrap();
    // The README's lines, but for the port, which the system picks; and without the certificate, so that the token alone says who it is.
    let lines = format!(
        ". ./tenure/operator.env && unset TENURE_CERT TENURE_KEY && export TENURE_ENDPOINTS={} && {} claim db/primary --holder me",
        member.endpoint(),
        env!("CARGO_BIN_EXE_tenure"),
    );
    let mut shell = Command::new("sh");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TENURE_")) {
        shell.env_remove(name);
    }
    done(shell.arg("-c").arg(lines).current_dir(folder));
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    let mode = fs::metadata(member.path("operator/admin.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_units_token_is_good_for_its_own_leases_until_it_is_revoked() {
    let member = Member::start();
    let admin = member.path("operator/admin.token");
    let unit = member.path("unit.token");
    let create = [
        "token",
        "create",
        "mysql/0",
        "--role",
        "unit",
        "--namespace",
        "default",
        "--out",
        &unit,
        "--patience",
        "20s",
    ];
    let id = done(&mut by_token(&member, &admin, &create)).trim().to_owned();
    done(&mut by_token(&member, &unit, &["claim", "mysql", "--holder", "mysql/0"]));
    for args in [
        &["claim", "mysql", "--holder", "mysql/1"][..],
        &["claim", "redis", "--holder", "mysql/0"],
        &["list"],
        &["members", "list"],
        &["token", "list"],
        &["backup", "never"],
    ] {
        assert_eq!(
            refused(&mut by_token(&member, &unit, args)),
            (Some(1), "forbidden".to_owned()),
            "{args:?}"
        );
    }
    let listed = done(&mut by_token(&member, &admin, &["token", "list"]));
    assert!(listed.contains(&format!("{id}\tmysql/0\tunit\tdefault\t-\talways")), "{listed}");
    done(&mut by_token(&member, &admin, &["token", "revoke", &id]));
    let begun = Instant::now();
    let get = ["get", "mysql", "--patience", "1s"];
    while refused(&mut by_token(&member, &unit, &get)).1 != "unauthenticated" {
        assert!(begun.elapsed() < secured::PATIENCE, "it is still good");
    }
    assert_eq!(refused(&mut by_token(&member, &unit, &get)).0, Some(1));
    let log = fs::read_to_string(member.path("audit.jsonl")).unwrap();
    for words in ["\"outcome\":\"denied\"", "was revoked", "create ", "\"outcome\":\"granted\""] {
        assert!(log.contains(words), "{words} is not in {log}");
    }
    let secret = fs::read_to_string(&unit).unwrap();
    let secret = secret.trim().split('-').nth(3).unwrap().to_owned();
    assert!(!log.contains(&secret) && !member.log().contains(&secret), "no log has a secret");
}

#[test]
fn a_token_that_cannot_be_good_is_a_usage_error_that_repeats_nothing_of_it() {
    let member = Member::start();
    let text = fs::read_to_string(member.path("operator/admin.token")).unwrap();
    let file = member.path("bad.token");
    let put = |text: &str, mode| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let cases = [
        (text[..text.len() - 3].to_owned(), 0o600, "cut or mistyped"),
        ("41".to_owned(), 0o600, "it is no token"),
        (text.clone(), 0o644, "chmod 600"),
    ];
    for (text, mode, words) in &cases {
        put(text, *mode);
        let (code, said) = said(&mut by_token(&member, &file, &["count"]));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words) && said.contains("bad.token"), "{said}");
        assert!(!said.contains(text.trim()), "{said}");
    }
    // Under `tenure run` TENURE_TOKEN is a grant's, and no secret.
    assert_eq!(
        refused(member.anonymous(&["count", "--patience", "1s"]).env("TENURE_TOKEN", "41")).1,
        "unauthenticated"
    );
    let (code, told) =
        said(member.anonymous(&["count", "--patience", "20s"]).env("TENURE_TOKEN", text.trim()));
    assert_eq!(code, Some(0), "{told}");
    let mut clear = tenure(&["count", "--endpoints", "lease.example:1"]);
    let (code, told) = said(clear.env("TENURE_TOKEN", text.trim()));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("reached without TLS"), "{told}");
}

/// A certificate of the client CA for this URI.
fn certify(member: &Member, uri: &str) {
    certify_until(member, uri, server::wall_seconds() + 3_600);
}

/// The same, which is good until then.
fn certify_until(member: &Member, uri: &str, until: u64) {
    let ca = |name: &str| fs::read_to_string(member.path(name)).unwrap();
    let issuer_key = KeyPair::from_pem(&ca("ca/client.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&ca("ca/client.crt"), issuer_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).unwrap())];
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(until);
    fs::write(member.path("own.crt"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(member.path("own.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(member.path("own.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

fn cluster_of(member: &Member) -> String {
    let toml = fs::read_to_string(member.path("tenure.toml")).unwrap();
    let id = toml.lines().find_map(|line| line.strip_prefix("cluster = \"")).unwrap();
    id.trim_end_matches('"').to_owned()
}

/// A session that waits, and asks nothing more.
#[test]
fn who_came_by_a_certificate_goes_when_its_time_is_over() {
    let member = Member::start();
    done(&mut member.operator(&["claim", "mysql", "--holder", "me", "--ttl", "1h", "--patience", "20s"]));
    // Long enough for the session to begin, of which there is a line in the audit log once it acquires.
    let until = server::wall_seconds() + 8;
    certify_until(&member, &format!("tenure://{}/unit/default/mysql/0", cluster_of(&member)), until);
    let mut acquire = member.anonymous(&["acquire", "mysql", "--holder", "mysql/0"]);
    acquire.env("TENURE_CERT", member.path("own.crt")).env("TENURE_KEY", member.path("own.key"));
    let mut acquires = acquire.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let has_line = |of: &[&str]| {
        let log = fs::read_to_string(member.path("audit.jsonl")).unwrap();
        log.lines().any(|line| of.iter().all(|word| line.contains(word)))
    };
    // Given up by the member, whose client had no word of it yet: nobody was told that it was granted, or that it was not.
    let begun = Instant::now();
    while !(has_line(&["the certificate's time is over"]) && has_line(&["\"mysql/0\"", "\"unanswered\""])) {
        assert!(begun.elapsed() < secured::PATIENCE, "it stays for as long as it is let");
        std::thread::sleep(Duration::from_millis(20));
    }
    acquires.kill().unwrap();
    acquires.wait().unwrap();
    assert!(server::wall_seconds() > until, "it went before its time");
}

/// Row 57: what a certificate is not made for, it does not open; and what it is made for, it opens as a token does.
#[test]
fn a_certificates_uri_says_who_comes_and_one_that_names_nobody_is_not_known() {
    let member = Member::start();
    let cluster = cluster_of(&member);
    let by_certificate = |uri: &str, args: &[&str]| {
        certify(&member, uri);
        let mut command = member.anonymous(args);
        command.env("TENURE_CERT", member.path("own.crt")).env("TENURE_KEY", member.path("own.key"));
        refused(&mut command)
    };
    let unit = format!("tenure://{cluster}/unit/default/mysql/0");
    let claim = |holder| ["claim", "mysql", "--holder", holder];
    assert_eq!(by_certificate(&unit, &claim("mysql/0")).0, Some(0));
    assert_eq!(by_certificate(&unit, &claim("mysql/1")), (Some(1), "forbidden".to_owned()));
    let reader = format!("tenure://{cluster}/reader/eve");
    assert_eq!(by_certificate(&reader, &["list"]).0, Some(0));
    assert_eq!(by_certificate(&reader, &claim("mysql/0")), (Some(1), "forbidden".to_owned()));
    let elsewhere = format!("tenure://{}/operator/admin", "0".repeat(32));
    for nobody in ["https://example.org/me", &format!("tenure://{cluster}/member/1"), &elsewhere] {
        let came = by_certificate(nobody, &["count", "--patience", "500ms"]);
        assert_eq!(came, (Some(1), "unauthenticated".to_owned()), "{nobody}");
    }
}
