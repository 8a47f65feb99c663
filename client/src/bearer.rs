//! What a program is known by where it has no certificate: a token, which is a secret.

use std::fmt;
use std::sync::Arc;

/// How a token begins, so that it is told apart from other words.
pub const BEARER_START: &str = "tenure-token-";

/// A token to come by. It is sent to members and shown nowhere, its `Debug` included.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(Arc<str>);

/// Why a text is no token. It repeats nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken;

impl Bearer {
    /// Takes a token, white space around it left out.
    ///
    /// # Errors
    /// It is none: it begins otherwise, or has what no token has.
    pub fn parse(text: &str) -> Result<Bearer, InvalidToken> {
        let text = text.trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match text.starts_with(BEARER_START) && text.bytes().all(plain) {
            true => Ok(Bearer(text.into())),
            false => Err(InvalidToken),
        }
    }

    /// The value of `Authorization`.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is no token: one begins with {BEARER_START}, and `tenure token create` makes it")
    }
}

impl std::error::Error for InvalidToken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_trimmed_and_never_shown() {
        let token = Bearer::parse(" tenure-token-00-11-22\n");
        assert_eq!(token.as_ref().map(Bearer::header).as_deref(), Ok("Bearer tenure-token-00-11-22"));
        assert_eq!(format!("{token:?}"), "Ok(Bearer(…))");
        for wrong in ["", "41", "tenure-token-a\r\nx: y", "tenure-join-00"] {
            assert_eq!(Bearer::parse(wrong), Err(InvalidToken), "{wrong:?}");
        }
    }
}
