//! What stands in the files that are no certificates.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Where clients find a member, in `operator.env`.
const ENDPOINTS: &str = "export TENURE_ENDPOINTS=";

/// A member's configuration.
pub(super) struct Toml<'a> {
    pub(super) cluster: u128,
    pub(super) member: u64,
    pub(super) listen: SocketAddr,
    /// Where a member that joins listens for the others.
    pub(super) peers_at: SocketAddr,
    pub(super) begins: &'a First,
    /// The first operator's token, by its hash.
    pub(super) first_token: Option<&'a str>,
}

/// How a member begins.
pub(super) enum First {
    /// With these voters; with none, alone.
    With(BTreeMap<u64, String>),
    /// By joining a cluster.
    Joins,
}

impl Toml<'_> {
    pub(super) fn text(&self) -> String {
        let Toml { cluster, member, listen, peers_at, begins, first_token } = self;
        let auth =
            first_token.map_or(String::new(), |token| format!("\n[auth]\nfirst_token = \"{token}\"\n"));
        let peer = match begins {
            First::Joins => format!("\n[peer]\nlisten = \"{peers_at}\"\njoin = true\n"),
            First::With(voters) => match voters.get(member) {
                Some(own) => {
                    format!("\n[peer]\nlisten = \"{}\"\nvoters = \"{}\"\n", peer_listen(own), listed(voters))
                }
                None => String::new(),
            },
        };
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
             client_ca = \"ca/client.crt\"\n\
             {auth}\n\
             [audit]\n\
             file = \"audit.jsonl\"\n\
             {peer}\n\
             [peer.tls]\n\
             cert = \"node/peer.crt\"\n\
             key = \"node/peer.key\"\n\
             ca = \"ca/peer.crt\"\n"
        )
    }
}

/// Voters as the configuration has them.
pub(super) fn listed(voters: &BTreeMap<u64, String>) -> String {
    voters.iter().map(|(id, address)| format!("{id}={address}")).collect::<Vec<_>>().join(",")
}

/// Where a voter listens that the others reach at `address`: there, where that is an address, and at every one of the machine
/// where it is a name.
fn peer_listen(address: &str) -> String {
    let Some((host, port)) = address.rsplit_once(':') else { return address.to_owned() };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(_) => address.to_owned(),
        Err(_) if host == "localhost" => format!("127.0.0.1:{port}"),
        Err(_) => format!("0.0.0.0:{port}"),
    }
}

/// What an operator's shell reads.
pub(super) fn operator_env(folder: &Path, operator: &str, endpoints: &str, has_token: bool) -> String {
    // A shell may stand anywhere when it reads this.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let path = |rest: &str| shell_quoted(&folder.join(rest).display().to_string());
    let token = match has_token {
        true => format!("export TENURE_TOKEN_FILE={}\n", path(&format!("operator/{operator}.token"))),
        false => String::new(),
    };
    format!(
        "# Where the cluster is, and as whom to come: `. operator.env`, and tenure needs no flags. Made by `tenure init`.\n\
         # More members, with commas between: the next is asked where one does not answer.\n\
         {ENDPOINTS}{endpoints}\n\
         export TENURE_CA={}\n\
         export TENURE_CERT={}\n\
         export TENURE_KEY={}\n\
         {token}",
        path("ca/client.crt"),
        path(&format!("operator/{operator}.crt")),
        path(&format!("operator/{operator}.key"))
    )
}

/// The endpoints in another operator's, as a shell reads them.
pub(super) fn endpoints_in(env: &str) -> Option<&str> {
    env.lines().find_map(|line| line.strip_prefix(ENDPOINTS))
}

/// A word that a shell takes for what it says.
pub fn shell_quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.:@%+=,".contains(&byte);
    match word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
