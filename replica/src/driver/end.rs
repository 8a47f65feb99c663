//! How an ask ends that nothing came of: overdue, refused by a stopping member, or unknown.

use lease::Ttl;

use super::{Behind, Driver, Role};
use crate::batch::Pending;
use crate::clock::Mono;
use crate::engine::Engine;
use crate::events::Unwatchable;
use crate::handle::{Answer, Unavailable, Waited};
use crate::shared::Stage;
use crate::waits::Waits;

/// How often the overdue are looked for, while anyone waits.
const OVERDUE_SCAN: Ttl = Ttl::from_millis(10);

impl<E: Engine> Driver<E> {
    /// Answers whoever stopped waiting: what is not in a batch is surely not done, what is in flight is unknown.
    pub(super) fn settle_overdue(&mut self, now: Mono) {
        if now < self.next_scan {
            return;
        }
        self.next_scan = now.after(OVERDUE_SCAN);
        let no = match self.role {
            Role::Leads if self.clock.is_none() => Unavailable::NoLeader,
            Role::Leads | Role::Follows(_) => {
                Unavailable::Overloaded { retry_after: self.batcher.retry_after() }
            }
            Role::Nobody => Unavailable::NoLeader,
        };
        let mut late: Vec<Pending> = self.unchecked.extract_if(.., |pending| pending.due <= now).collect();
        late.extend(self.batcher.take_overdue(now));
        let barriers =
            self.barrier.iter_mut().map(|barrier| &mut barrier.behind).chain([&mut self.behind_barrier]);
        let mut state = self.shared.state();
        state.queue.forget_absent(now);
        let is_over = |behind: &Behind| behind.is_overdue(now) || behind.is_given_up(&state.waits);
        let over: Vec<Behind> =
            barriers.flat_map(|list| list.extract_if(.., |behind| is_over(behind))).collect();
        drop(state);
        for behind in over {
            match behind {
                Behind::Read(read, _) => (read.reply)(Err(no)),
                Behind::Refusal(pending) => late.push(pending),
                Behind::Watch(watching) => (watching.reply)(Err(Unwatchable::Unavailable(no))),
                Behind::Index(reply, _) => reply(None),
                Behind::Wait(_) => {}
            }
        }
        self.answer_all(late, &Answer::Unavailable(no));
        let in_flight = self.in_flight.iter_mut().flat_map(|in_flight| &mut in_flight.pending);
        let mut unknown: Vec<Pending> =
            in_flight.filter_map(|slot| slot.take_if(|pending| pending.due <= now)).collect();
        unknown.extend(self.forwarding.take_overdue(now));
        self.answer_all(unknown, &Answer::Unknown);
    }

    pub(super) fn is_finished(&self) -> bool {
        let drained = self.in_flight.is_empty() && self.completed.is_empty() && !self.forwarding.has_any();
        let late = self.stop_by.is_some_and(|by| self.shared.clock.now() >= by);
        self.ended || (self.stop_by.is_some() && drained) || late
    }

    /// Answers everyone who is still there, and lets nobody in any more.
    pub(super) fn finish(&mut self) {
        let mut inbox = self.shared.inbox();
        inbox.stage = Stage::Stopped;
        drop(inbox);
        self.take_inbox(Mono(u64::MAX));
        self.refuse_waiting(Unavailable::Stopping);
        let in_flight =
            std::mem::take(&mut self.in_flight).into_iter().flat_map(|in_flight| in_flight.pending);
        let completed = std::mem::take(&mut self.completed).into_iter().flat_map(|(pending, _)| pending);
        let mut unknown: Vec<Pending> = in_flight.chain(completed).flatten().collect();
        unknown.extend(self.forwarding.drain());
        self.lines.close_desks();
        self.changes.drain().into_iter().for_each(|(changing, changed)| (changing.reply)(changed));
        self.answer_all(unknown, &Answer::Unknown);
        let mut state = self.shared.state();
        self.lines.note_told(&mut state.queue);
        let (waits, acquires) = (state.waits.drain(), state.queue.drain(Unavailable::Stopping));
        drop(state);
        acquires.into_iter().for_each(|(reply, answer)| reply(answer));
        waits.into_iter().for_each(|reply| reply(Waited::Unavailable(Unavailable::Stopping)));
        self.clock = None;
        self.shared.publish(|status| {
            status.leads = false;
            status.serving = false;
            status.trouble = Some(Unavailable::Stopping);
        });
    }

    /// Refuses all that is in no batch: surely not done.
    pub(super) fn refuse_waiting(&mut self, why: Unavailable) {
        let mut refused = std::mem::take(&mut self.unchecked);
        refused.extend(self.batcher.drain());
        self.refuse_reads(why);
        for behind in std::mem::take(&mut self.behind_barrier) {
            if let Behind::Refusal(pending) = behind {
                refused.push(pending);
            }
        }
        self.barrier = None;
        self.reads.drain(..).for_each(|(read, _)| (read.reply)(Err(why)));
        self.answer_all(refused, &Answer::Unavailable(why));
    }
}

impl Behind {
    fn is_given_up(&self, waits: &Waits) -> bool {
        matches!(self, Behind::Wait(id) if !waits.contains(*id))
    }

    // A wait has no deadline here: its door cancels it.
    fn is_overdue(&self, now: Mono) -> bool {
        match self {
            Behind::Read(_, due) | Behind::Index(_, due) => *due <= now,
            Behind::Refusal(pending) => pending.due <= now,
            Behind::Watch(watching) => watching.due <= now,
            Behind::Wait(_) => false,
        }
    }
}
