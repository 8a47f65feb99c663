//! Frames of a session as either side reads them, of any text: one thing or refused, within a bounded part of memory. What a server
//! makes of a client's beyond that is tested there.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

use allocation_counter::measure;
use api::{ClientFrame, ServerFrame};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a server says, one of each kind of value that there is.
const SAID: [&str; 6] = [
    r#"{"id":2,"reply":{"bulk":["done",{"error":{"code":"held","message":"a","token":"4","by_you":true}},"cancelled"]}}"#,
    r#"{"id":3,"reply":{"error":{"code":"overloaded","message":"\u00e4","retry_after_ms":7,"revision":"9"}}}"#,
    r#"{"push":{"going":{"why":"stops","reconnect_after_ms":12}}}"#,
    r#"{"push":{"unreadable":{"code":"bad_request","message":"no JSON"}}}"#,
    r#"{"id":4,"reply":"done"}"#,
    r#"{"tomorrow":{"anything":[1,2,3]}}"#,
];
/// And a client.
const ASKED: [&str; 3] = [
    r#"{"id":1,"call":{"claim":{"name":"a","holder":"h","instance":"7","seq":"2","ttl_ms":5000,"value":"v"}}}"#,
    r#"{"id":2,"call":{"bulk":[{"release":{"name":"a","token":"1"}},{"extend":{"name":"b","token":"2"}}]}}"#,
    r#"{"id":3,"call":{"cancel":{"id":18446744073709551615}}}"#,
];
const WORDS: [&str; 20] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\\",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e9",
    "00",
    "99999999999999999999",
    "\"done\",",
    "{\"bulk\":[",
    "\"id\":1,",
    "[[[[[[[[[[[[[[[[",
    "{\"bulk\":[{\"bulk\":[{\"bulk\":[",
];

/// What reading takes of memory at most, for each byte that is read: an answer of a few letters is a whole answer in memory, and a
/// vector that grows is there twice.
const MEMORY_PER_BYTE: u64 = 200;
/// And for errors.
const MEMORY: u64 = 4 * 1024;

/// Reads a frame as one side does, and fails where it takes too much memory, or is another when it is written and read again.
fn read<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &str) -> bool {
    let mut frame = None;
    let taken = measure(|| frame = serde_json::from_str::<T>(text).ok()).bytes_max;
    let most = MEMORY_PER_BYTE * text.len() as u64 + MEMORY;
    assert!(taken <= most, "{} bytes took {taken} bytes of memory", text.len());
    let Some(frame) = frame else { return false };
    let again = serde_json::to_string(&frame).unwrap();
    assert_eq!(serde_json::from_str::<T>(&again).unwrap(), frame);
    true
}

fn edited(text: &str, edits: &[(Index, usize, String)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, gone, put) in edits {
        let from = at.index(bytes.len() + 1);
        let to = (from + gone).min(bytes.len());
        bytes.splice(from..to, put.bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn edits() -> impl Strategy<Value = Vec<(Index, usize, String)>> {
    let put = prop_oneof![select(&WORDS[..]).prop_map(str::to_owned), "[ -~]{0,3}", "\\PC{0,2}"];
    proptest::collection::vec((any::<Index>(), 0..4_usize, put), 0..4)
}

proptest! {
    #[test]
    fn a_frame_that_was_changed_is_one_thing_or_refused(
        said in select(&SAID[..]), asked in select(&ASKED[..]), edits in edits(),
    ) {
        read::<ServerFrame>(&edited(said, &edits));
        read::<ClientFrame>(&edited(asked, &edits));
    }

    #[test]
    fn a_text_of_any_kind_is_one_thing_or_refused(
        text in r#"[\[\]{}",:0-9a-z\\ -]{0,200}"#, words in proptest::collection::vec(select(&WORDS[..]), 0..20),
    ) {
        for text in [text, words.concat()] {
            read::<ServerFrame>(&text);
            read::<ClientFrame>(&text);
        }
    }

    #[test]
    fn a_number_of_64_bits_is_a_string_of_digits_and_nothing_else(
        token in prop_oneof!["[-+]?[0-9]{0,21}", "[0-9a-fx_.e ]{0,6}"],
    ) {
        let text = format!(r#"{{"id":1,"call":{{"release":{{"name":"a","token":"{token}"}}}}}}"#);
        let is_number = token.bytes().all(|byte| byte.is_ascii_digit()) && token.parse::<u64>().is_ok();
        assert_eq!(read::<ClientFrame>(&text), is_number, "{token}");
    }
}

#[test]
fn every_frame_is_accepted_as_it_stands() {
    for said in SAID {
        assert!(read::<ServerFrame>(said), "{said}: {:?}", serde_json::from_str::<ServerFrame>(said));
    }
    assert!(ASKED.iter().all(|asked| read::<ClientFrame>(asked)));
}

#[test]
fn answers_within_answers_end_at_a_depth_and_no_stack() {
    let nested = |depth: usize| {
        let (start, end) = (r#"{"bulk":["#.repeat(depth), "]}".repeat(depth));
        format!(r#"{{"id":1,"reply":{start}"done"{end}}}"#)
    };
    assert!(read::<ServerFrame>(&nested(2)));
    for depth in [100, 10_000, 1_000_000] {
        assert!(!read::<ServerFrame>(&nested(depth)), "{depth}");
        assert!(!read::<ServerFrame>(&"[".repeat(depth)), "{depth}");
        assert!(!read::<ServerFrame>(&format!(r#"{{"tomorrow":{}"#, "[".repeat(depth))), "{depth}");
    }
}

#[test]
fn a_whole_frame_of_the_smallest_answers_takes_a_bounded_part_of_memory() {
    let answers = vec![r#""done""#; 100_000].join(",");
    assert!(read::<ServerFrame>(&format!(r#"{{"id":1,"reply":{{"bulk":[{answers}]}}}}"#)));
}
