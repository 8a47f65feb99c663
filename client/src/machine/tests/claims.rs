//! Claims: their numbers, their repeats, and what is not known of them.

use api::{Call, Code};

use super::rig::*;
use crate::machine::{Done, Input, OpId};
use crate::{Failure, Unavailable};

fn number(call: &Call) -> (Option<u64>, Option<u64>) {
    let Call::Claim(claim) = call else { panic!("{call:?} is no claim") };
    (claim.instance, claim.seq)
}

#[test]
fn each_claim_has_a_number_of_its_own_and_a_repeat_keeps_it() {
    let mut rig = Rig::connected(2);
    rig.won(5);
    rig.ask(release(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, released(5));
    rig.ask(claim(12_000), 8_000);
    let (_, _, first) = rig.sent_one();
    assert_eq!(number(&first), (Some(INSTANCE), Some(2)));
    let (link, _) = rig.at(2_000).opens()[0];
    rig.input(Input::Opened { link });
    let (_, _, repeat) = rig.sent_one();
    assert_eq!(number(&repeat), (Some(INSTANCE), Some(2)));
}

#[test]
fn a_refusal_of_the_only_attempt_is_a_refusal() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, no(Code::Held));
    assert!(matches!(rig.failure(op), Failure::Refused(problem) if problem.code == Code::Held));
}

// The claim that was sent on two links: the first attempt unanswered, the second answered with `reply`.
fn repeated(reply: api::Reply) -> (Rig, OpId, u64, u64) {
    let mut rig = Rig::connected(2);
    let op = rig.ask(claim(12_000), 8_000);
    let (first_link, first_frame, _) = rig.sent_one();
    let (link, _) = rig.at(2_000).opens()[0];
    rig.input(Input::Opened { link });
    let (link, frame, _) = rig.sent_one();
    rig.at(2_010).answer(link, frame, reply);
    (rig, op, first_link, first_frame)
}

#[test]
fn a_refusal_of_a_repeat_is_unknown_for_the_first_attempt_may_have_won() {
    for code in [Code::Held, Code::Cooldown, Code::Queued, Code::Full, Code::BadTtl, Code::NotYours] {
        let (rig, op, _, _) = repeated(no(code));
        let Failure::Unknown(doubt) = rig.failure(op) else { panic!("{code}: {}", rig.failure(op)) };
        assert_eq!(doubt.unanswered, 1);
        assert_eq!(doubt.last.map(|problem| problem.code), Some(code));
    }
}

#[test]
fn what_was_wrong_in_itself_was_wrong_the_first_time_too() {
    let (rig, op, _, _) = repeated(no(Code::BadName));
    assert!(matches!(rig.failure(op), Failure::Refused(_)));
}

#[test]
fn late_is_surely_not_done_and_tried_again_at_once_elsewhere_under_a_new_number() {
    let mut rig = Rig::connected(2);
    rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(10).answer(link, frame, no(Code::Late));
    let (link, endpoint) = rig.at(10).opens()[0];
    assert_eq!(endpoint, 1);
    rig.input(Input::Opened { link });
    let (on, _, call) = rig.sent_one();
    assert_eq!((on, number(&call).1), (link.0, Some(2)));
}

#[test]
fn overloaded_is_tried_again_when_the_server_says_and_then_done() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(10).answer(link, frame, no_after(Code::Overloaded, 700));
    assert!(rig.at(709).sent().is_empty());
    let (link, frame, _) = rig.at(710).sent_one();
    rig.answer(link, frame, granted(5, 12_000));
    assert!(matches!(rig.result(op), Some(Ok(Done::Granted { .. }))));
}

#[test]
fn no_leader_to_the_end_is_unavailable_with_the_members_answer_and_not_a_timeout() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 2_000);
    let mut answered = 0;
    for ms in 0..=2_000 {
        for (link, frame, _) in rig.at(ms).sent() {
            rig.answer(link, frame, no(Code::NoLeader));
            answered += 1;
        }
    }
    assert!(answered > 2, "only {answered} tries in two seconds");
    assert!(matches!(rig.unavailable(op), Unavailable::Answered(problem) if problem.code == Code::NoLeader));
}

#[test]
fn a_claim_that_left_and_was_never_answered_is_unknown_at_its_deadline() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 5_000);
    rig.sent_one();
    rig.lose(1);
    assert!(rig.at(4_999).result(op).is_none());
    assert!(rig.at(5_000).is_unknown(op));
}

#[test]
fn unavailable_after_an_unanswered_attempt_is_still_unknown() {
    let (mut rig, op, _, _) = repeated(no_after(Code::Overloaded, 60_000));
    assert!(rig.at(8_000).is_unknown(op));
}

#[test]
fn unknown_from_the_server_is_repeated_under_the_same_number_and_stays_unknown() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 1_000);
    let (link, frame, first) = rig.sent_one();
    rig.answer(link, frame, no(Code::Unknown));
    let (link, frame, repeat) = rig.at(500).sent_one();
    assert_eq!(number(&first), number(&repeat));
    rig.answer(link, frame, no(Code::Held));
    assert!(rig.is_unknown(op));
}

#[test]
fn a_second_guard_on_a_lease_is_refused_here() {
    let mut rig = Rig::connected(1);
    rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    let while_claiming = rig.ask(claim(12_000), 5_000);
    rig.answer(link, frame, granted(5, 12_000));
    let while_held = rig.ask(claim(12_000), 5_000);
    assert!(rig.sent().is_empty());
    for op in [while_claiming, while_held] {
        let Failure::Refused(problem) = rig.failure(op) else { panic!("{}", rig.failure(op)) };
        assert_eq!((problem.code, problem.by_you), (Code::Held, Some(true)));
    }
    // Once belief has ended, the lease may be claimed again.
    rig.at(11_762).ask(claim(12_000), 5_000);
    assert_eq!(rig.sent().len(), 1);
}

#[test]
fn an_attempt_that_may_have_won_unknown_is_looked_for_and_released() {
    let (mut rig, op, _, _) = repeated(no(Code::Held));
    assert!(rig.is_unknown(op));
    // It left at 0 with 8 s; the member adds 500 ms, and a second is for the lease clock.
    assert!(rig.at(9_499).sent().is_empty());
    let (link, frame, call) = rig.at(9_500).sent_one();
    assert!(matches!(call, Call::Get(get) if get.name == "a"));
    rig.answer(link, frame, lease(Some((8, "h"))));
    let (link, frame, call) = rig.sent_one();
    assert!(
        matches!(call, Call::Release(release) if release.token == 8 && release.instance == Some(INSTANCE))
    );
    rig.answer(link, frame, released(8));
    assert!(rig.at(60_000).sent().is_empty(), "it looks once");
}

#[test]
fn a_look_that_finds_another_holder_releases_nothing() {
    for held in [None, Some((8, "other"))] {
        let (mut rig, _, _, _) = repeated(no(Code::Held));
        let (link, frame, _) = rig.at(9_500).sent_one();
        rig.answer(link, frame, lease(held));
        assert!(rig.at(60_000).sent().is_empty());
    }
}

#[test]
fn a_claim_made_before_the_look_is_the_repeat_and_what_it_wins_is_kept() {
    let (mut rig, _, _, _) = repeated(no(Code::Held));
    rig.at(9_000).ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    assert!(rig.at(9_600).sent().is_empty(), "no look while a claim is under way");
    rig.answer(link, frame, granted(8, 12_000));
    assert!(rig.at(20_000).sent().is_empty() && rig.is_held());
}

#[test]
fn what_an_abandoned_claim_wins_is_released() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.input(Input::Abandon { op });
    rig.at(50).answer(link, frame, granted(5, 12_000));
    assert!(!rig.is_held());
    let (_, _, call) = rig.sent_one();
    assert!(matches!(call, Call::Release(release) if release.token == 5));
    assert!(rig.result(op).is_none());
}

#[test]
fn an_abandoned_claim_that_never_left_leaves_nothing() {
    let mut rig = Rig::new(1);
    let op = rig.ask(claim(12_000), 5_000);
    rig.input(Input::Abandon { op });
    let link = rig.at(10).opening();
    rig.input(Input::Opened { link });
    assert!(rig.at(60_000).sent().is_empty());
}

#[test]
fn a_claim_answered_with_a_token_that_was_let_go_is_not_believed_but_made_anew() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    let gone = rig.ask(release(5), 1_000);
    rig.sent_one();
    assert!(rig.at(1_000).is_unknown(gone));
    let (_, _, look) = rig.sent_one();
    assert!(matches!(look, Call::Get(_)));
    let op = rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(5, 12_000));
    assert!(!rig.is_held() && rig.result(op).is_none());
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Release(release) if release.token == 5));
    rig.answer(link, frame, released(5));
    let (link, frame, call) = rig.sent_one();
    assert_eq!(number(&call).1, Some(3), "the end of token 5 may have taken the number before");
    rig.answer(link, frame, granted(6, 12_000));
    assert!(rig.is_held());
}

#[test]
fn the_answer_to_a_look_that_is_older_than_a_release_proves_nothing_about_it() {
    let (mut rig, _, _, _) = repeated(no(Code::Held));
    let (look_link, look_frame, _) = rig.at(9_500).sent_one();
    rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(8, 12_000));
    let gone = rig.at(9_700).ask(release(8), 1_000);
    rig.sent_one();
    rig.at(9_800).answer(look_link, look_frame, lease(None));
    assert!(rig.at(10_700).is_unknown(gone));
    rig.sent();
    rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(8, 12_000));
    assert!(!rig.is_held(), "token 8 was let go");
}

#[test]
fn a_second_unwanted_grant_is_let_go_while_the_first_is_still_being_released() {
    let mut rig = Rig::connected(1);
    for (token, name) in [(5, "first"), (6, "second")] {
        let op = rig.ask(claim(12_000), 5_000);
        let (link, frame, _) = rig.sent_one();
        rig.input(Input::Abandon { op });
        rig.answer(link, frame, granted(token, 12_000));
        assert!(!rig.is_held(), "the {name} was abandoned");
        if token == 5 {
            rig.sent_one();
        }
    }
    // The release of the first is frame 2 on the first link.
    rig.answer(1, 2, released(5));
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Get(_)));
    rig.answer(link, frame, lease(Some((6, "h"))));
    assert!(matches!(rig.sent_one().2, Call::Release(release) if release.token == 6));
}
