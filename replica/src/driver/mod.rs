//! The driver: the one task through which everything asked of a member goes.
//!
//! ```text
//!  inbox ─▶ unchecked ─▶ check against the applied table ─▶ batcher ─▶ sealed ─▶ in flight (2) ─▶ answered
//!           (no anchor yet)      │ would be refused                                   │
//!                                ▼                                                    │ surely not appended
//!                             barrier ─▶ checked again: refused, or proposed ◀────────┘ (made anew)
//!
//!  where another leads:      unchecked ─▶ batcher ─▶ frames to the leader (4) ─▶ answered
//!                            reads and waits ─▶ barrier: the leader's index, reached here
//! ```
//!
//! [`admit`] checks, [`seal`] makes batches, [`answer`] and [`end`] tell, [`reads`] reads; [`role`] follows who leads,
//! [`forward`] asks that one, [`lines`] keeps waiters in line through it; [`members`] changes
//! who belongs to the cluster.
//!
//! It decides nothing about leases (the table does), about time (`clock`) or about batches (`batch`): it carries. One step
//! takes what has come, moves it as far as it goes, and says when to wake next. Refusals cost no entry: they are answered
//! from applied state behind a barrier that confirms that this member still leads.

mod admit;
mod answer;
mod end;
mod forward;
mod lines;
mod members;
mod reads;
mod role;
mod seal;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use lease::{Claim, Command, DEADLINE_DEFAULT, Outcome, Refusal, Request, Time, Ttl};
use openraft::async_runtime::AsyncRuntime;

use admit::{Barrier, Behind};
use forward::Forwarding;
use lines::Lines;
use members::Changes;
pub(crate) use members::{Changed, Changing};
use role::Role;

use crate::batch::{Asker, Batcher, Pending};
use crate::clock::{LeaseClock, Mono};
use crate::engine::{Engine, Leadership, Proposed};
use crate::handle::{Answer, HeirMust, Proposal, Read, Reading, Unavailable};
use crate::pace::Pace;
use crate::shared::{Shared, Stage};

/// Batches on their way at a time.
const IN_FLIGHT_MAX: usize = 2;
/// How far apart entries go where there is much to carry.
const ENTRIES: Pace = Pace::new(Ttl::from_millis(4), 32, 256);
/// How long after a refused append or barrier the next is tried: a new leader's first may be refused until its quorum has
/// answered.
const TRY_AGAIN: Ttl = Ttl::from_millis(5);
/// A member whose oldest record has waited so long for its sync is not ready.
pub(crate) const STALLED: Duration = Duration::from_millis(3_000);
/// How long a stopping member waits for what is in flight.
const STOP_WITHIN: Ttl = Ttl::from_millis(2_000);

pub(crate) struct Driver<E: Engine> {
    shared: Arc<Shared>,
    engine: E,
    snapshots: SnapshotTrigger,
    /// This member's id.
    me: u64,
    leadership: Leadership,
    role: Role,
    /// Of a leader, once its term's first entry is applied.
    clock: Option<LeaseClock>,
    skipped_before: Ttl,
    unchecked: Vec<Pending>,
    batcher: Batcher,
    sealed: u64,
    in_flight: Vec<InFlight<E::Proposing>>,
    completed: Vec<(Vec<Option<Pending>>, Proposed)>,
    barrier: Option<Barrier>,
    behind_barrier: Vec<Behind>,
    /// Reads whose barrier has passed.
    reads: VecDeque<(Read, Mono)>,
    forwarding: Forwarding,
    lines: Lines,
    changes: Changes,
    last_sealed: Mono,
    entries: Pace,
    last_stamp: Time,
    append_not_before: Mono,
    barrier_not_before: Mono,
    next_scan: Mono,
    /// When this member last had news of a quorum: from a leader, or as one.
    news_at: Mono,
    behind: bool,
    hand_on_not_before: Mono,
    stop_by: Option<Mono>,
    ended: bool,
    /// When the first of the commands that wait for a batch came.
    #[cfg(planted)]
    opened: Mono,
}

struct InFlight<P> {
    /// Batches are numbered as they are sealed.
    number: u64,
    outcome: P,
    pending: Vec<Option<Pending>>,
}

/// Who a member is among the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Me {
    /// Its id.
    pub(crate) member: u64,
    /// Which of its lives: at random.
    pub(crate) life: u64,
}

/// When the log has grown so much that a snapshot is due.
pub(crate) struct SnapshotTrigger {
    written: Arc<AtomicU64>,
    every_bytes: u64,
    next_at: u64,
}

impl SnapshotTrigger {
    /// After every so many bytes, the first time earlier, by a part that the member's id gives: or members that started together would
    /// all write theirs at once, and nobody be left who serves undisturbed. Those that did not are apart or together by chance.
    pub(crate) fn new(written: Arc<AtomicU64>, every_bytes: u64, member: u64) -> SnapshotTrigger {
        // Fibonacci hashing: ids beside each other come to lie far apart.
        let fraction = member.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let early = ((u128::from(every_bytes) * u128::from(fraction)) >> 32) as u64;
        SnapshotTrigger { written, every_bytes, next_at: every_bytes - early }
    }

    /// Of a log that is kept whole.
    pub(crate) fn never() -> SnapshotTrigger {
        SnapshotTrigger { written: Arc::default(), every_bytes: u64::MAX, next_at: u64::MAX }
    }

    /// Whether a snapshot is due; if so, the next is counted from here.
    fn take_due(&mut self) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        let due = written >= self.next_at;
        if due {
            self.next_at = written.saturating_add(self.every_bytes);
        }
        due
    }
}

impl<E: Engine> Driver<E> {
    pub(crate) fn new(shared: Arc<Shared>, engine: E, me: Me, snapshots: SnapshotTrigger) -> Driver<E> {
        let (news_at, room) = (shared.clock.now(), shared.room());
        Driver {
            shared,
            engine,
            snapshots,
            me: me.member,
            leadership: Leadership::default(),
            role: Role::Nobody,
            clock: None,
            skipped_before: Ttl::ZERO,
            unchecked: Vec::new(),
            batcher: Batcher::new(room),
            sealed: 0,
            in_flight: Vec::new(),
            completed: Vec::new(),
            barrier: None,
            behind_barrier: Vec::new(),
            reads: VecDeque::new(),
            forwarding: Forwarding::default(),
            lines: Lines::new(me),
            changes: Changes::default(),
            last_sealed: Mono(0),
            entries: ENTRIES,
            last_stamp: Time::ZERO,
            append_not_before: Mono(0),
            barrier_not_before: Mono(0),
            next_scan: Mono(0),
            news_at,
            behind: false,
            hand_on_not_before: Mono(0),
            stop_by: None,
            ended: false,
            #[cfg(planted)]
            opened: Mono(0),
        }
    }

    /// Runs until the replica is asked to stop, or its engine ends.
    pub(crate) async fn run<R: AsyncRuntime>(mut self) {
        loop {
            let wake_at = self.step().await;
            if self.is_finished() {
                break;
            }
            self.sleep::<R>(wake_at).await;
        }
        self.finish();
    }

    /// Moves everything as far as it goes; answers when to look again.
    pub(crate) async fn step(&mut self) -> Mono {
        let now = self.shared.clock.now();
        #[cfg(planted)]
        if self.batcher.len() == 0 {
            self.opened = now;
        }
        self.take_inbox(now);
        self.follow_leadership(now);
        self.settle_completed(now);
        self.settle_forwarded(now);
        self.settle_barrier(now);
        self.keep_lines(now);
        self.change_members(now);
        self.check_new(now);
        self.forward(now);
        self.start_barrier(now);
        let tick_at = self.propose_batches(now).await;
        self.settle_overdue(now);
        self.serve_reads();
        self.hand_on_if_unfit(now).await;
        if self.snapshots.take_due() {
            self.engine.snapshot().await;
        }
        self.publish();
        self.wake_at(now, tick_at)
    }

    fn take_inbox(&mut self, now: Mono) {
        let mut inbox = self.shared.inbox();
        let proposals = std::mem::take(&mut inbox.proposals);
        let reads = std::mem::take(&mut inbox.reads);
        let waits = std::mem::take(&mut inbox.waits);
        let acquires = std::mem::take(&mut inbox.acquires);
        let watches = std::mem::take(&mut inbox.watches);
        let incoming = std::mem::take(&mut inbox.incoming);
        self.changes.waiting.append(&mut inbox.changes);
        let stage = inbox.stage;
        drop(inbox);
        self.unchecked.extend(proposals.into_iter().map(|(proposal, due)| pending(proposal, due)));
        if self.role == Role::Leads {
            self.claim_acquires(acquires, now);
        }
        let barriers = reads.iter().filter(|(read, _)| !read.stale).count();
        if barriers > 0 {
            self.shared.publish(|status| status.reads += barriers as u64);
        }
        for (read, due) in reads {
            match read.stale {
                true => self.reads.push_back((read, due)),
                false => self.behind_barrier.push(Behind::Read(read, due)),
            }
        }
        self.behind_barrier.extend(waits.into_iter().map(Behind::Wait));
        self.behind_barrier.extend(watches.into_iter().map(Behind::Watch));
        incoming.into_iter().for_each(|incoming| self.take_incoming(incoming, now));
        if stage == Stage::Stopping && self.stop_by.is_none() {
            self.stop_by = Some(now.after(STOP_WITHIN));
            self.refuse_waiting(Unavailable::Stopping);
        }
    }

    /// Makes a claim of each acquire, which shows whether its holder has the lease already. One that has a place in line is there
    /// at once, so that nobody passes it meanwhile.
    fn claim_acquires(&mut self, acquires: Vec<u64>, now: Mono) {
        let term = self.leadership.term;
        let mut state = self.shared.state();
        let at = state.reading();
        let mut due = Vec::new();
        for id in acquires {
            if state.queue.has_place(id) {
                due.extend(state.queue.join(id, term, at));
            }
            let claim = state.queue.begin(id).cloned();
            self.unchecked.extend(claim.map(|claim| acquiring(id, claim, now)));
        }
        drop(state);
        due.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    fn settle_completed(&mut self, now: Mono) {
        for (pending, proposed) in std::mem::take(&mut self.completed) {
            match proposed {
                Proposed::Applied(done) => self.answer_outcomes(pending, done.outcomes, done.reading),
                Proposed::NotAppended => {
                    self.append_not_before = now.after(TRY_AGAIN);
                    self.ask_again(pending.into_iter().flatten().collect());
                }
                Proposed::Unknown => self.answer_all(pending.into_iter().flatten(), &Answer::Unknown),
                Proposed::Ended => {
                    self.ended = true;
                    self.answer_all(pending.into_iter().flatten(), &Answer::Unknown);
                }
            }
        }
    }

    fn answer_outcomes(&mut self, pending: Vec<Option<Pending>>, outcomes: Vec<Outcome>, at: Reading) {
        debug_assert_eq!(pending.len(), outcomes.len(), "an outcome for each command of the batch");
        let mut again = Vec::new();
        for (pending, outcome) in pending.into_iter().zip(outcomes) {
            match (pending, outcome) {
                (None, _) => {}
                // Rule 0: the batch was of another term and had no effect, so it may be made anew.
                (Some(pending), Outcome::Refused(Refusal::Retry)) => again.push(pending),
                (Some(pending), outcome) => self.answer(pending.asker, Answer::Decided { outcome, at }),
            }
        }
        self.ask_again(again);
    }

    fn publish(&self) {
        let behind = || self.barrier.iter().flat_map(|barrier| &barrier.behind).chain(&self.behind_barrier);
        let reads = behind().filter(|behind| matches!(behind, Behind::Read(..))).count();
        let others = behind().count() - reads;
        self.shared.set_backlog(self.unchecked.len() + others, self.reads.len() + reads);
        self.shared.set_load(self.batcher.load(), self.batcher.retry_after());
        let skipped = sum(self.skipped_before, self.clock.as_ref().map_or(Ttl::ZERO, LeaseClock::skipped));
        let unsynced = self.engine.oldest_unsynced().unwrap_or_default();
        let trouble = match (self.stop_by, &self.clock) {
            (Some(_), _) => Some(Unavailable::Stopping),
            _ if self.engine.no_room().is_some() || self.shared.snapshot_waits() => {
                Some(Unavailable::DiskFull)
            }
            _ if unsynced > STALLED => Some(Unavailable::DiskStalled),
            _ if self.behind => Some(Unavailable::Behind),
            _ if self.is_unanswered() => Some(Unavailable::Unanswered),
            (None, None) if !matches!(self.role, Role::Follows(_)) => Some(Unavailable::NoLeader),
            (None, _) => None,
        };
        let drains = self.engine.drains();
        let last = self.engine.last_index();
        self.shared.publish(|status| {
            status.last = last.unwrap_or_default();
            status.term = self.leadership.term;
            status.leader = self.leadership.leader;
            status.leads = self.clock.is_some();
            status.serving = trouble.is_none();
            status.queued = (self.batcher.len() + self.unchecked.len()) as u64;
            status.lease_clock_skipped = skipped;
            status.unsynced_for = Ttl::from_nanos(unsynced.as_nanos() as u64);
            status.trouble = trouble;
            status.drains = drains;
        });
    }

    fn wake_at(&self, now: Mono, tick_at: Option<Mono>) -> Mono {
        let anyone = !self.unchecked.is_empty()
            || self.batcher.len() > 0
            || !self.in_flight.is_empty()
            || !self.behind_barrier.is_empty()
            || self.forwarding.has_any()
            || self.barrier.is_some();
        if !self.reads.is_empty() {
            return now;
        }
        let state = self.shared.state();
        let turn_at = self.grace_ends().filter(|at| now < *at && state.queue.has_ready());
        // They are looked for with the overdue, and not before.
        let absent_at = state.queue.next_absent().map(|at| at.max(self.next_scan));
        drop(state);
        let scan_at = anyone.then_some(self.next_scan);
        let [append_at, barrier_at] =
            [self.append_not_before, self.barrier_not_before].map(|at| (now < at).then_some(at));
        let idle = now.after(Ttl::from_millis(1_000));
        let rooms = [self.lines_at(now), self.behind_at(now), self.changes_at(now)];
        let others = [turn_at, absent_at, tick_at, self.stop_by].into_iter().chain(rooms);
        let forward_at = self.forward_at(now);
        let all = [scan_at, append_at, barrier_at, forward_at].into_iter().chain(others);
        all.flatten().fold(idle, Mono::min)
    }

    /// Waits until something has come, a batch or a barrier is done, or `wake_at` has.
    async fn sleep<R: AsyncRuntime>(&mut self, wake_at: Mono) {
        let wait = wake_at.since(self.shared.clock.now());
        let mut timer = std::pin::pin!(R::sleep(Duration::from_nanos(wait.as_nanos())));
        poll_fn(|cx| {
            let mut woken = self.shared.poll_poked(cx);
            woken |= self.poll_outcomes(cx);
            woken |= timer.as_mut().poll(cx).is_ready();
            if woken { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes in what came of batches and barriers; true where something did.
    pub(crate) fn poll_outcomes(&mut self, cx: &mut Context<'_>) -> bool {
        let batches = self.poll_in_flight(cx);
        let forwarded = self.forwarding.poll(cx);
        let rolls = self.lines.poll(cx);
        let changes = self.changes.poll(cx);
        self.poll_barrier(cx) || batches || forwarded || rolls || changes
    }

    fn poll_in_flight(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.completed.len();
        let completed = &mut self.completed;
        self.in_flight.retain_mut(|in_flight| match Pin::new(&mut in_flight.outcome).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                completed.push((std::mem::take(&mut in_flight.pending), outcome));
                false
            }
        });
        self.completed.len() > before
    }

    fn poll_barrier(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(barrier) = self.barrier.as_mut().filter(|barrier| barrier.done.is_none()) else {
            return false;
        };
        match barrier.passed.as_mut().poll(cx) {
            Poll::Pending => false,
            Poll::Ready(passed) => {
                barrier.done = Some(passed);
                true
            }
        }
    }
}

fn pending(proposal: Proposal, due: Mono) -> Pending {
    let request = Request { not_after: None, command: proposal.command };
    let Proposal { named, heir, reply, .. } = proposal;
    Pending { request, named, heir, due, is_passed_on: false, asker: Asker::Caller(reply) }
}

/// The claim that an acquire begins with.
fn acquiring(id: u64, claim: Claim, now: Mono) -> Pending {
    let request = Request { not_after: None, command: Command::Claim(claim) };
    let due = now.after(DEADLINE_DEFAULT);
    let asker = Asker::Acquire(id);
    Pending { request, named: None, heir: HeirMust::Wait, due, is_passed_on: false, asker }
}

fn sum(a: Ttl, b: Ttl) -> Ttl {
    Ttl::from_nanos(a.as_nanos().saturating_add(b.as_nanos()))
}

#[cfg(test)]
mod tests;
