//! Bytes that are not what they should be.

use std::fmt;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was being read.
    pub what: &'static str,
    /// Where in it, in bytes.
    pub offset: usize,
    /// The version that it says it has, and the newest that this program reads, where it is newer than that.
    pub newer: Option<(u8, u8)>,
}

impl DecodeError {
    /// Something that does not fit its own form.
    pub const fn damaged(what: &'static str, offset: usize) -> DecodeError {
        DecodeError { what, offset, newer: None }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.newer {
            Some((found, known)) => write!(
                f,
                "{} is in version {found}, and this program reads up to {known}: upgrade this program",
                self.what
            ),
            None => write!(f, "{} is damaged, or of a newer version, at byte {}", self.what, self.offset),
        }
    }
}

impl std::error::Error for DecodeError {}
