use std::sync::{Arc, Mutex};

use lease::{Batch, Command, Name, Namespace, Outcome, Request, SWEEP_MAX, Seq, Time};

use super::*;

/// A table and the queue beside it, as a leader has them.
#[derive(Default)]
struct Rig {
    table: Table,
    queue: Queue,
    told: Arc<Mutex<Vec<(u64, Answer)>>>,
}

fn key(name: &str) -> Key {
    Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse(name).unwrap() }
}

fn claim(holder: &str, instance: u64, seq: u64) -> Claim {
    Claim {
        key: key("a"),
        holder: Holder::parse(holder).unwrap(),
        instance: Instance(instance),
        seq: Seq(seq),
        ttl: Ttl::from_millis(10_000),
        value: None,
    }
}

impl Rig {
    fn held() -> (Rig, Token) {
        let mut rig = Rig { table: Table::new(0), ..Rig::default() };
        let token = match &rig.apply(vec![Command::Claim(claim("h0", 9, 1))])[0] {
            Outcome::Granted(granted) => granted.token,
            other => panic!("{other:?}"),
        };
        (rig, token)
    }

    fn apply(&mut self, commands: Vec<Command>) -> Vec<Outcome> {
        let requests = commands.into_iter().map(|command| Request { not_after: None, command }).collect();
        let batch = Batch { term: 1, stamp: Time::from_nanos(1), sweep: SWEEP_MAX, requests };
        let applied = self.table.apply(1, &batch);
        let due = self.queue.take_in(&applied, &self.table, Reading::default());
        due.into_iter().for_each(|(reply, answer)| reply(answer));
        applied.outcomes
    }

    fn ask(&mut self, id: u64, claim: Claim) {
        let told = Arc::clone(&self.told);
        let reply = Box::new(move |answer| told.lock().unwrap().push((id, answer)));
        self.queue.ask(id, claim, None, None, reply);
    }

    fn give_up(&mut self, id: u64) {
        let due = self.queue.give_up(id, Reading::default());
        due.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    fn join(&mut self, id: u64, claim: Claim) {
        self.ask(id, claim);
        let due = self.queue.join(id, 1, Reading::default());
        due.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    fn answers(&self) -> Vec<(u64, Answer)> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// Who is told, and whether of a grant.
    fn told(&self) -> Vec<(u64, bool)> {
        let told = self.answers();
        let granted =
            |answer: &Answer| matches!(answer, Answer::Decided { outcome: Outcome::Granted(_), .. });
        told.iter().map(|(id, answer)| (*id, granted(answer))).collect()
    }

    /// Whose turns there are, sent and applied.
    fn turns(&mut self) -> Vec<String> {
        let turns: Vec<Succeed> = std::iter::from_fn(|| self.queue.turn(&self.table)).collect();
        let names = turns.iter().map(|turn| turn.to.holder.as_str().to_owned()).collect();
        for turn in turns {
            let key = turn.key.clone();
            let refusal = match self.apply(vec![Command::Succeed(turn)]).remove(0) {
                Outcome::Refused(refusal) => Some(refusal),
                _ => None,
            };
            self.settle(&key, refusal);
        }
        names
    }

    fn settle(&mut self, key: &Key, refusal: Option<Refusal>) {
        let due = self.queue.settle(key, refusal, Reading::default());
        due.into_iter().for_each(|(reply, answer)| reply(answer));
    }

    fn release(&mut self) {
        let grant = self.table.get(&key("a")).and_then(|lease| lease.grant).unwrap();
        self.apply(vec![Command::Release { token: grant.token }]);
    }
}

#[test]
fn each_is_granted_in_its_turn_and_leaves_on_the_grant() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.join(2, claim("h2", 1, 1));
    assert!(rig.turns().is_empty(), "it is held");
    rig.release();
    assert_eq!(rig.turns(), ["h1"]);
    assert_eq!(rig.told(), [(1, true)]);
    rig.release();
    assert_eq!(rig.turns(), ["h2"]);
    assert_eq!(rig.told(), [(2, true)]);
    rig.release();
    assert!(rig.turns().is_empty() && !rig.queue.has_lines());
    assert_eq!(rig.queue.len(), 0);
}

#[test]
fn a_refused_succession_keeps_the_waiter_in_its_place() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    // As when a release in flight is followed by a succession, and the release was lost.
    let sent = rig.queue.succeed(&key("a")).unwrap();
    assert!(rig.queue.succeed(&key("a")).is_none(), "one is on its way");
    let Outcome::Refused(refusal) = rig.apply(vec![Command::Succeed(sent)]).remove(0) else {
        panic!("granted")
    };
    rig.settle(&key("a"), Some(refusal));
    assert!(rig.told().is_empty());
    rig.release();
    assert_eq!(rig.turns(), ["h1"]);
}

#[test]
fn one_that_can_never_be_granted_is_told_why() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.join(2, claim("h2", 1, 1));
    rig.release();
    assert!(rig.queue.turn(&rig.table).is_some() && rig.queue.turn(&rig.table).is_none());
    let (min, max) = (Ttl::from_millis(1_000), Ttl::from_millis(5_000));
    rig.settle(&key("a"), Some(Refusal::Ttl { ttl: Ttl::from_millis(10_000), min, max }));
    assert_eq!(rig.told(), [(1, false)]);
    assert_eq!(rig.turns(), ["h2"], "the next one's turn has come");
}

#[test]
fn the_newest_connection_of_a_waiter_is_the_one_that_is_answered_in_its_old_place() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.join(2, claim("h2", 1, 1));
    rig.join(3, claim("h1", 1, 1));
    assert_eq!(rig.told(), [(1, false)], "replaced");
    rig.join(4, claim("h1", 1, 0));
    assert_eq!(rig.told(), [(4, false)], "overtaken");
    rig.release();
    assert_eq!(rig.turns(), ["h1"]);
    assert_eq!(rig.told(), [(3, true)]);
}

#[test]
fn an_absent_waiter_is_skipped_keeps_its_place_and_is_forgotten_in_time() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.join(2, claim("h2", 1, 1));
    rig.queue.leave(1, Mono(0));
    rig.release();
    assert_eq!(rig.turns(), ["h2"], "it is not there");
    rig.join(3, claim("h1", 1, 1));
    rig.join(4, claim("h3", 1, 1));
    rig.queue.leave(3, Mono(5));
    let kept = PLACE_KEPT.as_nanos();
    rig.queue.forget_absent(Mono(kept));
    rig.join(5, claim("h1", 1, 1));
    rig.release();
    assert_eq!(rig.turns(), ["h1"], "its old place was still its own");
    rig.queue.leave(4, Mono(10));
    rig.queue.forget_absent(Mono(kept + 10));
    assert!(!rig.queue.has_lines(), "forgotten");
}

#[test]
fn one_that_went_away_while_it_was_granted_gives_its_place_up_once_it_confirms() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.join(2, claim("h2", 1, 1));
    rig.release();
    let turn = rig.queue.turn(&rig.table).unwrap();
    rig.queue.leave(1, Mono(0));
    rig.apply(vec![Command::Succeed(turn)]);
    rig.settle(&key("a"), None);
    // It comes back, and is answered with its grant.
    rig.apply(vec![Command::Claim(claim("h1", 1, 1))]);
    rig.join(3, claim("h1", 1, 2));
    rig.release();
    assert_eq!(rig.turns(), ["h2"], "it had its turn");
}

#[test]
fn only_those_that_are_there_bar_a_claim() {
    let (mut rig, _) = Rig::held();
    assert!(!rig.queue.bars(&claim("h2", 1, 1)));
    rig.join(1, claim("h1", 1, 1));
    assert!(rig.queue.bars(&claim("h2", 1, 1)) && rig.queue.bars(&claim("h1", 2, 1)));
    assert!(!rig.queue.bars(&claim("h1", 1, 2)), "it is its own turn");
    rig.queue.leave(1, Mono(0));
    assert!(!rig.queue.bars(&claim("h2", 1, 1)));
}

#[test]
fn a_grant_that_came_another_way_is_the_waiters_too() {
    let (mut rig, token) = Rig::held();
    rig.join(1, claim("h1", 7, 1));
    let (instance, ttl) = rig.queue.waiter(&key("a"), &Holder::parse("h1").unwrap()).unwrap();
    assert_eq!((instance, ttl), (Instance(7), Ttl::from_millis(10_000)));
    let holder = Holder::parse("h1").unwrap();
    let to = Heir { holder, instance, ttl, confirm: confirm(ttl) };
    rig.apply(vec![Command::Transfer { token, to }]);
    assert_eq!(rig.told(), [(1, true)]);
    assert!(!rig.queue.has_lines());
}

// The claim may have been stamped long before the acquire was sent: told that the grant is confirmed, its holder would count
// from that.
#[test]
fn a_grant_by_an_older_claim_of_the_waiter_is_to_be_confirmed() {
    let (mut rig, token) = Rig::held();
    rig.join(1, claim("h1", 1, 2));
    rig.apply(vec![Command::Release { token }, Command::Claim(claim("h1", 1, 1))]);
    let told = std::mem::take(&mut *rig.told.lock().unwrap());
    let [(1, Answer::Decided { outcome: Outcome::Granted(granted), .. })] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(!granted.confirmed);
}

#[test]
fn what_is_given_up_is_told_so_and_answered_no_more() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.give_up(1);
    assert_eq!(rig.answers(), [(1, Answer::NotItsTurn { at: Reading::default() })]);
    rig.give_up(1);
    rig.release();
    assert!(rig.turns().is_empty() && rig.told().is_empty());
}

#[test]
fn what_is_given_up_while_it_is_its_turn_is_answered_with_what_comes_of_that() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.release();
    let turn = rig.queue.turn(&rig.table).unwrap();
    rig.give_up(1);
    assert!(rig.told().is_empty(), "a grant is on its way");
    rig.apply(vec![Command::Succeed(turn)]);
    assert_eq!(rig.told(), [(1, true)]);
}

#[test]
fn what_is_given_up_while_a_grant_is_on_its_way_is_not_asked_twice() {
    for (refusal, answer) in
        [(Some(Refusal::Retry), Answer::NotItsTurn { at: Reading::default() }), (None, Answer::Unknown)]
    {
        let (mut rig, _) = Rig::held();
        rig.join(1, claim("h1", 1, 1));
        rig.release();
        rig.queue.turn(&rig.table).unwrap();
        rig.give_up(1);
        let due = rig.queue.settle(&key("a"), refusal, Reading::default());
        assert_eq!(due.map(|(_, answer)| answer), Some(answer));
        assert!(rig.turns().is_empty() && !rig.queue.has_lines());
    }
}

#[test]
fn what_is_given_up_while_its_claim_is_on_its_way_is_told_once_that_is_refused() {
    let (mut rig, _) = Rig::held();
    rig.queue.lead();
    rig.ask(1, claim("h1", 1, 1));
    rig.give_up(1);
    assert!(rig.told().is_empty(), "it may be granted");
    let due = rig.queue.join(1, 1, Reading::default());
    assert_eq!(due.map(|(_, answer)| answer), Some(Answer::NotItsTurn { at: Reading::default() }));
    assert!(!rig.queue.has_lines());
}

#[test]
fn what_waits_at_another_leader_and_is_given_up_is_answered_by_that_or_unknown() {
    let mut rig = Rig::default();
    rig.ask(1, claim("h1", 1, 1));
    rig.queue.placed(1, Ticket { term: 1, number: 1 });
    rig.give_up(1);
    assert_eq!(rig.queue.take_changed(), [Changed::Asked(1), Changed::GivenUp(1)]);
    assert!(rig.told().is_empty(), "the leader says");
    let unknown = rig.queue.ask_all_again();
    assert_eq!(unknown.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>(), [Answer::Unknown]);
    assert!(rig.queue.take_changed().is_empty() && rig.queue.len() == 0);
}

#[test]
fn what_is_sent_away_is_told_whether_anything_was_sent_on_for_it() {
    let behind = Unavailable::Behind;
    let drained = |rig: &mut Rig| {
        rig.queue.drain(behind).into_iter().for_each(|(reply, answer)| reply(answer));
        rig.answers()
    };
    let mut rig = Rig::default();
    rig.ask(1, claim("h1", 1, 1));
    rig.queue.begin(1);
    rig.ask(2, claim("h2", 2, 1));
    let told = [(1, Answer::Unavailable(behind)), (2, Answer::NotBegun(behind))];
    assert_eq!(drained(&mut rig), told, "by a member that another leads");
    rig.queue.lead();
    rig.ask(3, claim("h3", 3, 1));
    rig.ask(4, claim("h4", 4, 1));
    assert_eq!(rig.queue.begin(3), Some(&claim("h3", 3, 1)));
    rig.give_up(3);
    let told = [(3, Answer::Unknown), (4, Answer::NotBegun(behind))];
    assert_eq!(drained(&mut rig), told, "and by one that leads");
    // Also where it is asked for again by a member that leads no more: something may have come of what it sent then.
    rig.ask(5, claim("h5", 5, 1));
    rig.queue.begin(5);
    rig.queue.follow();
    assert_eq!(drained(&mut rig), [(5, Answer::Unavailable(behind))]);
}

#[test]
fn a_place_that_is_kept_is_known_before_its_acquire_is_in_line_again() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    rig.queue.leave(1, Mono(0));
    rig.ask(2, claim("h1", 1, 1));
    rig.ask(3, claim("h1", 2, 1));
    assert!(rig.queue.has_place(2) && rig.queue.place(2).is_none());
    assert!(!rig.queue.has_place(3), "another instance's");
}

#[test]
fn a_late_acquire_leaves_its_place_to_the_newer_one_that_has_it() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 2));
    let place = rig.queue.place(1);
    let told = Arc::clone(&rig.told);
    let reply = Box::new(move |answer| told.lock().unwrap().push((2, answer)));
    rig.queue.ask(2, claim("h1", 1, 1), None, place, reply);
    let due = rig.queue.join(2, 1, Reading::default());
    due.into_iter().for_each(|(reply, answer)| reply(answer));
    let told = rig.answers();
    let [(2, Answer::Decided { outcome: Outcome::Refused(Refusal::Late), .. })] = &told[..] else {
        panic!("{told:?}")
    };
    rig.release();
    assert_eq!(rig.turns().len(), 1, "the newer one has its place yet");
}

#[test]
fn a_leader_that_leads_no_more_keeps_its_own_waiters_and_their_places_for_the_next() {
    let (mut rig, _) = Rig::held();
    rig.queue.lead();
    rig.join(1, claim("h1", 1, 1));
    let place = rig.queue.place(1).unwrap();
    rig.queue.ask(2, claim("h2", 1, 1), None, None, Box::new(|_| {}));
    let via = Via { member: 2, id: 9 };
    rig.queue.ask(3, claim("h3", 1, 1), Some(via), None, Box::new(|_| {}));
    rig.queue.follow();
    assert!(!rig.queue.has_lines() && !rig.queue.has_ready(), "it keeps no lines");
    assert_eq!(rig.queue.take_changed(), [Changed::Asked(1), Changed::Asked(2)], "but those of others");
    assert_eq!(rig.queue.place(1), Some(place));
    rig.give_up(2);
    rig.queue.leave(1, Mono(0));
    assert_eq!(rig.queue.take_changed(), [Changed::GivenUp(2), Changed::Left(1)]);
}

#[test]
fn who_comes_with_a_place_of_an_earlier_term_goes_before_the_others() {
    let (mut rig, _) = Rig::held();
    rig.join(1, claim("h1", 1, 1));
    let earlier = Some(Ticket { term: 0, number: 7 });
    let told = Arc::clone(&rig.told);
    let reply = move |answer| told.lock().unwrap().push((2, answer));
    rig.queue.ask(2, claim("h2", 1, 1), None, earlier, Box::new(reply));
    assert!(rig.queue.join(2, 1, Reading::default()).is_none());
    assert_eq!(rig.queue.place(2), earlier);
    let line: Vec<_> = rig.queue.line(&key("a")).into_iter().map(|waiter| waiter.ticket).collect();
    assert_eq!(line, [(0, 7), (1, 1)]);
}

#[test]
fn who_came_through_a_silent_member_is_passed_over_until_that_is_heard_again() {
    let (mut rig, _) = Rig::held();
    let via = Via { member: 2, id: 9 };
    rig.queue.ask(1, claim("h1", 1, 1), Some(via), None, Box::new(|_| {}));
    rig.queue.join(1, 1, Reading::default());
    rig.join(2, claim("h2", 1, 1));
    rig.queue.set_silent(2, true);
    assert!(rig.queue.bars(&claim("h3", 1, 1)));
    assert_eq!(rig.queue.succeed(&key("a")).unwrap().to.holder.as_str(), "h2");
    rig.queue.settle(&key("a"), None, Reading::default());
    rig.queue.set_silent(2, false);
    assert_eq!(rig.queue.succeed(&key("a")).unwrap().to.holder.as_str(), "h1");
}
