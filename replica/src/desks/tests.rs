use std::sync::{Arc, Mutex};

use lease::{Holder, Instance, Key, Name, Namespace, Seq};

use super::*;
use crate::handle::Reading;

type Said = Arc<Mutex<Vec<Heard>>>;

fn claim() -> Claim {
    Claim {
        key: Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse("a").unwrap() },
        holder: Holder::parse("h").unwrap(),
        instance: Instance(1),
        seq: Seq(1),
        ttl: Ttl::from_millis(1_000),
        value: None,
    }
}

fn joins(id: u64) -> Change {
    Change::Joins { id, claim: claim(), ticket: None }
}

fn at(millis: u64) -> Mono {
    Mono(0).after(Ttl::from_millis(millis))
}

/// A roll of member 2.
fn roll(life: u64, desk: u32, from: u64, changes: Vec<Change>) -> Roll {
    Roll { member: 2, life, desk, term: 1, opened: 0, heard: 0, from, changes }
}

struct Rig {
    desks: Desks,
    said: Said,
    next: u64,
}

impl Rig {
    fn new() -> Rig {
        Rig { desks: Desks::default(), said: Said::default(), next: 100 }
    }

    fn take(&mut self, roll: Roll, now: Mono) -> Vec<Errand> {
        let said = Arc::clone(&self.said);
        let next = &mut self.next;
        let new_id = || {
            *next += 1;
            *next
        };
        self.desks.take(roll, now, new_id, Box::new(move |heard| said.lock().unwrap().push(heard)))
    }

    fn said(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}

fn asked(errands: &[Errand]) -> Vec<u64> {
    let asked = |errand: &Errand| match errand {
        Errand::Ask { via, .. } => Some(via.id),
        _ => None,
    };
    errands.iter().filter_map(asked).collect()
}

#[test]
fn a_roll_is_held_back_until_there_is_news_or_for_a_while() {
    let mut rig = Rig::new();
    assert_eq!(asked(&rig.take(roll(1, 1, 0, vec![joins(5)]), at(0))), [5]);
    assert!(rig.said().is_empty() && rig.desks.look(at(99)).is_empty() && rig.said().is_empty());
    assert!(rig.desks.look(at(100)).is_empty());
    assert_eq!(rig.said(), [Heard { known: true, opened: 1, taken: 1, from: 0, news: Vec::new() }]);
    rig.take(roll(1, 1, 1, Vec::new()), at(110));
    let answer = Answer::Queued { at: Reading::default() };
    rig.desks.answered(Via { member: 2, id: 5 }, Registration { life: 1, number: 1 }, answer.clone());
    assert_eq!(
        rig.said(),
        [Heard { known: true, opened: 1, taken: 1, from: 0, news: vec![News::Answer(5, answer)] }]
    );
}

#[test]
fn a_change_that_comes_twice_is_taken_once_and_one_that_left_a_hole_is_refused() {
    let mut rig = Rig::new();
    rig.take(roll(1, 1, 0, vec![joins(5)]), at(0));
    assert!(rig.take(roll(1, 1, 0, vec![joins(5)]), at(1)).is_empty());
    assert_eq!(asked(&rig.take(roll(1, 1, 0, vec![joins(5), joins(6)]), at(2))), [6]);
    rig.said();
    assert!(rig.take(roll(1, 1, 4, vec![joins(9)]), at(3)).is_empty());
    assert_eq!(rig.said(), [Heard::default()]);
}

#[test]
fn a_silent_member_is_passed_over_then_heard_again_and_at_last_forgotten() {
    let mut rig = Rig::new();
    rig.take(roll(1, 1, 0, vec![joins(5)]), at(0));
    assert_eq!(rig.desks.look(at(500)), [Errand::Silent(2, true)]);
    assert_eq!(rig.desks.look(at(501)), []);
    assert_eq!(rig.take(roll(1, 1, 1, Vec::new()), at(600)), [Errand::Silent(2, false)]);
    assert_eq!(rig.desks.look(at(1_100)), [Errand::Silent(2, true)]);
    assert_eq!(rig.desks.next_look(), Some(at(5_600)));
    assert_eq!(rig.desks.look(at(5_600)), [Errand::GiveUp(101)]);
    assert_eq!(rig.desks.next_look(), None);
}

#[test]
fn another_life_takes_the_desk_over_and_an_older_registration_does_not() {
    let mut rig = Rig::new();
    rig.take(roll(1, 2, 0, vec![joins(5)]), at(0));
    let errands = rig.take(roll(9, 1, 0, vec![joins(5)]), at(1));
    assert_eq!(errands[0], Errand::Leave(101));
    assert_eq!(asked(&errands), [5]);
    rig.said();
    // A registration that this leader does not know begins with its first change, or not at all.
    assert!(rig.take(roll(9, 3, 4, vec![joins(8)]), at(2)).is_empty());
    assert_eq!(rig.said(), [Heard::default()]);
    rig.take(roll(9, 2, 0, vec![joins(5)]), at(3));
    rig.said();
    assert!(rig.take(roll(9, 1, 0, vec![joins(7)]), at(4)).is_empty(), "an older one of the same life");
    assert_eq!(rig.said(), [Heard::default()]);
}

#[test]
fn whoever_is_registered_is_told_when_the_leader_leads_no_more() {
    let mut rig = Rig::new();
    rig.take(roll(1, 1, 0, vec![joins(5)]), at(0));
    rig.desks.close();
    assert_eq!(rig.said(), [Heard::default()]);
    assert_eq!(rig.desks.next_look(), None);
}
