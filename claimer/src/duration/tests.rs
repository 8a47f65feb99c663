//! Against what Go prints and reads.

use proptest::prelude::*;

use super::{GoDuration, InvalidDuration};

#[test]
fn prints_as_go_does() {
    let cases = [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (47_000_000, "47ms"),
        (999_999_999, "999.999999ms"),
        (1_000_000_000, "1s"),
        (1_652_000_000, "1.652s"),
        (10_900_000_000, "10.9s"),
        (30_000_000_000, "30s"),
        (60_000_000_000, "1m0s"),
        (91_990_000_000, "1m31.99s"),
        (699_000_000_000, "11m39s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_605_000_000_001, "1h0m5.000000001s"),
        (-120_000_000_000, "-2m0s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ];
    for (nanos, text) in cases {
        assert_eq!(GoDuration::from_nanos(nanos).to_string(), text);
    }
}

#[test]
fn reads_as_go_does() {
    let cases = [
        ("0", 0),
        ("+0", 0),
        ("0s", 0),
        ("5s", 5_000_000_000),
        ("+5s", 5_000_000_000),
        ("-5s", -5_000_000_000),
        ("5.0s", 5_000_000_000),
        ("5.s", 5_000_000_000),
        (".5s", 500_000_000),
        ("1.004s", 1_004_000_000),
        ("100.00100s", 100_001_000_000),
        ("10ns", 10),
        ("12us", 12_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("13ms", 13_000_000),
        ("1m30s", 90_000_000_000),
        ("10.5s4m", 250_500_000_000),
        ("-2m3.4s", -123_400_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("9223372036854775807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
    ];
    for (text, nanos) in cases {
        let read = GoDuration::parse(text).map(GoDuration::as_nanos);
        // Go computes the long fraction in floats: a nanosecond's difference is below what anyone reads.
        assert!(read.as_ref().is_ok_and(|read| read.abs_diff(nanos) <= 1), "{text}: {read:?}, not {nanos}");
    }
}

#[test]
fn refuses_what_go_refuses() {
    use InvalidDuration::{NoNumber, NoUnit, OutOfRange, UnknownUnit};
    let cases = [
        ("", NoNumber),
        ("-", NoNumber),
        ("s", NoNumber),
        (".", NoNumber),
        (".s", NoNumber),
        ("3", NoUnit),
        ("+3.5", NoUnit),
        ("NaN", NoNumber),
        ("1e9h", UnknownUnit("e".to_owned())),
        ("1d", UnknownUnit("d".to_owned())),
        ("1 s", UnknownUnit(" s".to_owned())),
        ("9223372036854775808ns", OutOfRange),
        ("3000000h", OutOfRange),
        ("99999999999999999999s", OutOfRange),
    ];
    for (text, error) in cases {
        assert_eq!(GoDuration::parse(text), Err(error), "{text}");
    }
}

#[test]
fn what_is_printed_reads_back() {
    for nanos in [1, 999, 1_001, 1_000_001, 59_999_999_999, 3_599_999_999_999, 86_400_000_000_000, i64::MAX] {
        let printed = GoDuration::from_nanos(nanos).to_string();
        assert_eq!(GoDuration::parse(&printed).map(GoDuration::as_nanos), Ok(nanos), "{printed}");
    }
}

#[test]
fn rounds_halves_away_from_zero() {
    assert_eq!(GoDuration::from_nanos(47_499_999).to_millis().to_string(), "47ms");
    assert_eq!(GoDuration::from_nanos(47_500_000).to_millis().to_string(), "48ms");
    assert_eq!(GoDuration::from_nanos(-47_500_000).to_millis().to_string(), "-48ms");
    assert_eq!(GoDuration::from_nanos(400_000).to_millis().to_string(), "0s");
    assert_eq!(GoDuration::from_nanos(89_500_000_000).to_secs().to_string(), "1m30s");
}

/// What whole numbers with their units add up to, in nanoseconds; none where a unit is none, or it is too much.
fn naive(parts: &[(u64, &str)]) -> Option<i64> {
    let units = [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let more = [("m", 60_000_000_000), ("h", 3_600_000_000_000)];
    let nanos = |(number, unit): &(u64, &str)| {
        let (_, nanos) = units.iter().chain(&more).find(|(name, _)| name == unit)?;
        Some(u128::from(*number) * nanos)
    };
    let sum = parts.iter().map(nanos).sum::<Option<u128>>()?;
    i64::try_from(sum).ok().filter(|_| !parts.is_empty())
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(
        nanos in prop_oneof![any::<i64>(), -10_000_000_000_000..10_000_000_000_000_i64, -1_000..1_000_i64],
    ) {
        let duration = GoDuration::from_nanos(nanos);
        assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration));
    }

    #[test]
    fn whole_numbers_with_units_are_their_sum(
        parts in proptest::collection::vec((prop_oneof![0..100_000_u64, any::<u64>()], "ns|us|µs|ms|s|m|h|d|S"), 0..4),
    ) {
        let text: String = parts.iter().map(|(number, unit)| format!("{number}{unit}")).collect();
        let parts: Vec<(u64, &str)> = parts.iter().map(|(number, unit)| (*number, unit.as_str())).collect();
        assert_eq!(GoDuration::parse(&text).ok().map(GoDuration::as_nanos), naive(&parts), "{text}");
    }

    #[test]
    fn a_text_of_any_kind_is_a_duration_or_refused(text in prop_oneof!["\\PC{0,20}", "[-+0-9.µnumsh eE_]{0,24}"]) {
        // Accepted is what begins with a sign, a digit or a dot, ends with a unit, and is the same when it is printed.
        if let Ok(duration) = GoDuration::parse(&text) {
            assert!(text.starts_with(|c: char| c.is_ascii_digit() || "-+.".contains(c)), "{text}");
            assert!(text.trim_start_matches(['-', '+']) == "0" || text.ends_with(['s', 'm', 'h']), "{text}");
            assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration), "{text}");
        }
    }

    #[test]
    fn digits_without_end_are_read_or_refused(count in 1_usize..3_000, fraction in any::<bool>()) {
        let digits = "9".repeat(count);
        let text = if fraction { format!("1.{digits}h") } else { format!("{digits}ns") };
        assert_eq!(GoDuration::parse(&text).is_ok(), fraction || count < 19, "{text}");
    }
}
