use std::time::Duration;

use super::{Pace, Workload, backoff, check_holder, lease_of, make_holders};
use crate::history::Nanos;

fn pace(scale: f64) -> Pace {
    Pace {
        claim_time: Duration::from_secs(60),
        renew_time: Duration::from_secs(30),
        sleep: Duration::from_secs(1),
        ramp: Duration::from_secs(10),
        duration: None,
        scale,
    }
}

fn workload(holders: Vec<String>) -> Workload {
    Workload {
        trust: None,
        juju: None,
        endpoints: vec!["127.0.0.1:7400".into()],
        namespace: "default".into(),
        holders,
        pace: pace(1.0),
    }
}

#[test]
fn names_read_like_the_articles() {
    let holders = make_holders(2, 3).unwrap();
    assert_eq!(holders, ["a0000/0", "a0000/1", "a0000/2", "a0001/1", "a0001/2", "a0001/0"]);
    assert_eq!(make_holders(10_000, 1).unwrap()[9_999], "a9999/0");
    assert_eq!(make_holders(10_001, 1).unwrap()[0], "a00000/0");
    assert_eq!(make_holders(1, 1).unwrap(), ["a0000/0"]);
}

#[test]
fn counts_out_of_bounds_are_refused_with_the_bound() {
    assert!(make_holders(0, 3).unwrap_err().0.contains("--leases 0 is out of bounds: 1 to 1000000"));
    assert!(make_holders(5, 0).unwrap_err().0.contains("--units 0 is out of bounds"));
    assert!(
        workload(make_holders(1, 1).unwrap()).split(0, Nanos(0)).unwrap_err().0.contains("--processes 0")
    );
}

#[test]
fn the_lease_is_what_stands_before_the_last_slash() {
    assert_eq!([lease_of("a0000/0"), lease_of("eu/db/12"), lease_of("plain")], ["a0000", "eu/db", "plain"]);
}

#[test]
fn a_holder_needs_a_lease_and_a_number() {
    for good in ["a01/0", "ubuntu-lite/0", "eu/db/12"] {
        assert_eq!(check_holder(good), Ok(()), "{good}");
    }
    for bad in ["", "a", "a/", "/0", "a/b", "a/-1", "a\n/0", "../0"] {
        assert!(check_holder(bad).is_err(), "{bad:?}");
    }
    assert!(check_holder("a\u{1b}[2Jb").unwrap_err().0.contains("\\u{1b}"), "control characters are escaped");
}

#[test]
fn holders_of_one_lease_stay_in_one_process_and_none_is_lost() {
    let whole = workload(make_holders(10, 3).unwrap());
    let shares = whole.split(3, Nanos(0)).unwrap();
    let mut seen: Vec<(u32, String)> = shares.iter().flat_map(|share| share.holders.clone()).collect();
    seen.sort();
    let expected: Vec<(u32, String)> = (0..).zip(whole.holders.clone()).collect();
    assert_eq!(seen, expected);
    for share in &shares {
        assert_eq!(share.holders.len() % 3, 0, "a lease was split: {:?}", share.holders);
    }
}

#[test]
fn a_process_without_holders_is_not_started() {
    assert_eq!(workload(make_holders(2, 3).unwrap()).split(5, Nanos(0)).unwrap().len(), 2);
}

#[test]
fn more_connections_than_descriptors_are_refused_with_the_remedy() {
    let error = workload(make_holders(8_000, 3).unwrap()).split(1, Nanos(0)).unwrap_err().0;
    assert!(error.contains("24000") && error.contains("20000") && error.contains("--processes 3"), "{error}");
}

#[test]
fn twelve_thousand_connections_take_two_processes() {
    assert_eq!(workload(make_holders(4_000, 3).unwrap()).processes_default(), 2);
}

#[test]
fn every_time_is_divided_and_told_multiplied() {
    let pace = pace(10.0);
    assert_eq!(pace.ttl_ms(), 6_000);
    assert_eq!(pace.real(pace.renew_time), Duration::from_secs(3));
    assert_eq!(pace.told(Duration::from_secs(3)), Duration::from_secs(30));
}

#[test]
fn the_ramp_spreads_first_connections_evenly() {
    let share = &workload(make_holders(10, 1).unwrap()).split(1, Nanos(1_000)).unwrap()[0];
    assert_eq!(share.connects_at(0), Nanos(1_000));
    assert_eq!(share.connects_at(5), Nanos(5_000_001_000));
}

#[test]
fn retries_slow_down_to_a_second_and_are_spread() {
    let ttl = Duration::from_secs(60);
    for attempt in 0..40 {
        for holder in 0..100 {
            let wait = backoff(attempt, holder, ttl);
            assert!(wait >= Duration::from_millis(25) && wait <= Duration::from_secs(1), "{wait:?}");
        }
    }
    assert!(backoff(10, 1, ttl) >= Duration::from_millis(500));
    assert!(backoff(10, 1, Duration::from_secs(2)) <= Duration::from_millis(250), "an eighth of the ttl");
    assert_ne!(backoff(5, 1, ttl), backoff(5, 2, ttl));
}
