//! Keeps the house as ARCHITECTURE.md draws it: imports run one way, what is pure stays pure, files stay readable, and
//! docs/format.md says what the code says, and no message or page names a verb that `tenure` does not have.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each crate, and which of ours it may use.
const IMPORTS: [(&str, &[&str]); 9] = [
    ("lease", &[]),
    ("replica", &["lease"]),
    ("api", &["lease"]),
    ("client", &["api"]),
    ("server", &["api", "lease", "replica"]),
    ("claimer", &["api", "client"]),
    ("cli", &["api", "claimer", "client", "lease", "server"]),
    ("sim", &["api", "client", "lease", "replica"]),
    ("tests/torture", &["api", "client"]),
];

/// Folders and files, and words that may not stand in their code.
const ABSENCES: [(&str, &[&str], &[&str]); 4] = [
    (
        "lease/src",
        &[],
        &[
            "std::time",
            "std::net",
            "std::fs",
            "std::thread",
            "std::io",
            "HashMap",
            "HashSet",
            "async ",
            "println!",
            "unsafe ",
        ],
    ),
    ("api/src", &[], &["std::time", "std::net", "std::fs", "std::thread", "HashMap", "async "]),
    (
        "replica/src",
        // The production shells of the log, behind its own traits.
        &["replica/src/log/shell.rs", "replica/src/log/folder.rs"],
        &[
            "Instant::now",
            "SystemTime",
            "std::net",
            "std::fs",
            "thread::spawn",
            "tokio::",
            "HashMap",
            "HashSet",
            "select!",
        ],
    ),
    (
        "client/src/machine",
        &[],
        &["Instant::now", "SystemTime", "std::net", "tokio::", "HashMap", "HashSet", "async "],
    ),
];

const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The Rust files below `folder`, sorted.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

/// A file's code: without comments, and without the items that are `#[cfg(test)]`.
fn code(path: &Path) -> String {
    without_tests(&fs::read_to_string(path).unwrap())
}

/// As rustfmt lays it out, an item ends at the first line that is indented as its attribute is and ends with `;` or `}`.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indent = line.len() - line.trim_start().len();
            let ends = |line: &&str| {
                line.len() - line.trim_start().len() == indent && (line.ends_with(';') || line.ends_with('}'))
            };
            lines.by_ref().find(ends);
        } else if !line.trim_start().starts_with("//") {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn only_the_tests_of_a_file_are_left_out() {
    let text = "mod a;\n#[cfg(test)]\nmod tests;\nuse b;\n// c\nimpl D {\n    #[cfg(test)]\n    fn e() {\n        f();\n    }\n\n    \
                fn g() {}\n}\n#[cfg(test)]\nmod tests {\n    use h;\n}\nfn i() {}\n";
    assert_eq!(without_tests(text), "mod a;\nuse b;\nimpl D {\n\n    fn g() {}\n}\nfn i() {}\n");
}

#[test]
fn imports_run_one_way() {
    for (name, allowed) in IMPORTS {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for (folder, _) in IMPORTS {
            let other = folder.rsplit('/').next().unwrap_or(folder);
            let uses = dependencies
                .lines()
                .any(|line| line.starts_with(&format!("{other}.")) || line.starts_with(&format!("{other} ")));
            assert!(!uses || allowed.contains(&other), "{name} may not use {other}: see ARCHITECTURE.md");
        }
        if name == "lease" {
            assert!(
                dependencies.trim().is_empty(),
                "lease has no dependencies, and here are some: {dependencies}"
            );
        }
    }
}

#[test]
fn what_is_pure_stays_pure() {
    for (folder, exceptions, words) in ABSENCES {
        let files = sources(&root().join(folder));
        assert!(!files.is_empty(), "{folder} has no code to look at");
        let is_test = |file: &PathBuf| file.file_name().is_some_and(|name| name == "tests.rs");
        let looked_at = files.iter().filter(|file| !is_test(file));
        for file in looked_at.filter(|file| !exceptions.contains(&relative(file).as_str())) {
            let code = code(file);
            for word in words {
                let line = code.lines().find(|line| line.contains(word));
                assert!(
                    line.is_none(),
                    "{}: {word:?} has no place in {folder}: {}",
                    relative(file),
                    line.unwrap_or_default().trim()
                );
            }
        }
    }
}

#[test]
fn files_can_be_held_in_the_head() {
    for (name, _) in IMPORTS {
        for file in sources(&root().join(name).join("src")) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(
                lines <= LINES_MAX,
                "{} has {lines} lines: is there a second noun inside?",
                relative(&file)
            );
        }
    }
}

#[test]
fn nothing_is_left_open() {
    // Put together, so that this file does not find itself.
    let words = ["to".to_owned() + "do!(", "unimple".to_owned() + "mented!(", "#[ig".to_owned() + "nore"];
    for (name, _) in IMPORTS {
        for file in ["src", "tests", "benches"].iter().flat_map(|part| sources(&root().join(name).join(part)))
        {
            let text = fs::read_to_string(&file).unwrap();
            for word in &words {
                assert!(!text.contains(word), "{} has {word}", relative(&file));
            }
        }
    }
}

/// The files below `folder` whose names end with `.md`, sorted.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(pages(&path)),
            false if path.extension().is_some_and(|extension| extension == "md") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// The verbs that the program itself lists.
fn verbs() -> BTreeSet<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_tenure")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    // A verb stands two columns in; the lines that its description goes on with stand further right.
    let verbs =
        commands.lines().filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    verbs.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn every_verb_that_is_named_exists() {
    let verbs = verbs();
    assert!(verbs.contains("serve") && verbs.len() > 8, "these are not the verbs: {verbs:?}");
    let root = root();
    let mut files = vec![root.join("README.md"), root.join("CHANGELOG.md"), root.join("ARCHITECTURE.md")];
    files.extend(pages(&root.join("docs")));
    files.extend(IMPORTS.iter().flat_map(|(name, _)| sources(&root.join(name).join("src"))));
    let mut named = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // In a sentence and in an example.
        let after = ["`tenure ", "release/tenure "].iter().flat_map(|start| text.split(start).skip(1));
        for rest in after {
            let verb = rest.split(|c: char| !c.is_ascii_alphabetic() && c != '-').next().unwrap_or_default();
            assert!(
                verb.is_empty() || verbs.contains(verb),
                "{} speaks of `tenure {verb}`, and there is no such verb",
                relative(&file)
            );
            named += usize::from(!verb.is_empty());
        }
    }
    assert!(named > 10, "only {named} verbs were found: does this test still look in the right places?");
}

/// What a page names between backticks and looks like a path of this project: `crate/…` or `docs/…`, to the first `*`.
fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| {
        let room = word.split_once('/').map(|(room, _)| room);
        room == Some("docs") || IMPORTS.iter().any(|(name, _)| room == Some(name))
    })
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let mut files = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    files.extend(pages(&root().join("docs")));
    let mut named = 0;
    for file in files {
        for path in paths_in(&fs::read_to_string(&file).unwrap()) {
            let is_there = match path.split_once('*') {
                None => root().join(path).exists(),
                Some((start, _)) => {
                    let (folder, start) = start.rsplit_once('/').unwrap();
                    let mut entries = fs::read_dir(root().join(folder)).unwrap();
                    entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(start))
                }
            };
            assert!(is_there, "{} speaks of {path}, and it is not there", relative(&file));
            named += 1;
        }
    }
    assert!(named > 20, "only {named} paths were found: does this test still look in the right places?");
}

/// What docs/format.md is made of.
const FORMAT: [(&str, &str); 5] = [
    ("The log", "replica/src/log/format.rs"),
    ("An entry's payload", "replica/src/raft/codec.rs"),
    ("A batch", "lease/src/codec.rs"),
    ("A snapshot", "replica/src/snapshot/mod.rs"),
    ("The table in a snapshot", "lease/src/snapshot.rs"),
];

fn module_docs(path: &str) -> String {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let docs = text.lines().map_while(|line| line.strip_prefix("//!"));
    docs.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// `UPDATE_GOLDENFILES=1` writes it anew.
#[test]
fn the_format_is_drawn_as_the_code_has_it() {
    let mut format = String::from(
        "# The bytes on the disk\n\nMade from the module docs of the code that reads and writes them, by `just fix`; a test \
         compares the two.\n",
    );
    for (heading, path) in FORMAT {
        format += &format!("\n## {heading}\n\n`{path}`\n\n{}", module_docs(path));
    }
    let file = root().join("docs/format.md");
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(&file, &format).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == format,
        "docs/format.md is not what the module docs say: run `just fix`, and read the difference"
    );
}
