//! `tenure join`: a new member is taken into a cluster, before it runs.
//!
//! ```text
//!   an operator                        the new machine                         the cluster
//!   members invite 4 ──token──▶ join: token, address, certificate, folder?
//!                                 │ data folder: member 4 of CLUSTER, joined
//!                                 └──── take me in, at HOST:PORT ────────────▶ whoever leads: is 4 new? ──▶ an observer more
//!                               serve ◀────────────────────── the log ─────────┘
//! ```
//!
//! * The data folder is made first: an answer that is lost may be asked for again, by the same folder and no other. Where the
//!   cluster refuses, the folder is gone again.
//! * One use: the token names the member that it makes, and an id is one member's for the whole of a cluster's life, as the
//!   replicated log has it. Nothing else needs to be remembered, or forgotten, over a change of leader.
//! * It goes over the peer port, and so by the same certificates as everything that members say to each other: a token opens
//!   nothing to whoever has none. The CAs in it keep a newcomer from believing the members of another cluster.
//! * When a token ends is judged here, by the wall clock that judges certificates too; it decides nothing about leases.

mod error;
mod token;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lease::Ttl;
use replica::{Asks, Network as _, Unchanged, ask_to_join, is_address};

pub use error::JoinError;
pub use token::{InvalidToken, JoinToken};

use crate::config::Config;
use crate::data::{Data, NewData, has_joined};
use crate::error::ServeError;
use crate::peers::{Carrier, Security, Who};
use crate::tls;

/// How long one member may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long after all of them were asked in vain they are asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// What to join, and as whom.
#[derive(Clone, Debug)]
pub struct Join {
    /// By which token.
    pub token: JoinToken,
    /// Where the others will reach the new member.
    pub address: String,
    /// What it will be served with.
    pub config: Config,
    /// How long the cluster may take.
    pub patience: Duration,
}

/// A member that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The cluster.
    pub cluster: u128,
    /// Its id there.
    pub member: u64,
    /// Its data folder.
    pub data: PathBuf,
}

/// Seconds since 1970 by this machine's wall clock: for a token's end, and for nothing else.
pub fn wall_seconds() -> u64 {
    u64::try_from(tls::wall_seconds()).unwrap_or(0)
}

/// Has a member taken in.
///
/// # Errors
/// [`JoinError`]; but for [`JoinError::Unknown`], nothing was changed.
pub fn join(join: Join) -> Result<Joined, JoinError> {
    let Join { token, address, mut config, patience } = join;
    check(&token, &address, &config)?;
    (config.cluster, config.member) = (Some(token.cluster), Some(token.member));
    let security = security(&token, &config)?;
    let folder = Folder::open(&config, &token)?;
    let me = Who { cluster: token.cluster, member: token.member };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServeError::System { what: "making a runtime", error })?;
    let carrier = Carrier::new(me, security);
    let asked = runtime.block_on(ask(&carrier, &token, &address, folder.asks(), patience));
    if matches!(asked, Ok(()) | Err(JoinError::Unknown { .. })) {
        folder.settle();
    }
    asked?;
    Ok(Joined { cluster: token.cluster, member: token.member, data: config.data })
}

fn check(token: &JoinToken, address: &str, config: &Config) -> Result<(), JoinError> {
    let now = wall_seconds();
    if now > token.until {
        return Err(JoinError::Expired { ago: Duration::from_secs(now - token.until) });
    }
    if !is_address(address) {
        return Err(JoinError::Address { address: address.to_owned() });
    }
    let other = config.cluster.is_some_and(|cluster| cluster != token.cluster)
        || config.member.is_some_and(|member| member != token.member);
    match other {
        true => Err(JoinError::Another {
            configured: (config.cluster, config.member),
            token: (token.cluster, token.member),
        }),
        false if !config.peer_voters.is_empty() => Err(JoinError::Begins),
        false => Ok(()),
    }
}

/// What the others are called with; they must be the ones whose CAs the token names.
fn security(token: &JoinToken, config: &Config) -> Result<Security, JoinError> {
    let Some(files) = &config.peer_tls else {
        return match token.authorities.is_empty() {
            true => Ok(Security::Plain),
            false => Err(JoinError::NoCertificate { member: token.member }),
        };
    };
    if token.authorities.is_empty() {
        return Err(JoinError::PlainThere);
    }
    if let Some(path) = &files.ca {
        let found = tls::fingerprints(path).map_err(ServeError::Tls)?;
        if let Some(stranger) = found.iter().find(|found| !token.authorities.contains(found)) {
            return Err(JoinError::Authority { path: path.clone(), found: stranger.to_string() });
        }
    }
    let kept = tls::peer_port(files.clone(), config.cluster, config.member).map_err(ServeError::Tls)?;
    Ok(Security::Mutual(std::sync::Arc::new(kept)))
}

/// The data folder, as long as the member is not yet taken in.
enum Folder {
    New(NewData),
    Again {
        /// It is ours for so long.
        _data: Data,
    },
}

impl Folder {
    fn open(config: &Config, token: &JoinToken) -> Result<Folder, JoinError> {
        let data = |error| JoinError::Serve(ServeError::Data(error));
        if !config.data.join("identity.toml").exists() {
            let new = NewData::make(&config.data, config.allow_volatile_data).map_err(data)?;
            new.join(token.cluster, token.member).map_err(data)?;
            return Ok(Folder::New(new));
        }
        let joined = has_joined(&config.data);
        let found = Data::open(config).map_err(data)?;
        match joined && !found.identity().begun {
            true => Ok(Folder::Again { _data: found }),
            false => Err(JoinError::Begun { path: config.data.clone(), member: token.member }),
        }
    }

    fn asks(&self) -> Asks {
        match self {
            Folder::New(_) => Asks::First,
            Folder::Again { .. } => Asks::Again,
        }
    }

    fn settle(self) {
        if let Folder::New(new) = self {
            new.settle();
        }
    }
}

/// Asks the members in turn, until one leads and answers.
async fn ask(
    carrier: &Carrier,
    token: &JoinToken,
    address: &str,
    mut asks: Asks,
    patience: Duration,
) -> Result<(), JoinError> {
    let began = Instant::now();
    let within = Ttl::from_millis(ANSWER_WITHIN.as_millis() as u64);
    let mut why = Vec::new();
    while began.elapsed() < patience || why.is_empty() {
        why.clear();
        for (id, at) in &token.members {
            let link = carrier.link(*id, at);
            let asked = ask_to_join(&link, token.member, address, asks, within);
            let asked = tokio::time::timeout(ANSWER_WITHIN, asked).await;
            match asked {
                Ok(Ok(Ok(()))) => return Ok(()),
                Ok(Ok(Err(Unchanged::Refused(why)))) => return Err(JoinError::Refused(why)),
                Ok(Ok(Err(error @ Unchanged::NoLeader))) => why.push(format!("member {id}: {error}")),
                Ok(Err(error)) if !error.may_have_arrived => why.push(error.why),
                // It may be a member by now: whoever is asked next is asked again by the same folder.
                Ok(Err(error)) => {
                    asks = Asks::Again;
                    why.push(format!("member {id} at {at}: {}", error.why));
                }
                Ok(Ok(Err(Unchanged::Unknown))) | Err(_) => {
                    asks = Asks::Again;
                    why.push(format!("member {id} at {at} has not answered within {ANSWER_WITHIN:?}"));
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    match asks {
        Asks::Again => Err(JoinError::Unknown { why }),
        Asks::First => Err(JoinError::Unreached { why }),
    }
}
