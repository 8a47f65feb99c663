//! A member: the real leader over the perfect log, and the asks that came to it over its clients' links.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::{Call, ClientFrame, Code, Reply, ServerFrame};
use client::machine::LinkId;
use lease::{Claim, Command, Instance, Token};
use replica::simulation::Leader;
use replica::{Mono, Proposal, Read, WaitId};

use crate::chance::{MICRO, MILLI};
use crate::clock::{MemberClock, Rate};
use crate::door::{self, Put, Told};
use crate::log::Perfect;
use crate::peers::Serving;
use crate::world::{Event, World};

pub(crate) struct Member {
    /// None while it is down.
    pub(crate) leader: Option<Leader<Perfect>>,
    pub(crate) rate: Rate,
    pub(crate) applied: usize,
    /// The only `Step` event that counts.
    pub(crate) wake: (u64, u64),
    /// Its driver does not run until then.
    pub(crate) stalled_until: u64,
    pub(crate) asks: BTreeMap<u64, Asked>,
    pub(crate) outbox: Arc<Mutex<Vec<(u64, Told)>>>,
    /// What other members have asked it, and it has not answered.
    pub(crate) serving: Vec<Serving>,
    /// A frame takes somebody out of line, as soon as the driver looks at it.
    pub(crate) takes_out: bool,
    /// A deposed leader that does not know it yet applies nothing newer than this.
    pub(crate) sees: usize,
}

/// An ask that the replica has not answered.
pub(crate) struct Asked {
    /// None of an operator's.
    from: Option<(usize, LinkId, u64)>,
    sent: u64,
    key: usize,
    transferred: Option<u64>,
    wait: Option<(WaitId, Kind)>,
    /// When it is to be answered, on the member's clock.
    due: Option<Mono>,
    since: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Wait,
    Acquire,
}

impl World {
    pub(crate) fn begin_member(&mut self, m: usize, table: lease::Table) {
        let rate = Rate::any(&mut self.chance);
        let clock = Arc::new(MemberClock { truth: Arc::clone(&self.truth), rate });
        let life = self.chance.below(u64::MAX);
        let leader = Leader::new(clock, table, Perfect { log: self.log.clone(), me: m }, m as u64, life);
        let member = &mut self.members[m];
        member.leader = Some(leader);
        member.rate = rate;
        member.asks.clear();
        member.outbox = Arc::default();
        self.step_soon(m);
    }

    /// Whether it leads and would say so rightly: with the term.
    pub(crate) fn leads(&self, m: usize) -> Option<u64> {
        let log = self.log.get();
        let member = &self.members[m];
        let anchored = member.leader.as_ref().is_some_and(|leader| leader.grace_ends().is_some());
        (log.leader == m && anchored && log.views[m].leadership.leads).then_some(log.term)
    }

    pub(crate) fn step_soon(&mut self, m: usize) {
        self.step_at(m, self.now + 20 * MICRO);
    }

    fn step_at(&mut self, m: usize, at: u64) {
        let at = at.max(self.members[m].stalled_until);
        let wake = &mut self.members[m].wake;
        if wake.1 <= at && wake.1 > self.now {
            return;
        }
        *wake = (wake.0 + 1, at);
        let number = wake.0;
        self.at(at, Event::Step { m, number });
    }

    pub(crate) fn step(&mut self, m: usize, number: u64) {
        let member = &mut self.members[m];
        if member.wake.0 != number {
            return;
        }
        if self.now < member.stalled_until {
            let at = member.stalled_until;
            return self.step_at(m, at);
        }
        let Some(leader) = &mut member.leader else { return };
        let wake_at = leader.step();
        if std::mem::take(&mut member.takes_out) || leader.passes_over() {
            self.invariants.ticket_order.left(m, self.now);
        }
        let at = member.rate.when(wake_at.0).max(self.now + 10 * MICRO);
        member.wake.1 = 0;
        self.step_at(m, at);
        self.take_proposed(m);
        self.send_asks(m);
        self.drain(m);
    }

    /// What a step appended, and the barriers that it asked for.
    fn take_proposed(&mut self, m: usize) {
        let (from, to) = {
            let mut log = self.log.get();
            let from = log.seen;
            log.seen = log.entries.len();
            (from, log.entries.len())
        };
        for index in from..to {
            self.check_turns(m, index);
            self.commit_later(index);
        }
        let barriers = std::mem::take(&mut self.log.get().views[m].barriers);
        for promise in barriers {
            let after = if self.members.len() == 1 { 0 } else { self.chance.between(200 * MICRO, 3 * MILLI) };
            let (term, index) = {
                let log = self.log.get();
                (log.views[m].leadership.term, log.committed)
            };
            self.waiting_barriers[m].push(promise.clone());
            self.after(after, Event::Barrier { m, term, index, promise });
        }
    }

    fn check_turns(&mut self, m: usize, index: usize) {
        let Some(batch) = self.log.get().entries[index].batch.clone() else { return };
        if self.tracing() {
            self.say(format!(
                "m{m} proposes entry {index}: term {} stamp {} {:?}",
                batch.term, batch.stamp, batch.requests
            ));
        }
        for request in &batch.requests {
            if let Command::Claim(claim) = &request.command {
                // It may have come through another member, and come again by itself only now.
                let of = (&claim.holder, claim.instance, claim.seq);
                self.invariants.ticket_order.came(m, self.now, batch.term, of, &[]);
            }
            let Command::Succeed(succeed) = &request.command else { continue };
            let Some(leader) = &self.members[m].leader else { continue };
            let line = leader.line(&succeed.key);
            let kept = self.invariants.ticket_order.proposed(
                &succeed.key,
                (&succeed.to.holder, succeed.to.instance),
                &line,
            );
            self.judge("queue grants follow ticket order", kept);
        }
    }

    /// A frame reaches a member.
    pub(crate) fn arrives(&mut self, c: usize, link: LinkId, m: usize, frame: ClientFrame, sent: u64) {
        if self.members[m].leader.is_none() {
            return;
        }
        let from = Some((c, link, frame.id));
        let leads = self.log.get().views[m].leadership.leads;
        // Most members that do not lead ask the one that does; some say so at once, as one does that is behind.
        if !leads && !matches!(frame.call, Call::Cancel(_)) && self.chance.one_in(16) {
            return self.answer(m, from, door::no(Code::NoLeader, Some(50)));
        }
        let transferred = match &frame.call {
            Call::Transfer(transfer) => Some(transfer.token),
            _ => None,
        };
        let key = self.words.index(door::name_of(&frame.call));
        let put = self.words.put(frame.call);
        self.ask(m, from, sent, key, transferred, put);
    }

    pub(crate) fn ask(
        &mut self,
        m: usize,
        from: Option<(usize, LinkId, u64)>,
        sent: u64,
        key: usize,
        transferred: Option<u64>,
        put: Put,
    ) {
        let Some(leader) = &self.members[m].leader else { return };
        let handle = leader.handle();
        let outbox = Arc::clone(&self.members[m].outbox);
        self.ask_last += 1;
        let id = self.ask_last;
        let mut asked = Asked { from, sent, key, transferred, wait: None, due: None, since: self.now };
        let tell = move |told| outbox.lock().unwrap_or_else(PoisonError::into_inner).push((id, told));
        let clock_now = self.members[m].rate.reads(self.now);
        match put {
            Put::Answered(reply) => return self.answer(m, from, reply),
            Put::Cancel(frame) => return self.cancel(m, from, frame),
            Put::Command(command, named, heir, deadline) => {
                asked.due = Some(Mono(clock_now).after(deadline));
                self.note_came(m, &command);
                let reply = Box::new(move |answer| tell(Told::Answer(answer)));
                handle.propose(Proposal { command, named, heir, deadline, reply });
            }
            Put::Acquire(claim, timeout_ms) => {
                self.note_claim(m, &claim);
                let wait = handle.acquire(claim, Box::new(move |answer| tell(Told::Answer(answer))));
                asked.wait = Some((wait, Kind::Acquire));
                self.timeout_later(m, id, timeout_ms);
            }
            Put::Wait(key, after, timeout_ms) => {
                let wait = handle.wait(key, after, Box::new(move |waited| tell(Told::Waited(waited))));
                asked.wait = Some((wait, Kind::Wait));
                self.timeout_later(m, id, timeout_ms);
            }
            Put::Get(key) => {
                asked.due = Some(Mono(clock_now).after(lease::DEADLINE_DEFAULT));
                let reply = Box::new(move |table: Result<(&lease::Table, replica::Reading), _>| {
                    tell(match table {
                        Ok((table, at)) => Told::Lease(table.get(&key).map(Box::new), at),
                        Err(why) => Told::Unavailable(why),
                    });
                });
                handle.read(Read { stale: false, deadline: lease::DEADLINE_DEFAULT, reply });
            }
        }
        self.members[m].asks.insert(id, asked);
        self.drain(m);
        self.step_soon(m);
    }

    fn timeout_later(&mut self, m: usize, id: u64, timeout_ms: Option<u64>) {
        if let Some(ms) = timeout_ms {
            self.after(ms * MILLI, Event::Timeout { m, id });
        }
    }

    fn note_came(&mut self, m: usize, command: &Command) {
        match command {
            Command::Claim(claim) => self.note_claim(m, claim),
            Command::Extend { token, .. } => {
                let leads = self.leads(m).map(|term| (m, term));
                let left = self.table.grant(*token);
                let left = left.map_or(0, |(_, grant)| self.table.now().until(grant.deadline).as_nanos());
                self.invariants.loses_nothing.tried(*token, leads, left);
            }
            _ => {}
        }
    }

    /// A claim comes to a member, from a client or from another member.
    pub(crate) fn note_claim(&mut self, m: usize, claim: &Claim) {
        let Claim { key, holder, instance, seq, .. } = claim;
        let leads = self.leads(m).is_some();
        let Some(leader) = &self.members[m].leader else { return };
        let held = self.table.get(key).and_then(|view| view.grant);
        // A claim of one's own grant passes nobody when it comes, though its release may be before it on the way.
        let own = |grant: lease::GrantView| {
            grant.holder == *holder && (grant.instance == *instance || grant.instance == Instance(0))
        };
        let line = match held.is_some_and(own) || !leads {
            true => Vec::new(),
            false => leader.line(key),
        };
        // The lines are of the term that the member knows of, which may be over.
        let term = leader.handle().status().term;
        self.invariants.ticket_order.came(m, self.now, term, (holder, *instance, *seq), &line);
    }

    /// Gives out what the replica has answered.
    pub(crate) fn drain(&mut self, m: usize) {
        self.answer_asks(m);
        let outbox = Arc::clone(&self.members[m].outbox);
        let told = std::mem::take(&mut *outbox.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, told) in told {
            let Some(asked) = self.members[m].asks.remove(&id) else { continue };
            let reply = door::reply(asked.key, asked.transferred, told);
            if let Reply::Granted(grant) = &reply
                && grant.confirmed
            {
                let token = Token::from_u64(grant.token);
                self.invariants.never_early.answered(token, asked.sent, grant.ttl_ms * MILLI);
            }
            self.answer(m, asked.from, reply);
        }
    }

    fn answer(&mut self, m: usize, to: Option<(usize, LinkId, u64)>, reply: Reply) {
        let Some((c, link, frame)) = to else { return };
        if self.tracing() {
            self.say(format!("m{m} answers c{c} {frame}: {}", shown(&reply)));
        }
        let Some(after) = self.latency() else { return };
        let frame = Box::new(ServerFrame::reply(frame, reply));
        self.after(after, Event::Answers { c, link, frame });
    }

    pub(crate) fn timeout(&mut self, m: usize, id: u64) {
        let Some(asked) = self.members[m].asks.get(&id) else { return };
        let Some((wait, kind)) = asked.wait else { return };
        let from = asked.from;
        match (self.give_up(m, wait, kind), kind) {
            // Its answer comes yet, as every other's.
            (_, Kind::Acquire) | (false, Kind::Wait) => self.drain(m),
            (true, Kind::Wait) => {
                self.members[m].asks.remove(&id);
                self.answer(m, from, door::no(Code::StillHeld, None));
            }
        }
    }

    /// True for a wait that is not answered.
    fn give_up(&mut self, m: usize, wait: WaitId, kind: Kind) -> bool {
        let Some(leader) = &self.members[m].leader else { return false };
        let handle = leader.handle();
        self.invariants.ticket_order.left(m, self.now);
        self.step_soon(m);
        match kind {
            Kind::Acquire => {
                handle.give_up(wait);
                false
            }
            Kind::Wait => handle.cancel(wait),
        }
    }

    fn cancel(&mut self, m: usize, from: Option<(usize, LinkId, u64)>, frame: u64) {
        let Some((c, link, _)) = from else { return };
        let of = |asked: &Asked| asked.from == Some((c, link, frame));
        let found = self.members[m].asks.iter().find(|(_, asked)| of(asked));
        let found = found.and_then(|(id, asked)| Some((*id, asked.wait?)));
        if let Some((id, (wait, kind))) = found {
            self.members[m].asks.remove(&id);
            self.give_up(m, wait, kind);
        }
        self.answer(m, from, Reply::Cancelled);
    }

    /// A member hears that a link is gone: its waits are over, and its acquires keep their places for a while.
    pub(crate) fn gone(&mut self, c: usize, link: LinkId, m: usize) {
        let of = |asked: &Asked| asked.from.is_some_and(|(client, on, _)| (client, on) == (c, link));
        let gone: Vec<u64> =
            self.members[m].asks.iter().filter(|(_, it)| of(it)).map(|(id, _)| *id).collect();
        for id in gone {
            let Some(Asked { wait: Some((wait, kind)), .. }) = self.members[m].asks.get(&id) else {
                continue;
            };
            let (wait, kind) = (*wait, *kind);
            self.members[m].asks.remove(&id);
            let Some(leader) = &self.members[m].leader else { continue };
            match kind {
                Kind::Wait => drop(leader.handle().cancel(wait)),
                Kind::Acquire => leader.handle().leave(wait),
            }
            self.invariants.ticket_order.left(m, self.now);
        }
        self.step_soon(m);
    }

    /// Whether a wait for `key` stands at a member.
    pub(crate) fn is_waited_for(&self, m: usize, key: usize) -> bool {
        let waits = |asked: &Asked| matches!(asked.wait, Some((_, Kind::Wait))) && asked.key == key;
        self.members[m].asks.values().any(waits)
    }

    /// An ask that was to be answered a while ago, though its member ran.
    pub(crate) fn overdue(&self, m: usize) -> Option<String> {
        let member = &self.members[m];
        let now = member.rate.reads(self.now.saturating_sub(50 * MILLI));
        let late = member.asks.values().find(|asked| asked.due.is_some_and(|due| due.0 < now))?;
        Some(format!(
            "m{m} was asked about lease {} at {}, and has not answered within the deadline",
            door::NAMES[late.key],
            crate::clock::Shown(late.since)
        ))
    }
}

pub(crate) fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Granted(grant) => {
            format!(
                "granted {} token {} for {} ms, confirmed {}",
                grant.name, grant.token, grant.ttl_ms, grant.confirmed
            )
        }
        Reply::Error(problem) => format!("{}", problem.code),
        other => format!("{other:?}"),
    }
}
