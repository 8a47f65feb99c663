//! Who comes by the Juju door, and what they may do there: the password is a Tenure token, and the rule is that of every other door.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where")]

mod support;

use std::fs;
use std::io::{Read, Write};

use serde_json::{Value, json};
use server::{Config, Flags, Secret, Server};
use support::juju::{CONTROLLER_PATH, Juju, MODEL, OTHER_MODEL, claim_params, model_path};
use support::{answer, connect, until};

/// A member that asks who comes, with a Juju door.
struct Guarded {
    server: Option<Server>,
    folder: tempfile::TempDir,
    admin: String,
}

impl Guarded {
    fn start() -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::draw();
        let first = format!("{}-{}-admin", secret.id(), secret.hash_hex());
        let file = folder.path().join("tenure.toml");
        let text = format!(
            "data = \"data\"\nlisten = \"127.0.0.1:0\"\nallow_volatile_data = true\n\
             [auth]\nfirst_token = \"{first}\"\n[audit]\nfile = \"audit.jsonl\"\n\
             [juju]\nenabled = true\nagent_ratelimit_max = 0\n"
        );
        fs::write(&file, text).unwrap();
        let config = Config::load(&Flags { config: Some(file), ..Flags::default() }).unwrap();
        let server = Some(Server::start(&config).unwrap());
        let guarded = Guarded { server, folder, admin: secret.reveal() };
        until("the first token is good", || guarded.ask("GET /v1/tokens", "").status == 200);
        guarded
    }

    /// As the first operator, over HTTP.
    fn ask(&self, line: &str, body: &str) -> support::Answer {
        let (token, length) = (&self.admin, body.len());
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut stream = connect(self.server.as_ref().unwrap().address());
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        answer(&String::from_utf8_lossy(&bytes))
    }

    fn change(&self, change: &Value) {
        let answer = self.ask("POST /v1/tokens", &json!({"change": change}).to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// A new token: its id, and its text.
    fn token(&self, principal: &str, role: &str, more: &Value) -> (String, String) {
        let secret = Secret::draw();
        let mut create = json!({
            "id": secret.id().to_string(), "hash": secret.hash_hex(), "principal": principal, "role": role,
        });
        for (field, value) in more.as_object().unwrap() {
            create[field] = value.clone();
        }
        self.change(&json!({"create": create}));
        (secret.id().to_string(), secret.reveal())
    }

    /// The same, for leaderships of the model.
    fn here(&self, principal: &str, role: &str) -> String {
        self.token(principal, role, &json!({"namespace": leadership(MODEL)})).1
    }

    fn open(&self, path: &str) -> Juju {
        Juju::open_at(self.server.as_ref().unwrap().address(), path)
    }

    fn login(&self, tag: &str, token: &str) -> Juju {
        let mut juju = self.open(&model_path(MODEL));
        let reply = juju.try_login(tag, token);
        assert!(reply["error"].is_null(), "{tag}: {reply}");
        juju
    }

    fn may_login(&self, path: &str, tag: &str, token: &str) -> bool {
        let reply = self.open(path).try_login(tag, token);
        if reply["error"].is_null() {
            return true;
        }
        let (error, code) = (&reply["error"], &reply["error-code"]);
        assert_eq!((error, code), (&json!("invalid entity name or password"), &json!("unauthorized access")));
        false
    }

    fn audited(&self, what: &str, is_it: impl Fn(&Value) -> bool) {
        until(what, || {
            let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
            text.lines().any(|line| is_it(&serde_json::from_str(line).unwrap_or_default()))
        });
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

fn leadership(model: &str) -> String {
    format!("application-leadership:{model}")
}

fn permission_denied() -> Value {
    json!({"message": "permission denied", "code": "unauthorized access"})
}

/// Every kind of token, under every kind of tag, at the model, another model and the controller.
#[test]
fn a_token_logs_in_as_what_it_is_and_as_nobody_else() {
    let guarded = Guarded::start();
    let singular = json!({"namespace": format!("singular-controller:{MODEL}"), "lease": MODEL});
    let tokens = [
        ("unit", guarded.here("mysql/0", "unit")),
        ("machine", guarded.token("machine-0", "unit", &singular).1),
        ("app-admin", guarded.here("mysql", "app-admin")),
        ("machine's app-admin", guarded.here("machine-0", "app-admin")),
        ("reader", guarded.here("bob", "reader")),
        ("auditor", guarded.token("bob", "auditor", &json!({})).1),
        ("model's operator", guarded.here("eve", "operator")),
        ("operator", guarded.admin.clone()),
    ];
    let tags = [
        "unit-mysql-0",
        "unit-mysql-1",
        "machine-0",
        "machine-1",
        "application-mysql",
        "user-bob",
        "user-bob@local",
    ];
    let anybody: &[&str] = &tags;
    let expected: [(&str, &[&str], &[&str]); 8] = [
        // Whose, at its model, and at another one and the controller.
        ("unit", &["unit-mysql-0"], &[]),
        ("machine", &["machine-0"], &[]),
        ("app-admin", &["application-mysql"], &[]),
        ("machine's app-admin", &["machine-0"], &[]),
        ("reader", &["user-bob", "user-bob@local"], &[]),
        ("auditor", &["user-bob", "user-bob@local"], &["user-bob", "user-bob@local"]),
        ("model's operator", anybody, &[]),
        ("operator", anybody, anybody),
    ];
    for ((name, token), (of, here, elsewhere)) in tokens.iter().zip(expected) {
        assert_eq!(*name, of);
        for tag in tags {
            assert_eq!(
                guarded.may_login(&model_path(MODEL), tag, token),
                here.contains(&tag),
                "{name} as {tag}"
            );
            for path in [&model_path(OTHER_MODEL), CONTROLLER_PATH] {
                assert_eq!(
                    guarded.may_login(path, tag, token),
                    elsewhere.contains(&tag),
                    "{name} as {tag} at {path}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_token_is_nobodys_and_the_cause_is_in_the_audit_log_alone() {
    let guarded = Guarded::start();
    let token = guarded.here("mysql/0", "unit");
    let stranger = Secret::draw().reveal();
    let cut = &token[..token.len() - 1];
    for (wrong, why) in [
        ("", "it is no token"),
        ("password", "it is no token"),
        (cut, "cut or mistyped"),
        (&stranger, "there is no token"),
    ] {
        assert!(!guarded.may_login(&model_path(MODEL), "unit-mysql-0", wrong), "{wrong}");
        guarded.audited(why, |line| line["why"].as_str().is_some_and(|told| told.contains(why)));
    }
    assert!(!guarded.may_login(&model_path(MODEL), "unit-mysql-1", &token));
    guarded.audited("another's tag", |line| {
        line["why"].as_str().is_some_and(|why| why.contains("not for the tag"))
    });
    // On one connection, until it is right.
    let mut juju = guarded.open(&model_path(MODEL));
    assert!(juju.try_login("unit-mysql-0", &stranger)["error"].is_string());
    assert!(juju.try_login("unit-mysql-0", &token)["error"].is_null());
}

#[test]
fn a_unit_claims_its_own_leadership_and_it_is_written_down() {
    let guarded = Guarded::start();
    let mut unit = guarded.login("unit-mysql-0", &guarded.here("mysql/0", "unit"));
    assert_eq!(unit.claim("mysql/0", 60.0), Value::Null);
    assert_eq!(unit.claim("mysql/0", 60.0), Value::Null, "and extends it");
    assert_eq!(unit.claim("mysql/1", 60.0), permission_denied());
    assert_eq!(unit.claim("wordpress/0", 60.0), permission_denied());
    guarded.audited("its claim", |line| {
        line["who"] == "mysql/0"
            && line["verb"] == "claim"
            && line["outcome"] == "granted"
            && line["name"] == "mysql"
    });
    // A token for another lease logs in, and the rule that all doors ask says no: alike whether anybody holds it or not.
    let other = json!({"namespace": leadership(MODEL), "lease": "wordpress"});
    let mut other = guarded.login("unit-mysql-7", &guarded.token("mysql/7", "unit", &other).1);
    assert_eq!(other.claim("mysql/7", 60.0), permission_denied());
    other.block("mysql");
    assert_eq!(other.next()["response"]["error"], permission_denied());
    guarded.audited("its refusal", |line| line["who"] == "mysql/7" && line["outcome"] == "denied");
}

#[test]
fn an_application_claims_for_its_units_by_an_operators_token_and_by_an_app_admins() {
    let guarded = Guarded::start();
    let mut operator = guarded.login("application-mysql", &guarded.here("eve", "operator"));
    assert_eq!(operator.claim("mysql/3", 60.0), Value::Null);
    assert_eq!(operator.claim("wordpress/0", 60.0), permission_denied(), "the tag bounds an operator too");
    let mut admin = guarded.login("application-gitlab", &guarded.here("gitlab", "app-admin"));
    admin.block("gitlab");
    assert_eq!(admin.next()["response"], json!({}), "nobody holds it");
    assert_eq!(admin.claim("gitlab/0", 60.0), Value::Null);
    assert_eq!(admin.claim("gitlab/0", 60.0), Value::Null, "and extends it");
    let held = json!({"message": "leadership claim denied", "code": "leadership claim denied"});
    assert_eq!(admin.claim("gitlab/1", 60.0), held, "for one of its units at a time");
    assert_eq!(admin.claim("wordpress/0", 60.0), permission_denied(), "another application's");
    for (application, unit) in [("gitlab", "wordpress-0"), ("wordpress", "gitlab-0")] {
        let claim = json!({"params": [{
            "application-tag": format!("application-{application}"), "unit-tag": format!("unit-{unit}"), "duration": 60.0,
        }]});
        let reply = admin.call("LeadershipService", 2, "ClaimLeadership", &claim);
        assert_eq!(reply["response"]["results"][0]["error"], permission_denied(), "{unit} of {application}");
    }
    admin.block("mysql");
    assert_eq!(admin.next()["response"]["error"], permission_denied());
    guarded.audited("its claim", |line| {
        line["who"] == "gitlab" && line["outcome"] == "granted" && line["holder"] == "gitlab/0"
    });
    // Its unit holds the lease: the same one that it has by its own token.
    let mut unit = guarded.login("unit-gitlab-0", &guarded.here("gitlab/0", "unit"));
    assert_eq!(unit.claim("gitlab/0", 60.0), Value::Null);
}

#[test]
fn machines_claim_by_one_token_and_pin_by_another() {
    let guarded = Guarded::start();
    let singular = json!({"namespace": format!("singular-controller:{MODEL}"), "lease": MODEL});
    let mut controller = guarded.login("machine-0", &guarded.token("machine-0", "unit", &singular).1);
    let mut other = guarded.login("machine-0", &guarded.here("machine-0", "app-admin"));
    let claim = json!({"claims": [{
        "entity-tag": format!("model-{MODEL}"), "claimant-tag": "machine-0", "duration": 60_000_000_000_u64,
    }]});
    let reply = controller.call("Singular", 2, "Claim", &claim);
    assert_eq!(reply["response"], json!({"results": [{}]}));
    let reply = other.call("Singular", 2, "Claim", &claim);
    let refused = json!({"error": reply["error"], "code": reply["error-code"]});
    assert_eq!(
        refused,
        json!({"error": "permission denied", "code": "unauthorized access"}),
        "it is not the controller's"
    );
    let entities = json!({"entities": [{"tag": format!("model-{MODEL}")}]});
    let reply = other.call("Singular", 2, "Wait", &entities);
    assert_eq!(reply["error"], "permission denied", "nor may it wait");

    let mut unit = guarded.login("unit-mysql-0", &guarded.here("mysql/0", "unit"));
    assert_eq!(unit.claim("mysql/0", 60.0), Value::Null);
    let reply = controller.call("UpgradeSeries", 1, "PinMachineApplications", &json!({}));
    assert_eq!(
        (&reply["error"], &reply["error-code"]),
        (&json!("permission denied"), &json!("unauthorized access"))
    );
    let named = json!({"applications": ["mysql"]});
    let reply = controller.call("UpgradeSeries", 1, "PinMachineApplications", &named);
    assert_eq!(reply["response"]["results"][0]["error"], permission_denied());
    let reply = other.call("UpgradeSeries", 1, "PinMachineApplications", &json!({}));
    assert_eq!(reply["response"], json!({"results": [{"application-name": "mysql"}]}));

    let mut reader = guarded.login("user-bob", &guarded.here("bob", "reader"));
    let reply = reader.call("LeadershipPinning", 1, "PinnedLeadership", &json!({}));
    assert_eq!(reply["response"], json!({"result": {"mysql": ["machine-0"]}}));
}

#[test]
fn a_claim_for_which_a_connection_has_no_room_is_written_down_and_a_wait_is_not() {
    let guarded = Guarded::start();
    let mut other = guarded.login("unit-mysql-1", &guarded.here("mysql/1", "unit"));
    assert_eq!(other.claim("mysql/1", 60.0), Value::Null);
    let mut unit = guarded.login("unit-mysql-0", &guarded.here("mysql/0", "unit"));
    (0..lease::JUJU_CALLS_MAX).for_each(|_| _ = unit.block("mysql"));
    unit.block("mysql");
    assert_eq!(unit.next()["error-code"], "try again");
    let claim = claim_params("mysql/0", 60.0);
    let reply = unit.call("LeadershipService", 2, "ClaimLeadership", &claim);
    assert_eq!(reply["error-code"], "try again", "{reply}");
    let is_it = |line: &Value| line["who"] == "mysql/0" && line["outcome"] == "overloaded";
    guarded.audited("the claim", |line| {
        is_it(line) && line["verb"] == "claim" && line["namespace"] == leadership(MODEL)
    });
    let text = fs::read_to_string(guarded.folder.path().join("audit.jsonl")).unwrap();
    let lines = text.lines().filter(|line| is_it(&serde_json::from_str(line).unwrap_or_default()));
    assert_eq!(lines.count(), 1, "{text}");
}

/// Another door may have pinned for a machine what this one would not.
#[test]
fn a_machine_unpins_what_is_no_applications_name_too_and_pins_no_such_thing() {
    let guarded = Guarded::start();
    let mut machine = guarded.login("machine-0", &guarded.here("machine-0", "app-admin"));
    let pin = |name: &str| {
        let pin = json!({"namespace": leadership(MODEL), "name": name, "entity": "machine-0", "why": "old"});
        assert_eq!(guarded.ask("POST /v1/pin", &pin.to_string()).status, 204, "{name}");
    };
    ["mysql", "Old One", "mysql/0"].into_iter().for_each(pin);
    let mut ask = |what: &str, params: Value| {
        machine.call("UpgradeSeries", 1, &format!("{what}MachineApplications"), &params)["response"].clone()
    };
    let refused = ask("Pin", json!({"applications": ["Old One"]}));
    let why = &refused["results"][0]["error"]["message"];
    assert_eq!(why, "cannot pin lease \"Old One\": not an application name");
    let done = |name: &str| json!({"application-name": name});
    let named = ask("Unpin", json!({"applications": ["mysql/0", "no/such"]}));
    assert_eq!(named, json!({"results": [done("mysql/0"), done("no/such")]}));
    // What is no name at all is no lease's, and is said so.
    let wrong = ask("Unpin", json!({"applications": [""]}));
    assert_eq!(wrong["results"][0]["application-name"], "", "{wrong}");
    assert!(wrong["results"][0]["error"]["message"].is_string(), "{wrong}");
    let rest = ask("Unpin", json!({}));
    assert_eq!(rest, json!({"results": [done("Old One"), done("mysql")]}));
    let mut reader = guarded.login("user-bob", &guarded.here("bob", "reader"));
    let pinned = reader.call("LeadershipPinning", 1, "PinnedLeadership", &json!({}));
    assert_eq!(pinned["response"], json!({"result": {}}));
}

#[test]
fn a_user_is_told_what_it_may() {
    let guarded = Guarded::start();
    let access = |path: &str, tag: &str, token: &str| {
        let reply = guarded.open(path).try_login(tag, token);
        let info = &reply["response"]["user-info"];
        [&info["controller-access"], &info["model-access"]].map(|it| it.as_str().unwrap().to_owned())
    };
    let model = model_path(MODEL);
    assert_eq!(access(&model, "user-bob", &guarded.here("bob", "reader")), ["login", "read"]);
    assert_eq!(access(&model, "user-eve", &guarded.here("eve", "app-admin")), ["login", "write"]);
    assert_eq!(access(&model, "user-admin", &guarded.admin), ["superuser", "admin"]);
    assert_eq!(access(CONTROLLER_PATH, "user-admin", &guarded.admin), ["superuser", ""]);
}

#[test]
fn a_token_that_is_revoked_ends_the_connection_that_it_opened() {
    let guarded = Guarded::start();
    let (id, token) = guarded.token("mysql/0", "unit", &json!({"namespace": leadership(MODEL)}));
    let mut unit = guarded.login("unit-mysql-0", &token);
    let mut other = guarded.login("unit-mysql-1", &guarded.here("mysql/1", "unit"));
    assert_eq!(unit.claim("mysql/0", 60.0), Value::Null);
    guarded.change(&json!({"revoke": {"id": id}}));
    assert_eq!(unit.rest(), (vec![], Some(1001)));
    assert!(!guarded.may_login(&model_path(MODEL), "unit-mysql-0", &token));
    other.ping();
    let reply = other.call("LeadershipService", 2, "ClaimLeadership", &claim_params("mysql/1", 60.0));
    let denied = &reply["response"]["results"][0]["error"]["message"];
    assert_eq!(denied, "leadership claim denied", "what it held stays held until its time is over");
}
