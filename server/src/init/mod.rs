//! `tenure init`: a folder with all that a member needs to be secure from its first start.
//!
//! ```text
//! DIR/                        0700
//!   tenure.toml               for `tenure serve --config`; its paths begin at DIR
//!   ca/client.crt peer.crt    who vouches for clients, and who for members
//!   ca/client.key peer.key    what vouches: for further members, and to be kept off the members' machines
//!   node/server.crt .key      what the client port presents
//!   node/peer.crt .key        what this member presents to the others
//!   operator/NAME.crt .key    what the operator presents to the client port
//!   operator/NAME.token       what the operator may show instead: good once the cluster has begun
//!   operator.env              where the member is and as whom to come, for a shell
//!   data/                     made by the first start; of a cluster of one, with the identity that it begins with
//! ```
//!
//! A further member's folder has its own `node/`, the CAs' certificates and neither their keys nor an operator's; a further
//! operator's has `operator/`, `operator.env` and the client CA's certificate.
//!
//! Promises:
//! * Nothing that is there is written over: the folder is made aside, and put in its place whole.
//! * The two CAs are strangers to each other: a client's certificate opens no member's port, nor the other way about.

mod authority;
mod error;
mod folder;
mod host;
mod renew;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

pub use error::InitError;
pub use host::{Host, InvalidHost};
pub use renew::Renew;
pub use texts::shell_quoted;

use crate::config::{PEER_LISTEN_DEFAULT, parse_voters};
use crate::data::founder;
use crate::identity::Secret;
use crate::tls::{Name, Role, operator};
use authority::{Authority, Issued, Side};
use folder::Folder;
use texts::{First, Toml};

/// The folder, where none is named.
pub const FOLDER_DEFAULT: &str = "tenure";

/// What the data folder of a member holds that begins its cluster alone.
const FOUNDER: &str = "data/identity.toml";

/// What to make.
#[derive(Clone, Debug)]
pub struct Init {
    /// Where.
    pub folder: PathBuf,
    /// By which names clients know this member, the first of them the one that is shown; at least one.
    pub hosts: Vec<Host>,
    /// Where it listens for clients; none is loopback where all hosts are of this machine, and every address otherwise.
    pub listen: Option<SocketAddr>,
}

/// A folder that was made for a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where it is.
    pub folder: PathBuf,
    /// Of which cluster.
    pub cluster: u128,
    /// For which member.
    pub member: u64,
    /// Where clients reach the member.
    pub endpoint: String,
    /// The cluster's first voters, and where each is reached by the others; none for a member alone.
    pub voters: BTreeMap<u64, String>,
}

/// How a further member begins. No folder was made for it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Further {
    /// As a first voter.
    New,
    /// It is to join the cluster.
    Joins,
}

impl Init {
    /// Makes a new cluster's first folder: its CAs, member 1, and the certificate of an operator of this name. Without voters
    /// the cluster is member 1 alone.
    ///
    /// # Errors
    /// What is wrong with what was asked for, or what the file system refused; nothing is left behind.
    pub fn cluster(&self, operator: &str, voters: BTreeMap<u64, String>) -> Result<Made, InitError> {
        let operator = operator_name(operator)?;
        check_voter(1, &voters)?;
        let cluster: u128 = rand::random();
        let (clients, peers) =
            (Authority::new(cluster, Role::ClientCa)?, Authority::new(cluster, Role::PeerCa)?);
        let folder = Folder::begin(&self.folder)?;
        for (authority, name) in [(&clients, "ca/client"), (&peers, "ca/peer")] {
            folder.write_pair(name, &authority.issued())?;
        }
        if voters.len() <= 1 {
            let text = founder(cluster, 1).map_err(|error| InitError::Io {
                path: self.folder.join(FOUNDER),
                error: io::Error::other(error),
            })?;
            folder.write(FOUNDER, &text)?;
        }
        let secret = Secret::draw();
        let first = format!("{}-{}-{operator}", secret.id(), secret.hash_hex());
        let begins = (First::With(voters), Some(first.as_str()));
        let made = self.node(&folder, (cluster, 1), (&clients, &peers), begins)?;
        let endpoint = shell_quoted(&made.endpoint);
        write_operator(&folder, &self.folder, &clients, (&operator, Some(&secret)), &endpoint)?;
        folder.done()?;
        Ok(made)
    }

    /// Makes the folder of another member, vouched for by the CAs of the folder `from`.
    ///
    /// # Errors
    /// As [`Init::cluster`]; `from` has no CAs of one cluster, is that member's own, or knows no such voter.
    pub fn member(&self, member: u64, from: &Path, further: Further) -> Result<Made, InitError> {
        let (clients, peers) = authorities(from)?;
        let cluster = clients.cluster();
        let voters = if further == Further::Joins { BTreeMap::new() } else { voters_in(from)? };
        let theirs = authority::whose(&from.join("node/peer.crt"));
        if theirs.is_some_and(|name| name.role == Role::Member(member)) {
            return Err(InitError::TheirOwn { folder: from.to_owned(), member });
        }
        if further == Further::New && voters.is_empty() {
            return Err(InitError::Alone { folder: from.to_owned(), member });
        }
        check_voter(member, &voters)?;
        let folder = Folder::begin(&self.folder)?;
        folder.write("ca/client.crt", &clients.issued().cert)?;
        folder.write("ca/peer.crt", &peers.issued().cert)?;
        let first = if further == Further::Joins { First::Joins } else { First::With(voters) };
        let token = if further == Further::New { first_token_in(from)? } else { None };
        let made = self.node(&folder, (cluster, member), (&clients, &peers), (first, token.as_deref()))?;
        folder.done()?;
        Ok(made)
    }

    /// What belongs to one member: its certificates and its configuration.
    fn node(
        &self,
        folder: &Folder,
        (cluster, member): (u128, u64),
        (clients, peers): (&Authority, &Authority),
        (begins, first_token): (First, Option<&str>),
    ) -> Result<Made, InitError> {
        let first = self.hosts.first().ok_or(InitError::NoHost)?;
        let whose = Name { cluster, role: Role::Member(member) };
        folder.write_pair("node/server", &clients.issue(&whose, &self.hosts, Side::Server)?)?;
        folder.write_pair("node/peer", &peers.issue(&whose, &[], Side::Both)?)?;
        let listen = self.listen.unwrap_or_else(|| self.listen_default());
        let peers_at = SocketAddr::new(listen.ip(), PEER_LISTEN_DEFAULT.port());
        folder.write(
            "tenure.toml",
            &Toml { cluster, member, listen, peers_at, begins: &begins, first_token }.text(),
        )?;
        let voters = match begins {
            First::With(voters) => voters,
            First::Joins => BTreeMap::new(),
        };
        let endpoint = format!("https://{}:{}", first.in_url(), listen.port());
        Ok(Made { folder: self.folder.clone(), cluster, member, endpoint, voters })
    }

    fn listen_default(&self) -> SocketAddr {
        let ip = match self.hosts.iter().all(Host::is_this_machine) {
            true => IpAddr::from([127, 0, 0, 1]),
            false => IpAddr::from([0, 0, 0, 0]),
        };
        SocketAddr::new(ip, api::PORT_DEFAULT)
    }
}

/// Makes the folder `target` of a further operator, or of one again, vouched for by the CA of the folder `from`.
///
/// # Errors
/// As [`Init::member`].
pub fn init_operator(operator: &str, target: &Path, from: &Path) -> Result<(), InitError> {
    let operator = operator_name(operator)?;
    let clients = open_clients(from)?;
    let env = fs::read_to_string(from.join("operator.env")).unwrap_or_default();
    let endpoints = texts::endpoints_in(&env).unwrap_or("https://localhost:7400");
    let folder = Folder::begin(target)?;
    folder.write("ca/client.crt", &clients.issued().cert)?;
    write_operator(&folder, target, &clients, (&operator, None), endpoints)?;
    folder.done()
}

fn write_operator(
    folder: &Folder,
    target: &Path,
    clients: &Authority,
    (operator, secret): (&str, Option<&Secret>),
    endpoints: &str,
) -> Result<(), InitError> {
    let whose = Name { cluster: clients.cluster(), role: Role::Operator(operator.to_owned()) };
    folder.write_pair(&format!("operator/{operator}"), &clients.issue(&whose, &[], Side::Client)?)?;
    if let Some(secret) = secret {
        folder.write(&format!("operator/{operator}.token"), &format!("{}\n", secret.reveal()))?;
    }
    folder.write("operator.env", &texts::operator_env(target, operator, endpoints, secret.is_some()))
}

fn operator_name(name: &str) -> Result<String, InitError> {
    operator(name).map_err(|why| InitError::Operator { name: name.to_owned(), why: why.to_string() })
}

/// Both CAs of the folder that vouches: the one for clients, and the one for members.
fn authorities(from: &Path) -> Result<(Authority, Authority), InitError> {
    let (clients, peers) = (open_clients(from)?, Authority::open(from, "ca/peer", &Role::PeerCa)?);
    match peers.cluster() == clients.cluster() {
        true => Ok((clients, peers)),
        false => Err(InitError::TwoClusters { folder: from.to_owned() }),
    }
}

fn open_clients(from: &Path) -> Result<Authority, InitError> {
    Authority::open(from, "ca/client", &Role::ClientCa)
}

fn check_voter(member: u64, voters: &BTreeMap<u64, String>) -> Result<(), InitError> {
    match voters.is_empty() || voters.contains_key(&member) {
        true => Ok(()),
        false => Err(InitError::NoVoter { member, voters: texts::listed(voters) }),
    }
}

/// The first voters that a folder's configuration names; none where it has none.
fn voters_in(folder: &Path) -> Result<BTreeMap<u64, String>, InitError> {
    let wrong = |cause| InitError::Voters { path: folder.join("tenure.toml"), cause };
    match config_in(folder)?.get("peer").and_then(|peer| peer.get("voters")) {
        None => Ok(BTreeMap::new()),
        Some(voters) => parse_voters(voters.as_str().unwrap_or_default()).map_err(wrong),
    }
}

/// The first operator's token, by its hash, that a folder's configuration names: each first voter may be the one that sets it up.
fn first_token_in(folder: &Path) -> Result<Option<String>, InitError> {
    let config = config_in(folder)?;
    let token = config.get("auth").and_then(|auth| auth.get("first_token"));
    Ok(token.and_then(|token| token.as_str()).map(str::to_owned))
}

fn config_in(folder: &Path) -> Result<toml::Table, InitError> {
    let path = folder.join("tenure.toml");
    let wrong = |cause: String| InitError::Voters { path: path.clone(), cause };
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))
}
