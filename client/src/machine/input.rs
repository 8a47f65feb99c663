//! All that can happen to a session, and all that it can do.

use std::fmt;
use std::time::Duration;

use crate::{Failure, Instant};

/// What the machine is made with. Nothing in it changes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The endpoints' names, for messages; effects name them by place. At least one.
    pub endpoints: Vec<String>,
    /// How long a session is at another endpoint than the first before it tries to go back: so long to twice as long.
    pub home_after: Duration,
    /// Which life of its holders this session is: random, not zero.
    pub instance: u64,
    /// What its chance is made of.
    pub seed: u64,
    /// What to say in hello; none sends no hello.
    pub agent: Option<String>,
}

/// A call's number; its maker counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A connection's number: an endpoint that is connected to twice has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To be told once a member is reached, or none can be.
    Ready,
    /// A call, answered by a reply.
    Call(api::Call),
}

/// What a caller gets where its call was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A member is reached.
    Ready,
    /// Of claim and extend.
    Granted {
        /// What the member answered.
        grant: api::Grant,
        /// Until when its caller may believe; none where it may not, or not yet.
        safe_until: Option<Instant>,
    },
    /// Of any other call.
    Reply(api::Reply),
    /// Of bulk: an outcome a step, in order.
    Bulk(Vec<Result<Done, Failure>>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A caller wants something.
    Ask {
        /// The call's number.
        op: OpId,
        /// What is wanted.
        ask: Ask,
        /// When the caller stops waiting; none for ever.
        ends: Option<Instant>,
    },
    /// Nobody waits for this call any more: what it wins is to be released.
    Abandon {
        /// The call's number.
        op: OpId,
    },
    /// Nobody took this grant: it is to be released.
    Disown {
        /// The lease's namespace.
        namespace: String,
        /// The lease's name.
        name: String,
        /// The grant's token.
        token: u64,
    },
    /// This grant is to be extended from now on, unasked.
    Keep {
        /// The lease's namespace.
        namespace: String,
        /// The lease's name.
        name: String,
        /// The grant's token.
        token: u64,
    },
    /// A link that the machine had opened is ready.
    Opened {
        /// Which.
        link: LinkId,
    },
    /// A link could not be opened, or is gone.
    Lost {
        /// Which.
        link: LinkId,
        /// Why, in a few words.
        cause: String,
    },
    /// Something came that was no frame, such as a pong: the other side lives.
    Heard {
        /// On which link.
        link: LinkId,
    },
    /// A frame came.
    Answer {
        /// On which link.
        link: LinkId,
        /// The frame.
        frame: api::ServerFrame,
    },
    /// The time that [`Effect::Wake`] named has come.
    Wake,
    /// The session ends: every call is to get its outcome now.
    Close,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect; answered by `Opened` or `Lost`.
    Open {
        /// The new link's number.
        link: LinkId,
        /// The endpoint's place in the list.
        endpoint: usize,
    },
    /// Send a frame. It counts as having left from here on.
    Send {
        /// On which link.
        link: LinkId,
        /// The frame.
        frame: api::ClientFrame,
    },
    /// Send a ping.
    Ping {
        /// On which link.
        link: LinkId,
    },
    /// Close the link; it is heard of no more.
    Close {
        /// Which.
        link: LinkId,
    },
    /// A call has its outcome.
    Done {
        /// The call's number.
        op: OpId,
        /// Its outcome.
        result: Result<Done, Failure>,
    },
    /// A watch saw this. Its outcome, `Watching`, came before.
    Events {
        /// The watch's number.
        op: OpId,
        /// What it saw since the last time, in order.
        events: Vec<api::Event>,
    },
    /// A watch that had begun is over.
    WatchOver {
        /// The watch's number.
        op: OpId,
        /// Why.
        failure: Failure,
    },
    /// The caller may believe in this grant until then; where none, not before an extend.
    Held {
        /// The grant's token.
        token: u64,
        /// Until when.
        until: Option<Instant>,
    },
    /// Belief in this grant will not be renewed: it ends at its time. Said again where more is known of why.
    Doomed {
        /// The grant's token.
        token: u64,
        /// Why it will have ended.
        why: End,
    },
    /// Belief in this grant has ended: for good, but where it has merely expired.
    Over {
        /// The grant's token.
        token: u64,
        /// Why.
        why: End,
    },
    /// Come back with [`Input::Wake`] then; it replaces what was said before.
    Wake(Instant),
}

/// Why belief ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A release or transfer was asked for.
    LetGo,
    /// The cluster said that the grant has ended, or that it may not be extended; the problem says why.
    Lost(api::Problem),
    /// A later grant of the same lease took its place, under this token.
    Replaced(u64),
    /// An operator took it away: it was not to be extended, and its time is over. With the operator's reason, where that
    /// could be learnt.
    Revoked(Option<String>),
    /// Nothing was heard in time. The grant may still stand in the cluster: where an extend or a claim is answered with it,
    /// belief in it begins anew.
    Expired,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Open { link, endpoint } => write!(f, "open link {} to endpoint {endpoint}", link.0),
            Effect::Send { link, frame } => write!(f, "send {} on link {}", frame.id, link.0),
            Effect::Ping { link } => write!(f, "ping link {}", link.0),
            Effect::Close { link } => write!(f, "close link {}", link.0),
            Effect::Done { op, result: Ok(_) } => write!(f, "call {} done", op.0),
            Effect::Done { op, result: Err(failure) } => write!(f, "call {}: {failure}", op.0),
            Effect::Events { op, events } => write!(f, "watch {} saw {} events", op.0, events.len()),
            Effect::WatchOver { op, failure } => write!(f, "watch {} over: {failure}", op.0),
            Effect::Held { token, until: Some(until) } => write!(f, "token {token} held until {until}"),
            Effect::Held { token, until: None } => write!(f, "token {token} granted, to be confirmed"),
            Effect::Doomed { token, why } => write!(f, "token {token} will not be extended: {why}"),
            Effect::Over { token, why } => write!(f, "token {token} over: {why}"),
            Effect::Wake(at) => write!(f, "wake at {at}"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::LetGo => f.write_str("let go"),
            End::Lost(problem) => problem.fmt(f),
            End::Replaced(by) => write!(f, "replaced by {by}"),
            End::Revoked(Some(reason)) => write!(f, "revoked: {reason}"),
            End::Revoked(None) => f.write_str("revoked"),
            End::Expired => f.write_str("nothing was heard in time"),
        }
    }
}
