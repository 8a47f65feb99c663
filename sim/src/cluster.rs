//! What happens to the log and to who leads it: commits, applied entries, barriers, elections, crashes and restarts.

use lease::Table;
use replica::engine::{Done, Leadership, Proposed};

use crate::chance::{MICRO, MILLI};
use crate::invariants::{Committed, TicketOrder, same_bytes};
use crate::log::{Log, Promise};
use crate::world::{Event, World};

impl World {
    pub(crate) fn commit_later(&mut self, index: usize) {
        let most = if self.chance.one_in(16) { 40 * MILLI } else { 4 * MILLI };
        let at = self.now + self.chance.between(300 * MICRO, most);
        let at = at.max(self.log_stalled_until).max(self.last_commit);
        self.last_commit = at;
        let term = self.log.get().entries[index].term;
        self.at(at, Event::Commit { index, term });
    }

    pub(crate) fn commit(&mut self, index: usize, term: u64) {
        let (leader, from) = {
            let log = self.log.get();
            // As in Raft, only an entry of the present term is committed by its own, and with it all before it.
            if log.entries.get(index).is_none_or(|entry| entry.term != term) || term != log.term {
                return;
            }
            (log.leader, log.committed)
        };
        if self.now < self.log_stalled_until {
            let at = self.log_stalled_until;
            return self.at(at, Event::Commit { index, term });
        }
        for index in from..=index {
            self.commit_entry(index);
            self.log.get().committed = index + 1;
        }
        self.apply(leader);
        for m in (0..self.members.len()).filter(|m| *m != leader) {
            let after = self.chance.millis(0, 20);
            self.after(after, Event::Apply { m });
        }
    }

    pub(crate) fn commit_entry(&mut self, index: usize) {
        let (term, by, batch) = {
            let log = self.log.get();
            let entry = &log.entries[index];
            (entry.term, entry.by, entry.batch.clone())
        };
        let Some(batch) = batch else { return };
        let applied = self.table.apply(term, &batch);
        if self.tracing() {
            let (now, events) = (self.table.now(), &applied.events);
            let line = format!("entry {index} of m{by}: now {now}, {:?}, {events:?}", applied.outcomes);
            self.say(line);
        }
        for (claim, _) in TicketOrder::claims(&batch, &applied) {
            if let Some(leader) = &self.members[by].leader {
                let line = leader.line(&claim.key);
                let kept = self.invariants.ticket_order.granted(by, term, claim, &line);
                self.judge("no claim passes those who wait", kept);
            }
        }
        let trouble = self.troubled();
        let committed = Committed {
            at: self.now,
            term,
            by,
            batch: &batch,
            applied: &applied,
            table: &self.table,
            trouble,
        };
        if let Err((invariant, what)) = self.invariants.committed(&committed) {
            self.judge(invariant, Err(what));
        }
        self.log.get().entries[index].applied = Some(applied);
    }

    /// A member applies what it knows to be committed.
    pub(crate) fn apply(&mut self, m: usize) {
        let member = &mut self.members[m];
        let Some(leader) = &member.leader else { return };
        let mut differs = None;
        {
            let mut log = self.log.get();
            let upto = log.committed.min(member.sees);
            let Log { entries, views, .. } = &mut *log;
            for (index, entry) in entries.iter().enumerate().take(upto).skip(member.applied) {
                let (applied, reading) = leader.apply(index as u64 + 1, entry.term, entry.batch.as_deref());
                if entry.applied.as_ref().is_some_and(|first| *first != applied) {
                    differs = Some(index);
                }
                let pending = &mut views[m].pending;
                if let Some(at) = pending.iter().position(|(of, _)| *of == Some(index)) {
                    let (_, promise) = pending.remove(at);
                    promise.give(Proposed::Applied(Done { outcomes: applied.outcomes, reading }));
                }
            }
            member.applied = member.applied.max(upto);
        }
        if let Some(index) = differs {
            self.judge(
                "nothing acknowledged is forgotten",
                Err(format!("m{m} applied entry {index} otherwise")),
            );
        }
        self.drain(m);
        self.step_soon(m);
    }

    pub(crate) fn barrier(&mut self, m: usize, term: u64, index: usize, promise: Promise<bool>) {
        let leads = {
            let log = self.log.get();
            log.leader == m && log.term == term && self.members[m].leader.is_some()
        };
        if !leads {
            return;
        }
        let at = match () {
            () if self.now < self.log_stalled_until => self.log_stalled_until,
            () if self.members[m].applied < index => self.now + MILLI,
            () => {
                promise.give(true);
                return self.step_soon(m);
            }
        };
        self.at(at, Event::Barrier { m, term, index, promise });
    }

    /// Another term begins: `to` leads it, or any member that is up. The old leader may not know for a while.
    pub(crate) fn elect(&mut self, to: Option<usize>) {
        let up = |m: &usize| self.members[*m].leader.is_some();
        let all: Vec<usize> = (0..self.members.len()).filter(up).collect();
        let Some(first) = all.first().copied() else { return self.after(50 * MILLI, Event::Elect { m: to }) };
        let to = to.filter(up).unwrap_or(if all.len() > 1 { self.chance.pick(&all) } else { first });
        self.trouble(self.now);
        let old = self.log.get().leader;
        self.step_down_now(to);
        let index = {
            let chance = &mut self.chance;
            let mut log = self.log.get();
            let keep = chance.index(log.entries.len() - log.committed + 1);
            let length = log.committed + keep;
            log.entries.truncate(length);
            log.term += 1;
            log.leader = to;
            let term = log.term;
            for (m, view) in log.views.iter_mut().enumerate() {
                if m != old || m == to || !all.contains(&old) {
                    view.leadership = Leadership { term, leader: Some(to as u64), leads: m == to };
                }
            }
            log.append(to, None);
            log.seen = log.entries.len();
            log.seen - 1
        };
        if old != to && self.members[old].leader.is_some() {
            self.members[old].sees = self.log.get().committed;
            let after = if self.chance.one_in(3) { 0 } else { self.chance.millis(0, 1_500) };
            self.trouble(self.now + after);
            self.after(after, Event::StepDown { m: old });
        }
        self.say(format!("m{to} leads term {}", self.log.get().term));
        self.last_commit = self.now;
        self.commit_later(index);
        self.step_soon(to);
    }

    pub(crate) fn step_down(&mut self, m: usize) {
        if self.log.get().leader != m {
            self.step_down_now(m);
        }
    }

    /// A member learns that it does not lead, or not in the term that it knew.
    pub(crate) fn step_down_now(&mut self, m: usize) {
        {
            let mut log = self.log.get();
            let leadership = Leadership { term: log.term, leader: Some(log.leader as u64), leads: false };
            let view = &mut log.views[m];
            view.leadership = leadership;
            for (index, promise) in view.pending.drain(..) {
                let surely_not = index.is_none() && self.chance.one_in(2);
                promise.give(if surely_not { Proposed::NotAppended } else { Proposed::Unknown });
            }
            view.barriers
                .drain(..)
                .chain(self.waiting_barriers[m].drain(..))
                .for_each(|promise| promise.give(false));
        }
        self.members[m].sees = usize::MAX;
        self.apply(m);
        self.step_soon(m);
    }

    /// A member's process ends, and comes back later with what it had applied.
    pub(crate) fn crash(&mut self, m: usize) {
        if self.members[m].leader.take().is_none() {
            return;
        }
        let after = self.chance.millis(20, 900);
        self.say(format!("m{m} crashes"));
        self.after(after, Event::Up { m });
        self.trouble(self.now + after);
        self.members[m].asks.clear();
        self.lose_asks(m);
        self.members[m].sees = usize::MAX;
        let was_leader = {
            let mut log = self.log.get();
            let view = &mut log.views[m];
            view.pending.clear();
            view.barriers.clear();
            view.asks.clear();
            view.leadership.leads = false;
            log.leader == m
        };
        self.waiting_barriers[m].clear();
        for c in 0..self.clients.len() {
            self.break_links_of(c, Some(m));
        }
        if was_leader {
            let after = self.chance.millis(250, 1_200);
            self.log_stalled_until = self.log_stalled_until.max(self.now + after);
            self.trouble(self.now + after);
            self.after(after, Event::Elect { m: None });
        }
    }

    pub(crate) fn come_up(&mut self, m: usize) {
        if self.members[m].leader.is_some() {
            return;
        }
        self.members[m].applied = self.members[m].applied.min(self.log.get().committed);
        let table = self.replay(self.members[m].applied);
        self.say(format!("m{m} is up"));
        self.members[m].stalled_until = 0;
        self.members[m].wake.1 = 0;
        self.begin_member(m, table);
        self.apply(m);
        let kept = match &self.members[m].leader {
            Some(leader) => {
                leader.handle().peek(|table, _| same_bytes(table, &self.table, &format!("m{m}'s")))
            }
            None => Ok(()),
        };
        self.judge("nothing acknowledged is forgotten", kept);
        self.snapshot = Some((self.log.get().committed, self.table.freeze().sections().collect()));
    }

    /// The table after the first `entries` of the log: from the last snapshot, or from the start.
    pub(crate) fn replay(&mut self, entries: usize) -> Table {
        let snapshot = self.snapshot.as_ref().filter(|(at, _)| *at <= entries);
        let snapshot = snapshot.filter(|_| self.chance.one_in(2));
        let (from, mut table) = match snapshot {
            Some((at, sections)) => {
                let thawed = Table::thaw(sections.iter().cloned().map(Ok));
                (*at, thawed.unwrap_or_else(|error| panic!("a snapshot of ours can be read: {error}")))
            }
            None => (0, self.first_table()),
        };
        for entry in &self.log.get().entries[from..entries] {
            if let Some(batch) = &entry.batch {
                table.apply(entry.term, batch);
            }
        }
        table
    }
}
