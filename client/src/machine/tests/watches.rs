//! Watches: each event once and in order, over any number of links.

use api::{Call, Code, Reply};

use super::rig::*;
use crate::machine::{Done, Input, OpId};
use crate::{Failure, Unavailable};

fn watching(revision: u64) -> Reply {
    Reply::Watching(api::Watching { revision })
}

fn after(call: &Call) -> Option<u64> {
    let Call::Watch(watch) = call else { panic!("{call:?} is no watch") };
    watch.after
}

// A watch that began at revision 10 on the first link; with its frame.
fn begun(endpoints: usize) -> (Rig, OpId, u64) {
    let mut rig = Rig::connected(endpoints);
    rig.opens();
    let op = rig.ask(watch(None), 5_000);
    let (link, frame, call) = rig.sent_one();
    assert_eq!(after(&call), None);
    rig.answer(link, frame, watching(10));
    assert_eq!(rig.result(op), Some(Ok(Done::Reply(watching(10)))));
    (rig, op, frame)
}

#[test]
fn events_are_told_in_order_and_it_has_no_deadline_once_it_has_begun() {
    let (mut rig, op, frame) = begun(2);
    rig.push(1, frame, [11, 12]);
    assert!(rig.at(19_000).opens().is_empty() && rig.sent().is_empty());
    rig.push(1, frame, [13]);
    assert_eq!(rig.told(op), [11, 12, 13]);
    assert_eq!(rig.watch_over(op), None);
}

#[test]
fn over_the_next_link_it_goes_on_after_the_last_that_was_seen_and_tells_none_twice() {
    let (mut rig, op, frame) = begun(1);
    rig.push(1, frame, [11, 12]);
    rig.at(1_000).lose(1);
    rig.at(2_000).reopen();
    let (link, frame, call) = rig.sent_one();
    assert_eq!(after(&call), Some(12));
    rig.answer(link, frame, watching(12));
    rig.push(link, frame, [12, 13, 14]);
    assert_eq!(rig.told(op), [11, 12, 13, 14]);
    assert_eq!(rig.result(op), Some(Ok(Done::Reply(watching(10)))), "it has begun once");
}

#[test]
fn before_anything_was_seen_it_goes_on_from_where_it_began() {
    let (mut rig, _, _) = begun(1);
    rig.lose(1);
    rig.at(1_000).reopen();
    assert_eq!(after(&rig.sent_one().2), Some(10));
}

#[test]
fn a_link_that_was_left_tells_nothing_more() {
    let (mut rig, op, frame) = begun(2);
    rig.ask(claim(12_000), 8_000);
    rig.sent();
    rig.at(2_000).reopen();
    let sent = rig.sent();
    let (link, again, call) =
        sent.iter().find(|(_, _, call)| matches!(call, Call::Watch(_))).cloned().unwrap();
    assert_eq!(after(&call), Some(10));
    rig.push(1, frame, [11, 12]);
    assert!(rig.told(op).is_empty());
    rig.push(link, again, [11, 12]);
    rig.push(1, again, [13]);
    assert_eq!(rig.told(op), [11, 12]);
}

#[test]
fn compacted_ends_it_with_that_problem() {
    let (mut rig, op, _) = begun(1);
    rig.lose(1);
    rig.at(1_000).reopen();
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, no(Code::Compacted));
    assert!(matches!(rig.watch_over(op), Some(Failure::Refused(problem)) if problem.code == Code::Compacted));
    assert!(rig.at(60_000).sent().is_empty());
}

#[test]
fn a_member_that_is_behind_is_left_for_another() {
    let (mut rig, op, frame) = begun(2);
    rig.answer(1, frame, no(Code::Behind));
    rig.at(500).reopen();
    let (link, _, call) = rig.sent_one();
    assert!(link != 1 && after(&call) == Some(10));
    assert_eq!(rig.watch_over(op), None);
}

#[test]
fn one_that_cannot_begin_in_time_or_at_all_is_no_watch() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(watch(Some(3)), 1_000);
    rig.sent_one();
    assert!(matches!(rig.at(1_000).unavailable(op), Unavailable::Unanswered { .. }));
    let op = rig.ask(watch(Some(3)), 1_000);
    let refused = rig.sent().into_iter().find(|(_, _, call)| matches!(call, Call::Watch(_))).unwrap();
    rig.answer(refused.0, refused.1, no(Code::IndexAhead));
    assert!(matches!(rig.failure(op), Failure::Refused(problem) if problem.code == Code::IndexAhead));
    assert_eq!(rig.watch_over(op), None);
}

#[test]
fn one_that_nobody_reads_any_more_is_cancelled() {
    let (mut rig, op, frame) = begun(1);
    rig.input(Input::Abandon { op });
    assert!(matches!(rig.sent_one().2, Call::Cancel(cancel) if cancel.id == frame));
    rig.push(1, frame, [11]);
    assert!(rig.told(op).is_empty() && rig.watch_over(op).is_none());
}

#[test]
fn the_sessions_end_is_told() {
    let (mut rig, op, _) = begun(1);
    rig.input(Input::Close);
    assert_eq!(rig.watch_over(op), Some(Failure::Unavailable(Unavailable::Closed)));
}
