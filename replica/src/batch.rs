//! The batcher: what was asked for becomes entries of the log.
//!
//! One entry carries up to 1,024 commands or about 64 KiB, and two entries are in flight. There is no linger timer, the entry in
//! flight is the timer, but where there is much to carry (`pace`). Extends come before releases, those before acquires and what
//! operators ask, and those before claims, so that no flood of claims makes a holder lose what it has. Within a class it is first
//! come, first served. Each is bounded, and what does not fit or cannot be done in time is refused at once (`admission`): nobody waits 57 s.
//!
//! Pure: time comes in as an argument, and what is due is handed out, not sent.

use std::collections::VecDeque;

use lease::{
    BATCH_BYTES_SEAL, BATCH_COMMANDS_MAX, Batch, Command, Key, QUEUE_MAX, Request, Succeed, Time, Ttl,
};

use crate::admission::{Admission, Load};
use crate::clock::Mono;
use crate::handle::{Answer, HeirMust, Named, ReplyFn};

/// A command on its way, and where its answer goes.
pub(crate) struct Pending {
    pub(crate) request: Request,
    pub(crate) named: Option<Named>,
    pub(crate) heir: HeirMust,
    /// When the caller stops waiting.
    pub(crate) due: Mono,
    /// Another member asks, and has said until when it may have an effect: it is not passed on to a third.
    pub(crate) is_passed_on: bool,
    pub(crate) asker: Asker,
}

/// Who is to be answered.
pub(crate) enum Asker {
    /// Whoever proposed the command.
    Caller(ReplyFn<Answer>),
    /// The acquire of this number, which made a claim of it.
    Acquire(u64),
    /// The line of this key, of which the leader made a succession.
    Line(Key),
}

/// What waits for its batch, or for its frame to the leader.
pub(crate) struct Batcher {
    classes: [VecDeque<Pending>; 4],
    admission: Admission,
}

/// What shares a frame to the leader. Who keeps or frees a lease never waits for the answers to anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Extends, releases and transfers.
    Keeps,
    /// All else.
    Others,
}

impl Default for Batcher {
    fn default() -> Batcher {
        Batcher::new(QUEUE_MAX)
    }
}

/// A sealed batch, which nothing joins any more, and who waits for its outcomes, in order.
pub(crate) struct Sealed {
    pub(crate) batch: Batch,
    pub(crate) pending: Vec<Pending>,
    /// What may not go into this batch, and is to be looked at anew.
    pub(crate) later: Vec<Pending>,
}

/// What a command makes of the line for its lease.
pub(crate) enum Turn {
    /// Nothing.
    None,
    /// It frees the lease, and this one is next.
    Behind(Succeed),
    /// It claims the lease, and this one is next, should the lease be free by then.
    Before(Succeed),
    /// It claims the lease, whose next one has a succession on its way already: how that ends is to be seen first.
    Later,
}

impl Batcher {
    /// So many commands of a kind may wait.
    pub(crate) fn new(limit: usize) -> Batcher {
        Batcher { classes: Default::default(), admission: Admission::new(limit) }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.classes.iter().map(VecDeque::len).sum()
    }

    /// How many wait that share a frame.
    pub(crate) fn len_of(&self, lane: Lane) -> usize {
        lane.classes().map(|class| self.classes[class].len()).sum()
    }

    /// How pressed this member is.
    pub(crate) fn load(&self) -> Load {
        self.admission.load(self.classes[CLAIM].len())
    }

    /// When whoever is turned away now should come back.
    pub(crate) fn retry_after(&self) -> Ttl {
        self.admission.retry_after(self.classes[CLAIM].len())
    }

    /// Takes a command in, or hands it back where there is no room for it or it could not be done in time. Each kind finds room for
    /// itself, as much as the whole queue; but claims only what is done soon.
    #[must_use]
    pub(crate) fn push(&mut self, pending: Pending, now: Mono) -> Option<Pending> {
        let class = class_of(&pending);
        let waiting = self.classes[class].len();
        let room = match class {
            CLAIM => self.admission.lets_in(waiting, pending.due.since(now)),
            _ => waiting < self.admission.limit(),
        };
        match room {
            true => {
                self.classes[class].push_back(pending);
                None
            }
            false => Some(pending),
        }
    }

    /// Puts commands back that a batch carried which was surely not appended, in front of what came later.
    pub(crate) fn put_back(&mut self, pending: Vec<Pending>) {
        for pending in pending.into_iter().rev() {
            self.classes[class_of(&pending)].push_front(pending);
        }
    }

    /// Seals the next batch; it may be empty, which is a tick. `stamp` was read after the last command joined. Behind the
    /// extends come `turns`, and beside each command what `turn` makes of it.
    pub(crate) fn seal(
        &mut self,
        term: u64,
        stamp: Time,
        sweep: u32,
        mono: Mono,
        turns: Vec<Succeed>,
        mut turn: impl FnMut(&Command) -> Turn,
    ) -> Sealed {
        let mut later = Vec::new();
        let mut filling = Filling::default();
        let room = BATCH_COMMANDS_MAX.saturating_sub(turns.len());
        while filling.has_room(room) {
            let Some(extend) = self.classes[EXTEND].pop_front() else { break };
            filling.push(extend);
        }
        turns.into_iter().map(succession).for_each(|turn| filling.push(turn));
        // A command and the succession behind it go in one entry, so one place is left for that.
        while filling.has_room(BATCH_COMMANDS_MAX - 1) {
            let Some(next) = self.classes.iter_mut().find_map(VecDeque::pop_front) else { break };
            match turn(&next.request.command) {
                Turn::None => filling.push(next),
                Turn::Behind(succeed) => {
                    filling.push(next);
                    filling.push(succession(succeed));
                }
                Turn::Before(succeed) => {
                    filling.push(succession(succeed));
                    filling.push(next);
                }
                Turn::Later => later.push(next),
            }
        }
        let pending = filling.pending;
        self.note_gone(mono, &pending);
        let requests = pending.iter().map(|pending| pending.request.clone()).collect();
        Sealed { batch: Batch { term, stamp, sweep, requests }, pending, later }
    }

    /// Takes out what goes to the leader in one frame.
    pub(crate) fn take_frame(&mut self, lane: Lane, now: Mono) -> Vec<Pending> {
        let mut filling = Filling::default();
        while filling.has_room(BATCH_COMMANDS_MAX) {
            let Some(next) = lane.classes().find_map(|class| self.classes[class].pop_front()) else { break };
            filling.push(next);
        }
        if lane == Lane::Others {
            self.note_gone(now, &filling.pending);
        }
        filling.pending
    }

    fn note_gone(&mut self, at: Mono, gone: &[Pending]) {
        let claims = gone.iter().filter(|pending| class_of(pending) == CLAIM).count();
        self.admission.went(at, claims, self.classes[CLAIM].len());
    }

    /// Takes out whoever stopped waiting before `now`.
    pub(crate) fn take_overdue(&mut self, now: Mono) -> Vec<Pending> {
        let mut overdue = Vec::new();
        let is_late = |class: &VecDeque<Pending>| class.iter().any(|pending| pending.due <= now);
        // To look costs little where nobody is; to move a long queue every few milliseconds would not.
        for class in self.classes.iter_mut().filter(|class| is_late(class)) {
            let all = std::mem::take(class);
            let (gone, kept): (VecDeque<_>, VecDeque<_>) =
                all.into_iter().partition(|pending| pending.due <= now);
            overdue.extend(gone);
            *class = kept;
        }
        self.note_idle();
        overdue
    }

    /// Takes out everything.
    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        let all = self.classes.iter_mut().flat_map(std::mem::take).collect();
        self.note_idle();
        all
    }

    /// Where no claim waits any more, the time until the next one comes is nobody's.
    fn note_idle(&mut self) {
        if self.classes[CLAIM].is_empty() {
            self.admission.rests();
        }
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct Filling {
    pending: Vec<Pending>,
    bytes: usize,
}

impl Filling {
    fn has_room(&self, commands: usize) -> bool {
        self.pending.len() < commands && self.bytes < BATCH_BYTES_SEAL
    }

    fn push(&mut self, pending: Pending) {
        self.bytes += size_of_command(&pending.request.command);
        self.pending.push(pending);
    }
}

/// The leader's own command: it comes of no caller, who could stop waiting for it.
fn succession(succeed: Succeed) -> Pending {
    let asker = Asker::Line(succeed.key.clone());
    let request = Request { not_after: None, command: Command::Succeed(succeed) };
    let due = Mono(u64::MAX);
    Pending { request, named: None, heir: HeirMust::Wait, due, is_passed_on: false, asker }
}

const EXTEND: usize = 0;
const RELEASE: usize = 1;
const WAIT: usize = 2;
const CLAIM: usize = 3;

impl Lane {
    fn classes(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Lane::Keeps => EXTEND..=RELEASE,
            Lane::Others => WAIT..=CLAIM,
        }
    }
}

fn class_of(pending: &Pending) -> usize {
    match (&pending.request.command, &pending.asker) {
        (Command::Extend { .. }, _) => EXTEND,
        (Command::Release { .. } | Command::Transfer { .. }, _) => RELEASE,
        (Command::Claim(_), Asker::Caller(_)) => CLAIM,
        // An acquire that finds its lease free, and what operators ask: few, and asked for by somebody who waits.
        _ => WAIT,
    }
}

/// What a command takes in the log beside its strings, about.
const FIXED: usize = 40;

/// About how many bytes a command takes in the log: what its strings weigh, and a fixed part.
fn size_of_command(command: &Command) -> usize {
    let strings = match command {
        Command::Claim(claim) => {
            let value = claim.value.as_ref().map_or(0, |value| value.as_str().len());
            size_of_key(&claim.key) + claim.holder.as_str().len() + value
        }
        Command::Succeed(succeed) => return size_of_succeed(succeed),
        Command::Transfer { to, .. } => to.holder.as_str().len(),
        Command::Revoke { why, heir, .. } => {
            why.as_str().len() + heir.as_ref().map_or(0, |heir| heir.holder.as_str().len())
        }
        Command::Pin { key, entity, why } => size_of_key(key) + entity.as_str().len() + why.as_str().len(),
        Command::Unpin { key, entity } => size_of_key(key) + entity.as_str().len(),
        Command::Extend { .. } | Command::Release { .. } | Command::Set { .. } => 0,
    };
    FIXED + strings
}

/// About how many bytes a succession takes in the log.
pub(crate) fn size_of_succeed(succeed: &Succeed) -> usize {
    FIXED + size_of_key(&succeed.key) + succeed.to.holder.as_str().len()
}

fn size_of_key(key: &Key) -> usize {
    key.namespace.as_str().len() + key.name.as_str().len()
}

#[cfg(test)]
mod tests {
    use lease::{Claim, Heir, Holder, Instance, Name, Namespace, SWEEP_MAX, Seq, Token, Ttl};

    use super::*;

    fn pending(command: Command, due: u64) -> Pending {
        Pending {
            request: Request { not_after: None, command },
            named: None,
            heir: HeirMust::Wait,
            due: Mono(due),
            is_passed_on: false,
            asker: Asker::Caller(Box::new(|_| {})),
        }
    }

    fn extend(token: u64) -> Command {
        Command::Extend { token: Token::from_u64(token), ttl: Ttl::from_millis(1_000) }
    }

    fn release(token: u64) -> Command {
        Command::Release { token: Token::from_u64(token) }
    }

    fn claim(name: &str) -> Command {
        let namespace = Namespace::parse("n").unwrap_or_else(|error| panic!("{error}"));
        let name = Name::parse(name).unwrap_or_else(|error| panic!("{error}"));
        let holder = Holder::parse("h").unwrap_or_else(|error| panic!("{error}"));
        let ttl = Ttl::from_millis(1_000);
        Command::Claim(Claim {
            key: Key { namespace, name },
            holder,
            instance: Instance(1),
            seq: Seq(1),
            ttl,
            value: None,
        })
    }

    fn push(batcher: &mut Batcher, command: Command) {
        assert!(batcher.push(pending(command, 100), Mono(0)).is_none());
    }

    fn seal(batcher: &mut Batcher, term: u64, stamp: u64) -> Sealed {
        batcher.seal(term, Time::from_nanos(stamp), SWEEP_MAX, Mono(0), Vec::new(), |_| Turn::None)
    }

    fn commands(sealed: &Sealed) -> Vec<Command> {
        sealed.batch.requests.iter().map(|request| request.command.clone()).collect()
    }

    #[test]
    fn extends_come_first_then_releases_then_the_rest_each_in_order() {
        let mut batcher = Batcher::default();
        for command in [claim("a"), release(1), extend(2), claim("b"), extend(3)] {
            push(&mut batcher, command);
        }
        let sealed = seal(&mut batcher, 7, 9);
        assert_eq!(commands(&sealed), [extend(2), extend(3), release(1), claim("a"), claim("b")]);
        assert_eq!((sealed.batch.term, sealed.batch.stamp), (7, Time::from_nanos(9)));
        assert_eq!(sealed.pending.len(), 5);
        assert_eq!(batcher.len(), 0);
    }

    #[test]
    fn a_batch_is_sealed_at_its_limit_of_commands() {
        let mut batcher = Batcher::default();
        for token in 0..2_000 {
            push(&mut batcher, extend(token));
        }
        assert_eq!(seal(&mut batcher, 1, 0).batch.requests.len(), BATCH_COMMANDS_MAX);
        assert_eq!(batcher.len(), 2_000 - BATCH_COMMANDS_MAX);
    }

    #[test]
    fn a_batch_is_sealed_at_its_limit_of_bytes() {
        let mut batcher = Batcher::default();
        for _ in 0..1_000 {
            push(&mut batcher, claim(&"x".repeat(200)));
        }
        let sealed = seal(&mut batcher, 1, 0);
        let size: usize = sealed.batch.requests.iter().map(|request| size_of_command(&request.command)).sum();
        assert!((BATCH_BYTES_SEAL..BATCH_BYTES_SEAL + 300).contains(&size), "{size} bytes");
    }

    #[test]
    fn a_full_room_refuses_its_own_kind_and_no_other() {
        let mut batcher = Batcher::new(10);
        for _ in 0..10 {
            push(&mut batcher, claim("a"));
        }
        assert!(batcher.push(pending(claim("b"), 100), Mono(0)).is_some());
        for _ in 0..10 {
            push(&mut batcher, extend(1));
        }
        assert!(batcher.push(pending(extend(2), 100), Mono(0)).is_some());
        push(&mut batcher, release(1));
        let asker = Asker::Acquire(7);
        assert!(batcher.push(Pending { asker, ..pending(claim("c"), 100) }, Mono(0)).is_none());
        assert_eq!((batcher.load(), batcher.len_of(Lane::Keeps)), (Load::Full, 11));
        let sealed = seal(&mut batcher, 1, 0);
        assert!(matches!(sealed.pending[11].asker, Asker::Acquire(7)), "behind releases, before claims");
    }

    #[test]
    fn what_was_surely_not_appended_goes_back_to_the_front_in_order() {
        let mut batcher = Batcher::default();
        push(&mut batcher, extend(1));
        push(&mut batcher, extend(2));
        let sealed = seal(&mut batcher, 1, 0);
        push(&mut batcher, extend(3));
        batcher.put_back(sealed.pending);
        assert_eq!(commands(&seal(&mut batcher, 2, 0)), [extend(1), extend(2), extend(3)]);
    }

    #[test]
    fn a_frame_to_the_leader_has_what_keeps_and_frees_leases_or_all_else() {
        let mut batcher = Batcher::default();
        for command in [claim("a"), release(1), extend(2), claim("b")] {
            push(&mut batcher, command);
        }
        let mut frame = |lane| -> Vec<Command> {
            batcher.take_frame(lane, Mono(0)).into_iter().map(|pending| pending.request.command).collect()
        };
        assert_eq!(frame(Lane::Others), [claim("a"), claim("b")]);
        assert_eq!(frame(Lane::Keeps), [extend(2), release(1)]);
        assert_eq!((frame(Lane::Keeps), frame(Lane::Others)), (vec![], vec![]));
    }

    #[test]
    fn a_succession_goes_right_beside_the_command_that_makes_it() {
        let mut batcher = Batcher::default();
        for command in [claim("b"), claim("c"), claim("d"), release(1), release(2), extend(7)] {
            push(&mut batcher, command);
        }
        let to = || Heir {
            holder: Holder::parse("w").unwrap_or_else(|error| panic!("{error}")),
            instance: Instance(1),
            ttl: Ttl::from_millis(1_000),
            confirm: Ttl::from_millis(500),
        };
        let Command::Claim(Claim { key, .. }) = claim("a") else { panic!("a claim is a claim") };
        let succeed = Succeed { key, to: to() };
        let turn = |command: &Command| match command {
            it if *it == release(1) => Turn::Behind(succeed.clone()),
            it if *it == claim("b") => Turn::Before(succeed.clone()),
            it if *it == claim("c") => Turn::Later,
            _ => Turn::None,
        };
        let sealed = batcher.seal(1, Time::ZERO, SWEEP_MAX, Mono(0), vec![succeed.clone()], turn);
        let next = || Command::Succeed(succeed.clone());
        assert_eq!(
            commands(&sealed),
            [extend(7), next(), release(1), next(), release(2), next(), claim("b"), claim("d")]
        );
        let later = sealed.later.into_iter().map(|pending| pending.request.command);
        assert_eq!(later.collect::<Vec<_>>(), [claim("c")]);
    }

    #[test]
    fn the_overdue_are_taken_out_and_the_others_keep_their_order() {
        let mut batcher = Batcher::default();
        for (token, due) in [(1, 10), (2, 30), (3, 20), (4, 40)] {
            assert!(batcher.push(pending(extend(token), due), Mono(0)).is_none());
        }
        assert_eq!(batcher.take_overdue(Mono(20)).len(), 2);
        assert_eq!(commands(&seal(&mut batcher, 1, 0)), [extend(2), extend(4)]);
    }
}
