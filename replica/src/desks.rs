//! Desks: the leader keeps one for each other member whose clients wait in line.
//!
//! ```text
//!  member                                      leader
//!  roster ──roll: changes from number n──────▶ desk: takes in what is new ──▶ queue
//!         ◀─heard: taken, news from number m── (at once where there is news; else held back a little)
//! ```
//!
//! A roll is a sign of life too: a member that is silent for [`SILENT_AFTER`] has its waiters passed over, and one that is for
//! [`PLACE_KEPT`] has them forgotten. Both ways the numbers make sure that each change and each piece of news arrives once, whatever
//! is lost, doubled or late. A roll that does not fit what the desk knows is answered so, and the member registers anew.
//!
//! Pure: time and numbers come in as arguments, what is to be done is handed out.

use std::collections::{BTreeMap, VecDeque};

use lease::{Claim, Ttl};

use crate::clock::Mono;
use crate::handle::{Answer, ReplyFn};
use crate::queue::{PLACE_KEPT, Ticket, Via};
use crate::raft::asks::{Change, Heard, News, Roll};

/// How long a roll without news is held back: the member sends the next one then.
pub(crate) const HELD: Ttl = Ttl::from_millis(100);
/// A member that is silent for so long is passed over.
pub(crate) const SILENT_AFTER: Ttl = Ttl::from_millis(500);

const _: () = assert!(3 * HELD.as_nanos() < SILENT_AFTER.as_nanos(), "a roll may be late, or lost once");

/// The desks of one leader's term.
#[derive(Default)]
pub(crate) struct Desks {
    desks: BTreeMap<u64, Desk>,
    opened: u64,
}

struct Desk {
    registration: Registration,
    /// Its number among all that were opened.
    opened: u64,
    taken: u64,
    /// The member's numbers of its acquires, and this member's.
    asks: BTreeMap<u64, u64>,
    news: VecDeque<News>,
    /// The number of the first of `news`.
    first: u64,
    heard: Mono,
    silent: bool,
    held: Option<(Mono, ReplyFn<Heard>)>,
}

/// Which registration of a member a desk is for: its life, and a number in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Registration {
    pub(crate) life: u64,
    pub(crate) number: u32,
}

/// What is to be done with the queue.
#[derive(Debug, PartialEq)]
pub(crate) enum Errand {
    /// A new acquire, whose answer goes to [`Desks::answered`].
    Ask {
        id: u64,
        via: Via,
        registration: Registration,
        claim: Claim,
        ticket: Option<Ticket>,
    },
    GiveUp(u64),
    Leave(u64),
    /// The waiters of this member are passed over from now on, or no longer.
    Silent(u64, bool),
}

impl Desks {
    /// Takes a roll in. `reply` is called now or later, with what there is to say.
    pub(crate) fn take(
        &mut self,
        roll: Roll,
        now: Mono,
        mut new_id: impl FnMut() -> u64,
        reply: ReplyFn<Heard>,
    ) -> Vec<Errand> {
        let registration = Registration { life: roll.life, number: roll.desk };
        let mut errands = Vec::new();
        match self.desks.get(&roll.member).map(|desk| desk.registration) {
            Some(known) if known == registration => {}
            // Of the same life, an older one has come late.
            Some(known) if known.life == registration.life && registration < known => {
                reply(Heard::default());
                return errands;
            }
            // What was said from a desk that is forgotten may still be on its way: whoever has heard it cannot go on at another.
            _ if roll.opened > 0 || roll.from > 0 => {
                reply(Heard::default());
                return errands;
            }
            _ => {
                self.opened += 1;
                let before = self.desks.insert(roll.member, Desk::new(registration, self.opened, now));
                errands.extend(before.into_iter().flat_map(Desk::close).map(Errand::Leave));
            }
        }
        let Some(desk) = self.desks.get_mut(&roll.member) else { return errands };
        if roll.from > desk.taken || (roll.opened > 0 && roll.opened != desk.opened) {
            reply(Heard::default());
            return errands;
        }
        desk.heard = now;
        if std::mem::take(&mut desk.silent) {
            errands.push(Errand::Silent(roll.member, false));
        }
        let new = roll.changes.into_iter().zip(roll.from..).filter(|(_, number)| *number >= desk.taken);
        for (change, number) in new.collect::<Vec<_>>() {
            desk.taken = number + 1;
            errands.extend(desk.change(roll.member, change, &mut new_id));
        }
        desk.forget_heard(roll.heard);
        if let Some((_, held)) = desk.held.take() {
            held(desk.say());
        }
        desk.held = Some((now, reply));
        desk.say_news();
        errands
    }

    /// The acquire of that number at `via`'s member was answered.
    pub(crate) fn answered(&mut self, via: Via, registration: Registration, answer: Answer) {
        let desk = self.desks.get_mut(&via.member).filter(|desk| desk.registration == registration);
        if let Some(desk) = desk.filter(|desk| desk.asks.contains_key(&via.id)) {
            desk.asks.remove(&via.id);
            desk.tell(News::Answer(via.id, answer));
        }
    }

    /// The acquire of that number waits in line.
    pub(crate) fn placed(&mut self, via: Via, ticket: Ticket) {
        let desk = self.desks.get_mut(&via.member);
        if let Some(desk) = desk.filter(|desk| desk.asks.contains_key(&via.id)) {
            desk.tell(News::Ticket(via.id, ticket));
        }
    }

    /// Looks at the time: gives the rolls back that were held long enough, passes the silent over, and forgets the dead.
    pub(crate) fn look(&mut self, now: Mono) -> Vec<Errand> {
        let mut errands = Vec::new();
        for (member, desk) in &mut self.desks {
            if let Some((_, reply)) = desk.held.take_if(|(since, _)| since.after(HELD) <= now) {
                reply(desk.say());
            }
            if !desk.silent && desk.heard.after(SILENT_AFTER) <= now {
                desk.silent = true;
                errands.push(Errand::Silent(*member, true));
            }
        }
        let dead = self.desks.extract_if(.., |_, desk| desk.heard.after(PLACE_KEPT) <= now);
        errands.extend(dead.flat_map(|(_, desk)| desk.close()).map(Errand::GiveUp));
        errands
    }

    /// Whether anyone is passed over.
    pub(crate) fn has_silent(&self) -> bool {
        self.desks.values().any(|desk| desk.silent)
    }

    /// When to look at the time next.
    pub(crate) fn next_look(&self) -> Option<Mono> {
        self.desks.values().map(Desk::next_look).min()
    }

    /// This member leads no more: whoever is registered is told to register anew, elsewhere.
    pub(crate) fn close(&mut self) {
        std::mem::take(&mut self.desks).into_values().for_each(|desk| drop(desk.close()));
    }
}

impl Desk {
    fn new(registration: Registration, opened: u64, now: Mono) -> Desk {
        Desk {
            registration,
            opened,
            taken: 0,
            asks: BTreeMap::new(),
            news: VecDeque::new(),
            first: 0,
            heard: now,
            silent: false,
            held: None,
        }
    }

    fn change(&mut self, member: u64, change: Change, new_id: impl FnOnce() -> u64) -> Option<Errand> {
        match change {
            Change::Joins { id, claim, ticket } => {
                let ours = new_id();
                self.asks.insert(id, ours);
                let via = Via { member, id };
                Some(Errand::Ask { id: ours, via, registration: self.registration, claim, ticket })
            }
            // Its answer says what came of it.
            Change::GivenUp(id) => self.asks.get(&id).copied().map(Errand::GiveUp),
            Change::Left(id) => self.asks.remove(&id).map(Errand::Leave),
        }
    }

    /// What the member has heard need not be said again.
    fn forget_heard(&mut self, heard: u64) {
        let known = heard.saturating_sub(self.first).min(self.news.len() as u64);
        self.news.drain(..known as usize);
        self.first += known;
    }

    fn tell(&mut self, news: News) {
        self.news.push_back(news);
        self.say_news();
    }

    fn say_news(&mut self) {
        if !self.news.is_empty()
            && let Some((_, reply)) = self.held.take()
        {
            reply(self.say());
        }
    }

    fn say(&self) -> Heard {
        let news = self.news.iter().take(NEWS_MAX).cloned().collect();
        Heard { known: true, opened: self.opened, taken: self.taken, from: self.first, news }
    }

    fn next_look(&self) -> Mono {
        let held = self.held.as_ref().map(|(since, _)| since.after(HELD));
        let next = self.heard.after(if self.silent { PLACE_KEPT } else { SILENT_AFTER });
        held.map_or(next, |held| held.min(next))
    }

    /// Lets whoever asks know that there is no such desk; the numbers of what it has asked here.
    fn close(mut self) -> Vec<u64> {
        if let Some((_, reply)) = self.held.take() {
            reply(Heard::default());
        }
        self.asks.into_values().collect()
    }
}

/// News in one answer.
const NEWS_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
