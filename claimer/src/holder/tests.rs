//! A holder's life against a scripted session, in time that only passes when everybody sleeps.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Holder, Room};
use crate::history::{Event, Nanos, What};
use crate::target::{Attempt, Granted, No, Seat, Session, Target};
use crate::workload::Pace;

/// What the session answers, call by call; when the script is over it never answers again.
type Script = Rc<RefCell<VecDeque<Step>>>;

enum Step {
    Connect(Result<(), &'static str>),
    Grant(u64),
    Free,
    No(No),
}

struct Scripted {
    script: Script,
    calls: Rc<RefCell<Vec<String>>>,
}

impl Scripted {
    async fn next(&mut self, call: String) -> Step {
        self.calls.borrow_mut().push(call);
        let step = self.script.borrow_mut().pop_front();
        match step {
            Some(step) => step,
            None => std::future::pending().await,
        }
    }

    async fn grant(&mut self, call: String) -> Result<Granted, No> {
        match self.next(call).await {
            Step::Grant(token) => Ok(Granted { token, until: Nanos(0) }),
            Step::No(no) => Err(no),
            _ => panic!("the script does not fit"),
        }
    }
}

impl Session for Scripted {
    async fn claim(&mut self, which: Attempt) -> Result<Granted, No> {
        self.grant(format!("claim {which:?}")).await
    }

    async fn extend(&mut self, token: u64) -> Result<Granted, No> {
        self.grant(format!("extend {token}")).await
    }

    async fn wait(&mut self, after: Option<u64>) -> Result<(), No> {
        match self.next(format!("wait {after:?}")).await {
            Step::Free => Ok(()),
            Step::No(no) => Err(no),
            _ => panic!("the script does not fit"),
        }
    }
}

impl Target for Scripted {
    type Session = Scripted;

    async fn connect(&self, _: &Seat) -> Result<Scripted, String> {
        match self.script.borrow_mut().pop_front() {
            Some(Step::Connect(Ok(()))) => {
                Ok(Scripted { script: self.script.clone(), calls: self.calls.clone() })
            }
            Some(Step::Connect(Err(why))) => Err(why.to_owned()),
            _ => panic!("the script does not fit"),
        }
    }
}

/// Time as tokio's paused clock tells it: nothing here reads the machine's.
fn now() -> Nanos {
    thread_local!(static ZERO: Cell<Option<tokio::time::Instant>> = const { Cell::new(None) });
    let instant = tokio::time::Instant::now();
    let zero = ZERO.get().unwrap_or(instant);
    ZERO.set(Some(zero));
    Nanos(u64::try_from(instant.duration_since(zero).as_nanos()).unwrap_or(u64::MAX))
}

/// Runs a script for ten minutes of paused time: the calls made, and what was seen when, in milliseconds.
fn run(steps: Vec<Step>) -> (Vec<String>, Vec<(u64, What)>) {
    let script = Rc::new(RefCell::new(VecDeque::from(steps)));
    let (calls, seen) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
    let log = seen.clone();
    let room = Rc::new(Room {
        target: Scripted { script, calls: calls.clone() },
        pace: Pace {
            claim_time: Duration::from_secs(60),
            renew_time: Duration::from_secs(30),
            sleep: Duration::ZERO,
            ramp: Duration::ZERO,
            duration: None,
            scale: 1.0,
        },
        connecting: Semaphore::new(1),
        now,
        sink: Box::new(move |event: Event| log.borrow_mut().push((event.at.0 / 1_000_000, event.what))),
        pid: 1,
        opened: Cell::new(0),
    });
    let seat =
        Seat { number: 0, holder: "a/0".into(), endpoint: "h:1".into(), lease: "a".into(), ttl_ms: 60_000 };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let life = Holder::new(seat, room).live();
        let _ = tokio::time::timeout(Duration::from_secs(600), life).await;
    });
    (calls.take(), seen.take())
}

fn held(after: u64) -> Step {
    Step::No(No::Held { after: Some(after) })
}

fn why() -> String {
    "why".to_owned()
}

const UP: Step = Step::Connect(Ok(()));

#[test]
fn a_grant_is_extended_after_each_renewtime() {
    let (calls, seen) = run(vec![UP, Step::Grant(7), Step::Grant(7), Step::Grant(7)]);
    assert_eq!(calls, ["claim New", "extend 7", "extend 7", "extend 7"]);
    assert!(matches!(seen[1], (0, What::Claimed { token: 7, .. })));
    assert!(matches!(seen[2], (30_000, What::Extended { held, .. }) if held == Duration::from_secs(30)));
    assert!(matches!(seen[3], (60_000, What::Extended { held, .. }) if held == Duration::from_secs(60)));
}

#[test]
fn a_refused_claim_waits_from_the_refusals_revision_and_then_claims_at_once() {
    let (calls, seen) = run(vec![UP, held(41), Step::Free, Step::Grant(8)]);
    assert_eq!(calls[..3], ["claim New", "wait Some(41)", "claim New"]);
    assert!(matches!(
        seen[1..4],
        [(0, What::Denied { .. }), (0, What::Waited { .. }), (0, What::Claimed { .. })]
    ));
}

#[test]
fn what_was_surely_not_done_is_tried_again_when_the_server_says() {
    let again = No::Again { after: Some(Duration::from_millis(700)), why: why() };
    let (calls, seen) = run(vec![UP, Step::No(again), Step::Grant(7)]);
    assert_eq!(calls[..2], ["claim New", "claim New"]);
    assert!(matches!(seen[2], (700, What::Claimed { .. })));
}

#[test]
fn a_claim_of_unknown_outcome_is_repeated_under_its_number() {
    let (calls, seen) = run(vec![UP, Step::No(No::Unknown { why: why() }), Step::Grant(7)]);
    assert_eq!(calls[..2], ["claim New", "claim Repeat"]);
    assert!(matches!(seen[1], (0, What::TimedOut { .. })));
}

#[test]
fn a_lost_lease_is_told_and_claimed_anew() {
    let (calls, seen) = run(vec![UP, Step::Grant(7), Step::No(No::Lost), Step::Grant(9)]);
    assert_eq!(calls[..3], ["claim New", "extend 7", "claim New"]);
    assert!(matches!(seen[2], (30_000, What::Lost { held, .. }) if held == Duration::from_secs(30)));
}

#[test]
fn a_broken_connection_is_opened_again_and_the_grant_goes_on() {
    let gone = Step::No(No::Gone { why: why() });
    let (calls, seen) =
        run(vec![UP, Step::Grant(7), gone, Step::Connect(Err("refused")), UP, Step::Grant(7)]);
    assert_eq!(calls[..3], ["claim New", "extend 7", "extend 7"]);
    let connected: Vec<u32> = seen
        .iter()
        .filter_map(|(_, what)| match what {
            What::Connected { number, .. } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(connected, [1, 2]);
    assert!(seen.iter().any(|(_, what)| matches!(what, What::ConnectFailed { why, .. } if why == "refused")));
    assert!(!seen.iter().any(|(_, what)| matches!(what, What::Lost { .. })), "nothing was lost: {seen:?}");
}

#[test]
fn failures_in_a_row_slow_down() {
    let again = || Step::No(No::Again { after: None, why: why() });
    let (_, seen) = run(vec![UP, again(), again(), again(), again(), again(), again(), again()]);
    let at: Vec<u64> = seen.iter().map(|(at, _)| *at).collect();
    let pauses: Vec<u64> = at[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] >= 25 && *pauses.last().unwrap() >= 500, "{pauses:?}");
}

#[test]
fn only_a_call_that_can_never_be_right_ends_a_life() {
    let (calls, seen) = run(vec![UP, Step::No(No::Wrong { why: why() }), Step::Grant(7)]);
    assert_eq!(calls, ["claim New"]);
    assert!(matches!(&seen[1], (0, What::Wrong { why }) if why == "why"));
}
