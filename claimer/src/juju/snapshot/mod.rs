//! The snapshot of Juju's leases that its raft keeps: YAML, version 1, as Juju 2.5 to 2.9 write and read it.
//!
//! ```text
//!   version: 1
//!   entries:
//!     ? namespace: application-leadership          ──▶ Key
//!       model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
//!       lease: mysql
//!     : holder: mysql/0                            ──▶ Entry
//!       start: 0001-01-01T00:00:10Z
//!       duration: 1m0s
//!   pinned:
//!     ? …: - machine-0
//!   global-time: 0001-01-01T00:00:30Z              the clock of all starts; it began at the year 1
//! ```
//!
//! Restoring refuses what Juju refuses, in its words: another version, or entries that are missing. Beyond that this reader is the
//! stricter one: what it does not know, or finds twice, it refuses with the line.

mod moment;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::{JujuNamespace, YamlText};

pub use moment::Moment;
pub use plan::{Import, Wanted};

use super::yaml::{self, InvalidYaml, Kind, Node};
use crate::duration::GoDuration;

/// The version that is read and written.
const VERSION: &str = "1";
/// Bytes of a snapshot: some hundred thousand leases.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// All leases, their pins, and the clock that they are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Those that are held.
    pub entries: BTreeMap<Key, Entry>,
    /// Who pins which, held or not.
    pub pinned: BTreeMap<Key, BTreeSet<String>>,
    /// What the clock read.
    pub global_time: Moment,
}

/// A lease's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// `application-leadership` or `singular-controller`.
    pub namespace: String,
    /// The model's uuid.
    pub model: String,
    /// The application, or what is controlled.
    pub lease: String,
}

/// A lease that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By whom.
    pub holder: String,
    /// Since when, or since its last extend.
    pub start: Moment,
    /// For how long from then.
    pub duration: GoDuration,
}

/// Why a text is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidSnapshot {
    /// Of another version.
    Version(String),
    /// It says nothing of entries: Juju would lose every lease by it.
    NoEntries,
    /// It is too long to be one.
    TooLong(usize),
    /// A line is not what Juju writes.
    Line(InvalidYaml),
}

impl fmt::Display for InvalidSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidSnapshot::Version(version) => {
                write!(f, "snapshot version {} not valid", api::rules::Shown(version))
            }
            InvalidSnapshot::NoEntries => f.write_str("nil entries not valid"),
            InvalidSnapshot::TooLong(bytes) => {
                write!(
                    f,
                    "it has {bytes} bytes, and the limit is {SNAPSHOT_BYTES_MAX}: is it a snapshot of Juju's leases?"
                )
            }
            InvalidSnapshot::Line(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InvalidSnapshot {}

impl From<InvalidYaml> for InvalidSnapshot {
    fn from(error: InvalidYaml) -> InvalidSnapshot {
        InvalidSnapshot::Line(error)
    }
}

fn wrong<T>(line: usize, why: impl fmt::Display) -> Result<T, InvalidYaml> {
    Err(InvalidYaml { line, why: why.to_string() })
}

impl Snapshot {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Snapshot, InvalidSnapshot> {
        if text.len() > SNAPSHOT_BYTES_MAX {
            return Err(InvalidSnapshot::TooLong(text.len()));
        }
        let document = yaml::read(text)?;
        let mut fields = Fields::of(&document, &["version", "entries", "pinned", "global-time"])?;
        // Before all else: of another version, nothing can be said.
        match fields.take("version").map(text_of).transpose()? {
            Some(VERSION) => {}
            other => return Err(InvalidSnapshot::Version(other.unwrap_or("0").to_owned())),
        }
        let entries = fields.take("entries").filter(|node| node.kind != Kind::Nothing);
        let entries = entries.ok_or(InvalidSnapshot::NoEntries)?;
        let pinned = fields.take("pinned").filter(|node| node.kind != Kind::Nothing);
        let global_time = moment(fields.need("global-time")?)?;
        Ok(Snapshot {
            entries: keyed(entries, entry)?,
            pinned: pinned.map_or(Ok(BTreeMap::new()), |pinned| keyed(pinned, entities))?,
            global_time,
        })
    }
}

/// A mapping's entries by their words.
struct Fields<'a> {
    line: usize,
    fields: BTreeMap<&'a str, &'a Node>,
}

impl<'a> Fields<'a> {
    fn of(node: &'a Node, known: &[&str]) -> Result<Fields<'a>, InvalidYaml> {
        let mut fields = BTreeMap::new();
        for (key, value) in map_of(node)? {
            let word = text_of(key)?;
            if !known.contains(&word) {
                return wrong(key.line, format!("{word} is none of {}", known.join(", ")));
            }
            if fields.insert(word, value).is_some() {
                return wrong(key.line, format!("{word} stands there twice"));
            }
        }
        Ok(Fields { line: node.line, fields })
    }

    fn take(&mut self, word: &str) -> Option<&'a Node> {
        self.fields.remove(word)
    }

    fn need(&mut self, word: &str) -> Result<&'a Node, InvalidYaml> {
        self.take(word).map_or_else(|| wrong(self.line, format!("{word} is missing")), Ok)
    }
}

/// A mapping from leases to something; each lease once.
fn keyed<T>(
    node: &Node,
    read: impl Fn(&Node) -> Result<T, InvalidYaml>,
) -> Result<BTreeMap<Key, T>, InvalidYaml> {
    let mut all = BTreeMap::new();
    for (key, value) in map_of(node)? {
        let at = key.line;
        let key = read_key(key)?;
        if all.contains_key(&key) {
            return wrong(at, format!("the lease {} stands there twice", key.lease));
        }
        all.insert(key, read(value)?);
    }
    Ok(all)
}

fn read_key(node: &Node) -> Result<Key, InvalidYaml> {
    let mut fields = Fields::of(node, &["namespace", "model-uuid", "lease"])?;
    let namespace = text_of(fields.need("namespace")?)?;
    let model = text_of(fields.need("model-uuid")?)?;
    let lease = text_of(fields.need("lease")?)?;
    if JujuNamespace::parse(namespace).is_none() {
        return wrong(node.line, format!("namespace {} not valid", api::rules::Quoted(namespace)));
    }
    if !api::is_model_uuid(model) {
        return wrong(node.line, format!("model-uuid {} is no uuid", api::rules::Quoted(model)));
    }
    Ok(Key { namespace: namespace.to_owned(), model: model.to_owned(), lease: lease.to_owned() })
}

fn entry(node: &Node) -> Result<Entry, InvalidYaml> {
    let mut fields = Fields::of(node, &["holder", "start", "duration"])?;
    let holder = text_of(fields.need("holder")?)?.to_owned();
    let start = moment(fields.need("start")?)?;
    let duration = fields.need("duration")?;
    let text = text_of(duration)?;
    // Nanoseconds as a bare number are a duration too, as Juju's commands write them.
    let nanos = text.parse::<i64>().ok().map(GoDuration::from_nanos);
    let read = nanos.map_or_else(|| GoDuration::parse(text), Ok);
    match read {
        Ok(duration) => Ok(Entry { holder, start, duration }),
        Err(why) => wrong(duration.line, format!("duration {}: {why}", api::rules::Quoted(text))),
    }
}

fn entities(node: &Node) -> Result<BTreeSet<String>, InvalidYaml> {
    let Kind::List(items) = &node.kind else { return wrong(node.line, "it is no list of entities") };
    items.iter().map(|item| text_of(item).map(str::to_owned)).collect()
}

fn moment(node: &Node) -> Result<Moment, InvalidYaml> {
    let text = text_of(node)?;
    Moment::parse(text).map_or_else(
        || wrong(node.line, format!("{} is no time such as 0001-01-01T00:00:30Z", api::rules::Quoted(text))),
        Ok,
    )
}

fn map_of(node: &Node) -> Result<&[(Node, Node)], InvalidYaml> {
    match &node.kind {
        Kind::Map(entries) => Ok(entries),
        _ => wrong(node.line, "it is no mapping"),
    }
}

fn text_of(node: &Node) -> Result<&str, InvalidYaml> {
    match &node.kind {
        Kind::Scalar(text) => Ok(text),
        _ => wrong(node.line, "it is no single value"),
    }
}

/// As Juju writes it.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version: {VERSION}")?;
        write_all(f, "entries", &self.entries, |entry, f| {
            writeln!(f, "  : holder: {}", YamlText(&entry.holder))?;
            writeln!(f, "    start: {}", entry.start)?;
            writeln!(f, "    duration: {}", entry.duration)
        })?;
        let pinned = self.pinned.iter().filter(|(_, entities)| !entities.is_empty());
        write_all(f, "pinned", pinned, |entities, f| {
            for (number, entity) in entities.iter().enumerate() {
                let start = if number == 0 { ":" } else { " " };
                writeln!(f, "  {start} - {}", YamlText(entity))?;
            }
            Ok(())
        })?;
        writeln!(f, "global-time: {}", self.global_time)
    }
}

fn write_all<'a, T: 'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    all: impl IntoIterator<Item = (&'a Key, &'a T)>,
    write: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    let mut all = all.into_iter().peekable();
    if all.peek().is_none() {
        return writeln!(f, "{title}: {{}}");
    }
    writeln!(f, "{title}:")?;
    for (key, value) in all {
        writeln!(f, "  ? namespace: {}", YamlText(&key.namespace))?;
        writeln!(f, "    model-uuid: {}", YamlText(&key.model))?;
        writeln!(f, "    lease: {}", YamlText(&key.lease))?;
        write(value, f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
