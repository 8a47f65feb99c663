//! As much of YAML as Juju's snapshots are written in: blocks of mappings, whose keys may be mappings themselves, lists and scalars.
//!
//! ```text
//!   entries:
//!     ? namespace: application-leadership     a key that is a mapping begins with "?",
//!       lease: mysql
//!     : holder: mysql/0                       and its value with ":"
//!       duration: 1m0s
//! ```
//!
//! Strict: flow style but for `{}` and `[]`, anchors, tags, texts over several lines and several documents are refused, with the line.
//! So nothing that is read here is larger than what was given, or refers to anything.

use std::fmt;

/// How deep blocks may stand in each other: a snapshot needs four.
const DEPTH_MAX: usize = 8;

/// Lines that are not blank, at most: each costs several times its text, and a snapshot of a million leases has six million.
const LINES_MAX: usize = 8_000_000;

/// A node, and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing where a value may stand.
    Nothing,
    /// A scalar, without its quotes.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<(Node, Node)>),
}

/// Why a text is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidYaml {
    /// On which line.
    pub line: usize,
    /// Why.
    pub why: String,
}

impl fmt::Display for InvalidYaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for InvalidYaml {}

fn invalid(line: usize, why: impl Into<String>) -> InvalidYaml {
    InvalidYaml { line, why: why.into() }
}

/// Reads a document.
///
/// # Errors
/// What is not read, and on which line.
pub(crate) fn read(text: &str) -> Result<Node, InvalidYaml> {
    read_within(text, LINES_MAX)
}

fn read_within(text: &str, lines_max: usize) -> Result<Node, InvalidYaml> {
    let mut lines = Lines::of(text, lines_max)?;
    let document = lines.block(0, 0)?;
    match lines.next() {
        Some(rest) => Err(invalid(rest.number, "it stands behind the end of what it should belong to")),
        None => Ok(document),
    }
}

/// What is left of a line: its number, the column at which that begins, and its text.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    number: usize,
    column: usize,
    text: &'a str,
}

struct Lines<'a> {
    lines: Vec<Line<'a>>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str, lines_max: usize) -> Result<Lines<'a>, InvalidYaml> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let inner = line.trim_start_matches(' ');
            match () {
                () if inner.starts_with('\t') => return Err(invalid(number, "it is indented with a tab")),
                () if inner.trim_end().is_empty() || inner.starts_with('#') => {}
                () if line.trim_end() == "---" && lines.is_empty() => {}
                () if lines.len() >= lines_max => {
                    return Err(invalid(
                        number,
                        format!(
                            "there are more than {lines_max} lines that are not blank, the limit: split the snapshot"
                        ),
                    ));
                }
                () => lines.push(Line { number, column: line.len() - inner.len(), text: inner.trim_end() }),
            }
        }
        Ok(Lines { lines, at: 0 })
    }

    fn next(&self) -> Option<Line<'a>> {
        self.lines.get(self.at).copied()
    }

    /// Goes on behind `indicator` on the same line; or at the next one, where nothing is behind it.
    fn go_behind(&mut self, indicator: char) {
        let line = &mut self.lines[self.at];
        let rest = line.text.strip_prefix(indicator).unwrap_or(line.text);
        let inner = rest.trim_start_matches(' ');
        line.column += line.text.len() - inner.len();
        line.text = inner;
        if inner.is_empty() || inner.starts_with('#') {
            self.at += 1;
        }
    }

    /// The node whose lines are indented by at least `least`: nothing where the next line is not.
    fn block(&mut self, least: usize, depth: usize) -> Result<Node, InvalidYaml> {
        let line = match self.next() {
            Some(line) if line.column >= least => line,
            other => {
                let number = other.or(self.lines.last().copied()).map_or(1, |line| line.number);
                return Ok(Node { line: number, kind: Kind::Nothing });
            }
        };
        let kind = match () {
            () if depth > DEPTH_MAX => {
                return Err(invalid(line.number, format!("it stands more than {DEPTH_MAX} blocks deep")));
            }
            () if is_item(line.text) => self.list(line.column, depth)?,
            () if is_indicated(line.text, '?') || key(line.text).is_some() => self.map(line.column, depth)?,
            () => {
                self.at += 1;
                scalar(line)?
            }
        };
        Ok(Node { line: line.number, kind })
    }

    fn list(&mut self, column: usize, depth: usize) -> Result<Kind, InvalidYaml> {
        let mut items = Vec::new();
        while self.next().is_some_and(|line| line.column == column && is_item(line.text)) {
            self.go_behind('-');
            items.push(self.block(column + 1, depth + 1)?);
        }
        Ok(Kind::List(items))
    }

    fn map(&mut self, column: usize, depth: usize) -> Result<Kind, InvalidYaml> {
        let mut entries = Vec::new();
        while let Some(line) = self.next().filter(|line| line.column == column && !is_item(line.text)) {
            if is_indicated(line.text, '?') {
                self.go_behind('?');
                let key = self.block(column + 1, depth + 1)?;
                let value = self.next().filter(|line| line.column == column && is_indicated(line.text, ':'));
                let value =
                    value.ok_or_else(|| invalid(line.number, "its key has no value: a line with \":\""))?;
                debug_assert!(value.number >= line.number);
                self.go_behind(':');
                entries.push((key, self.block(column + 1, depth + 1)?));
            } else {
                entries.push(self.simple(line, depth)?);
            }
        }
        Ok(Kind::Map(entries))
    }

    /// An entry whose key is a word.
    fn simple(&mut self, line: Line<'a>, depth: usize) -> Result<(Node, Node), InvalidYaml> {
        let (word, rest) = key(line.text)
            .ok_or_else(|| invalid(line.number, "it is neither a key with a value nor an item"))?;
        let key = Node { line: line.number, kind: Kind::Scalar(word.to_owned()) };
        self.at += 1;
        if !rest.is_empty() && !rest.starts_with('#') {
            let kind = scalar(Line { text: rest, ..line })?;
            return Ok((key, Node { line: line.number, kind }));
        }
        // A list may stand at its key's own column.
        let is_list = self.next().is_some_and(|next| next.column == line.column && is_item(next.text));
        let value = self.block(line.column + usize::from(!is_list), depth + 1)?;
        let at = if value.kind == Kind::Nothing { line.number } else { value.line };
        Ok((key, Node { line: at, ..value }))
    }
}

/// Whether a line begins with an indicator: alone, or with a blank behind it.
fn is_indicated(text: &str, indicator: char) -> bool {
    text.strip_prefix(indicator).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn is_item(text: &str) -> bool {
    is_indicated(text, '-')
}

/// A plain key, and what is behind its colon.
fn key(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')?;
    let rest = text[end..].strip_prefix(':')?;
    (end > 0 && (rest.is_empty() || rest.starts_with(' ')))
        .then(|| (&text[..end], rest.trim_start_matches(' ')))
}

/// What stands on one line as a value.
fn scalar(line: Line<'_>) -> Result<Kind, InvalidYaml> {
    let text = line.text;
    let quoted = |read: Result<(String, &str), &str>| {
        let (read, rest) = read.map_err(|why| invalid(line.number, why))?;
        match rest.trim_start() {
            "" => Ok(Kind::Scalar(read)),
            rest if rest.starts_with('#') => Ok(Kind::Scalar(read)),
            _ => Err(invalid(line.number, "something stands behind the closing quote")),
        }
    };
    match text.chars().next() {
        Some('\'') => quoted(single_quoted(&text[1..])),
        Some('"') => quoted(double_quoted(&text[1..])),
        _ => plain(text).map_err(|why| invalid(line.number, why)),
    }
}

fn plain(text: &str) -> Result<Kind, String> {
    let text = text.split(" #").next().unwrap_or_default().trim_end();
    match text {
        "{}" => return Ok(Kind::Map(Vec::new())),
        "[]" => return Ok(Kind::List(Vec::new())),
        "~" | "null" => return Ok(Kind::Nothing),
        _ => {}
    }
    match text.chars().next() {
        Some(sign @ ('&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | '{' | '[' | ',' | '}' | ']')) => {
            Err(format!("it begins with {sign}, which is not read here: Juju's snapshots have none"))
        }
        _ if text.contains(": ") || text.ends_with(':') => Err("it has a second colon".to_owned()),
        _ => Ok(Kind::Scalar(text.to_owned())),
    }
}

fn single_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let (mut read, mut rest) = (String::new(), text);
    loop {
        let (before, behind) = rest.split_once('\'').ok_or("its quote is not closed")?;
        read.push_str(before);
        match behind.strip_prefix('\'') {
            Some(more) => {
                read.push('\'');
                rest = more;
            }
            None => return Ok((read, behind)),
        }
    }
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut read = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next().ok_or("its quote is not closed")? {
            '"' => return Ok((read, characters.as_str())),
            '\\' => read.push(escaped(&mut characters)?),
            other => read.push(other),
        }
    }
}

fn escaped(characters: &mut std::str::Chars<'_>) -> Result<char, &'static str> {
    let digits = match characters.next() {
        Some('n') => return Ok('\n'),
        Some('t') => return Ok('\t'),
        Some(same @ ('"' | '\\' | '/')) => return Ok(same),
        Some('x') => 2,
        Some('u') => 4,
        _ => return Err("it has an escape that is not read here"),
    };
    let text: String = characters.take(digits).collect();
    let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let code = u32::from_str_radix(&text, 16).ok().filter(|_| is_hex);
    code.and_then(char::from_u32).ok_or("it has an escape that is no character")
}

#[cfg(test)]
mod tests;
