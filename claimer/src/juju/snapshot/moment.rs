//! A reading of Juju's global clock: a time that began with the year 1 and has nothing to do with the wall's.

use std::fmt;

use time::{Date, Month};

use crate::duration::GoDuration;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;
/// The day of the year 1, 1 January, as days are counted since 4714 BC.
const FIRST_DAY: i32 = 1_721_426;

/// Nanoseconds since the year 1 began. It reaches to the year 292: the clock counts how long a cluster has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// So many nanoseconds after the clock began; none before.
    pub fn from_nanos(nanos: i64) -> Option<Moment> {
        (nanos >= 0).then_some(Moment(nanos))
    }

    /// How many nanoseconds after the clock began.
    pub fn as_nanos(self) -> i64 {
        self.0
    }

    /// Reads `0001-01-01T00:00:30.5Z`.
    pub fn parse(text: &str) -> Option<Moment> {
        let (date, clock) = text.split_once(['T', ' '])?;
        let clock = clock.strip_suffix('Z').or_else(|| clock.strip_suffix("+00:00"))?;
        let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(whole, it)| (whole, Some(it)));
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(whole, ':', [2, 2, 2])?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date =
            Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
        let days = i64::from(date.to_julian_day() - FIRST_DAY);
        let nanos =
            i64::from((hour * 60 + minute) * 60 + second) * SECOND + fraction.map_or(Some(0), nanos)?;
        Moment::from_nanos(days.checked_mul(DAY)?.checked_add(nanos)?)
    }

    /// How long from this moment to `start` and `duration` after it: negative where that is past.
    pub fn until(self, start: Moment, duration: GoDuration) -> GoDuration {
        let from_here = start.0 - self.0;
        GoDuration::from_nanos(from_here.saturating_add(duration.as_nanos()))
    }
}

/// The three numbers of a date or a time, each of its number of digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u32; 3]> {
    let mut parts = text.split(between);
    let mut next = |digits: usize| {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| is_number)
    };
    let read = [next(digits[0])?, next(digits[1])?, next(digits[2])?];
    parts.next().is_none().then_some(read)
}

/// A decimal fraction of a second.
fn nanos(digits: &str) -> Option<i64> {
    let is_fraction = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    format!("{digits:0<9}").parse().ok().filter(|_| is_fraction)
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.0 / DAY, self.0 % DAY);
        // An i64 has no more than 106,751 days.
        let date = i32::try_from(days).ok().and_then(|days| Date::from_julian_day(FIRST_DAY + days).ok());
        let (year, month, day) = date.map_or((1, Month::January, 1), Date::to_calendar_date);
        let (seconds, nanos) = (in_day / SECOND, in_day % SECOND);
        write!(f, "{year:04}-{:02}-{day:02}T", u8::from(month))?;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)?;
        match format!("{nanos:09}").trim_end_matches('0') {
            "" => f.write_str("Z"),
            fraction => write!(f, ".{fraction}Z"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        let table = [
            (0, "0001-01-01T00:00:00Z"),
            (1_500_000_000, "0001-01-01T00:00:01.5Z"),
            (DAY - 1, "0001-01-01T23:59:59.999999999Z"),
            (DAY, "0001-01-02T00:00:00Z"),
            (365 * DAY, "0002-01-01T00:00:00Z"),
            ((365 * 3 + 59) * DAY, "0004-02-29T00:00:00Z"),
        ];
        for (nanos, text) in table {
            assert_eq!(Moment(nanos).to_string(), text);
            assert_eq!(Moment::parse(text), Some(Moment(nanos)));
        }
        assert_eq!(Moment::parse("0001-01-01 00:00:01+00:00"), Moment::from_nanos(SECOND));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "0001-01-01",
            "0001-01-01T00:00:00",
            "0001-02-29T00:00:00Z",
            "0001-01-01T24:00:00Z",
            "0001-01-01T00:00:00.Z",
            "0001-01-01T00:00:00.0000000001Z",
            "0001-01-01T00:00:+1Z",
            "0001-01-01T00:00:00+01:00",
            "0000-12-31T00:00:00Z",
            "2019-02-06T09:28:46Z",
            "1-1-1T0:0:0Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_moment_is_read_as_it_is_written(nanos in 0..i64::MAX) {
            proptest::prop_assert_eq!(Moment::parse(&Moment(nanos).to_string()), Some(Moment(nanos)));
        }
    }
}
