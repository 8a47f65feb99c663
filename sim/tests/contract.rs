//! What docs/contract.md names is there: tests by their names, and files by their paths.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file and script of the rooms, with its text.
fn sources(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["api", "claimer", "cli", "client", "lease", "replica", "server", "sim", "tests"]
            .map(|room| root.join(room))
            .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            } else {
                found.push((path, String::new()));
            }
        }
    }
    found
}

/// What stands between single backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether it is a test's name, and not a path or a command: some words, in the way in which tests are named.
fn is_a_tests_name(word: &str) -> bool {
    word.matches('_').count() >= 3
        && word.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
}

#[test]
fn every_test_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contract = fs::read_to_string(root.join("docs/contract.md")).unwrap();
    let sources = sources(&root);
    let is_there = |name: &str| {
        let (function, script) = (format!("fn {name}("), Path::new(name));
        sources.iter().any(|(path, text)| text.contains(&function) || path.ends_with(script))
    };
    let missing: Vec<&str> =
        quoted(&contract).filter(|word| is_a_tests_name(word) && !is_there(word)).collect();
    assert!(missing.is_empty(), "docs/contract.md names tests that are not there: {missing:?}");
    // What is watched by a simulation is named by the last part of its path.
    let ends = |word: &&str| word.ends_with(".rs") && !word.contains([' ', '*']);
    let missing: Vec<&str> = quoted(&contract)
        .filter(ends)
        .filter(|file| !sources.iter().any(|(path, _)| path.ends_with(file)))
        .collect();
    assert!(missing.is_empty(), "docs/contract.md names files that are not there: {missing:?}");
}

/// Whoever reads that something is so whatever happens finds in the same paragraph what would fail if it were not.
#[test]
fn a_paragraph_that_says_always_or_never_names_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contract = fs::read_to_string(root.join("docs/contract.md")).unwrap();
    for paragraph in contract.split("\n\n") {
        let words = || paragraph.split(|it: char| !it.is_alphanumeric() && it != '_').map(str::to_lowercase);
        if words().any(|word| word == "always" || word == "never") {
            let names = quoted(paragraph)
                .any(|word| is_a_tests_name(word) || word.contains(".rs") || word.contains("tests"));
            assert!(names, "this names no test:\n{paragraph}");
        }
    }
}
