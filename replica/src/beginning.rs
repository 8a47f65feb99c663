//! How a member gets from an empty folder to its first vote.
//!
//! ```text
//!  first voters  forming ──every other one forms, too──▶ ready ─all others are, or one begun─▶ begun
//!                   │                                      ▲                                   ▲
//!                   │ another has begun: lost              └── a mark on the disk ──┐          │
//!  added         waiting ──it has all that the cluster has, as an observer──────────┴──────────┘
//!                   │ it is a voter already: lost
//! ```
//!
//! A voter that has lost its folder may have voted, and acknowledged entries, and knows of neither: if it took part again, what the
//! cluster has acknowledged could be lost, or two could lead in one term. So before its first vote a member's folder bears a mark,
//! which is made only where it cannot have voted before:
//!
//! * A first voter makes it once every other first voter has said, since this one started, that it has not begun; and nobody
//!   begins before all the others bear the mark. So whoever finds another begun and has no mark is not the folder that was there.
//!   Were this one's lost and another's too, both at once while they form, nobody could tell.
//! * A member that was added makes it once it has all that was committed when it looked, in the term of a leader that has committed
//!   something in it, and is an observer by that. A voter is asked whether it bears the mark before it is made one. So whoever is a
//!   voter and has no mark is not the folder that was there.
//!
//! Without the mark a member gives no vote and asks for none. Once it is there, the log must be there too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::AsyncRuntime;

use crate::raft::asks::{Ask, Said};
use crate::raft::{Peer, Place, Raft, frame_of, said_of};
use crate::shared::Shared;
use crate::{First, StartError, World};

/// How often the other voters are asked, and how often it is looked whether a member is in step.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is said who is waited for.
const SAY_EVERY: u32 = 100;

/// Makes the mark durable: from now on this member may vote, and must have its log. It blocks.
pub type OnBegun = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// How far a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Far {
    /// It votes.
    #[default]
    Begun,
    /// It bears the mark, and waits until all first voters do.
    Ready,
    /// It waits for the other first voters.
    Forming,
    /// It was added, or will be, and is not in step yet.
    Waiting,
}

impl Far {
    const NUMBERED: [Far; 4] = [Far::Waiting, Far::Forming, Far::Ready, Far::Begun];

    /// Its number on the wire.
    pub(crate) fn number(self) -> u8 {
        Far::NUMBERED.iter().zip(0..).find_map(|(far, at)| (*far == self).then_some(at)).unwrap_or_default()
    }

    /// What has that number.
    pub(crate) fn numbered(number: u8) -> Option<Far> {
        Far::NUMBERED.get(usize::from(number)).copied()
    }
}

/// Has a member begin, or go on where it was.
pub(crate) async fn begin<W: World>(
    raft: &Raft<W>,
    (me, begun): (u64, bool),
    first: First,
    mark: OnBegun,
) -> Result<(), StartError> {
    let has_members = raft.has_members().await?;
    let shared = raft.shared();
    let at_once = |why: String| StartError::Engine(why);
    match (has_members, begun, first) {
        (true, true, _) => {}
        // Whoever has members and no mark was fed by a leader, whatever its configuration says now: a mark comes before a first entry.
        (true, false, _) | (false, _, First::Added) => {
            shared.set_far(Far::Waiting);
            spawn::<W>(&shared, wait(raft.clone(), me, mark));
            return Ok(());
        }
        (false, _, First::Alone) => {
            make::<W>(mark).await.map_err(at_once)?;
            raft.form(BTreeMap::from([(me, Peer::default())])).await?;
        }
        (false, _, First::With(voters)) => {
            shared.set_far(if begun { Far::Ready } else { Far::Forming });
            spawn::<W>(&shared, form(raft.clone(), me, voters, mark));
            return Ok(());
        }
    }
    raft.vote_from_now_on();
    Ok(())
}

/// What goes on beside the member's start, and ends it where it says why.
fn spawn<W: World>(shared: &Arc<Shared>, goes_on: impl Future<Output = Result<(), String>> + Send + 'static) {
    let shared = Arc::clone(shared);
    drop(W::Runtime::spawn(async move {
        if let Err(why) = goes_on.await {
            shared.end_because(why);
        }
    }));
}

fn make<W: World>(mark: OnBegun) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
    let made = <W::Runtime as AsyncRuntime>::spawn_blocking(move || mark());
    Box::pin(async move {
        made.await.and_then(|made| made).map_err(|error| {
            format!(
                "it could not be written that this member begins: {error}; make room on the disk, or repair it, and start again"
            )
        })
    })
}

/// Makes `voters` a cluster once each of them bears the mark; or tells why this member can be none of them.
async fn form<W: World>(
    raft: Raft<W>,
    me: u64,
    voters: BTreeMap<u64, Peer>,
    mark: OnBegun,
) -> Result<(), String> {
    let shared = raft.shared();
    let others: BTreeMap<u64, Peer> =
        voters.iter().filter(|(id, _)| **id != me).map(|(id, at)| (*id, at.clone())).collect();
    if shared.far() == Far::Forming {
        until(&raft, &others, |other, far| match far {
            Far::Begun => Err(lost(me, other, "has begun")),
            // It was started as one to be added, and is one of the first: whoever looks at who is missing will see it.
            Far::Waiting => Ok(Next::Ask),
            Far::Forming | Far::Ready => Ok(Next::Others),
        })
        .await?;
        make::<W>(mark).await?;
        shared.set_far(Far::Ready);
    }
    until(&raft, &others, |_, far| match far {
        // Nobody begins before all the others bear the mark.
        Far::Begun => Ok(Next::Nobody),
        Far::Ready => Ok(Next::Others),
        Far::Forming | Far::Waiting => Ok(Next::Ask),
    })
    .await?;
    raft.form(voters).await.map_err(|error| error.to_string())?;
    raft.vote_from_now_on();
    shared.poke();
    Ok(())
}

/// Who is to be asked yet, after one has said how far it is.
enum Next {
    /// The others, and that one again.
    Ask,
    /// The others.
    Others,
    /// Nobody.
    Nobody,
}

/// Asks the others in turn, until nobody is to be asked any more.
async fn until<W: World>(
    raft: &Raft<W>,
    others: &BTreeMap<u64, Peer>,
    next: impl Fn(u64, Far) -> Result<Next, String>,
) -> Result<(), String> {
    let mut missing: BTreeSet<u64> = others.keys().copied().collect();
    for round in 0_u32.. {
        for id in missing.clone() {
            let Some(far) = how_far(raft, id, &others[&id].address).await else { continue };
            match next(id, far)? {
                Next::Ask => {}
                Next::Others => drop(missing.remove(&id)),
                Next::Nobody => return Ok(()),
            }
        }
        if missing.is_empty() {
            break;
        }
        if round % SAY_EVERY == SAY_EVERY - 1 {
            tracing::warn!(
                ?missing,
                "a new cluster begins once all its voters have said that they are there: start those of these that do not run, and see that \
                 peer.voters is the same at each voter"
            );
        }
        W::Runtime::sleep(ASK_EVERY).await;
    }
    Ok(())
}

/// How far another member says that it is; none where it has not said.
pub(crate) async fn how_far<W: World>(raft: &Raft<W>, member: u64, address: &str) -> Option<Far> {
    let asked = raft.ask_at(member, address, frame_of(&Ask::HowFar), PATIENCE).await;
    match said_of(&asked.ok()?) {
        Ok(Said::HowFar(far)) => Some(far),
        _ => None,
    }
}

/// Which cluster version another member says that it knows; none where it has not said.
pub(crate) async fn knows<W: World>(raft: &Raft<W>, member: u64, address: &str) -> Option<u32> {
    let asked = raft.ask_at(member, address, frame_of(&Ask::Knows), PATIENCE).await;
    match said_of(&asked.ok()?) {
        Ok(Said::Knows(version)) => Some(version),
        _ => None,
    }
}

/// Makes the mark once this member is in step as an observer; or tells that it is a voter, and so not the one that was added.
async fn wait<W: World>(raft: Raft<W>, me: u64, mark: OnBegun) -> Result<(), String> {
    for round in 0_u32.. {
        match raft.place() {
            Place::Voter => return Err(lost_vote(me)),
            Place::InStep => break,
            Place::Behind => W::Runtime::sleep(ASK_EVERY).await,
        }
        if round % SAY_EVERY == SAY_EVERY - 1 {
            tracing::warn!(
                "member {me} waits to be added, or to have what the others have: `tenure members list` at one of them says which"
            );
        }
    }
    make::<W>(mark).await?;
    raft.vote_from_now_on();
    tracing::info!("in step for the first time: this member may be made a voter");
    Ok(())
}

fn lost(me: u64, other: u64, what: &str) -> String {
    format!(
        "member {me} has an empty data folder, and member {other} {what}. If member {me} was never one of that cluster, its peer.voters are \
         not those that the cluster began with: have it join, as a new member. Otherwise what it had is lost, {}",
        come_anew(me)
    )
}

/// Why a member cannot go on that forms a cluster, where another of it has begun.
pub(crate) fn lost_while_forming(me: u64, caller: u64) -> String {
    lost(me, caller, "calls it as a member of a cluster that has begun")
}

/// Why a member cannot go on that was to be added, where it is a voter already.
pub(crate) fn lost_vote(me: u64) -> String {
    format!(
        "member {me} has a vote in this cluster, and its data folder knows of none that it gave: what it had is lost, {}",
        come_anew(me)
    )
}

/// Why a member cannot go on that has nobody but itself, where another calls it.
pub(crate) fn another_cluster(me: u64, caller: u64) -> String {
    format!(
        "member {caller} of this cluster calls member {me}, whose data folder knows of no member but itself: it was empty when this one was \
         started last, and the cluster is another now. What member {me} had is lost, {}",
        come_anew(me)
    )
}

/// Why a member cannot go on that lacks what it had acknowledged.
pub(crate) fn lost_entries(me: u64, had: u64) -> String {
    format!(
        "member {me} has acknowledged the log up to entry {had}, and lacks some of that: its data folder is an older copy, or was empty. \
         What it had is lost, {}",
        come_anew(me)
    )
}

fn come_anew(me: u64) -> String {
    format!(
        "and its votes with it, so that it may not take part again under this id. Give it its folder back; or have a member with a \
         new id take its place: `tenure members invite`, then `tenure members replace {me}` where it is a voter, and `tenure members remove {me}` \
         where it is an observer"
    )
}
