//! What is written down while a cluster is tortured: one record for each thing that happened, all on one clock.
//!
//! ```text
//!   client    invoke ───────────▶ return          a call, and what its caller was told
//!             believe … believe ▶ doubt           from when to when it took itself for the holder, by its own `until`
//!   member    event                               a change of a lease, as a watch through that member saw it
//!             leader, member                      who led, and how far each was
//!   nemesis   fault on ─────────▶ fault off
//! ```
//!
//! The clock is true time: CLOCK_MONOTONIC in nanoseconds, which all processes and network namespaces of one machine
//! share. Who is given a faked clock does not write its readings down here.
//!
//! What each record must obey, so that the checker neither cries wolf nor sleeps:
//! * An invoke is stamped before the call is made, a return after it came.
//! * A belief is stamped after it was seen to be true; its `until` is never later than when its client stops believing
//!   without further news. A doubt is stamped when belief was last seen to be true, or before the release is sent.
//! * An event is stamped after the watch gave it.
//! * The lease that a call concerns is one word, and the holder of a grant is its client: one name for both, and a client that
//!   is started anew has a new name.

mod lines;

use serde::{Deserialize, Serialize};

pub use lines::{BadLine, read, write};

/// Nanoseconds of true time.
pub type Nanos = u64;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in nanoseconds of true time.
    pub at: Nanos,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// All that can stand in a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A client makes a call.
    Invoke(Invoke),
    /// A client is told what its call came to.
    Return(Return),
    /// A client believes that it holds a lease, or believes it for longer than it did.
    Believe(Believe),
    /// A client's belief has ended before the time that it last gave.
    Doubt(Doubt),
    /// A client's process is gone: its open calls are answered no more.
    Gone(Gone),
    /// A watch saw a change.
    Event(Event),
    /// A resource that fences was written to.
    Fenced(Fenced),
    /// A member leads.
    Leader(Leader),
    /// How a member is.
    Member(Member),
    /// A fault begins or ends.
    Fault(Fault),
    /// An operator recovered the cluster by hand: grants may have been forgotten.
    Recovered(Recovered),
}

/// A call on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoke {
    /// The call's number, unique in the history.
    pub op: u64,
    /// Who calls.
    pub client: String,
    /// Which lease it concerns.
    pub lease: String,
    /// The only member that it is sent to, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// What is asked for.
    pub call: Call,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// To hold it, if it is free.
    Claim {
        /// For how long.
        ttl_ms: u64,
    },
    /// To hold it, in its turn.
    Acquire {
        /// For how long.
        ttl_ms: u64,
    },
    /// To hold it for longer.
    Extend {
        /// By which grant.
        token: u64,
        /// For how long from now.
        ttl_ms: u64,
    },
    /// To end a grant.
    Release {
        /// Which.
        token: u64,
    },
    /// To hand a grant on.
    Transfer {
        /// Which.
        token: u64,
    },
    /// An operator takes a grant away.
    Revoke {
        /// Which.
        token: u64,
        /// At once, though its holder may still believe.
        now: bool,
    },
    /// To be told once it is free.
    Wait {
        /// From no state older than this revision.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// For how long at most.
        timeout_ms: u64,
    },
    /// To see who holds it.
    Get,
}

/// A call that is over for its caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// The call's number.
    pub op: u64,
    /// What it came to.
    pub answer: Answer,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of claim, acquire and extend: granted.
    Granted {
        /// Under this token.
        token: u64,
    },
    /// Of release, transfer and revoke: done.
    Done,
    /// Of wait: it was free.
    Free {
        /// At this revision.
        revision: u64,
    },
    /// Of get.
    Seen {
        /// The token of its living grant; none where it was free.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<u64>,
        /// In the state of this revision.
        revision: u64,
    },
    /// It is decided, and the answer is no.
    Refused {
        /// Why, in a word: `held`, `lost`, `still_held` and so on.
        code: String,
        /// The token of the living grant that is in the way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<u64>,
    },
    /// Surely not done.
    Unavailable {
        /// Why, for people.
        why: String,
    },
    /// It may have happened, or may yet.
    Unknown,
}

/// A client takes itself for the holder from the record's time on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Believe {
    /// Who.
    pub client: String,
    /// Of which lease.
    pub lease: String,
    /// By which grant.
    pub token: u64,
    /// Until when without further news, in nanoseconds of true time.
    pub until: Nanos,
    /// How long the grant lasts.
    pub ttl_ms: u64,
    /// Whether its client goes on extending it unasked.
    pub kept: bool,
}

/// A client does not take itself for the holder any more, since the record's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Who.
    pub client: String,
    /// Of which lease.
    pub lease: String,
    /// By which grant.
    pub token: u64,
    /// Why, in a word: `released` where the client gave it up, `expired` where nothing was heard in time, `ended` where the
    /// cluster said so.
    pub why: String,
}

/// A client that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Who.
    pub client: String,
}

/// A change of a lease in the cluster's log, as one member showed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Through which member it was seen.
    pub member: u64,
    /// In which watch of that member: a watch begun anew where another ended is the same one.
    pub watch: u64,
    /// Its number in the cluster.
    pub revision: u64,
    /// Which lease changed.
    pub lease: String,
    /// How.
    pub change: Change,
}

/// How a lease changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was granted.
    Granted {
        /// Under this token.
        token: u64,
        /// To this client.
        holder: String,
        /// Whether its holder may believe in it yet.
        confirmed: bool,
    },
    /// A grant that came by waiting was taken up.
    Confirmed {
        /// Which.
        token: u64,
    },
    /// A grant ended.
    Ended {
        /// Which.
        token: u64,
        /// How: `expired`, `unconfirmed`, `released`, `transferred`, `revoked` or `restored`.
        why: String,
    },
    /// Something that changes nobody's holding.
    Other,
}

/// A write to a resource that fences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// Who wrote.
    pub client: String,
    /// Which lease protects the resource.
    pub lease: String,
    /// The token that was shown.
    pub token: u64,
    /// Whether the resource took it.
    pub accepted: bool,
}

/// A member that leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Which.
    pub member: u64,
    /// In which term.
    pub term: u64,
}

/// How a member is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which.
    pub member: u64,
    /// Whether it says that it serves and votes.
    pub ready: bool,
    /// The revision of its applied state.
    pub revision: u64,
}

/// A fault that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its number, unique in the history.
    pub fault: u64,
    /// What kind: the nemesis's name.
    pub kind: String,
    /// What it hits, for people.
    pub target: String,
    /// Whether it begins.
    pub on: bool,
    /// Whether it makes some clock err by more than promised: then nobody's belief is promised to be exclusive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub beyond_rho: bool,
}

/// A recovery by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Which: `restore`, `sole_survivor` or `torn_tail`.
    pub how: String,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
