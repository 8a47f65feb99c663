//! The lines against those of `article.txt` and the reference's verbose forms.

use std::time::Duration;

use super::{Line, Style, Writer};
use crate::history::{Call, Event, Nanos, What};
use crate::workload::Pace;

fn writer(style: Style, scale: f64) -> Writer {
    Writer {
        style,
        holders: vec!["a0702/0".into(), "a/0".into()],
        pace: Pace {
            claim_time: Duration::from_secs(60),
            renew_time: Duration::from_secs(30),
            sleep: Duration::ZERO,
            ramp: Duration::ZERO,
            duration: None,
            scale,
        },
        start: Nanos(1_000_000_000),
    }
}

fn line(style: Style, holder: u32, at_ms: u64, what: What) -> Option<Line> {
    scaled_line(style, 1.0, holder, at_ms, what)
}

fn scaled_line(style: Style, scale: f64, holder: u32, at_ms: u64, what: What) -> Option<Line> {
    writer(style, scale).line(&Event { at: Nanos(1_000_000_000 + at_ms * 1_000_000), holder, what })
}

fn out(text: &str) -> Option<Line> {
    Some(Line::Out(text.to_owned()))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn claimed(took: Duration) -> What {
    What::Claimed { token: 1, until: Nanos(0), took }
}

fn extended(held: Duration, took: Duration) -> What {
    What::Extended { token: 1, until: Nanos(0), held, took }
}

#[test]
fn quiet_lines_read_like_the_articles() {
    assert_eq!(
        line(Style::Quiet, 0, 3_058, claimed(ms(1_652))),
        out("    3.058s claimed  a0702/0 in 1.652s")
    );
    assert_eq!(
        line(Style::Quiet, 0, 93_596, extended(ms(90_013), Duration::from_micros(47_300))),
        out("   93.596s extended a0702/0 held for 1m30s in 47ms")
    );
    assert_eq!(
        line(Style::Quiet, 0, 703_082, What::Lost { held: ms(699_100), took: ms(91_990) }),
        out("  703.082s lost     a0702/0 after 11m39s in 1m31.99s")
    );
    assert_eq!(
        line(Style::Quiet, 0, 1_273_173, extended(ms(1_262_000), ms(126))),
        out(" 1273.173s extended a0702/0 held for 21m2s in 126ms")
    );
    assert_eq!(
        line(Style::Quiet, 0, 250, What::Connected { took: ms(12), pid: 321, number: 7 }),
        out("    0.250s connected [  321]    7 a0702/0 in 12ms")
    );
}

#[test]
fn quiet_lines_say_nothing_of_what_was_denied_or_waited_for() {
    assert_eq!(line(Style::Quiet, 0, 1, What::Denied { took: ms(1) }), None);
    assert_eq!(line(Style::Quiet, 0, 1, What::Waited { took: ms(1) }), None);
}

#[test]
fn verbose_lines_are_sentences() {
    let cases = [
        (claimed(ms(12)), "claimed leadership of \"a\" for \"a/0\" for 1m0s in 12ms, renewing after 30s"),
        (
            extended(ms(60_200), ms(9)),
            "extended leadership of \"a\" for \"a/0\" for 1m0s in 9ms, held for 1m0s, renewing after 30s",
        ),
        (
            What::Lost { held: ms(60_000), took: ms(9) },
            "lost leadership of \"a\" for \"a/0\" after 1m0s in 9ms, blocking until released",
        ),
        (What::Denied { took: ms(5) }, "claim of \"a\" for \"a/0\" denied in 5ms, blocking until released"),
        (
            What::Waited { took: ms(5_000) },
            "blocking of \"a\" for \"a/0\" returned after 5s, attempting to claim",
        ),
    ];
    for (what, text) in cases {
        assert_eq!(line(Style::Verbose, 1, 1_500, what), out(&format!("    1.500s {text}")));
    }
}

#[test]
fn trouble_goes_to_stderr_and_timeouts_to_both() {
    let why = "lease operation timed out".to_owned();
    assert_eq!(
        line(
            Style::Quiet,
            1,
            278_801,
            What::Failed { call: Call::Claim, took: ms(57_140), why: why.clone() }
        ),
        Some(Line::Err(
            "  278.801s claim of \"a\" for \"a/0\" failed in 57.14s: lease operation timed out".into()
        ))
    );
    assert_eq!(
        line(
            Style::Quiet,
            1,
            1_000,
            What::TimedOut { call: Call::Extend, took: ms(2_000), why: "no answer".into() }
        ),
        Some(Line::Both(
            "    1.000s extend of \"a\" for \"a/0\" timed out in 2s, retrying: no answer".into()
        ))
    );
    assert_eq!(
        line(Style::Quiet, 1, 1_000, What::Failed { call: Call::Wait, took: ms(2_000), why }),
        Some(Line::Err(
            "    1.000s blocking for leadership of \"a\" for \"a/0\" failed in 2s with lease operation timed out".into()
        ))
    );
    assert_eq!(
        line(Style::Quiet, 1, 0, What::ConnectFailed { to: "h:1".into(), why: "refused".into() }),
        Some(Line::Err("1 failed to connect to h:1 (retrying): refused".into()))
    );
}

#[test]
fn scaled_times_are_told_as_if_unscaled_and_latencies_as_measured() {
    assert_eq!(
        scaled_line(Style::Quiet, 10.0, 0, 9_359, extended(ms(9_000), ms(47))),
        out("   93.590s extended a0702/0 held for 1m30s in 47ms")
    );
}
