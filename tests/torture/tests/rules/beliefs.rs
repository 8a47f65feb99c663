//! H1, H2, H4 and H5: who believes what until when, and by which token.

use torture::check::Rule;

use crate::story::{bad, excused, finding, good, judge};

/// One holder after the other, each with a story that is whole.
const HANDED_ON: &str = "
    0    c1 claim a 1000 -> granted 7 @5
    3    m1 sees 1 a granted 7 c1
    6    c1 believes a 7 until 980 ttl 1000
    1000 m1 sees 2 a ended 7 expired
    1010 c2 claim a 1000 -> granted 8 @1015
    1013 m1 sees 3 a granted 8 c2
    1016 c2 believes a 8 until 1990 ttl 1000
    1900 c2 doubts a 8 released
    1901 c2 release a 8 -> done @1905
    1903 m1 sees 4 a ended 8 released
";

#[test]
fn one_holder_after_the_other_keeps_them_all() {
    for rule in
        [Rule::H1Exclusive, Rule::H2Fencing, Rule::H3Durable, Rule::H4Early, Rule::H5Late, Rule::H6Linear]
    {
        good(rule, HANDED_ON);
    }
}

#[test]
fn h1_two_clients_that_believe_at_once() {
    let story = "
        6    c1 believes a 7 until 980 ttl 1000
        940  c2 believes a 8 until 1900 ttl 1000
        1500 c2 doubts a 8 released
    ";
    bad(Rule::H1Exclusive, story, 6, 940);
}

#[test]
fn h1_finds_the_one_who_believes_longest_behind_others() {
    let story = "
        6    c1 believes a 7 until 9000 ttl 10000
        40   c1 believes a 8 until 100 ttl 1000
        200  c2 believes b 9 until 300 ttl 1000
        8000 c2 believes a 10 until 8500 ttl 1000
        8400 c2 doubts a 10 released
    ";
    bad(Rule::H1Exclusive, story, 6, 8000);
}

#[test]
fn h1_one_client_may_believe_by_two_grants_and_two_clients_one_after_the_other() {
    good(
        Rule::H1Exclusive,
        "
        6    c1 believes a 7 until 980 ttl 1000
        500  c1 believes a 8 until 1400 ttl 1000
        1000 c1 doubts a 8 released
        1001 c2 believes a 9 until 1990 ttl 1000
        ",
    );
}

#[test]
fn h1_news_that_comes_after_belief_has_ended_does_not_bridge_the_gap() {
    good(
        Rule::H1Exclusive,
        "
        6    c1 believes a 7 until 500 ttl 1000
        600  c2 believes a 8 until 700 ttl 1000
        650  c2 doubts a 8 released
        800  c1 believes a 7 until 900 ttl 1000
        ",
    );
}

#[test]
fn h1_is_not_promised_after_a_revoke_at_once_a_restore_or_with_a_clock_beyond_rho() {
    for cause in [
        "900 c3 revoke a 7 -> done @905",
        "900 recovered restore",
        "900 fault 1 clock on beyond\n 901 fault 1 clock off",
    ] {
        let story = format!(
            "
            6    c1 believes a 7 until 980 ttl 1000
            {cause}
            940  c2 believes a 8 until 1900 ttl 1000
            "
        );
        let (_, verdict) = judge(&story);
        let h1 = finding(&verdict, Rule::H1Exclusive);
        assert_eq!((h1.broken.is_none(), h1.excused), (true, 1), "{cause}");
    }
}

#[test]
fn h2_a_token_that_does_not_rise_in_the_log() {
    let story = "
        3    m1 sees 1 a granted 7 c1
        1000 m1 sees 2 a ended 7 expired
        1013 m1 sees 3 a granted 6 c2
        1020 m1 sees 4 a ended 6 released
    ";
    bad(Rule::H2Fencing, story, 3, 1013);
}

#[test]
fn h2_a_token_that_is_lower_than_one_answered_before_its_call() {
    let story = "
        0    c1 claim a 1000 -> granted 9 @5
        10   c2 claim b 1000 -> granted 8 @15
    ";
    bad(Rule::H2Fencing, story, 5, 15);
    good(
        Rule::H2Fencing,
        "
        0    c1 claim a 1000 -> granted 9 @12
        10   c2 claim b 1000 -> granted 8 @15
        20   c1 claim a 1000 -> granted 9 @25
    ",
    );
}

#[test]
fn h2_a_token_that_names_two_holders() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        10   c2 believes b 7 until 900 ttl 1000
        20   c2 doubts b 7 released
    ";
    bad(Rule::H2Fencing, story, 5, 10);
}

#[test]
fn h2_a_resource_that_takes_an_older_token() {
    let story = "
        10   c1 writes a 7 accepted
        20   c2 writes a 8 accepted
        30   c1 writes a 7 accepted
    ";
    bad(Rule::H2Fencing, story, 20, 30);
    good(
        Rule::H2Fencing,
        "
        10   c1 writes a 7 accepted
        20   c2 writes a 8 accepted
        25   c2 writes a 8 accepted
        30   c1 writes a 7 refused
    ",
    );
}

#[test]
fn h4_a_grant_that_ends_while_its_holder_believes() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        300  c1 believes a 7 until 1280 ttl 1000
        1100 m1 sees 2 a ended 7 expired
    ";
    bad(Rule::H4Early, story, 300, 1100);
}

#[test]
fn h4_a_grant_that_ends_before_the_extend_that_was_answered_allows() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        500  c1 extend a 7 1000 -> granted 7 @505
        1400 m1 sees 2 a ended 7 expired
    ";
    bad(Rule::H4Early, story, 505, 1400);
    good(
        Rule::H4Early,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        500  c1 extend a 7 1000 -> granted 7 @505
        1491 m1 sees 2 a ended 7 expired
    ",
    );
}

#[test]
fn h4_its_holders_release_may_end_it_at_any_time_but_not_while_it_believes() {
    good(
        Rule::H4Early,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        6    c1 believes a 7 until 980 ttl 1000
        100  c1 doubts a 7 released
        101  c1 release a 7 -> unknown @5000
        104  m1 sees 2 a ended 7 released
    ",
    );
    bad(
        Rule::H4Early,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        6    c1 believes a 7 until 980 ttl 1000
        104  m1 sees 2 a ended 7 released
        200  c1 doubts a 7 ended
    ",
        5,
        104,
    );
}

#[test]
fn h4_a_revoke_at_once_is_excused() {
    excused(
        Rule::H4Early,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        6    c1 believes a 7 until 980 ttl 1000
        100  op revoke a 7 -> done @105
        104  m1 sees 2 a ended 7 revoked
    ",
    );
}

#[test]
fn h5_a_grant_that_stands_too_long() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        1600 m1 sees 2 a ended 7 expired
    ";
    bad(Rule::H5Late, story, 5, 1600);
    good(
        Rule::H5Late,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        1500 m1 sees 2 a ended 7 expired
    ",
    );
}

#[test]
fn h5_a_grant_that_never_ends() {
    let story = "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        1700 m1 is ready at 1
    ";
    bad(Rule::H5Late, story, 5, 1700);
}

#[test]
fn h5_a_change_of_leader_and_trouble_and_a_session_that_extends_allow_more() {
    for cause in [
        "0 m1 leads 1\n 500 m2 leads 2",
        "500 fault 1 stop on\n 800 fault 1 stop off",
        "900 c1 believes a 7 until 1880 ttl 1000 kept",
    ] {
        let story = format!(
            "
            0    c1 claim a 1000 -> granted 7 @5
            3    m1 sees 1 a granted 7 c1
            {cause}
            2900 m1 sees 2 a ended 7 expired
            3000 m1 is ready at 2
        "
        );
        let (_, verdict) = judge(&story);
        let h5 = finding(&verdict, Rule::H5Late);
        assert_eq!((h5.broken.is_none(), h5.looked_at), (true, 1), "{cause}: {h5:?}");
    }
}

#[test]
fn h5_a_grant_that_nobody_took_up_ends_soon() {
    let story = "
        3    m1 sees 1 a granted 7 c1 unconfirmed
        4000 m1 sees 2 a ended 7 unconfirmed
    ";
    bad(Rule::H5Late, story, 3, 4000);
}

#[test]
fn h5_a_grant_that_ended_while_an_extend_was_on_its_way_is_not_late() {
    good(
        Rule::H5Late,
        "
        0    c1 claim a 1000 -> granted 7 @5
        3    m1 sees 1 a granted 7 c1
        900  c1 extend a 7 1000 -> unknown @3900
        2400 m1 sees 2 a ended 7 expired
        ",
    );
}
