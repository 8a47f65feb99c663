//! Lengths of time as messages show them: in the units that a person reads, and in Go's form, as the `tenure` binary prints them.

use std::fmt;

/// Displays so many milliseconds: `47ms`, `1.652s`, `1m0s`, `24h0m0s`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000, self.0 % 1_000);
        if seconds == 0 && millis > 0 {
            return write!(f, "{millis}ms");
        }
        if seconds >= 3_600 {
            write!(f, "{}h", seconds / 3_600)?;
        }
        if seconds >= 60 {
            write!(f, "{}m", seconds / 60 % 60)?;
        }
        write!(f, "{}", seconds % 60)?;
        if millis > 0 {
            write!(f, ".{}", format!("{millis:03}").trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_shown_as_go_shows_them() {
        let cases = [
            (0, "0s"),
            (1, "1ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_652, "1.652s"),
            (10_900, "10.9s"),
            (14_002, "14.002s"),
            (60_000, "1m0s"),
            (91_990, "1m31.99s"),
            (3_600_000, "1h0m0s"),
            (86_400_000, "24h0m0s"),
        ];
        for (millis, shown) in cases {
            assert_eq!(Span(millis).to_string(), shown);
        }
    }
}
