//! What the service asks of the replica: a seam, so that tests can stand a mute or a slow replica behind the doors.

use lease::{Claim, Key, Revision, Table, Ttl};
use replica::{
    Age, Answer, FrozenState, Handle, MemberChange, MemberView, Proposal, Pulled, Read, Reading, ReplyFn,
    Status, Unchanged, Unwatchable, WaitId, Waited, Wake, Watched,
};

/// A replica as the service sees it.
pub(crate) trait Backend: Send + Sync + 'static {
    /// As [`Handle::propose`].
    fn propose(&self, proposal: Proposal);
    /// As [`Handle::propose_all`].
    fn propose_all(&self, proposals: Vec<Proposal>);
    /// As [`Handle::read`].
    fn read(&self, read: Read);
    /// As [`Handle::peek`]: the table is locked, so it must be quick.
    fn look(&self, look: &mut dyn FnMut(&Table, Reading));
    /// As [`Handle::wait`].
    fn wait(&self, key: Key, after: Option<Revision>, reply: ReplyFn<Waited>) -> Ticket;
    /// As [`Handle::acquire`].
    fn acquire(&self, claim: Claim, reply: ReplyFn<Answer>) -> Ticket;
    /// As [`Handle::give_up`].
    fn give_up(&self, ticket: Ticket);
    /// As [`Handle::leave`].
    fn leave(&self, ticket: Ticket);
    /// As [`Handle::watch`].
    fn watch(
        &self,
        watched: Watched,
        after: Option<Revision>,
        wake: Wake,
        reply: ReplyFn<Result<Revision, Unwatchable>>,
    ) -> Ticket;
    /// As [`Handle::pull`].
    fn pull(&self, ticket: Ticket, limit: usize) -> Result<Pulled, Unwatchable>;
    /// As [`Handle::unwatch`].
    fn unwatch(&self, ticket: Ticket);
    /// As [`Handle::cancel`].
    fn cancel(&self, ticket: Ticket) -> bool;
    /// As [`Handle::change_members`].
    fn change_members(&self, change: MemberChange, deadline: Ttl, reply: ReplyFn<Changed>);
    /// As [`Handle::age`].
    fn age(&self) -> Age;
    /// As [`Handle::members`].
    fn members(&self) -> Vec<MemberView>;
    /// As [`Handle::removed`].
    fn removed(&self) -> Vec<u64>;
    /// As [`Handle::freeze`].
    fn freeze(&self) -> FrozenState;
    /// As [`Handle::status`].
    fn status(&self) -> Status;
    /// As [`Handle::is_pressed`].
    fn is_pressed(&self) -> bool;
    /// As [`Handle::turns_claims_away`].
    fn turns_claims_away(&self) -> Option<Ttl>;
}

/// What comes of a change of the members.
pub(crate) type Changed = Result<Vec<MemberView>, Unchanged>;

/// The number of a registered wait, acquire or watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// At the replica.
    Replica(WaitId),
    /// At a test's stand-in, which cannot make a replica's numbers.
    #[cfg(test)]
    Fake(u64),
}

impl Backend for Handle {
    fn propose(&self, proposal: Proposal) {
        Handle::propose(self, proposal);
    }

    fn propose_all(&self, proposals: Vec<Proposal>) {
        Handle::propose_all(self, proposals);
    }

    fn read(&self, read: Read) {
        Handle::read(self, read);
    }

    fn look(&self, look: &mut dyn FnMut(&Table, Reading)) {
        self.peek(|table, at| look(table, at));
    }

    fn wait(&self, key: Key, after: Option<Revision>, reply: ReplyFn<Waited>) -> Ticket {
        Ticket::Replica(Handle::wait(self, key, after, reply))
    }

    fn cancel(&self, ticket: Ticket) -> bool {
        match ticket {
            Ticket::Replica(wait) => Handle::cancel(self, wait),
            #[cfg(test)]
            Ticket::Fake(_) => false,
        }
    }

    fn acquire(&self, claim: Claim, reply: ReplyFn<Answer>) -> Ticket {
        Ticket::Replica(Handle::acquire(self, claim, reply))
    }

    fn give_up(&self, ticket: Ticket) {
        match ticket {
            Ticket::Replica(acquire) => Handle::give_up(self, acquire),
            #[cfg(test)]
            Ticket::Fake(_) => {}
        }
    }

    fn leave(&self, ticket: Ticket) {
        match ticket {
            Ticket::Replica(acquire) => Handle::leave(self, acquire),
            #[cfg(test)]
            Ticket::Fake(_) => {}
        }
    }

    fn watch(
        &self,
        watched: Watched,
        after: Option<Revision>,
        wake: Wake,
        reply: ReplyFn<Result<Revision, Unwatchable>>,
    ) -> Ticket {
        Ticket::Replica(Handle::watch(self, watched, after, wake, reply))
    }

    fn pull(&self, ticket: Ticket, limit: usize) -> Result<Pulled, Unwatchable> {
        match ticket {
            Ticket::Replica(watch) => Handle::pull(self, watch, limit),
            #[cfg(test)]
            Ticket::Fake(_) => Ok(Pulled::default()),
        }
    }

    fn unwatch(&self, ticket: Ticket) {
        match ticket {
            Ticket::Replica(watch) => Handle::unwatch(self, watch),
            #[cfg(test)]
            Ticket::Fake(_) => {}
        }
    }

    fn change_members(&self, change: MemberChange, deadline: Ttl, reply: ReplyFn<Changed>) {
        Handle::change_members(self, change, deadline, reply);
    }

    fn age(&self) -> Age {
        Handle::age(self)
    }

    fn members(&self) -> Vec<MemberView> {
        Handle::members(self)
    }

    fn removed(&self) -> Vec<u64> {
        Handle::removed(self)
    }

    fn freeze(&self) -> FrozenState {
        Handle::freeze(self)
    }

    fn status(&self) -> Status {
        Handle::status(self)
    }

    fn is_pressed(&self) -> bool {
        Handle::is_pressed(self)
    }

    fn turns_claims_away(&self) -> Option<Ttl> {
        Handle::turns_claims_away(self)
    }
}
