//! Acquires: in line over any number of links, confirmed before they are believed, cancelled when nobody waits.

use api::{Call, Code};

use super::rig::*;
use crate::Failure;
use crate::machine::{End, Input, OpId};

fn number(call: &Call) -> (Option<u64>, Option<u64>) {
    match call {
        Call::Acquire(acquire) => (acquire.instance, acquire.seq),
        Call::Claim(claim) => (claim.instance, claim.seq),
        call => panic!("{call:?} has no number"),
    }
}

// An acquire that was granted token 5 at 30 s, unconfirmed; with the frame that confirms it.
fn confirming(value: Option<&str>) -> (Rig, OpId, (u64, u64, Call)) {
    let mut rig = Rig::connected(1);
    let op = rig.ask(acquire(value), 62_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(20_000);
    rig.input(Input::Heard { link: crate::machine::LinkId(link) });
    rig.at(30_000).answer(link, frame, unconfirmed(5));
    assert!(!rig.is_held() && rig.result(op).is_none(), "not yet to be believed");
    let sent = rig.sent_one();
    (rig, op, sent)
}

#[test]
fn a_free_lease_is_granted_as_to_a_claim() {
    let mut rig = Rig::connected(1);
    let op = rig.at(100).ask(acquire(None), 62_000);
    let (link, frame, call) = rig.sent_one();
    assert_eq!(number(&call), (Some(INSTANCE), Some(1)));
    rig.at(150).answer(link, frame, granted(5, 12_000));
    assert_eq!(rig.granted_until(op), Some(100 + 11_762));
    assert!(rig.is_held() && rig.sent().is_empty());
}

#[test]
fn what_came_by_waiting_is_confirmed_by_an_extend_and_believed_from_when_that_left() {
    let (mut rig, op, (link, frame, call)) = confirming(None);
    assert!(matches!(call, Call::Extend(extend)
        if extend.token == 5 && extend.instance == Some(INSTANCE) && extend.ttl_ms == Some(12_000)));
    rig.at(30_100).answer(link, frame, granted(5, 12_000));
    assert_eq!(rig.granted_until(op), Some(30_000 + 11_762));
    assert!(rig.is_held());
}

#[test]
fn an_acquire_with_a_value_is_confirmed_by_a_claim_that_sets_it() {
    let (mut rig, op, (link, frame, call)) = confirming(Some("10.0.0.1"));
    assert_eq!(number(&call), (Some(INSTANCE), Some(2)));
    assert!(matches!(call, Call::Claim(claim) if claim.value.as_deref() == Some("10.0.0.1")));
    rig.at(30_100).answer(link, frame, granted(5, 12_000));
    assert_eq!(rig.granted_until(op), Some(30_000 + 11_762));
}

#[test]
fn a_confirmation_that_came_too_late_puts_the_acquire_back_in_line_under_a_new_number() {
    for code in [Code::Lost, Code::StaleToken, Code::Held] {
        let (mut rig, op, (link, frame, _)) = confirming(None);
        rig.at(31_000).answer(link, frame, no(code));
        assert!(!rig.is_held() && rig.result(op).is_none());
        let (link, frame, call) = rig.sent_one();
        assert_eq!(number(&call), (Some(INSTANCE), Some(2)), "{code}");
        let Call::Acquire(acquire) = call else { panic!() };
        assert_eq!(acquire.timeout_ms, Some(29_000), "within its own time");
        rig.at(34_000).answer(link, frame, unconfirmed(7));
        let (link, frame, _) = rig.sent_one();
        rig.answer(link, frame, granted(7, 12_000));
        assert_eq!(rig.granted_until(op), Some(34_000 + 11_762));
    }
}

#[test]
fn a_confirmation_that_is_refused_for_another_reason_ends_the_acquire_and_is_released() {
    let (mut rig, op, (link, frame, _)) = confirming(None);
    rig.answer(link, frame, no(Code::Full));
    assert!(matches!(rig.failure(op), Failure::Refused(problem) if problem.code == Code::Full));
    assert!(matches!(rig.sent_one().2, Call::Release(release) if release.token == 5));
}

#[test]
fn a_confirmation_is_sent_through_another_endpoint_while_there_is_time() {
    let mut rig = Rig::connected(2);
    let op = rig.ask(acquire(None), 62_000);
    let (link, frame, _) = rig.sent_one();
    rig.opens();
    rig.at(1_000).answer(link, frame, unconfirmed(5));
    rig.sent_one();
    assert!(rig.at(1_666).opens().is_empty(), "a third of the 2 s that it has");
    let (link, _) = rig.at(1_667).opens()[0];
    rig.input(Input::Opened { link });
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Extend(_)));
    rig.at(1_700).answer(link, frame, granted(5, 12_000));
    assert_eq!(rig.granted_until(op), Some(1_667 + 11_762));
}

#[test]
fn a_confirmation_whose_answer_is_older_than_its_hold_is_made_again() {
    let (mut rig, op, (link, frame, _)) = confirming(None);
    for ms in [31_000, 32_000, 40_000] {
        rig.at(ms);
        rig.input(Input::Heard { link: crate::machine::LinkId(link) });
    }
    rig.at(41_762).answer(link, frame, granted(5, 12_000));
    assert!(rig.result(op).is_none() && !rig.is_held());
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Extend(extend) if extend.token == 5));
    rig.at(41_800).answer(link, frame, granted(5, 12_000));
    assert_eq!(rig.granted_until(op), Some(41_762 + 11_762));
}

#[test]
fn it_waits_without_patience_and_is_sent_again_with_its_number_through_the_next_link() {
    let mut rig = Rig::connected(2);
    let op = rig.ask(acquire(None), 3_600_000);
    let (first, _, call) = rig.sent_one();
    rig.opens();
    assert!(rig.at(15_000).opens().is_empty() && rig.sent().is_empty(), "to wait is its nature");
    rig.lose(first);
    rig.at(16_000).reopen();
    let (link, frame, again) = rig.sent_one();
    assert_eq!(number(&call), number(&again));
    rig.answer(link, frame, unconfirmed(5));
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(5, 12_000));
    assert!(rig.granted_until(op).is_some());
}

#[test]
fn it_stands_on_a_new_link_before_the_old_one_is_closed_and_an_old_answer_counts() {
    let mut rig = Rig::connected(2);
    let op = rig.ask(acquire(None), 3_600_000);
    let (old, old_frame, _) = rig.sent_one();
    let going = api::Going { why: "draining".to_owned(), reconnect_after_ms: 100 };
    let frame = api::ServerFrame::push(api::Push::Going(going));
    rig.input(Input::Answer { link: crate::machine::LinkId(old), frame });
    rig.at(100).reopen();
    let (new, new_frame, call) = rig.sent_one();
    assert!(new != old && matches!(call, Call::Acquire(_)));
    rig.answer(old, old_frame, granted(5, 12_000));
    assert!(rig.granted_until(op).is_some());
    let (on, _, call) = rig.sent_one();
    assert!(on == new && matches!(call, Call::Cancel(cancel) if cancel.id == new_frame));
}

#[test]
fn refusals_end_it_and_what_members_cannot_do_is_tried_again() {
    for code in [Code::StillHeld, Code::Full, Code::BadTtl, Code::BadName, Code::Unauthenticated] {
        let mut rig = Rig::connected(1);
        let op = rig.ask(acquire(None), 62_000);
        let (link, frame, _) = rig.sent_one();
        rig.answer(link, frame, no(code));
        assert!(matches!(rig.failure(op), Failure::Refused(problem) if problem.code == code));
        assert!(rig.at(60_000).sent().is_empty(), "nothing is in doubt");
    }
    for code in [Code::Overloaded, Code::NoLeader, Code::Stopping, Code::Behind] {
        let mut rig = Rig::connected(1);
        rig.ask(acquire(None), 62_000);
        let (link, frame, call) = rig.sent_one();
        rig.answer(link, frame, no(code));
        let (_, _, again) = rig.at(500).sent_one();
        assert_eq!(number(&call), number(&again), "{code}");
    }
}

#[test]
fn late_is_surely_not_done_and_asked_again_under_a_new_number() {
    let mut rig = Rig::connected(1);
    rig.ask(acquire(None), 62_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, no(Code::Late));
    assert_eq!(number(&rig.sent_one().2).1, Some(2));
}

#[test]
fn still_held_is_sure_once_no_attempt_before_can_have_won() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(acquire(None), 62_000);
    let (first, _, _) = rig.sent_one();
    rig.at(10_000).lose(first);
    rig.at(11_000).reopen();
    let (link, frame, _) = rig.sent_one();
    rig.at(20_000);
    rig.input(Input::Heard { link: crate::machine::LinkId(link) });
    rig.at(30_000).answer(link, frame, no(Code::StillHeld));
    // The attempt before may have won until 16.5 s: asked once more, the cluster answers for it too.
    assert!(rig.result(op).is_none());
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, no(Code::StillHeld));
    assert!(matches!(rig.failure(op), Failure::Refused(problem) if problem.code == Code::StillHeld));
}

#[test]
fn still_held_while_an_attempt_before_may_yet_win_is_unknown_and_looked_after() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(acquire(None), 62_000);
    let (first, _, _) = rig.sent_one();
    rig.at(10_000).lose(first);
    rig.at(11_000).reopen();
    let (link, frame, _) = rig.sent_one();
    rig.at(16_000).answer(link, frame, no(Code::StillHeld));
    assert!(rig.is_unknown(op));
    assert!(rig.at(16_499).sent().is_empty(), "5 s, 500 ms and a second after its link was lost");
    let (link, frame, call) = rig.at(16_500).sent_one();
    assert!(matches!(call, Call::Get(_)));
    rig.answer(link, frame, lease(Some((8, "h"))));
    assert!(matches!(rig.sent_one().2, Call::Release(release) if release.token == 8));
}

#[test]
fn an_acquire_that_is_abandoned_is_cancelled_and_looked_after() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(acquire(None), 62_000);
    let (_, frame, _) = rig.sent_one();
    rig.at(5_000).input(Input::Abandon { op });
    let (_, _, call) = rig.sent_one();
    assert!(matches!(call, Call::Cancel(cancel) if cancel.id == frame));
    assert!(rig.result(op).is_none());
    assert!(rig.at(11_499).sent().is_empty());
    let (link, frame, call) = rig.at(11_500).sent_one();
    assert!(matches!(call, Call::Get(_)));
    rig.answer(link, frame, lease(Some((8, "h"))));
    assert!(matches!(rig.sent_one().2, Call::Release(release) if release.token == 8));
}

#[test]
fn one_that_is_abandoned_before_it_left_leaves_nothing() {
    let mut rig = Rig::new(1);
    let op = rig.ask(acquire(None), 62_000);
    rig.input(Input::Abandon { op });
    rig.reopen();
    assert!(rig.at(60_000).sent().is_empty());
}

#[test]
fn one_that_is_abandoned_while_it_is_confirmed_is_released() {
    for value in [None, Some("here")] {
        let (mut rig, op, _) = confirming(value);
        rig.input(Input::Abandon { op });
        let (link, frame, call) = rig.sent_one();
        assert!(matches!(call, Call::Release(release) if release.token == 5));
        rig.answer(link, frame, released(5));
        assert!(!rig.is_held());
        // The claim that was to confirm may win the lease anew, after the release.
        let looks = rig.at(100_000).sent();
        assert_eq!(looks.iter().any(|(_, _, call)| matches!(call, Call::Get(_))), value.is_some());
    }
}

#[test]
fn one_whose_time_is_over_is_unknown_and_cancelled() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(acquire(None), 15_000);
    let (_, frame, _) = rig.sent_one();
    assert!(rig.at(14_999).result(op).is_none());
    assert!(rig.at(15_000).is_unknown(op));
    assert!(matches!(rig.sent_one().2, Call::Cancel(cancel) if cancel.id == frame));
}

#[test]
fn one_whose_time_is_over_while_it_is_confirmed_is_unknown_and_released() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(acquire(None), 15_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(14_000).answer(link, frame, unconfirmed(5));
    rig.sent_one();
    assert!(rig.at(15_000).is_unknown(op));
    assert!(matches!(rig.sent_one().2, Call::Release(release) if release.token == 5));
}

#[test]
fn a_second_guard_is_refused_while_one_is_acquired_or_held() {
    let mut rig = Rig::connected(1);
    rig.ask(acquire(None), 62_000);
    let (link, frame, _) = rig.sent_one();
    let mut seconds = vec![rig.ask(acquire(None), 62_000), rig.ask(claim(12_000), 5_000)];
    rig.answer(link, frame, unconfirmed(5));
    let (link, frame, _) = rig.sent_one();
    seconds.push(rig.ask(acquire(None), 62_000));
    rig.answer(link, frame, granted(5, 12_000));
    seconds.push(rig.ask(acquire(None), 62_000));
    assert!(rig.sent().is_empty());
    for op in seconds {
        assert!(matches!(rig.failure(op), Failure::Refused(problem) if problem.by_you == Some(true)));
    }
}

#[test]
fn an_acquire_answered_with_a_token_that_was_let_go_is_made_anew() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.ask(release(5), 60_000);
    rig.sent_one();
    let op = rig.ask(acquire(None), 62_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(5, 12_000));
    assert!(!rig.is_held() && rig.result(op).is_none());
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Release(release) if release.token == 5));
    rig.answer(link, frame, released(5));
    assert_eq!(number(&rig.sent_one().2).1, Some(3));
}

#[test]
fn asking_for_a_transfer_ends_belief_for_good_whatever_is_answered() {
    for reply in [released(5), no(Code::NotWaiting), no(Code::Overloaded), no(Code::Unknown)] {
        let mut rig = Rig::connected(1);
        rig.won(5);
        rig.at(100).ask(transfer(5), 5_000);
        assert!(!rig.is_held(), "belief outlived its transfer");
        assert_eq!(rig.over(5), Some(End::LetGo));
        let (link, frame, _) = rig.sent_one();
        rig.answer(link, frame, reply.clone());
        assert!(!rig.is_held(), "{reply:?} brought belief back");
    }
}

#[test]
fn what_nobody_would_take_over_is_released() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    let op = rig.ask(transfer(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, no(Code::NotWaiting));
    assert!(matches!(rig.failure(op), Failure::Refused(problem) if problem.code == Code::NotWaiting));
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Get(_)));
    rig.answer(link, frame, lease(Some((5, "h"))));
    assert!(matches!(rig.sent_one().2, Call::Release(release) if release.token == 5));
}

#[test]
fn transferred_in_the_history_proves_a_repeated_transfer() {
    for (why, done) in [("transferred", true), ("expired", false)] {
        let mut rig = Rig::connected(2);
        rig.won(5);
        let op = rig.at(1_000).ask(transfer(5), 8_000);
        rig.sent_one();
        rig.at(3_000).reopen();
        let (link, frame, _) = rig.sent_one();
        rig.answer(link, frame, lost_since(5, why, 1_000));
        assert_eq!(matches!(rig.result(op), Some(Ok(_))), done, "{why}");
        assert!(rig.at(60_000).sent().is_empty(), "it is gone");
    }
}

// An acquire that stands on the first link, and again on the second, for which another call's answer was overdue.
fn moved() -> (Rig, OpId, [(u64, u64); 2]) {
    let mut rig = Rig::connected(2);
    let op = rig.ask(acquire(None), 62_000);
    let (first, old, _) = rig.sent_one();
    let Call::Claim(other) = claim(60_000) else { panic!("a claim is a claim") };
    rig.ask(Call::Claim(api::Claim { name: "b".to_owned(), ..other }), 30_000);
    rig.sent_one();
    rig.at(2_000);
    let link = rig.opening();
    rig.input(Input::Opened { link });
    let sent = rig.sent();
    let again = sent.iter().find(|(at, _, call)| *at == link.0 && matches!(call, Call::Acquire(_)));
    let new = again.map(|(_, frame, _)| *frame).unwrap_or_else(|| panic!("it was not sent again: {sent:?}"));
    (rig, op, [(first, old), (link.0, new)])
}

#[test]
fn one_that_was_sent_through_the_next_link_waits_on_whichever_of_the_two_lost_its_place_to_the_other() {
    let (mut rig, op, [(first, old), _]) = moved();
    rig.at(2_010).answer(first, old, no(Code::Queued));
    assert!(rig.result(op).is_none());
    assert!(rig.at(10_000).sent().is_empty(), "the newer one waits");

    let (mut rig, op, [_, (link, new)]) = moved();
    rig.at(2_010).answer(link, new, no(Code::Queued));
    assert!(rig.result(op).is_none());
    let (at, _, call) = rig.at(10_000).sent_one();
    assert!(at == link && matches!(call, Call::Acquire(_)), "it takes its place back");
}

#[test]
fn an_older_attempt_that_wins_anew_while_what_came_before_is_confirmed_is_the_one_that_counts() {
    let (mut rig, op, [(first, old), (link, new)]) = moved();
    rig.at(2_010).answer(first, old, unconfirmed(4));
    rig.sent_one();
    rig.answer(link, new, granted(6, 60_000));
    assert!(rig.is_held() && rig.granted_until(op).is_some());
    assert!(rig.at(2_500).sent().is_empty(), "nothing is claimed or released anew");
}
