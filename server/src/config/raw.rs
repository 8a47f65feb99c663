//! What was set where, before it is understood.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::keys::{KEYS, nearest};
use super::value::{self, Raw};
use super::{Flags, Origin};

/// Every value that was set, the one that wins last.
#[derive(Debug, Default)]
pub(super) struct Raws(BTreeMap<&'static str, Vec<(Raw, Origin)>>);

impl Raws {
    /// Adds what a file sets.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let unreadable = |cause: String| ConfigError::File { path: path.to_owned(), cause };
        let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            unreadable(format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        if text.trim().is_empty() {
            return Err(unreadable("it is empty: leave it out, or set something in it".to_owned()));
        }
        self.add_text(path, &text)
    }

    /// Adds what the text of a file sets.
    pub(super) fn add_text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let file = File { path, text };
        let table = DeTable::parse(text).map_err(|error| {
            let (line, column) = file.place(error.span().map_or(text.len(), |span| span.start));
            ConfigError::Syntax { path: path.to_owned(), line, column, cause: error.message().to_owned() }
        })?;
        self.add_table(&file, "", table.get_ref())
    }

    fn add_table(&mut self, file: &File<'_>, prefix: &str, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let origin = file.origin(name.span().start);
            let known = KEYS.iter().find(|setting| setting.key == key);
            match (known, value.get_ref()) {
                (Some(setting), value) => self.add(setting.key, raw(value), origin),
                (None, DeValue::Table(inner)) if is_table(&key) => {
                    self.add_table(file, &format!("{key}."), inner)?;
                }
                (None, _) => {
                    let nearest = nearest(&key, KEYS.iter().map(|setting| setting.key));
                    return Err(ConfigError::UnknownKey { origin, key, nearest });
                }
            }
        }
        Ok(())
    }

    /// Adds what the environment sets.
    pub(super) fn add_env(&mut self, env: &dyn Fn(&str) -> Option<OsString>) -> Result<(), ConfigError> {
        for setting in KEYS {
            let name = setting.env();
            if let Some(value) = env(&name) {
                let value = value.into_string().map_err(|_| ConfigError::NotUtf8 { name: name.clone() })?;
                self.add(setting.key, Raw::Word(value), Origin::Env(name));
            }
        }
        Ok(())
    }

    /// Adds what flags set.
    pub(super) fn add_flags(&mut self, flags: &Flags) {
        if let Some(data) = &flags.data {
            self.add("data", Raw::Path(data.clone()), Origin::Flag("--data"));
        }
        let words = [
            ("listen", "--listen", &flags.listen),
            ("peer.listen", "--peer-listen", &flags.peer_listen),
            ("peer.voters", "--peer-voters", &flags.peer_voters),
            ("cluster", "--cluster", &flags.cluster),
            ("member", "--member", &flags.member),
            ("log.level", "--log-level", &flags.log_level),
            ("log.format", "--log-format", &flags.log_format),
        ];
        for (key, flag, word) in words {
            if let Some(word) = word {
                self.add(key, Raw::Word(word.clone()), Origin::Flag(flag));
            }
        }
        let switches = [
            ("peer.join", "--peer-join", flags.peer_join),
            ("insecure_plain_listener", "--insecure-plain-listener", flags.insecure_plain_listener),
            ("insecure_no_authentication", "--insecure-no-authentication", flags.insecure_no_authentication),
            ("allow_volatile_data", "--allow-volatile-data", flags.allow_volatile_data),
            ("accept_torn_tail", "--accept-torn-tail", flags.accept_torn_tail),
            ("juju.enabled", "--juju", flags.juju),
            ("juju.load_test_any_holder", "--load-test-any-holder", flags.load_test_any_holder),
        ];
        for (key, flag, on) in switches {
            if on {
                self.add(key, Raw::Bool(true), Origin::Flag(flag));
            }
        }
    }

    fn add(&mut self, key: &'static str, raw: Raw, origin: Origin) {
        self.0.entry(key).or_default().push((raw, origin));
    }

    /// The value of `key` that wins, understood by `parse`, which says what is wanted where it does not understand. Those
    /// that it wins over must be understood too: a mistake that waits for a flag to go is found now.
    pub(super) fn get<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Raw) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        debug_assert!(KEYS.iter().any(|setting| setting.key == key), "{key} is no setting");
        let mut winner = None;
        let mut beats = None;
        for (raw, origin) in self.0.get(key).into_iter().flatten() {
            winner = Some(parse(raw).map_err(|wanted| ConfigError::WrongValue {
                key,
                value: raw.to_string(),
                wanted,
                origin: origin.clone(),
                beats: beats.replace(origin.clone()),
            })?);
            beats = Some(origin.clone());
        }
        Ok(winner)
    }

    /// The path that `key` says. One that a file says begins at that file's folder, so that the two can be moved together.
    pub(super) fn get_path(&self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let path = self.get(key, value::path)?;
        let folder = match self.0.get(key).and_then(|set| set.last()) {
            Some((_, Origin::File { path, .. })) => path.parent(),
            _ => None,
        };
        Ok(path.map(|path| folder.map_or(path.clone(), |folder| folder.join(path))))
    }

    /// Where the value of `key` came from, in brackets.
    pub(super) fn from(&self, key: &str) -> String {
        match self.0.get(key).and_then(|set| set.last()) {
            Some((_, origin)) => format!(" ({origin})"),
            None => " (the default)".to_owned(),
        }
    }
}

fn is_table(key: &str) -> bool {
    KEYS.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(on) => Raw::Bool(*on),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Other(number.as_str().to_owned()),
        },
        DeValue::Float(number) => Raw::Other(number.as_str().to_owned()),
        DeValue::Datetime(when) => Raw::Other(when.to_string()),
        DeValue::Array(_) => Raw::Other("an array".to_owned()),
        DeValue::Table(_) => Raw::Other("a table".to_owned()),
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, at: usize) -> Origin {
        let (line, column) = self.place(at);
        Origin::File { path: PathBuf::from(self.path), line, column }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
