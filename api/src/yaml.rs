//! A text as a YAML scalar, in the form that Juju's own writer gives it: plain where it stays that text, in single quotes where it
//! would be read as structure, in double quotes where it would be read as another type or cannot be seen.

use std::fmt::{self, Write as _};

/// Displays a text as a YAML scalar, on one line.
#[derive(Clone, Copy, Debug)]
pub struct YamlText<'a>(pub &'a str);

impl fmt::Display for YamlText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        match () {
            () if text.chars().any(lease::is_hidden) || is_other(text) => write_double(text, f),
            () if is_plain(text) => f.write_str(text),
            () => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}

/// Whether a reader takes it for something else than a text.
fn is_other(text: &str) -> bool {
    const WORDS: [&str; 11] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let word = text.to_ascii_lowercase();
    let digits = word.trim_start_matches(['+', '-']).replace('_', "");
    let of_base =
        ["0x", "0o", "0b"].iter().any(|base| digits.strip_prefix(base).is_some_and(|rest| !rest.is_empty()));
    let is_sexagesimal =
        digits.contains(':') && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    WORDS.contains(&&*word)
        || matches!(&*digits, ".inf" | ".nan")
        || digits.parse::<f64>().is_ok()
        || of_base
        || is_sexagesimal
        || is_date(text)
}

/// Whether it begins as a timestamp does: `2019-0`.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 6
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[5].is_ascii_digit()
}

/// Whether it stays the same text without quotes. Stricter than YAML, which is no harm.
fn is_plain(text: &str) -> bool {
    let inside = |c: char| {
        c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ' ' | '(' | ')' | '@' | '+' | '=')
    };
    text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.'))
        && text.chars().all(inside)
        && !text.contains(": ")
        && !text.ends_with([' ', ':'])
}

fn write_double(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            // Of what is hidden, nothing lies above 16 bits.
            hidden if lease::is_hidden(hidden) => write!(f, "\\u{:04x}", u32::from(hidden))?,
            plain => f.write_char(plain)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::YamlText;

    #[test]
    fn texts_are_written_as_juju_writes_them() {
        let table = [
            ("mysql/0", "mysql/0"),
            ("10s ago", "10s ago"),
            ("1m0s", "1m0s"),
            ("8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11", "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11"),
            ("127.0.0.1:7401", "127.0.0.1:7401"),
            (
                r#""raft-leader-flag" not set: dependency not available"#,
                r#"'"raft-leader-flag" not set: dependency not available'"#,
            ),
            ("2019-02-06 08:32:28", "\"2019-02-06 08:32:28\""),
            ("", "\"\""),
            ("no", "\"no\""),
            ("12", "\"12\""),
            ("-1e3", "\"-1e3\""),
            ("0x1f", "\"0x1f\""),
            ("1:30", "\"1:30\""),
            ("it's: so", "'it''s: so'"),
            ("*engine.Flag", "'*engine.Flag'"),
            ("- a", "'- a'"),
            ("a # b", "'a # b'"),
            ("ends:", "'ends:'"),
            ("two\nlines\u{202e}\"", "\"two\\nlines\\u202e\\\"\""),
        ];
        for (text, written) in table {
            assert_eq!(YamlText(text).to_string(), written);
        }
    }
}
