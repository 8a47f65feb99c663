//! Until when the machine believes, and what ends it.

use api::{Call, Code};

use super::rig::*;
use crate::Instant;
use crate::machine::{Done, Effect, End, Input, LinkId};

#[test]
fn belief_counts_from_when_the_answered_attempt_left() {
    let mut rig = Rig::connected(1);
    let op = rig.at(1_000).ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(3_000).answer(link, frame, granted(5, 12_000));
    let until = Some(Instant::from_millis(1_000 + 11_762));
    let Some(Ok(Done::Granted { safe_until, .. })) = rig.result(op) else { panic!("not granted") };
    assert_eq!(safe_until, until);
    assert!(rig.saw(&Effect::Held { token: 5, until }));
    assert!(rig.at(12_761).is_held());
    assert!(!rig.at(12_762).is_held(), "at the very instant it is over");
}

#[test]
fn a_repeat_that_is_answered_counts_from_the_repeat_and_the_first_from_the_first() {
    for (answered, until_ms) in [(0, 11_762), (1, 2_000 + 11_762)] {
        let mut rig = Rig::connected(2);
        let op = rig.ask(claim(12_000), 5_000);
        let first = rig.sent_one();
        let (second_link, _) = rig.at(2_000).opens()[0];
        rig.input(Input::Opened { link: second_link });
        let second = rig.sent_one();
        let (link, frame, _) = if answered == 0 { first } else { second };
        rig.at(2_500).answer(link, frame, granted(5, 12_000));
        let Some(Ok(Done::Granted { safe_until, .. })) = rig.result(op) else { panic!("not granted") };
        assert_eq!(safe_until, Some(Instant::from_millis(until_ms)), "attempt {answered}");
    }
}

#[test]
fn asking_for_a_release_ends_belief_for_good_whatever_is_answered() {
    for reply in
        [released(5), no(Code::NotYours), no(Code::Overloaded), no(Code::Unknown), granted(5, 12_000)]
    {
        let mut rig = Rig::connected(1);
        rig.won(5);
        rig.at(100).ask(release(5), 5_000);
        assert!(!rig.is_held(), "belief outlived its release");
        assert_eq!(rig.over(5), Some(End::LetGo));
        let (link, frame, _) = rig.sent_one();
        rig.answer(link, frame, reply.clone());
        assert!(!rig.is_held(), "{reply:?} brought belief back");
    }
}

// A forced transfer to ourselves: its grant is another's until we claim, under the same token.
#[test]
fn a_release_that_may_yet_take_effect_bars_its_token_also_where_a_repeat_of_it_was_refused() {
    for (now, believed) in [(2_020, false), (6_499, false), (6_501, true)] {
        let mut rig = Rig::connected(2);
        rig.ask(release(5), 5_000);
        rig.sent_one();
        let (link, _) = rig.at(2_000).opens()[0];
        rig.input(Input::Opened { link });
        let (link, frame, _) = rig.sent_one();
        rig.at(2_010).answer(link, frame, no(Code::NotYours));
        rig.at(now).ask(claim(12_000), 5_000);
        let (link, frame, _) = rig.sent_one();
        rig.answer(link, frame, granted(5, 12_000));
        assert_eq!(rig.is_held(), believed, "claimed at {now} ms");
    }
}

#[test]
fn an_extend_that_is_answered_after_the_release_brings_nothing_back() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.at(100).ask(extend(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(101).ask(release(5), 5_000);
    rig.at(102).answer(link, frame, granted(5, 12_000));
    assert!(!rig.is_held());
}

#[test]
fn the_cluster_saying_that_the_grant_ended_ends_belief() {
    for code in [Code::Lost, Code::StaleToken, Code::NotYours] {
        let mut rig = Rig::connected(1);
        rig.won(5);
        rig.at(100).ask(extend(5), 5_000);
        let (link, frame, _) = rig.sent_one();
        rig.answer(link, frame, no(code));
        assert!(!rig.is_held(), "{code}");
        assert!(matches!(rig.over(5), Some(End::Lost(problem)) if problem.code == code));
    }
}

#[test]
fn a_grant_that_is_ending_is_believed_to_its_end() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.at(100).ask(extend(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, no(Code::Ending));
    assert!(rig.at(11_761).is_held());
    assert!(!rig.at(11_762).is_held());
}

#[test]
fn a_kept_grant_is_extended_at_a_third_and_stays_held() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    for round in 1..=20 {
        assert!(rig.at(round * 4_000 - 1).sent().is_empty(), "too early");
        let (link, frame, call) = rig.at(round * 4_000).sent_one();
        assert!(
            matches!(call, Call::Extend(extend) if extend.token == 5 && extend.instance == Some(INSTANCE))
        );
        rig.answer(link, frame, granted(5, 12_000));
        assert!(rig.is_held());
    }
}

#[test]
fn a_kept_grant_whose_first_answer_was_slow_is_extended_before_it_is_lost() {
    let mut rig = Rig::connected(1);
    rig.ask(claim(3_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    for ms in [400, 900, 1_400, 1_900] {
        rig.at(ms).input(Input::Heard { link: LinkId(link) });
    }
    rig.at(2_100).answer(link, frame, granted(5, 3_000));
    rig.sent();
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    assert!(matches!(rig.sent_one().2, Call::Extend(_)));
}

#[test]
fn a_kept_grant_that_nobody_extends_ends_at_its_instant_and_is_not_extended_after() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    rig.at(4_000).sent_one();
    assert!(rig.at(11_761).is_held());
    rig.at(11_762);
    assert!(!rig.is_held());
    assert_eq!(rig.over(5), Some(End::Expired));
    rig.sent();
    let late = rig.at(60_000).sent();
    assert!(late.iter().all(|(_, _, call)| !matches!(call, Call::Extend(_))), "{late:?}");
}

#[test]
fn an_unconfirmed_grant_is_kept_by_an_extend_at_once_and_believed_after_it() {
    let mut rig = Rig::connected(1);
    rig.ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    let api::Reply::Granted(mut grant) = granted(5, 12_000) else { panic!() };
    grant.confirmed = false;
    rig.at(10).answer(link, frame, api::Reply::Granted(grant));
    assert!(!rig.is_held());
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    let (link, frame, _) = rig.sent_one();
    rig.at(20).answer(link, frame, granted(5, 12_000));
    assert!(rig.is_held());
}

#[test]
fn a_grant_that_expired_here_and_stands_in_the_cluster_is_believed_again_after_an_extend() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    assert!(!rig.at(24_000).is_held());
    assert_eq!(rig.over(5), Some(End::Expired));
    rig.ask(extend(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.at(24_010).answer(link, frame, granted(5, 12_000));
    assert!(rig.at(24_000 + 11_761).is_held());
    assert!(!rig.at(24_000 + 11_762).is_held());
}

#[test]
fn what_expired_is_over_for_good_once_it_is_released_or_lost() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.at(24_000).ask(release(5), 5_000);
    assert!(rig.saw(&Effect::Over { token: 5, why: End::LetGo }));

    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.at(24_000).ask(extend(5), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, lost_since(5, "expired", 9_000));
    let lost = |end: &Effect| matches!(end, Effect::Over { token: 5, why: End::Lost(_) });
    assert!(rig.saw_any(lost), "nobody was told that it is lost");
}

#[test]
fn a_later_grant_of_the_lease_ends_belief_in_the_one_before() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    // Not held any more, but not given up either.
    rig.at(12_000).ask(claim(12_000), 5_000);
    let (link, frame, _) = rig.sent_one();
    rig.answer(link, frame, granted(8, 12_000));
    assert_eq!(rig.over(5), Some(End::Replaced(8)));
}

#[test]
fn a_member_that_does_not_know_who_asks_ends_no_grant() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    let (link, frame, _) = rig.at(4_000).sent_one();
    rig.answer(link, frame, no(Code::Unauthenticated));
    assert!(rig.at(5_499).is_held() && rig.sent().is_empty(), "an eighth of its ttl later");
    let (link, frame, call) = rig.at(5_500).sent_one();
    assert!(matches!(call, Call::Extend(_)));
    rig.answer(link, frame, granted(5, 12_000));
    assert!(rig.at(17_000).is_held());
}

// A kept grant whose extend, at 4 s, was refused `ending`; with the frame that asks why.
fn ending() -> (Rig, (u64, u64)) {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    let (link, frame, _) = rig.at(4_000).sent_one();
    rig.answer(link, frame, no(Code::Ending));
    let (link, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Get(_)));
    assert!(rig.saw(&Effect::Doomed { token: 5, why: End::Revoked(None) }));
    (rig, (link, frame))
}

#[test]
fn a_kept_grant_that_was_revoked_is_held_to_its_time_and_ends_with_the_operators_reason() {
    let (mut rig, (link, frame)) = ending();
    let api::Reply::Lease(mut seen) = lease(Some((5, "h"))) else { panic!() };
    if let Some(held) = &mut seen.held {
        held.ending = Some("drill".to_owned());
    }
    rig.answer(link, frame, api::Reply::Lease(seen));
    let why = End::Revoked(Some("drill".to_owned()));
    assert!(rig.saw(&Effect::Doomed { token: 5, why: why.clone() }));
    assert!(rig.at(11_761).is_held() && rig.sent().is_empty(), "it is not extended any more");
    assert!(!rig.at(11_762).is_held());
    assert_eq!(rig.over(5), Some(why));
}

#[test]
fn where_the_reason_cannot_be_learnt_it_is_revoked_all_the_same() {
    let (mut rig, (link, frame)) = ending();
    rig.answer(link, frame, lease(None));
    rig.at(11_762);
    assert_eq!(rig.over(5), Some(End::Revoked(None)));
}

#[test]
fn a_kept_grant_whose_extends_are_refused_ends_at_its_time_with_that_refusal() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    let (link, frame, _) = rig.at(4_000).sent_one();
    rig.answer(link, frame, no(Code::BadTtl));
    assert!(rig.at(11_761).is_held() && rig.sent().is_empty());
    rig.at(11_762);
    assert!(matches!(rig.over(5), Some(End::Lost(problem)) if problem.code == Code::BadTtl));
}

#[test]
fn a_lost_grant_ends_with_the_end_that_history_tells() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.input(Input::Keep { namespace: "default".to_owned(), name: "a".to_owned(), token: 5 });
    let (link, frame, _) = rig.at(4_000).sent_one();
    rig.answer(link, frame, lost_since(5, "revoked", 100));
    let Some(End::Lost(problem)) = rig.over(5) else { panic!("{:?}", rig.over(5)) };
    assert_eq!(problem.end.map(|end| end.why), Some("revoked".to_owned()));
}
