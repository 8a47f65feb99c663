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
//!   operator.env              where the member is and as whom to come, for a shell
//!   data/                     made by the first start
//! ```
//!
//! A further member's folder has its own `node/`, the CAs' certificates and neither their keys nor an operator's.
//!
//! Promises:
//! * Nothing that is there is written over: the folder is made aside, and put in its place whole.
//! * The two CAs are strangers to each other: a client's certificate opens no member's port, nor the other way about.

mod authority;
mod error;
mod folder;
mod host;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

pub use error::InitError;
pub use host::{Host, InvalidHost};

use crate::tls::{Name, Role, operator};
use authority::{Authority, Issued, Side};
use folder::Folder;

/// The folder, where none is named.
pub const FOLDER_DEFAULT: &str = "tenure";

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

/// A folder that was made.
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
}

impl Init {
    /// Makes a new cluster's first folder: its CAs, member 1, and the certificate of an operator of this name.
    ///
    /// # Errors
    /// What is wrong with what was asked for, or what the file system refused; nothing is left behind.
    pub fn cluster(&self, operator_name: &str) -> Result<Made, InitError> {
        let operator_name = operator(operator_name)
            .map_err(|why| InitError::Operator { name: operator_name.to_owned(), why: why.to_string() })?;
        let cluster: u128 = rand::random();
        let (clients, peers) =
            (Authority::new(cluster, Role::ClientCa)?, Authority::new(cluster, Role::PeerCa)?);
        let folder = Folder::begin(&self.folder)?;
        for (authority, name) in [(&clients, "ca/client"), (&peers, "ca/peer")] {
            folder.write_pair(name, &authority.issued())?;
        }
        let made = self.node(&folder, cluster, 1, &clients, &peers)?;
        let whose = Name { cluster, role: Role::Operator(operator_name.clone()) };
        folder
            .write_pair(&format!("operator/{operator_name}"), &clients.issue(&whose, &[], Side::Client)?)?;
        folder.write("operator.env", &operator_env(&made, &operator_name))?;
        folder.done()?;
        Ok(made)
    }

    /// Makes the folder of a further member, vouched for by the CAs of the folder `from`.
    ///
    /// # Errors
    /// As [`Init::cluster`]; `from` has no CAs of one cluster, or is that member's own.
    pub fn further_node(&self, member: u64, from: &Path) -> Result<Made, InitError> {
        let clients = Authority::open(from, "ca/client", |role| *role == Role::ClientCa)?;
        let peers = Authority::open(from, "ca/peer", |role| *role == Role::PeerCa)?;
        let cluster = clients.cluster();
        if peers.cluster() != cluster {
            return Err(InitError::TwoClusters { folder: from.to_owned() });
        }
        let theirs = Role::Member(member);
        if authority::whose(&from.join("node/peer.crt")).is_some_and(|name| name.role == theirs) {
            return Err(InitError::TheirOwn { folder: from.to_owned(), member });
        }
        let folder = Folder::begin(&self.folder)?;
        folder.write("ca/client.crt", &clients.issued().cert)?;
        folder.write("ca/peer.crt", &peers.issued().cert)?;
        let made = self.node(&folder, cluster, member, &clients, &peers)?;
        folder.done()?;
        Ok(made)
    }

    /// What belongs to one member: its certificates and its configuration.
    fn node(
        &self,
        folder: &Folder,
        cluster: u128,
        member: u64,
        clients: &Authority,
        peers: &Authority,
    ) -> Result<Made, InitError> {
        let first = self.hosts.first().ok_or(InitError::NoHost)?;
        let whose = Name { cluster, role: Role::Member(member) };
        folder.write_pair("node/server", &clients.issue(&whose, &self.hosts, Side::Server)?)?;
        folder.write_pair("node/peer", &peers.issue(&whose, &[], Side::Both)?)?;
        let listen = self.listen.unwrap_or_else(|| self.listen_default());
        folder.write("tenure.toml", &tenure_toml(cluster, member, listen))?;
        let endpoint = format!("https://{}:{}", first.in_url(), listen.port());
        Ok(Made { folder: self.folder.clone(), cluster, member, endpoint })
    }

    fn listen_default(&self) -> SocketAddr {
        let ip = match self.hosts.iter().all(Host::is_this_machine) {
            true => IpAddr::from([127, 0, 0, 1]),
            false => IpAddr::from([0, 0, 0, 0]),
        };
        SocketAddr::new(ip, api::PORT_DEFAULT)
    }
}

fn tenure_toml(cluster: u128, member: u64, listen: SocketAddr) -> String {
    format!(
        "# Made by `tenure init`. `tenure serve --print-config` says what else there is to set.\n\
         # Paths begin at this file's own folder: it may be moved, whole.\n\
         \n\
         cluster = \"{cluster:032x}\"\n\
         member = {member}\n\
         data = \"data\"\n\
         listen = \"{listen}\"\n\
         \n\
         [tls]\n\
         cert = \"node/server.crt\"\n\
         key = \"node/server.key\"\n\
         client_ca = \"ca/client.crt\"\n"
    )
}

fn operator_env(made: &Made, operator: &str) -> String {
    // A shell may stand anywhere when it reads this.
    let folder = std::path::absolute(&made.folder).unwrap_or_else(|_| made.folder.clone());
    let path = |rest: &str| shell_quoted(&folder.join(rest).display().to_string());
    format!(
        "# Where the member is, and as whom to come: `. operator.env`, and tenure needs no flags. Made by `tenure init`.\n\
         export TENURE_ENDPOINTS={}\n\
         export TENURE_CA={}\n\
         export TENURE_CERT={}\n\
         export TENURE_KEY={}\n",
        shell_quoted(&made.endpoint),
        path("ca/client.crt"),
        path(&format!("operator/{operator}.crt")),
        path(&format!("operator/{operator}.key"))
    )
}

/// A word that a shell takes for what it says.
pub fn shell_quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.:@%+=,".contains(&byte);
    match word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
