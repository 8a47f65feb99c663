//! The roster: a member that does not lead keeps its waiters in line at the leader's [`desks`](crate::desks).
//!
//! It sends rolls: what has changed since the leader last said how much it knows, numbered, and again until that is said. One roll
//! is always on its way while anyone waits, held back at the leader until there is news, so that a grant arrives without a
//! question; another goes out at once when something changes.
//!
//! Pure: what is to be sent is handed out, and what came back is handed in.

use std::collections::VecDeque;

use crate::handle::Answer;
use crate::queue::{Changed, Due, Queue, Ticket};
use crate::raft::asks::{Change, Heard, News, Roll};

/// Changes in one roll.
const CHANGES_MAX: usize = 512;
/// Rolls on their way at a time: one that is held back, and two that bring changes.
const ROLLS_MAX: usize = 3;

/// One member's registration with one leader's term.
#[derive(Debug)]
pub(crate) struct Roster {
    member: u64,
    life: u64,
    desk: u32,
    term: u64,
    /// Which of the leader's desks it is registered at; 0 until one has answered.
    opened: u64,
    /// Changes that the leader has not said it knows.
    unknown: VecDeque<Change>,
    /// The number of the first of them.
    from: u64,
    /// The number behind the last change that was sent.
    sent: u64,
    /// All news before this number have been taken in.
    heard: u64,
    on_their_way: usize,
}

impl Roster {
    pub(crate) fn new(member: u64, life: u64) -> Roster {
        Roster {
            member,
            life,
            desk: 0,
            term: 0,
            opened: 0,
            unknown: VecDeque::new(),
            from: 0,
            sent: 0,
            heard: 0,
            on_their_way: 0,
        }
    }

    /// Registers anew, with the leader of this term: everyone who waits.
    pub(crate) fn register(&mut self, term: u64, queue: &mut Queue) -> Vec<Due> {
        let desk = self.desk.wrapping_add(1);
        *self = Roster { desk, term, ..Roster::new(self.member, self.life) };
        queue.ask_all_again()
    }

    /// Takes in what has changed, and makes the next roll, where there is something to send.
    pub(crate) fn next_roll(&mut self, queue: &mut Queue) -> Option<Roll> {
        for changed in queue.take_changed() {
            if let Changed::GivenUp(id) = changed
                && queue.claim(id).is_none()
            {
                self.take_back(id);
            }
            self.unknown.extend(change(changed, queue));
        }
        let has_more = self.sent < self.from + self.unknown.len() as u64;
        let wanted = has_more || (self.on_their_way == 0 && queue.len() != 0);
        if !wanted || self.on_their_way >= ROLLS_MAX {
            return None;
        }
        let changes: Vec<Change> = self.unknown.iter().take(CHANGES_MAX).cloned().collect();
        self.sent = self.sent.max(self.from + changes.len() as u64);
        self.on_their_way += 1;
        let Roster { member, life, desk, term, opened, heard, from, .. } = *self;
        Some(Roll { member, life, desk, term, opened, heard, from, changes })
    }

    /// Has acquire `id`, which is answered already, join no more: where its roll has yet to arrive, a claim would be made of it that
    /// nobody waits for. It keeps its number, by which the leader knows what it has taken.
    fn take_back(&mut self, id: u64) {
        let joins = |change: &&mut Change| matches!(change, Change::Joins { id: it, .. } if *it == id);
        self.unknown.iter_mut().filter(joins).for_each(|change| *change = Change::GivenUp(id));
    }

    /// A roll of registration `desk` has come back, with the leader's answer or none. Answers to acquires are handed out, and those
    /// of whom nothing more can be heard.
    pub(crate) fn came_back(
        &mut self,
        desk: u32,
        heard: Option<Heard>,
        queue: &mut Queue,
    ) -> (Vec<(u64, Answer)>, Vec<Due>) {
        if desk != self.desk {
            return Default::default();
        }
        self.on_their_way = self.on_their_way.saturating_sub(1);
        let Some(heard) = heard else {
            // What was lost on the way is sent again.
            self.sent = self.from;
            return Default::default();
        };
        if !heard.known {
            return (Vec::new(), self.register(self.term, queue));
        }
        match self.opened {
            0 => self.opened = heard.opened,
            // From a desk that was opened before or behind the one that is known.
            opened if opened != heard.opened => return Default::default(),
            _ => {}
        }
        let known = heard.taken.saturating_sub(self.from).min(self.unknown.len() as u64);
        self.unknown.drain(..known as usize);
        self.from += known;
        self.sent = self.sent.max(self.from);
        if heard.from > self.heard {
            // There is a hole in the news: they are still there, and come again.
            return Default::default();
        }
        let mut answers = Vec::new();
        for (news, number) in heard.news.into_iter().zip(heard.from..) {
            if number < self.heard {
                continue;
            }
            self.heard = number + 1;
            match news {
                News::Ticket(id, ticket) => queue.placed(id, ticket),
                News::Answer(id, answer) => answers.push((id, answer)),
            }
        }
        (answers, Vec::new())
    }

    /// Which registration it is.
    pub(crate) fn desk(&self) -> u32 {
        self.desk
    }
}

fn change(changed: Changed, queue: &Queue) -> Option<Change> {
    Some(match changed {
        Changed::Asked(id) => {
            let ticket: Option<Ticket> = queue.place(id);
            // It may be gone already, which is a change of its own.
            Change::Joins { id, claim: queue.claim(id)?.clone(), ticket }
        }
        Changed::GivenUp(id) => Change::GivenUp(id),
        Changed::Left(id) => Change::Left(id),
    })
}

#[cfg(test)]
mod tests;
