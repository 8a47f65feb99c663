//! The peer port: members' frames over TCP. It carries, and decides nothing; what the frames say is `replica`'s.
//!
//! ```text
//!   replica::Link ──ask──▶ Line ══════ one connection ══════▶ listen ──take──▶ replica::Connection
//!         ▲                  │  frames, as they were asked ▶     │                    │
//!         └──── answer ◀─────┘ ◀ answers, as they come about ◀───┘◀───────────────────┘
//!
//!   caller    hello    "TENURE" │ 1 u8 │ oldest u8 │ newest u8 │ cluster u128 │ caller u64 │ meant u64
//!   listener  answer   "TENURE" │ 2 u8 │ oldest u8 │ newest u8 │ cluster u128 │ member u64 │ verdict u8
//!   then both frames   length u32 │ ask u64 │ so many bytes
//!
//!   verdict   0 welcome   1 unknown version   2 wrong cluster   3 wrong member   4 called by itself   5 full
//!             6 another's certificate
//! ```
//!
//! Little-endian. The two hellos keep their form in every version, so that any two programs can tell each other why they do
//! not talk: `oldest` to `newest` are the versions of what follows that each speaks, and they talk in the newest that both do.
//! An answer has the number of the ask that it answers; answers come in any order.
//!
//! * A member calls each other member over one connection, which all its links to that member share, and is called over
//!   another. A newer connection of a caller ends its older one.
//! * A connection that fails fails all that was asked over it. The next ask connects anew: at once after a connection that
//!   worked, and otherwise after a pause of at most 250 ms, within which asks fail at once: a member that is down costs nothing.
//! * Everything is bounded: bytes on their way to a member, frames without an answer, the length of a frame, connections that
//!   call this member, the time for a connection and its hellos.
//! * Why a member is not reached, and why a caller is refused, is logged when it is new, and not each time.
//! * All of it runs on the replica's thread, behind no client. [`socket`] is the one place where connections are made, and
//!   [`secure`] where they become TLS: each side then knows the other by its certificate, and believes no hello against that.

mod dial;
mod frame;
mod hello;
mod line;
mod listen;
#[cfg(any(test, feature = "parsers"))]
pub(crate) mod parsers;
mod said;
mod secure;
mod secured;
mod socket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub(crate) use line::Carrier;
pub(crate) use listen::accept;
pub(crate) use secure::Security;
pub(crate) use socket::bind;

/// How long a connection may take, and then its hellos.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
const HELLO_WITHIN: Duration = Duration::from_secs(1);
/// Frames without an answer, of one connection.
const UNANSWERED_MAX: usize = 4_096;
/// Bytes of frames that wait to be sent to one member.
const QUEUED_BYTES_MAX: usize = 2 * replica::PEER_FRAME_BYTES_MAX;
/// Connections that call this member: one of each other, with room for those that were lost and are not yet missed.
const INBOUND_MAX: usize = 64;

const _: () = assert!(
    QUEUED_BYTES_MAX >= replica::PEER_FRAME_BYTES_MAX,
    "the longest frame must fit into an empty queue"
);

/// Who calls, or is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// The cluster's id.
    pub(crate) cluster: u128,
    /// The member's, within it.
    pub(crate) member: u64,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {} of cluster {:032x}", self.member, self.cluster)
    }
}
