//! Whether this member can ask who leads. It hears its leader over connections that the leader makes, and asks it over one of its own;
//! where a fault lets only the one pass, it would seem well, and whatever its clients ask would get nowhere.

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
        let mut last = None;
        while !self.shared.engine_has_ended() && !self.shared.is_stopping() {
            let (leadership, asked_at) = (self.leadership(), self.shared.clock.now());
            let leader = leadership.leader.filter(|_| !leadership.leads);
            // What another has not answered says nothing of this one.
            if leader != last {
                self.shared.note_answer(asked_at, true);
            }
            last = leader;
            if let Some(leader) = leader {
                // Any member of any version answers it, and it changes nothing.
                let answer = self.ask(leader, frame_of(&Ask::Index), PATIENCE).await;
                self.shared.note_answer(asked_at, answer.is_ok());
            }
            W::Runtime::sleep(ASK_EVERY).await;
        }
    }
}
