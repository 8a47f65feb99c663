//! Who leads, and what this member does about it: whatever waits is looked at anew whenever that changes.

use lease::Ttl;

use super::{Behind, Driver, STALLED};
use crate::batch::{Asker, Pending};
use crate::clock::{LeaseClock, Mono};
use crate::engine::{Engine, Leadership};
use crate::events::Unwatchable;
use crate::handle::{Answer, Unavailable, Waited};

/// A member without news of a quorum for so long answers `behind`.
const BEHIND_AFTER: Ttl = Ttl::from_millis(3_000);
/// How often a leader that is unfit tries to hand on.
const HAND_ON_EVERY: Ttl = Ttl::from_millis(1_000);
/// The same, of one that drains: while the lead is on its way nothing is committed.
const DRAIN_EVERY: Ttl = Ttl::from_millis(5_000);

/// What this member is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It knows of no leader.
    Nobody,
    /// It leads.
    Leads,
    /// That member does.
    Follows(u64),
}

impl Role {
    fn of(leadership: Leadership, me: u64) -> Role {
        match leadership {
            Leadership { leads: true, .. } => Role::Leads,
            // One that led before it started anew is named until another is elected, and leads no more.
            Leadership { leader: Some(leader), .. } if leader != me => Role::Follows(leader),
            _ => Role::Nobody,
        }
    }
}

impl<E: Engine> Driver<E> {
    /// Takes in who leads. A leader anchors the lease clock once the first entry of its term is applied, and drops it with the
    /// term.
    pub(super) fn follow_leadership(&mut self, now: Mono) {
        if self.shared.engine_has_ended() && !self.ended {
            tracing::error!("the consensus engine has ended");
            self.ended = true;
        }
        let before = self.leadership;
        let leadership = self.engine.leadership();
        if leadership != before {
            let leader = leadership.leader.map_or("none".to_owned(), |leader| leader.to_string());
            tracing::info!(term = leadership.term, %leader, leads = leadership.leads, "leadership");
            self.leadership = leadership;
            self.role = Role::of(leadership, self.me);
            if before.leads && (!leadership.leads || leadership.term != before.term) {
                self.stop_leading();
            }
            if leadership.leads && (!before.leads || leadership.term != before.term) {
                self.begin_leading(now);
            } else if !leadership.leads {
                let due = self.lines.register(leadership.term, &mut self.shared.state().queue);
                due.into_iter().for_each(|(reply, answer)| reply(answer));
            }
        }
        if leadership.leads && self.clock.is_none() {
            let mut state = self.shared.state();
            if state.applied.is_some_and(|id| id.leader_id.term == leadership.term) {
                state.led = Some(leadership.term);
                // Read after the entry was applied, under the lock that it was applied under.
                let now = self.shared.clock.now();
                self.clock = Some(LeaseClock::anchor(leadership.term, state.table.now(), now));
                self.last_stamp = state.table.now();
                self.last_sealed = now;
            }
        }
        self.look_for_news(now);
    }

    fn begin_leading(&mut self, now: Mono) {
        let acquires = self.shared.state().queue.lead();
        self.unchecked.extend(self.batcher.drain());
        self.claim_acquires(acquires, now);
    }

    /// What waits for a batch of this member's goes to whoever leads now; acquires wait to be registered there; and what other
    /// members asked of it, they ask elsewhere.
    fn stop_leading(&mut self) {
        if let Some(clock) = self.clock.take() {
            self.skipped_before = super::sum(self.skipped_before, clock.skipped());
        }
        self.lines.close_desks();
        let due = self.shared.state().queue.follow();
        due.into_iter().for_each(|(reply, answer)| reply(answer));
        self.unchecked.extend(self.batcher.drain());
        let behind = std::mem::take(&mut self.behind_barrier);
        let under_way = self.barrier.iter_mut().map(|barrier| std::mem::take(&mut barrier.behind));
        for behind in under_way.collect::<Vec<_>>().into_iter().flatten().chain(behind) {
            match behind {
                Behind::Refusal(pending) => self.unchecked.push(pending),
                Behind::Index(reply, _) => reply(None),
                behind => self.behind_barrier.push(behind),
            }
        }
        self.barrier = None;
        self.give_back();
    }

    /// Hands back what is not this member's to carry out, where it does not lead.
    pub(super) fn give_back(&mut self) {
        let mut passed_on = Vec::new();
        for pending in std::mem::take(&mut self.unchecked) {
            match pending.asker {
                // Its acquire is still there, and goes to the leader as that.
                Asker::Acquire(_) => {}
                _ if pending.is_passed_on => passed_on.push(pending),
                _ => self.unchecked.push(pending),
            }
        }
        self.answer_all(passed_on, &Answer::Unavailable(Unavailable::NoLeader));
    }

    fn look_for_news(&mut self, now: Mono) {
        if let Some(age) = self.engine.news_age() {
            let at = Mono(now.0.saturating_sub(age.as_nanos() as u64));
            self.news_at = self.news_at.max(at);
            self.shared.note_news(at);
        }
        let behind = self.is_behind(now);
        if behind && !std::mem::replace(&mut self.behind, behind) {
            tracing::warn!("no news of a quorum for 3 s: whoever waits here is told so");
            self.tell_behind();
        }
        self.behind = behind;
    }

    /// Whether this member has had no news of a quorum for so long that whoever waits here should wait elsewhere.
    fn is_behind(&self, now: Mono) -> bool {
        self.news_at.after(BEHIND_AFTER) <= now
    }

    /// Whether this member hears the leader and cannot ask it: what is passed on from here gets nowhere.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.role, Role::Follows(_))
            && self.shared.unanswered_for().is_some_and(|ago| BEHIND_AFTER <= ago)
    }

    /// When it will be so, if no news come.
    pub(super) fn behind_at(&self, now: Mono) -> Option<Mono> {
        Some(self.news_at.after(BEHIND_AFTER)).filter(|at| now < *at)
    }

    /// Tells everyone who waits for what may never be seen here; commands wait for their own deadlines.
    fn tell_behind(&mut self) {
        let mut state = self.shared.state();
        self.lines.note_told(&mut state.queue);
        let (waits, acquires, watches) =
            (state.waits.drain(), state.queue.drain(Unavailable::Behind), state.events.fall_behind());
        drop(state);
        acquires.into_iter().for_each(|(reply, answer)| reply(answer));
        waits.into_iter().for_each(|reply| reply(Waited::Unavailable(Unavailable::Behind)));
        watches.iter().for_each(|wake| wake());
        self.refuse_reads(Unavailable::Behind);
    }

    /// Refuses what waits for a barrier that may never pass.
    pub(super) fn refuse_reads(&mut self, why: Unavailable) {
        let under_way = self.barrier.iter_mut().flat_map(|barrier| std::mem::take(&mut barrier.behind));
        let behind: Vec<Behind> = under_way.chain(std::mem::take(&mut self.behind_barrier)).collect();
        for behind in behind {
            match behind {
                Behind::Read(read, _) => (read.reply)(Err(why)),
                Behind::Watch(watching) => (watching.reply)(Err(Unwatchable::Unavailable(why))),
                Behind::Index(reply, _) => reply(None),
                Behind::Wait(id) => {
                    let reply = self.shared.state().waits.take(id);
                    reply.into_iter().for_each(|reply| reply(Waited::Unavailable(why)));
                }
                Behind::Refusal(pending) => self.behind_barrier.push(Behind::Refusal(pending)),
            }
        }
    }

    /// A leader whose disk does not sync, whose clocks disagree, that drains, or that stops, hands on to a member whose log moves.
    pub(super) async fn hand_on_if_unfit(&mut self, now: Mono) {
        let stalled = self.engine.oldest_unsynced().is_some_and(|unsynced| unsynced > STALLED);
        let strays = self.shared.clock.strays();
        let must = stalled || strays || self.engine.no_room().is_some() || self.stop_by.is_some();
        if (must || self.engine.drains()) && self.leadership.leads && self.hand_on_not_before <= now {
            if strays {
                tracing::warn!(
                    "this machine's clocks, CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW, have run at rates that differ by more than 1 %: \
                     another member shall lead; mend what slews the clock here"
                );
            }
            let is_tried = self.engine.hand_on().await;
            // One that only drains leads well: where nobody takes the lead it keeps it, and tries again later.
            let every = if must || !is_tried { HAND_ON_EVERY } else { DRAIN_EVERY };
            self.hand_on_not_before = now.after(every);
        }
    }
}

/// What may be passed on to the leader: whatever a client of this member asks.
pub(super) fn is_own(pending: &Pending) -> bool {
    !pending.is_passed_on && matches!(pending.asker, Asker::Caller(_))
}
