//! Changes of the members: made by the leader, and asked of it by whoever else is asked.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use lease::Ttl;

use super::Driver;
use super::role::Role;
use crate::clock::Mono;
use crate::engine::Engine;
use crate::handle::ReplyFn;
use crate::members::{MemberChange, MemberView, Unchanged};
use crate::raft::asks::{Ask, Said};
use crate::raft::{frame_of, said_of};

/// What comes of a change.
pub(crate) type Changed = Result<Vec<MemberView>, Unchanged>;

/// A change under way, and then what comes of it.
type ChangingTo = Pin<Box<dyn Future<Output = Changed> + Send>>;

/// A change that somebody asks for.
pub(crate) struct Changing {
    pub(crate) change: MemberChange,
    pub(crate) due: Mono,
    /// Another member asks: it is not passed on to a third.
    pub(crate) is_passed_on: bool,
    pub(crate) reply: ReplyFn<Changed>,
}

/// How long after one that surely was not made the next try is.
const PAUSE: Ttl = Ttl::from_millis(50);

#[derive(Default)]
pub(super) struct Changes {
    pub(super) waiting: Vec<Changing>,
    under_way: Vec<(Changing, ChangingTo)>,
    ended: Vec<(Changing, Changed)>,
    not_before: Mono,
}

impl Changes {
    /// Takes in what has come of them; true where something has.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        for (changing, mut done) in std::mem::take(&mut self.under_way) {
            match done.as_mut().poll(cx) {
                Poll::Pending => self.under_way.push((changing, done)),
                Poll::Ready(changed) => self.ended.push((changing, changed)),
            }
        }
        !self.ended.is_empty()
    }

    fn take_overdue(&mut self, now: Mono) -> Vec<(Changing, Changed)> {
        let late = self.waiting.extract_if(.., |changing| changing.due <= now);
        let mut over: Vec<_> = late.map(|changing| (changing, Err(Unchanged::NoLeader))).collect();
        let under_way = self.under_way.extract_if(.., |(changing, _)| changing.due <= now);
        over.extend(under_way.map(|(changing, _)| (changing, Err(Unchanged::Unknown))));
        over
    }

    /// Takes out everyone.
    pub(super) fn drain(&mut self) -> Vec<(Changing, Changed)> {
        self.take_overdue(Mono(u64::MAX))
    }

    fn next_due(&self) -> Option<Mono> {
        let all = self.waiting.iter().chain(self.under_way.iter().map(|(changing, _)| changing));
        all.map(|changing| changing.due).min()
    }
}

impl<E: Engine> Driver<E> {
    /// Moves changes of the members as far as they go.
    pub(super) fn change_members(&mut self, now: Mono) {
        for (changing, changed) in std::mem::take(&mut self.changes.ended) {
            match changed {
                // Surely not made: by whoever leads then.
                Err(Unchanged::NoLeader) if !changing.is_passed_on => {
                    self.changes.not_before = now.after(PAUSE);
                    self.changes.waiting.push(changing);
                }
                changed => (changing.reply)(changed),
            }
        }
        for (changing, changed) in self.changes.take_overdue(now) {
            (changing.reply)(changed);
        }
        if now < self.changes.not_before {
            return;
        }
        for changing in std::mem::take(&mut self.changes.waiting) {
            let done: ChangingTo = match self.role {
                Role::Leads => self.engine.change(changing.change.clone()),
                _ if changing.is_passed_on => {
                    (changing.reply)(Err(Unchanged::NoLeader));
                    continue;
                }
                Role::Follows(leader) => self.ask_change(leader, &changing, now),
                Role::Nobody => {
                    self.changes.waiting.push(changing);
                    continue;
                }
            };
            self.changes.under_way.push((changing, done));
            // To be polled for the first time.
            self.shared.poke();
        }
    }

    /// When to look after them again.
    pub(super) fn changes_at(&self, now: Mono) -> Option<Mono> {
        let again = Some(self.changes.not_before).filter(|at| now < *at && !self.changes.waiting.is_empty());
        again.into_iter().chain(self.changes.next_due()).min()
    }

    fn ask_change(&self, leader: u64, changing: &Changing, now: Mono) -> ChangingTo {
        let deadline = changing.due.since(now);
        let ask = Ask::Members(changing.change.clone(), deadline);
        let asked = self.engine.ask(leader, frame_of(&ask), Duration::from_nanos(deadline.as_nanos()));
        Box::pin(async move {
            match asked.await {
                Ok(bytes) => match said_of(&bytes) {
                    Ok(Said::Members(changed)) => changed,
                    _ => Err(Unchanged::Unknown),
                },
                Err(error) if !error.may_have_arrived => Err(Unchanged::NoLeader),
                Err(_) => Err(Unchanged::Unknown),
            }
        })
    }
}
