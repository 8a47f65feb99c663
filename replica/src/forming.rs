//! How a cluster of several voters begins: once each of them has said that it has not begun.
//!
//! ```text
//!  empty folder ──▶ forming ──every other voter is forming too──▶ begun
//!                      │ another has begun without having seen this one form
//!                      ▼
//!                    lost: this member's folder is not the one that it had
//! ```
//!
//! A voter that has lost its folder may have voted, and acknowledged entries, and knows of neither: if it took part again, what the
//! cluster has acknowledged could be lost. So a cluster begins only once all its first voters are there, and a member with an empty
//! folder that finds the cluster begun stops. While it forms it gives no vote and takes no entries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::AsyncRuntime;

use crate::World;
use crate::raft::asks::{Ask, Said};
use crate::raft::{Peer, Raft, frame_of, said_of};

/// How often the other voters are asked.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is said who is waited for.
const SAY_EVERY: u32 = 100;

/// How far a member is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Forming {
    /// It has a log with members in it, or waits to be added to a cluster.
    #[default]
    Begun,
    /// It waits for the other voters: these have been seen to form.
    Forming(BTreeSet<u64>),
}

impl Forming {
    /// Another voter asks whether this one has begun, which it asks only while it forms itself.
    pub(crate) fn asked_by(&mut self, member: u64) -> bool {
        match self {
            Forming::Begun => true,
            Forming::Forming(seen) => {
                seen.insert(member);
                false
            }
        }
    }
}

/// Makes `voters` a cluster once each of them forms; or tells why this member can be none of them.
pub(crate) async fn form<W: World>(
    raft: Raft<W>,
    me: u64,
    voters: BTreeMap<u64, Peer>,
) -> Result<(), String> {
    let shared = raft.shared();
    for round in 0_u32.. {
        let missing: Vec<u64> = {
            let seen = shared.forming();
            let Forming::Forming(seen) = &*seen else { return Ok(()) };
            voters.keys().copied().filter(|id| *id != me && !seen.contains(id)).collect()
        };
        if missing.is_empty() {
            break;
        }
        if round % SAY_EVERY == SAY_EVERY - 1 {
            tracing::warn!(?missing, "a new cluster begins once all its voters are there: start these too");
        }
        for id in missing {
            let frame = frame_of(&Ask::Begun(me));
            let asked = raft.ask_at(id, &voters[&id].address, frame, PATIENCE).await;
            let Some(Ok(Said::Begun(begun))) = asked.ok().map(|bytes| said_of(&bytes)) else { continue };
            match &mut *shared.forming() {
                Forming::Forming(seen) if !begun => drop(seen.insert(id)),
                // It may have begun since it asked this one, which then has seen it form.
                Forming::Forming(seen) if !seen.contains(&id) => return Err(lost(me, id)),
                _ => {}
            }
        }
        W::Runtime::sleep(ASK_EVERY).await;
    }
    raft.form(voters).await.map_err(|error| error.to_string())?;
    *shared.forming() = Forming::Begun;
    shared.poke();
    Ok(())
}

fn lost(me: u64, other: u64) -> String {
    format!(
        "member {me} has an empty data folder, and member {other} says that the cluster has begun: what this member had is lost, and \
         its votes with it, so that it may not take part again under this id. Give it its folder back; or add a member with a new id \
         in its place: `tenure members add`, then `tenure members replace {me}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_asked_while_it_forms_has_seen_the_other_form_too() {
        let mut forming = Forming::Forming(BTreeSet::new());
        assert!(!forming.asked_by(2));
        assert_eq!(forming, Forming::Forming(BTreeSet::from([2])));
        assert!(Forming::Begun.asked_by(2));
    }
}
