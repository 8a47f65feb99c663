//! What may be wrong in a configuration, a test each, and what is right.

use std::collections::BTreeMap;
use std::fs;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("tenure.toml");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<Config, ConfigError> {
        load(Flags { config: Some(self.file(text)), ..Flags::default() }, &[])
    }
}

fn load(flags: Flags, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    Config::load_with(&flags, &|name| env.get(name).map(OsString::from))
}

fn dev() -> Flags {
    Flags { dev: true, ..Flags::default() }
}

#[test]
fn defaults_are_safe() {
    let config = load(Flags { data: Some("d".into()), ..Flags::default() }, &[]).unwrap();
    assert_eq!(config.listen.to_string(), LISTEN_DEFAULT);
    assert!(
        !config.dev
            && !config.insecure_plain_listener
            && !config.accept_torn_tail
            && !config.allow_volatile_data
    );
    assert_eq!((config.ping_every, config.dead_after), (Duration::from_secs(20), Duration::from_secs(40)));
    let config = load(dev(), &[]).unwrap();
    assert_eq!(config.data, PathBuf::from("tenure-data"));
    assert!(config.accept_torn_tail && config.allow_volatile_data);
}

#[test]
fn every_setting_can_be_set_in_the_file() {
    let folder = Folder::new();
    let config = folder
        .load(
            r#"
            data = "d"
            listen = "[::1]:0"
            tls = { cert = "node/a.crt", key = "/etc/a.key", client_ca = "ca.crt" }
            peer.tls = { cert = "node/p.crt", key = "p.key", ca = "/etc/p.crt" }
            insecure_plain_listener = true
            allow_volatile_data = true
            accept_torn_tail = true
            peer.listen = "127.0.0.1:0"
            peer.voters = "1=a:7401,2=b:7401,3=c:7401"
            cluster = "000102030405060708090a0b0c0d0e0f"
            member = 3
            log = { level = "debug", format = "json" }
            limits.connections = 7
            limits.commands = 9
            [session]
            ping_every = "500ms"
            dead_after = "1s"
            stall_after = "2m"
            [start]
            within = "3m"
            [stop]
            within = "1h"
            [audit]
            file = "audit.jsonl"
            bytes_max = "3MiB"
            lease_log = "lease.log"
            [snapshot]
            log_bytes = "2GiB"
            "#,
        )
        .unwrap();
    let expected = Config {
        dev: false,
        data: folder.0.path().join("d"),
        listen: "[::1]:0".parse().unwrap(),
        tls: Some(TlsFiles {
            cert: folder.0.path().join("node/a.crt"),
            key: "/etc/a.key".into(),
            ca: Some(folder.0.path().join("ca.crt")),
        }),
        peer_tls: Some(TlsFiles {
            cert: folder.0.path().join("node/p.crt"),
            key: folder.0.path().join("p.key"),
            ca: Some("/etc/p.crt".into()),
        }),
        insecure_plain_listener: true,
        insecure_no_authentication: false,
        first_token: None,
        audit: Some(folder.0.path().join("audit.jsonl")),
        audit_bytes_max: 3 << 20,
        lease_log: Some(folder.0.path().join("lease.log")),
        allow_volatile_data: true,
        accept_torn_tail: true,
        peer_listen: Some("127.0.0.1:0".parse().unwrap()),
        peer_join: false,
        peer_voters: [(1, "a:7401"), (2, "b:7401"), (3, "c:7401")].map(|(id, at)| (id, at.to_owned())).into(),
        cluster: Some(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
        member: Some(3),
        log_level: LogLevel::Debug,
        log_format: LogFormat::Json,
        connections: 7,
        commands: 9,
        ping_every: Duration::from_millis(500),
        dead_after: Duration::from_secs(1),
        stall_after: Duration::from_secs(120),
        start_within: Duration::from_secs(180),
        stop_within: Duration::from_secs(3_600),
        snapshot_log_bytes: 2 << 30,
        watch_bytes: 48 << 20,
        juju: config.juju.clone(),
        source: config.source.clone(),
    };
    assert_eq!(config, expected);
}

#[test]
fn flags_win_over_the_environment_over_the_file() {
    let folder = Folder::new();
    let path = folder.file("data = \"of-file\"\nlisten = \"127.0.0.1:1\"\nlog.level = \"error\"\n");
    let env = [("TENURE_LISTEN", "127.0.0.1:2"), ("TENURE_LOG_LEVEL", "warn"), ("TENURE_MEMBER", "4")];
    let flags = Flags { config: Some(path.clone()), log_level: Some("trace".into()), ..Flags::default() };
    let config = load(flags, &env).unwrap();
    assert_eq!(config.data, folder.0.path().join("of-file"), "a path in the file begins at its folder");
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.log_level, LogLevel::Trace);
    assert_eq!(config.member, Some(4));
    // The environment may name the file.
    let config = load(Flags::default(), &[("TENURE_CONFIG", path.to_str().unwrap())]).unwrap();
    assert_eq!(config.listen.port(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_cause() {
    let folder = Folder::new();
    let error = |path: PathBuf| {
        let error = load(Flags { config: Some(path.clone()), ..dev() }, &[]).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        error
    };
    assert!(error(folder.0.path().join("none.toml")).contains("No such file"));
    assert!(error(folder.0.path().to_owned()).contains("directory"));
    assert!(error(folder.file(b"data = \"\xff\"")).contains("not UTF-8 at byte 8"));
    assert!(error(folder.file(" \n")).contains("it is empty"));
}

#[test]
fn what_is_no_toml_is_named_with_line_and_column() {
    let folder = Folder::new();
    for (text, place) in
        [("data = \"d\"\n\nlisten == 3\n", ":3:9: no TOML"), ("data = \"d", ":1:10: no TOML"), ("é", ":1:")]
    {
        let error = folder.load(text).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
    let error = folder.load("data = \"d\"\ndata = \"e\"\n").unwrap_err().to_string();
    assert!(error.contains(":2:1: no TOML: duplicate key"), "{error}");
}

#[test]
fn an_unknown_key_is_refused_and_the_nearest_is_named() {
    let folder = Folder::new();
    let cases = [
        (
            "data = \"d\"\nlsten = \"127.0.0.1:1\"\n",
            "tenure.toml:2:1: there is no setting \"lsten\"; did you mean \"listen\"?",
        ),
        (
            "[session]\nping_evry = \"1s\"\n",
            ":2:1: there is no setting \"session.ping_evry\"; did you mean \"session.ping_every\"?",
        ),
        ("[sesion]\nping_every = \"1s\"\n", ":1:2: there is no setting \"sesion\""),
        ("quorum = 3\n", ":1:1: there is no setting \"quorum\"; `tenure serve --print-config` lists them"),
    ];
    for (text, expected) in cases {
        let error = folder.load(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_wrong_type_or_unit_says_what_is_wanted() {
    let folder = Folder::new();
    let cases = [
        ("listen = 7400", "listen is 7400; give an IP address and a port"),
        ("listen = \"localhost:7400\"", "listen is \"localhost:7400\"; give an IP address"),
        ("listen = \"127.0.0.1:70000\"", "port from 0 to 65535"),
        ("data = [1]", "data is an array; give a path"),
        ("accept_torn_tail = \"yes\"", "give true or false, without quotes"),
        (
            "session.ping_every = 20",
            "session.ping_every is 20; give a duration with its unit (ms, s, m or h)",
        ),
        ("session.ping_every = \"20\"", "give a duration with its unit"),
        ("session.ping_every = \"20 s\"", "give a duration with its unit"),
        ("session.ping_every = \"-5s\"", "give a duration with its unit"),
        ("session.ping_every = \"0s\"", "from 1ms to 24h"),
        ("session.ping_every = \"99999999999999999h\"", "from 1ms to 24h"),
        ("limits.connections = 0", "give a whole number from 1 to 18000"),
        ("limits.commands = 65537", "limits.commands is 65537; give a whole number from 1 to 65536"),
        ("limits.connections = 1.5", "limits.connections is 1.5; give a whole number"),
        ("member = -1", "member is -1; give a whole number from 1"),
        ("cluster = \"12\"", "give 32 hexadecimal digits"),
        ("snapshot.log_bytes = \"64MB\"", "give a size with its unit (KiB, MiB or GiB)"),
        ("snapshot.log_bytes = \"1KiB\"", "from 1MiB to 64GiB"),
        ("log.level = \"loud\"", "log.level is \"loud\"; give error, warn, info, debug or trace"),
        ("log = 3", "there is no setting \"log\""),
    ];
    for (text, expected) in cases {
        let config = Some(folder.file(format!("{text}\n")));
        let error = load(Flags { config, ..dev() }, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.contains("tenure.toml:1:"), "{error}");
    }
}

#[test]
fn a_wrong_value_that_wins_says_over_what() {
    let folder = Folder::new();
    let path = folder.file("log.level = \"info\"\n");
    let flags = Flags { config: Some(path.clone()), log_level: Some("loud".into()), ..dev() };
    let error = load(flags, &[("TENURE_LOG_LEVEL", "warn")]).unwrap_err().to_string();
    assert!(error.starts_with("--log-level: log.level is \"loud\"; give error"), "{error}");
    assert!(
        error.ends_with("(it wins over TENURE_LOG_LEVEL: a flag over the environment over the file)"),
        "{error}"
    );
    let flags = Flags { config: Some(path), ..dev() };
    let error = load(flags, &[("TENURE_LOG_LEVEL", "loud")]).unwrap_err().to_string();
    assert!(error.contains("it wins over") && error.contains("tenure.toml:1:5"), "{error}");
}

#[test]
fn a_broken_relation_shows_both_values() {
    let error = Folder::new().load("data = \"d\"\nsession.ping_every = \"30s\"\n").unwrap_err().to_string();
    assert!(error.contains("session.dead_after >= 2 x session.ping_every does not hold"), "{error}");
    assert!(error.contains("session.dead_after is 40s (the default)"), "{error}");
    assert!(error.contains("session.ping_every is 30s (") && error.contains("tenure.toml:2:9)"), "{error}");
}

#[test]
fn the_audit_log_and_the_lease_log_are_two_files() {
    let logs =
        |lease_log: &str| format!("data = \"d\"\n[audit]\nfile = \"a\"\nlease_log = \"{lease_log}\"\n");
    let error = Folder::new().load(&logs("a")).unwrap_err().to_string();
    for word in [
        "audit.lease_log is another file than audit.file does not hold",
        "tenure.toml:3:1)",
        "tenure.toml:4:1)",
    ] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(Folder::new().load(&logs("b")).is_ok());
}

/// Row 37, without TLS: whoever reached it would be nobody in particular.
#[test]
fn a_plain_listener_beyond_loopback_must_be_asked_for() {
    for listen in ["0.0.0.0:7400", "[::]:7400", "192.0.2.1:7400"] {
        let flags = Flags { data: Some("d".into()), listen: Some(listen.into()), ..Flags::default() };
        let error = load(flags.clone(), &[]).unwrap_err().to_string();
        assert!(error.contains(listen) && error.contains("--insecure-plain-listener"), "{error}");
        assert!(load(Flags { insecure_plain_listener: true, ..flags.clone() }, &[]).is_ok());
        let error =
            load(Flags { dev: true, insecure_plain_listener: true, ..flags }, &[]).unwrap_err().to_string();
        assert!(error.contains("--dev listens on loopback only"), "{error}");
    }
    for listen in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:7400"] {
        assert!(load(Flags { listen: Some(listen.into()), ..dev() }, &[]).is_ok());
    }
}

#[test]
fn the_first_voters_need_a_cluster_and_this_member_among_them() {
    let voters = Some("1=a:7401,2=b:7401,3=c:7401".to_owned());
    let cluster = Some("0".repeat(32));
    let flags = |cluster: &Option<String>, member: Option<&str>| Flags {
        peer_voters: voters.clone(),
        cluster: cluster.clone(),
        member: member.map(str::to_owned),
        ..dev()
    };
    let config = load(flags(&cluster, Some("2")), &[]).unwrap();
    assert_eq!(config.peer_listen, Some(PEER_LISTEN_DEFAULT));
    assert_eq!(config.peer_voters.len(), 3);
    assert!(!config.accept_torn_tail, "others have what this one has lost");
    let error = |flags| load(flags, &[]).unwrap_err().to_string();
    let said = error(flags(&None, Some("2")));
    assert!(
        said.contains("peer.voters needs cluster does not hold: peer.voters are 1, 2, 3 (--peer-voters)"),
        "{said}"
    );
    assert!(said.contains("cluster is not set (the default); give all voters the same cluster"), "{said}");
    let said = error(flags(&cluster, None));
    assert!(
        said.contains("peer.voters has member among them") && said.contains("member is not set"),
        "{said}"
    );
    let said = error(flags(&cluster, Some("4")));
    assert!(
        said.contains("member is 4 (--member); each first voter must know which of them it is"),
        "{said}"
    );
    assert_eq!(load(dev(), &[]).unwrap().peer_listen, None, "a member alone is called by nobody");
}

#[test]
fn a_peer_listener_beyond_this_machine_must_be_asked_for() {
    let flags =
        Flags { data: Some("d".into()), peer_listen: Some("0.0.0.0:7401".into()), ..Flags::default() };
    let error = load(flags.clone(), &[]).unwrap_err().to_string();
    assert!(
        error.contains("peer.listen is 0.0.0.0:7401") && error.contains("--insecure-plain-listener"),
        "{error}"
    );
    assert!(load(Flags { insecure_plain_listener: true, ..flags.clone() }, &[]).is_ok());
    let error = load(Flags { dev: true, ..flags }, &[]).unwrap_err().to_string();
    assert!(error.contains("--dev listens on loopback only, and peer.listen is"), "{error}");
}

#[test]
fn without_dev_the_data_folder_must_be_named() {
    assert_eq!(load(Flags::default(), &[]), Err(ConfigError::NoData));
    assert!(load(Flags::default(), &[("TENURE_DATA", "")]).unwrap_err().to_string().contains("give a path"));
}

#[test]
fn only_the_log_level_changes_without_a_restart() {
    let now = load(dev(), &[]).unwrap();
    let louder = load(Flags { log_level: Some("debug".into()), ..dev() }, &[]).unwrap();
    let moved = load(Flags { listen: Some("127.0.0.1:1".into()), ..dev() }, &[]).unwrap();
    let louder = Config { source: now.source.clone(), ..louder };
    assert!(!now.needs_restart(&louder));
    assert!(now.needs_restart(&moved));
}

#[test]
fn every_setting_is_documented_with_its_default() {
    for setting in KEYS {
        assert!(setting.doc.contains("efault"), "{}", setting.key);
        assert!(setting.env().starts_with("TENURE_"), "{}", setting.key);
    }
    assert_eq!(KEYS[KEYS.len() - 1].env(), "TENURE_WATCH_BYTES");
}

#[test]
fn a_misspelt_variable_is_found_and_a_strangers_is_not() {
    let misspelt =
        |name: &str| misspelt_env(["PATH".to_owned(), name.to_owned()].into_iter()).map(|(_, meant)| meant);
    assert_eq!(misspelt("TENURE_LISTN").as_deref(), Some("TENURE_LISTEN"));
    assert_eq!(misspelt("TENURE_LOGLEVEL").as_deref(), Some("TENURE_LOG_LEVEL"));
    assert_eq!(misspelt("TENURE_ENDPOINT").as_deref(), Some("TENURE_ENDPOINTS"));
    for name in [
        "TENURE_LISTEN",
        "TENURE_CONFIG",
        "TENURE_SERVICE_HOST",
        "TENURE_PORT",
        "TENURE_PORT_7400_TCP_ADDR",
        "LISTN",
    ] {
        assert_eq!(misspelt(name), None, "{name}");
    }
}

#[test]
fn the_printed_configuration_is_the_one_that_nobody_sets() {
    let folder = Folder::new();
    let printed = print_config();
    let config = Some(folder.file(&printed));
    for flags in [dev(), Flags { data: Some("d".into()), ..Flags::default() }] {
        let unset = load(flags.clone(), &[]).unwrap();
        let found = load(Flags { config: config.clone(), ..flags }, &[]).unwrap();
        assert_eq!(Config { source: unset.source.clone(), ..found }, unset);
    }
    // What stands behind a # may be set as it stands there.
    let all: String = printed
        .lines()
        .map(|line| {
            line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    let config = folder.load(&all).unwrap();
    assert_eq!((config.data, config.member), (folder.0.path().join("tenure-data"), Some(1)));
    assert!(KEYS.iter().all(|setting| all.contains(&format!("\n{} = ", setting.key))));
}

#[test]
fn a_wrong_type_is_refused_though_another_value_wins_and_before_what_is_missing() {
    let folder = Folder::new();
    let config = Some(folder.file("listen = 5\n"));
    let error =
        load(Flags { config, listen: Some("127.0.0.1:0".into()), ..dev() }, &[]).unwrap_err().to_string();
    assert!(error.contains("tenure.toml:1:1: listen is 5; give an IP address"), "{error}");
    let error = folder.load("stop.within = 5\n").unwrap_err().to_string();
    assert!(
        error.contains("stop.within is 5; give a duration"),
        "before the data folder that is missing: {error}"
    );
}

#[test]
fn a_certificate_needs_its_key_and_a_ca_needs_both() {
    let set = |env: &[(&str, &str)]| load(dev(), env).map(|config| config.tls);
    let (cert, key, ca) =
        (("TENURE_TLS_CERT", "a.crt"), ("TENURE_TLS_KEY", "a.key"), ("TENURE_TLS_CLIENT_CA", "c.crt"));
    let files = TlsFiles { cert: "a.crt".into(), key: "a.key".into(), ca: Some("c.crt".into()) };
    assert_eq!(set(&[cert, key, ca]), Ok(Some(files.clone())));
    assert_eq!(set(&[cert, key]), Ok(Some(TlsFiles { ca: None, ..files })));
    assert_eq!(set(&[]), Ok(None));
    let peer =
        [("TENURE_PEER_TLS_CERT", "p.crt"), ("TENURE_PEER_TLS_KEY", "p.key"), ("TENURE_PEER_TLS_CA", "p.ca")];
    assert!(load(dev(), &peer).unwrap().peer_tls.is_some());
    for (env, words) in [
        (&peer[..2], "peer.tls.cert is set (TENURE_PEER_TLS_CERT), and peer.tls.ca is not"),
        (&peer[..1], "peer.tls.cert is set (TENURE_PEER_TLS_CERT), and peer.tls.key is not"),
        (&[cert][..], "tls.cert is set (TENURE_TLS_CERT), and tls.key is not"),
        (&[key, ca], "tls.key is set (TENURE_TLS_KEY), and tls.cert is not"),
        (&[ca], "tls.client_ca is set (TENURE_TLS_CLIENT_CA), and tls.cert is not"),
    ] {
        let error = set(env).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("tenure init"), "{error}");
    }
}

/// Row 37, with TLS: nobody is let in unasked but by a flag that says so.
#[test]
fn other_machines_are_let_in_by_tls_and_asked_who_they_are_unless_a_loud_flag_says_otherwise() {
    let anywhere = Flags { data: Some("d".into()), listen: Some("0.0.0.0:7400".into()), ..Flags::default() };
    let (cert, key) = (("TENURE_TLS_CERT", "a.crt"), ("TENURE_TLS_KEY", "a.key"));
    let error = load(anywhere.clone(), &[]).unwrap_err().to_string();
    assert!(error.contains("no TLS and no identity") && error.contains("tenure init"), "{error}");
    let secured = |flags: Flags, env: &[(&str, &str)]| load(flags, env).map(|config| config.authenticates());
    assert_eq!(secured(anywhere.clone(), &[cert, key]), Ok(true), "by tokens, also without tls.client_ca");
    let unasked = Flags { insecure_no_authentication: true, ..anywhere.clone() };
    assert_eq!(secured(unasked.clone(), &[cert, key]), Ok(false));
    assert!(secured(unasked, &[]).is_err(), "to ask nobody is not to go without TLS");
    let plain = Flags { insecure_plain_listener: true, ..anywhere };
    assert_eq!(secured(plain.clone(), &[]), Ok(false));
    let first = format!("{}-{}-admin", "0".repeat(16), "ab".repeat(32));
    assert_eq!(secured(plain, &[("TENURE_AUTH_FIRST_TOKEN", &first)]), Ok(true));
    let dev = Flags { listen: Some("0.0.0.0:7400".into()), insecure_no_authentication: true, ..dev() };
    let error = load(dev, &[]).unwrap_err().to_string();
    assert!(error.contains("--dev listens on loopback only"), "{error}");
}

#[test]
fn the_first_token_is_read_as_it_is_written() {
    let text = format!("{}-{}-alice-2", "0123456789abcdef", "ab".repeat(32));
    let load = |text: &str| {
        let flags = Flags { data: Some("d".into()), ..Flags::default() };
        load(flags, &[("TENURE_AUTH_FIRST_TOKEN", text)])
    };
    assert_eq!(load(&text).unwrap().first_token.unwrap().to_string(), text);
    for wrong in ["", "x", &text[1..], &text[..81], &text.to_uppercase()] {
        let error = load(wrong).unwrap_err().to_string();
        assert!(error.contains("ID-HASH-NAME"), "{error}");
    }
}
