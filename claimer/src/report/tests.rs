use std::time::Duration;

use super::{Latencies, Quantiles, Report, Tally};
use crate::history::{Call, Event, Nanos, What};
use crate::process::Usage;
use crate::verdict::{Tokens, Verdict};

fn verdict(reasons: &[&str]) -> Verdict {
    let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    Verdict { leases: 2, tokens: Tokens::Told, held: 2, gaps: 0, gap_longest: None, reasons }
}

fn report(tally: &Tally, reasons: &[&str]) -> Report {
    let server = Usage { pid: 42, rss_bytes: 1024, cpu_seconds: 1.5 };
    Report::new(6, Duration::from_secs(120), tally, verdict(reasons), vec![(1.0, 1), (2.0, 2)], vec![server])
}

fn tally(whats: Vec<What>) -> Tally {
    let mut tally = Tally::default();
    for what in whats {
        tally.observe(&Event { at: Nanos(0), holder: 0, what });
    }
    tally
}

#[test]
fn quantiles_are_milliseconds() {
    let mut latencies = Latencies::default();
    assert_eq!(latencies.quantiles(), Quantiles::default());
    for millis in 1..=1_000 {
        latencies.record(Duration::from_millis(millis));
    }
    let quantiles = latencies.quantiles();
    for (found, exact) in [(quantiles.p50, 500.0), (quantiles.p99, 990.0), (quantiles.p999, 999.0)] {
        assert!((found - exact).abs() <= exact / 500.0, "{found} is not {exact}");
    }
    assert!(quantiles.max >= 1_000.0 && quantiles.max < 1_002.0);
}

#[test]
fn a_latency_beyond_a_day_counts_as_a_day() {
    let mut latencies = Latencies::default();
    latencies.record(Duration::from_secs(10 * 24 * 60 * 60));
    assert!(latencies.quantiles().max >= 86_400_000.0);
}

#[test]
fn every_event_is_counted_where_it_belongs() {
    let took = Duration::from_millis(5);
    let why = String::new();
    let tally = tally(vec![
        What::Connected { took, pid: 1, number: 1 },
        What::Connected { took, pid: 1, number: 2 },
        What::Disconnected,
        What::ConnectFailed { to: String::new(), why: why.clone() },
        What::Claimed { token: 1, until: Nanos(9), took },
        What::Denied { took },
        What::Extended { token: 1, until: Nanos(9), held: took, took },
        What::Lost { held: took, took },
        What::Waited { took },
        What::Failed { call: Call::Claim, took, why: why.clone() },
        What::TimedOut { call: Call::Extend, took, why },
    ]);
    assert_eq!((tally.connections, tally.lost, tally.errors, tally.timeouts), (1, 1, 2, 1));
    assert_eq!((tally.claim.count(), tally.extend.count(), tally.wait.count()), (2, 2, 1));
}

#[test]
fn the_json_has_the_promised_shape() {
    let json = serde_json::to_value(report(&Tally::default(), &[])).unwrap_or_default();
    let latency = serde_json::json!({"p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0});
    let expected = serde_json::json!({
        "leases": 2, "holders": 6, "connections": 0, "held": 2, "lost": 0, "errors": 0, "timeouts": 0,
        "verdict": "clean", "claim_ms": latency, "extend_ms": latency, "wait_ms": latency,
        "held_over_time": [[1.0, 1], [2.0, 2]],
        "servers": [{"pid": 42, "rss_bytes": 1024, "cpu_seconds": 1.5}],
    });
    assert_eq!(json, expected);
}

#[test]
fn a_verdict_that_is_not_clean_is_its_reasons() {
    let json = serde_json::to_value(report(&Tally::default(), &["one", "two"])).unwrap_or_default();
    assert_eq!(json["verdict"], serde_json::json!(["one", "two"]));
}

#[test]
fn people_read_the_same_figures() {
    let text = report(&Tally::default(), &["a lease was never held, 1 times: b"]).to_string();
    for part in [
        "2 of 2 held after 2m0s",
        "6 on 0 connections",
        "0 lost",
        "waits     0: -\n",
        "pid 42",
        "not clean: a lease was never",
    ] {
        assert!(text.contains(part), "{part:?} not in {text}");
    }
}
