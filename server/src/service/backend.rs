//! What the service asks of the replica: a seam, so that tests can stand a mute or a slow replica behind the doors.

use lease::{Key, Revision, Table};
use replica::{Handle, Proposal, Read, Reading, ReplyFn, Status, WaitId, Waited};

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
    /// As [`Handle::cancel`].
    fn cancel(&self, ticket: Ticket) -> bool;
    /// As [`Handle::status`].
    fn status(&self) -> Status;
}

/// A registered wait's number.
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

    fn status(&self) -> Status {
        Handle::status(self)
    }
}
