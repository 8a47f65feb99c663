//! Which endpoint is talked to, and what is said when none can be.

use api::{Code, Going, Push, ServerFrame};

use super::rig::*;
use crate::machine::{Effect, Input, LinkId};
use crate::{Failure, Unavailable};

#[test]
fn endpoints_are_tried_in_order_and_each_failure_is_named_with_its_cause() {
    let mut rig = Rig::new(3);
    let op = rig.ask_ready();
    for n in 0..3 {
        let opens = rig.opens();
        assert_eq!(opens.len(), 1);
        assert_eq!(opens[0].1, n);
        assert!(rig.result(op).is_none());
        rig.input(Input::Lost { link: opens[0].0, cause: format!("cause {n}") });
    }
    let message = rig.failure(op).to_string();
    for n in 0..3 {
        assert!(message.contains(&format!("m{n}:7400 (cause {n})")), "{message}");
    }
}

#[test]
fn the_second_endpoint_does_where_the_first_refuses() {
    let mut rig = Rig::new(2);
    let op = rig.ask_ready();
    let link = rig.opening();
    rig.input(Input::Lost { link, cause: "connection refused".to_owned() });
    let link = rig.opening();
    rig.input(Input::Opened { link });
    assert!(rig.result(op).is_some_and(|result| result.is_ok()));
}

#[test]
fn a_call_that_never_left_is_unavailable_with_every_cause() {
    let mut rig = Rig::new(1);
    let op = rig.ask(claim(12_000), 1_000);
    while rig.result(op).is_none() {
        for (link, _) in rig.opens() {
            rig.lose(link.0);
        }
        let wake = rig.machine.next_wake().map_or(1_000, |at| at.as_nanos() / 1_000_000 + 1);
        rig.at(wake);
    }
    let Unavailable::Unreachable(tries) = rig.unavailable(op) else { panic!("{}", rig.failure(op)) };
    assert_eq!(tries.len(), 1);
    assert_eq!(tries[0].cause, "cut");
}

#[test]
fn going_moves_the_session_when_the_server_says_and_calls_go_on_until_then() {
    let mut rig = Rig::connected(2);
    rig.opens();
    let going = Going { why: "draining".to_owned(), reconnect_after_ms: 400 };
    rig.input(Input::Answer { link: LinkId(1), frame: ServerFrame::push(Push::Going(going)) });
    assert!(rig.at(399).opens().is_empty());
    rig.ask(claim(12_000), 5_000);
    let (on, frame, _) = rig.sent_one();
    assert_eq!(on, 1);
    let (link, endpoint) = rig.at(400).opens()[0];
    assert_eq!(endpoint, 1);
    rig.answer(1, frame, granted(5, 12_000));
    rig.input(Input::Opened { link });
    assert!(rig.saw(&Effect::Close { link: LinkId(1) }));
    rig.ask(extend(5), 5_000);
    assert_eq!(rig.sent_one().0, link.0);
}

#[test]
fn one_that_knows_no_other_member_stays_where_it_should_go_from_and_is_served() {
    let mut rig = Rig::connected(1);
    rig.opens();
    let going = Going { why: "draining".to_owned(), reconnect_after_ms: 400 };
    rig.input(Input::Answer { link: LinkId(1), frame: ServerFrame::push(Push::Going(going)) });
    assert!(rig.at(400).opens().is_empty());
    rig.ask(claim(12_000), 5_000);
    assert_eq!(rig.sent_one().0, 1);
}

#[test]
fn stopping_is_tried_again_through_another_endpoint() {
    let mut rig = Rig::connected(2);
    rig.opens();
    rig.ask(claim(12_000), 5_000);
    let (on, frame, _) = rig.sent_one();
    rig.answer(on, frame, no(Code::Stopping));
    let (link, endpoint) = rig.at(250).opens()[0];
    assert_eq!(endpoint, 1);
    rig.input(Input::Opened { link });
    assert_eq!(rig.sent_one().0, link.0);
}

#[test]
fn where_no_other_endpoint_can_be_had_the_call_goes_on_through_this_one() {
    let mut rig = Rig::connected(2);
    rig.opens();
    rig.ask(claim(12_000), 5_000);
    let (on, frame, _) = rig.sent_one();
    rig.answer(on, frame, no(Code::Late));
    let (other, _) = rig.at(0).opens()[0];
    rig.lose(other.0);
    assert_eq!(rig.sent_one().0, on);
}

#[test]
fn a_reply_that_fits_no_call_breaks_the_link_and_is_no_answer() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 5_000);
    let (on, frame, _) = rig.sent_one();
    rig.answer(on, frame, released(5));
    assert!(rig.saw(&Effect::Close { link: LinkId(on) }));
    assert!(rig.at(5_000).is_unknown(op));
}

#[test]
fn an_idle_link_is_pinged_and_a_silent_one_replaced() {
    let mut rig = Rig::connected(1);
    rig.opens();
    let link = LinkId(1);
    assert!(!rig.at(19_999).saw(&Effect::Ping { link }));
    assert!(rig.at(20_000).saw(&Effect::Ping { link }));
    assert!(!rig.at(29_999).saw(&Effect::Close { link }));
    assert!(rig.at(30_000).saw(&Effect::Close { link }));
    assert_eq!(rig.at(30_250).opens().len(), 1);
}

#[test]
fn a_frame_that_the_server_could_not_read_ends_the_one_call_it_can_have_been() {
    let mut rig = Rig::connected(1);
    let op = rig.ask(claim(12_000), 5_000);
    let problem = api::Problem::new(Code::BadRequest, "no JSON");
    rig.input(Input::Answer { link: LinkId(1), frame: ServerFrame::push(Push::Unreadable(problem.clone())) });
    assert_eq!(rig.failure(op), Failure::Refused(problem));
}

#[test]
fn close_gives_every_call_the_outcome_that_its_attempts_allow() {
    let mut rig = Rig::connected(1);
    let left = rig.ask(claim(12_000), 5_000);
    let read = rig.ask(wait(), 5_000);
    rig.lose(1);
    let api::Call::Claim(mut other) = claim(12_000) else { panic!() };
    other.name = "b".to_owned();
    let never_left = rig.ask(api::Call::Claim(other), 5_000);
    rig.input(Input::Close);
    assert!(rig.is_unknown(left));
    assert_eq!(rig.unavailable(read), Unavailable::Closed);
    assert_eq!(rig.unavailable(never_left), Unavailable::Closed);
}

/// Refuses every connection until `until_ms`, and gives the longest pause between two tries after `from_ms`.
fn longest_pause(rig: &mut Rig, mut now_ms: u64, from_ms: u64, until_ms: u64) -> u64 {
    let (mut last, mut longest) = (None, 0);
    while now_ms < until_ms {
        for (link, _) in rig.opens() {
            if let Some(last) = last.filter(|last| *last >= from_ms) {
                longest = longest.max(now_ms - last);
            }
            last = Some(now_ms);
            rig.lose(link.0);
        }
        let wake = rig.machine.next_wake().map_or(until_ms, |at| at.as_nanos() / 1_000_000 + 1);
        now_ms = wake.max(now_ms);
        rig.at(now_ms);
    }
    longest
}

#[test]
fn a_session_whose_grant_may_still_stand_tries_again_within_an_eighth_of_its_ttl() {
    let mut rig = Rig::connected(1);
    rig.won(5);
    rig.opens();
    rig.at(1_000).lose(1);
    // Belief has ended at 11,762, but the member may be down, and the lease clock with it.
    let longest = longest_pause(&mut rig, 1_000, 12_000, 23_000);
    assert!(longest > 0 && longest <= 1_502, "{longest} ms until the next try");
    // From 23,762 on there is nothing to save, unless its holder says so.
    assert!(longest_pause(&mut rig, 23_000, 40_000, 200_000) > 4_000);
    rig.ask(extend(5), 600_000);
    let longest = longest_pause(&mut rig, 200_000, 211_000, 400_000);
    assert!(longest > 0 && longest <= 1_502, "{longest} ms until the next try");
}

/// A session of three endpoints that the second took in, for the first refused.
fn away() -> Rig {
    let mut rig = Rig::new(3);
    rig.ask_ready();
    let link = rig.opening();
    rig.lose(link.0);
    let link = rig.opening();
    rig.input(Input::Opened { link });
    rig.opens();
    rig
}

/// Goes on to `to` in steps, in each of which the member says something.
fn go_on(rig: &mut Rig, from: u64, to: u64, link: LinkId) -> Vec<(LinkId, usize)> {
    for ms in (from..=to).step_by(5_000) {
        rig.at(ms).input(Input::Heard { link });
    }
    rig.opens()
}

#[test]
fn a_session_that_is_away_goes_home_after_a_while_and_its_calls_with_it() {
    let mut rig = away();
    assert_eq!(go_on(&mut rig, 0, 25_000, LinkId(2)), []);
    let (link, endpoint) = go_on(&mut rig, 30_000, 60_000, LinkId(2))[0];
    assert_eq!(endpoint, 0);
    rig.input(Input::Opened { link });
    assert!(rig.saw(&Effect::Close { link: LinkId(2) }));
    rig.ask(extend(5), 5_000);
    let (on, frame, _) = rig.sent_one();
    assert_eq!(on, link.0);
    rig.answer(on, frame, no(Code::Lost));
    assert_eq!(go_on(&mut rig, 60_000, 300_000, link), [], "it is at home");
}

#[test]
fn a_home_that_sends_the_session_away_again_and_again_is_left_alone_for_longer_and_longer() {
    let mut rig = Rig::connected(2);
    rig.opens();
    let (mut now, mut home, mut away) = (0, LinkId(1), Vec::new());
    for _ in 0..4 {
        let going = Going { why: "draining".to_owned(), reconnect_after_ms: 100 };
        rig.input(Input::Answer { link: home, frame: ServerFrame::push(Push::Going(going)) });
        let (other, endpoint) = rig.at(now + 100).opens()[0];
        assert_eq!(endpoint, 1);
        rig.input(Input::Opened { link: other });
        let left_at = now;
        home = loop {
            now += 5_000;
            rig.at(now).input(Input::Heard { link: other });
            if let Some((link, endpoint)) = rig.opens().first() {
                assert_eq!(*endpoint, 0);
                break *link;
            }
        };
        rig.input(Input::Opened { link: home });
        away.push(now - left_at);
    }
    // Home after 30 s and as much again at the most, doubled each time.
    for (round, away) in away.iter().enumerate() {
        let least = 30_000 << round;
        assert!((least..=2 * least + 10_000).contains(away), "round {round}: {away} ms");
    }
    // Where it could stay, a home that is lost is tried as soon as ever.
    for _ in 0..12 {
        now += 5_000;
        rig.at(now).input(Input::Heard { link: home });
    }
    rig.input(Input::Lost { link: home, cause: "reset".to_owned() });
    now += 1_000;
    let (other, _) = rig.at(now).opens()[0];
    rig.input(Input::Opened { link: other });
    let left_at = now;
    while rig.at(now).opens().is_empty() {
        now += 5_000;
        rig.at(now).input(Input::Heard { link: other });
        assert!(now - left_at <= 70_000, "it is not home after {} ms", now - left_at);
    }
}

#[test]
fn a_home_that_is_not_there_costs_nothing_and_is_tried_again() {
    let mut rig = away();
    for round in 0..3 {
        let (link, endpoint) = go_on(&mut rig, round * 60_000, (round + 1) * 60_000, LinkId(2))[0];
        assert_eq!(endpoint, 0);
        let op = rig.ask(extend(5), 1_000);
        let (on, frame, _) = rig.sent_one();
        assert_eq!(on, 2, "the link that it has is used meanwhile");
        rig.answer(on, frame, no(Code::Lost));
        rig.failure(op);
        rig.lose(link.0);
    }
    // What it has is lost: the next is tried within the usual spread, as though home had never been asked.
    rig.lose(2);
    assert_eq!(rig.at(180_250).opens().len(), 1);
}
