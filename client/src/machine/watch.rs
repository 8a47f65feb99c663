//! What more there is to a watch than to another call: it is answered many times, over any number of links.
//!
//! ```text
//!     sent ──watching──▶ watching ──events──▶ told to its caller, each once and in order
//!      ▲                  │    │
//!      └──its link is lost┘    └──a refusal, as `compacted`──▶ over
//! ```
//!
//! The call itself remembers the last revision that was seen: through the next link it asks for what came after that.

use std::sync::Arc;

use api::{Call, Reply};

use super::ops::Stage;
use super::{Ask, Done, Effect, LinkId, Machine, OpId};

impl Machine {
    /// The member has begun to watch: every event after `revision` follows, pushed under this frame's number.
    pub(super) fn watching(&mut self, id: OpId, link: LinkId, frame: u64, watching: api::Watching) {
        let Some(op) = self.ops.get_mut(&id) else { return };
        let Ask::Call(Call::Watch(watch)) = Arc::make_mut(&mut op.ask) else { return };
        watch.after.get_or_insert(watching.revision);
        if let Stage::Flying { give_up_at, .. } = &mut op.stage {
            *give_up_at = None;
        }
        // It goes on until its caller has enough, and is not late any more.
        (op.ends, op.tries, op.avoid) = (None, 0, None);
        let first = !std::mem::replace(&mut op.watching, true);
        self.frames.insert(frame, (id, link));
        if first {
            self.out.push(Effect::Done { op: id, result: Ok(Done::Reply(Reply::Watching(watching))) });
        }
        self.arm_op(id);
    }

    /// A watch saw something. What its caller was told already, through another link, is left out.
    pub(super) fn events(&mut self, link: LinkId, events: api::Events) {
        let Some((id, _)) = self.frames.get(&events.id).filter(|(_, on)| *on == link).copied() else {
            return;
        };
        let Some(op) = self.ops.get_mut(&id) else { return };
        let present = op.attempts.iter().any(|attempt| attempt.frame == events.id);
        let Ask::Call(Call::Watch(watch)) = Arc::make_mut(&mut op.ask) else { return };
        if !present {
            return;
        }
        let mut events = events.events;
        events.retain(|event| {
            let is_new = watch.after.is_none_or(|seen| seen < event.revision);
            watch.after = watch.after.max(Some(event.revision));
            is_new
        });
        if !events.is_empty() {
            self.out.push(Effect::Events { op: id, events });
        }
    }
}
