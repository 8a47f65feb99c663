//! Hand-written histories, good and bad.

use std::time::Duration;

use super::{Judge, Tokens, Verdict};
use crate::history::{Event, Nanos, What};

const NO_TIME: Duration = Duration::ZERO;

fn judge(names: &[&str], script: &[(u64, u32, What)], end: u64) -> Verdict {
    judge_by(Tokens::Told, names, script, end)
}

fn judge_by(tokens: Tokens, names: &[&str], script: &[(u64, u32, What)], end: u64) -> Verdict {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut judge = Judge::new(&names, tokens);
    for (at, holder, what) in script {
        judge.observe(&Event { at: Nanos(*at), holder: *holder, what: what.clone() });
    }
    judge.finish(Nanos(end))
}

fn claimed(token: u64, until: u64) -> What {
    What::Claimed { token, until: Nanos(until), took: NO_TIME }
}

fn extended(token: u64, until: u64) -> What {
    What::Extended { token, until: Nanos(until), held: NO_TIME, took: NO_TIME }
}

fn lost() -> What {
    What::Lost { held: NO_TIME, took: NO_TIME }
}

fn assert_blames(verdict: &Verdict, words: &str) {
    assert!(
        verdict.reasons.iter().any(|reason| reason.contains(words)),
        "{words:?} not in {:?}",
        verdict.reasons
    );
}

#[test]
fn one_holder_that_extends_to_the_end_is_clean() {
    let verdict = judge(&["a/0", "a/1"], &[(10, 0, claimed(1, 60)), (40, 0, extended(1, 90))], 80);
    assert_eq!(verdict.reasons, Vec::<String>::new());
    assert_eq!((verdict.leases, verdict.held, verdict.gaps), (1, 1, 0));
}

#[test]
fn two_leases_are_judged_apart() {
    let script = [(10, 0, claimed(1, 60)), (11, 1, claimed(2, 61))];
    assert!(judge(&["a/0", "b/0"], &script, 50).is_clean());
}

#[test]
fn two_believers_at_once_are_an_overlap() {
    let script = [(10, 0, claimed(1, 60)), (50, 1, claimed(2, 100))];
    let verdict = judge(&["a/0", "a/1"], &script, 90);
    assert_blames(&verdict, "a/0 (token 1) and a/1 (token 2) for 10ns");
}

#[test]
fn an_overlap_is_found_whichever_process_reports_first() {
    let script = [(50, 1, claimed(2, 100)), (10, 0, claimed(1, 60))];
    assert_blames(&judge(&["a/0", "a/1"], &script, 90), "two holders believed");
}

#[test]
fn a_long_belief_that_covers_two_later_ones_is_an_overlap_with_both() {
    let script = [(10, 0, claimed(1, 100)), (20, 1, claimed(2, 30)), (40, 2, claimed(3, 100))];
    assert_blames(&judge(&["a/0", "a/1", "a/2"], &script, 90), "2 times");
}

#[test]
fn belief_that_ends_as_the_next_begins_does_not_overlap() {
    let script = [(10, 0, claimed(1, 50)), (50, 1, claimed(2, 100))];
    assert!(judge(&["a/0", "a/1"], &script, 90).is_clean());
}

#[test]
fn a_holder_that_is_told_of_its_loss_believes_no_longer() {
    let script = [(10, 0, claimed(1, 60)), (50, 0, lost()), (50, 1, claimed(2, 100))];
    assert!(judge(&["a/0", "a/1"], &script, 90).is_clean());
}

#[test]
fn a_lower_token_later_is_blamed() {
    let script = [(10, 0, claimed(9, 50)), (50, 1, claimed(8, 100))];
    assert_blames(&judge(&["a/0", "a/1"], &script, 90), "a/1 (token 8) came after a/0 (token 9)");
}

#[test]
fn the_same_token_for_two_holders_is_blamed() {
    let script = [(10, 0, claimed(9, 50)), (50, 1, claimed(9, 100))];
    assert_blames(&judge(&["a/0", "a/1"], &script, 90), "a token did not rise");
}

#[test]
fn the_same_token_for_two_leases_is_blamed() {
    let script = [(10, 0, claimed(9, 100)), (10, 1, claimed(9, 100))];
    assert_blames(&judge(&["a/0", "b/0"], &script, 90), "token 9 named a grant of a and one of b");
}

#[test]
fn a_token_that_changes_in_an_extend_is_blamed() {
    let script = [(10, 0, claimed(1, 60)), (40, 0, extended(2, 90))];
    assert_blames(&judge(&["a/0"], &script, 80), "a/0 extended token 2 where it held 1");
}

#[test]
fn a_grant_that_comes_back_after_its_holder_was_told_that_it_ended_is_blamed() {
    let script = [(10, 0, claimed(1, 60)), (50, 0, lost()), (50, 0, claimed(1, 90))];
    assert_blames(&judge(&["a/0"], &script, 80), "a token did not rise");
    let script = [(10, 0, claimed(1, 60)), (50, 0, lost()), (50, 0, claimed(2, 90))];
    assert!(judge(&["a/0"], &script, 80).is_clean());
}

#[test]
fn the_same_grant_claimed_again_by_its_own_holder_is_the_same_grant() {
    let script = [(10, 0, claimed(1, 60)), (50, 0, claimed(1, 90))];
    assert!(judge(&["a/0"], &script, 80).is_clean());
}

#[test]
fn a_lease_that_nobody_ever_held_is_blamed() {
    assert_blames(&judge(&["a/0", "b/0"], &[(10, 0, claimed(1, 60))], 50), "never held, 1 times: b");
}

#[test]
fn a_lease_that_is_free_at_the_end_is_blamed() {
    let verdict = judge(&["a/0"], &[(10, 0, claimed(1, 60))], 80);
    assert_blames(&verdict, "at the end, 1 times: a for the last 20ns");
    assert_eq!(verdict.held, 0);
}

#[test]
fn a_belief_that_ran_out_before_its_extend_is_a_gap() {
    let verdict = judge(&["a/0"], &[(10, 0, claimed(1, 60)), (75, 0, extended(1, 120))], 90);
    assert_blames(&verdict, "after its first claim, 1 times: a for 15ns");
    assert_eq!((verdict.held, verdict.gaps, verdict.gap_longest), (1, 1, Some(Duration::from_nanos(15))));
}

#[test]
fn what_begins_after_the_end_is_not_judged() {
    let script = [(10, 0, claimed(1, 60)), (70, 1, claimed(2, 120))];
    assert!(judge(&["a/0", "a/1"], &script, 50).is_clean());
}

#[test]
fn many_cases_are_counted_and_three_are_told() {
    let names: Vec<String> = (0..5).map(|n| format!("a{n}/0")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let verdict = judge(&names, &[], 50);
    assert_eq!(verdict.reasons, ["a lease was never held, 5 times: a0; a1; a2; …"]);
}

#[test]
fn leases_held_now_are_counted_by_belief() {
    let mut judge = Judge::new(&["a/0".to_owned(), "a/1".to_owned(), "b/0".to_owned()], Tokens::Told);
    judge.observe(&Event { at: Nanos(10), holder: 0, what: claimed(1, 60) });
    judge.observe(&Event { at: Nanos(10), holder: 2, what: claimed(2, 50) });
    assert_eq!([judge.held(Nanos(40)), judge.held(Nanos(55)), judge.held(Nanos(61))], [2, 1, 0]);
}

#[test]
fn an_event_of_an_unknown_holder_is_passed_over() {
    assert!(judge(&["a/0"], &[(5, 7, claimed(3, 9)), (10, 0, claimed(1, 60))], 50).is_clean());
}

#[test]
fn an_answer_that_was_read_after_its_own_end_is_no_belief() {
    // a/0 was granted token 1, and read so only after a/1 had won token 2.
    let script = [(20, 1, claimed(2, 100)), (70, 0, claimed(1, 60))];
    let verdict = judge(&["a/0", "a/1"], &script, 90);
    assert_eq!(verdict.reasons, Vec::<String>::new());
    // Nor does it hold a lease that nobody else held.
    let verdict = judge(&["a/0"], &[(70, 0, claimed(1, 60))], 65);
    assert_blames(&verdict, "never held");
    let verdict = judge(&["a/0"], &[(70, 0, claimed(1, 70))], 90);
    assert_blames(&verdict, "never held");
}

#[test]
fn the_token_of_an_answer_that_was_read_late_names_one_grant_all_the_same() {
    let script = [(20, 0, claimed(2, 100)), (70, 1, claimed(2, 60))];
    assert_blames(&judge(&["a/0", "b/0"], &script, 90), "token 2 named a grant of a and one of b");
}

#[test]
fn without_tokens_holders_follow_each_other_and_the_verdict_says_that_none_were_judged() {
    let script = [(10, 0, claimed(0, 60)), (12, 2, claimed(0, 99)), (40, 0, lost()), (40, 1, claimed(0, 90))];
    let names = ["a/0", "a/1", "b/0"];
    let verdict = judge_by(Tokens::Untold, &names, &script, 80);
    assert_eq!(verdict.reasons, Vec::<String>::new());
    assert_eq!(
        verdict.to_string(),
        "clean: one believer at a time, all 2 leases held; there are no tokens on Juju's wire to judge"
    );
    assert!(!judge(&names, &script, 80).is_clean(), "told, the same tokens of two leases are none");
}

#[test]
fn without_tokens_overlaps_and_gaps_are_found_all_the_same() {
    let overlap = [(10, 0, claimed(0, 60)), (50, 1, claimed(0, 100))];
    assert_blames(&judge_by(Tokens::Untold, &["a/0", "a/1"], &overlap, 90), "for 10ns");
    let gap = [(10, 0, claimed(0, 60)), (70, 0, extended(0, 100))];
    let verdict = judge_by(Tokens::Untold, &["a/0"], &gap, 90);
    assert_blames(&verdict, "held by nobody after its first claim");
    assert_eq!(verdict.gaps, 1);
}
