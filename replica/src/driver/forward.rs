//! Where another member leads: what is asked here is asked of that one, in frames.
//!
//! A frame has what came while those before it were on their way, so that a busy member sends few and full ones. What keeps or frees
//! a lease never shares one with anything else, nor a place among those that are on their way: claims that wait at the leader keep
//! no extend back. Whatever surely was not done is sent again, to whoever leads then; an
//! extend also where that is not sure, because a second one of the same token does no harm. For all else its caller is told that
//! it is not known.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use lease::{Command, Ttl};

use super::admit::Behind;
use super::members::Changing;
use super::role::{Role, is_own};
use super::{Driver, TRY_AGAIN};
use crate::batch::{Lane, Pending};
use crate::clock::{CLAMP, Mono};
use crate::engine::Engine;
use crate::handle::{Answer, Unavailable};
use crate::pace::Pace;
use crate::raft::asks::{Ask, Forwarded, Said};
use crate::raft::{Asked, frame_of, said_of};
use crate::serve::Incoming;

/// Frames of commands on their way to the leader at a time, of each lane.
const FRAMES_MAX: usize = 4;
const LANES: [Lane; 2] = [Lane::Keeps, Lane::Others];
/// How far apart they go where there is much to ask.
const FRAMES: Pace = Pace::new(Ttl::from_millis(2), 16, 128);
/// How much sooner than its caller stops waiting the leader is to answer a command, at the most: so that what was not done there is
/// known here, in time.
const WAY_BACK: Ttl = Ttl::from_millis(50);
/// How much longer than a command's caller the frame is waited for.
const SLACK: Duration = Duration::from_millis(100);
/// How long a member that passes a read's index on waits for its own barrier.
const INDEX_WITHIN: Ttl = Ttl::from_millis(1_000);

/// The frames that are on their way.
pub(super) struct Forwarding {
    frames: Vec<Frame>,
    back: Vec<(Vec<Option<Pending>>, Outcome)>,
    not_before: Mono,
    keeps: Pace,
    others: Pace,
}

impl Default for Forwarding {
    fn default() -> Forwarding {
        Forwarding {
            frames: Vec::new(),
            back: Vec::new(),
            not_before: Mono(0),
            keeps: FRAMES,
            others: FRAMES,
        }
    }
}

struct Frame {
    lane: Lane,
    asked: Asked,
    pending: Vec<Option<Pending>>,
}

enum Outcome {
    Answered(Vec<Answer>),
    /// Surely nothing of it was done.
    NotDone,
    Unknown,
}

impl Forwarding {
    pub(super) fn has_any(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Takes in what has come back; true where something has.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let back = &mut self.back;
        self.frames.retain_mut(|frame| match Pin::new(&mut frame.asked).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                let pending = std::mem::take(&mut frame.pending);
                let outcome = match answer.map(|bytes| said_of(&bytes)) {
                    Ok(Ok(Said::Answers(answers))) if answers.len() == pending.len() => {
                        Outcome::Answered(answers)
                    }
                    Err(error) if !error.may_have_arrived => Outcome::NotDone,
                    _ => Outcome::Unknown,
                };
                back.push((pending, outcome));
                false
            }
        });
        !self.back.is_empty()
    }

    fn pace(&mut self, lane: Lane) -> &mut Pace {
        match lane {
            Lane::Keeps => &mut self.keeps,
            Lane::Others => &mut self.others,
        }
    }

    fn has_room(&self, lane: Lane) -> bool {
        self.frames.iter().filter(|frame| frame.lane == lane).count() < FRAMES_MAX
    }

    /// When the next of a lane may be sent, where so many commands wait for it.
    fn next_at(&self, lane: Lane, waiting: usize) -> Mono {
        let pace = match lane {
            Lane::Keeps => &self.keeps,
            Lane::Others => &self.others,
        };
        pace.not_before(waiting).map_or(self.not_before, |at| at.max(self.not_before))
    }

    /// Takes out whoever stopped waiting before `now`: what came of it is not known.
    pub(super) fn take_overdue(&mut self, now: Mono) -> Vec<Pending> {
        let slots = self.frames.iter_mut().flat_map(|frame| &mut frame.pending);
        slots.filter_map(|slot| slot.take_if(|pending| pending.due <= now)).collect()
    }

    /// Takes out everyone.
    pub(super) fn drain(&mut self) -> Vec<Pending> {
        let frames = std::mem::take(&mut self.frames).into_iter().map(|frame| frame.pending);
        let back = std::mem::take(&mut self.back).into_iter().map(|(pending, _)| pending);
        frames.chain(back).flatten().flatten().collect()
    }
}

impl<E: Engine> Driver<E> {
    /// Sends the leader what has come.
    pub(super) fn forward(&mut self, now: Mono) {
        if self.role == Role::Leads {
            return;
        }
        self.give_back();
        for mut pending in std::mem::take(&mut self.unchecked) {
            debug_assert!(is_own(&pending), "what others ask was handed back");
            if let Some(anothers) = self.for_another_here(&mut pending) {
                self.answer(pending.asker, anothers);
                continue;
            }
            if let Some(pending) = self.batcher.push(pending, now) {
                let (asker, answer) = self.turned_away(pending);
                self.answer(asker, answer);
            }
        }
        let Role::Follows(leader) = self.role else { return };
        for lane in LANES {
            while self.batcher.len_of(lane) > 0
                && self.forwarding.has_room(lane)
                && now >= self.forwarding.next_at(lane, self.batcher.len_of(lane))
            {
                let pending = self.batcher.take_frame(lane, now);
                let left = self.batcher.len_of(lane);
                self.forwarding.pace(lane).went(now, pending.len(), left);
                self.send(leader, lane, pending, now);
            }
        }
    }

    fn send(&mut self, leader: u64, lane: Lane, mut pending: Vec<Pending>, now: Mono) {
        // The newest that this member has heard of the leader's clock: its own state's.
        let heard = self.shared.state().table.now();
        let mut patience = Ttl::ZERO;
        let forwarded = |pending: &mut Pending| {
            let deadline = pending.due.since(now);
            patience = patience.max(deadline);
            pending.request.not_after = Some(heard.after(CLAMP).after(deadline));
            let way_back = WAY_BACK.min(Ttl::from_nanos(deadline.as_nanos() / 4));
            let deadline = Ttl::from_nanos(deadline.as_nanos() - way_back.as_nanos());
            let Pending { request, named, heir, .. } = pending;
            Forwarded { request: request.clone(), named: named.clone(), heir: *heir, deadline }
        };
        let ask = Ask::Commands(pending.iter_mut().map(forwarded).collect());
        let patience = Duration::from_nanos(patience.as_nanos()) + SLACK;
        let asked = self.engine.ask(leader, frame_of(&ask), patience);
        let pending = pending.into_iter().map(Some).collect();
        self.forwarding.frames.push(Frame { lane, asked, pending });
    }

    pub(super) fn settle_forwarded(&mut self, now: Mono) {
        let mut again = Vec::new();
        for (pending, outcome) in std::mem::take(&mut self.forwarding.back) {
            match outcome {
                Outcome::Answered(answers) => {
                    for (pending, answer) in pending.into_iter().zip(answers) {
                        let Some(pending) = pending else { continue };
                        match answer {
                            Answer::Unavailable(Unavailable::NoLeader | Unavailable::Stopping) => {
                                again.push(pending);
                            }
                            answer => self.answer(pending.asker, answer),
                        }
                    }
                }
                Outcome::NotDone => again.extend(pending.into_iter().flatten()),
                Outcome::Unknown => {
                    let may_repeat =
                        |pending: &Pending| matches!(pending.request.command, Command::Extend { .. });
                    let (extends, others): (Vec<_>, Vec<_>) =
                        pending.into_iter().flatten().partition(may_repeat);
                    again.extend(extends);
                    self.answer_all(others, &Answer::Unknown);
                }
            }
        }
        if !again.is_empty() {
            self.forwarding.not_before = now.after(TRY_AGAIN);
            self.batcher.put_back(again);
            if self.role == Role::Leads {
                self.unchecked.extend(self.batcher.drain());
            }
        }
    }

    /// When a frame may be sent again.
    pub(super) fn forward_at(&self, now: Mono) -> Option<Mono> {
        let waits = LANES.into_iter().filter(|lane| self.batcher.len_of(*lane) > 0);
        let next = waits.map(|lane| self.forwarding.next_at(lane, self.batcher.len_of(lane)));
        next.filter(|at| now < *at).min()
    }

    /// Takes in what another member asks of this one.
    pub(super) fn take_incoming(&mut self, incoming: Incoming, now: Mono) {
        if !self.engine.leadership().leads || self.stop_by.is_some() {
            return incoming.refuse();
        }
        match incoming {
            Incoming::Command(Forwarded { request, named, heir, deadline }, reply) => {
                let (due, asker) = (now.after(deadline), crate::batch::Asker::Caller(reply));
                self.unchecked.push(Pending { request, named, heir, due, is_passed_on: true, asker });
            }
            Incoming::Index(reply) => {
                self.behind_barrier.push(Behind::Index(reply, now.after(INDEX_WITHIN)));
            }
            Incoming::Roll(roll, reply) => self.take_roll(roll, reply, now),
            Incoming::Members(change, deadline, reply) => {
                let due = now.after(deadline);
                self.changes.waiting.push(Changing { change, due, is_passed_on: true, reply });
            }
        }
    }

    /// Asks the leader how far a read must wait.
    pub(super) fn ask_index(&self, leader: u64) -> Pin<Box<dyn Future<Output = Option<u64>> + Send>> {
        let patience = Duration::from_nanos(INDEX_WITHIN.as_nanos()) + SLACK;
        let asked = self.engine.ask(leader, frame_of(&Ask::Index), patience);
        Box::pin(async move {
            match said_of(&asked.await.ok()?) {
                Ok(Said::Index(index)) => index,
                _ => None,
            }
        })
    }
}
