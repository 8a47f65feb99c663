//! Reading callers' JSON, at both doors: what is wrong, in which field, and what to do.

use api::{Code, Problem};
use lease::FRAME_DEPTH_MAX;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::service::{bounds, clean};

/// Reads a `T` from `bytes`.
///
/// # Errors
/// `bad_request` or `not_found`, with the path of the field that is wrong.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("the text is not UTF-8 at byte {}: send JSON in UTF-8", error.valid_up_to());
        Problem::new(Code::BadRequest, message)
    })?;
    read_text(text)
}

/// Reads a `T` from `text`.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_text<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    // Before the parser, which would follow any nesting down its own stack.
    check_depth(text)?;
    check_object(text)?;
    // The path costs time and memory, so only a text that is wrong is read with it.
    serde_json::from_str(text).map_err(|_| explain::<T>(text))
}

/// The call's number in a frame that is otherwise wrong, where it can be read.
pub(crate) fn call_id(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        id: u64,
    }
    check_depth(text).and_then(|()| check_object(text)).ok()?;
    serde_json::from_str::<Numbered>(text).ok().map(|numbered| numbered.id)
}

fn explain<T: DeserializeOwned>(text: &str) -> Problem {
    let mut json = serde_json::Deserializer::from_str(text);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(error) => error,
        // The value is whole, and something follows it.
        Ok(_) => {
            let why =
                json.end().map_or_else(|error| error.to_string(), |()| "it could not be read".to_owned());
            let why = worded(&clean(&why), "");
            return Problem::new(Code::BadRequest, format!("{why}: send one JSON object"));
        }
    };
    let path = error.path().to_string();
    // It says `?` of what it was at when it could not even read a name.
    let path = clean(path.trim_end_matches('?').trim_end_matches('.'));
    let why = error.inner().to_string();
    let code = match path.as_str() {
        "call" if why.starts_with("unknown variant") => Code::NotFound,
        _ => Code::BadRequest,
    };
    let why = worded(&clean(&why), &path);
    let mut message = if path.is_empty() { why.clone() } else { format!("{path}: {why}") };
    if let Some(bounds) = path.rsplit('.').next().and_then(bounds).filter(|_| why.starts_with("invalid")) {
        message = format!("{message}: {bounds}");
    }
    let missing = why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match [path.as_str(), missing.unwrap_or("")].map(|part| (!part.is_empty()).then_some(part)) {
        [None, None] => Problem::new(code, message),
        [Some(field), None] | [None, Some(field)] => Problem::new(code, message).in_field(field),
        [Some(path), Some(name)] => Problem::new(code, message).in_field(format!("{path}.{name}")),
    }
}

/// What the parser says, in words of JSON instead of its own.
fn worded(why: &str, path: &str) -> String {
    let (what, place) = match why.rsplit_once(" at line ") {
        Some((what, place)) => (what, format!(" (line {})", place.replacen(" column ", ", column ", 1))),
        None => (why, String::new()),
    };
    if what.starts_with("EOF while parsing") {
        return format!("the JSON ends early{place}");
    }
    if what.starts_with("invalid type: unit variant, expected ") {
        let name = path.rsplit('.').next().unwrap_or(path);
        return format!("takes an object: {{\"{name}\":{{}}}}{place}");
    }
    // What a caller wrote stands before it, if anywhere.
    let (start, expected) = what.rsplit_once("expected ").unwrap_or((what, ""));
    let expected = match expected {
        "u64" | "u32" => "a whole number",
        of if of.starts_with("struct ") => "an object",
        of => of,
    };
    match what.contains("expected ") {
        true => format!("{start}expected {expected}{place}"),
        false => format!("{what}{place}"),
    }
}

/// serde would take a struct's fields from an array too, in an order that nobody promised.
fn check_object(text: &str) -> Result<(), Problem> {
    match text.trim_start().as_bytes().first() {
        None | Some(b'{') => Ok(()),
        Some(_) => Err(Problem::new(Code::BadRequest, "this is no JSON object: send one, {\"…\": …}")),
    }
}

/// Nesting is bounded before anything is read.
fn check_depth(text: &str) -> Result<(), Problem> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > FRAME_DEPTH_MAX {
            let message = format!("the JSON nests deeper than {FRAME_DEPTH_MAX} at byte {at}: flatten it");
            return Err(Problem::new(Code::BadRequest, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::{Claim, ClientFrame, Extend};
    use proptest::prelude::*;

    use super::*;
    use crate::parsers;
    use crate::parsers::edits::{edited, edited_text, edits, edits_of_text, within_bounds};

    fn frame(text: &str) -> Problem {
        read_text::<ClientFrame>(text).unwrap_err()
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let problem = frame(&deep);
        assert_eq!(problem.message, "the JSON nests deeper than 16 at byte 16: flatten it");
        assert_eq!(call_id(&format!(r#"{{"id":1,"call":{deep}}}"#)), None);
        // Brackets in a string do not nest, not even behind an escaped quote.
        let name = r#"\"[[[[[[[[[[[[[[[[[[[["#;
        let text = format!(r#"{{"name":"{name}","holder":"h"}}"#);
        assert!(read_text::<Claim>(&text).is_ok(), "{text}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_path() {
        let cases = [
            (
                r#"{"id":1,"call":{"claim":{"nme":"a"}}}"#,
                "call.claim.nme",
                "unknown field `nme`, expected one of",
            ),
            (r#"{"id":1,"call":{"claim":{"name":"a"}}}"#, "call.claim.holder", "missing field `holder`"),
            (
                r#"{"id":1,"call":{"claim":{"name":7,"holder":"h"}}}"#,
                "call.claim.name",
                "invalid type: integer `7`",
            ),
            (
                r#"{"id":-1,"call":{"hello":{}}}"#,
                "id",
                "invalid value: integer `-1`, expected a whole number",
            ),
            (
                r#"{"id":1.5,"call":{"hello":{}}}"#,
                "id",
                "invalid type: floating point `1.5`, expected a whole number",
            ),
            (r#"{"id":18446744073709551616,"call":{"hello":{}}}"#, "id", "invalid type: floating point"),
            (
                r#"{"id":1,"call":{"extend":{"name":"a","token":4.0}}}"#,
                "call.extend.token",
                "a decimal string",
            ),
            (
                r#"{"id":1,"call":{"extend":{"name":"a","token":41}}}"#,
                "call.extend.token",
                "a decimal string",
            ),
            (
                r#"{"id":1,"call":{"extend":{"name":"a","token":"-1"}}}"#,
                "call.extend.token",
                "a decimal string",
            ),
            (
                r#"{"id":1,"call":{"bulk":[{"release":{"name":"a"}}]}}"#,
                "call.bulk[0].release.token",
                "missing field `token`",
            ),
            (r#"{"id":1,"version":2,"call":{"count":{}}}"#, "version", "unknown field `version`"),
            (
                r#"{"id":1,"call":{"claim":{"name":"a","holder":"h","ttl_ms":-5}}}"#,
                "call.claim.ttl_ms",
                "column 60): give 200 to 86400000 milliseconds",
            ),
            (
                r#"{"id":1,"call":{"claim":{"name":"a","holder":"h","deadline_ms":"5s"}}}"#,
                "call.claim.deadline_ms",
                ": give 1 to 60000 milliseconds",
            ),
            (r#"{"id":1,"call":"count"}"#, "call.count", "call.count: takes an object: {\"count\":{}}"),
            (r#"{"id":1,"call":{"count":null}}"#, "call.count", "null, expected an object"),
        ];
        for (text, field, why) in cases {
            let problem = frame(text);
            assert_eq!(
                (problem.code, problem.field.as_deref()),
                (Code::BadRequest, Some(field)),
                "{}",
                problem.message
            );
            assert!(problem.message.contains(why), "{}", problem.message);
        }
    }

    #[test]
    fn an_unknown_call_is_not_found_and_the_known_ones_are_listed() {
        let problem = frame(r#"{"id":1,"call":{"steal":{}}}"#);
        assert_eq!(problem.code, Code::NotFound);
        assert!(problem.message.contains("`steal`, expected one of `hello`, `claim`"), "{}", problem.message);
    }

    #[test]
    fn text_behind_the_object_and_text_that_is_no_json_are_refused() {
        let problem = read_text::<Extend>(r#"{"name":"a","token":"1"} x"#).unwrap_err();
        assert!(
            problem.message.starts_with("trailing characters (line 1, column 26): send one JSON object"),
            "{}",
            problem.message
        );
        assert!(frame("{").message == "the JSON ends early (line 1, column 1)");
        assert!(frame("[1,{\"count\":{}}]").message.contains("no JSON object"));
        assert_eq!(call_id("[1]"), None);
        assert!(frame("").message.starts_with("the JSON ends early"));
        assert_eq!(
            read::<Claim>(b"{\"name\":\"\xff\"}").unwrap_err().message.split(':').next(),
            Some("the text is not UTF-8 at byte 9")
        );
    }

    #[test]
    fn the_number_of_a_wrong_call_is_found() {
        assert_eq!(call_id(r#"{"call":{"claim":{"nme":1}},"id":7}"#), Some(7));
        assert_eq!(call_id(r#"{"id":"7"}"#), None);
        assert_eq!(call_id(r#"{"id":7"#), None);
    }

    /// One frame of each kind of value that there is.
    const FRAMES: [&str; 6] = [
        r#"{"id":1,"call":{"claim":{"name":"a","holder":"h","instance":"7","seq":"2","ttl_ms":5000,"value":"v"}}}"#,
        r#"{"id":18446744073709551615,"call":{"bulk":[{"release":{"name":"a","token":"1"}},{"extend":{"name":"b","token":"2"}}]}}"#,
        r#"{"id":2,"call":{"hello":{"version":1,"agent":"me \u00e4 \ud83d\ude00"}}}"#,
        r#"{"id":3,"call":{"watch":{"prefix":"a/","after":"9"}}}"#,
        r#"{"id":4,"call":{"members":{"change":{"add":{"id":"4","address":"a:7401"}}}}}"#,
        r#"{"id":5,"call":{"list":{}}}"#,
    ];
    const WORDS: &[&str] = &[
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\\",
        "\\u0000",
        "\\ud800",
        "null",
        "true",
        "-1",
        "1e9",
        "1.0",
        "00",
        "99999999999999999999",
        "\"id\":1,",
        "\"name\":",
        "\"token\":\"1\",",
        "{}",
        "[[[[[[[[[[[[[[[[[[",
        "{\"a\":{\"a\":{\"a\":{\"a\":",
        "\u{202e}",
        "\n",
    ];

    proptest! {
        #[test]
        fn a_frame_that_was_changed_is_read_as_one_thing_or_refused(
            frame in proptest::sample::select(&FRAMES[..]), edits in edits_of_text(WORDS), raw in edits(),
        ) {
            let text = edited_text(frame, &edits);
            within_bounds(text.len(), || parsers::client_frame(text.as_bytes()));
            let bytes = edited(frame.as_bytes(), &raw);
            within_bounds(bytes.len(), || parsers::client_frame(&bytes));
        }

        #[test]
        fn a_text_of_any_kind_is_read_or_refused(text in "\\PC{0,200}", json in r#"[\[\]{}",:0-9a-z\\ -]{0,200}"#) {
            for text in [text, json] {
                within_bounds(text.len(), || parsers::client_frame(text.as_bytes()));
            }
        }
    }

    #[test]
    fn every_frame_is_accepted_as_it_stands() {
        for frame in FRAMES {
            assert!(
                parsers::client_frame(frame.as_bytes()),
                "{}",
                read_text::<ClientFrame>(frame).unwrap_err()
            );
        }
    }

    #[test]
    fn a_whole_frame_of_the_smallest_things_takes_a_bounded_part_of_memory() {
        let of = |start: &str, thing: &str, end: &str| {
            let count = (lease::FRAME_BYTES_MAX - start.len() - end.len()) / (thing.len() + 1);
            format!("{start}{}{end}", vec![thing; count].join(","))
        };
        let frames = [
            of(r#"{"id":1,"call":{"bulk":["#, r#"{"release":{"name":"","token":"0"}}"#, "]}}"),
            of(r#"{"id":1,"call":{"bulk":["#, "{}", "]}}"),
            of(r#"{"id":1,"call":["#, "0", "]}"),
            of("{", r#""a":0"#, "}"),
        ];
        for frame in frames {
            within_bounds(frame.len(), || parsers::client_frame(frame.as_bytes()));
        }
    }
}
