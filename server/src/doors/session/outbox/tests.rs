//! Each call is answered once, quotas hold, and nothing stays behind.

use std::time::Duration;

use api::Reply;

use super::*;
use crate::service::Service;
use crate::service::fake::Fake;

fn done() -> Done {
    Done::Reply(Reply::Cancelled)
}

#[test]
fn a_call_is_answered_once() {
    let outbox = Outbox::new();
    let ticket = outbox.begin(7, Kind::Read, None).unwrap();
    outbox.finish(7, ticket, done());
    outbox.finish(7, ticket, done());
    assert!(outbox.pop().is_some());
    assert!(outbox.pop().is_none());
}

#[test]
fn a_late_answer_does_not_answer_a_later_call_of_the_same_number() {
    let outbox = Outbox::new();
    let now = Instant::now();
    let early = outbox.begin(7, Kind::Command { steps: 1 }, Some(now)).unwrap();
    let (over, next) = outbox.overdue(now);
    assert!(matches!(over.as_slice(), [Overdue { id: 7, what: Unanswered::Call { is_command: true } }]));
    assert_eq!(next, None);
    let again = outbox.begin(7, Kind::Command { steps: 1 }, None).unwrap();
    outbox.finish(7, early, done());
    assert!(outbox.pop().is_none(), "the first call's answer is nobody's by now");
    outbox.finish(7, again, done());
    assert!(outbox.pop().is_some());
}

#[test]
fn a_number_in_flight_is_refused_and_answers_come_in_any_order() {
    let outbox = Outbox::new();
    let tickets: Vec<u64> = [5, 1, 3].map(|id| outbox.begin(id, Kind::Read, None).unwrap()).to_vec();
    let problem = outbox.begin(3, Kind::Read, None).unwrap_err();
    assert_eq!((problem.code, problem.field.as_deref()), (Code::BadRequest, Some("id")));
    outbox.finish(3, tickets[2], done());
    outbox.finish(5, tickets[0], done());
    assert!(!outbox.is_idle());
    outbox.finish(1, tickets[1], done());
    let order: Vec<u64> = std::iter::from_fn(|| outbox.pop()).map(|(id, _)| id).collect();
    assert_eq!(order, [3, 5, 1]);
    assert!(outbox.is_idle());
}

/// The 10,001st wait.
#[test]
fn quotas_are_named_and_freed() {
    let outbox = Outbox::new();
    for id in 0..SESSION_WAITS_MAX as u64 {
        outbox.begin(id, Kind::Wait, None).unwrap();
    }
    let problem = outbox.begin(90_000, Kind::Wait, None).unwrap_err();
    assert_eq!(problem.code, Code::Overloaded);
    assert!(problem.message.contains("10000 waits"), "{}", problem.message);
    assert!(problem.retry_after_ms.is_some());
    // Waits do not count as calls, and one given up makes room.
    let call = outbox.begin(90_001, Kind::Command { steps: SESSION_STEPS_MAX }, None).unwrap();
    assert!(
        outbox.begin(90_002, Kind::Command { steps: 1 }, None).unwrap_err().message.contains("40000 steps")
    );
    outbox.finish(90_001, call, done());
    outbox.begin(90_002, Kind::Command { steps: 1 }, None).unwrap();
    assert!(outbox.cancel(17).is_some());
    assert!(outbox.cancel(17).is_none());
    assert!(outbox.cancel(90_002).is_none(), "only waits can be given up");
    outbox.begin(90_000, Kind::Wait, None).unwrap();
    assert!(!outbox.is_idle(), "a command is in flight");
}

#[test]
fn the_next_due_time_is_the_earliest() {
    let outbox = Outbox::new();
    let now = Instant::now();
    let at = |millis| Some(now + Duration::from_millis(millis));
    outbox.begin(1, Kind::Read, at(30)).unwrap();
    outbox.begin(2, Kind::Wait, None).unwrap();
    outbox.begin(3, Kind::Read, at(10)).unwrap();
    let (over, next) = outbox.overdue(now + Duration::from_millis(9));
    assert!(over.is_empty());
    assert_eq!(next, at(10));
    let (over, next) = outbox.overdue(now + Duration::from_millis(10));
    assert_eq!(over.iter().map(|over| over.id).collect::<Vec<_>>(), [3]);
    assert_eq!(next, at(30));
}

#[test]
fn reads_are_few_and_a_wake_without_a_watch_is_nothing() {
    let outbox = Outbox::new();
    let tickets: Vec<u64> =
        (0..SESSION_READS_MAX as u64).map(|id| outbox.begin(id, Kind::Read, None).unwrap()).collect();
    assert_eq!(outbox.begin(1_000, Kind::Read, None).unwrap_err().code, Code::Overloaded);
    outbox.finish(0, tickets[0], done());
    outbox.begin(1_000, Kind::Read, None).unwrap();
    outbox.begin(1_001, Kind::Watch, None).unwrap();
    outbox.ready(1_001);
    outbox.ready(1_001);
    assert!(outbox.pop_ready().is_none(), "a wake without a watch is of one that has ended");
}

#[test]
fn an_emptied_session_is_small_again() {
    let outbox = Outbox::new();
    let tickets: Vec<u64> =
        (0..1_000).map(|id| outbox.begin(id, Kind::Command { steps: 1 }, None).unwrap()).collect();
    for (id, ticket) in tickets.into_iter().enumerate() {
        outbox.finish(id as u64, ticket, done());
    }
    while outbox.pop().is_some() {}
    let inner = outbox.inner();
    assert_eq!((inner.flights.capacity(), inner.finished.capacity()), (0, 0));
}

/// A service whose replica says nothing.
fn mute() -> Arc<Service> {
    let fake = Arc::new(Fake::new());
    fake.fall_silent();
    Arc::new(Service::new(fake, 7, 1))
}

fn acquire(service: &Arc<Service>) -> Waiting {
    let [namespace, name, holder] = ["default", "a", "h"].map(str::to_owned);
    let acquire = api::Acquire { namespace, name, holder, ..Default::default() };
    service.acquire(&crate::identity::Caller::anyone(), acquire, |_| {}).unwrap().0
}

/// A grant may be on its way to it: it stays in the books until that is known, or for so long.
#[test]
fn an_acquire_that_lasts_too_long_is_given_up_once_and_answered_yet() {
    let (service, outbox, now) = (mute(), Outbox::new(), Instant::now());
    for id in [1, 2] {
        let ticket = outbox.begin(id, Kind::Wait, None).unwrap();
        outbox.attach(id, ticket, acquire(&service), Some(now));
        let (over, next) = outbox.overdue(now);
        assert!(matches!(over.as_slice(), [Overdue { what: Unanswered::Wait(_), .. }]));
        assert_eq!(next, Some(now + TURN_SLACK));
        if id == 1 {
            outbox.finish(id, ticket, done());
            assert!(outbox.pop().is_some(), "its answer came");
        }
    }
    let (over, next) = outbox.overdue(now + TURN_SLACK);
    assert!(matches!(over.as_slice(), [Overdue { id: 2, what: Unanswered::GivenUp }]));
    assert_eq!(next, None);
}

/// Nobody is told that a claim which may be on its way surely is not.
#[test]
fn of_waits_that_end_for_good_acquires_are_given_up_and_answered_yet() {
    let (service, outbox, now) = (mute(), Outbox::new(), Instant::now());
    for id in [1, 2] {
        let ticket = outbox.begin(id, Kind::Wait, None).unwrap();
        outbox.attach(id, ticket, acquire(&service), None);
    }
    assert!(outbox.is_idle(), "nobody waits for those who wait");
    assert_eq!(outbox.give_up_acquires(now + TURN_SLACK).len(), 2);
    assert!(outbox.cancel_all().is_empty(), "they are not taken out");
    assert!(!outbox.is_idle(), "they are waited for");
    let (over, next) = outbox.overdue(now);
    assert!(over.is_empty() && next == Some(now + TURN_SLACK));
    let (over, _) = outbox.overdue(now + TURN_SLACK);
    assert!(over.iter().all(|over| matches!(over.what, Unanswered::GivenUp)) && over.len() == 2);
    // Of a session that only moves, both go at once: they are acquired again, under the same number.
    let ticket = outbox.begin(3, Kind::Wait, None).unwrap();
    outbox.attach(3, ticket, acquire(&service), None);
    assert_eq!(outbox.cancel_all().len(), 1);
    assert!(outbox.is_idle());
}

#[test]
fn who_must_go_is_not_told_instead_that_they_may_stay() {
    let outbox = Outbox::new();
    outbox.go(&Going::NoMore);
    outbox.go(&Going::Should("this member drains".into()));
    assert_eq!(outbox.take_going(), Some(Going::NoMore));
    outbox.go(&Going::Should("this member drains".into()));
    outbox.go(&Going::Must("this member is stopping".into()));
    assert!(matches!(outbox.take_going(), Some(Going::Must(_))));
    assert_eq!(outbox.take_going(), None);
}
