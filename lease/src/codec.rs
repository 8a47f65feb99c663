//! Bytes in and out: the primitives, and the batch; `outcome` has what is answered.
//!
//! All numbers are little-endian. A *text* is its length as u16, then that many bytes of UTF-8. An *option* is
//! one byte, 0 or 1, then the thing if 1. Reading checks every length against what is left before anything is
//! allocated, never panics, and names what it was reading and at which byte it went wrong.
//!
//! ```text
//! batch     ┌───────────┬────────┬─────────┬─────────┬─────────┬──────────────────────────┐
//!           │ version   │ term   │ stamp   │ sweep   │ count   │ count x request          │
//!           │ u8 = 1    │ u64    │ u64 ns  │ u32     │ u32     │                          │
//!           └───────────┴────────┴─────────┴─────────┴─────────┴──────────────────────────┘
//!
//! request   ┌───────────┬──────────────────────────┬──────────────────────────────────────┐
//!           │ kind u8   │ not_after: option u64 ns │ the command, by its kind             │
//!           └───────────┴──────────────────────────┴──────────────────────────────────────┘
//!
//! kind 1  claim      key, holder text, instance u64, seq u64, ttl u64 ns, value: option text
//!      2  succeed    key, heir
//!      3  extend     token u64, ttl u64 ns
//!      4  release    token u64
//!      5  transfer   token u64, heir
//!      6  revoke     token u64, why text, when u8 (0 at its deadline, 1 now), heir: option heir
//!      7  pin        key, entity text, why text
//!      8  unpin      key, entity text
//!      9  set        version u64, count u32, count x change
//!
//! key        namespace text, name text
//! heir       holder text, instance u64, ttl u64 ns, confirm u64 ns
//! change     u8 = 1: cluster version u32
//!            u8 = 2: namespace text, option: limits
//!            u8 = 3: id u64, option: credential
//! limits     ttl_min u64 ns, ttl_max u64 ns, cooldown u64 ns, leases_max u64, history_max u32
//! credential hash 32 bytes, principal text, role u8 (0 unit, 1 app-admin, 2 reader, 3 operator, 4 auditor),
//!            namespace: option text, lease: option text, audience 16 bytes, expires: option u64 s,
//!            revoked u8, claims a second: option u32
//! ```
//!
//! Another version, an unknown kind or tag, a byte of an option or of `when` that is neither 0 nor 1, a text that
//! is too long for its kind or not UTF-8, and bytes left over are refused. Bits of a valid batch that are flipped
//! into another valid batch are not: the record around it has the checksum.

mod batch;
mod event;
mod outcome;
mod parts;

use crate::{DecodeError, Namespace};

/// Bytes being written.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        debug_assert!(text.len() <= usize::from(u16::MAX), "a text of {} bytes passed its limit", text.len());
        self.0.extend_from_slice(&(text.len() as u16).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, thing: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(thing.is_some()));
        if let Some(thing) = thing {
            write(self, thing);
        }
    }
}

/// Bytes being read.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
    /// The namespace that was read last: the next key's is most often the same, and then shares its text.
    namespace: Option<Namespace>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Reader<'a> {
        Reader { bytes, at: 0, what, namespace: None }
    }

    /// The error of being damaged at the next byte.
    pub(crate) fn damaged<T>(&self) -> Result<T, DecodeError> {
        Err(self.error_at(self.at))
    }

    /// The error of being damaged where the thing just read began, `bytes` ago.
    pub(crate) fn damaged_before<T>(&self, bytes: usize) -> Result<T, DecodeError> {
        Err(self.error_at(self.at - bytes))
    }

    fn error_at(&self, offset: usize) -> DecodeError {
        DecodeError::damaged(self.what, offset)
    }

    /// Reads a version, and refuses every one but `known`: a newer one by its number.
    pub(crate) fn version(&mut self, known: u8) -> Result<(), DecodeError> {
        match self.u8()? {
            found if found == known => Ok(()),
            found if found > known => {
                Err(DecodeError { newer: Some((found, known)), ..self.error_at(self.at - 1) })
            }
            _ => self.damaged_before(1),
        }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Refuses bytes that nothing accounts for.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            _ => self.damaged(),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some(bytes) = self.bytes.get(self.at..).and_then(|rest| rest.get(..len)) else {
            return self.damaged();
        };
        self.at += len;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things of at least `least` bytes each: no more than can be there.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        match count > self.left() / least {
            true => self.damaged_before(4),
            false => Ok(count),
        }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => self.damaged_before(1),
        }
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.flag()? {
            true => read(self).map(Some),
            false => Ok(None),
        }
    }

    /// A text, where it lies.
    pub(crate) fn str(&mut self) -> Result<&'a str, DecodeError> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).or_else(|_| self.damaged_before(len))
    }

    /// A text, taken by `accept` if it likes it.
    pub(crate) fn text<T>(&mut self, accept: impl FnOnce(&str) -> Option<T>) -> Result<T, DecodeError> {
        let len = usize::from(u16::from_le_bytes(self.array()?));
        let bytes = self.take(len)?;
        match std::str::from_utf8(bytes).ok().and_then(accept) {
            Some(text) => Ok(text),
            None => self.damaged_before(len),
        }
    }
}
