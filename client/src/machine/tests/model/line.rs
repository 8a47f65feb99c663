//! The line of those who wait: the session's own acquires, each by its newest frame.

use std::time::Duration;

use api::{Code, Problem, Reply, ServerFrame};

use super::{Event, Failure, INSTANCE, World};
use crate::machine::{Done, LinkId, OpId};

/// One place in line.
#[derive(Clone)]
pub(super) struct Place {
    link: LinkId,
    frame: u64,
    acquire: api::Acquire,
}

impl World {
    pub(super) fn line_up(&mut self, link: LinkId, frame: u64, acquire: api::Acquire) {
        // A member keeps no place for a link that is gone, or for a call that it was told to give up.
        if !self.open.contains(&link) || self.given_up.contains(&frame) {
            return;
        }
        let timeout_ms = acquire.timeout_ms.unwrap_or(5_000);
        self.queued += 1;
        let at = self.now.after(Duration::from_millis(timeout_ms));
        self.queue.insert((at, self.queued), Event::StillHeld { link, frame });
        self.line.insert(acquire.name.clone(), Place { link, frame, acquire });
    }

    pub(super) fn gone(&mut self, link: LinkId, frame: Option<u64>) {
        self.given_up.extend(frame);
        self.line.retain(|_, place| place.link != link || frame.is_some_and(|frame| frame != place.frame));
    }

    pub(super) fn still_held(&mut self, link: LinkId, frame: u64) {
        let before = self.line.len();
        self.line.retain(|_, place| place.link != link || place.frame != frame);
        if self.line.len() < before {
            self.tell(link, frame, Reply::Error(Problem::new(Code::StillHeld, "as the model says")));
        }
    }

    /// Grants what is free to who waits for it.
    pub(super) fn serve_line(&mut self) {
        for (name, place) in self.line.clone() {
            if let Some(reply) = self.cluster.succeed(self.now, &place.acquire) {
                self.line.remove(&name);
                self.tell(place.link, place.frame, reply);
            }
        }
    }

    /// An acquire that ends as a definite no holds nothing: but for what is being released, or was got by another call, or
    /// is gone by itself unless it is confirmed.
    pub(super) fn check_acquire(&self, op: OpId, result: &Result<Done, Failure>) {
        let Some((name, before)) = self.acquires.get(&op) else { return };
        match result {
            // Another call of this session is about to hold it, or does.
            Err(Failure::Refused(problem)) if problem.by_you == Some(true) => {}
            Err(Failure::Refused(_) | Failure::Unavailable(_)) => {
                let Some(token) = self.cluster.confirmed(self.now, name, INSTANCE) else { return };
                // What an unanswered call before it had won is that call's to be looked after.
                let older = token <= *before;
                let known = older || self.gone.contains(&token) || self.told.contains(&token);
                assert!(known, "acquire {} ended as {result:?} and has token {token}", op.0);
            }
            Ok(Done::Granted { safe_until, .. }) => {
                assert!(safe_until.is_some_and(|until| until > self.now), "an acquire was given unconfirmed");
            }
            _ => {}
        }
    }

    fn tell(&mut self, link: LinkId, id: u64, reply: Reply) {
        let slow = if self.one_in(8) { 6_000 } else { 50 };
        self.soon(slow, Event::Answered { link, frame: ServerFrame::reply(id, reply) });
    }
}
