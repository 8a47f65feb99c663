//! What members ask each other, over a network that loses and delays.

use std::task::{Context, Poll, Waker};

use replica::simulation::Served;
use replica::{Answering, Unreached};

use crate::log::{Ask, Promise};
use crate::world::{Event, World};

/// What a member that asked is waiting for.
pub(crate) type Answer = Promise<Result<Vec<u8>, Unreached>>;

/// An ask of another member that has not been answered.
pub(crate) struct Serving {
    from: usize,
    answering: Answering,
    answer: Answer,
}

impl World {
    /// Sends what a member's step has asked of others.
    pub(crate) fn send_asks(&mut self, m: usize) {
        let asks = std::mem::take(&mut self.log.get().views[m].asks);
        for Ask { to, frame, patience, answer } in asks {
            let late = Err(Unreached::unanswered("no answer came in time"));
            self.after(
                patience.as_nanos() as u64,
                Event::PeerAnswers { m, result: Box::new(late), answer: answer.clone() },
            );
            if let Some(after) = self.latency() {
                self.after(after, Event::PeerAsks { m: to, from: m, frame, answer });
            }
        }
    }

    /// An ask reaches a member.
    pub(crate) fn peer_asks(&mut self, m: usize, from: usize, frame: &[u8], answer: Answer) {
        let Some(leader) = &self.members[m].leader else {
            let nobody = Err(Unreached::never_left("nobody is there"));
            return self.peer_answers_later(from, nobody, answer);
        };
        let served = leader.serve(frame);
        let Served { answering, takes_out, claims } =
            served.unwrap_or_else(|error| panic!("a frame of ours: {error}"));
        self.members[m].takes_out |= takes_out;
        claims.iter().for_each(|claim| self.note_claim(m, claim));
        self.members[m].serving.push(Serving { from, answering, answer });
        self.step_soon(m);
    }

    /// Sends what a member has answered the others.
    pub(crate) fn answer_asks(&mut self, m: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut answered = Vec::new();
        self.members[m].serving.retain_mut(|serving| match serving.answering.as_mut().poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(frame) => {
                answered.push((serving.from, frame, serving.answer.clone()));
                false
            }
        });
        for (from, frame, answer) in answered {
            self.peer_answers_later(from, Ok(frame), answer);
        }
    }

    /// A member is down: whatever it was asked stays without an answer.
    pub(crate) fn lose_asks(&mut self, m: usize) {
        for Serving { from, answer, .. } in std::mem::take(&mut self.members[m].serving) {
            self.peer_answers_later(from, Err(Unreached::unanswered("it is down")), answer);
        }
    }

    fn peer_answers_later(&mut self, m: usize, result: Result<Vec<u8>, Unreached>, answer: Answer) {
        if let Some(after) = self.latency() {
            self.after(after, Event::PeerAnswers { m, result: Box::new(result), answer });
        }
    }

    /// An answer reaches the member that asked.
    pub(crate) fn peer_answers(&mut self, m: usize, result: Result<Vec<u8>, Unreached>, answer: &Answer) {
        answer.give(result);
        self.step_soon(m);
    }
}
