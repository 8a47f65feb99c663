//! How a caller's own text stands in our messages: escaped, so that it cannot forge a log line or hide, and cut, so that
//! a large one is not sent back whole.

use std::fmt;

/// The most characters of a caller's text that a message repeats.
const ECHO_CHARS_MAX: usize = 64;
/// The most characters of a message that another library wrote around a caller's text.
const MESSAGE_CHARS_MAX: usize = 400;

/// Displays a caller's text in quotes.
pub(crate) struct Echo<'a>(pub(crate) &'a str);

impl fmt::Display for Echo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.char_indices().nth(ECHO_CHARS_MAX).map(|(at, _)| at);
        let shown = &self.0[..cut.unwrap_or(self.0.len())];
        write!(f, "\"{}\"", Clean(shown))?;
        match cut {
            Some(_) => f.write_str("…"),
            None => Ok(()),
        }
    }
}

/// A message that holds a caller's text, made fit to show.
pub(crate) fn clean(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        None => Clean(message).to_string(),
        // Both ends: the start names what is wrong, the end where.
        Some((cut, _)) => {
            let tail = message.char_indices().rev().nth(80).map_or(0, |(at, _)| at);
            let (start, end) = (&message[..cut.min(tail)], &message[tail.max(cut.min(tail))..]);
            let start = start.char_indices().nth(240).map_or(start, |(at, _)| &start[..at]);
            format!("{} … {}", Clean(start), Clean(end))
        }
    }
}

struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '`' | '\'' | '\\' => fmt::Write::write_char(f, character)?,
                hidden if is_hidden(hidden) => write!(f, "{}", hidden.escape_unicode())?,
                plain => write!(f, "{}", plain.escape_debug())?,
            }
        }
        Ok(())
    }
}

fn is_hidden(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_64_characters() {
        let long = "é".repeat(300);
        assert_eq!(Echo(&long).to_string(), format!("\"{}\"…", "é".repeat(64)));
        let fits = "x".repeat(64);
        assert_eq!(Echo(&fits).to_string(), format!("\"{fits}\""));
    }

    #[test]
    fn control_and_reordering_characters_are_escaped() {
        assert_eq!(Echo("a\nb\u{202e}c\0").to_string(), r#""a\nb\u{202e}c\0""#);
    }

    #[test]
    fn a_long_message_keeps_its_start_and_its_end() {
        let message = format!("unknown field `{}` at line 1 column 9", "x".repeat(100_000));
        let shown = clean(&message);
        assert!(shown.len() < 500, "{} bytes", shown.len());
        assert!(shown.starts_with("unknown field `xxx"), "{shown}");
        assert!(shown.ends_with("at line 1 column 9"), "{shown}");
        assert_eq!(clean("plain `x`"), "plain `x`");
    }
}
