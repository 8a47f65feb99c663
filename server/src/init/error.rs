//! Why `tenure init` made nothing.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::ExitKind;
use crate::service::Echo;

/// Why nothing was made. Nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// There is something in the folder.
    NotEmpty {
        /// Which folder.
        folder: PathBuf,
        /// Whether it is one of ours.
        is_ours: bool,
    },
    /// There is something, and it is no folder.
    NoFolder {
        /// Where.
        path: PathBuf,
    },
    /// A file or folder could not be made.
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A member by no name.
    NoHost,
    /// An operator's name cannot stand in a certificate.
    Operator {
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
    /// A CA of the folder that vouches cannot be used.
    Authority {
        /// Its certificate or key.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The two CAs of the folder that vouches are of different clusters.
    TwoClusters {
        /// Which folder.
        folder: PathBuf,
    },
    /// The folder that vouches is the very member's.
    TheirOwn {
        /// Which folder.
        folder: PathBuf,
        /// The member.
        member: u64,
    },
    /// The folder that vouches is of a member alone.
    Alone {
        /// Which folder.
        folder: PathBuf,
        /// The member that was asked for.
        member: u64,
    },
    /// A member is not among the cluster's first voters.
    NoVoter {
        /// The member.
        member: u64,
        /// They.
        voters: String,
    },
    /// The voters of the folder that vouches cannot be read.
    Voters {
        /// Its configuration.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The hosts that a member's certificates are for cannot be read from its old one.
    OldHosts {
        /// The member.
        member: u64,
        /// The old certificate.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A certificate could not be made.
    Certificate {
        /// Why not.
        cause: String,
    },
}

impl InitError {
    /// Which kind of exit it is.
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            InitError::NotEmpty { .. } => ExitKind::Refused,
            InitError::Io { .. } | InitError::Certificate { .. } => ExitKind::Unavailable,
            _ => ExitKind::Usage,
        }
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::NotEmpty { folder, is_ours: true } => {
                let folder = folder.display();
                write!(
                    f,
                    "{folder} was made before, and nothing in it was changed: start its member with `tenure serve --config \
                     {folder}/tenure.toml`, make another member's folder with `tenure init --node 2 --from {folder}`, or \
                     name another folder"
                )
            }
            InitError::NotEmpty { folder, is_ours: false } => write!(
                f,
                "{} has files in it, and nothing was changed: name an empty folder, or one that is yet to be made",
                folder.display()
            ),
            InitError::NoFolder { path } => {
                write!(f, "{} is no folder: name another, or move it away", path.display())
            }
            InitError::Io { path, error } => write!(
                f,
                "{} cannot be made: {error}; name a folder where this user may write, on a disk with room",
                path.display()
            ),
            InitError::NoHost => f.write_str("clients must know the member by some name: give --host"),
            InitError::Operator { name, why } => {
                write!(f, "the operator's name {} cannot stand in a certificate: {why}", Echo(name))
            }
            InitError::Authority { path, cause } => write!(
                f,
                "{} cannot vouch for a further member: {cause}; give --from the folder that `tenure init` made first, with \
                 its ca/ and the keys in it",
                path.display()
            ),
            InitError::TwoClusters { folder } => write!(
                f,
                "ca/client.crt and ca/peer.crt in {} are of different clusters: give the folder as it was made",
                folder.display()
            ),
            InitError::TheirOwn { folder, member } => write!(
                f,
                "{} is itself the folder of member {member}, and no two members may have one id: choose another --node, \
                 or add --renew for new certificates of this one",
                folder.display()
            ),
            InitError::Alone { folder, member } => write!(
                f,
                "{} was made for a member alone, which would not know member {member}: make the cluster anew with --voters, as in \
                 --voters 1=a:7401,2=b:7401,3=c:7401, or add --join, where it is to join one that runs",
                folder.display()
            ),
            InitError::NoVoter { member, voters } => write!(
                f,
                "member {member} is none of the cluster's first voters, {voters}: choose one of those, or add --join, where it is to join \
                 the cluster that runs"
            ),
            InitError::Voters { path, cause } => write!(
                f,
                "the cluster's voters cannot be read from {}: {cause}; give --from the folder that `tenure init` made first",
                path.display()
            ),
            InitError::OldHosts { member, path, cause } => write!(
                f,
                "the hosts of member {member} cannot be read from {}: {cause}; bring its own node/server.crt here, which is no secret, \
                 and give it as --old, or give each --host again",
                path.display()
            ),
            InitError::Certificate { cause } => write!(f, "a certificate cannot be made: {cause}"),
        }
    }
}

impl std::error::Error for InitError {}

impl From<rcgen::Error> for InitError {
    fn from(error: rcgen::Error) -> InitError {
        InitError::Certificate { cause: error.to_string() }
    }
}
