//! The token by which a new member finds its cluster: who it will be there, who the others are, and until when it is good.
//!
//! ```text
//! tenure-join- and hexadecimal digits, the letters small, of
//!   version 1 u8 │ cluster u128 │ member u64 │ good until, seconds since 1970, u64
//!   CAs u8, each: SHA-256, 32 bytes │ members u8, each: id u64, length u16, address │ crc32c u32 of all before
//! ```
//!
//! Little-endian. It is no secret: between members a certificate proves who one is, and the token only says where to go. Good once it
//! is because it names the member that it makes, and an id is one member's for ever.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use replica::{VOTERS_MAX, is_address};

use crate::tls::Fingerprint;

const START: &str = "tenure-join-";
const VERSION: u8 = 1;
/// CAs that it names, at most: one, and while it is changed another.
const AUTHORITIES_MAX: usize = 8;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// The cluster.
    pub cluster: u128,
    /// The new member's id there.
    pub member: u64,
    /// Until when it is good, in seconds since 1970.
    pub until: u64,
    /// The SHA-256 of each CA under which members' certificates are; none where they have none.
    pub(super) authorities: Vec<Fingerprint>,
    /// Members that may be asked, and where each is reached by the others.
    pub members: Vec<(u64, String)>,
}

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidToken {
    /// It does not begin as one does.
    Start,
    /// It was cut or altered on its way.
    Damaged,
    /// A newer program made it.
    Newer(u8),
    /// Something in it cannot be: what a program gave it.
    Unfit(String),
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidToken::Start => {
                write!(f, "it is no token: one begins with {START}; copy the line that `tenure members invite` prints")
            }
            InvalidToken::Damaged => f.write_str(
                "the token was cut or altered on its way: copy it whole, as `tenure members invite` prints it",
            ),
            InvalidToken::Newer(found) => write!(
                f,
                "the token is of version {found}, and this program reads up to {VERSION}: upgrade this program to the cluster's"
            ),
            InvalidToken::Unfit(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for InvalidToken {}

impl JoinToken {
    /// A token of these parts; `authorities` are SHA-256 in hexadecimal digits.
    ///
    /// # Errors
    /// A part that cannot be: the digits, an address, or their number.
    pub fn new(
        cluster: u128,
        member: u64,
        until: u64,
        authorities: &[String],
        members: Vec<(u64, String)>,
    ) -> Result<JoinToken, InvalidToken> {
        let unfit = |what: String| Err(InvalidToken::Unfit(what));
        let prints = authorities.iter().map(|digits| Some(Fingerprint(hex(digits)?.try_into().ok()?)));
        let Some(authorities) = prints.collect::<Option<Vec<_>>>() else {
            return unfit("the fingerprint of a CA is not 64 hexadecimal digits".to_owned());
        };
        if let Some((id, _)) = members.iter().find(|(_, address)| !is_address(address)) {
            return unfit(format!(
                "member {id} has no address at which others reach it: restart it with --peer-listen, and tell its address with \
                 `tenure members set-address {id} HOST:PORT`"
            ));
        }
        if members.is_empty() || members.len() > VOTERS_MAX || authorities.len() > AUTHORITIES_MAX {
            return unfit(format!(
                "a token has 1 to {VOTERS_MAX} members and at most {AUTHORITIES_MAX} CAs, and not {} and {}",
                members.len(),
                authorities.len()
            ));
        }
        Ok(JoinToken { cluster, member, until, authorities, members })
    }

    /// The text of a token of these bytes, whatever they are, with the checksum that it takes.
    #[cfg(any(test, feature = "parsers"))]
    pub(crate) fn sealed_text(bytes: &[u8]) -> String {
        let checksum = crc32c::crc32c(bytes).to_le_bytes();
        let digits = bytes.iter().chain(&checksum).map(|byte| format!("{byte:02x}"));
        START.to_owned() + &digits.collect::<String>()
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.cluster.to_le_bytes());
        bytes.extend(self.member.to_le_bytes());
        bytes.extend(self.until.to_le_bytes());
        bytes.push(self.authorities.len() as u8);
        self.authorities.iter().for_each(|print| bytes.extend(print.0));
        bytes.push(self.members.len() as u8);
        for (id, address) in &self.members {
            bytes.extend(id.to_le_bytes());
            bytes.extend((address.len() as u16).to_le_bytes());
            bytes.extend(address.as_bytes());
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<JoinToken> {
        let mut rest = bytes;
        let cluster = u128::from_le_bytes(take(&mut rest)?);
        let member = u64::from_le_bytes(take(&mut rest)?);
        let until = u64::from_le_bytes(take(&mut rest)?);
        let [count] = take(&mut rest)?;
        let authorities = (0..count).map(|_| take(&mut rest).map(Fingerprint)).collect::<Option<_>>()?;
        let [count] = take(&mut rest)?;
        let mut members = Vec::new();
        for _ in 0..count {
            let id = u64::from_le_bytes(take(&mut rest)?);
            let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
            let (address, after) = rest.split_at_checked(length)?;
            rest = after;
            let address = str::from_utf8(address).ok().filter(|address| is_address(address))?;
            members.push((id, address.to_owned()));
        }
        let token = JoinToken { cluster, member, until, authorities, members };
        let counts = (token.authorities.len(), token.members.len());
        let is_token = matches!(counts, (..=AUTHORITIES_MAX, 1..=VOTERS_MAX)) && member > 0;
        (is_token && rest.is_empty()).then_some(token)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8; 2]| Some(digit(&pair[0])? << 4 | digit(&pair[1])?);
    odd.is_empty().then(|| pairs.iter().map(byte).collect())?
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = START.to_owned();
        self.bytes().iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
        f.write_str(&text)
    }
}

impl FromStr for JoinToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<JoinToken, InvalidToken> {
        let digits = text.trim().strip_prefix(START).ok_or(InvalidToken::Start)?;
        let is_small = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
        let bytes = hex(digits).filter(|_| is_small).ok_or(InvalidToken::Damaged)?;
        let (token, checksum) = bytes.split_last_chunk().ok_or(InvalidToken::Damaged)?;
        match token.split_first() {
            _ if crc32c::crc32c(token) != u32::from_le_bytes(*checksum) => Err(InvalidToken::Damaged),
            Some((&VERSION, rest)) => JoinToken::read(rest).ok_or(InvalidToken::Damaged),
            Some((newer, _)) => Err(InvalidToken::Newer(*newer)),
            None => Err(InvalidToken::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parsers;
    use crate::parsers::edits::{edited, edited_text, edits, edits_of_text, within_bounds};

    fn token() -> JoinToken {
        let members = vec![(1, "a.example:7401".to_owned()), (2, "[::1]:7401".to_owned())];
        JoinToken::new(7, 4, 1_800_000_000, &["ab".repeat(32)], members).unwrap()
    }

    #[test]
    fn a_token_comes_back_as_it_was_and_one_that_was_cut_or_altered_is_none() {
        let text = token().to_string();
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
        for length in START.len()..text.len() {
            assert_eq!(text[..length].parse::<JoinToken>(), Err(InvalidToken::Damaged), "{length}");
        }
        let altered = format!("{}f{}", &text[..40], &text[41..]);
        let other = format!("{}0{}", &text[..40], &text[41..]);
        assert!([altered, other].iter().any(|text| text.parse::<JoinToken>() == Err(InvalidToken::Damaged)));
        assert_eq!("K10abc::server:1".parse::<JoinToken>(), Err(InvalidToken::Start));
    }

    #[test]
    fn one_of_tomorrow_is_known_as_that() {
        let mut bytes = token().bytes();
        bytes[0] = 2;
        let length = bytes.len() - 4;
        let checksum = crc32c::crc32c(&bytes[..length]);
        bytes[length..].copy_from_slice(&checksum.to_le_bytes());
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(format!("{START}{text}").parse::<JoinToken>(), Err(InvalidToken::Newer(2)));
    }

    #[test]
    fn who_cannot_be_reached_is_in_none() {
        let made = JoinToken::new(7, 2, 1, &[], vec![(1, String::new())]);
        let said = made.unwrap_err().to_string();
        assert!(said.contains("set-address 1 HOST:PORT"), "{said}");
        assert!(JoinToken::new(7, 2, 1, &["xy".to_owned()], token().members).is_err());
    }

    proptest! {
        #[test]
        fn a_token_that_was_changed_is_none(edits in edits(), words in edits_of_text(&["tenure-join-", "00", "ff", "A", " "])) {
            let text = token().to_string();
            for changed in [edited_text(&text, &words), edited_text(&text, &edits)] {
                let is_token = within_bounds(changed.len(), || parsers::join_token(&changed));
                assert_eq!(is_token, changed.trim() == text, "{changed}");
            }
        }

        #[test]
        fn one_that_was_changed_before_it_was_sealed_says_what_one_may(edits in edits()) {
            let mut bytes = token().bytes();
            bytes.truncate(bytes.len() - 4);
            let bytes = edited(&bytes, &edits);
            within_bounds(bytes.len(), || parsers::sealed_join_token(&bytes));
        }
    }

    #[test]
    fn one_with_more_members_or_authorities_than_there_may_be_is_none() {
        let sealed = |authorities: usize, members: usize, member: u64| {
            let members = vec![(1, "a:7401".to_owned()); members];
            let authorities = vec![Fingerprint([7; 32]); authorities];
            let bytes = JoinToken { cluster: 7, member, until: 9, authorities, members }.bytes();
            parsers::sealed_join_token(&bytes[..bytes.len() - 4])
        };
        assert!(sealed(0, 1, 4) && sealed(AUTHORITIES_MAX, VOTERS_MAX, 4));
        assert!(!sealed(AUTHORITIES_MAX + 1, 1, 4) && !sealed(0, VOTERS_MAX + 1, 4));
        assert!(!sealed(0, 0, 4) && !sealed(0, 1, 0));
        assert!(!parsers::join_token(&token().to_string().to_uppercase().replace("TENURE-JOIN-", START)));
    }
}
