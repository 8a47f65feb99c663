//! Why a server did not start, or ended.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use replica::StartError;
use replica::log::OpenError;

use crate::config::ConfigError;
use crate::data::DataError;
use crate::tls::TlsError;

/// Why a server did not start, or did not end as it should.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration is wrong.
    Config(ConfigError),
    /// The certificates, keys or CAs cannot be used.
    Tls(TlsError),
    /// The data folder cannot be used.
    Data(DataError),
    /// The log or the snapshot in it cannot be used.
    Replica(StartError),
    /// The client port, or the one for the other members, cannot be had.
    Listen {
        /// Which setting says so.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The audit log, or the lease log, cannot be written.
    Audit {
        /// The setting that names it.
        key: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The log and the snapshot could not be read in time.
    Start {
        /// How long a start may take.
        within: Duration,
    },
    /// A clock, a thread or a runtime could not be had.
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

/// What an exit code tells. The numbers are the command line's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// The data says no: it is damaged, another's, or a newer program's. Trying again gives the same.
    Refused,
    /// What was asked for is wrong.
    Usage,
    /// It may go when something else has changed: a port is taken, a folder is in use, a disk is full.
    Unavailable,
}

impl DataError {
    /// Which kind of exit it is.
    pub(crate) fn exit_kind(&self) -> ExitKind {
        match self {
            DataError::NoFolder { .. }
            | DataError::Strange { .. }
            | DataError::NotEmpty { .. }
            | DataError::Loose { .. }
            | DataError::Volatile { .. } => ExitKind::Usage,
            DataError::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => ExitKind::Usage,
            DataError::Io { .. } | DataError::Locked { .. } => ExitKind::Unavailable,
            _ => ExitKind::Refused,
        }
    }
}

impl ServeError {
    /// Which kind of exit it is.
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            ServeError::Config(_) | ServeError::Tls(_) => ExitKind::Usage,
            ServeError::Data(error) => error.exit_kind(),
            ServeError::Replica(StartError::Log(OpenError::Io { .. }) | StartError::Engine(_)) => {
                ExitKind::Unavailable
            }
            ServeError::Replica(_) => ExitKind::Refused,
            ServeError::Listen { error, .. } => match error.kind() {
                io::ErrorKind::AddrInUse => ExitKind::Unavailable,
                _ => ExitKind::Usage,
            },
            ServeError::System { .. } | ServeError::Audit { .. } | ServeError::Start { .. } => {
                ExitKind::Unavailable
            }
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Config(error) => error.fmt(f),
            ServeError::Tls(error) => error.fmt(f),
            ServeError::Data(error) => error.fmt(f),
            ServeError::Replica(error) => error.fmt(f),
            ServeError::Listen { listener, address, error } => {
                let remedy = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "another process has it: stop that one, or choose another port"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "this machine has no such address: choose one that it has"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 are privileged: choose a higher one, or grant CAP_NET_BIND_SERVICE"
                    }
                    _ => "choose another address",
                };
                let whose = if *listener == "listen" { "client" } else { "peer" };
                write!(f, "the {whose} listener ({listener}) cannot have {address}: {error}; {remedy}")
            }
            ServeError::Audit { key, path, error } => write!(
                f,
                "{} cannot be opened: {error}; give {key} a file that can be written, or leave it out",
                path.display()
            ),
            ServeError::Start { within } => write!(
                f,
                "the log and the snapshot could not be read within {within:?}, the bound of start.within: look at the disk, or raise that"
            ),
            ServeError::System { what, error } => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<ConfigError> for ServeError {
    fn from(error: ConfigError) -> ServeError {
        ServeError::Config(error)
    }
}

impl From<TlsError> for ServeError {
    fn from(error: TlsError) -> ServeError {
        ServeError::Tls(error)
    }
}

impl From<DataError> for ServeError {
    fn from(error: DataError) -> ServeError {
        ServeError::Data(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each case says which listener, and what to do.
    #[test]
    fn an_address_that_cannot_be_had_names_the_listener_and_the_remedy() {
        let cases = [
            (io::ErrorKind::AddrInUse, "another process has it", ExitKind::Unavailable),
            (io::ErrorKind::AddrNotAvailable, "this machine has no such address", ExitKind::Usage),
            (io::ErrorKind::PermissionDenied, "ports below 1024 are privileged", ExitKind::Usage),
        ];
        for (kind, remedy, exit) in cases {
            let address = SocketAddr::from(([127, 0, 0, 1], 80));
            let error = ServeError::Listen { listener: "listen", address, error: kind.into() };
            let text = error.to_string();
            assert!(text.starts_with("the client listener (listen) cannot have 127.0.0.1:80: "), "{text}");
            assert!(text.contains(remedy), "{text}");
            assert_eq!(error.exit_kind(), exit);
        }
    }
}
