//! Whether this member can ask who leads. It hears its leader over connections that the leader makes, and asks it over one of its own;
//! where a fault lets only the one pass, it would seem well, and whatever its clients ask would get nowhere. Two asks in a row must
//! have gone unanswered, for at least 3 s from the first on: one may be late because the leader is busy, or this process stood still.

use std::time::Duration;

use openraft::async_runtime::AsyncRuntime;

use super::asks::Ask;
use super::{Raft, frame_of};
use crate::World;
use crate::engine::Engine as _;

/// How often the leader is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take: longer than it waits for its quorum.
const PATIENCE: Duration = Duration::from_millis(1_500);

impl<W: World> Raft<W> {
    /// Asks who leads from time to time, until the member ends.
    pub(crate) async fn call_leader(self) {
        let me = self.shared.status().member;
        let (mut last, mut missed) = (None, None);
        while !self.shared.engine_has_ended() && !self.shared.is_stopping() {
            let (leadership, asked_at) = (self.leadership(), self.shared.clock.now());
            // One that led before its restart still takes itself for the leader, and one that is new may know nobody yet.
            let is_asked = |leader: &u64| !leadership.leads && *leader != me && self.peer(*leader).is_some();
            let leader = leadership.leader.filter(is_asked);
            // What another has not answered says nothing of this one.
            if leader != last {
                self.shared.note_answer(asked_at, true);
                missed = None;
            }
            last = leader;
            if let Some(leader) = leader {
                // Any member of any version answers it, and it changes nothing.
                match self.ask(leader, frame_of(&Ask::Index), PATIENCE).await {
                    Ok(_) => {
                        self.shared.note_answer(asked_at, true);
                        missed = None;
                    }
                    // One that is late says nothing: the leader may be busy, or this process have stood still.
                    Err(_) => match missed {
                        None => missed = Some(asked_at),
                        Some(first) => self.shared.note_answer(first, false),
                    },
                }
            }
            W::Runtime::sleep(ASK_EVERY).await;
        }
    }
}
