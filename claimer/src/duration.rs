//! Durations as Go prints and reads them, so that our lines read like the article's.
//!
//! ```text
//! 0s   47ms   1.652s   30s   1m30s   1m31.99s   11m39s   1h0m0s   1.5µs   -2m0s
//! ```
//!
//! The rules are those of Go's package `time`: below a second the unit is the largest of ns, µs and ms that leaves a
//! whole part; from a second on hours, minutes and seconds follow each other without gaps (`1h0m0s`); the zeros at a
//! fraction's end are left out. A duration is read as a row of decimal numbers, each with its unit; a bare number is
//! refused, but for `0`.

use std::fmt;
use std::time::Duration;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A length of time in nanoseconds, positive or negative, up to about 292 years: Go's `time.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

impl GoDuration {
    /// A length of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: i64) -> GoDuration {
        GoDuration(nanos)
    }

    /// The length in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The same length without a sign; none where it is negative.
    pub fn unsigned(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }

    /// Rounded to the nearest whole `unit`, halves away from zero.
    pub fn round(self, unit: Duration) -> GoDuration {
        let unit = unit.as_nanos().max(1);
        let magnitude = u128::from(self.0.unsigned_abs());
        let rounded = i64::try_from((magnitude + unit / 2) / unit * unit).unwrap_or(i64::MAX);
        GoDuration(if self.0 < 0 { -rounded } else { rounded })
    }

    /// Rounded to whole milliseconds: how the tool prints what it measured.
    pub fn to_millis(self) -> GoDuration {
        self.round(Duration::from_millis(1))
    }

    /// Rounded to whole seconds: how the tool prints how long a lease was held.
    pub fn to_secs(self) -> GoDuration {
        self.round(Duration::from_secs(1))
    }

    /// Reads a duration such as `15s`, `1m30s`, `200ms`, `1.5h` or `-2m`.
    ///
    /// # Errors
    /// [`InvalidDuration`] where it has no number, a number without a unit, an unknown unit, or is out of range.
    pub fn parse(text: &str) -> Result<GoDuration, InvalidDuration> {
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(GoDuration(0));
        }
        if rest.is_empty() {
            return Err(InvalidDuration::NoNumber);
        }
        let mut nanos = 0_u64;
        while !rest.is_empty() {
            let (part, behind) = leading_part(rest)?;
            nanos = nanos.checked_add(part).ok_or(InvalidDuration::OutOfRange)?;
            rest = behind;
        }
        signed(nanos, negative).map(GoDuration)
    }
}

impl From<Duration> for GoDuration {
    fn from(length: Duration) -> GoDuration {
        GoDuration(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidDuration {
    /// A number was expected: nothing at all, or something else.
    NoNumber,
    /// A number without a unit.
    NoUnit,
    /// A unit that is none of ns, us, µs, ms, s, m, h.
    UnknownUnit(String),
    /// More than about 292 years.
    OutOfRange,
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidDuration::NoNumber => f.write_str("it has no number where one is needed"),
            InvalidDuration::NoUnit => f.write_str("its number has no unit"),
            InvalidDuration::UnknownUnit(unit) => {
                write!(f, "its unit {} is none of ns, us, ms, s, m, h", api::rules::Quoted(unit))
            }
            InvalidDuration::OutOfRange => f.write_str("it is longer than a duration can be (292 years)"),
        }
    }
}

impl std::error::Error for InvalidDuration {}

/// One number with its unit from the front of `text`, in nanoseconds, and what is behind it.
fn leading_part(text: &str) -> Result<(u64, &str), InvalidDuration> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(behind) => split_digits(behind),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(InvalidDuration::NoNumber);
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let unit = unit_nanos(&rest[..unit_end])?;
    let nanos = whole_nanos(whole, unit)?.checked_add(fraction_nanos(fraction, unit));
    let nanos = nanos.filter(|nanos| *nanos <= 1 << 63).ok_or(InvalidDuration::OutOfRange)?;
    Ok((nanos, &rest[unit_end..]))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn whole_nanos(digits: &str, unit: u64) -> Result<u64, InvalidDuration> {
    if digits.is_empty() {
        return Ok(0);
    }
    let whole: u64 = digits.parse().map_err(|_| InvalidDuration::OutOfRange)?;
    whole.checked_mul(unit).ok_or(InvalidDuration::OutOfRange)
}

/// A decimal fraction of `unit`, rounded down. Digits behind the eighteenth are below a nanosecond of any unit.
fn fraction_nanos(digits: &str, unit: u64) -> u64 {
    let mut value = 0_u128;
    let mut scale = 1_u128;
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    u64::try_from(value * u128::from(unit) / scale).unwrap_or(0)
}

fn unit_nanos(unit: &str) -> Result<u64, InvalidDuration> {
    match unit {
        "ns" => Ok(1),
        // The micro sign and the Greek letter look the same, and keyboards have either.
        "us" | "\u{b5}s" | "\u{3bc}s" => Ok(MICROSECOND),
        "ms" => Ok(MILLISECOND),
        "s" => Ok(SECOND),
        "m" => Ok(MINUTE),
        "h" => Ok(HOUR),
        "" => Err(InvalidDuration::NoUnit),
        other => Err(InvalidDuration::UnknownUnit(other.to_owned())),
    }
}

/// Only a negative number reaches 2^63.
fn signed(nanos: u64, negative: bool) -> Result<i64, InvalidDuration> {
    match (i64::try_from(nanos), negative) {
        (Ok(nanos), false) => Ok(nanos),
        (Ok(nanos), true) => Ok(-nanos),
        (Err(_), true) if nanos == 1 << 63 => Ok(i64::MIN),
        (Err(_), _) => Err(InvalidDuration::OutOfRange),
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match nanos {
            0 => f.write_str("0s"),
            1..MICROSECOND => write!(f, "{nanos}ns"),
            MICROSECOND..MILLISECOND => write_decimal(f, nanos, MICROSECOND, "µs"),
            MILLISECOND..SECOND => write_decimal(f, nanos, MILLISECOND, "ms"),
            _ => write_clock(f, nanos),
        }
    }
}

/// From a second on: `1h0m0s`, `1m31.99s`, `3s`.
fn write_clock(f: &mut fmt::Formatter<'_>, nanos: u64) -> fmt::Result {
    if nanos >= HOUR {
        write!(f, "{}h", nanos / HOUR)?;
    }
    if nanos >= MINUTE {
        write!(f, "{}m", nanos % HOUR / MINUTE)?;
    }
    write_decimal(f, nanos % MINUTE, SECOND, "s")
}

/// `nanos` as a decimal number of `unit` nanoseconds, without zeros at its end.
fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u64, unit: u64, name: &str) -> fmt::Result {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", nanos % unit);
    match fraction.trim_end_matches('0') {
        "" => write!(f, "{}{name}", nanos / unit),
        fraction => write!(f, "{}.{fraction}{name}", nanos / unit),
    }
}

#[cfg(test)]
mod tests;
