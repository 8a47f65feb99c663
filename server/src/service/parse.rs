//! From what a caller wrote to the rules' types: here, once, and trusted from there on.

use std::time::Duration;

use api::{Code, Problem, Span};
use lease::{
    DEADLINE_DEFAULT, DEADLINE_MAX, Entity, Filter, Holder, Instance, InvalidName, Key, NAME_BYTES_MAX,
    NAMESPACE_BYTES_MAX, Name, Namespace, PAGE_LEASES_MAX, Reason, Seq, TTL_DEFAULT, TTL_MAX, TTL_MIN,
    TTL_MIN_DEFAULT, Token, Ttl, VALUE_BYTES_MAX, Value, WAIT_MAX, WHY_BYTES_MAX,
};

use super::echo::Echo;

/// The key of `namespace` and `name`.
pub(super) fn key(namespace: &str, name: &str) -> Result<Key, Problem> {
    Ok(Key { namespace: self::namespace(namespace)?, name: self::name(name)? })
}

pub(super) fn namespace(text: &str) -> Result<Namespace, Problem> {
    Namespace::parse(text).map_err(|why| bad_name("namespace", text, &why, NAMESPACE_BYTES_MAX))
}

pub(super) fn name(text: &str) -> Result<Name, Problem> {
    Name::parse(text).map_err(|why| bad_name("name", text, &why, NAME_BYTES_MAX))
}

pub(super) fn holder(text: &str) -> Result<Holder, Problem> {
    Holder::parse(text).map_err(|why| bad_name("holder", text, &why, NAME_BYTES_MAX))
}

/// Which leases are looked for.
pub(super) fn filter(
    namespace: Option<&str>,
    prefix: Option<&str>,
    holder: Option<&str>,
) -> Result<Filter, Problem> {
    Ok(Filter {
        namespace: namespace.map(self::namespace).transpose()?,
        prefix: prefix.map(self::prefix).transpose()?,
        holder: holder.map(self::holder).transpose()?,
    })
}

/// Why `text` is no holder, in a field of another name.
pub(super) fn bad_holder(field: &str, text: &str, why: &InvalidName) -> Problem {
    bad_name(field, text, why, NAME_BYTES_MAX)
}

pub(super) fn entity(text: &str) -> Result<Entity, Problem> {
    Entity::parse(text).map_err(|why| bad_name("entity", text, &why, NAME_BYTES_MAX))
}

pub(super) fn reason(text: &str) -> Result<Reason, Problem> {
    Reason::parse(text).map_err(|why| {
        if matches!(why, InvalidName::Forbidden { .. }) {
            return bad_name("why", text, &why, WHY_BYTES_MAX);
        }
        let message = format!("why {}: {why}; keep it short", Echo(text));
        Problem::new(Code::TooLarge, message).in_field("why")
    })
}

/// What names shall start with: any text no longer than a name.
pub(super) fn prefix(text: &str) -> Result<String, Problem> {
    match text.len() <= NAME_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => {
            let why = InvalidName::TooLong { bytes: text.len(), limit: NAME_BYTES_MAX };
            Err(bad_name("prefix", text, &why, NAME_BYTES_MAX))
        }
    }
}

pub(super) fn value(text: &str) -> Result<Value, Problem> {
    Value::parse(text).map_err(|why| {
        let message = format!("value {}: {why}; keep it short and store the rest elsewhere", Echo(text));
        debug_assert!(text.len() > VALUE_BYTES_MAX, "only its length can be wrong");
        Problem::new(Code::TooLarge, message).in_field("value")
    })
}

fn bad_name(field: &str, text: &str, why: &InvalidName, limit: usize) -> Problem {
    let message = match why {
        InvalidName::Empty => format!("{field} is empty: give 1 to {limit} bytes of UTF-8"),
        InvalidName::TooLong { .. } => format!("{field} {}: {why}; choose a shorter one", Echo(text)),
        InvalidName::Forbidden { .. } => {
            format!("{field} {}: {why}; choose one without control and invisible characters", Echo(text))
        }
        InvalidName::Dots { .. } => format!("{field} {}: {why}; choose one without it", Echo(text)),
        _ => format!("{field} {}: {why}; leave that out", Echo(text)),
    };
    Problem::new(Code::BadName, message).in_field(field)
}

/// A claim's ttl; the default where none is named. The namespace's own range is the table's to check.
pub(super) fn ttl_or_default(ttl_ms: Option<u64>) -> Result<Ttl, Problem> {
    ttl_ms.map_or(Ok(TTL_DEFAULT), ttl)
}

pub(super) fn ttl(ttl_ms: u64) -> Result<Ttl, Problem> {
    let (least, most) = (TTL_MIN.as_millis(), TTL_MAX.as_millis());
    match (least..=most).contains(&ttl_ms) {
        true => Ok(Ttl::from_millis(ttl_ms)),
        false => {
            let usual = TTL_MIN_DEFAULT.as_millis();
            let message = format!(
                "ttl_ms {ttl_ms} is out of bounds: give {least} to {most} milliseconds ({least} is the least that any \
                 namespace may allow, {usual} unless the namespace says otherwise)"
            );
            Err(Problem::new(Code::BadTtl, message).in_field("ttl_ms"))
        }
    }
}

/// A grant's token.
pub(super) fn token(token: u64) -> Result<Token, Problem> {
    match token {
        0 => {
            let message = "token 0 is no grant's: tokens start at 1; give the one that the claim returned";
            Err(Problem::new(Code::BadRequest, message).in_field("token"))
        }
        token => Ok(Token::from_u64(token)),
    }
}

/// What to give in a field of that name, where its value is no number at all, or one that no field takes.
pub(crate) fn bounds(field: &str) -> Option<String> {
    let millis = |least: Ttl, most: Ttl| {
        let (least, most) = (least.as_millis(), most.as_millis());
        Some(format!("give {least} to {most} milliseconds"))
    };
    let least = Ttl::from_millis(1);
    match field {
        "ttl_ms" | "heir_ttl_ms" => millis(TTL_MIN, TTL_MAX),
        "deadline_ms" => millis(least, DEADLINE_MAX),
        "timeout_ms" => millis(least, WAIT_MAX),
        "limit" => Some(format!("give 1 to {PAGE_LEASES_MAX}")),
        _ => None,
    }
}

/// How long a caller waits for an answer.
pub(super) fn deadline(deadline_ms: Option<u64>) -> Result<Ttl, Problem> {
    let most = DEADLINE_MAX.as_millis();
    match deadline_ms {
        None => Ok(DEADLINE_DEFAULT),
        Some(millis) if (1..=most).contains(&millis) => Ok(Ttl::from_millis(millis)),
        Some(millis) => {
            let message = format!(
                "deadline_ms {millis} is out of bounds: give 1 to {most} milliseconds ({})",
                Span(most)
            );
            Err(Problem::new(Code::BadRequest, message).in_field("deadline_ms"))
        }
    }
}

/// How long a wait may last; none is for ever.
pub(super) fn timeout(timeout_ms: Option<u64>) -> Result<Option<Duration>, Problem> {
    let most = WAIT_MAX.as_millis();
    match timeout_ms {
        None => Ok(None),
        Some(millis) if (1..=most).contains(&millis) => Ok(Some(Duration::from_millis(millis))),
        Some(millis) => {
            let message = format!(
                "timeout_ms {millis} is out of bounds: give 1 to {most} milliseconds ({})",
                Span(most)
            );
            Err(Problem::new(Code::BadRequest, message).in_field("timeout_ms"))
        }
    }
}

/// Which life of the holder claims, and its number there. `chance` is the instance of a claim that names none.
pub(super) fn instance(
    instance: Option<u64>,
    seq: Option<u64>,
    chance: impl FnOnce() -> u64,
) -> Result<(Instance, Seq), Problem> {
    match (instance, seq) {
        (Some(0), _) => {
            let message = "instance 0 is kept for forced grants: give a random number from 1";
            Err(Problem::new(Code::BadRequest, message).in_field("instance"))
        }
        (Some(instance), Some(seq)) => Ok((Instance(instance), Seq(seq))),
        (Some(_), None) => {
            let message =
                "instance is given without seq: give both, and raise seq for each claim that is not a retry";
            Err(Problem::new(Code::BadRequest, message).in_field("seq"))
        }
        (None, Some(_)) => {
            let message = "seq is given without instance: it numbers the claims of one instance, so give both or neither";
            Err(Problem::new(Code::BadRequest, message).in_field("instance"))
        }
        (None, None) => Ok((Instance(chance().max(1)), Seq(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each names the field, and the byte or the limit.
    #[test]
    fn bad_names_say_which_byte_or_limit() {
        let long = "n".repeat(257);
        let cases = [
            ("", "name is empty: give 1 to 256 bytes of UTF-8"),
            ("  ", "name is empty: give 1 to 256 bytes of UTF-8"),
            (long.as_str(), "it has 257 bytes, and the limit is 256; choose a shorter one"),
            (
                "a\0b",
                r#"name "a\0b": it has the character \u{0} at byte 1; choose one without control and invisible characters"#,
            ),
            (
                "é\n",
                r#"name "é\n": it has the character \u{a} at byte 2; choose one without control and invisible characters"#,
            ),
            ("a/../b", "it has the path segment \"..\" at byte 2; choose one without it"),
            ("a/b/.", "it has the path segment \".\" at byte 4; choose one without it"),
            (".", "it has the path segment \".\" at byte 0; choose one without it"),
            (
                "ab\u{202e}",
                "it has the character \\u{202e} at byte 2; choose one without control and invisible characters",
            ),
            (" a", "it has white space around it, at byte 0; leave that out"),
        ];
        for (text, expected) in cases {
            let problem = name(text).unwrap_err();
            assert_eq!((problem.code, problem.field.as_deref()), (Code::BadName, Some("name")), "{text:?}");
            assert!(problem.message.ends_with(expected), "{}", problem.message);
            assert!(problem.message.len() < 220, "the name is not echoed whole: {}", problem.message);
        }
        for text in ["a.b", "..a/b..", "a/.b", "..."] {
            assert!(name(text).is_ok(), "{text}: a dot is no segment of its own");
        }
        let problem = namespace(&"n".repeat(65)).unwrap_err();
        assert!(problem.message.contains("65 bytes, and the limit is 64"), "{}", problem.message);
        let problem = reason("a\nb").unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (Code::BadName, Some("why")));
        assert_eq!(reason(&"w".repeat(257)).unwrap_err().code, Code::TooLarge);
        let problem = value(&"v".repeat(1_025)).unwrap_err();
        assert_eq!(problem.code, Code::TooLarge);
        assert!(problem.message.contains("1025 bytes, and the limit is 1024"), "{}", problem.message);
    }

    #[test]
    fn a_ttl_out_of_bounds_names_both_limits() {
        for ttl_ms in [0, 199, 86_400_001, u64::MAX] {
            let problem = ttl(ttl_ms).unwrap_err();
            let expected =
                format!("ttl_ms {ttl_ms} is out of bounds: give 200 to 86400000 milliseconds (200 is");
            assert!(problem.code == Code::BadTtl && problem.message.starts_with(&expected), "{problem}");
            assert!(problem.message.contains("1000 unless the namespace says otherwise"), "{problem}");
        }
        assert_eq!(ttl(200), Ok(TTL_MIN));
        assert_eq!(ttl(86_400_000), Ok(TTL_MAX));
        assert_eq!(ttl_or_default(None), Ok(TTL_DEFAULT));
    }

    #[test]
    fn deadlines_and_timeouts_have_bounds() {
        assert_eq!(deadline(None), Ok(DEADLINE_DEFAULT));
        assert_eq!(deadline(Some(60_000)), Ok(DEADLINE_MAX));
        assert_eq!(deadline(Some(0)).unwrap_err().field.as_deref(), Some("deadline_ms"));
        assert!(deadline(Some(60_001)).unwrap_err().message.contains("60001"));
        assert_eq!(timeout(None), Ok(None));
        assert_eq!(timeout(Some(1)), Ok(Some(Duration::from_millis(1))));
        assert_eq!(timeout(Some(0)).unwrap_err().field.as_deref(), Some("timeout_ms"));
        assert_eq!(timeout(Some(86_400_001)).unwrap_err().code, Code::BadRequest);
    }

    #[test]
    fn an_instance_goes_with_a_seq() {
        assert_eq!(instance(Some(7), Some(3), || 9), Ok((Instance(7), Seq(3))));
        assert_eq!(instance(None, None, || 9), Ok((Instance(9), Seq(1))));
        assert_eq!(instance(None, None, || 0), Ok((Instance(1), Seq(1))), "0 is a forced grant's");
        assert_eq!(instance(Some(7), None, || 9).unwrap_err().field.as_deref(), Some("seq"));
        assert_eq!(instance(None, Some(1), || 9).unwrap_err().field.as_deref(), Some("instance"));
        assert_eq!(instance(Some(0), Some(1), || 9).unwrap_err().field.as_deref(), Some("instance"));
    }
}
