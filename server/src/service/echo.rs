//! How a caller's own text stands in our messages: escaped, so that it cannot forge a log line or hide, and cut, so that
//! a large one is not sent back whole.

/// Displays a caller's text in quotes.
pub(crate) use lease::Quoted as Echo;
use lease::Shown;

/// The most characters of a message that another library wrote around a caller's text.
const MESSAGE_CHARS_MAX: usize = 400;

/// A message that holds a caller's text, made fit to show.
pub(crate) fn clean(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        None => Shown(message).to_string(),
        // Both ends: the start names what is wrong, the end where.
        Some((cut, _)) => {
            let tail = message.char_indices().rev().nth(80).map_or(0, |(at, _)| at);
            let (start, end) = (&message[..cut.min(tail)], &message[tail.max(cut.min(tail))..]);
            let start = start.char_indices().nth(240).map_or(start, |(at, _)| &start[..at]);
            format!("{} … {}", Shown(start), Shown(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
