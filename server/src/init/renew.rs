//! New certificates of a member that has some, for the hosts that the old ones are for.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Folder, Host, InitError, Side, authorities};
use crate::tls::{Leaf, Name, Role};

/// What to make again.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The folder to make: `ca/*.crt` and `node/`.
    pub folder: PathBuf,
    /// Whose certificates: any member's, one of the first voters or not.
    pub member: u64,
    /// By which names clients know it; none for those of the old certificate.
    pub hosts: Vec<Host>,
    /// The old certificate, the member's own `node/server.crt`; none for the one in the folder that vouches.
    pub old: Option<PathBuf>,
}

impl Renew {
    /// Makes them, vouched for by the CAs of the folder `from`, and returns the hosts that they are for.
    ///
    /// # Errors
    /// What is wrong with what was asked for, or what the file system refused; nothing is left behind.
    pub fn make(&self, from: &Path) -> Result<Vec<Host>, InitError> {
        let (clients, peers) = authorities(from)?;
        let whose = Name { cluster: clients.cluster(), role: Role::Member(self.member) };
        let hosts = match self.hosts.is_empty() {
            true => self.old_hosts(from, &whose)?,
            false => self.hosts.clone(),
        };
        let folder = Folder::begin(&self.folder)?;
        folder.write("ca/client.crt", &clients.issued().cert)?;
        folder.write("ca/peer.crt", &peers.issued().cert)?;
        folder.write_pair("node/server", &clients.issue(&whose, &hosts, Side::Server)?)?;
        folder.write_pair("node/peer", &peers.issue(&whose, &[], Side::Both)?)?;
        folder.done()?;
        Ok(hosts)
    }

    fn old_hosts(&self, from: &Path, whose: &Name) -> Result<Vec<Host>, InitError> {
        let path = self.old.clone().unwrap_or_else(|| from.join("node/server.crt"));
        let unknown = |cause: String| InitError::OldHosts { member: self.member, path: path.clone(), cause };
        let der = CertificateDer::from_pem_file(&path).map_err(|error| unknown(error.to_string()))?;
        let leaf = Leaf::read(&der).map_err(unknown)?;
        if leaf.name().as_ref() != Some(whose) {
            return Err(unknown(format!("it is {leaf}")));
        }
        let hosts: Vec<Host> = leaf.names.iter().filter_map(|name| name.parse().ok()).collect();
        match hosts.is_empty() {
            true => Err(unknown("it is for no host".to_owned())),
            false => Ok(hosts),
        }
    }
}
