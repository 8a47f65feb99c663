//! H3, H6 and H7: what callers were told, and what the log says.

use torture::check::Rule;

use crate::story::{bad, good, judge};

#[test]
fn h3_what_was_acknowledged_is_not_in_the_log() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        10   c2 claim b 1000 -> granted 8 @15
        13   m1 sees 2 b granted 8 c2
    ";
    bad(Rule::H3Durable, story, 5, 13);
    good(
        Rule::H3Durable,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        10   c2 claim b 1000 -> granted 8 @15
        13   m1 sees 2 b granted 8 c2
        15   m2 sees 1 a granted 7 c1
        16   m2 sees 2 b granted 8 c2
    ",
    );
}

#[test]
fn h3_a_release_that_was_acknowledged_ended_nothing() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        10   c1 release a 7 -> done @15
        20   c2 claim b 1000 -> granted 8 @25
        23   m1 sees 2 b granted 8 c2
    ";
    bad(Rule::H3Durable, story, 15, 3);
}

#[test]
fn h3_members_that_show_different_logs() {
    let story = "
        3    m1 sees 1 a granted 7 c1
        5    m2 sees 1 a granted 7 c2
    ";
    bad(Rule::H3Durable, story, 3, 5);
}

#[test]
fn h3_a_watch_that_goes_back() {
    let story = "
        3    m1 sees 1 a granted 7 c1
        5    m1 sees 2 a ended 7 released
        6    m1 sees 2 a ended 7 released
    ";
    bad(Rule::H3Durable, story, 5, 6);
}

#[test]
fn h3_a_refusal_that_had_an_effect() {
    for answer in ["refused held", "unavailable"] {
        let story = format!(
            "
            0    c1 claim a 1000 -> {answer} @5
            3    m1 sees 1 a granted 7 c1
            90   m1 sees 2 a ended 7 released
        "
        );
        bad(Rule::H3Durable, &story, 5, 3);
    }
    good(
        Rule::H3Durable,
        "
        0    c1 claim a 1000 -> unknown @5
        3    m1 sees 1 a granted 7 c1
        90   m1 sees 2 a ended 7 released
    ",
    );
}

#[test]
fn h3_an_unknown_call_that_took_effect_twice() {
    let story = "
        0    c1 claim a 1000 -> unknown @5
        3    m1 sees 1 a granted 7 c1
        90   m1 sees 2 a ended 7 released
        95   m1 sees 3 a granted 8 c1
        99   m1 sees 4 a ended 8 released
    ";
    bad(Rule::H3Durable, story, 5, 95);
    // An acquire waits on where what it won ended before its caller heard of it.
    good(Rule::H3Durable, &story.replace("claim", "acquire"));
}

#[test]
fn h6_a_lease_that_is_granted_while_it_is_held() {
    let story = "
        3    m1 sees 1 a granted 7 c1
        50   m1 sees 2 a granted 8 c2
        60   m1 sees 3 a ended 8 released
    ";
    bad(Rule::H6Linear, story, 3, 50);
}

#[test]
fn h6_a_read_from_a_state_that_was_past() {
    // c1's release was answered at 20, and c2 sees its grant at 30.
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        10   c1 release a 7 -> done @20
        30   c2 get a -> seen 7 1 @35
        40   m1 sees 2 a ended 7 released
    ";
    bad(Rule::H6Linear, story, 30, 20);
    good(
        Rule::H6Linear,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        10   c1 release a 7 -> done @20
        19   c2 get a -> seen 7 1 @35
        40   m1 sees 2 a ended 7 released
    ",
    );
}

#[test]
fn h6_a_lease_that_is_seen_free_after_another_claim_was_answered() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        30   c2 get a -> seen free 0 @35
        40   m1 sees 1 a granted 7 c1
        50   c1 release a 7 -> done @65
        60   m1 sees 2 a ended 7 released
    ";
    bad(Rule::H6Linear, story, 30, 5);
    good(Rule::H6Linear, &story.replace("30   c2", "4    c2"));
}

#[test]
fn h6_a_refusal_by_a_grant_that_had_ended() {
    let story = "
        3    m1 sees 1 a granted 7 c1
        20   m1 sees 2 a ended 7 released
        30   c2 claim a 1000 -> refused held 7 @35
        40   m1 sees 3 a granted 8 c3
        60   m1 sees 4 a ended 8 released
    ";
    bad(Rule::H6Linear, story, 30, 20);
    good(Rule::H6Linear, &story.replace("held 7", "held 8"));
}

#[test]
fn h6_two_leases_whose_order_in_the_log_is_not_that_of_their_calls() {
    // The log has b before a; a was answered before b was asked for.
    let story = "
        0    c1 claim a 1000 -> granted 8 @5
        10   c2 claim b 1000 -> granted 9 @15
        20   m1 sees 1 b granted 9 c2
        20   m1 sees 2 a granted 8 c1
        50   c1 release a 8 -> done @65
        50   c2 release b 9 -> done @65
        60   m1 sees 3 a ended 8 released
        60   m1 sees 4 b ended 9 released
    ";
    let (_, verdict) = judge(story);
    let broken: Vec<_> = verdict.broken().map(|(rule, _)| rule).collect();
    // The tokens do not rise in the log either.
    assert_eq!(broken, [Rule::H2Fencing, Rule::H6Linear]);
}

#[test]
fn h6_a_claim_may_find_what_an_unknown_one_before_it_won() {
    let story = "
        0    c1 claim a 1000 -> unknown @20
        10   m1 sees 1 a granted 7 c1
        12   c2 claim b 1000 -> granted 8 @15
        13   m1 sees 2 b granted 8 c2
        30   c1 claim a 1000 -> granted 7 @35
    ";
    good(Rule::H6Linear, story);
    good(Rule::H2Fencing, story);
    let (_, verdict) = judge(&story.replace("unknown", "refused held"));
    assert!(verdict.broken().count() >= 2, "a call that was refused won nothing");
}

#[test]
fn h6_a_claim_may_find_what_an_acquire_won_as_it_gave_up() {
    let story = "
        0    c1 acquire a 1000 -> refused still_held @20
        21   m1 sees 1 a granted 7 c1 unconfirmed
        22   c2 claim b 1000 -> granted 8 @25
        23   m1 sees 2 b granted 8 c2
        30   c1 claim a 1000 -> granted 7 @35
        33   m1 sees 3 a confirmed 7
    ";
    good(Rule::H6Linear, story);
    good(Rule::H2Fencing, story);
}

/// A wait that ends well.
const WAITED: &str = "
    3    m1 sees 1 a granted 7 c1
    10   c2 wait a 3000 1 -> free 2 @905
    900  m1 sees 2 a ended 7 released
";

#[test]
fn h7_a_wait_that_is_told_of_its_lease_in_time() {
    good(Rule::H7Waiters, WAITED);
}

#[test]
fn h7_a_wait_that_is_told_while_the_lease_is_held() {
    bad(Rule::H7Waiters, &WAITED.replace("free 2 @905", "free 1 @805"), 3, 805);
}

#[test]
fn h7_a_wait_that_is_answered_from_an_older_state_than_it_named() {
    let story = WAITED.replace("3000 1", "3000 4");
    bad(Rule::H7Waiters, &story, 10, 905);
}

#[test]
fn h7_a_wait_that_is_answered_from_a_state_that_was_past_before_it_asked() {
    let story = "
        3    m1 sees 1 a granted 7 c1
        20   m1 sees 2 a ended 7 released
        30   m1 sees 3 a granted 8 c1
        40   c2 wait a 3000 -> free 2 @45
        50   m1 sees 4 a ended 8 released
    ";
    bad(Rule::H7Waiters, story, 30, 45);
    good(Rule::H7Waiters, &story.replace("3000 ->", "3000 1 ->"));
}

#[test]
fn h7_a_wait_that_is_told_late_where_nothing_is_in_trouble() {
    let late = WAITED.replace("@905", "@1200");
    bad(Rule::H7Waiters, &late, 900, 1200);
    good(Rule::H7Waiters, &format!("{late}\n 950 fault 1 loss on\n 960 fault 1 loss off\n 970 m1 is ready at 2
        980 x via 1 claim z 1000 -> granted 9 @990\n 985 m1 sees 3 z granted 9 x\n 991 x via 1 release z 9 -> done @999
        995 m1 sees 4 z ended 9 released"));
}

#[test]
fn h7_a_wait_that_has_no_end() {
    let story = "
        3    m1 sees 1 a granted 7 c1
        10   c2 wait a 3000
        900  m1 sees 2 a ended 7 released
        9000 m1 leads 1
    ";
    bad(Rule::H7Waiters, story, 10, 9000);
    good(Rule::H7Waiters, &format!("{story}\n 1000 c2 gone"));
}
