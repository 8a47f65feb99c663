//! Who is told what came of a command: its caller, an acquire that made a claim of it, or the line it was a succession of.

use lease::{Outcome, Refusal};

use super::Driver;
use crate::batch::{Asker, Pending};
use crate::clock::LeaseClock;
use crate::engine::Engine;
use crate::handle::{Answer, Unavailable};
use crate::queue::comes_again;

impl<E: Engine> Driver<E> {
    pub(super) fn answer(&mut self, asker: Asker, answer: Answer) {
        let due = match asker {
            Asker::Caller(reply) => return reply(answer),
            // Whoever leads is asked again, with the same claim: that shows what came of it.
            Asker::Acquire(id) if !self.leadership.leads && is_undecided(&answer) => {
                self.shared.state().queue.ask_again(id)
            }
            Asker::Acquire(id) => match &answer {
                Answer::Decided { outcome: Outcome::Refused(refusal), .. } if comes_again(refusal) => {
                    return self.join(id);
                }
                _ => self.shared.state().queue.take(id).map(|reply| (reply, answer)),
            },
            Asker::Line(key) => {
                let mut state = self.shared.state();
                match answer {
                    Answer::Decided { outcome: Outcome::Refused(refusal), at } => {
                        state.queue.settle(&key, Some(refusal), at)
                    }
                    Answer::Decided { at, .. } => state.queue.settle(&key, None, at),
                    _ => {
                        let at = state.reading();
                        state.queue.settle(&key, None, at)
                    }
                }
            }
        };
        due.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    pub(super) fn answer_all(&mut self, pending: impl IntoIterator<Item = Pending>, answer: &Answer) {
        pending.into_iter().for_each(|pending| self.answer(pending.asker, answer.clone()));
    }

    /// Puts an acquire in line, while this member leads.
    pub(super) fn join(&mut self, id: u64) {
        let mut state = self.shared.state();
        let at = state.reading();
        let due = match self.clock.as_ref().map(LeaseClock::term) {
            Some(term) => state.queue.join(id, term, at),
            None => state.queue.ask_again(id),
        };
        drop(state);
        self.tell_place(id);
        due.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    /// What was surely not done is asked for anew; but a succession, which is made anew by whose turn it is then.
    pub(super) fn ask_again(&mut self, pending: Vec<Pending>) {
        let (lines, others): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|pending| matches!(pending.asker, Asker::Line(_)));
        let retry =
            Answer::Decided { outcome: Outcome::Refused(Refusal::Retry), at: self.shared.state().reading() };
        self.answer_all(lines, &retry);
        self.batcher.put_back(others);
    }
}

/// Whether an answer leaves open what an acquire comes to.
fn is_undecided(answer: &Answer) -> bool {
    matches!(answer, Answer::Unknown | Answer::Unavailable(Unavailable::NoLeader))
}
