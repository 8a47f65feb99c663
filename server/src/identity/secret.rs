//! A token as it is typed: a recognisable start, its id, its secret and a checksum, so that a mistyped one is told apart from one
//! that is not known.
//!
//! ```text
//! tenure-token-ID-SECRET-CHECK
//!   ID      16 hexadecimal digits, the letters small: the credential's id, no secret
//!   SECRET  64 of them: 256 random bits
//!   CHECK    8 of them: crc32c of `ID-SECRET`, as it is written
//! ```
//!
//! The settings keep its SHA-256, which a fast hash may be: no dictionary has 256 random bits. It is compared in constant time, and
//! its `Debug` shows the id alone.

use std::fmt;
use std::str::FromStr;

use lease::{CredentialId, SecretHash};
use ring::digest::{SHA256, digest};

const START: &str = "tenure-token-";

/// A token. [`Secret::reveal`] alone gives its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    id: CredentialId,
    secret: [u8; 32],
}

/// Why a text is no token. It repeats nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidBearer {
    /// It does not begin as one does.
    Start,
    /// It was cut or mistyped.
    Damaged,
}

impl Secret {
    /// A new one, drawn at random.
    pub fn draw() -> Secret {
        Secret { id: CredentialId(rand::random()), secret: rand::random() }
    }

    /// Its credential's id.
    pub fn id(&self) -> CredentialId {
        self.id
    }

    /// What the settings keep of it.
    pub fn hash(&self) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.secret).as_ref());
        SecretHash(hash)
    }

    /// Whether this is the secret of that hash. It takes as long where it is not.
    pub(crate) fn is_of(&self, hash: &SecretHash) -> bool {
        let differ = |differ, (own, other): (&u8, &u8)| differ | (own ^ other);
        self.hash().0.iter().zip(&hash.0).fold(0, differ) == 0
    }

    /// The same in hexadecimal digits, as it crosses the network.
    pub fn hash_hex(&self) -> String {
        hex(&self.hash().0)
    }

    /// The text, to be given to whoever it is for, and to nobody else.
    pub fn reveal(&self) -> String {
        Secret::sealed(&format!("{}-{}", self.id, hex(&self.secret)))
    }

    fn sealed(body: &str) -> String {
        format!("{START}{body}-{:08x}", crc32c::crc32c(body.as_bytes()))
    }

    /// Any text under a checksum that is right.
    #[cfg(any(test, feature = "parsers"))]
    pub(crate) fn sealed_text(body: &str) -> String {
        Secret::sealed(body)
    }
}

/// The hash of these 64 hexadecimal digits, the letters small.
pub(crate) fn hash_of_hex(text: &str) -> Option<SecretHash> {
    small(text, 64).then(|| bytes_of(text)).flatten().map(SecretHash)
}

fn small(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FromStr for Secret {
    type Err = InvalidBearer;

    fn from_str(text: &str) -> Result<Secret, InvalidBearer> {
        let rest = text.trim().strip_prefix(START).ok_or(InvalidBearer::Start)?;
        read(rest).ok_or(InvalidBearer::Damaged)
    }
}

fn read(rest: &str) -> Option<Secret> {
    let (body, check) = rest.rsplit_once('-')?;
    let (id, secret) = body.split_once('-')?;
    if !small(id, 16) || !small(secret, 64) || !small(check, 8) {
        return None;
    }
    if u32::from_str_radix(check, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
        return None;
    }
    Some(Secret { id: CredentialId(u64::from_str_radix(id, 16).ok()?), secret: bytes_of(secret)? })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, …)", self.id)
    }
}

impl fmt::Display for InvalidBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidBearer::Start => write!(f, "it is no token: one begins with {START}"),
            InvalidBearer::Damaged => f.write_str("the token was cut or mistyped: copy it whole"),
        }
    }
}

impl std::error::Error for InvalidBearer {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parsers;
    use crate::parsers::edits::{edited_text, edits, edits_of_text, within_bounds};

    #[test]
    fn a_token_is_read_as_it_is_written_and_known_by_its_hash() {
        let secret = Secret::draw();
        let text = secret.reveal();
        assert_eq!(text.len(), START.len() + 16 + 1 + 64 + 1 + 8);
        let read: Secret = text.parse().unwrap();
        assert_eq!(read, secret);
        assert!(read.is_of(&secret.hash()) && !read.is_of(&Secret::draw().hash()));
        assert_eq!(format!(" {text}\n").parse(), Ok(secret), "as a file has it");
    }

    #[test]
    fn a_token_is_shown_by_its_id_alone() {
        let secret = Secret::draw();
        let shown = format!("{secret:?}");
        assert_eq!(shown, format!("Secret({}, …)", secret.id()));
    }

    #[test]
    fn one_wrong_letter_is_told_apart_from_a_token_that_nobody_knows() {
        let text = Secret::draw().reveal();
        for at in START.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let wrong = String::from_utf8(bytes).unwrap();
            assert_eq!(wrong.parse::<Secret>(), Err(InvalidBearer::Damaged), "{wrong}");
        }
        assert_eq!(text[..text.len() - 1].parse::<Secret>(), Err(InvalidBearer::Damaged));
        assert_eq!(text.to_uppercase().parse::<Secret>(), Err(InvalidBearer::Start));
        assert_eq!("".parse::<Secret>(), Err(InvalidBearer::Start));
    }

    const WORDS: &[&str] = &[START, "tenure-join-", "-", "--", "00", "ff", "A", "0x", "+1", " ", "\u{202e}"];

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(tenure-token-)?[0-9a-f-]{0,100}|\\PC{0,60}") {
            within_bounds(text.len(), || parsers::bearer_token(&text));
        }

        #[test]
        fn a_token_that_was_changed_is_none(edits in edits(), words in edits_of_text(WORDS)) {
            let text = Secret { id: CredentialId(7), secret: [9; 32] }.reveal();
            for changed in [edited_text(&text, &words), edited_text(&text, &edits)] {
                let is_token = within_bounds(changed.len(), || parsers::bearer_token(&changed));
                prop_assert_eq!(is_token, changed.trim() == text, "{}", changed);
            }
        }

        #[test]
        fn one_that_was_changed_before_it_was_sealed_is_none_but_by_its_digits(words in edits_of_text(WORDS)) {
            let body = format!("{}-{}", CredentialId(7), hex(&[9; 32]));
            let changed = edited_text(&body, &words);
            let is_token = within_bounds(changed.len(), || parsers::sealed_bearer_token(&changed));
            let digits = |text: &str, length| text.len() == length && text.bytes().all(|it| b"0123456789abcdef".contains(&it));
            let should = changed.split_once('-').is_some_and(|(id, secret)| digits(id, 16) && digits(secret, 64));
            prop_assert_eq!(is_token, should, "{}", changed);
        }
    }
}
