//! Why a member was not taken in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use replica::Unchanged;

use crate::error::{ExitKind, ServeError};
use crate::service::Echo;

/// Why a member was not taken in.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// The configuration, the certificates or the data folder cannot be used.
    Serve(ServeError),
    /// The token is no longer good.
    Expired {
        /// For how long.
        ago: Duration,
    },
    /// That is no address.
    Address {
        /// What was given.
        address: String,
    },
    /// The configuration is another member's, or another cluster's.
    Another {
        /// Whose: cluster and member, as far as it says.
        configured: (Option<u128>, Option<u64>),
        /// The token's.
        token: (u128, u64),
    },
    /// The configuration is of a first voter, which begins a cluster.
    Begins,
    /// The members are known by certificates, and this one has none.
    NoCertificate {
        /// The new member.
        member: u64,
    },
    /// This one has a certificate, and the members talk without.
    PlainThere,
    /// A CA here is none of the cluster's.
    Authority {
        /// The file with it.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
    },
    /// The folder's member has run already.
    Begun {
        /// The folder.
        path: PathBuf,
        /// The member of the token.
        member: u64,
    },
    /// The cluster says no.
    Refused(String),
    /// Nobody who leads was reached.
    Unreached {
        /// Why, of each that was asked.
        why: Vec<String>,
    },
    /// It may be a member, or may be yet.
    Unknown {
        /// What each of them said last, or that it said nothing.
        why: Vec<String>,
    },
}

impl JoinError {
    /// Which kind of exit it is; none where it may be done.
    pub fn exit_kind(&self) -> Option<ExitKind> {
        Some(match self {
            JoinError::Serve(error) => error.exit_kind(),
            JoinError::Address { .. } | JoinError::Begins | JoinError::NoCertificate { .. } => {
                ExitKind::Usage
            }
            JoinError::PlainThere => ExitKind::Usage,
            JoinError::Unreached { .. } => ExitKind::Unavailable,
            JoinError::Unknown { .. } => return None,
            _ => ExitKind::Refused,
        })
    }
}

impl From<ServeError> for JoinError {
    fn from(error: ServeError) -> JoinError {
        JoinError::Serve(error)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Serve(error) => error.fmt(f),
            JoinError::Expired { ago } => write!(
                f,
                "the token ended {ago:?} ago by this machine's clock: have a new one made, with `tenure members invite`, or set the \
                 clock right"
            ),
            JoinError::Address { address } => write!(
                f,
                "{} is no address: give --address HOST:PORT, where the other members will reach this one",
                Echo(address)
            ),
            JoinError::Another { configured: (cluster, member), token } => {
                let cluster = cluster.map_or("any cluster".to_owned(), |id| format!("cluster {id:032x}"));
                let member = member.map_or("any member".to_owned(), |id| format!("member {id}"));
                write!(
                    f,
                    "the token is for member {} of cluster {:032x}, and the configuration for {member} of {cluster}: use the token \
                     that was made for this one, or the configuration of that one",
                    token.1, token.0
                )
            }
            JoinError::Begins => f.write_str(
                "peer.voters is set, and a member begins a cluster with others or joins one: leave it out to join",
            ),
            JoinError::NoCertificate { member } => write!(
                f,
                "the cluster's members are known by certificates, and this one has none: make its folder where the CAs' keys are, \
                 with `tenure init --node {member} --join --from tenure`, and join with --config"
            ),
            JoinError::PlainThere => f.write_str(
                "peer.tls is set, and the cluster's members talk without TLS: leave it out here, or set it in all of them",
            ),
            JoinError::Authority { path, found } => write!(
                f,
                "{} has a CA, SHA-256 {found}, that is none of the cluster's: take the CA's file from a member of the cluster that \
                 the token is of",
                path.display()
            ),
            JoinError::Begun { path, member } => write!(
                f,
                "the token is used: {} is a member's that has run already. Start it with `tenure serve`; for another member name \
                 another folder, and a token that is not member {member}'s",
                path.display()
            ),
            JoinError::Refused(why) => f.write_str(why),
            JoinError::Unreached { why } => {
                write!(f, "{}; nothing was changed: see whether the cluster serves, and try again", why.join("; "))
            }
            JoinError::Unknown { why } => write!(
                f,
                "{}: repeat the same line, which does no harm ({})",
                Unchanged::Unknown,
                why.join("; ")
            ),
        }
    }
}

impl std::error::Error for JoinError {}
