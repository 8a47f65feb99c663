//! The driver: the one task through which everything asked of a leading member goes.
//!
//! ```text
//!  inbox ─▶ unchecked ─▶ check against the applied table ─▶ batcher ─▶ sealed ─▶ in flight (2) ─▶ answered
//!           (no anchor yet)      │ would be refused                                   │
//!                                ▼                                                    │ surely not appended
//!                             barrier ─▶ checked again: refused, or proposed ◀────────┘ (made anew)
//! ```
//!
//! It decides nothing about leases (the table does), about time (`clock`) or about batches (`batch`): it carries. One step
//! takes what has come, moves it as far as it goes, and says when to wake next. Refusals cost no entry: they are answered
//! from applied state behind a barrier that confirms that this member still leads.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lease::{Command, Outcome, Refusal, Request, Time, Token, Ttl};
use openraft::async_runtime::AsyncRuntime;

use crate::World;
use crate::batch::{Batcher, Pending, Sealed};
use crate::clock::{CLAMP, LeaseClock, Mono, TICK};
use crate::handle::{Answer, Proposal, Read, Reading, Unavailable, Waited};
use crate::log::Log;
use crate::raft::{Leadership, Proposed, Proposing, Raft, proposed};
use crate::shared::{RETRY_AFTER, Shared, Stage, State};

/// Batches on their way at a time.
const IN_FLIGHT_MAX: usize = 2;
/// How often the overdue are looked for, while anyone waits.
const OVERDUE_SCAN: Ttl = Ttl::from_millis(10);
/// How long after a refused append the next is tried: a new leader's first may be refused until its quorum has answered.
const APPEND_AGAIN: Ttl = Ttl::from_millis(5);
/// How long a stopping member waits for what is in flight.
const STOP_WITHIN: Ttl = Ttl::from_millis(2_000);

pub(crate) struct Driver<W: World> {
    shared: Arc<Shared>,
    raft: Raft<W>,
    log: Log,
    snapshots: SnapshotTrigger,
    leadership: Leadership,
    clock: Option<LeaseClock>,
    skipped_before: Ttl,
    unchecked: Vec<Pending>,
    batcher: Batcher,
    in_flight: Vec<InFlight<W>>,
    completed: Vec<(Vec<Option<Pending>>, Proposed)>,
    barrier: Option<Barrier>,
    behind_barrier: Vec<Behind>,
    last_sealed: Mono,
    last_stamp: Time,
    append_not_before: Mono,
    next_scan: Mono,
    stop_by: Option<Mono>,
    ended: bool,
}

struct InFlight<W: World> {
    outcome: Proposing<W>,
    pending: Vec<Option<Pending>>,
}

/// A round of ReadIndex under way, and who waits for it.
struct Barrier {
    passed: Pin<Box<dyn Future<Output = bool> + Send>>,
    done: Option<bool>,
    behind: Vec<Behind>,
}

/// Who waits for a barrier.
enum Behind {
    Read(Read, Mono),
    Refusal(Pending),
    Wait(u64),
}

/// When the log has grown so much that a snapshot is due.
pub(crate) struct SnapshotTrigger {
    pub(crate) written: Arc<std::sync::atomic::AtomicU64>,
    pub(crate) every_bytes: u64,
    pub(crate) last_at: u64,
}

impl SnapshotTrigger {
    fn is_due(&mut self) -> bool {
        let written = self.written.load(std::sync::atomic::Ordering::Relaxed);
        let due = written.saturating_sub(self.last_at) >= self.every_bytes;
        if due {
            self.last_at = written;
        }
        due
    }
}

impl<W: World> Driver<W> {
    pub(crate) fn new(shared: Arc<Shared>, raft: Raft<W>, log: Log, snapshots: SnapshotTrigger) -> Driver<W> {
        Driver {
            shared,
            raft,
            log,
            snapshots,
            leadership: Leadership::default(),
            clock: None,
            skipped_before: Ttl::ZERO,
            unchecked: Vec::new(),
            batcher: Batcher::default(),
            in_flight: Vec::new(),
            completed: Vec::new(),
            barrier: None,
            behind_barrier: Vec::new(),
            last_sealed: Mono(0),
            last_stamp: Time::ZERO,
            append_not_before: Mono(0),
            next_scan: Mono(0),
            stop_by: None,
            ended: false,
        }
    }

    /// Runs until the replica is asked to stop, or its engine ends.
    pub(crate) async fn run(mut self) {
        loop {
            let wake_at = self.step().await;
            if self.is_finished() {
                break;
            }
            self.sleep(wake_at).await;
        }
        self.finish();
    }

    /// Moves everything as far as it goes; answers when to look again.
    async fn step(&mut self) -> Mono {
        let now = self.shared.clock.now();
        self.take_inbox(now);
        self.follow_leadership(now);
        self.settle_completed(now);
        self.settle_barrier();
        self.check_new(now);
        self.start_barrier();
        let tick_at = self.propose_batches(now).await;
        self.settle_overdue(now);
        if self.snapshots.is_due() {
            self.raft.snapshot().await;
        }
        self.publish();
        self.wake_at(now, tick_at)
    }

    fn take_inbox(&mut self, now: Mono) {
        let mut inbox = self.shared.inbox();
        let proposals = std::mem::take(&mut inbox.proposals);
        let reads = std::mem::take(&mut inbox.reads);
        let waits = std::mem::take(&mut inbox.waits);
        let stage = inbox.stage;
        drop(inbox);
        self.unchecked.extend(proposals.into_iter().map(|(proposal, due)| pending(proposal, due)));
        self.behind_barrier.extend(reads.into_iter().map(|(read, due)| Behind::Read(read, due)));
        self.behind_barrier.extend(waits.into_iter().map(Behind::Wait));
        if stage == Stage::Stopping && self.stop_by.is_none() {
            self.stop_by = Some(now.after(STOP_WITHIN));
            self.refuse_waiting(Unavailable::Stopping);
        }
    }

    /// Anchors the lease clock once the first entry of this member's term is applied, and drops it with the term.
    fn follow_leadership(&mut self, now: Mono) {
        let leadership = self.raft.leadership();
        if leadership != self.leadership {
            tracing::info!(term = leadership.term, leader = ?leadership.leader, leads = leadership.leads, "leadership");
            self.leadership = leadership;
        }
        let anchored = self.clock.as_ref().map(LeaseClock::term);
        if anchored.is_some_and(|term| !leadership.leads || term != leadership.term)
            && let Some(clock) = self.clock.take()
        {
            self.skipped_before = sum(self.skipped_before, clock.skipped());
        }
        if leadership.leads && self.clock.is_none() {
            let state = self.shared.state();
            if state.applied.is_some_and(|id| id.leader_id.term == leadership.term) {
                self.clock = Some(LeaseClock::anchor(leadership.term, state.table.now(), now));
                self.last_stamp = state.table.now();
                self.last_sealed = now;
            }
        }
    }

    fn settle_completed(&mut self, now: Mono) {
        for (pending, proposed) in std::mem::take(&mut self.completed) {
            match proposed {
                Proposed::Applied(done) => self.answer_outcomes(pending, done.outcomes, done.reading),
                Proposed::NotAppended => {
                    self.append_not_before = now.after(APPEND_AGAIN);
                    self.batcher.put_back(pending.into_iter().flatten().collect());
                }
                Proposed::Unknown => {
                    pending.into_iter().flatten().for_each(|pending| (pending.reply)(Answer::Unknown))
                }
                Proposed::Ended => {
                    self.ended = true;
                    pending.into_iter().flatten().for_each(|pending| (pending.reply)(Answer::Unknown));
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
                (Some(pending), outcome) => (pending.reply)(Answer::Decided { outcome, at }),
            }
        }
        self.batcher.put_back(again);
    }

    /// Looks at what has come against the applied table: what would be refused waits for a barrier, the rest for a batch.
    fn check_new(&mut self, now: Mono) {
        let Some(clock) = &self.clock else { return };
        if self.unchecked.is_empty() {
            return;
        }
        let mut answers = Vec::new();
        let state = self.shared.state();
        let lease_now = clock.read(state.table.now(), now);
        for mut pending in std::mem::take(&mut self.unchecked) {
            let waits_for = now_to(now, pending.due);
            pending.request.not_after = Some(lease_now.after(CLAMP).after(waits_for));
            match check(&state, lease_now, &pending) {
                Check::Passes => answers.extend(self.batcher.push(pending).err().map(overloaded)),
                Check::NotYours => {
                    let at = state.reading();
                    answers.push((pending.reply, Answer::NotYours { at }));
                }
                Check::Refused(_) => self.behind_barrier.push(Behind::Refusal(pending)),
            }
        }
        drop(state);
        answers.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    fn start_barrier(&mut self) {
        if self.clock.is_none() || self.barrier.is_some() || self.behind_barrier.is_empty() {
            return;
        }
        let passed = Box::pin(self.raft.clone().read_barrier());
        let behind = std::mem::take(&mut self.behind_barrier);
        self.barrier = Some(Barrier { passed, done: None, behind });
    }

    fn settle_barrier(&mut self) {
        let Some(Barrier { done: Some(passed), behind, .. }) =
            self.barrier.take_if(|barrier| barrier.done.is_some())
        else {
            return;
        };
        match passed {
            true => behind.into_iter().for_each(|behind| self.pass(behind)),
            // It could not tell whether it leads: the next barrier may.
            false => self.behind_barrier.extend(behind),
        }
    }

    /// Answers who waited for a barrier that has passed.
    fn pass(&mut self, behind: Behind) {
        match behind {
            Behind::Read(read, _) => {
                let state = self.shared.state();
                (read.reply)(Ok((&state.table, state.reading())));
            }
            Behind::Wait(id) => {
                let mut state = self.shared.state();
                let reading = state.reading();
                let State { table, waits, .. } = &mut *state;
                let reply = waits.admit(id, reading.revision, |key| table.is_free(key));
                drop(state);
                reply.into_iter().for_each(|reply| reply(Waited::Free(reading)));
            }
            Behind::Refusal(pending) => self.decide_again(pending),
        }
    }

    /// A refusal is decided again at the state that the barrier gave; where it no longer stands the command is proposed.
    fn decide_again(&mut self, pending: Pending) {
        let Some(clock) = &self.clock else { return self.unchecked.push(pending) };
        let state = self.shared.state();
        let lease_now = clock.read(state.table.now(), self.shared.clock.now());
        let (check, at) = (check(&state, lease_now, &pending), state.reading());
        drop(state);
        let answered = match check {
            Check::Passes => self.batcher.push(pending).err().map(overloaded),
            Check::NotYours => Some((pending.reply, Answer::NotYours { at })),
            Check::Refused(refusal) => {
                let outcome = Outcome::Refused(refusal);
                Some((pending.reply, Answer::Decided { outcome, at }))
            }
        };
        answered.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    /// Seals and proposes what there is to propose, ticks among it; answers when the next tick is due.
    async fn propose_batches(&mut self, now: Mono) -> Option<Mono> {
        while self.in_flight.len() < IN_FLIGHT_MAX && now >= self.append_not_before {
            let tick_at = self.tick_at();
            if self.batcher.len() == 0 && tick_at.is_none_or(|at| at > now) {
                return tick_at;
            }
            let Some(sealed) = self.seal() else { return tick_at };
            self.propose(sealed).await;
        }
        // A completed batch wakes the driver, which looks again.
        None
    }

    /// The clock is read when the batch is sealed, after which nothing joins it.
    fn seal(&mut self) -> Option<Sealed> {
        let clock = self.clock.as_mut()?;
        let applied = self.shared.state().table.now();
        let mono = self.shared.clock.now();
        let stamp = clock.stamp(applied, mono);
        self.last_stamp = stamp;
        self.last_sealed = mono;
        Some(self.batcher.seal(clock.term(), stamp))
    }

    async fn propose(&mut self, sealed: Sealed) {
        let Sealed { batch, pending } = sealed;
        match self.raft.propose(Arc::new(batch)).await {
            Some(outcome) => {
                let pending = pending.into_iter().map(Some).collect();
                self.in_flight.push(InFlight { outcome, pending });
            }
            None => {
                self.ended = true;
                pending.into_iter().for_each(|pending| (pending.reply)(Answer::Unknown));
            }
        }
    }

    /// When the next tick is due, while anything needs time to pass: as soon as the clock reads the next deadline + 1 ns, and
    /// at least every 250 ms.
    fn tick_at(&self) -> Option<Mono> {
        let clock = self.clock.as_ref()?;
        let mut state = self.shared.state();
        if !state.table.needs_ticks() {
            return None;
        }
        let at_least = self.last_sealed.after(TICK);
        // A batch in flight may have swept already what the applied table still shows as due.
        let next = state
            .table
            .next_deadline()
            .filter(|deadline| self.in_flight.is_empty() || self.last_stamp <= *deadline);
        Some(next.map_or(at_least, |deadline| clock.when_over(deadline).min(at_least)))
    }

    /// Answers whoever stopped waiting: what is not in a batch is surely not done, what is in flight is unknown.
    fn settle_overdue(&mut self, now: Mono) {
        if now < self.next_scan {
            return;
        }
        self.next_scan = now.after(OVERDUE_SCAN);
        let serving = self.clock.is_some();
        let no = if serving {
            Unavailable::Overloaded { retry_after: RETRY_AFTER }
        } else {
            Unavailable::NoLeader
        };
        let mut late: Vec<Pending> = self.unchecked.extract_if(.., |pending| pending.due <= now).collect();
        late.extend(self.batcher.take_overdue(now));
        let barriers =
            self.barrier.iter_mut().map(|barrier| &mut barrier.behind).chain([&mut self.behind_barrier]);
        for behind in
            barriers.flat_map(|list| list.extract_if(.., |behind| behind.is_overdue(now)).collect::<Vec<_>>())
        {
            match behind {
                Behind::Read(read, _) => (read.reply)(Err(no)),
                Behind::Refusal(pending) => late.push(pending),
                Behind::Wait(_) => {}
            }
        }
        late.into_iter().for_each(|pending| (pending.reply)(Answer::Unavailable(no)));
        for in_flight in &mut self.in_flight {
            for slot in &mut in_flight.pending {
                if let Some(pending) = slot.take_if(|pending| pending.due <= now) {
                    (pending.reply)(Answer::Unknown);
                }
            }
        }
    }

    fn publish(&self) {
        let skipped = sum(self.skipped_before, self.clock.as_ref().map_or(Ttl::ZERO, LeaseClock::skipped));
        let unsynced = self.log.oldest_unsynced().unwrap_or_default();
        self.shared.publish(|status| {
            status.term = self.leadership.term;
            status.leader = self.leadership.leader;
            status.serving = self.clock.is_some();
            status.queued = (self.batcher.len() + self.unchecked.len()) as u64;
            status.lease_clock_skipped = skipped;
            status.unsynced_for = Ttl::from_nanos(unsynced.as_nanos() as u64);
            status.trouble = match (self.stop_by, &self.clock) {
                (Some(_), _) => Some(Unavailable::Stopping),
                (None, None) => Some(Unavailable::NoLeader),
                (None, Some(_)) => None,
            };
        });
    }

    fn wake_at(&self, now: Mono, tick_at: Option<Mono>) -> Mono {
        let anyone = !self.unchecked.is_empty()
            || self.batcher.len() > 0
            || !self.in_flight.is_empty()
            || !self.behind_barrier.is_empty()
            || self.barrier.is_some();
        let scan_at = anyone.then_some(self.next_scan);
        let append_at = (now < self.append_not_before).then_some(self.append_not_before);
        let idle = now.after(Ttl::from_millis(1_000));
        [scan_at, append_at, tick_at, self.stop_by].into_iter().flatten().fold(idle, Mono::min)
    }

    /// Waits until something has come, a batch or a barrier is done, or `wake_at` has.
    async fn sleep(&mut self, wake_at: Mono) {
        let wait = wake_at.since(self.shared.clock.now());
        let mut timer = std::pin::pin!(W::Runtime::sleep(Duration::from_nanos(wait.as_nanos())));
        poll_fn(|cx| {
            let mut woken = self.shared.poll_poked(cx);
            woken |= self.poll_in_flight(cx);
            woken |= self.poll_barrier(cx);
            woken |= timer.as_mut().poll(cx).is_ready();
            if woken { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn poll_in_flight(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.completed.len();
        let completed = &mut self.completed;
        self.in_flight.retain_mut(|in_flight| match Pin::new(&mut in_flight.outcome).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                completed.push((std::mem::take(&mut in_flight.pending), proposed(outcome)));
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

    fn is_finished(&self) -> bool {
        let drained = self.in_flight.is_empty() && self.completed.is_empty();
        let late = self.stop_by.is_some_and(|by| self.shared.clock.now() >= by);
        self.ended || (self.stop_by.is_some() && drained) || late
    }

    /// Answers everyone who is still there, and lets nobody in any more.
    fn finish(&mut self) {
        let mut inbox = self.shared.inbox();
        inbox.stage = Stage::Stopped;
        drop(inbox);
        self.take_inbox(Mono(u64::MAX));
        self.refuse_waiting(Unavailable::Stopping);
        let in_flight =
            std::mem::take(&mut self.in_flight).into_iter().flat_map(|in_flight| in_flight.pending);
        let completed = std::mem::take(&mut self.completed).into_iter().flat_map(|(pending, _)| pending);
        in_flight.chain(completed).flatten().for_each(|pending| (pending.reply)(Answer::Unknown));
        let waits = self.shared.state().waits.drain();
        waits.into_iter().for_each(|reply| reply(Waited::Unavailable(Unavailable::Stopping)));
        self.clock = None;
        self.shared.publish(|status| {
            status.serving = false;
            status.trouble = Some(Unavailable::Stopping);
        });
    }

    /// Refuses all that is in no batch: surely not done.
    fn refuse_waiting(&mut self, why: Unavailable) {
        let mut refused = std::mem::take(&mut self.unchecked);
        refused.extend(self.batcher.drain());
        let barrier = self.barrier.take().map(|barrier| barrier.behind).unwrap_or_default();
        for behind in std::mem::take(&mut self.behind_barrier).into_iter().chain(barrier) {
            match behind {
                Behind::Read(read, _) => (read.reply)(Err(why)),
                Behind::Refusal(pending) => refused.push(pending),
                Behind::Wait(id) => {
                    let reply = self.shared.state().waits.take(id);
                    reply.into_iter().for_each(|reply| reply(Waited::Unavailable(why)));
                }
            }
        }
        refused.into_iter().for_each(|pending| (pending.reply)(Answer::Unavailable(why)));
    }
}

impl Behind {
    // A wait has no deadline here: its door cancels it.
    fn is_overdue(&self, now: Mono) -> bool {
        match self {
            Behind::Read(_, due) => *due <= now,
            Behind::Refusal(pending) => pending.due <= now,
            Behind::Wait(_) => false,
        }
    }
}

enum Check {
    Passes,
    NotYours,
    Refused(Refusal),
}

/// What the applied table says of a command before it costs an entry.
fn check(state: &State, lease_now: Time, pending: &Pending) -> Check {
    let command = &pending.request.command;
    if let (Some(named), Some(token)) = (&pending.named, token_of(command))
        && let Some((key, grant)) = state.table.grant(token)
    {
        let other_life = named.instance.is_some_and(|instance| instance != grant.instance);
        if key != named.key || other_life {
            return Check::NotYours;
        }
    }
    match state.table.refusal(lease_now, command) {
        Some(refusal) => Check::Refused(refusal),
        None => Check::Passes,
    }
}

fn token_of(command: &Command) -> Option<Token> {
    match command {
        Command::Extend { token, .. }
        | Command::Release { token }
        | Command::Transfer { token, .. }
        | Command::Revoke { token, .. } => Some(*token),
        Command::Claim(_)
        | Command::Succeed(_)
        | Command::Pin { .. }
        | Command::Unpin { .. }
        | Command::Set { .. } => None,
    }
}

fn pending(proposal: Proposal, due: Mono) -> Pending {
    let request = Request { not_after: None, command: proposal.command };
    Pending { request, named: proposal.named, due, reply: proposal.reply }
}

fn overloaded(pending: Pending) -> (crate::ReplyFn<Answer>, Answer) {
    (pending.reply, Answer::Unavailable(Unavailable::Overloaded { retry_after: RETRY_AFTER }))
}

fn now_to(now: Mono, due: Mono) -> Ttl {
    due.since(now)
}

fn sum(a: Ttl, b: Ttl) -> Ttl {
    Ttl::from_nanos(a.as_nanos().saturating_add(b.as_nanos()))
}
