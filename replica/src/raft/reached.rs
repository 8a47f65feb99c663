//! Whether a member is where it is said to be, before the cluster calls it there: with an address where nobody answers as that
//! member, a voter is lost as surely as if it were down.

use std::time::Duration;

use openraft::async_runtime::AsyncRuntime;

use super::{Link as _, Raft, asks::Ask, frame_of, said_of};
use crate::World;
use crate::members::Unchanged;

/// How long a try may take: a connection, the hellos, and an answer.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// How often a connection may end before it is answered. Where the member is called at its old address too, each of the two
/// connections ends the other.
const TRIES: u32 = 3;

impl<W: World> Raft<W> {
    /// Has the member answer at that address, by which it is proven to be this one of this cluster.
    pub(super) async fn check_reached(&self, member: u64, address: &str) -> Result<(), Unchanged> {
        let link = self.links.untried(member, address);
        let mut why = String::new();
        for _ in 0..TRIES {
            // Any member of any version answers it.
            let asked = link.ask(frame_of(&Ask::Index));
            match <W::Runtime as AsyncRuntime>::timeout(PATIENCE, asked).await {
                Ok(Ok(bytes)) if said_of(&bytes).is_ok() => return Ok(()),
                Ok(Ok(_)) => why = format!("member {member} at {address}: it answers something else"),
                Ok(Err(error)) => {
                    why = error.why;
                    if !error.may_have_arrived {
                        break;
                    }
                }
                Err(_) => {
                    why = format!("member {member} at {address}: no answer within {PATIENCE:?}");
                    break;
                }
            }
        }
        Err(Unchanged::Refused(format!(
            "{why}. Nothing was changed: a member has its new address once it answers there. Start member {member} so that the others \
             reach it at {address}, and ask again; where it is gone for good, have another take its place: `tenure members invite`, then \
             `tenure members replace {member}`, or `remove` where it is an observer"
        )))
    }
}
