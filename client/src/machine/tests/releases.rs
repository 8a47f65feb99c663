//! Releases and extends that are repeated: what the answer's history proves.

use api::Code;

use super::rig::*;
use crate::Failure;
use crate::machine::{Done, Input, OpId};

// Token 5 is held since 0; `call` is sent at 1 s, and again elsewhere at 3 s, where it is answered with `reply` at 3.01 s.
fn repeated(call: api::Call, reply: api::Reply) -> (Rig, OpId) {
    let mut rig = Rig::connected(2);
    rig.won(5);
    let op = rig.at(1_000).ask(call, 8_000);
    rig.sent_one();
    let (link, _) = rig.at(3_000).opens()[0];
    rig.input(Input::Opened { link });
    let (link, frame, _) = rig.sent_one();
    rig.at(3_010).answer(link, frame, reply);
    (rig, op)
}

#[test]
fn released_in_the_history_proves_a_repeated_release() {
    let (rig, op) = repeated(release(5), lost_since(5, "released", 2_000));
    assert!(matches!(rig.result(op), Some(Ok(Done::Reply(reply))) if reply == released(5)));
}

#[test]
fn another_end_in_the_history_proves_that_the_release_did_nothing() {
    let (rig, op) = repeated(release(5), lost_since(5, "expired", 1_000));
    assert!(matches!(rig.failure(op), Failure::Refused(_)));
}

#[test]
fn without_the_history_a_repeated_release_is_unknown() {
    for reply in [no(Code::Lost), lost_since(4, "released", 2_000), no(Code::StaleToken), no(Code::Ending)] {
        let (rig, op) = repeated(release(5), reply.clone());
        assert!(rig.is_unknown(op), "{reply:?}");
    }
}

#[test]
fn a_repeated_extend_is_refused_only_where_the_grant_ended_before_the_first_attempt() {
    // The first attempt left 2,010 ms before the answer: an end that is surely older is proof.
    for (ago_ms, unknown) in [(5_000, false), (2_100, false), (2_020, true), (1_000, true)] {
        let (rig, op) = repeated(extend(5), lost_since(5, "expired", ago_ms));
        assert_eq!(rig.is_unknown(op), unknown, "ended {ago_ms} ms ago");
        assert!(!rig.is_held(), "the grant has ended, whoever did it");
    }
}

#[test]
fn a_refused_extend_that_was_sent_once_is_a_refusal() {
    let mut rig = Rig::connected(2);
    rig.won(5);
    let op = rig.ask(extend(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, no(Code::Lost));
    assert!(matches!(rig.failure(op), Failure::Refused(_)));
}

#[test]
fn after_a_release_with_a_claim_unanswered_it_looks_once_after_that_claims_not_after() {
    let mut rig = Rig::connected(2);
    rig.ask(claim(12_000), 8_000);
    rig.sent_one();
    let (link, _) = rig.at(2_000).opens()[0];
    rig.input(Input::Opened { link });
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(5, 12_000));
    rig.at(3_000).ask(release(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, released(5));
    assert!(rig.at(9_499).sent().is_empty(), "the first attempt may still win until 9.5 s");
    let (link, frame, call) = rig.at(9_500).sent_one();
    assert!(matches!(call, api::Call::Get(_)));
    rig.answer(link, frame, lease(Some((6, "h"))));
    let (_, _, call) = rig.sent_one();
    assert!(matches!(call, api::Call::Release(release) if release.token == 6));
}

#[test]
fn a_grant_held_beyond_that_not_after_needs_no_look() {
    let mut rig = Rig::connected(2);
    rig.ask(claim(12_000), 5_000);
    rig.sent_one();
    let (link, _) = rig.at(2_000).opens()[0];
    rig.input(Input::Opened { link });
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(5, 12_000));
    rig.at(7_000).ask(release(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, released(5));
    assert!(rig.at(60_000).sent().is_empty());
}

#[test]
fn a_release_of_unknown_outcome_is_looked_after() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    let op = rig.ask(release(5), 1_000);
    rig.sent_one();
    assert!(rig.at(1_000).is_unknown(op));
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, api::Call::Get(_)));
    rig.answer(link, frame, lease(Some((5, "h"))));
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, api::Call::Release(release) if release.token == 5));
    rig.answer(link, frame, released(5));
    assert!(rig.at(60_000).sent().is_empty());
}

#[test]
fn a_bulk_frame_has_an_outcome_a_step() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    let api::Call::Release(mut other) = release(9) else { panic!() };
    other.name = "b".to_owned();
    let api::Call::Extend(first) = extend(5) else { panic!() };
    let steps = vec![api::Step::Extend(first), api::Step::Release(other)];
    let op = rig.ask(api::Call::Bulk(steps), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(1_000).answer(link, frame, api::Reply::Bulk(vec![granted(5, 12_000), no(Code::Lost)]));
    let Some(Ok(Done::Bulk(parts))) = rig.result(op) else { panic!("{:?}", rig.result(op)) };
    assert!(matches!(parts[0], Ok(Done::Granted { .. })) && matches!(parts[1], Err(Failure::Refused(_))));
    assert!(rig.is_held());
}

#[test]
fn a_repeated_bulk_frame_rounds_no_step_to_no() {
    let api::Call::Release(step) = release(5) else { panic!() };
    let call = api::Call::Bulk(vec![api::Step::Release(step)]);
    let (rig, op) = repeated(call, api::Reply::Bulk(vec![no(Code::Lost)]));
    let Some(Ok(Done::Bulk(parts))) = rig.result(op) else { panic!("{:?}", rig.result(op)) };
    assert!(matches!(parts[0], Err(Failure::Unknown(_))));
}

#[test]
fn a_bulk_claim_that_meets_a_token_let_go_is_unknown_while_another_attempt_is_out() {
    let api::Call::Claim(step) = claim(12_000) else { panic!() };
    for others in [false, true] {
        let mut rig = Rig::connected(2);
        rig.won(5);
        rig.ask(release(5), 20_000);
        rig.sent_one();
        let op = rig.ask(api::Call::Bulk(vec![api::Step::Claim(step.clone())]), 8_000);
        let (mut link, mut frame, _) = rig.sent_one();
        if others {
            let opened = rig.at(2_000).opens().last().map(|(link, _)| *link);
            rig.input(Input::Opened { link: opened.unwrap_or_else(|| panic!("no other link")) });
            let sent = rig.sent().into_iter().find(|(_, _, call)| matches!(call, api::Call::Bulk(_)));
            (link, frame, _) = sent.unwrap_or_else(|| panic!("no repeat"));
        }
        rig.answer(link, frame, api::Reply::Bulk(vec![granted(5, 12_000)]));
        let Some(Ok(Done::Bulk(parts))) = rig.result(op) else { panic!("{:?}", rig.result(op)) };
        assert_eq!(matches!(parts[0], Err(Failure::Unknown(_))), others);
        assert!(!rig.is_held());
    }
}
