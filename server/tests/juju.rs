//! The Juju door as Juju's clients see it: transcripts of every call and every error, played against a real server.
//!
//! A transcript is a file of `tests/juju`. Each line does something, and what came of it stands below, as it came:
//!
//! ```text
//! set NAME VALUE     a setting of the server, before anything else
//! open A PATH        a connection, called A from here on
//! A> JSON            A sends it, and the next reply stands below
//! A! JSON            A sends it, and nobody awaits anything
//! A?                 the next reply
//! waiting N          N waits stand at the server
//! revoke NS NAME     an operator takes the lease away at once, over HTTP
//! get NS NAME        who holds it, over HTTP
//! ```
//!
//! `$MODEL`, `$CONTROLLER` and `$PORT` stand for what differs. `UPDATE_GOLDENFILES=1` writes the files anew; read the diff as if somebody
//! else had written it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use server::Config;
use support::juju::{CONTROLLER_PATH, Juju, MODEL, controller};
use support::{Node, until};

fn set(config: &mut Config, name: &str, value: &str) {
    let (juju, number) = (&mut config.juju, || value.parse::<u32>().unwrap());
    match name {
        "ratelimit_max" => juju.throttle.ratelimit_max = number(),
        "ratelimit_rate_ms" => juju.throttle.ratelimit_rate = Duration::from_millis(number().into()),
        "load_test_any_holder" => juju.load_test_any_holder = value == "true",
        _ => panic!("there is no setting {name}"),
    }
}

struct Played {
    node: Node,
    controller: String,
    lines: BTreeMap<String, Juju>,
}

impl Played {
    fn start(text: &str) -> Played {
        let settings: Vec<Vec<&str>> =
            text.lines().filter_map(|line| Some(line.strip_prefix("set ")?.split(' ').collect())).collect();
        let node = Node::start_with(|config| {
            config.juju.enabled = true;
            config.juju.throttle.ratelimit_max = 0;
            settings.iter().for_each(|setting| set(config, setting[0], setting[1]));
        });
        let controller = controller(&node);
        Played { node, controller, lines: BTreeMap::new() }
    }

    /// Does what a line says, and gives what came of it.
    fn play(&mut self, line: &str) -> Option<String> {
        let line = line.replace("$MODEL", MODEL).replace("$CONTROLLER", &self.controller);
        if let Some((name, frame)) = line.split_once("> ") {
            self.line(name).send(frame);
            return Some(self.next(name));
        }
        if let Some((name, frame)) = line.split_once("! ") {
            self.line(name).send(frame);
            return None;
        }
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["set", ..] => None,
            ["open", name, path] => {
                self.lines.insert(name.to_owned(), Juju::open(&self.node, path));
                None
            }
            ["waiting", waits] => {
                let waits: u64 = waits.parse().unwrap();
                until("so many wait", || self.node.server().status().waits == waits);
                // Behind this read's barrier, the waits are past their own.
                assert_eq!(self.node.get("/v1/count").status, 200);
                None
            }
            ["revoke", namespace, name] => {
                self.revoke(namespace, name);
                None
            }
            ["get", namespace, name] => Some(self.held(namespace, name)["holder"].to_string()),
            [name] => Some(self.next(name.strip_suffix('?').unwrap())),
            _ => panic!("what is {line:?}?"),
        }
    }

    fn line(&mut self, name: &str) -> &mut Juju {
        self.lines.get_mut(name).unwrap_or_else(|| panic!("nobody opened {name}"))
    }

    fn next(&mut self, name: &str) -> String {
        let port = self.node.address().port();
        let reply = self.line(name).next_text();
        let reply = reply.replace(MODEL, "$MODEL").replace(&self.controller, "$CONTROLLER");
        reply.replace(&format!("\"port\":{port}"), "\"port\":$PORT")
    }

    fn held(&self, namespace: &str, name: &str) -> Value {
        self.node.get(&format!("/v1/leases/{namespace}/{name}")).json()["held"].clone()
    }

    fn revoke(&self, namespace: &str, name: &str) {
        let token = self.held(namespace, name)["token"].clone();
        let revoke =
            json!({"namespace": namespace, "name": name, "token": token, "why": "moved", "now": true});
        assert_eq!(self.node.post("/v1/revoke", &revoke.to_string()).status, 200);
    }
}

/// The transcript, with what came of each line this time.
fn replay(text: &str) -> String {
    let (mut played, mut seen) = (Played::start(text), String::new());
    for line in text.lines().filter(|line| !line.starts_with("    ")) {
        writeln!(seen, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(came) = played.play(line) {
            writeln!(seen, "    {came}").unwrap();
        }
    }
    seen
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/juju").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let seen = replay(&text);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(&path, seen).unwrap();
        return;
    }
    for (number, (expected, seen)) in text.lines().zip(seen.lines()).enumerate() {
        assert_eq!(expected, seen, "{name}:{}", number + 1);
    }
    assert_eq!(text.lines().count(), seen.lines().count(), "{name} has a line more or less");
}

/// A test for each file, so that each is told by its name; and that none is left out.
macro_rules! transcripts {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            check(concat!(stringify!($name), ".txt"));
        })*

        #[test]
        fn every_transcript_is_played() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/juju");
            let mut files: Vec<String> =
                fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            let mut played = vec![$(concat!(stringify!($name), ".txt")),*];
            played.sort_unstable();
            assert_eq!(files, played);
        }
    };
}

transcripts!(any_holder, framing, leadership, login, pins, singular, throttle);

#[test]
fn without_the_switch_there_is_no_such_door() {
    let node = Node::start();
    for path in [CONTROLLER_PATH, "/", &format!("/model/{MODEL}/api")] {
        assert!(!Juju::is_served(&node, path), "{path}");
    }
}
