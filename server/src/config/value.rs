//! One value: from what was written to what is meant. Each parser says what it wants where it does not understand.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// A string in the file.
    Text(String),
    /// Words of the environment or the command line, which have no types.
    Word(String),
    /// A path of the command line, which need not be UTF-8.
    Path(PathBuf),
    /// A boolean.
    Bool(bool),
    /// A whole number in the file.
    Integer(i64),
    /// Something that no setting is.
    Other(String),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Text(text) | Raw::Word(text) => write!(f, "{}", crate::service::Echo(text)),
            Raw::Path(path) => write!(f, "{}", path.display()),
            Raw::Bool(on) => write!(f, "{on}"),
            Raw::Integer(number) => write!(f, "{number}"),
            Raw::Other(text) => f.write_str(text),
        }
    }
}

impl Raw {
    pub(super) fn words(&self) -> Option<&str> {
        match self {
            Raw::Text(text) | Raw::Word(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Raw::Integer(number) => u64::try_from(*number).ok(),
            // Rust would read a sign too.
            Raw::Word(word) if word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok(),
            _ => None,
        }
    }
}

/// The token of the first operator, by its hash: `ID-HASH-NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstToken {
    /// Its id.
    pub(crate) id: lease::CredentialId,
    /// Of its secret.
    pub(crate) hash: lease::SecretHash,
    /// The operator's name.
    pub(crate) name: lease::Holder,
}

impl fmt::Display for FirstToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash: String = self.hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{}-{hash}-{}", self.id, self.name)
    }
}

pub(super) fn first_token(raw: &Raw) -> Result<FirstToken, String> {
    let read = |text: &str| {
        let mut parts = text.splitn(3, '-');
        let (id, hash, name) = (parts.next()?, parts.next()?, parts.next()?);
        let id = (id.len() == 16).then(|| u64::from_str_radix(id, 16).ok())??;
        let hash = crate::identity::hash_of_hex(hash)?;
        Some(FirstToken { id: lease::CredentialId(id), hash, name: lease::Holder::parse(name).ok()? })
    };
    raw.words()
        .and_then(read)
        .ok_or_else(|| "ID-HASH-NAME as `tenure init` writes it, or leave it out".to_owned())
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what is broken.
    Error,
    /// And what may become so.
    Warn,
    /// And what happens once in a while.
    Info,
    /// And what happens to each connection.
    Debug,
    /// And everything.
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        })
    }
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

type Parsed<T> = Result<T, String>;

pub(super) fn path(raw: &Raw) -> Parsed<PathBuf> {
    match raw {
        Raw::Path(path) if !path.as_os_str().is_empty() => Ok(path.clone()),
        Raw::Text(text) | Raw::Word(text) if !text.is_empty() => Ok(PathBuf::from(text)),
        _ => Err("a path, as a string".to_owned()),
    }
}

pub(super) fn address(raw: &Raw) -> Parsed<SocketAddr> {
    let wanted = "an IP address and a port from 0 to 65535, such as \"127.0.0.1:7400\" or \"[::1]:7400\"";
    raw.words().and_then(|words| words.parse().ok()).ok_or_else(|| wanted.to_owned())
}

pub(super) fn yes_or_no(raw: &Raw) -> Parsed<bool> {
    match raw {
        Raw::Bool(on) => Ok(*on),
        Raw::Word(word) if word == "true" => Ok(true),
        Raw::Word(word) if word == "false" => Ok(false),
        _ => Err("true or false, without quotes".to_owned()),
    }
}

pub(super) fn level(raw: &Raw) -> Parsed<LogLevel> {
    match raw.words() {
        Some("error") => Ok(LogLevel::Error),
        Some("warn") => Ok(LogLevel::Warn),
        Some("info") => Ok(LogLevel::Info),
        Some("debug") => Ok(LogLevel::Debug),
        Some("trace") => Ok(LogLevel::Trace),
        _ => Err("error, warn, info, debug or trace".to_owned()),
    }
}

pub(super) fn format(raw: &Raw) -> Parsed<LogFormat> {
    match raw.words() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}

pub(super) fn cluster(raw: &Raw) -> Parsed<u128> {
    let digits =
        raw.words().filter(|words| words.len() == 32 && words.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits
        .and_then(|digits| u128::from_str_radix(digits, 16).ok())
        .ok_or_else(|| "32 hexadecimal digits".to_owned())
}

pub(super) fn member(raw: &Raw) -> Parsed<u64> {
    raw.number().filter(|member| *member > 0).ok_or_else(|| "a whole number from 1".to_owned())
}

pub(super) fn connections(raw: &Raw) -> Parsed<usize> {
    up_to(lease::CONNECTIONS_MAX, raw)
}

pub(super) fn commands(raw: &Raw) -> Parsed<usize> {
    up_to(lease::QUEUE_MAX, raw)
}

fn up_to(most: usize, raw: &Raw) -> Parsed<usize> {
    let number = raw.number().and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| format!("a whole number from 1 to {most}"))
}

/// A number of logins, of which 0 is any number.
pub(super) fn logins(raw: &Raw) -> Parsed<u32> {
    const LOGINS_MAX: u32 = 1_000_000;
    let number = raw.number().and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| *number <= LOGINS_MAX)
        .ok_or_else(|| format!("a whole number from 0 to {LOGINS_MAX}"))
}

/// How often something may be: a duration from 1 ms to 1 m, as Juju bounds it.
pub(super) fn rate(raw: &Raw) -> Parsed<Duration> {
    let minute = Duration::from_secs(60);
    let wanted = || "a duration with its unit (ms, s or m) from 1ms to 1m, such as \"250ms\"".to_owned();
    duration(raw).ok().filter(|rate| *rate <= minute).ok_or_else(wanted)
}

/// A duration from 1 ms to 24 h: a whole number and its unit.
pub(super) fn duration(raw: &Raw) -> Parsed<Duration> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    raw.words()
        .and_then(|words| scaled(words, &units))
        .filter(|millis| (1..=DAY_MS).contains(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| "a duration with its unit (ms, s, m or h) from 1ms to 24h, such as \"20s\"".to_owned())
}

/// A size from 1 MiB to 64 GiB: a whole number and its unit.
pub(super) fn bytes(raw: &Raw) -> Parsed<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    raw.words()
        .and_then(|words| scaled(words, &units))
        .filter(|bytes| (1 << 20..=64 << 30).contains(bytes))
        .ok_or_else(|| {
            "a size with its unit (KiB, MiB or GiB) from 1MiB to 64GiB, such as \"64MiB\"".to_owned()
        })
}

fn scaled(words: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = words.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = words.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}
