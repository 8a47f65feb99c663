//! What an operator may set: from a file, the environment and flags into one checked [`Config`].
//!
//! ```text
//! tenure.toml ──▶ TENURE_* ──▶ flags ──▶ values ──▶ Config
//!        (each wins over those before it)   (parsed, each relation checked)
//! ```
//!
//! A value that is wrong is refused with where it came from and what it overrides; nothing is guessed or left out. SIGHUP
//! reads it all anew: `log.level`, how logins at the Juju door are throttled, and what the files with certificates hold change at once, everything else with the next start, and a bad file changes nothing.

mod error;
mod juju;
mod keys;
#[cfg(test)]
mod properties;
mod raw;
#[cfg(test)]
mod tests;
mod value;
mod voters;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use error::{ConfigError, Origin};
pub use juju::{Juju, Throttle};
pub use keys::{Default, KEYS, Setting, misspelt_env, print_config};
use raw::Raws;
pub(crate) use value::FirstToken;
pub use value::{LogFormat, LogLevel};
pub use voters::parse_voters;

use crate::tls::TlsFiles;

/// The client port, where none is named.
pub const LISTEN_DEFAULT: &str = api::ADDRESS_DEFAULT;
/// The port for the other members, where none is named and there are others.
pub(crate) const PEER_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7401);
/// The data folder of `--dev`, where none is named.
const DEV_DATA: &str = "tenure-data";

/// A checked configuration. [`KEYS`] says what each setting means, in which unit and with which default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// For trying things: loopback only, no TLS, a torn tail is cut.
    pub dev: bool,
    /// The data folder.
    pub data: PathBuf,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// What the client port is secured with; none is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Clients and members may connect from other machines, without TLS or without identity.
    pub insecure_plain_listener: bool,
    /// Nobody who comes by the client port is asked who they are.
    pub insecure_no_authentication: bool,
    /// The token that `tenure init` has made for the first operator, by its hash.
    pub(crate) first_token: Option<FirstToken>,
    /// Where the audit log is written; none writes none.
    pub audit: Option<PathBuf>,
    /// At so many bytes it is put aside.
    pub audit_bytes_max: u64,
    /// Where grants and their ends are written as Juju's `lease.log` has them; none writes none.
    pub lease_log: Option<PathBuf>,
    /// Where the other members connect; none where there are none.
    pub peer_listen: Option<SocketAddr>,
    /// What the port for the other members is secured with, and what is presented to them; none is plain TCP.
    pub peer_tls: Option<TlsFiles>,
    /// The first voters of a new cluster, and where each is reached by the others; none for a cluster of this member alone.
    pub peer_voters: BTreeMap<u64, String>,
    /// A new member waits until it is added to a cluster.
    pub peer_join: bool,
    /// The data folder may be on a file system that forgets, or that cannot promise to have synced.
    pub allow_volatile_data: bool,
    /// A single voter may cut an end of its log that it cannot prove.
    pub accept_torn_tail: bool,
    /// The cluster that the data folder must belong to, where it is named.
    pub cluster: Option<u128>,
    /// The member that the data folder must belong to, where it is named.
    pub member: Option<u64>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Client connections at a time.
    pub connections: usize,
    /// Commands of a kind that may wait for their turn.
    pub commands: usize,
    /// A session's client that is silent for so long is pinged.
    pub ping_every: Duration,
    /// A session's client that is silent for so long is gone.
    pub dead_after: Duration,
    /// A session's client that reads nothing for so long, while something is written to it, is closed.
    pub stall_after: Duration,
    /// How long a start may take to read the log and the snapshot.
    pub start_within: Duration,
    /// How long an orderly stop delivers answers before it closes what is left.
    pub stop_within: Duration,
    /// Bytes of log after which a snapshot is made.
    pub snapshot_log_bytes: u64,
    /// About how much memory the events kept for watches may take.
    pub watch_bytes: usize,
    /// The Juju door.
    pub juju: Juju,
    /// What it was read from, so that it can be read anew.
    pub(crate) source: Flags,
}

/// What the command line says: texts as they were typed, so that one place checks them and words what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--dev`.
    pub dev: bool,
    /// `--config FILE`; without it, `TENURE_CONFIG`, and without that, no file.
    pub config: Option<PathBuf>,
    /// `--data DIR`.
    pub data: Option<PathBuf>,
    /// `--listen ADDRESS:PORT`; port 0 takes a free one.
    pub listen: Option<String>,
    /// `--peer-listen ADDRESS:PORT`; port 0 takes a free one.
    pub peer_listen: Option<String>,
    /// `--peer-voters ID=HOST:PORT,…`.
    pub peer_voters: Option<String>,
    /// `--peer-join`.
    pub peer_join: bool,
    /// `--cluster ID`.
    pub cluster: Option<String>,
    /// `--member N`.
    pub member: Option<String>,
    /// `--insecure-plain-listener`.
    pub insecure_plain_listener: bool,
    /// `--insecure-no-authentication`.
    pub insecure_no_authentication: bool,
    /// `--allow-volatile-data`.
    pub allow_volatile_data: bool,
    /// `--accept-torn-tail`.
    pub accept_torn_tail: bool,
    /// `--juju`.
    pub juju: bool,
    /// `--load-test-any-holder`.
    pub load_test_any_holder: bool,
    /// `--log-level LEVEL`.
    pub log_level: Option<String>,
    /// `--log-format FORMAT`.
    pub log_format: Option<String>,
}

impl Config {
    /// Reads the file that `flags` or the environment name, the environment, and `flags`.
    ///
    /// # Errors
    /// The first thing that is wrong, with where it came from and what to do.
    pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
        if let Some((name, meant)) =
            misspelt_env(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
        {
            return Err(ConfigError::UnknownVariable { name, meant });
        }
        Config::load_with(flags, &|name| std::env::var_os(name))
    }

    fn load_with(flags: &Flags, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Config, ConfigError> {
        let mut raws = Raws::default();
        if let Some(path) = flags.config.clone().or_else(|| env("TENURE_CONFIG").map(PathBuf::from)) {
            raws.add_file(&path)?;
        }
        raws.add_env(env)?;
        raws.add_flags(flags);
        let config = Config::parse(&raws, flags)?;
        config.check(&raws)?;
        Ok(config)
    }

    /// What a file of this text, and nothing else, would make of a configuration.
    #[cfg(any(test, feature = "parsers"))]
    pub(crate) fn of_text(text: &str) -> Result<Config, ConfigError> {
        let (mut raws, flags) =
            (Raws::default(), Flags { data: Some(PathBuf::from("d")), ..Flags::default() });
        raws.add_text(std::path::Path::new("tenure.toml"), text)?;
        raws.add_flags(&flags);
        let config = Config::parse(&raws, &flags)?;
        config.check(&raws)?;
        Ok(config)
    }

    fn parse(raws: &Raws, flags: &Flags) -> Result<Config, ConfigError> {
        let dev = flags.dev;
        let listen = raws.get("listen", value::address)?;
        let data = raws.get_path("data")?.or_else(|| dev.then(|| PathBuf::from(DEV_DATA)));
        let peer_voters = raws.get("peer.voters", voters::voters)?.unwrap_or_default();
        let peer_listen = raws.get("peer.listen", value::address)?;
        let peer_join = raws.get("peer.join", value::yes_or_no)?.unwrap_or(false);
        let peer_default = || (peer_join || !peer_voters.is_empty()).then_some(PEER_LISTEN_DEFAULT);
        let is_single = peer_voters.len() <= 1 && !peer_join;
        Ok(Config {
            dev,
            listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], api::PORT_DEFAULT))),
            tls: tls_files(raws, "tls.cert", "tls.key", "tls.client_ca")?,
            peer_tls: peer_tls_files(raws)?,
            insecure_plain_listener: raws.get("insecure_plain_listener", value::yes_or_no)?.unwrap_or(false),
            insecure_no_authentication: raws
                .get("insecure_no_authentication", value::yes_or_no)?
                .unwrap_or(false),
            first_token: raws.get("auth.first_token", value::first_token)?,
            audit: raws.get_path("audit.file")?,
            lease_log: raws.get_path("audit.lease_log")?,
            audit_bytes_max: raws.get("audit.bytes_max", value::bytes)?.unwrap_or(256 << 20),
            peer_listen: peer_listen.or_else(peer_default),
            allow_volatile_data: raws.get("allow_volatile_data", value::yes_or_no)?.unwrap_or(dev),
            accept_torn_tail: raws.get("accept_torn_tail", value::yes_or_no)?.unwrap_or(dev && is_single),
            peer_voters,
            peer_join,
            cluster: raws.get("cluster", value::cluster)?,
            member: raws.get("member", value::member)?,
            log_level: raws.get("log.level", value::level)?.unwrap_or(LogLevel::Info),
            log_format: raws.get("log.format", value::format)?.unwrap_or(LogFormat::Text),
            connections: raws
                .get("limits.connections", value::connections)?
                .unwrap_or(lease::CONNECTIONS_MAX),
            commands: raws.get("limits.commands", value::commands)?.unwrap_or(lease::QUEUE_MAX),
            ping_every: raws.get("session.ping_every", value::duration)?.unwrap_or(Duration::from_secs(20)),
            dead_after: raws.get("session.dead_after", value::duration)?.unwrap_or(Duration::from_secs(40)),
            stall_after: raws.get("session.stall_after", value::duration)?.unwrap_or(Duration::from_secs(10)),
            start_within: raws.get("start.within", value::duration)?.unwrap_or(Duration::from_secs(300)),
            stop_within: raws.get("stop.within", value::duration)?.unwrap_or(Duration::from_secs(2)),
            snapshot_log_bytes: raws.get("snapshot.log_bytes", value::bytes)?.unwrap_or(64 << 20),
            watch_bytes: raws.get("watch.bytes", value::bytes)?.map_or(48 << 20, |bytes| bytes as usize),
            juju: Juju::parse(raws)?,
            // The last: what is there and wrong is said before what is missing.
            data: data.ok_or(ConfigError::NoData)?,
            source: flags.clone(),
        })
    }

    /// The relations between values.
    fn check(&self, raws: &Raws) -> Result<(), ConfigError> {
        if self.dead_after < 2 * self.ping_every {
            return Err(ConfigError::Broken {
                rule: "session.dead_after >= 2 x session.ping_every".to_owned(),
                values: format!(
                    "session.dead_after is {:?}{}, session.ping_every is {:?}{}",
                    self.dead_after,
                    raws.from("session.dead_after"),
                    self.ping_every,
                    raws.from("session.ping_every"),
                ),
                why: "a client must have time to answer a ping before it counts as gone",
            });
        }
        if let Some(path) = self.audit.as_deref().filter(|path| self.lease_log.as_deref() == Some(*path)) {
            let path = path.display();
            return Err(ConfigError::Broken {
                rule: "audit.lease_log is another file than audit.file".to_owned(),
                values: format!(
                    "both are {path}, by audit.file{} and audit.lease_log{}",
                    raws.from("audit.file"),
                    raws.from("audit.lease_log")
                ),
                why: "each is put aside by itself, and would take the other's lines with it",
            });
        }
        self.check_voters(raws)?;
        self.check_join(raws)?;
        self.juju.check(raws, self.dev)?;
        self.check_reach("listen", self.listen, self.tls.as_ref())?;
        self.peer_listen
            .map_or(Ok(()), |listen| self.check_reach("peer.listen", listen, self.peer_tls.as_ref()))
    }

    /// Who may reach a listener.
    fn check_reach(
        &self,
        key: &'static str,
        listen: SocketAddr,
        tls: Option<&TlsFiles>,
    ) -> Result<(), ConfigError> {
        if listen.ip().is_loopback() {
            return Ok(());
        }
        match (self.dev, self.insecure_plain_listener, tls) {
            (true, _, _) => Err(ConfigError::DevBeyondLoopback { key, listen }),
            (false, false, None) => Err(ConfigError::PlainBeyondLoopback { key, listen }),
            (false, _, _) => Ok(()),
        }
    }

    /// Whether who comes by the client port is asked who they are: by default wherever there is TLS, or a token to come by.
    pub(crate) fn authenticates(&self) -> bool {
        let has_means = self.tls.is_some() || self.first_token.is_some();
        has_means && !self.dev && !self.insecure_no_authentication
    }

    /// What the first voters of a cluster must have in common.
    fn check_voters(&self, raws: &Raws) -> Result<(), ConfigError> {
        if self.peer_voters.is_empty() {
            return Ok(());
        }
        let voters: Vec<String> = self.peer_voters.keys().map(u64::to_string).collect();
        let values = |of: &str, is: String| {
            let voters = voters.join(", ");
            format!("peer.voters are {voters}{}, and {of} is {is}{}", raws.from("peer.voters"), raws.from(of))
        };
        let broken =
            |rule: &str, values, why| Err(ConfigError::Broken { rule: rule.to_owned(), values, why });
        if self.cluster.is_none() {
            return broken(
                "peer.voters needs cluster",
                values("cluster", "not set".to_owned()),
                "give all voters the same cluster, 32 hexadecimal digits drawn at random: a new one would draw one of its own",
            );
        }
        match self.member {
            Some(member) if self.peer_voters.contains_key(&member) => Ok(()),
            member => broken(
                "peer.voters has member among them",
                values("member", member.map_or("not set".to_owned(), |member| member.to_string())),
                "each first voter must know which of them it is",
            ),
        }
    }

    /// What a member that is to be added must know.
    fn check_join(&self, raws: &Raws) -> Result<(), ConfigError> {
        let missing = match () {
            () if !self.peer_join => return Ok(()),
            () if self.cluster.is_none() => "cluster",
            () if self.member.is_none() => "member",
            () if !self.peer_voters.is_empty() => {
                return Err(ConfigError::Broken {
                    rule: "peer.join without peer.voters".to_owned(),
                    values: format!(
                        "peer.join is true{}, and peer.voters is set{}",
                        raws.from("peer.join"),
                        raws.from("peer.voters")
                    ),
                    why: "a member begins a cluster with others, or is added to one: leave one of the two away",
                });
            }
            () => return Ok(()),
        };
        Err(ConfigError::Broken {
            rule: format!("peer.join needs {missing}"),
            values: format!("peer.join is true{}, and {missing} is not set", raws.from("peer.join")),
            why: "a new member must know which cluster it belongs to, and its id there, which no member has had",
        })
    }

    /// Reads everything anew, as it was read at the start.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn reload(&self) -> Result<Config, ConfigError> {
        Config::load(&self.source)
    }

    /// Whether something differs from `newer` that changes only with a new start.
    pub(crate) fn needs_restart(&self, newer: &Config) -> bool {
        let mut kept = Config { log_level: newer.log_level, ..self.clone() };
        kept.juju.throttle = newer.juju.throttle.clone();
        kept != *newer
    }
}

/// The files that secure one port: a certificate and its key, or neither; and a CA only with them.
fn tls_files(
    raws: &Raws,
    cert: &'static str,
    key: &'static str,
    ca: &'static str,
) -> Result<Option<TlsFiles>, ConfigError> {
    let missing = |missing, set| Err(ConfigError::Half { missing, set, origin: raws.from(set) });
    match (raws.get_path(cert)?, raws.get_path(key)?, raws.get_path(ca)?) {
        (Some(cert), Some(key), ca) => Ok(Some(TlsFiles { cert, key, ca })),
        (None, None, None) => Ok(None),
        (Some(_), None, _) => missing(key, cert),
        (None, Some(_), _) => missing(cert, key),
        (None, None, Some(_)) => missing(cert, ca),
    }
}

/// As [`tls_files`]; but members always ask each other who they are.
fn peer_tls_files(raws: &Raws) -> Result<Option<TlsFiles>, ConfigError> {
    match tls_files(raws, "peer.tls.cert", "peer.tls.key", "peer.tls.ca")? {
        Some(TlsFiles { ca: None, .. }) => {
            let origin = raws.from("peer.tls.cert");
            Err(ConfigError::Half { missing: "peer.tls.ca", set: "peer.tls.cert", origin })
        }
        files => Ok(files),
    }
}
