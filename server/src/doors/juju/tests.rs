//! The door in front of a stand-in for the replica: of one that says no, that does not know, that says nothing.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lease::{Outcome, Refusal};
use replica::{Answer, Reading, Unavailable};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::*;
use crate::admission::Gate;
use crate::doors::doorstep::Doorstep;
use crate::doors::{Going, Registry, Times, listen, origin, router};
use crate::service::Service;
use crate::service::fake::Fake;

const MODEL: &str = "a9b1c2d3-0000-4000-8000-00000000000a";
const PATIENCE: Duration = Duration::from_secs(20);

struct Member {
    _runtime: Runtime,
    _stop: tokio::sync::watch::Sender<bool>,
    address: SocketAddr,
    fake: Arc<Fake>,
    sessions: Arc<Registry>,
}

impl Member {
    fn start() -> Member {
        let fake = Arc::new(Fake::new());
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let second = Duration::from_secs(1);
        let times = Times {
            ping_every: 20 * second,
            dead_after: 40 * second,
            stall_after: 10 * second,
            going_for: second,
        };
        let config = crate::Config::of_text("juju.enabled = true\njuju.agent_ratelimit_max = 0\n").unwrap();
        let sessions = Arc::new(Registry::default());
        let doors = Doors {
            service: Arc::new(Service::new(Arc::clone(&fake) as _, 7, 1)),
            sessions: Arc::clone(&sessions),
            times,
            juju: Hall::open(&config.juju),
            stop: stopping.clone(),
        };
        let runtime = Runtime::new().unwrap();
        let listener =
            runtime.block_on(async { listen::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap() });
        let address = listener.local_addr().unwrap();
        let doorstep = Doorstep::new(Gate::new(10), None, Arc::clone(&doors.service), &doors.times);
        runtime.spawn(listen::accept(listener, router(doors, origin::Names::Loopback), doorstep, stopping));
        Member { _runtime: runtime, _stop: stop, address, fake, sessions }
    }

    /// A unit's agent.
    fn unit(&self, unit: &str) -> Agent {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{}/model/{MODEL}/api", self.address);
        let mut agent = Agent(tungstenite::client::client(url, stream).unwrap().0);
        let tag = format!("unit-{}", unit.replace('/', "-"));
        agent.send(1, "Admin", 3, "Login", &json!({"auth-tag": tag}));
        assert!(agent.next()["error"].is_null());
        agent
    }
}

struct Agent(WebSocket<TcpStream>);

impl Agent {
    fn send(&mut self, id: u64, facade: &str, version: u64, method: &str, params: &Value) {
        let request = json!({"request-id": id, "type": facade, "version": version, "request": method, "params": params});
        self.0.send(Message::text(request.to_string())).unwrap();
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(self.0.read().unwrap().to_text().unwrap()).unwrap()
    }

    /// The code that the connection is closed with.
    fn goodbye(&mut self) -> u16 {
        match self.0.read().unwrap() {
            Message::Close(Some(close)) => close.code.into(),
            other => panic!("no goodbye: {other:?}"),
        }
    }

    fn send_claim(&mut self, id: u64, unit: &str) {
        let application = tags::application_of(unit);
        let params = json!({"params": [{
            "application-tag": format!("application-{application}"),
            "unit-tag": format!("unit-{}", unit.replace('/', "-")),
            "duration": 60,
        }]});
        self.send(id, "LeadershipService", 2, "ClaimLeadership", &params);
    }

    /// The message and the code that a claim fails with; empty where it does not.
    fn claim(&mut self, unit: &str) -> (String, String) {
        self.send_claim(2, unit);
        failure(&self.next())
    }
}

/// What a connection costs beside its socket's own: two allocations, of which neither may grow unseen. 2,000 of them under TLS took 7.5 KiB
/// each, and 9.5 KiB with a wait.
#[test]
fn an_idle_connection_is_small() {
    let sizes = (size_of::<connection::Connection>(), size_of::<Line>());
    assert!(sizes.0 <= 1_024 && sizes.1 <= 512, "{sizes:?}");
}

fn failure(reply: &Value) -> (String, String) {
    let error = &reply["response"]["results"][0]["error"];
    let of = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    (of("message"), of("code"))
}

fn told(message: &str, code: &str) -> (String, String) {
    (message.to_owned(), code.to_owned())
}

fn refused(refusal: Refusal) -> Answer {
    Answer::Decided { outcome: Outcome::Refused(refusal), at: Reading::default() }
}

#[test]
fn what_a_member_cannot_do_is_said_in_jujus_words_and_it_goes_on() {
    let member = Member::start();
    let mut agent = member.unit("mysql/0");
    let timed_out = told("lease operation timed out", "");
    let denied = told("leadership claim denied", "leadership claim denied");
    let cases = [
        (Answer::Unknown, &timed_out),
        (Answer::Unavailable(Unavailable::NoLeader), &timed_out),
        (Answer::Unavailable(Unavailable::Behind), &timed_out),
        (Answer::Unavailable(Unavailable::Stopping), &told("lease manager stopped", "")),
        (
            Answer::Unavailable(Unavailable::Overloaded { retry_after: lease::Ttl::from_millis(9) }),
            &told("try again", "try again"),
        ),
        (Answer::Queued { at: Reading::default() }, &denied),
        (refused(Refusal::Cooldown { holder: None, remaining: lease::Ttl::from_millis(9) }), &denied),
        (refused(Refusal::Ending { deadline: lease::Time::from_nanos(1) }), &denied),
        (
            refused(Refusal::Ttl { ttl: lease::TTL_MAX, min: lease::TTL_MIN, max: lease::TTL_MIN }),
            &told("invalid duration", ""),
        ),
    ];
    for (answer, expected) in cases {
        member.fake.answer_next(answer);
        assert_eq!(&agent.claim("mysql/0"), expected);
    }
    // Ten in a row change nothing either.
    for (answer, expected) in
        [(Answer::Unknown, &timed_out), (Answer::Queued { at: Reading::default() }, &denied)]
    {
        for _ in 0..10 {
            member.fake.answer_next(answer.clone());
            assert_eq!(&agent.claim("mysql/0"), expected);
        }
    }
    assert_eq!(agent.claim("mysql/0"), told("", ""));
}

#[test]
fn a_claim_that_was_overtaken_is_made_anew_from_what_is_there_now() {
    let member = Member::start();
    let mut agent = member.unit("mysql/0");
    for refusal in [Refusal::Late, Refusal::Lost { end: None }] {
        member.fake.answer_next(refused(refusal));
        assert_eq!(agent.claim("mysql/0"), told("", ""), "the second try is granted");
    }
}

// One claim for each connection stays unanswered, as long as a member has to answer it; nothing else waits for that.
#[test]
fn a_slow_claim_delays_no_other_call_and_is_answered_in_the_end() {
    let member = Member::start();
    let mut agents = ["mysql/0", "mysql/1"].map(|unit| (unit, member.unit(unit)));
    member.fake.fall_silent();
    for (unit, agent) in &mut agents {
        agent.send_claim(7, unit);
        agent.send(8, "Pinger", 1, "Ping", &json!({}));
        assert_eq!(agent.next(), json!({"request-id": 8, "response": {}}));
    }
    for (_, agent) in &mut agents {
        let reply = agent.next();
        assert_eq!(
            (&reply["request-id"], failure(&reply)),
            (&json!(7), told("lease operation timed out", ""))
        );
        agent.send(9, "Pinger", 1, "Ping", &json!({}));
        assert_eq!(agent.next(), json!({"request-id": 9, "response": {}}));
    }
    assert_eq!(member.fake.kept().len(), 2, "a claim that may have been made is not made again");
}

#[test]
fn a_member_that_stops_answers_what_is_under_way_before_it_says_goodbye() {
    let member = Member::start();
    let (mut claims, mut idle) = (member.unit("mysql/0"), member.unit("mysql/1"));
    member.fake.fall_silent();
    claims.send_claim(7, "mysql/0");
    let asked = loop {
        match member.fake.kept().pop() {
            Some(proposal) => break proposal,
            None => std::thread::yield_now(),
        }
    };
    let going = Going::Must("the test ends".into());
    member.sessions.go(&going, going.clone());
    assert_eq!(idle.goodbye(), 1001, "nothing of it is under way");
    (asked.reply)(Answer::Unknown);
    assert_eq!(failure(&claims.next()), told("lease operation timed out", ""));
    assert_eq!(claims.goodbye(), 1001);
}
