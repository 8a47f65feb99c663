//! The words of the domain as types: parsed once at the edge, trusted inside.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::{NAME_BYTES_MAX, NAMESPACE_BYTES_MAX, VALUE_BYTES_MAX, WHY_BYTES_MAX, is_hidden};

/// A reading of the lease clock, in nanoseconds since the cluster's first batch. Never a wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The lease clock's start.
    pub const ZERO: Time = Time(0);

    /// The reading of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The reading `ttl` later; stays at the largest reading instead of wrapping.
    pub const fn after(self, ttl: Ttl) -> Time {
        Time(self.0.saturating_add(ttl.0))
    }

    /// How long from `self` until `later`: zero where that is past.
    pub const fn until(self, later: Time) -> Ttl {
        Ttl(later.0.saturating_sub(self.0))
    }
}

/// A length of time, in nanoseconds: of a grant, a cooldown or a confirmation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u64);

impl Ttl {
    /// No time at all.
    pub const ZERO: Ttl = Ttl(0);

    /// A length of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Ttl {
        Ttl(millis.saturating_mul(1_000_000))
    }

    /// A length of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Ttl {
        Ttl(nanos)
    }

    /// The length in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The length in whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// Names one grant, and fences with it: 32 bits of epoch above 32 bits of counter, strictly higher for
/// every grant of the cluster, never reused, kept over extends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// The token of `raw`.
    pub const fn from_u64(raw: u64) -> Token {
        Token(raw)
    }

    /// The upper half: raised by every recovery.
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The token as a number, for the wire and for fencing.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Which life of a holder: a random number made once a session. Zero is a *forced* grant's, which the
/// holder's first claim takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub u64);

/// A claim's number within its instance, raised for each claim that is not a retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// The number of events so far; watches resume from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// Why a string cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// Nothing, or only white space.
    Empty,
    /// More bytes than the limit.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A control character, or one that reorders or hides text: see [`is_hidden`].
    Forbidden {
        /// Where, in bytes from the start.
        offset: usize,
        /// The character.
        character: char,
    },
    /// White space at its start or end, which a reader would not see.
    Surrounded {
        /// Where, in bytes from the start.
        offset: usize,
    },
    /// A path segment `.` or `..`, which HTTP clients resolve before they send it: nobody could ask for the name.
    Dots {
        /// Where, in bytes from the start.
        offset: usize,
        /// The segment.
        segment: &'static str,
    },
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidName::Empty => f.write_str("it is empty"),
            InvalidName::TooLong { bytes, limit } => {
                write!(f, "it has {bytes} bytes, and the limit is {limit}")
            }
            InvalidName::Forbidden { offset, character } => {
                write!(f, "it has the character {} at byte {offset}", character.escape_unicode())
            }
            InvalidName::Surrounded { offset } => write!(f, "it has white space around it, at byte {offset}"),
            InvalidName::Dots { offset, segment } => {
                write!(f, "it has the path segment \"{segment}\" at byte {offset}")
            }
        }
    }
}

impl std::error::Error for InvalidName {}

fn check_name(text: &str, limit: usize) -> Result<(), InvalidName> {
    if text.trim().is_empty() {
        return Err(InvalidName::Empty);
    }
    check_text(text, limit)?;
    if text.starts_with(char::is_whitespace) {
        return Err(InvalidName::Surrounded { offset: 0 });
    }
    if text.ends_with(char::is_whitespace) {
        return Err(InvalidName::Surrounded { offset: text.trim_end().len() });
    }
    let mut offset = 0;
    for segment in text.split('/') {
        if let Some(segment) = [".", ".."].into_iter().find(|dots| *dots == segment) {
            return Err(InvalidName::Dots { offset, segment });
        }
        offset += segment.len() + 1;
    }
    Ok(())
}

fn check_text(text: &str, limit: usize) -> Result<(), InvalidName> {
    if text.len() > limit {
        return Err(InvalidName::TooLong { bytes: text.len(), limit });
    }
    match text.char_indices().find(|(_, character)| is_hidden(*character)) {
        Some((offset, character)) => Err(InvalidName::Forbidden { offset, character }),
        None => Ok(()),
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $type:ident, $check:ident, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `text` and takes it.
            ///
            /// # Errors
            /// [`InvalidName`] names the offending byte or the limit.
            pub fn parse(text: &str) -> Result<$type, InvalidName> {
                $check(text, $limit)?;
                Ok($type(text.into()))
            }

            /// Takes text that was accepted once and comes back from the log or a snapshot: the length
            /// is checked, the characters are not, so that a rule made stricter later cannot make an
            /// old log unreadable.
            pub(crate) fn stored(text: &str) -> Option<$type> {
                (text.len() <= $limit).then(|| $type(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// A namespace: 1 to 64 bytes of UTF-8.
    Namespace, check_name, NAMESPACE_BYTES_MAX
);
text_type!(
    /// A lease's name within its namespace: 1 to 256 bytes of UTF-8.
    Name, check_name, NAME_BYTES_MAX
);
text_type!(
    /// Who holds a lease, or would: an opaque string of 1 to 256 bytes of UTF-8, such as `mysql/0`.
    Holder, check_name, NAME_BYTES_MAX
);
text_type!(
    /// Who pins a lease: 1 to 256 bytes of UTF-8.
    Entity, check_name, NAME_BYTES_MAX
);
text_type!(
    /// What a holder tells readers of its lease, such as where to reach it: up to 1 KiB of UTF-8.
    Value, check_value, VALUE_BYTES_MAX
);
text_type!(
    /// A person's reason for a pin or a revoke: up to 256 bytes of UTF-8, perhaps none.
    Reason, check_text, WHY_BYTES_MAX
);

impl Name {
    /// Takes text that a table keeps, which was a name when it came.
    pub(crate) fn kept(text: &str) -> Name {
        Name(text.into())
    }
}

impl Holder {
    /// Takes text that a table keeps, which was a holder when it came.
    pub(crate) fn kept(text: &str) -> Holder {
        Holder(text.into())
    }
}

fn check_value(text: &str, limit: usize) -> Result<(), InvalidName> {
    match text.len() > limit {
        true => Err(InvalidName::TooLong { bytes: text.len(), limit }),
        false => Ok(()),
    }
}

/// What a lease is known by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name there.
    pub name: Name,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1_000_000 {
            0 => write!(f, "{}ms", self.as_millis()),
            _ => write!(f, "{}ns", self.0),
        }
    }
}
