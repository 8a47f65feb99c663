//! Configurations of any text, and of settings drawn at random.

use proptest::prelude::*;

use super::value::{Raw, bytes, duration};
use super::*;
use crate::parsers;
use crate::parsers::edits::{edited_text, edits_of_text, within_bounds};

const GOOD: &str = r#"
data = "d"
listen = "[::1]:0"
cluster = "000102030405060708090a0b0c0d0e0f"
member = 2
limits.connections = 100
session = { ping_every = "20s", dead_after = "41s" }
peer.voters = "1=a:7401,2=b:7401,3=c:7401"
[snapshot]
log_bytes = "64MiB"
[stop]
within = "1500ms"
"#;

const WORDS: &[&str] = &[
    "data",
    "listen",
    "session.",
    "[tls]\n",
    "[[log]]\n",
    "=",
    "\n",
    "\"",
    "\"\"\"",
    "'",
    "\"0.0.0.0:1\"",
    "true",
    "-1",
    "1e9",
    "0x10",
    "0o7",
    "1_000",
    "nan",
    "1979-05-27",
    "\"1ms\"",
    "\"25h\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ".",
    "#",
    "\\u0000",
    "insecure_plain_listener = true\n",
    "18446744073709551616",
    "+1",
    "\u{202e}",
    "[[[[[[[[[[[[[[[[",
];

proptest! {
    #[test]
    fn a_file_that_was_changed_is_one_configuration_or_refused(edits in edits_of_text(WORDS)) {
        let text = edited_text(GOOD, &edits);
        within_bounds(text.len(), || parsers::config(&text));
    }

    #[test]
    fn a_text_of_any_kind_is_one_configuration_or_refused(text in "\\PC{0,100}", words in proptest::collection::vec(proptest::sample::select(WORDS), 0..20)) {
        within_bounds(text.len(), || parsers::config(&text));
        let text = words.concat();
        within_bounds(text.len(), || parsers::config(&text));
    }

    #[test]
    fn a_duration_is_a_whole_number_of_a_unit_within_a_day(number in prop_oneof![0..200_000_u64, any::<u64>()], unit in "ms|s|m|h|d|us|S| s|", zeros in "0{0,3}") {
        let read = duration(&Raw::Text(format!("{zeros}{number}{unit}")));
        let millis = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)].iter().find(|(name, _)| *name == unit);
        let millis = millis.map(|(_, millis)| u128::from(number) * millis).filter(|millis| (1..=86_400_000).contains(millis));
        assert_eq!(read.ok().map(|read| read.as_millis()), millis);
    }

    #[test]
    fn a_size_is_a_whole_number_of_a_unit_within_its_bounds(number in prop_oneof![0..70_000_000_u64, any::<u64>()], unit in "KiB|MiB|GiB|TiB|MB|B|") {
        let read = bytes(&Raw::Word(format!("{number}{unit}")));
        let size = [("KiB", 1_u128 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)].iter().find(|(name, _)| *name == unit);
        let size = size.map(|(_, size)| u128::from(number) * size).filter(|size| (1 << 20..=64 << 30).contains(size));
        assert_eq!(read.ok().map(u128::from), size);
    }

    #[test]
    fn no_text_is_a_duration_but_digits_and_a_unit(text in "[-+0-9.eEmsh _]{0,8}") {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        assert!(is_plain || duration(&Raw::Text(text.clone())).is_err(), "{text}");
    }
}

#[test]
fn the_good_file_is_accepted() {
    let config = Config::of_text(GOOD).unwrap();
    assert_eq!((config.peer_voters.len(), config.connections), (3, 100));
}

#[test]
fn nesting_without_end_is_refused_and_ends_no_stack() {
    for text in [
        "a = ".to_owned() + &"[".repeat(100_000),
        "a = ".to_owned() + &"{a=".repeat(100_000),
        "a.".repeat(100_000) + "a = 1",
    ] {
        assert!(!parsers::config(&text), "{}…", &text[..20]);
    }
}

#[test]
fn numbers_with_a_sign_are_none() {
    for (key, value) in
        [("TENURE_MEMBER", "+1"), ("TENURE_PEER_VOTERS", "+1=a:7401"), ("TENURE_PEER_VOTERS", "1=a:+7401")]
    {
        let flags = Flags { data: Some("d".into()), ..Flags::default() };
        let env = |name: &str| (name == key).then(|| OsString::from(value));
        let error = Config::load_with(&flags, &env).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(value), "{error}");
    }
}
