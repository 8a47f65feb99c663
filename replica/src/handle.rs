//! What a door asks of the replica, and what it is told.
//!
//! ```text
//! door ──submit──▶ inbox ──▶ driver ──▶ batch ──▶ log ──▶ table
//!   ◀──────────────── reply(Answer) ◀─────────────────────┘
//! ```
//!
//! A [`Handle`] never blocks on a disk or a peer: it puts the ask in the inbox and wakes the driver. Every ask is
//! answered exactly once, at its deadline at the latest; one whose replica has stopped is answered `Stopping`.

use std::fmt;
use std::sync::Arc;

use lease::{Claim, Command, Holder, Instance, Key, Outcome, Revision, Table, Time, Token, Ttl};

use crate::events::{Led, Pulled, Unwatchable, Wake, Watched};
use crate::members::{MemberChange, MemberView, Unchanged};
use crate::shared::Shared;

/// A way to ask one replica. Cheap to clone; any thread may use it.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// Called exactly once, on the replica's thread: it must not block.
pub type ReplyFn<T> = Box<dyn FnOnce(T) + Send>;

/// Called exactly once with the table, or with why it could not be had. The table's lock is held: it must be quick.
pub type LookFn = Box<dyn FnOnce(Result<(&Table, Reading), Unavailable>) + Send>;

/// A command to be proposed.
pub struct Proposal {
    /// What to do. An extend by a ttl of zero is by the grant's own.
    pub command: Command,
    /// What the door was told of the grant that `command` names by its token alone.
    pub named: Option<Named>,
    /// Whether a transfer may go to one who does not wait; of a revoke's heir it always may.
    pub heir: HeirMust,
    /// How long the caller waits: the answer comes within it. Has no effect once the lease clock passes its reading on
    /// arrival + this deadline + 500 ms.
    pub deadline: Ttl,
    /// Where the answer goes.
    pub reply: ReplyFn<Answer>,
}

/// What is asked of the one that a transfer goes to. The leader finds its instance in the line, and the ttl that it asked for
/// where the command's is zero; what the command itself says of the instance and the confirmation does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeirMust {
    /// It waits in line for the lease.
    #[default]
    Wait,
    /// It may also make a claim later: the grant is there for the first one.
    Claim,
}

/// The lease and instance that the caller says a token belongs to. The leader checks it before it proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// On which key.
    pub key: Key,
    /// Of which instance; none where an operator acts.
    pub instance: Option<Instance>,
    /// Of which holder, where the caller may act for that one alone.
    pub holder: Option<Holder>,
}

/// What came of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Agreed: what the table said, refusals among it.
    Decided {
        /// What it said.
        outcome: Outcome,
        /// The state that said so.
        at: Reading,
    },
    /// The token belongs to another lease or instance than the caller named.
    NotYours {
        /// Which of the two.
        whose: Whose,
        /// Who holds the lease that the caller named, and under which token.
        held: Option<(Holder, Token)>,
        /// The state that said so.
        at: Reading,
    },
    /// The lease is free, and others wait in line for it.
    Queued {
        /// The state that said so.
        at: Reading,
    },
    /// A transfer to one who does not wait for the lease.
    NotWaiting {
        /// The state that said so.
        at: Reading,
    },
    /// An acquire that was given up: no grant comes of it.
    NotItsTurn {
        /// The state that said so.
        at: Reading,
    },
    /// A newer acquire of the same holder and instance waits in this one's place.
    Replaced {
        /// The state that said so.
        at: Reading,
    },
    /// Surely not done, but of an acquire that waited: what was sent on for it may be granted yet.
    Unavailable(Unavailable),
    /// An acquire was not begun, and is surely not done: no claim was made of it, and no other member has heard of it.
    NotBegun(Unavailable),
    /// It may have been done, or may be yet until the command's `not_after`.
    Unknown,
}

/// Whose a token is that is not the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A grant of another lease than the caller names.
    AnotherLeases,
    /// A grant of that lease, to another instance.
    AnotherInstances,
}

/// Which state an answer was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its events so far.
    pub revision: Revision,
    /// Its lease clock.
    pub now: Time,
}

/// Why this member could not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The queue is full, or the deadline came first.
    Overloaded {
        /// When another try is likelier to pass.
        retry_after: Ttl,
    },
    /// There is no leader with a quorum that this member knows of.
    NoLeader,
    /// This member has had no news of a leader for 3 s.
    Behind,
    /// This member hears the leader, which has answered nothing that it was asked for 3 s: what comes from here does not arrive there.
    Unanswered,
    /// The member is stopping.
    Stopping,
    /// The member's disk is full.
    DiskFull,
    /// The member's disk has not synced for 3 s.
    DiskStalled,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::Overloaded { retry_after } => write!(f, "overloaded, try again in {retry_after}"),
            Unavailable::NoLeader => f.write_str("no leader with a quorum"),
            Unavailable::Behind => f.write_str("no news of a leader for 3 s"),
            Unavailable::Unanswered => {
                f.write_str("the leader is heard, and has not answered this member for 3 s")
            }
            Unavailable::Stopping => f.write_str("stopping"),
            Unavailable::DiskFull => f.write_str("the disk is full"),
            Unavailable::DiskStalled => f.write_str("the disk has not synced for 3 s"),
        }
    }
}

/// A read to be made at the replica.
pub struct Read {
    /// From this member's state as it is, which may be old. Otherwise from one that has every command answered before the read was
    /// asked for, which needs a leader with a quorum.
    pub stale: bool,
    /// How long the caller waits.
    pub deadline: Ttl,
    /// Where the table goes.
    pub reply: LookFn,
}

/// What a wait ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The lease was free at the end of a batch.
    Free(Reading),
    /// No state is as new as the wait asks for, as a barrier shows.
    Ahead {
        /// The revision that it names.
        after: Revision,
        /// The newest one.
        newest: Revision,
    },
    /// The wait cannot be kept.
    Unavailable(Unavailable),
}

/// A wait's number, to cancel it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitId(pub(crate) u64);

/// How a member is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Which member this is.
    pub member: u64,
    /// Raft's term.
    pub term: u64,
    /// The leader that this member knows of.
    pub leader: Option<u64>,
    /// Whether this member leads, and has anchored the lease clock.
    pub leads: bool,
    /// Whether it serves: as the leader, or by one that it knows of.
    pub serving: bool,
    /// The last applied entry's index.
    pub applied: u64,
    /// The log's last entry's index, as of a moment ago.
    pub last: u64,
    /// The state's reading.
    pub reading: Reading,
    /// Grants that live.
    pub held: u64,
    /// Waits registered here.
    pub waits: u64,
    /// Watches that have begun.
    pub watches: u64,
    /// Acquires that are not answered.
    pub acquires: u64,
    /// Those of them whose place in line is known: here, or at the leader.
    pub in_line: u64,
    /// Reads that were asked for here since the start, those of old state left out: each took a word of the leader's. It is told before
    /// the read is answered.
    pub reads: u64,
    /// Commands that are not yet in a batch.
    pub queued: u64,
    /// How much lease time was not counted, because of stalls.
    pub lease_clock_skipped: Ttl,
    /// How long the oldest record has waited for its sync.
    pub unsynced_for: Ttl,
    /// Why this member does not serve; none where it does.
    pub trouble: Option<Unavailable>,
    /// Whether this member is to be left alone; it serves all the same.
    pub drains: bool,
}

/// Whose state is read here, and how old it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// The member.
    pub member: u64,
    /// How long ago it last heard the leader, or as the leader a quorum: what was done since may be missing, and what was done just
    /// before. None where it has heard none since it started.
    pub heard_ago: Option<Ttl>,
}

impl Handle {
    /// Asks for one command.
    pub fn propose(&self, proposal: Proposal) {
        self.shared.submit([proposal]);
    }

    /// Asks for many commands, each answered by itself.
    pub fn propose_all(&self, proposals: impl IntoIterator<Item = Proposal>) {
        self.shared.submit(proposals);
    }

    /// Reads the table.
    pub fn read(&self, read: Read) {
        self.shared.read(read);
    }

    /// Reads this member's own table as it stands. The table's lock is held: it must be quick.
    pub fn peek<T>(&self, look: impl FnOnce(&Table, Reading) -> T) -> T {
        self.shared.peek(look)
    }

    /// Registers a wait: `reply` is called once the lease of `key` is free, in a state of at least revision `after`
    /// where that is given, and otherwise in one that is no older than this call. The answer may come before this
    /// returns. A revision that does not exist yet is not waited for.
    pub fn wait(&self, key: Key, after: Option<Revision>, reply: ReplyFn<Waited>) -> WaitId {
        self.shared.wait(key, after, reply)
    }

    /// Gives a wait up. False where it has been answered, or is being answered.
    pub fn cancel(&self, wait: WaitId) -> bool {
        self.shared.cancel(wait)
    }

    /// Claims a lease, or waits in line for it: `reply` is called once the claim is granted, or a grant has come by waiting,
    /// or neither can be. There is no deadline: whoever stops waiting gives it up, or leaves.
    pub fn acquire(&self, claim: Claim, reply: ReplyFn<Answer>) -> WaitId {
        self.shared.acquire(claim, reply)
    }

    /// Gives an acquire up, and its place in line. It is answered all the same: [`Answer::NotItsTurn`] at once, unless a grant may
    /// be on its way; then with what comes of that.
    pub fn give_up(&self, acquire: WaitId) {
        self.shared.give_up(acquire);
    }

    /// The connection that asked for an acquire is gone: its place is kept for [`crate::PLACE_KEPT`], so that the same holder
    /// and instance may ask again from there.
    pub fn leave(&self, acquire: WaitId) {
        self.shared.leave(acquire);
    }

    /// Watches leases: every event after `after`, or from now on. `reply` is given the revision that the watch begins behind;
    /// from then on `wake` is called when there is something to [`Handle::pull`] after a pull that said there is no more. The
    /// answer comes within [`lease::DEADLINE_DEFAULT`]; to pull before it is no harm.
    pub fn watch(
        &self,
        watched: Watched,
        after: Option<Revision>,
        wake: Wake,
        reply: ReplyFn<Result<Revision, Unwatchable>>,
    ) -> WaitId {
        self.shared.watch(watched, after, wake, reply)
    }

    /// The next events of a watch, at most `limit`.
    ///
    /// # Errors
    /// It cannot go on, and has ended.
    pub fn pull(&self, watch: WaitId, limit: usize) -> Result<Pulled, Unwatchable> {
        self.shared.state().events.pull(watch.0, limit)
    }

    /// Ends a watch.
    pub fn unwatch(&self, watch: WaitId) {
        self.shared.unwatch(watch);
    }

    /// Keeps a ledger from now on, for one reader: each grant and each end that this member decides while it leads. `wake` is called
    /// when there is something to [`Handle::pull_ledger`] after a pull that said there is no more. A second one takes the first one's place.
    pub fn keep_ledger(&self, wake: Wake) {
        self.shared.state().events.keep_ledger(wake);
    }

    /// The next of the ledger, from at most `limit` events. It can be read after the replica has stopped, too.
    pub fn pull_ledger(&self, limit: usize) -> Led {
        self.shared.state().events.pull_led(limit)
    }

    /// Changes who belongs to the cluster, or only looks; `reply` is told how the members stand then, within `deadline`.
    pub fn change_members(
        &self,
        change: MemberChange,
        deadline: Ttl,
        reply: ReplyFn<Result<Vec<MemberView>, Unchanged>>,
    ) {
        self.shared.change_members(change, deadline, reply);
    }

    /// The members as this one knows them, from the entries that it has applied: without a leader's news of each.
    pub fn members(&self) -> Vec<MemberView> {
        self.shared.members()
    }

    /// How old what is read here may be.
    pub fn age(&self) -> Age {
        self.shared.age()
    }

    /// Ids of members that were removed, as far as this member knows.
    pub fn removed(&self) -> Vec<u64> {
        self.shared.state().removed.iter().copied().collect()
    }

    /// Whether so much waits here that claims may soon be turned away: reads and newcomers are to be held back.
    pub fn is_pressed(&self) -> bool {
        self.shared.is_pressed()
    }

    /// When to come back, where there is no room for claims.
    pub fn turns_claims_away(&self) -> Option<Ttl> {
        self.shared.is_full().then(|| self.shared.retry_after())
    }

    /// How this member is.
    pub fn status(&self) -> Status {
        self.shared.status()
    }
}
