//! The process: sockets, files, clocks and doors around one replica.
//!
//! ```text
//! HTTP ─────┐                    ┌─▶ log, snapshots
//!           ├─▶ service ─▶ replica
//! session ──┤   (one path)       └─▶ lease::Table
//! juju ─────┘
//! ```
//!
//! The rooms: `run` opens and closes everything; `config` and `data` check what they are given before anything is touched;
//! `doors` hear clients, `service` is the one path from any door to the replica, `admission` counts who is let in; `peers`
//! carries what members say to each other; `tls` reads certificates and `init` makes them; `join` has a new member taken in; `restore` makes
//! a new cluster of a backup; `introspection` says how the member is, as Juju's operators read it, and `lease_log` who was granted what;
//! `lines` is a file of that log or of the audit log, and `threads` bounds a stop's wait for who writes it; `clock` and `log` are this
//! machine's. To serve from a program:
//!
//! ```no_run
//! let config = server::Config::load(&server::Flags { dev: true, ..server::Flags::default() })?;
//! server::serve(config)?;
//! # Ok::<(), server::ServeError>(())
//! ```
//!
//! [`serve`] blocks until SIGTERM or SIGINT and takes logs and signals for itself; [`Server`] leaves both to its caller.

#![allow(
    clippy::result_large_err,
    reason = "a problem is a whole answer; it is made once a refused call, and boxing it would cost more than moving it"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say where"))]

mod admission;
mod clock;
mod config;
mod credentials;
mod data;
mod doors;
mod error;
mod identity;
mod init;
mod introspection;
mod join;
mod lease_log;
mod lines;
mod log;
#[cfg(any(test, feature = "parsers"))]
#[doc(hidden)]
pub mod parsers;
mod peers;
mod replica_thread;
mod restore;
mod run;
mod service;
mod threads;
mod tls;

pub use config::{
    Config, ConfigError, Default, Flags, Juju, KEYS, LISTEN_DEFAULT, LogFormat, LogLevel, Origin, Setting,
    Throttle, misspelt_env, parse_voters, print_config,
};
pub use data::DataError;
pub use doors::openapi_json;
pub use error::{ExitKind, ServeError};
pub use identity::{InvalidBearer, Secret};
pub use init::{
    FOLDER_DEFAULT, Further, Host, Init, InitError, InvalidHost, Made, Renew, init_operator, shell_quoted,
};
pub use join::{InvalidToken, Join, JoinError, JoinToken, Joined, join, wall_seconds};
pub use replica::{Backup, BackupError, Restored};
pub use restore::{
    Beginning, NewCluster, Recover, Restore, RestoreError, Survivor, read_backup, recover, restore,
};
pub use run::{Server, serve};
pub use tls::{TlsError, TlsFiles};
