//! Who calls, whom it means, and why they do not talk: the first words on a connection. The drawing is in the module above.

use std::fmt;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::secure::Proven;
use super::socket::Stream;
use super::{HELLO_WITHIN, INBOUND_MAX, Who};
use crate::tls;

/// The versions of frames that this program speaks.
const OURS: Versions = Versions { oldest: 1, newest: 1 };

const MAGIC: [u8; 6] = *b"TENURE";
const CALLS: u8 = 1;
const ANSWERS: u8 = 2;
/// Both hellos begin alike: what they are, the versions, the cluster.
const START_BYTES: usize = MAGIC.len() + 1 + 2 + 16;
const CALL_BYTES: usize = START_BYTES + 8 + 8;
const ANSWER_BYTES: usize = START_BYTES + 8 + 1;

/// Versions that a program speaks, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) oldest: u8,
    pub(super) newest: u8,
}

impl Versions {
    fn has_common(self, other: Versions) -> bool {
        self.oldest.max(other.oldest) <= self.newest.min(other.newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest == self.newest {
            true => write!(f, "{}", self.newest),
            false => write!(f, "{} to {}", self.oldest, self.newest),
        }
    }
}

/// What a caller says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) versions: Versions,
    pub(super) caller: Who,
    pub(super) meant: u64,
}

/// What it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) versions: Versions,
    pub(super) listener: Who,
    pub(super) verdict: u8,
}

/// Why two members do not talk, as both of them say it. `ours` is of the one that speaks.
#[derive(Debug)]
pub(super) enum Refusal {
    /// They have no version of frames in common.
    Version { theirs: Versions, ours: Versions },
    /// They are of two clusters.
    Cluster { theirs: u128, ours: u128 },
    /// Another member listens than was meant.
    Member { listens: u64, meant: u64 },
    /// A member called itself, or two have the same id.
    Itself(u64),
    /// The other's certificate is not that of who it is, or was meant to be.
    Certificate { found: Who, wanted: Who },
    /// This member's certificate is not that of who it says it is: the listener says so.
    Disbelieved,
    /// The listener has as many callers as it may have.
    Full,
    /// The other is no member of any cluster, or of one to come.
    Strange(&'static str),
    /// No connection could be made.
    Unconnected(io::Error),
    /// The other said nothing for as long as it may.
    Silent,
    /// The connection failed before both had spoken.
    Io(io::Error),
}

impl Refusal {
    fn verdict(&self) -> u8 {
        match self {
            Refusal::Version { .. } => 1,
            Refusal::Cluster { .. } => 2,
            Refusal::Member { .. } => 3,
            Refusal::Itself(_) => 4,
            Refusal::Full => 5,
            Refusal::Certificate { .. } | Refusal::Disbelieved => 6,
            Refusal::Strange(_) | Refusal::Unconnected(_) | Refusal::Silent | Refusal::Io(_) => 0,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Version { theirs, ours } => write!(
                f,
                "it speaks version {theirs} of the peers' protocol, and this member speaks {ours}: upgrade the older one"
            ),
            Refusal::Cluster { theirs, ours } => write!(
                f,
                "wrong cluster: it is of {theirs:032x}, and this member of {ours:032x}: correct the address, or give one of them \
                 its own data folder"
            ),
            Refusal::Member { listens, meant } => write!(
                f,
                "wrong member: member {listens} listens there, and member {meant} was meant: correct the address"
            ),
            Refusal::Itself(member) => write!(
                f,
                "wrong member: member {member} was called by itself, or by another with the same id: correct the address or the id"
            ),
            Refusal::Certificate { found, wanted } => write!(
                f,
                "its certificate is of {found}, and {wanted} is wanted: correct the address, or give each its own certificate"
            ),
            Refusal::Disbelieved => f.write_str(
                "it says that this member's certificate is another's: give this one its own; the other's log says whose it is",
            ),
            Refusal::Full => {
                write!(f, "it has {INBOUND_MAX} connections of members, the limit: end some of them")
            }
            Refusal::Strange(what) => write!(f, "{what}: correct the address"),
            Refusal::Unconnected(error) => write!(f, "no connection: {}", said(error)),
            Refusal::Silent => write!(f, "it did not say who it is within {HELLO_WITHIN:?}"),
            Refusal::Io(error) => write!(f, "the connection ended before it said who it is: {}", said(error)),
        }
    }
}

/// What failed; in our words where TLS did.
fn said(error: &io::Error) -> String {
    tls::words(tls::PEER_CA, error).unwrap_or_else(|| error.to_string())
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Io(error)
    }
}

/// Says who calls, and hears whether it is welcome.
pub(super) async fn call(stream: &mut Stream, caller: Who, meant: u64) -> Result<(), Refusal> {
    stream.write_all(&Call { versions: OURS, caller, meant }.encode()).await?;
    stream.flush().await?;
    let mut bytes = [0; ANSWER_BYTES];
    stream.read_exact(&mut bytes).await?;
    let Answer { versions, listener, verdict } =
        Answer::decode(&bytes).ok_or(Refusal::Strange("no peer listener of a member is there"))?;
    let member = Refusal::Member { listens: listener.member, meant };
    match verdict {
        0 if listener.cluster != caller.cluster => {
            Err(Refusal::Cluster { theirs: listener.cluster, ours: caller.cluster })
        }
        0 if listener.member != meant => Err(member),
        0 => Ok(()),
        1 => Err(Refusal::Version { theirs: versions, ours: OURS }),
        2 => Err(Refusal::Cluster { theirs: listener.cluster, ours: caller.cluster }),
        3 => Err(member),
        4 => Err(Refusal::Itself(listener.member)),
        5 => Err(Refusal::Full),
        6 => Err(Refusal::Disbelieved),
        _ => Err(Refusal::Strange("it refuses for a reason that this program does not know")),
    }
}

/// Hears who calls, and says whether it is welcome, as it is with `room` for one more and where it is who it was proven to be.
/// Gives the caller's id.
pub(super) async fn answer(
    stream: &mut Stream,
    listener: Who,
    proven: Proven,
    room: bool,
) -> Result<Called, Refusal> {
    let mut bytes = [0; CALL_BYTES];
    stream.read_exact(&mut bytes).await?;
    let call = Call::decode(&bytes).ok_or(Refusal::Strange("the caller is no member"))?;
    let judged = judge(call, listener, proven, room);
    let verdict = judged.as_ref().map_or_else(Refusal::verdict, |()| 0);
    stream.write_all(&Answer { versions: OURS, listener, verdict }.encode()).await?;
    stream.flush().await?;
    Ok(Called { caller: call.caller.member, judged })
}

/// Who called, and whether it is welcome.
pub(super) struct Called {
    pub(super) caller: u64,
    pub(super) judged: Result<(), Refusal>,
}

fn judge(call: Call, listener: Who, proven: Proven, room: bool) -> Result<(), Refusal> {
    let Call { versions, caller, meant } = call;
    if !OURS.has_common(versions) {
        return Err(Refusal::Version { theirs: versions, ours: OURS });
    }
    if let Some(found) = proven.filter(|found| *found != caller) {
        return Err(Refusal::Certificate { found, wanted: caller });
    }
    if caller.cluster != listener.cluster {
        return Err(Refusal::Cluster { theirs: caller.cluster, ours: listener.cluster });
    }
    if meant != listener.member {
        return Err(Refusal::Member { listens: listener.member, meant });
    }
    if caller.member == listener.member {
        return Err(Refusal::Itself(listener.member));
    }
    if room { Ok(()) } else { Err(Refusal::Full) }
}

impl Call {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut to = start(CALLS, self.versions, self.caller.cluster);
        to.extend(self.caller.member.to_le_bytes());
        to.extend(self.meant.to_le_bytes());
        to
    }

    pub(super) fn decode(bytes: &[u8; CALL_BYTES]) -> Option<Call> {
        let (versions, cluster, rest) = read_start(CALLS, bytes)?;
        let (member, meant) = rest.split_first_chunk()?;
        let caller = Who { cluster, member: u64::from_le_bytes(*member) };
        Some(Call { versions, caller, meant: u64::from_le_bytes(*meant.first_chunk()?) })
    }
}

impl Answer {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut to = start(ANSWERS, self.versions, self.listener.cluster);
        to.extend(self.listener.member.to_le_bytes());
        to.push(self.verdict);
        to
    }

    pub(super) fn decode(bytes: &[u8; ANSWER_BYTES]) -> Option<Answer> {
        let (versions, cluster, rest) = read_start(ANSWERS, bytes)?;
        let (member, verdict) = rest.split_first_chunk()?;
        let listener = Who { cluster, member: u64::from_le_bytes(*member) };
        Some(Answer { versions, listener, verdict: *verdict.first()? })
    }
}

fn start(what: u8, versions: Versions, cluster: u128) -> Vec<u8> {
    let mut to = MAGIC.to_vec();
    to.extend([what, versions.oldest, versions.newest]);
    to.extend(cluster.to_le_bytes());
    to
}

fn read_start(what: u8, bytes: &[u8]) -> Option<(Versions, u128, &[u8])> {
    let [found, oldest, newest, rest @ ..] = bytes.strip_prefix(&MAGIC)? else { return None };
    let (cluster, rest) = rest.split_first_chunk()?;
    let versions = Versions { oldest: *oldest, newest: *newest };
    (*found == what).then_some((versions, u128::from_le_bytes(*cluster), rest))
}
