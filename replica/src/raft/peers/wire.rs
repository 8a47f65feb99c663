//! What members say to each other, in our own bytes.
//!
//! ```text
//! frame     version u8 │ group u16 │ kind u8 │ body
//!
//! request   1 append     lane u8 │ vote │ previous id? │ committed id? │ entries u32, each: id │ length u32 │ payload
//!           2 vote       vote │ last id? │ handed on u8
//!           3 pre-vote   as a vote: would you?
//!           4 lead       vote │ to u64 │ last id?                     the leader hands on
//!           5 piece      vote │ last id? │ total u64 │ offset u64 │ bytes to the end           of a snapshot
//!          16 and on     asks.rs: for the member's clients
//! reply     1 appended   last id?        2 conflict  id             3 higher    vote
//!           4 vote       vote │ granted u8 │ last id?
//!           5 leads      nothing more        6 does not    text: why
//!           7 have       offset u64: the piece to go on with        8 installed  vote
//!           9 not now    text: ask again later                16 and on     asks.rs
//!
//! vote      term u64 │ member u64 │ committed u8
//! id        term u64 │ index u64; id? has a byte before it that says whether there is one
//! payload   raft/codec.rs
//! ```
//!
//! Little-endian. A frame of another version is refused with both numbers, before anything else in it is read.

use openraft::async_runtime::AsyncRuntime;
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};

use super::asks::{Ask, Said};
use crate::raft::ENTRIES_MAX;
use crate::raft::codec::{Reader, decode_payload, encode_payload};
use crate::raft::types::{CommittedLeaderId, Entry, LeaderId, LogId, Types, Vote};

pub(crate) const VERSION: u8 = 1;
const GROUP: u16 = 0;

/// The longest frame between members: the most entries that go out at once, or a piece of a snapshot, with room to spare.
pub const PEER_FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

const _: () = assert!(
    2 * ENTRIES_MAX as usize * lease::BATCH_BYTES_SEAL <= PEER_FRAME_BYTES_MAX,
    "the entries of one append must fit into a frame, also where each is sealed a little late"
);

/// Appends of one lane are taken in the order in which they were sent; a lane waits for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Entries, each answered once it is synced.
    Entries,
    /// Heartbeats, which must not wait behind those.
    Heartbeats,
}

/// What one member asks of another.
#[derive(Debug)]
pub(crate) enum Request<R: AsyncRuntime> {
    Append(Lane, AppendEntriesRequest<Types<R>>),
    Vote(VoteRequest<Types<R>>),
    PreVote(VoteRequest<Types<R>>),
    Lead(TransferLeaderRequest<Types<R>>),
    Piece(Piece),
    Ask(Ask),
}

/// A part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The sender's, as the leader.
    pub(crate) vote: Vote,
    /// The last entry that the snapshot has.
    pub(crate) last: Option<LogId>,
    /// How many bytes the snapshot has.
    pub(crate) total: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What it is answered.
#[derive(Debug)]
pub(crate) enum Reply<R: AsyncRuntime> {
    Appended(StreamAppendResult<Types<R>>),
    Vote(VoteResponse<Types<R>>),
    /// It takes the lead on, or why it does not: in words.
    Lead(Result<(), String>),
    Have(u64),
    Installed(SnapshotResponse<Types<R>>),
    NotNow(String),
    Said(Said),
}

/// Why a frame cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// It is in another version of what members say to each other.
    Version {
        /// The frame's.
        theirs: u8,
        /// This program's.
        ours: u8,
    },
    /// It is longer than [`PEER_FRAME_BYTES_MAX`].
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// It does not fit its own form.
    Damaged(lease::DecodeError),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WireError::Version { theirs, ours } => write!(
                f,
                "a frame in version {theirs} of the peers' protocol, and this program speaks {ours}: upgrade the older one"
            ),
            WireError::TooLong { bytes } => {
                write!(f, "a frame of {bytes} bytes from a peer; the limit is {PEER_FRAME_BYTES_MAX}")
            }
            WireError::Damaged(error) => write!(f, "a frame from a peer cannot be read: {error}"),
        }
    }
}

impl std::error::Error for WireError {}

impl From<lease::DecodeError> for WireError {
    fn from(error: lease::DecodeError) -> WireError {
        WireError::Damaged(error)
    }
}

impl<R: AsyncRuntime> Request<R> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = frame();
        match self {
            Request::Append(lane, append) => {
                to.push(1);
                to.push(*lane as u8);
                put_vote(&append.vote, &mut to);
                put_id(append.prev_log_id.as_ref(), &mut to);
                put_id(append.leader_commit.as_ref(), &mut to);
                put_u32(append.entries.len(), &mut to);
                for entry in &append.entries {
                    put_entry(entry, &mut to);
                }
            }
            Request::Vote(vote) => put_ask(2, vote, &mut to),
            Request::PreVote(vote) => put_ask(3, vote, &mut to),
            Request::Lead(lead) => {
                to.push(4);
                put_vote(lead.from_leader(), &mut to);
                put_u64(*lead.to_node_id(), &mut to);
                put_id(lead.last_log_id(), &mut to);
            }
            Request::Piece(piece) => {
                to.push(5);
                put_vote(&piece.vote, &mut to);
                put_id(piece.last.as_ref(), &mut to);
                put_u64(piece.total, &mut to);
                put_u64(piece.offset, &mut to);
                to.extend_from_slice(&piece.bytes);
            }
            Request::Ask(ask) => ask.put(&mut to),
        }
        to
    }

    /// # Errors
    /// [`WireError`]; nothing is allocated that the frame's own bytes do not fill.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Request<R>, WireError> {
        let mut from = opened(bytes)?;
        let request = match from.u8()? {
            1 => {
                let lane = match from.u8()? {
                    0 => Lane::Entries,
                    1 => Lane::Heartbeats,
                    _ => return Err(from.damaged().into()),
                };
                let (vote, prev_log_id, leader_commit) = (vote(&mut from)?, id(&mut from)?, id(&mut from)?);
                let entries = entries(&mut from)?;
                Request::Append(lane, AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
            }
            2 => Request::Vote(ask(&mut from)?),
            3 => Request::PreVote(ask(&mut from)?),
            4 => {
                let (vote, to) = (vote(&mut from)?, from.u64()?);
                Request::Lead(TransferLeaderRequest::new(vote, to, id(&mut from)?))
            }
            5 => Request::Piece(Piece {
                vote: vote(&mut from)?,
                last: id(&mut from)?,
                total: from.u64()?,
                offset: from.u64()?,
                bytes: from.rest().to_vec(),
            }),
            kind => Request::Ask(Ask::read(kind, &mut from)?.ok_or_else(|| from.damaged())?),
        };
        closed(&from)?;
        Ok(request)
    }
}

impl<R: AsyncRuntime> Reply<R> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = frame();
        match self {
            Reply::Appended(Ok(last)) => {
                to.push(1);
                put_id(last.as_ref(), &mut to);
            }
            Reply::Appended(Err(StreamAppendError::Conflict(at))) => {
                to.push(2);
                put_id(Some(at), &mut to);
            }
            Reply::Appended(Err(StreamAppendError::HigherVote(vote))) => {
                to.push(3);
                put_vote(vote, &mut to);
            }
            Reply::Vote(answer) => {
                to.push(4);
                put_vote(&answer.vote, &mut to);
                to.push(u8::from(answer.vote_granted));
                put_id(answer.last_log_id.as_ref(), &mut to);
            }
            Reply::Lead(Ok(())) => to.push(5),
            Reply::Lead(Err(why)) => {
                to.push(6);
                to.extend_from_slice(why.as_bytes());
            }
            Reply::Have(offset) => {
                to.push(7);
                put_u64(*offset, &mut to);
            }
            Reply::Installed(answer) => {
                to.push(8);
                put_vote(&answer.vote, &mut to);
            }
            Reply::NotNow(why) => {
                to.push(9);
                to.extend_from_slice(why.as_bytes());
            }
            Reply::Said(said) => said.put(&mut to),
        }
        to
    }

    /// # Errors
    /// [`WireError`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Reply<R>, WireError> {
        let mut from = opened(bytes)?;
        let reply = match from.u8()? {
            1 => Reply::Appended(Ok(id(&mut from)?)),
            2 => match id(&mut from)? {
                Some(at) => Reply::Appended(Err(StreamAppendError::Conflict(at))),
                None => return Err(from.damaged().into()),
            },
            3 => Reply::Appended(Err(StreamAppendError::HigherVote(vote(&mut from)?))),
            4 => {
                let (vote, granted) = (vote(&mut from)?, from.flag()?);
                Reply::Vote(VoteResponse::new(vote, id(&mut from)?, granted))
            }
            5 => Reply::Lead(Ok(())),
            6 => Reply::Lead(Err(text(&mut from)?)),
            7 => Reply::Have(from.u64()?),
            8 => Reply::Installed(SnapshotResponse::new(vote(&mut from)?)),
            9 => Reply::NotNow(text(&mut from)?),
            kind => Reply::Said(Said::read(kind, &mut from)?.ok_or_else(|| from.damaged())?),
        };
        closed(&from)?;
        Ok(reply)
    }
}

/// An ask as a frame.
pub(crate) fn frame_of(ask: &Ask) -> Vec<u8> {
    let mut to = frame();
    ask.put(&mut to);
    to
}

/// The ask that a frame is.
///
/// # Errors
/// [`WireError`], also where it is something else.
pub(crate) fn ask_of(bytes: &[u8]) -> Result<Ask, WireError> {
    let mut from = opened(bytes)?;
    let kind = from.u8()?;
    let ask = Ask::read(kind, &mut from)?.ok_or_else(|| from.damaged())?;
    closed(&from)?;
    Ok(ask)
}

/// Whether a frame asks for a vote that counts, which a pre-vote does not.
pub fn asks_for_vote(bytes: &[u8]) -> bool {
    opened(bytes).is_ok_and(|mut from| matches!(from.u8(), Ok(2)))
}

/// Whether an answer says that the asker was removed.
pub(crate) fn says_removed(bytes: &[u8]) -> bool {
    matches!(said_of(bytes), Ok(Said::Removed))
}

/// What was said, as a frame.
pub(crate) fn frame_of_said(said: &Said) -> Vec<u8> {
    let mut to = frame();
    said.put(&mut to);
    to
}

/// What an answering frame says.
///
/// # Errors
/// [`WireError`], also where it is something else.
pub(crate) fn said_of(bytes: &[u8]) -> Result<Said, WireError> {
    let mut from = opened(bytes)?;
    let kind = from.u8()?;
    let said = Said::read(kind, &mut from)?.ok_or_else(|| from.damaged())?;
    closed(&from)?;
    Ok(said)
}

fn frame() -> Vec<u8> {
    let mut to = vec![VERSION];
    to.extend_from_slice(&GROUP.to_le_bytes());
    to
}

fn opened(bytes: &[u8]) -> Result<Reader<'_>, WireError> {
    if bytes.len() > PEER_FRAME_BYTES_MAX {
        return Err(WireError::TooLong { bytes: bytes.len() });
    }
    let mut from = Reader::new(bytes, "a frame from a peer");
    let theirs = from.u8()?;
    if theirs != VERSION {
        return Err(WireError::Version { theirs, ours: VERSION });
    }
    // One group, until there are more.
    if from.u16()? != GROUP {
        return Err(from.damaged().into());
    }
    Ok(from)
}

fn closed(from: &Reader<'_>) -> Result<(), WireError> {
    if from.is_at_end() { Ok(()) } else { Err(from.damaged().into()) }
}

fn text(from: &mut Reader<'_>) -> Result<String, WireError> {
    let text = std::str::from_utf8(from.rest());
    text.map(str::to_owned).map_err(|_| from.damaged().into())
}

fn put_ask<R: AsyncRuntime>(kind: u8, ask: &VoteRequest<Types<R>>, to: &mut Vec<u8>) {
    to.push(kind);
    put_vote(&ask.vote, to);
    put_id(ask.last_log_id.as_ref(), to);
    to.push(u8::from(ask.leadership_transfer));
}

fn ask<R: AsyncRuntime>(from: &mut Reader<'_>) -> Result<VoteRequest<Types<R>>, WireError> {
    let (vote, last_log_id) = (vote(from)?, id(from)?);
    Ok(VoteRequest { vote, last_log_id, leadership_transfer: from.flag()? })
}

fn put_vote(vote: &Vote, to: &mut Vec<u8>) {
    put_u64(vote.leader_id.term, to);
    put_u64(vote.leader_id.voted_for, to);
    to.push(u8::from(vote.committed));
}

fn vote(from: &mut Reader<'_>) -> Result<Vote, WireError> {
    let leader_id = LeaderId { term: from.u64()?, voted_for: from.u64()? };
    Ok(Vote { leader_id, committed: from.flag()? })
}

fn put_id(id: Option<&LogId>, to: &mut Vec<u8>) {
    to.push(u8::from(id.is_some()));
    if let Some(id) = id {
        put_u64(id.leader_id.term, to);
        put_u64(id.index, to);
    }
}

fn id(from: &mut Reader<'_>) -> Result<Option<LogId>, WireError> {
    Ok(if from.flag()? { Some(some_id(from)?) } else { None })
}

fn some_id(from: &mut Reader<'_>) -> Result<LogId, WireError> {
    let term = from.u64()?;
    Ok(LogId::new(CommittedLeaderId::new(term), from.u64()?))
}

fn put_entry(entry: &Entry, to: &mut Vec<u8>) {
    put_u64(entry.log_id.leader_id.term, to);
    put_u64(entry.log_id.index, to);
    let at = to.len();
    put_u32(0, to);
    encode_payload(&entry.payload, to);
    let length = (to.len() - at - 4) as u32;
    to[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn entries(from: &mut Reader<'_>) -> Result<Vec<Entry>, WireError> {
    let mut entries = Vec::new();
    for _ in 0..from.u32()? {
        let log_id = some_id(from)?;
        let length = from.u32()? as usize;
        entries.push(Entry { log_id, payload: decode_payload(from.take(length)?)? });
    }
    Ok(entries)
}

pub(super) fn put_u64(number: u64, to: &mut Vec<u8>) {
    to.extend_from_slice(&number.to_le_bytes());
}

// Counts and lengths here are bounded by what one frame holds.
pub(super) fn put_u32(number: usize, to: &mut Vec<u8>) {
    debug_assert!(u32::try_from(number).is_ok(), "{number} does not fit into a frame");
    to.extend_from_slice(&(number as u32).to_le_bytes());
}

#[cfg(test)]
mod tests;
