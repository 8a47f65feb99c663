//! What members ask each other besides Raft, most of it for their clients, and what is said: in bytes.
//!
//! ```text
//! ask      16 commands   count u32, each: deadline u64 ns │ heir u8 │ named │ length u32 │ lease::Request
//!          17 index      nothing more: how far must my state have come for a read that is asked for now?
//!          18 roll       member, life u64 │ desk u32 │ term, opened, heard, from u64 │ count u32, each a change
//!          19 members    deadline u64 ns │ change: members.rs
//!          20 how far    nothing more: how far are you on your way to your first vote?
//!          23 knows      nothing more: which cluster version do you know?
//!          21 lost       index u64: you have acknowledged the log up to there, and lack some of it; answered as 20
//! said     16 answers    count u32, each: length u32 │ answer
//!          17 index      index u64? : none where it does not lead
//!          18 roll       known u8 │ opened, taken, from u64 │ count u32, each a piece of news
//!          19 members    done: members.rs
//!          20 how far    u8: 0 waiting, 1 forming, 2 ready, 3 begun
//!          23 knows      version u32
//!          22 removed    nothing more: an entry that is applied has removed the member that asks; said to whatever it asks
//!
//! named    u8: 0 nothing │ 1 key │ 2 key, instance u64 │ 3 key, holder text │ 4 key, instance u64, holder text
//! key      text namespace, text name; a text is its length as u16, then UTF-8
//! change   1 joins     id u64 │ ticket? │ length u32 │ lease::Request with its claim
//!          2 given up  id u64        3 left  id u64
//! news     1 ticket    id u64 │ ticket
//!          2 answer    id u64 │ length u32 │ answer
//! ticket   term u64 │ number u64
//!
//! answer   1 decided       reading │ lease::Outcome          2 not yours    reading │ whose u8 │ held?: holder text, token u64
//!          3 queued        reading                           4 not waiting  reading        5 replaced  reading
//!          6 unavailable   why u8 │ retry after u64 ns       7 unknown      8 not its turn  reading
//! reading  revision u64 │ lease clock u64 ns
//! ```
//!
//! A thing with `?` has a byte before it that says whether it is there. Little-endian.

mod members;
mod named;

use lease::{Claim, Command, DecodeError, Holder, Key, Name, Outcome, Request};
use lease::{Revision, Time, Token, Ttl};

use named::{named, put_named};

use super::wire::{put_u32, put_u64};
use crate::beginning::Far;
use crate::handle::{Answer, HeirMust, Named, Reading, Unavailable, Whose};
use crate::members::{MemberChange, MemberView, Unchanged};
use crate::queue::Ticket;
use crate::raft::codec::Reader;

/// What a member asks the leader.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    /// To have these commands carried out.
    Commands(Vec<Forwarded>),
    /// How far a state must have come for a read that is asked for now.
    Index,
    /// To keep its waiters in line.
    Roll(Roll),
    /// To change the members, within so long.
    Members(MemberChange, Ttl),
    /// How far it is on its way to its first vote.
    HowFar,
    /// Which cluster version it knows: up to which it reads what comes with it.
    Knows,
    /// It is told that it lacks entries, and had acknowledged all up to this one; and answers as to the one above.
    Lost(u64),
}

/// A command of a member's client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Forwarded {
    pub(crate) request: Request,
    pub(crate) named: Option<Named>,
    pub(crate) heir: HeirMust,
    /// How long its caller waits yet.
    pub(crate) deadline: Ttl,
}

/// What has changed among a member's waiters since the leader last said how much it knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Roll {
    pub(crate) member: u64,
    /// Which life of the member: its numbers begin anew in each.
    pub(crate) life: u64,
    /// Which of its registrations in that life.
    pub(crate) desk: u32,
    /// The leader's term, as the member knows it.
    pub(crate) term: u64,
    /// Which of the leader's desks has answered it before; 0 where none has.
    pub(crate) opened: u64,
    /// All news before this number have come.
    pub(crate) heard: u64,
    /// The number of the first change.
    pub(crate) from: u64,
    pub(crate) changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The acquire of that number, at the place in line that an earlier leader gave it.
    Joins { id: u64, claim: Claim, ticket: Option<Ticket> },
    /// It is to be answered no more.
    GivenUp(u64),
    /// Its connection is gone.
    Left(u64),
}

/// What the leader answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Answers(Vec<Answer>),
    Index(Option<u64>),
    Roll(Heard),
    Members(Result<Vec<MemberView>, Unchanged>),
    HowFar(Far),
    Knows(u32),
    /// Whoever asks was removed, by an entry that is applied where it asks: no answer to what it asked.
    Removed,
}

/// What a member is told of its waiters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    /// Whether this leader has the registration; where not, it is to be made anew.
    pub(crate) known: bool,
    /// Which desk this is, of those that the leader has opened: one that it has forgotten is not the one it opens anew.
    pub(crate) opened: u64,
    /// All changes before this number were taken in.
    pub(crate) taken: u64,
    /// The number of the first piece of news.
    pub(crate) from: u64,
    pub(crate) news: Vec<News>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    /// It waits in line, at this place.
    Ticket(u64, Ticket),
    /// It is answered.
    Answer(u64, Answer),
}

const COMMANDS: u8 = 16;
const INDEX: u8 = 17;
const ROLL: u8 = 18;
const MEMBERS: u8 = 19;
const HOW_FAR: u8 = 20;
const LOST: u8 = 21;
const REMOVED: u8 = 22;
const KNOWS: u8 = 23;

impl Ask {
    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        match self {
            Ask::Commands(commands) => {
                to.push(COMMANDS);
                put_u32(commands.len(), to);
                commands.iter().for_each(|command| put_forwarded(command, to));
            }
            Ask::Index => to.push(INDEX),
            Ask::Roll(roll) => {
                to.push(ROLL);
                put_u64(roll.member, to);
                put_u64(roll.life, to);
                put_u32(roll.desk as usize, to);
                [roll.term, roll.opened, roll.heard, roll.from]
                    .into_iter()
                    .for_each(|number| put_u64(number, to));
                put_u32(roll.changes.len(), to);
                roll.changes.iter().for_each(|change| put_change(change, to));
            }
            Ask::Members(change, deadline) => {
                to.push(MEMBERS);
                put_u64(deadline.as_nanos(), to);
                members::put_change(change, to);
            }
            Ask::HowFar => to.push(HOW_FAR),
            Ask::Knows => to.push(KNOWS),
            Ask::Lost(had) => {
                to.push(LOST);
                put_u64(*had, to);
            }
        }
    }

    /// Reads an ask of this kind; none where there is no such kind.
    pub(crate) fn read(kind: u8, from: &mut Reader<'_>) -> Result<Option<Ask>, DecodeError> {
        Ok(Some(match kind {
            COMMANDS => Ask::Commands(many(from, forwarded)?),
            INDEX => Ask::Index,
            ROLL => Ask::Roll(Roll {
                member: from.u64()?,
                life: from.u64()?,
                desk: from.u32()?,
                term: from.u64()?,
                opened: from.u64()?,
                heard: from.u64()?,
                from: from.u64()?,
                changes: many(from, change)?,
            }),
            MEMBERS => {
                let deadline = Ttl::from_nanos(from.u64()?);
                Ask::Members(members::change(from)?, deadline)
            }
            HOW_FAR => Ask::HowFar,
            KNOWS => Ask::Knows,
            LOST => Ask::Lost(from.u64()?),
            _ => return Ok(None),
        }))
    }
}

impl Said {
    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        match self {
            Said::Answers(answers) => {
                to.push(COMMANDS);
                put_u32(answers.len(), to);
                answers.iter().for_each(|answer| put_sized(to, |to| put_answer(answer, to)));
            }
            Said::Index(index) => {
                to.push(INDEX);
                put_option(index.as_ref(), to, |index, to| put_u64(*index, to));
            }
            Said::Roll(heard) => {
                to.push(ROLL);
                to.push(u8::from(heard.known));
                [heard.opened, heard.taken, heard.from].into_iter().for_each(|number| put_u64(number, to));
                put_u32(heard.news.len(), to);
                heard.news.iter().for_each(|news| put_news(news, to));
            }
            Said::Members(done) => {
                to.push(MEMBERS);
                members::put_done(done, to);
            }
            Said::HowFar(far) => to.extend([HOW_FAR, far.number()]),
            Said::Knows(version) => {
                to.push(KNOWS);
                to.extend(version.to_le_bytes());
            }
            Said::Removed => to.push(REMOVED),
        }
    }

    /// Reads what was said, of this kind; none where there is no such kind.
    pub(crate) fn read(kind: u8, from: &mut Reader<'_>) -> Result<Option<Said>, DecodeError> {
        Ok(Some(match kind {
            COMMANDS => Said::Answers(many(from, |from| sized(from, answer))?),
            INDEX => Said::Index(option(from, |from| from.u64())?),
            ROLL => Said::Roll(Heard {
                known: from.flag()?,
                opened: from.u64()?,
                taken: from.u64()?,
                from: from.u64()?,
                news: many(from, news)?,
            }),
            MEMBERS => Said::Members(members::done(from)?),
            HOW_FAR => Said::HowFar(Far::numbered(from.u8()?).ok_or_else(|| from.damaged())?),
            KNOWS => Said::Knows(from.u32()?),
            REMOVED => Said::Removed,
            _ => return Ok(None),
        }))
    }
}

fn put_forwarded(command: &Forwarded, to: &mut Vec<u8>) {
    put_u64(command.deadline.as_nanos(), to);
    to.push(u8::from(command.heir == HeirMust::Claim));
    put_named(command.named.as_ref(), to);
    put_sized(to, |to| command.request.encode(to));
}

fn forwarded(from: &mut Reader<'_>) -> Result<Forwarded, DecodeError> {
    let deadline = Ttl::from_nanos(from.u64()?);
    let heir = if from.flag()? { HeirMust::Claim } else { HeirMust::Wait };
    let named = named(from)?;
    let length = from.u32()? as usize;
    Ok(Forwarded { request: Request::decode(from.take(length)?)?, named, heir, deadline })
}

fn put_change(change: &Change, to: &mut Vec<u8>) {
    match change {
        Change::Joins { id, claim, ticket } => {
            to.push(1);
            put_u64(*id, to);
            put_option(ticket.as_ref(), to, put_ticket);
            let request = Request { not_after: None, command: Command::Claim(claim.clone()) };
            put_sized(to, |to| request.encode(to));
        }
        Change::GivenUp(id) => {
            to.push(2);
            put_u64(*id, to);
        }
        Change::Left(id) => {
            to.push(3);
            put_u64(*id, to);
        }
    }
}

fn change(from: &mut Reader<'_>) -> Result<Change, DecodeError> {
    let (kind, id) = (from.u8()?, from.u64()?);
    Ok(match kind {
        1 => {
            let ticket = option(from, ticket)?;
            let length = from.u32()? as usize;
            match Request::decode(from.take(length)?)? {
                Request { not_after: None, command: Command::Claim(claim) } => {
                    Change::Joins { id, claim, ticket }
                }
                _ => return Err(from.damaged()),
            }
        }
        2 => Change::GivenUp(id),
        3 => Change::Left(id),
        _ => return Err(from.damaged()),
    })
}

fn put_news(news: &News, to: &mut Vec<u8>) {
    match news {
        News::Ticket(id, ticket) => {
            to.push(1);
            put_u64(*id, to);
            put_ticket(ticket, to);
        }
        News::Answer(id, answer) => {
            to.push(2);
            put_u64(*id, to);
            put_sized(to, |to| put_answer(answer, to));
        }
    }
}

fn news(from: &mut Reader<'_>) -> Result<News, DecodeError> {
    let (kind, id) = (from.u8()?, from.u64()?);
    Ok(match kind {
        1 => News::Ticket(id, ticket(from)?),
        2 => News::Answer(id, sized(from, answer)?),
        _ => return Err(from.damaged()),
    })
}

fn put_answer(answer: &Answer, to: &mut Vec<u8>) {
    match answer {
        Answer::Decided { outcome, at } => {
            put_reading(1, at, to);
            outcome.encode(to);
        }
        Answer::NotYours { whose, held, at } => {
            put_reading(2, at, to);
            to.push(u8::from(*whose == Whose::AnotherInstances));
            put_option(held.as_ref(), to, |(holder, token), to| {
                put_text(holder.as_str(), to);
                put_u64(token.as_u64(), to);
            });
        }
        Answer::Queued { at } => put_reading(3, at, to),
        Answer::NotWaiting { at } => put_reading(4, at, to),
        Answer::Replaced { at } => put_reading(5, at, to),
        // It is of this member alone that an acquire was not begun here: others are told the rest of it.
        Answer::Unavailable(why) | Answer::NotBegun(why) => {
            to.push(6);
            let (why, retry_after) = match why {
                Unavailable::Overloaded { retry_after } => (0, *retry_after),
                Unavailable::NoLeader => (1, Ttl::ZERO),
                // Only a leader is asked; what is neither is told as what older members know.
                Unavailable::Behind | Unavailable::Unanswered => (2, Ttl::ZERO),
                Unavailable::Stopping => (3, Ttl::ZERO),
                Unavailable::DiskFull => (4, Ttl::ZERO),
                Unavailable::DiskStalled => (5, Ttl::ZERO),
            };
            to.push(why);
            put_u64(retry_after.as_nanos(), to);
        }
        Answer::Unknown => to.push(7),
        Answer::NotItsTurn { at } => put_reading(8, at, to),
    }
}

/// An answer that fills what it is read from.
fn answer(mut from: Reader<'_>) -> Result<Answer, DecodeError> {
    let kind = from.u8()?;
    let answer = match kind {
        1 => Answer::Decided { at: reading(&mut from)?, outcome: Outcome::decode(from.rest())? },
        2 => {
            let at = reading(&mut from)?;
            let whose = if from.flag()? { Whose::AnotherInstances } else { Whose::AnotherLeases };
            let held =
                option(&mut from, |from| Ok((text(from, Holder::parse)?, Token::from_u64(from.u64()?))))?;
            Answer::NotYours { whose, held, at }
        }
        3 => Answer::Queued { at: reading(&mut from)? },
        4 => Answer::NotWaiting { at: reading(&mut from)? },
        5 => Answer::Replaced { at: reading(&mut from)? },
        8 => Answer::NotItsTurn { at: reading(&mut from)? },
        6 => {
            let (why, retry_after) = (from.u8()?, Ttl::from_nanos(from.u64()?));
            Answer::Unavailable(match why {
                0 => Unavailable::Overloaded { retry_after },
                _ if retry_after > Ttl::ZERO => return Err(from.damaged()),
                1 => Unavailable::NoLeader,
                2 => Unavailable::Behind,
                3 => Unavailable::Stopping,
                4 => Unavailable::DiskFull,
                5 => Unavailable::DiskStalled,
                _ => return Err(from.damaged()),
            })
        }
        7 => Answer::Unknown,
        _ => return Err(from.damaged()),
    };
    if from.is_at_end() { Ok(answer) } else { Err(from.damaged()) }
}

fn put_reading(kind: u8, at: &Reading, to: &mut Vec<u8>) {
    to.push(kind);
    put_u64(at.revision.0, to);
    put_u64(at.now.as_nanos(), to);
}

fn reading(from: &mut Reader<'_>) -> Result<Reading, DecodeError> {
    Ok(Reading { revision: Revision(from.u64()?), now: Time::from_nanos(from.u64()?) })
}

fn put_ticket(ticket: &Ticket, to: &mut Vec<u8>) {
    put_u64(ticket.term, to);
    put_u64(ticket.number, to);
}

fn ticket(from: &mut Reader<'_>) -> Result<Ticket, DecodeError> {
    Ok(Ticket { term: from.u64()?, number: from.u64()? })
}

fn put_key(key: &Key, to: &mut Vec<u8>) {
    put_text(key.namespace.as_str(), to);
    put_text(key.name.as_str(), to);
}

fn key(from: &mut Reader<'_>) -> Result<Key, DecodeError> {
    Ok(Key { namespace: from.namespace()?, name: text(from, Name::parse)? })
}

// What a text holds was parsed, and is far shorter than 64 KiB.
fn put_text(text: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(&(text.len() as u16).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

fn text<T, E>(from: &mut Reader<'_>, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, DecodeError> {
    let length = usize::from(from.u16()?);
    let text = std::str::from_utf8(from.take(length)?).map_err(|_| from.damaged())?;
    parse(text).map_err(|_| from.damaged())
}

fn put_option<T>(thing: Option<&T>, to: &mut Vec<u8>, put: impl Fn(&T, &mut Vec<u8>)) {
    to.push(u8::from(thing.is_some()));
    thing.into_iter().for_each(|thing| put(thing, to));
}

fn option<T>(
    from: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if from.flag()? { read(from).map(Some) } else { Ok(None) }
}

/// Puts a thing's length in front of it.
fn put_sized(to: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = to.len();
    put_u32(0, to);
    put(to);
    let length = (to.len() - at - 4) as u32;
    to[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn sized<T>(
    from: &mut Reader<'_>,
    read: impl Fn(Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let length = from.u32()? as usize;
    read(Reader::new(from.take(length)?, "an answer from a peer"))
}

/// So many things: nothing is allocated that the bytes do not fill.
fn many<T>(
    from: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut things = Vec::new();
    for _ in 0..from.u32()? {
        things.push(read(from)?);
    }
    Ok(things)
}

#[cfg(test)]
pub(super) mod tests;
