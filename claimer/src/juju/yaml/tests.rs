//! What is read, and what is refused with its line.

use super::{Kind, Node, read, read_within};

/// A node as one text: `{a: b}`, `[a]`, `nothing`.
fn shown(node: &Node) -> String {
    let all = |nodes: &[Node]| nodes.iter().map(shown).collect::<Vec<_>>().join(", ");
    match &node.kind {
        Kind::Nothing => "nothing".to_owned(),
        Kind::Scalar(text) => text.clone(),
        Kind::List(items) => format!("[{}]", all(items)),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", shown(key), shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn blocks_are_read_as_they_stand() {
    let table = [
        ("a: b", "{a: b}"),
        ("---\n# of it\na: b # so\n\nc: d\n", "{a: b, c: d}"),
        ("a:\n  b: c\n  d: e\nf: g", "{a: {b: c, d: e}, f: g}"),
        ("a:\n- b\n- c\nd: e", "{a: [b, c], d: e}"),
        ("a:\n  - b\n  - c: d\n    e: f", "{a: [b, {c: d, e: f}]}"),
        (
            "? a: b\n  c: d\n: e: f\n  g: h\n? a: i\n: - j\n  - k",
            "{{a: b, c: d}: {e: f, g: h}, {a: i}: [j, k]}",
        ),
        ("x:\n  ? a: b\n  : - j\n    - k", "{x: {{a: b}: [j, k]}}"),
        ("x:\n  ?\n    a: b\n  :\n    c: d", "{x: {{a: b}: {c: d}}}"),
        ("a: {}\nb: []\nc:\nd: null", "{a: {}, b: [], c: nothing, d: nothing}"),
        ("a: 'it''s: so' # x\nb: \"\\\"\\u00e9\\n\"", "{a: it's: so, b: \"é\n}"),
        ("a: 0001-01-01T00:00:00Z\nb: 127.0.0.1:7401", "{a: 0001-01-01T00:00:00Z, b: 127.0.0.1:7401}"),
        ("", "nothing"),
        ("word", "word"),
    ];
    for (text, expected) in table {
        assert_eq!(read(text).map(|node| shown(&node)), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn what_is_not_read_is_refused_with_its_line() {
    let table = [
        ("a: b\n\tc: d", 2, "with a tab"),
        ("a: b\nc", 2, "neither a key"),
        ("a: b\n  c: d", 2, "behind the end"),
        ("a:\n    b: c\n  d: e", 3, "behind the end"),
        ("a: &b c", 1, "begins with &"),
        ("a: *b", 1, "begins with *"),
        ("a: |\n  b", 1, "begins with |"),
        ("a: {b: c}", 1, "begins with {"),
        ("a: b: c", 1, "second colon"),
        ("a: 'b", 1, "not closed"),
        ("a: \"b\\", 1, "not read here"),
        ("a: \"\\ud800\"", 1, "no character"),
        ("a: \"\\u+123\"", 1, "no character"),
        ("a: 'b' c", 1, "behind the closing quote"),
        ("x:\n  ? a: b\n  c: d", 2, "has no value"),
        ("a: b\n---\nc: d", 2, "neither a key"),
        ("- - - - - - - - - - a", 1, "blocks deep"),
    ];
    for (text, line, why) in table {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.why.contains(why), "{text}: {error}");
    }
}

#[test]
fn a_text_of_too_many_lines_is_refused_before_it_is_read() {
    let text = "a:\n\n# no line\n- b\n- c\n";
    assert!(read_within(text, 3).is_ok());
    let error = read_within(text, 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 5: there are more than 2 lines that are not blank, the limit: split the snapshot"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[ a:?'\"#\n\\-{}\\[\\]&\\\\u0]{0,60}") {
        let _ = read(&text);
    }
}
