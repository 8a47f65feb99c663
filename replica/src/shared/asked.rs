//! What doors ask: it is put into the inbox, and whoever asks where it cannot be taken is answered at once.

use std::sync::atomic::Ordering;

use lease::{Claim, Command, Key, RETRY_AFTER_MIN, Revision, Ttl};

use super::{Shared, Stage, State, Watching};
use crate::desks::Registration;
use crate::driver::{Changed, Changing};
use crate::events::{Unwatchable, Wake, Watched};
use crate::handle::{Answer, Proposal, Read, ReplyFn, Unavailable, WaitId, Waited};
use crate::members::{MemberChange, Unchanged};
use crate::queue::Via;
use crate::waits::tell_free;

/// How soon another try is likelier to pass, when the queue is full.
pub(crate) const RETRY_AFTER: Ttl = RETRY_AFTER_MIN;

impl Shared {
    pub(crate) fn submit(&self, proposals: impl IntoIterator<Item = Proposal>) {
        let now = self.clock.now();
        let mut inbox = self.inbox();
        if inbox.stage != Stage::Running {
            drop(inbox);
            return refuse(proposals, Unavailable::Stopping);
        }
        let (backlog, is_full) = (self.backlog.load(Ordering::Relaxed), self.is_full());
        let mut refused = Vec::new();
        for proposal in proposals {
            // As in the batcher: extends find room where nothing else does, and who frees a lease where claims do not.
            let room = match &proposal.command {
                Command::Extend { .. } => 2 * self.room,
                Command::Claim(_) if is_full => 0,
                Command::Claim(_) => self.room,
                _ => self.room + self.room / 2,
            };
            match inbox.proposals.len() + backlog < room {
                true => {
                    let due = now.after(proposal.deadline);
                    inbox.proposals.push((proposal, due));
                }
                false => refused.push(proposal),
            }
        }
        let is_new = !inbox.proposals.is_empty();
        drop(inbox);
        if is_new {
            self.poke();
        }
        refuse(refused, Unavailable::Overloaded { retry_after: self.retry_after() });
    }

    pub(crate) fn read(&self, read: Read) {
        let due = self.clock.now().after(read.deadline);
        let mut inbox = self.inbox();
        let full = inbox.reads.len() + self.reads.load(Ordering::Relaxed) >= self.room_for_reads();
        let refusal = match (inbox.stage, full) {
            (Stage::Running, false) => None,
            (Stage::Running, true) => Some(Unavailable::Overloaded { retry_after: RETRY_AFTER }),
            _ => Some(Unavailable::Stopping),
        };
        if let Some(why) = refusal {
            drop(inbox);
            return (read.reply)(Err(why));
        }
        inbox.reads.push((read, due));
        drop(inbox);
        self.poke();
    }

    pub(crate) fn wait(&self, key: Key, after: Option<Revision>, reply: ReplyFn<Waited>) -> WaitId {
        let id = self.new_id();
        let mut inbox = self.inbox();
        if inbox.stage != Stage::Running {
            drop(inbox);
            reply(Waited::Unavailable(Unavailable::Stopping));
            return WaitId(id);
        }
        // Without a revision, the wait stays behind every state until a barrier, asked for after it, has passed. With one that this
        // member's state has not reached, the barrier shows whether there is such a state at all.
        let mut state = self.state();
        if state.waits.is_full() {
            drop((state, inbox));
            reply(Waited::Unavailable(Unavailable::Overloaded { retry_after: RETRY_AFTER }));
            return WaitId(id);
        }
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::WaitAfterRead) && state.table.is_free(&key) {
            reply(Waited::Free(state.reading()));
            return WaitId(id);
        }
        state.waits.register(id, key, after, reply);
        let reading = state.reading();
        match after.is_some_and(|after| after <= reading.revision) {
            true => {
                drop(inbox);
                let State { table, waits, .. } = &mut *state;
                let due = waits.batch_applied(&[], reading.revision, |key| table.is_free(key));
                drop(state);
                tell_free(due, reading);
            }
            false => {
                drop(state);
                inbox.waits.push(id);
                drop(inbox);
                self.poke();
            }
        }
        WaitId(id)
    }

    pub(crate) fn cancel(&self, wait: WaitId) -> bool {
        self.state().waits.cancel(wait.0)
    }

    pub(crate) fn acquire(&self, claim: Claim, reply: ReplyFn<Answer>) -> WaitId {
        let id = self.new_id();
        let mut inbox = self.inbox();
        if inbox.stage != Stage::Running {
            drop(inbox);
            reply(Answer::NotBegun(Unavailable::Stopping));
            return WaitId(id);
        }
        let mut state = self.state();
        if state.queue.len() >= lease::ACQUIRES_MAX {
            drop((state, inbox));
            reply(Answer::NotBegun(Unavailable::Overloaded { retry_after: RETRY_AFTER }));
            return WaitId(id);
        }
        state.queue.ask(id, claim, None, None, reply);
        drop(state);
        inbox.acquires.push(id);
        drop(inbox);
        self.poke();
        WaitId(id)
    }

    pub(crate) fn give_up(&self, acquire: WaitId) {
        let mut state = self.state();
        let at = state.reading();
        let due = state.queue.give_up(acquire.0, at);
        drop(state);
        due.into_iter().for_each(|(reply, answer)| reply(answer));
        // Where another member leads, it is to know.
        self.poke();
    }

    /// A number for a wait, an acquire or a watch.
    pub(crate) fn new_id(&self) -> u64 {
        self.next_wait.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps what an acquire that came through another member was answered, until the driver sends it there.
    pub(crate) fn post(&self, via: Via, registration: Registration, answer: Answer) {
        self.inbox().letters.push((via, registration, answer));
        self.poke();
    }

    pub(crate) fn watch(
        &self,
        watched: Watched,
        after: Option<Revision>,
        wake: Wake,
        reply: ReplyFn<Result<Revision, Unwatchable>>,
    ) -> WaitId {
        let id = self.new_id();
        let due = self.clock.now().after(lease::DEADLINE_DEFAULT);
        let mut inbox = self.inbox();
        if inbox.stage != Stage::Running {
            drop(inbox);
            reply(Err(Unwatchable::Unavailable(Unavailable::Stopping)));
            return WaitId(id);
        }
        let mut state = self.state();
        if !state.events.has_room() {
            drop((state, inbox));
            reply(Err(Unwatchable::Unavailable(Unavailable::Overloaded { retry_after: RETRY_AFTER })));
            return WaitId(id);
        }
        state.events.ask(id);
        drop(state);
        inbox.watches.push(Watching { id, watched, after, wake, due, reply });
        drop(inbox);
        self.poke();
        WaitId(id)
    }

    pub(crate) fn unwatch(&self, watch: WaitId) {
        self.state().events.unwatch(watch.0);
    }

    pub(crate) fn leave(&self, acquire: WaitId) {
        let now = self.clock.now();
        self.state().queue.leave(acquire.0, now);
        self.poke();
    }

    pub(crate) fn change_members(&self, change: MemberChange, deadline: Ttl, reply: ReplyFn<Changed>) {
        let due = self.clock.now().after(deadline);
        let mut inbox = self.inbox();
        if inbox.stage != Stage::Running {
            drop(inbox);
            return reply(Err(Unchanged::NoLeader));
        }
        inbox.changes.push(Changing { change, due, is_passed_on: false, reply });
        drop(inbox);
        self.poke();
    }
}

fn refuse(proposals: impl IntoIterator<Item = Proposal>, why: Unavailable) {
    proposals.into_iter().for_each(|proposal| (proposal.reply)(Answer::Unavailable(why)));
}
