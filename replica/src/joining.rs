//! A new member asks to be taken in, before it runs: over a link of its own to whoever leads.
//!
//! Whoever is asked and does not lead says so, and passes nothing on: the next one is asked.

use lease::Ttl;

use crate::members::{MemberChange, Unchanged};
use crate::raft::asks::{Ask, Said};
use crate::raft::{Link, Unreached, frame_of, said_of};

/// Whether the same data folder has asked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It has not: whoever has this id already is another.
    First,
    /// It has, and its answer may be lost: it may be a member by now.
    Again,
}

/// Asks whoever is behind `link` to take in the member `id`, which the others reach at `address`.
///
/// # Errors
/// [`Unreached`] where it was not asked, or has not answered; within, why it is no member.
pub async fn ask_to_join(
    link: &impl Link,
    id: u64,
    address: &str,
    asks: Asks,
    within: Ttl,
) -> Result<Result<(), Unchanged>, Unreached> {
    let address = address.to_owned();
    let change = match asks {
        Asks::First => MemberChange::Join { id, address },
        Asks::Again => MemberChange::Add { id, address },
    };
    let bytes = link.ask(frame_of(&Ask::Members(change, within))).await?;
    match said_of(&bytes) {
        Ok(Said::Members(done)) => Ok(done.map(drop)),
        _ => Err(Unreached::unanswered("it answers in words that this program does not know")),
    }
}
