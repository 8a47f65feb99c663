//! H8: members that are back, and holders that lose nothing.

use torture::check::Rule;

use crate::story::{bad, good};

const HEALED: &str = "
    0     m1 sees 1 a granted 7 c1
    100   fault 1 kill on
    3000  fault 1 kill off
    4000  m1 is ready at 1
    5000  m2 is ready at 2
    6000  p via 1 claim p 1000 -> granted 8 @6010
    6005  m1 sees 2 p granted 8 p
    6020  p via 1 release p 8 -> done @6030
    6025  m1 sees 3 p ended 8 released
    7000  q via 2 claim q 1000 -> granted 9 @7010
    7005  m1 sees 4 q granted 9 q
    7020  q via 2 release q 9 -> done @7030
    7025  m1 sees 5 q ended 9 released
    40000 m1 leads 1
";

#[test]
fn h8_members_that_are_back_in_time() {
    good(Rule::H8Liveness, HEALED);
}

#[test]
fn h8_a_member_that_is_not_ready_in_time() {
    bad(Rule::H8Liveness, &HEALED.replace("5000  m2", "34000 m2"), 3000, 40000);
    bad(Rule::H8Liveness, &HEALED.replace("m2 is ready at 2", "m2 is behind at 2"), 3000, 40000);
    bad(Rule::H8Liveness, &HEALED.replace("m2 is ready at 2", "m2 is ready at 0"), 3000, 40000);
}

#[test]
fn h8_a_member_through_which_nothing_is_done() {
    bad(Rule::H8Liveness, &HEALED.replace("via 2 release", "via 1 release"), 3000, 40000);
}

#[test]
fn h8_a_fault_that_is_never_lifted() {
    bad(Rule::H8Liveness, &HEALED.replace("3000  fault 1 kill off", ""), 100, 40000);
}

#[test]
fn h8_a_holder_that_loses_what_it_extends_though_nothing_is_in_trouble() {
    let story = "
        0     c1 believes a 7 until 2900 ttl 3000 kept
        1000  c1 believes a 7 until 3900 ttl 3000 kept
        3900  c1 doubts a 7 expired
    ";
    bad(Rule::H8Liveness, story, 1000, 3900);
    good(Rule::H8Liveness, &story.replace("expired", "released"));
    // A ttl that leaves less than two seconds for the next extend promises nothing.
    good(
        Rule::H8Liveness,
        &format!("{story}\n 0 c2 believes b 8 until 2900 ttl 3000 kept\n 10 c2 doubts b 8 released")
            .replace("a 7 until 2900 ttl 3000", "a 7 until 2900 ttl 2000")
            .replace("a 7 until 3900 ttl 3000", "a 7 until 3900 ttl 2000"),
    );
}
