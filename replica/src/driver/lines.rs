//! Waiters in line through other members: as the leader, those of the others; else this member's own, at the leader.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lease::{ACQUIRES_MAX, Ttl};

use super::role::Role;
use super::{Driver, Me};
use crate::clock::Mono;
use crate::desks::{Desks, Errand, HELD};
use crate::engine::Engine;
use crate::handle::{Answer, ReplyFn, Unavailable};
use crate::queue::{Due, Queue};
use crate::raft::asks::{Ask, Change, Heard, Roll, Said};
use crate::raft::{Asked, frame_of, said_of};
use crate::roster::Roster;
use crate::shared::RETRY_AFTER;

/// How long after a roll that was lost, or that the leader did not know, the next one goes.
const PAUSE: Ttl = Ttl::from_millis(20);
/// How long a roll may be without an answer: it is held back for some time, and one that was lost must not make the member seem
/// silent.
const PATIENCE: Duration = Duration::from_nanos(2 * HELD.as_nanos());

pub(super) struct Lines {
    roster: Roster,
    desks: Desks,
    rolls: Vec<OnItsWay>,
    back: Vec<Back>,
    not_before: Mono,
}

/// A roll, of which registration it is, and the acquires that it tells of.
struct OnItsWay {
    desk: u32,
    tells: Vec<u64>,
    asked: Asked,
}

/// One that has come back, with what was heard, and the acquires of which the leader may know by it.
struct Back {
    desk: u32,
    told: Vec<u64>,
    heard: Option<Heard>,
}

impl Lines {
    pub(super) fn new(me: Me) -> Lines {
        Lines {
            roster: Roster::new(me.member, me.life),
            desks: Desks::default(),
            rolls: Vec::new(),
            back: Vec::new(),
            not_before: Mono(0),
        }
    }

    /// Another leader, or none, or the same in another term: whoever waits here is to be registered anew.
    pub(super) fn register(&mut self, term: u64, queue: &mut Queue) -> Vec<Due> {
        self.note_told(queue);
        self.rolls.clear();
        self.back.clear();
        self.roster.register(term, queue)
    }

    /// The leader may know by now of every acquire that was sent to it, but those whose rolls surely did not arrive.
    pub(super) fn note_told(&self, queue: &mut Queue) {
        let told = self.rolls.iter().map(|roll| &roll.tells).chain(self.back.iter().map(|back| &back.told));
        told.flatten().for_each(|id| _ = queue.begin(*id));
    }

    /// This member leads no more.
    pub(super) fn close_desks(&mut self) {
        self.desks.close();
    }

    /// Takes in what has come back; true where something has.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let back = &mut self.back;
        self.rolls.retain_mut(|roll| match Pin::new(&mut roll.asked).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                let told = match &answer {
                    Err(error) if !error.may_have_arrived => Vec::new(),
                    _ => std::mem::take(&mut roll.tells),
                };
                let heard = match answer.map(|bytes| said_of(&bytes)) {
                    Ok(Ok(Said::Roll(heard))) => Some(heard),
                    _ => None,
                };
                back.push(Back { desk: roll.desk, told, heard });
                false
            }
        });
        !self.back.is_empty()
    }
}

impl<E: Engine> Driver<E> {
    /// Whether a member is silent through which others wait; for simulations.
    pub(crate) fn passes_over(&self) -> bool {
        self.lines.desks.has_silent()
    }

    /// Keeps waiters in line: as the leader those of the other members, else this member's own.
    pub(super) fn keep_lines(&mut self, now: Mono) {
        let letters = std::mem::take(&mut self.shared.inbox().letters);
        for (via, registration, answer) in letters {
            self.lines.desks.answered(via, registration, answer);
        }
        match self.role {
            Role::Leads => {
                let errands = self.lines.desks.look(now);
                self.run_errands(errands, now);
            }
            Role::Follows(leader) => {
                self.take_heard(now);
                self.send_rolls(leader, now);
            }
            Role::Nobody => {}
        }
    }

    /// When to look after them again.
    pub(super) fn lines_at(&self, now: Mono) -> Option<Mono> {
        match self.role {
            Role::Leads => self.lines.desks.next_look(),
            _ => Some(self.lines.not_before).filter(|at| now < *at),
        }
    }

    /// Takes another member's roll in.
    pub(super) fn take_roll(&mut self, roll: Roll, reply: ReplyFn<Heard>, now: Mono) {
        if roll.term != self.leadership.term || self.role != Role::Leads {
            return reply(Heard::default());
        }
        let errands = self.lines.desks.take(roll, now, || self.shared.new_id(), reply);
        self.run_errands(errands, now);
    }

    fn run_errands(&mut self, errands: Vec<Errand>, now: Mono) {
        for errand in errands {
            let mut state = self.shared.state();
            match errand {
                Errand::Ask { id, via, registration, claim, ticket } => {
                    if state.queue.len() >= ACQUIRES_MAX {
                        drop(state);
                        let full = Unavailable::Overloaded { retry_after: RETRY_AFTER };
                        self.shared.post(via, registration, Answer::Unavailable(full));
                        continue;
                    }
                    let shared = Arc::downgrade(&self.shared);
                    let reply = move |answer| {
                        if let Some(shared) = shared.upgrade() {
                            shared.post(via, registration, answer);
                        }
                    };
                    state.queue.ask(id, claim, Some(via), ticket, Box::new(reply));
                    drop(state);
                    self.claim_acquires(vec![id], now);
                    // It is looked at in the next step.
                    self.shared.poke();
                }
                Errand::GiveUp(id) => {
                    let at = state.reading();
                    let due = state.queue.give_up(id, at);
                    drop(state);
                    due.into_iter().for_each(|(reply, answer)| reply(answer));
                }
                Errand::Leave(id) => state.queue.leave(id, now),
                Errand::Silent(member, silent) => {
                    state.queue.set_silent(member, silent);
                    drop(state);
                    self.shared.poke();
                }
            }
        }
    }

    /// The acquire of that number is in line: the member through which it came is told where.
    pub(super) fn tell_place(&mut self, id: u64) {
        let state = self.shared.state();
        let placed = state.queue.via(id).zip(state.queue.place(id));
        drop(state);
        if let Some((via, ticket)) = placed {
            self.lines.desks.placed(via, ticket);
        }
    }

    fn take_heard(&mut self, now: Mono) {
        for Back { desk, told, heard } in std::mem::take(&mut self.lines.back) {
            if heard.as_ref().is_none_or(|heard| !heard.known) {
                self.lines.not_before = now.after(PAUSE);
            }
            let mut state = self.shared.state();
            told.into_iter().for_each(|id| _ = state.queue.begin(id));
            let (answers, mut due) = self.lines.roster.came_back(desk, heard, &mut state.queue);
            for (id, answer) in answers {
                match answer {
                    // It leads no more: whoever does is to be asked.
                    Answer::Unavailable(Unavailable::NoLeader | Unavailable::Stopping) => {
                        due.extend(state.queue.ask_again(id));
                        self.lines.not_before = now.after(PAUSE);
                    }
                    answer => due.extend(state.queue.take(id).map(|reply| (reply, answer))),
                }
            }
            drop(state);
            due.into_iter().for_each(|(reply, answer)| reply(answer));
        }
    }

    fn send_rolls(&mut self, leader: u64, now: Mono) {
        while self.lines.not_before <= now {
            let roll = self.lines.roster.next_roll(&mut self.shared.state().queue);
            let Some(roll) = roll else { return };
            let desk = self.lines.roster.desk();
            let tells = roll.changes.iter().filter_map(joins).collect();
            let asked = self.engine.ask(leader, frame_of(&Ask::Roll(roll)), PATIENCE);
            self.lines.rolls.push(OnItsWay { desk, tells, asked });
        }
    }
}

/// The acquire that a change puts in line.
fn joins(change: &Change) -> Option<u64> {
    match change {
        Change::Joins { id, .. } => Some(*id),
        Change::GivenUp(_) | Change::Left(_) => None,
    }
}
