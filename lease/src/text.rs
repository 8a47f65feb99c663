//! How text that others wrote stands in messages: so that it cannot hide, forge a line, move the reader's cursor, or end the
//! quotes that it stands in.

use std::fmt::{self, Write};

/// The most characters of a text that [`Quoted`] shows.
pub const SHOWN_CHARS_MAX: usize = 64;

/// Whether a reader would not see `character` as what it is: control characters, line and paragraph separators, and the marks
/// that reorder or hide text, with which a name could be made to look like another.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Displays a text with what is hidden in it escaped; its quotes and backslashes stay.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| show(character, f))
    }
}

/// Displays a text in quotes, what is hidden in it escaped, and quotes and backslashes too; a text of more than
/// [`SHOWN_CHARS_MAX`] characters is cut, with `…` behind the quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        f.write_char('"')?;
        for character in characters.by_ref().take(SHOWN_CHARS_MAX) {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                other => show(other, f)?,
            }
        }
        f.write_char('"')?;
        if characters.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

fn show(character: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match character {
        // A line end as `\n`, which readers know.
        control if control.is_control() => write!(f, "{}", control.escape_debug()),
        hidden if is_hidden(hidden) => write!(f, "{}", hidden.escape_unicode()),
        plain => f.write_char(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_64_characters() {
        assert_eq!(Quoted(&"é".repeat(300)).to_string(), format!("\"{}\"…", "é".repeat(64)));
        assert_eq!(Quoted(&"x".repeat(64)).to_string(), format!("\"{}\"", "x".repeat(64)));
    }

    #[test]
    fn control_and_reordering_characters_are_escaped() {
        let text = "a\nb\u{202e}c\0\u{1b}[2J\u{feff}\u{61c}";
        let shown = r"a\nb\u{202e}c\0\u{1b}[2J\u{feff}\u{61c}";
        assert_eq!(Shown(text).to_string(), shown);
        assert_eq!(Quoted(text).to_string(), format!("\"{shown}\""));
    }

    #[test]
    fn a_text_cannot_end_the_quotes_that_it_stands_in() {
        assert_eq!(Quoted(r#"a" is held; "b\"#).to_string(), r#""a\" is held; \"b\\""#);
        assert_eq!(Shown(r#"field "a\b""#).to_string(), r#"field "a\b""#, "a message's own quotes stay");
    }
}
