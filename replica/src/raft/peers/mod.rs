//! The network between members: what one asks of another, over links that carry frames and know nothing of them.
//!
//! ```text
//!   openraft ──▶ remote ──frame──▶ Link ┄┄┄┄┄┄┄┄┄▶ Connection ──▶ incoming ──▶ openraft of the other
//!                   ▲                                                 │
//!                   └───────────────── answer ◀───────────────────────┘
//! ```
//!
//! * [`wire`] has the bytes; [`remote`] asks; [`incoming`] answers; [`arriving`] is a snapshot on its way in;
//!   [`acknowledged`] is what another must have.
//! * [`asks`] is what a member asks the leader for its own clients: no business of openraft's.
//! * Appends are pipelined: up to 32 are on their way to a member, which takes them in the order in which they left.
//!   Heartbeats have a lane of their own, so that no disk that is slow to sync delays the news that a leader lives.
//! * A link that fails fails whatever was asked over it, and openraft asks anew: everything said here may be said twice.
//!
//! A cluster of one has no peers: [`Alone`] is its network, and whatever is asked of it is unreachable.

mod acknowledged;
mod arriving;
pub(crate) mod asks;
mod incoming;
#[cfg(any(test, feature = "parsers"))]
pub(crate) mod parsers;
mod remote;
mod wire;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use incoming::{Answering, Connection, Peers};
pub(crate) use remote::Remotes;
pub use wire::{PEER_FRAME_BYTES_MAX, WireError, asks_for_vote};
pub(crate) use wire::{ask_of, frame_of, frame_of_said, said_of, says_removed};

/// How members reach each other: it carries frames, and decides nothing.
pub trait Network: Send + Sync + 'static {
    /// A way to one member.
    type Link: Link;

    /// A way to the member of this id, whose peer listener is at `address`. It connects when it is first asked, and again
    /// after it has failed; links to one member share a connection.
    fn link(&self, member: u64, address: &str) -> Self::Link;
}

/// A way to one member.
pub trait Link: Send + Sync + 'static {
    /// Sends a frame behind those that were sent over this link before, and comes back with its answer. Dropped, it takes
    /// nothing back.
    fn ask(&self, frame: Vec<u8>) -> Asked;
}

/// A frame under way, and then its answer.
pub type Asked = Pin<Box<dyn Future<Output = Result<Vec<u8>, Unreached>> + Send>>;

/// Why a frame has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// In words.
    pub why: String,
    /// Whether it may have arrived all the same.
    pub may_have_arrived: bool,
}

impl Unreached {
    /// No byte of the frame has left.
    pub fn never_left(why: impl Into<String>) -> Unreached {
        Unreached { why: why.into(), may_have_arrived: false }
    }

    /// It may have arrived, and its answer been lost.
    pub fn unanswered(why: impl Into<String>) -> Unreached {
        Unreached { why: why.into(), may_have_arrived: true }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unreached {}

/// The network of a cluster of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Network for Alone {
    type Link = Alone;

    fn link(&self, _: u64, _: &str) -> Alone {
        Alone
    }
}

impl Link for Alone {
    fn ask(&self, _: Vec<u8>) -> Asked {
        let why = Unreached::never_left("this member was started without a network");
        Box::pin(std::future::ready(Err(why)))
    }
}
