//! The cursor between two pages of a list: opaque to callers, the last key of the page to us.
//!
//! It is the namespace's length in hexadecimal, and both texts in hexadecimal behind it, so that it stands in a URL
//! without escapes.

use api::{Code, Problem};
use lease::{Key, Name, Namespace, PAGE_LEASES_DEFAULT, PAGE_LEASES_MAX};

use super::echo::Echo;

/// What to give as `after` for the page behind `key`.
pub(super) fn cursor(key: &Key) -> String {
    let (namespace, name) = (key.namespace.as_str().as_bytes(), key.name.as_str().as_bytes());
    let mut cursor = format!("{:02x}", namespace.len());
    for byte in namespace.iter().chain(name) {
        cursor.push_str(&format!("{byte:02x}"));
    }
    cursor
}

/// The key that a cursor stands for.
pub(super) fn parse(cursor: &str) -> Result<Key, Problem> {
    decode(cursor).ok_or_else(|| {
        let message =
            format!("after {} is no page's `next`: give one as it was answered, or none", Echo(cursor));
        Problem::new(Code::BadRequest, message).in_field("after")
    })
}

fn decode(cursor: &str) -> Option<Key> {
    let digits = cursor.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes?;
    let (length, texts) = bytes.split_first()?;
    let (namespace, name) = texts.split_at_checked(usize::from(*length))?;
    let namespace = Namespace::parse(std::str::from_utf8(namespace).ok()?).ok()?;
    let name = Name::parse(std::str::from_utf8(name).ok()?).ok()?;
    Some(Key { namespace, name })
}

fn byte(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |byte, digit| Some(byte << 4 | char::from(*digit).to_digit(16)? as u8))
}

/// How many leases a page holds.
pub(super) fn limit(limit: Option<u64>) -> Result<usize, Problem> {
    bounded(limit, ", and follow `next`")
}

/// How many of the newest ends are told: there is no page behind them.
pub(super) fn newest(limit: Option<u64>) -> Result<usize, Problem> {
    bounded(limit, "")
}

fn bounded(limit: Option<u64>, rest: &str) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(PAGE_LEASES_DEFAULT as u64);
    match usize::try_from(limit) {
        Ok(leases) if (1..=PAGE_LEASES_MAX).contains(&leases) => Ok(leases),
        _ => {
            let message = format!("limit {limit} is out of bounds: give 1 to {PAGE_LEASES_MAX}{rest}");
            Err(Problem::new(Code::BadRequest, message).in_field("limit"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_key() {
        for (namespace, name) in [("default", "db/primary"), ("n", "é"), (&"x".repeat(64), &"y".repeat(256))]
        {
            let key = super::super::parse::key(namespace, name).unwrap();
            let cursor = cursor(&key);
            assert_eq!(parse(&cursor), Ok(key));
            assert!(cursor.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused_by_name() {
        for text in ["", "0", "zz", "ff00", "01", "0161", "é", "0100ff", "04616263"] {
            let problem = parse(text).unwrap_err();
            assert_eq!((problem.code, problem.field.as_deref()), (Code::BadRequest, Some("after")), "{text}");
        }
    }

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(limit(None), Ok(100));
        assert_eq!(limit(Some(1_000)), Ok(1_000));
        for wrong in [0, 1_001, u64::MAX] {
            let [listed, told] = [limit, newest].map(|of| of(Some(wrong)).unwrap_err());
            assert_eq!((listed.field.as_deref(), told.field.as_deref()), (Some("limit"), Some("limit")));
            assert!(listed.message.ends_with("give 1 to 1000, and follow `next`"), "{listed}");
            assert!(told.message.ends_with("give 1 to 1000"), "history has no pages: {told}");
        }
    }
}
