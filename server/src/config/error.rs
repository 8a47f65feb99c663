//! What is wrong with a configuration: where it was set, what it is, what is wanted.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file, at a line and a column, both from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In the environment, under a name.
    Env(String),
    /// On the command line, by a flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Origin::Env(name) => f.write_str(name),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The file is no TOML.
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// What the parser says.
        cause: String,
    },
    /// There is no such setting.
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// What stands there.
        key: String,
        /// What was most likely meant.
        nearest: Option<&'static str>,
    },
    /// A variable of the environment is most likely misspelt: left out, it would change nothing and say nothing.
    UnknownVariable {
        /// Its name.
        name: String,
        /// What was most likely meant.
        meant: String,
    },
    /// A variable of the environment is not UTF-8.
    NotUtf8 {
        /// Its name.
        name: String,
    },
    /// A value cannot be understood.
    WrongValue {
        /// Of which setting.
        key: &'static str,
        /// The value.
        value: String,
        /// What it should be.
        wanted: String,
        /// Where it was set.
        origin: Origin,
        /// Where it was set too, and did not win.
        beats: Option<Origin>,
    },
    /// Two values do not go together.
    Broken {
        /// The rule.
        rule: String,
        /// Both values, and where each was set.
        values: String,
        /// What the rule is for.
        why: &'static str,
    },
    /// One of two settings that only go together.
    Half {
        /// The one that is not set.
        missing: &'static str,
        /// The one that is.
        set: &'static str,
        /// Where it was set, in brackets.
        origin: String,
    },
    /// No data folder is named.
    NoData,
    /// `--dev` with an address that other machines reach.
    DevBeyondLoopback {
        /// Which setting says so.
        key: &'static str,
        /// The address.
        listen: SocketAddr,
    },
    /// An address that other machines reach, without TLS and identity.
    PlainBeyondLoopback {
        /// Which setting says so.
        key: &'static str,
        /// The address.
        listen: SocketAddr,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File { path, cause } => {
                write!(f, "the configuration file {} cannot be used: {cause}", path.display())
            }
            ConfigError::Syntax { path, line, column, cause } => {
                write!(f, "{}:{line}:{column}: no TOML: {cause}", path.display())
            }
            ConfigError::UnknownKey { origin, key, nearest } => {
                write!(f, "{origin}: there is no setting {}", crate::service::Echo(key))?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean \"{nearest}\"?"),
                    None => f.write_str("; `tenure serve --print-config` lists them"),
                }
            }
            ConfigError::UnknownVariable { name, meant } => write!(
                f,
                "there is no variable {}; did you mean {meant}? Rename it, or unset it",
                crate::service::Echo(name)
            ),
            ConfigError::NotUtf8 { name } => write!(f, "{name} is not UTF-8: set it anew, or unset it"),
            ConfigError::WrongValue { key, value, wanted, origin, beats } => {
                write!(f, "{origin}: {key} is {value}; give {wanted}")?;
                match beats {
                    Some(beaten) => {
                        write!(f, " (it wins over {beaten}: a flag over the environment over the file)")
                    }
                    None => Ok(()),
                }
            }
            ConfigError::Broken { rule, values, why } => write!(f, "{rule} does not hold: {values}; {why}"),
            ConfigError::Half { missing, set, origin } => {
                write!(
                    f,
                    "{set} is set{origin}, and {missing} is not: set both, or neither; `tenure init` makes them"
                )
            }
            ConfigError::NoData => f.write_str(
                "no data folder: give --data DIR, TENURE_DATA or `data` in the file; or --dev to try things",
            ),
            ConfigError::DevBeyondLoopback { key, listen } => write!(
                f,
                "--dev listens on loopback only, and {key} is {listen}: use 127.0.0.1 or [::1], or leave --dev out"
            ),
            ConfigError::PlainBeyondLoopback { key, listen } => write!(
                f,
                "{key} is {listen}, which other machines reach, and there is no TLS and no identity: whoever reaches it \
                 may take any lease. Set {} (`tenure init` makes them all), listen on 127.0.0.1 or [::1], or say \
                 --insecure-plain-listener",
                match *key {
                    "listen" => "tls.cert, tls.key and tls.client_ca",
                    _ => "peer.tls.cert, peer.tls.key and peer.tls.ca",
                }
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
