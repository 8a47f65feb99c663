//! A roster and a desk, and between them a network that loses, doubles and delays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use lease::{Claim, Holder, Instance, Key, Name, Namespace, Seq, Ttl};
use proptest::prelude::*;

use super::*;
use crate::clock::Mono;
use crate::desks::{Desks, Errand, Registration};
use crate::handle::{Reading, Unavailable};
use crate::queue::Via;

const TERM: u64 = 7;
const MEMBER: u64 = 2;

fn claim(id: u64) -> Claim {
    Claim {
        key: Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse("a").unwrap() },
        holder: Holder::parse(&format!("h{id}")).unwrap(),
        instance: Instance(id),
        seq: Seq(1),
        ttl: Ttl::from_millis(1_000),
        value: None,
    }
}

type Replies = Arc<Mutex<Vec<(u32, Heard)>>>;

/// What the leader has on its books: its own number of each acquire, and whose it is.
#[derive(Default)]
struct Leader {
    desks: Desks,
    books: BTreeMap<u64, (Via, Registration, Option<Ticket>)>,
    next: u64,
}

struct Rig {
    queue: Queue,
    roster: Roster,
    leader: Leader,
    now: Mono,
    /// Rolls and answers on their way.
    rolls: Vec<Roll>,
    replies: Replies,
    asked: u64,
    answered: Arc<Mutex<Vec<u64>>>,
    left: BTreeSet<u64>,
    given_up: BTreeSet<u64>,
}

impl Rig {
    fn new() -> Rig {
        let mut queue = Queue::default();
        let mut roster = Roster::new(MEMBER, 99);
        roster.register(TERM, &mut queue);
        Rig {
            queue,
            roster,
            leader: Leader::default(),
            now: Mono(0),
            rolls: Vec::new(),
            replies: Replies::default(),
            asked: 0,
            answered: Arc::default(),
            left: BTreeSet::new(),
            given_up: BTreeSet::new(),
        }
    }

    fn ask(&mut self) {
        self.asked += 1;
        let id = self.asked;
        let answered = Arc::clone(&self.answered);
        self.queue.ask(id, claim(id), None, None, Box::new(move |_| answered.lock().unwrap().push(id)));
    }

    fn send(&mut self) {
        while let Some(roll) = self.roster.next_roll(&mut self.queue) {
            self.rolls.push(roll);
        }
    }

    /// The leader takes a roll in, which may be one that it had before.
    fn deliver(&mut self, at: usize, again: bool) {
        if self.rolls.is_empty() {
            return;
        }
        let at = at % self.rolls.len();
        let roll = if again { self.rolls[at].clone() } else { self.rolls.remove(at) };
        let (desk, replies) = (roll.desk, Arc::clone(&self.replies));
        let reply = move |heard| replies.lock().unwrap().push((desk, heard));
        let Leader { desks, books, next } = &mut self.leader;
        let new_id = || {
            *next += 1;
            *next
        };
        for errand in desks.take(roll, self.now, new_id, Box::new(reply)) {
            match errand {
                Errand::Ask { id, via, registration, ticket, .. } => {
                    books.insert(id, (via, registration, ticket));
                    if via.id.is_multiple_of(3) {
                        desks.placed(via, Ticket { term: TERM, number: via.id });
                    }
                }
                Errand::GiveUp(id) => {
                    if let Some((via, registration, _)) = books.remove(&id) {
                        desks.answered(via, registration, Answer::NotItsTurn { at: Reading::default() });
                    }
                }
                Errand::Leave(id) => drop(books.remove(&id)),
                Errand::Silent(..) => {}
            }
        }
    }

    fn come_back(&mut self, at: usize, lost: bool) {
        let (desk, heard) = {
            let mut replies = self.replies.lock().unwrap();
            if replies.is_empty() {
                return;
            }
            let at = at % replies.len();
            replies.remove(at)
        };
        let heard = (!lost).then_some(heard);
        let (answers, due) = self.roster.came_back(desk, heard, &mut self.queue);
        assert!(due.iter().all(|(_, answer)| *answer == Answer::Unknown), "nobody knows what came of it");
        due.into_iter().for_each(|(reply, answer)| reply(answer));
        for (id, answer) in answers {
            self.queue.take(id).into_iter().for_each(|reply| reply(answer.clone()));
        }
    }

    /// The leader answers one of those on its books.
    fn answer(&mut self, at: usize) {
        let ids: Vec<u64> = self.leader.books.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[at % ids.len()];
        if let Some((via, registration, _)) = self.leader.books.remove(&id) {
            self.leader.desks.answered(via, registration, Answer::Queued { at: Reading::default() });
        }
    }

    fn give_up(&mut self, at: usize, leaves: bool) {
        let open: Vec<u64> = (1..=self.asked).filter(|id| self.queue.claim(*id).is_some()).collect();
        if open.is_empty() {
            return;
        }
        let id = open[at % open.len()];
        if leaves {
            self.left.insert(id);
            return self.queue.leave(id, self.now);
        }
        self.given_up.insert(id);
        let due = self.queue.give_up(id, Reading::default());
        due.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(Ttl::from_millis(millis));
        for errand in self.leader.desks.look(self.now) {
            if let Errand::GiveUp(id) | Errand::Leave(id) = errand {
                self.leader.books.remove(&id);
            }
        }
    }

    /// Nothing is lost any more, and all that is on its way arrives.
    fn settle(&mut self) {
        for _ in 0..8 {
            self.send();
            while !self.rolls.is_empty() {
                self.deliver(0, false);
            }
            self.pass(150);
            while !self.replies.lock().unwrap().is_empty() {
                self.come_back(0, false);
            }
        }
        // Where nobody waits any more no roll is sent, and what a late one has left at the leader is forgotten there.
        if self.queue.len() == 0 {
            self.pass(6_000);
        }
    }

    fn check(&self) {
        let answered = self.answered.lock().unwrap().clone();
        let mut once = answered.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), answered.len(), "each acquire is answered once");
        assert!(once.iter().all(|id| !self.left.contains(id)), "and none whose connection had gone");
        let stopped = |id: &&u64| !self.left.contains(id) && !once.contains(id);
        assert_eq!(self.given_up.iter().find(stopped), None, "each that was given up is answered");
        let open: BTreeSet<u64> = (1..=self.asked).filter(|id| self.queue.claim(*id).is_some()).collect();
        let booked: Vec<u64> = self.leader.books.values().map(|(via, ..)| via.id).collect();
        let booked_once: BTreeSet<u64> = booked.iter().copied().collect();
        assert_eq!(booked.len(), booked_once.len(), "nobody is on the books twice");
        assert_eq!(booked_once, open, "the leader has exactly those who wait");
    }
}

#[test]
fn who_waits_is_registered_told_its_place_and_answered() {
    let mut rig = Rig::new();
    rig.ask();
    rig.settle();
    rig.check();
    let (via, ..) = *rig.leader.books.values().next().unwrap();
    rig.leader.desks.placed(via, Ticket { term: TERM, number: 5 });
    rig.settle();
    assert_eq!(rig.queue.place(1), Some(Ticket { term: TERM, number: 5 }));
    rig.answer(0);
    rig.settle();
    assert_eq!(*rig.answered.lock().unwrap(), [1]);
    rig.check();
}

#[test]
fn another_leader_is_told_of_everyone_with_their_places() {
    let mut rig = Rig::new();
    rig.ask();
    rig.ask();
    rig.settle();
    let ticket = Ticket { term: TERM, number: 5 };
    rig.queue.placed(1, ticket);
    rig.leader = Leader::default();
    rig.roster.register(TERM + 1, &mut rig.queue);
    rig.settle();
    rig.check();
    let tickets: BTreeMap<u64, _> =
        rig.leader.books.values().map(|(via, _, ticket)| (via.id, *ticket)).collect();
    assert_eq!(tickets, BTreeMap::from([(1, Some(ticket)), (2, None)]));
}

#[test]
fn a_member_that_was_forgotten_registers_anew() {
    let mut rig = Rig::new();
    rig.ask();
    rig.settle();
    rig.pass(10_000);
    assert!(rig.leader.books.is_empty(), "it was silent for too long");
    rig.settle();
    rig.check();
    assert_eq!(rig.leader.books.len(), 1);
}

#[test]
fn an_acquire_that_was_sent_away_before_its_roll_arrived_joins_no_line() {
    let mut rig = Rig::new();
    rig.ask();
    rig.send();
    assert_eq!(rig.rolls.drain(..).map(|roll| roll.changes.len()).sum::<usize>(), 1, "it was to join");
    rig.roster.came_back(rig.roster.desk(), None, &mut rig.queue);
    let sent_away = rig.queue.drain(Unavailable::Behind);
    assert_eq!(sent_away.len(), 1);
    rig.settle();
    rig.check();
    assert_eq!(rig.leader.next, 0, "the leader never had it on its books");
}

#[derive(Clone, Debug)]
enum Step {
    Ask,
    GiveUp(usize, bool),
    Send,
    Deliver(usize, bool),
    LoseRoll,
    ComeBack(usize, bool),
    Answer(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Ask),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(at, leaves)| Step::GiveUp(at, leaves)),
        4 => Just(Step::Send),
        4 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(at, again)| Step::Deliver(at, again)),
        1 => Just(Step::LoseRoll),
        4 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(at, lost)| Step::ComeBack(at, lost)),
        2 => any::<usize>().prop_map(Step::Answer),
        1 => prop_oneof![Just(10_u64), Just(150), Just(600), Just(6_000)].prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_network_does_everyone_is_answered_once_and_the_books_agree(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut rig = Rig::new();
        for step in steps {
            match step {
                Step::Ask => rig.ask(),
                Step::GiveUp(at, leaves) => rig.give_up(at, leaves),
                Step::Send => rig.send(),
                Step::Deliver(at, again) => rig.deliver(at, again),
                Step::LoseRoll => {
                    if let Some(roll) = rig.rolls.pop() {
                        rig.roster.came_back(roll.desk, None, &mut rig.queue);
                    }
                }
                Step::ComeBack(at, lost) => rig.come_back(at, lost),
                Step::Answer(at) => rig.answer(at),
                Step::Pass(millis) => rig.pass(millis),
            }
        }
        rig.settle();
        rig.settle();
        rig.check();
    }
}
