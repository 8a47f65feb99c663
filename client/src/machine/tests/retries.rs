//! When attempts are given up, how long pauses are, and what a call that only reads may do.

use api::{Call, Code};

use super::rig::*;
use crate::Unavailable;
use crate::machine::{Effect, Input, LinkId};

#[test]
fn an_attempt_is_given_up_after_a_sixth_of_the_ttl_or_two_seconds_and_sent_through_another_endpoint() {
    for (ttl_ms, patience_ms) in [(60_000, 2_000), (12_000, 2_000), (6_000, 1_000), (1_200, 200)] {
        let mut rig = Rig::connected(3);
        rig.ask(claim(ttl_ms), 5_000);
        let (first, _, _) = rig.sent_one();
        rig.opens();
        assert!(rig.at(patience_ms - 1).opens().is_empty(), "ttl {ttl_ms}: too early");
        let opens = rig.at(patience_ms).opens();
        assert_eq!(opens.len(), 1, "ttl {ttl_ms}");
        assert_eq!(opens[0].1, 1, "the next endpoint");
        rig.input(Input::Opened { link: opens[0].0 });
        let (second, _, _) = rig.sent_one();
        assert_ne!(first, second);
    }
}

#[test]
fn a_late_answer_on_the_link_before_still_counts() {
    let mut rig = Rig::connected(2);
    let op = rig.ask(claim(12_000), 8_000);
    let (first_link, first_frame, _) = rig.sent_one();
    let (link, _) = rig.at(2_000).opens()[0];
    rig.input(Input::Opened { link });
    assert!(!rig.saw(&Effect::Close { link: LinkId(first_link) }), "its answer is still to come");
    rig.at(2_100).answer(first_link, first_frame, granted(5, 12_000));
    assert!(rig.result(op).is_some_and(|result| result.is_ok()) && rig.is_held());
    assert!(rig.saw(&Effect::Close { link: LinkId(first_link) }), "and now nothing is");
}

#[test]
fn with_one_endpoint_a_slow_answer_is_waited_for_and_only_a_dead_link_is_replaced() {
    let mut rig = Rig::connected(1);
    rig.ask(claim(12_000), 30_000);
    rig.sent_one();
    rig.opens();
    let link = LinkId(1);
    rig.at(2_000);
    assert!(rig.saw(&Effect::Ping { link }));
    rig.input(Input::Heard { link });
    rig.at(9_000);
    assert!(!rig.saw(&Effect::Close { link }), "the server is slow, not gone");
    assert!(rig.sent().is_empty(), "the same door twice helps nobody");

    let mut rig = Rig::connected(1);
    rig.ask(claim(12_000), 30_000);
    rig.sent_one();
    rig.at(4_000);
    assert!(rig.saw(&Effect::Close { link }), "not even a pong");
    let link = rig.at(5_000).opening();
    rig.input(Input::Opened { link });
    rig.sent_one();
}

#[test]
fn back_off_is_capped_at_an_eighth_of_the_ttl_while_a_grant_is_at_stake() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.at(100).ask(extend(5), 11_000);
    let mut last = 100;
    let mut longest = 0;
    for ms in 100..11_000 {
        for (link, frame, _) in rig.at(ms).sent() {
            longest = longest.max(ms - last);
            last = ms;
            rig.answer(link, frame, no(Code::NoLeader));
        }
    }
    assert!(longest > 0 && longest <= 12_000 / 8, "a pause of {longest} ms");
}

#[test]
fn reconnects_while_a_grant_is_at_stake_are_an_eighth_of_its_ttl_apart_at_most() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.lose(1);
    let mut last = 0;
    let mut longest = 0;
    for ms in 0..11_000 {
        for (link, _) in rig.at(ms).opens() {
            longest = longest.max(ms - last);
            last = ms;
            rig.lose(link.0);
        }
    }
    assert!(last > 9_000 && longest <= 12_000 / 8, "a pause of {longest} ms, the last try at {last} ms");
}

#[test]
fn without_grants_reconnects_slow_down_to_ten_seconds() {
    let mut rig = Rig::connected(1);
    rig.lose(1);
    let mut at = Vec::new();
    for ms in 0..120_000 {
        for (link, _) in rig.at(ms).opens() {
            at.push(ms);
            rig.lose(link.0);
        }
    }
    let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| (125..=10_000).contains(pause)), "{pauses:?}");
    assert!(pauses.last() >= Some(&5_000), "{pauses:?}");
}

#[test]
fn a_read_that_is_not_answered_is_unavailable_never_unknown() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(Call::Count(api::Count::default()), 1_000);
    rig.sent_one();
    let cause = rig.at(1_000).unavailable(op);
    assert!(matches!(cause, Unavailable::Unanswered { endpoint, .. } if endpoint == "m0:7400"));
}

#[test]
fn a_wait_has_no_patience_and_moves_with_the_session() {
    let mut rig = Rig::connected(2);
    let op = rig.ask(wait(), 3_600_000);
    let (first, _, _) = rig.sent_one();
    rig.opens();
    assert!(rig.at(15_000).opens().is_empty(), "a wait is slow by nature");
    rig.lose(first);
    let link = rig.at(16_000).opening();
    rig.input(Input::Opened { link });
    let (on, frame, call) = rig.sent_one();
    assert!(matches!(call, Call::Wait(wait) if wait.after == Some(3)));
    rig.answer(on, frame, api::Reply::Free(api::Free { revision: 4 }));
    assert!(rig.result(op).is_some_and(|result| result.is_ok()));
}

#[test]
fn an_abandoned_wait_is_cancelled() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(wait(), 3_600_000);
    let (_, frame, _) = rig.sent_one();
    rig.input(Input::Abandon { op });
    let (_, _, call) = rig.sent_one();
    assert!(matches!(call, Call::Cancel(cancel) if cancel.id == frame));
}

#[test]
fn no_attempt_outlives_its_callers_deadline() {
    let mut rig = Rig::connected(2);
    rig.ask(claim(12_000), 5_000);
    let deadline = |call: &Call| if let Call::Claim(claim) = call { claim.deadline_ms } else { None };
    assert_eq!(deadline(&rig.sent_one().2), Some(5_000));
    let (link, _) = rig.at(2_000).opens()[0];
    rig.input(Input::Opened { link });
    assert_eq!(deadline(&rig.sent_one().2), Some(3_000));
}
