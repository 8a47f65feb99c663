//! The certificates of a cluster that is reached by TLS: for each member a folder as `tenure init` makes it, of which the certificates are
//! used, and the first one's has an operator's.
//!
//! ```text
//!   DIR/tls/1/   ca/client.crt   node/server.crt   node/peer.crt   operator/admin.crt   operator.env   …
//!   DIR/tls/2/   ca/client.crt   node/server.crt   node/peer.crt   …
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use client::{OwnFiles, Tls, TlsFiles};
use server::{Further, Host, Init};

use super::plan::Member;
use crate::exit::Failure;

/// The folder, below the cluster's.
const FOLDER: &str = "tls";
/// Who operates it.
const OPERATOR: &str = "admin";
/// How clients of this machine know each member.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// Makes all members' certificates, and gives the id of the cluster that they are for.
pub(super) fn make(folder: &Path, members: &[Member]) -> Result<String, Failure> {
    let tls = folder.join(FOLDER);
    std::fs::create_dir_all(&tls)
        .map_err(|error| Failure::unavailable(format!("{}: {error}", tls.display())))?;
    let making = |member: &Member| Init {
        folder: of(folder, member.id),
        hosts: HOSTS.iter().filter_map(|host| host.parse::<Host>().ok()).collect(),
        listen: Some(member.clients),
    };
    let voters = members.iter().filter(|member| !member.observer);
    let voters: BTreeMap<u64, String> = voters.map(|member| (member.id, member.peers.to_string())).collect();
    let Some((first, others)) = members.split_first() else {
        return Err(Failure::usage("a cluster has a member at least"));
    };
    let made = making(first).cluster(OPERATOR, voters)?;
    for member in others {
        let further = if member.observer { Further::Joins } else { Further::New };
        making(member).member(member.id, &of(folder, first.id), further)?;
    }
    Ok(format!("{:032x}", made.cluster))
}

/// What a member's settings say of its certificates; paths begin at the cluster's folder.
pub(super) fn settings(folder: &Path, member: Member) -> String {
    let first = of(folder, 1).join("tenure.toml");
    let first = std::fs::read_to_string(first).unwrap_or_default();
    // The operator's token is good in this cluster too. A folder of an older version has none.
    let token = first.lines().find_map(|line| line.strip_prefix("first_token = "));
    let token = token.map_or(String::new(), |token| format!("auth.first_token = {token}\n"));
    let of = of(Path::new(""), member.id);
    let of = of.display();
    format!(
        "tls.cert = \"{of}/node/server.crt\"\ntls.key = \"{of}/node/server.key\"\ntls.client_ca = \"{of}/ca/client.crt\"\n\
         peer.tls.cert = \"{of}/node/peer.crt\"\npeer.tls.key = \"{of}/node/peer.key\"\npeer.tls.ca = \"{of}/ca/peer.crt\"\n{token}"
    )
}

/// What this program knows the members by, and is known by.
pub(super) fn operator(folder: &Path) -> Result<Tls, Failure> {
    let of = of(folder, 1);
    let own = |end: &str| of.join("operator").join(format!("{OPERATOR}.{end}"));
    let own = OwnFiles { cert: own("crt"), key: own("key") };
    Tls::load(TlsFiles { ca: of.join("ca/client.crt"), own: Some(own) })
        .map_err(|error| Failure::usage(error.to_string()))
}

/// What a shell is to source, to be that operator.
pub(super) fn environment(folder: &Path) -> PathBuf {
    of(folder, 1).join("operator.env")
}

fn of(folder: &Path, member: u64) -> PathBuf {
    folder.join(FOLDER).join(member.to_string())
}
