//! What a cluster for trying things is made of: it is planned once, and kept in its folder, so that the next start comes up as
//! the same cluster. Its members know each other by the ports of the first start.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use client::Tls;
use serde::{Deserialize, Serialize};
use tokio::net::TcpSocket;

use super::secured;
use crate::exit::{Failure, quoted};

const FILE: &str = "cluster.json";
const MEMBERS: u64 = 3;
/// Observers of a cluster for trying things, at most: each is a process of its own on this machine.
pub(super) const OBSERVERS_MAX: u64 = 9;

/// What the command line asks for; what it leaves out is as the folder has it, or as is usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Voters.
    pub(super) members: Option<u64>,
    pub(super) observers: Option<u64>,
    pub(super) listen_from: Option<u16>,
    /// Of a new one: it is reached by TLS.
    pub(super) tls: bool,
    /// Its members serve Juju's agents, as long as this start lasts.
    pub(super) juju: bool,
    pub(super) load_test_any_holder: bool,
}

/// A cluster.
#[derive(Debug)]
pub(super) struct Plan {
    /// Absolute, so that what is written into it holds from anywhere.
    folder: PathBuf,
    /// As it was typed, for lines to be typed.
    shown: PathBuf,
    kept: Kept,
    /// What is not kept of what was asked for: settings as they stand in each member's file.
    more: String,
    /// Sockets that have the ports and do not listen: with SO_REUSEADDR a member can listen there, and while it is gone nobody
    /// else is given its port.
    _ports: Vec<TcpSocket>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    cluster: String,
    members: Vec<Member>,
    /// It is reached by TLS, and its members reach each other by it.
    #[serde(default)]
    tls: bool,
}

/// One of its members.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) id: u64,
    /// Where clients connect.
    pub(super) clients: SocketAddr,
    /// Where the other members connect.
    pub(super) peers: SocketAddr,
    /// It is added once the voters serve, and has no vote until an operator promotes it.
    #[serde(default)]
    pub(super) observer: bool,
}

impl Wanted {
    /// The settings of a Juju door, where one is wanted.
    fn juju(self) -> String {
        match self.juju {
            true => format!(
                "juju.enabled = true\njuju.agent_ratelimit_max = 0\njuju.load_test_any_holder = {}\n",
                self.load_test_any_holder
            ),
            false => String::new(),
        }
    }
}

impl Plan {
    /// The cluster in `folder`, or a new one where there is none.
    pub(super) fn open(folder: &Path, wanted: Wanted) -> Result<Plan, Failure> {
        let failed = |error: io::Error| Failure::unavailable(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(failed)?;
        let shown = folder.to_owned();
        let folder = folder.canonicalize().map_err(failed)?;
        let (kept, ports) = match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => Kept::found(&folder, &text, wanted)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                check_empty(&folder)?;
                let (mut kept, ports) = Kept::new(wanted)?;
                if kept.tls {
                    kept.cluster = secured::make(&folder, &kept.members)?;
                }
                (kept, ports)
            }
            Err(error) => return Err(failed(error)),
        };
        let plan = Plan { folder, shown, kept, more: wanted.juju(), _ports: ports };
        plan.write().map_err(failed)?;
        Ok(plan)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = Member> + use<> {
        self.kept.members.clone().into_iter()
    }

    /// Those that the cluster does not begin with.
    pub(super) fn observers(&self) -> impl Iterator<Item = Member> + use<> {
        self.members().filter(|member| member.observer)
    }

    /// A member's data folder.
    pub(super) fn data(&self, member: Member) -> PathBuf {
        self.folder.join(member.id.to_string())
    }

    /// What a member logs.
    pub(super) fn log(&self, member: Member) -> PathBuf {
        self.folder.join(format!("{}.log", member.id))
    }

    /// A member's settings.
    pub(super) fn settings(&self, member: Member) -> PathBuf {
        self.folder.join(format!("{}.toml", member.id))
    }

    /// The same, as short as it can be typed.
    pub(super) fn settings_shown(&self, member: Member) -> PathBuf {
        self.shown.join(format!("{}.toml", member.id))
    }

    /// Where clients come to a member, as they write it.
    pub(super) fn endpoint(&self, member: Member) -> String {
        let scheme = if self.kept.tls { "https://" } else { "" };
        format!("{scheme}{}", member.clients)
    }

    /// What this program knows the members by, where they are reached by TLS.
    pub(super) fn trust(&self) -> Result<Option<Tls>, Failure> {
        self.kept.tls.then(|| secured::operator(&self.folder)).transpose()
    }

    /// What a shell is to source before it comes to them, where they are reached by TLS.
    pub(super) fn environment_shown(&self) -> Option<PathBuf> {
        self.kept.tls.then(|| secured::environment(&self.shown))
    }

    /// Writes what is kept, and from it each member's settings.
    fn write(&self) -> io::Result<()> {
        let aside = self.folder.join(format!("{FILE}.tmp"));
        fs::write(&aside, serde_json::to_string_pretty(&self.kept)? + "\n")?;
        fs::rename(&aside, self.folder.join(FILE))?;
        self.members().try_for_each(|member| fs::write(self.settings(member), self.toml(member)?))
    }

    fn toml(&self, member: Member) -> io::Result<String> {
        let data = self.data(member);
        let data =
            data.to_str().ok_or_else(|| io::Error::other("its path is not UTF-8: name another folder"))?;
        let certificates =
            if self.kept.tls { secured::settings(&self.folder, member) } else { String::new() };
        let begins = match member.observer {
            true => "peer.join = true".to_owned(),
            false => format!("peer.voters = \"{}\"", self.voters()),
        };
        Ok(format!(
            "# Member {} of a cluster that `tenure dev-cluster` made, and writes anew at each start.\n\
             data = {}\nlisten = \"{}\"\ncluster = \"{}\"\nmember = {}\npeer.listen = \"{}\"\n{begins}\n{certificates}{}",
            member.id,
            // A string of JSON is one of TOML too.
            serde_json::to_string(data)?,
            member.clients,
            self.kept.cluster,
            member.id,
            member.peers,
            self.more,
        ))
    }

    fn voters(&self) -> String {
        let voters = self.members().filter(|member| !member.observer);
        voters.map(|Member { id, peers, .. }| format!("{id}={peers}")).collect::<Vec<_>>().join(",")
    }
}

impl Kept {
    fn new(wanted: Wanted) -> Result<(Kept, Vec<TcpSocket>), Failure> {
        let voters = wanted.members.unwrap_or(MEMBERS);
        let count = voters + wanted.observers.unwrap_or(0);
        let first = wanted.listen_from.unwrap_or(0);
        let last = u64::from(first) + 2 * count - 1;
        if first > 0 && last > u64::from(u16::MAX) {
            return Err(Failure::usage(format!(
                "--listen-from {first} leaves no room for {count} members with two ports each: give at most {}",
                u64::from(u16::MAX) + 1 - 2 * count
            )));
        }
        let ports = (0..2 * count).map(|at| if first == 0 { 0 } else { first + at as u16 });
        let (addresses, sockets): (Vec<_>, Vec<_>) =
            ports.map(reserve).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let (clients, peers) = addresses.split_at(count as usize);
        let pairs = clients.iter().zip(peers);
        let members = (1..).zip(pairs).map(|(id, (clients, peers))| Member {
            id,
            clients: *clients,
            peers: *peers,
            observer: id > voters,
        });
        let cluster = format!("{:032x}", rand::random::<u128>());
        Ok((Kept { cluster, members: members.collect(), tls: wanted.tls }, sockets))
    }

    fn found(folder: &Path, text: &str, wanted: Wanted) -> Result<(Kept, Vec<TcpSocket>), Failure> {
        let unreadable = |cause: String| {
            let file = folder.join(FILE);
            Failure::usage(format!("{} cannot be read: {cause}; name another folder", file.display()))
        };
        let kept: Kept = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        let Some(first) = kept.members.first() else {
            return Err(unreadable("it has no members".to_owned()));
        };
        let observers = kept.members.iter().filter(|member| member.observer).count() as u64;
        let voters = kept.members.len() as u64 - observers;
        let counts = [("members", wanted.members, voters), ("observers", wanted.observers, observers)];
        for (what, wanted, count) in counts {
            if wanted.is_some_and(|wanted| wanted != count) {
                // `members` counts the voters.
                let counted = match (what, count) {
                    ("observers", 0) => "no observers".to_owned(),
                    ("observers", 1) => "1 observer".to_owned(),
                    ("observers", _) => format!("{count} observers"),
                    (_, 1) => "1 voter".to_owned(),
                    _ => format!("{count} voters"),
                };
                return Err(Failure::usage(format!(
                    "{} has a cluster of {counted}: leave --{what} out, or name another folder",
                    folder.display()
                )));
            }
        }
        if wanted.tls && !kept.tls {
            return Err(Failure::usage(format!(
                "{} has a cluster without certificates: leave --tls out, or name another folder",
                folder.display()
            )));
        }
        if wanted.listen_from.is_some_and(|from| from != first.clients.port()) {
            return Err(Failure::usage(format!(
                "{} has a cluster whose members know each other by their ports, from {} on: leave --listen-from out, or name \
                 another folder",
                folder.display(),
                first.clients.port()
            )));
        }
        let ports = kept.members.iter().flat_map(|member| [member.clients.port(), member.peers.port()]);
        let sockets = ports.map(|port| reserve(port).map(|(_, socket)| socket)).collect::<Result<_, _>>()?;
        Ok((kept, sockets))
    }
}

/// Takes a port of this machine, or a free one for 0.
fn reserve(port: u16) -> Result<(SocketAddr, TcpSocket), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let take = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok((socket.local_addr()?, socket))
    };
    take().map_err(|error: io::Error| {
        Failure::unavailable(format!(
            "{address} cannot be had: {error}; end what has it, or name another folder for a cluster with other ports"
        ))
    })
}

/// Refuses a folder that has something else in it: it is most likely a mistake.
fn check_empty(folder: &Path) -> Result<(), Failure> {
    let unreadable = |error: io::Error| Failure::unavailable(format!("{}: {error}", folder.display()));
    match fs::read_dir(folder).map_err(unreadable)?.next() {
        None => Ok(()),
        Some(found) => Err(Failure::usage(format!(
            "{} has no {FILE}, and {} in it: name an empty folder, or one that is yet to be made",
            folder.display(),
            quoted(&found.map_err(unreadable)?.file_name().to_string_lossy())
        ))),
    }
}
