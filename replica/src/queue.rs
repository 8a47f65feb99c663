//! The queue: who waits in line for a lease, first come, first served.
//!
//! ```text
//!            join                  the key is claimable, and nobody is before it
//! (asking) ───────▶ in line, ticket n ────────────────────▶ a `succeed` is on its way ──▶ granted: answered, and gone
//!                     ▲  │    ▲                                                   │
//!   asks again, keeps │  │    └─────────────────── it was refused ────────────────┘
//!   its place         │  ▼
//!                   absent: its connection is gone; skipped, and forgotten after a while
//!                   silent: its member is; skipped until that is heard again
//! ```
//!
//! The rule is by level: a key with a live waiter is `ready` whenever it may have come to be claimable, and stays so until it
//! was looked at. A waiter is a key, a holder and an instance, and leaves the line on a grant, never on a `succeed` that was only
//! sent. A grant is known by what was applied, whatever made it: a `succeed`, a transfer, a revoked grant's heir.
//!
//! Promises:
//! * Each acquire is answered at most once. One that is given up is told that it was not its turn only where no grant can come of
//!   it any more.
//! * Among the waiters of one leader's term that stay, the grants go in the order of their tickets.
//! * A key that is claimable and has a live waiter is in `ready`, or has a `succeed` on its way.
//!
//! A member that does not lead keeps no lines: it hands its acquires to the leader's (`roster`), which knows them by the member
//! that they come through (`desks`). While that is silent they are passed over.

mod line;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lease::{
    Applied, CONFIRM_MAX, CONFIRM_MIN, Claim, GrantView, Granted, Heir, Holder, Instance, Key, Refusal,
    Succeed, Table, Token, Ttl, What,
};

use crate::clock::Mono;
use crate::handle::{Answer, Reading, ReplyFn, Unavailable};
use crate::simulation::InLine;

pub(crate) use line::Ticket;
use line::{Line, Presence, Waiter};

/// How long a waiter whose connection is gone keeps its place: long enough to connect anew.
pub const PLACE_KEPT: Ttl = Ttl::from_millis(5_000);

/// Through which other member an acquire came, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Via {
    pub(crate) member: u64,
    pub(crate) id: u64,
}

/// What has become of an acquire that the leader is to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Asked(u64),
    GivenUp(u64),
    Left(u64),
}

/// Every acquire of one member, and the lines that it keeps as the leader.
pub(crate) struct Queue {
    asks: BTreeMap<u64, Ask>,
    lines: BTreeMap<Key, Line>,
    ready: BTreeSet<Key>,
    /// When each absent waiter is forgotten, in that order.
    absent: VecDeque<(Mono, Key, Ticket)>,
    last_ticket: u64,
    /// Where another member leads: what it has not been told yet.
    changed: Option<Vec<Changed>>,
}

/// An acquire that is not answered yet.
struct Ask {
    claim: Claim,
    reply: ReplyFn<Answer>,
    /// In this member's lines, or, while another leads, in that one's.
    place: Option<Ticket>,
    via: Option<Via>,
    /// It is to be told that it was not its turn, once that is sure.
    given_up: bool,
    /// A claim was made of it, or another member may have heard of it: something may come of it.
    is_begun: bool,
}

/// An answer that is due, to be given once the lock is released.
pub(crate) type Due = (ReplyFn<Answer>, Answer);

impl Default for Queue {
    // Nobody leads yet: whoever will is to be told.
    fn default() -> Queue {
        Queue {
            asks: BTreeMap::new(),
            lines: BTreeMap::new(),
            ready: BTreeSet::new(),
            absent: VecDeque::new(),
            last_ticket: 0,
            changed: Some(Vec::new()),
        }
    }
}

impl Queue {
    /// How many acquires are not answered.
    pub(crate) fn len(&self) -> usize {
        self.asks.len()
    }

    /// Whether anyone is in a line of this member's.
    pub(crate) fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Takes an acquire in; it is in no line yet. `place` is where an earlier leader had it.
    pub(crate) fn ask(
        &mut self,
        id: u64,
        claim: Claim,
        via: Option<Via>,
        place: Option<Ticket>,
        reply: ReplyFn<Answer>,
    ) {
        self.asks.insert(id, Ask { claim, reply, place, via, given_up: false, is_begun: false });
        self.note(Changed::Asked(id));
    }

    fn note(&mut self, changed: Changed) {
        self.changed.iter_mut().for_each(|list| list.push(changed));
    }

    /// Another member leads from now on, or will: it is to be told of every acquire. Those that came through other members are
    /// theirs to bring again.
    pub(crate) fn follow(&mut self) -> Vec<Due> {
        self.lines.clear();
        self.ready.clear();
        self.absent.clear();
        self.asks.retain(|_, ask| ask.via.is_none());
        self.ask_all_again()
    }

    /// This member leads from now on: every acquire that it has is to be looked at.
    pub(crate) fn lead(&mut self) -> Vec<u64> {
        self.changed = None;
        self.asks.keys().copied().collect()
    }

    /// Whoever leads is to be told of every acquire anew; but not of those that are given up: what an earlier leader has made of
    /// them is unknown.
    pub(crate) fn ask_all_again(&mut self) -> Vec<Due> {
        let given_up = self.asks.extract_if(.., |_, ask| ask.given_up);
        let due = given_up.map(|(_, ask)| (ask.reply, Answer::Unknown)).collect();
        self.changed = Some(self.asks.keys().copied().map(Changed::Asked).collect());
        due
    }

    /// Whoever leads is to be told of acquire `id` anew, as of all.
    pub(crate) fn ask_again(&mut self, id: u64) -> Option<Due> {
        if self.asks.get(&id)?.given_up {
            return self.take(id).map(|reply| (reply, Answer::Unknown));
        }
        self.note(Changed::Asked(id));
        None
    }

    /// What the leader has not been told yet, while this member does not lead.
    pub(crate) fn take_changed(&mut self) -> Vec<Changed> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Where acquire `id` waits in line: with this leader, or with the last one that said so.
    pub(crate) fn place(&self, id: u64) -> Option<Ticket> {
        self.asks.get(&id)?.place
    }

    /// Whether acquire `id` has a place in line: by an earlier leader, or kept for its holder and instance since it was here last.
    pub(crate) fn has_place(&self, id: u64) -> bool {
        self.asks.get(&id).is_some_and(|Ask { claim, place, .. }| {
            let kept = |line: &Line| line.places.contains_key(&(claim.holder.clone(), claim.instance));
            place.is_some() || self.lines.get(&claim.key).is_some_and(kept)
        })
    }

    /// Through which member acquire `id` came; none of this member's own.
    pub(crate) fn via(&self, id: u64) -> Option<Via> {
        self.asks.get(&id)?.via
    }

    /// How many have a place in line.
    pub(crate) fn placed_count(&self) -> usize {
        self.asks.values().filter(|ask| ask.place.is_some()).count()
    }

    /// The leader has put acquire `id` in line there.
    pub(crate) fn placed(&mut self, id: u64, ticket: Ticket) {
        self.asks.get_mut(&id).into_iter().for_each(|ask| ask.place = Some(ticket));
    }

    /// Who came through this member is passed over from now on, or no longer.
    pub(crate) fn set_silent(&mut self, member: u64, silent: bool) {
        let Queue { asks, lines, ready, .. } = self;
        for (id, ask) in asks.iter().filter(|(_, ask)| ask.via.is_some_and(|via| via.member == member)) {
            let line = lines.get_mut(&ask.claim.key);
            let waiter = line.zip(ask.place).and_then(|(line, place)| line.waiters.get_mut(&place));
            let is_it = |waiter: &&mut Waiter| waiter.ask() == Some(*id) && !ask.given_up;
            let Some(waiter) = waiter.filter(is_it) else { continue };
            waiter.presence = if silent { Presence::Silent(*id) } else { Presence::Here(*id) };
            ready.insert(ask.claim.key.clone());
        }
    }

    /// Something may come of acquire `id` from now on: a claim that is made of it, or what another member was told.
    pub(crate) fn begin(&mut self, id: u64) -> Option<&Claim> {
        let ask = self.asks.get_mut(&id)?;
        ask.is_begun = true;
        Some(&ask.claim)
    }

    /// What acquire `id` asks for, while it is not answered.
    pub(crate) fn claim(&self, id: u64) -> Option<&Claim> {
        self.asks.get(&id).map(|ask| &ask.claim)
    }

    /// Takes acquire `id` out, to be answered.
    pub(crate) fn take(&mut self, id: u64) -> Option<ReplyFn<Answer>> {
        self.remove(id).map(|ask| ask.reply)
    }

    /// Puts acquire `id` in line, at its holder's and instance's place where they have one. Who asked from there before is
    /// answered: the newest connection wins.
    pub(crate) fn join(&mut self, id: u64, term: u64, at: Reading) -> Option<Due> {
        if self.asks.get(&id)?.given_up {
            return self.take(id).map(|reply| (reply, Answer::NotItsTurn { at }));
        }
        let Queue { asks, lines, ready, last_ticket, .. } = self;
        let Ask { claim, place, .. } = asks.get_mut(&id)?;
        let who = (claim.holder.clone(), claim.instance);
        let line = lines.entry(claim.key.clone()).or_default();
        let kept = place.filter(|place| !line.waiters.contains_key(place));
        let ticket = *line.places.entry(who.clone()).or_insert_with(|| {
            kept.unwrap_or_else(|| {
                *last_ticket += 1;
                Ticket { term, number: *last_ticket }
            })
        });
        let before = line.waiters.get(&ticket).map(|waiter| (waiter.ask(), waiter.seq));
        if let Some((Some(other), seq)) = before
            && (other == id || claim.seq < seq)
        {
            let late = Answer::Decided { outcome: lease::Outcome::Refused(Refusal::Late), at };
            return (other != id).then(|| self.take(id).map(|reply| (reply, late))).flatten();
        }
        line.waiters
            .insert(ticket, Waiter { who, seq: claim.seq, ttl: claim.ttl, presence: Presence::Here(id) });
        *place = Some(ticket);
        ready.insert(claim.key.clone());
        let replaced = before.and_then(|(ask, _)| ask).and_then(|ask| asks.remove(&ask))?;
        Some((replaced.reply, Answer::Replaced { at }))
    }

    /// Whether a claim of a claimable key would pass others by that wait for it.
    pub(crate) fn bars(&self, claim: &Claim) -> bool {
        #[cfg(planted)]
        if lease::planted::is(lease::planted::Bug::ClaimPastQueue) {
            return false;
        }
        let first = self.lines.get(&claim.key).and_then(Line::first);
        first.is_some_and(|(_, waiter)| waiter.who.0 != claim.holder || waiter.who.1 != claim.instance)
    }

    /// Who of `holder` is the first in line for `key`: its instance, and the ttl that it asked for.
    pub(crate) fn waiter(&self, key: &Key, holder: &Holder) -> Option<(Instance, Ttl)> {
        let live = self.lines.get(key)?.live();
        live.map(|(_, waiter)| waiter).find(|waiter| waiter.who.0 == *holder).map(|it| (it.who.1, it.ttl))
    }

    /// Takes in what a batch did: who was granted what it waits for, and is to be told.
    pub(crate) fn take_in(&mut self, applied: &Applied, table: &Table, at: Reading) -> Vec<Due> {
        self.freed(&applied.freed);
        let mut due = Vec::new();
        for event in &applied.events {
            match &event.what {
                What::Granted { key, token, confirmed, .. } => {
                    due.extend(self.granted(key, *token, table, at));
                    if *confirmed {
                        self.confirmed(key, *token, table);
                    }
                }
                What::Confirmed { key, token } => self.confirmed(key, *token, table),
                _ => {}
            }
        }
        due
    }

    /// These may have come to be claimable.
    fn freed(&mut self, keys: &[Key]) {
        if !self.lines.is_empty() {
            self.ready.extend(keys.iter().filter(|key| self.lines.contains_key(key)).cloned());
        }
    }

    /// `token` was granted on `key`: whoever waits there in its name is answered, and told to confirm. Also where it is
    /// confirmed, by a claim of the same life of the holder: that may have been stamped before this acquire was even sent, and
    /// who counts from then would believe too long.
    fn granted(&mut self, key: &Key, token: Token, table: &Table, at: Reading) -> Option<Due> {
        let line = self.lines.get(key)?;
        let (_, GrantView { holder, instance, ttl, deadline, .. }) = table.grant(token)?;
        let place = *line.places.get(&(holder, instance))?;
        let id = line.waiters.get(&place)?.ask()?;
        let ask = self.remove(id)?;
        let outcome = lease::Outcome::Granted(Granted { token, ttl, deadline, confirmed: false });
        Some((ask.reply, Answer::Decided { outcome, at }))
    }

    /// The grant of `token` on `key` is its holder's for good: where that waited and went away, it had its turn, and gives its place
    /// up. Until then it might come back to confirm.
    fn confirmed(&mut self, key: &Key, token: Token, table: &Table) {
        let Some(line) = self.lines.get_mut(key) else { return };
        let Some((_, GrantView { holder, instance, .. })) = table.grant(token) else { return };
        let place = line.places.get(&(holder, instance)).copied();
        if let Some(place) = place.filter(|at| line.waiters.get(at).is_some_and(|it| it.ask().is_none())) {
            line.remove(place);
            self.tidy(key);
        }
    }

    /// Whose turn it is on the next ready key that is claimable and has no `succeed` on its way; none once no key is left.
    pub(crate) fn turn(&mut self, table: &Table) -> Option<Succeed> {
        loop {
            let key = self.ready.pop_first()?;
            if let Some(turn) = table.is_free(&key).then(|| self.succeed(&key)).flatten() {
                return Some(turn);
            }
        }
    }

    /// Whether there may be a turn to be taken.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The one whose turn it is once `key` is free, unless one is on its way already.
    pub(crate) fn succeed(&mut self, key: &Key) -> Option<Succeed> {
        let line = self.lines.get_mut(key).filter(|line| line.succeeding.is_none())?;
        let (_, waiter) = line.first()?;
        let (who, ttl) = (waiter.who.clone(), waiter.ttl);
        line.succeeding = Some(who.clone());
        let to = Heir { holder: who.0, instance: who.1, ttl, confirm: confirm(ttl) };
        Some(Succeed { key: key.clone(), to })
    }

    /// The `succeed` on `key` is done with; none where nobody knows what came of it. Where the one it was for can never be
    /// granted, or is given up, that one is answered.
    pub(crate) fn settle(&mut self, key: &Key, refusal: Option<Refusal>, at: Reading) -> Option<Due> {
        let line = self.lines.get_mut(key)?;
        let who = line.succeeding.take()?;
        let waiter = line.places.get(&who).and_then(|ticket| line.waiters.get(ticket));
        let id = waiter.and_then(Waiter::ask);
        let given_up = waiter.is_some_and(|waiter| matches!(waiter.presence, Presence::GivenUp(_)));
        self.ready.insert(key.clone());
        self.tidy(key);
        let answer = match refusal {
            Some(refusal) if comes_again(&refusal) && given_up => Answer::NotItsTurn { at },
            Some(refusal) if comes_again(&refusal) => return None,
            Some(refusal) => Answer::Decided { outcome: lease::Outcome::Refused(refusal), at },
            None if given_up => Answer::Unknown,
            None => return None,
        };
        Some((self.take(id?)?, answer))
    }

    /// Gives acquire `id` up, and its place in line. It is answered now, or once it is known what came of a command that is on its
    /// way for it.
    pub(crate) fn give_up(&mut self, id: u64, at: Reading) -> Option<Due> {
        let leads = self.changed.is_none();
        self.note(Changed::GivenUp(id));
        let ask = self.asks.get_mut(&id)?;
        ask.given_up = true;
        let line = self.lines.get_mut(&ask.claim.key);
        let waiter = line.zip(ask.place).and_then(|(line, place)| {
            let waiter = line.waiters.get_mut(&place).filter(|waiter| waiter.ask() == Some(id))?;
            Some((line.succeeding.as_ref() == Some(&waiter.who), waiter))
        });
        let answer = match waiter {
            Some((false, _)) => Answer::NotItsTurn { at },
            Some((true, waiter)) => {
                waiter.presence = Presence::GivenUp(id);
                return None;
            }
            // Its claim is on its way.
            None if leads => return None,
            // The leader says.
            None if ask.place.is_some() => return None,
            None => Answer::Unknown,
        };
        self.take(id).map(|reply| (reply, answer))
    }

    /// The connection that asked is gone: its place is kept for a while.
    pub(crate) fn leave(&mut self, id: u64, now: Mono) {
        if self.asks.get(&id).is_some_and(|ask| ask.given_up) {
            return drop(self.remove(id));
        }
        let Some(Ask { claim, place, .. }) = self.asks.remove(&id) else { return };
        self.note(Changed::Left(id));
        let Some(ticket) = place else { return };
        let line = self.lines.get_mut(&claim.key);
        if let Some(waiter) = line.and_then(|line| line.waiters.get_mut(&ticket)) {
            let until = now.after(PLACE_KEPT);
            waiter.presence = Presence::Absent { until };
            self.absent.push_back((until, claim.key, ticket));
        }
    }

    /// Forgets who stayed away.
    pub(crate) fn forget_absent(&mut self, now: Mono) {
        while let Some((_, key, ticket)) = self.absent.pop_front_if(|(at, ..)| *at <= now) {
            let Some(line) = self.lines.get_mut(&key) else { continue };
            // It may have come back since, and gone again.
            let is_over =
                |waiter: &Waiter| matches!(waiter.presence, Presence::Absent { until } if until <= now);
            if line.waiters.get(&ticket).is_some_and(is_over) {
                line.remove(ticket);
            }
            self.tidy(&key);
        }
    }

    /// When the next absent one is to be forgotten.
    pub(crate) fn next_absent(&self) -> Option<Mono> {
        self.absent.front().map(|(at, ..)| *at)
    }

    /// Takes every acquire out, to be answered with `why`; those that were not begun are told that too.
    pub(crate) fn drain(&mut self, why: Unavailable) -> Vec<Due> {
        let ids: Vec<u64> = self.asks.keys().copied().collect();
        ids.iter().for_each(|id| self.note(Changed::GivenUp(*id)));
        let asks = ids.into_iter().filter_map(|id| self.remove(id));
        let due = |ask: Ask| match ask {
            Ask { is_begun: false, .. } => (ask.reply, Answer::NotBegun(why)),
            Ask { given_up: true, .. } => (ask.reply, Answer::Unknown),
            _ => (ask.reply, Answer::Unavailable(why)),
        };
        asks.map(due).collect()
    }

    /// Who waits for `key`, the first in line first; for simulations.
    pub(crate) fn line(&self, key: &Key) -> Vec<InLine> {
        let waiters = self.lines.get(key).into_iter().flat_map(|line| &line.waiters);
        let shown = |(ticket, waiter): (&Ticket, &Waiter)| InLine {
            ticket: (ticket.term, ticket.number),
            holder: waiter.who.0.clone(),
            instance: waiter.who.1,
            live: waiter.is_live(),
        };
        waiters.map(shown).collect()
    }

    fn remove(&mut self, id: u64) -> Option<Ask> {
        let ask = self.asks.remove(&id)?;
        // A later acquire of the same holder and instance may have its place by now.
        let line = self.lines.get_mut(&ask.claim.key).zip(ask.place);
        if let Some((line, ticket)) = line
            && line.waiters.get(&ticket).is_some_and(|waiter| waiter.ask() == Some(id))
        {
            line.remove(ticket);
            self.tidy(&ask.claim.key);
        }
        Some(ask)
    }

    fn tidy(&mut self, key: &Key) {
        if self.lines.get(key).is_some_and(|line| line.waiters.is_empty() && line.succeeding.is_none()) {
            self.lines.remove(key);
            self.ready.remove(key);
        }
    }
}

/// How long a holder has to confirm a grant that came at a time it could not know.
pub(crate) fn confirm(ttl: Ttl) -> Ttl {
    ttl.min(CONFIRM_MAX).max(CONFIRM_MIN)
}

/// Whether a refused `succeed` or acquire may be granted once the lease is free.
pub(crate) fn comes_again(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Held { .. } | Refusal::Cooldown { .. } | Refusal::Retry)
}

#[cfg(test)]
mod tests;
