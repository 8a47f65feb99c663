//! When a driver wants to look again: later than now, wherever it has nothing to do now. And whom it turns away first, where more is
//! asked than is answered.

use std::future::{Pending as Never, pending, ready};
use std::sync::Mutex;

use lease::{
    Batch, Claim, Holder, Instance, Key, Name, Namespace, READS_PRESSED_MAX, RETRY_AFTER_MIN, Seq, Table,
    Token,
};

use super::*;
use crate::clock::Clock;
use crate::events::Window;
use crate::handle::Handle;
use crate::log::NoRoom;
use crate::members::{MemberChange, MemberView, Unchanged};
use crate::raft::asks::Ask;
use crate::raft::{Asked, ask_of};

/// Consensus that answers nothing that it is asked, and keeps it.
#[derive(Default)]
struct Mute {
    leadership: Leadership,
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Engine for Mute {
    type Proposing = Never<Proposed>;

    fn leadership(&self) -> Leadership {
        self.leadership
    }

    async fn propose(&self, _: Arc<Batch>) -> Option<Never<Proposed>> {
        None
    }

    fn read_barrier(&self) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        Box::pin(pending())
    }

    async fn snapshot(&self) {}

    fn oldest_unsynced(&self) -> Option<Duration> {
        None
    }

    fn no_room(&self) -> Option<NoRoom> {
        None
    }

    fn ask(&self, _: u64, frame: Vec<u8>, _: Duration) -> Asked {
        self.asked.lock().unwrap().push(frame);
        Box::pin(pending())
    }

    fn drains(&self) -> bool {
        false
    }

    fn news_age(&self) -> Option<Duration> {
        None
    }

    fn change(
        &self,
        _: MemberChange,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<MemberView>, Unchanged>> + Send>> {
        Box::pin(ready(Err(Unchanged::NoLeader)))
    }

    async fn hand_on(&self) -> bool {
        false
    }
}

/// A clock that the test sets.
struct Set(Mutex<Mono>);

impl Clock for Set {
    fn now(&self) -> Mono {
        *self.0.lock().unwrap()
    }
}

fn claim() -> Claim {
    let namespace = Namespace::parse("n").unwrap();
    Claim {
        key: Key { namespace, name: Name::parse("a").unwrap() },
        holder: Holder::parse("h").unwrap(),
        instance: Instance(1),
        seq: Seq(1),
        ttl: Ttl::from_millis(10_000),
        value: None,
    }
}

/// Seed 29 of whole clusters: from when an absent waiter was to be forgotten until the next look at the overdue, 10 ms at most, the
/// driver wanted to look again at once.
#[test]
fn a_waiter_that_stays_away_is_forgotten_at_the_next_look_at_the_overdue_and_nothing_spins_until_then() {
    let clock = Arc::new(Set(Mutex::new(Mono(0))));
    let shared =
        Arc::new(Shared::new(Arc::clone(&clock) as Arc<dyn Clock>, Table::new(0), Window::default()));
    let me = Me { member: 1, life: 1 };
    let mut driver = Driver::new(Arc::clone(&shared), Mute::default(), me, SnapshotTrigger::never());
    let mut step_at = |at: Mono| {
        *clock.0.lock().unwrap() = at;
        step(&mut driver)
    };
    let forgotten_at = {
        let mut state = shared.state();
        state.queue.ask(1, claim(), None, None, Box::new(drop));
        assert!(state.queue.join(1, 1, Reading::default()).is_none());
        state.queue.leave(1, Mono(0));
        state.queue.next_absent().unwrap()
    };
    // The last look before: the next one is 10 ms later.
    let looked_at = Mono(forgotten_at.0 - 5_000_000);
    assert!(step_at(looked_at) > looked_at);
    let due = Mono(forgotten_at.0 + 1_000_000);
    let wake_at = step_at(due);
    assert!(wake_at > due, "it looks again at {wake_at:?}, and it is {due:?}");
    assert!(shared.state().queue.next_absent().is_some(), "it is not forgotten between two looks");
    step_at(wake_at);
    assert_eq!(shared.state().queue.next_absent(), None);
}

fn step(driver: &mut Driver<Mute>) -> Mono {
    let mut step = std::pin::pin!(driver.step());
    match step.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(wake_at) => wake_at,
        Poll::Pending => panic!("this engine keeps nobody waiting"),
    }
}

/// Asks of one member, and who was turned away.
struct Flood {
    handle: Handle,
    turned_away: Arc<Mutex<Vec<Ttl>>>,
}

impl Flood {
    fn ask(&self, count: usize, command: impl Fn() -> Command) {
        let proposals = (0..count).map(|_| Proposal {
            command: command(),
            named: None,
            heir: HeirMust::Wait,
            deadline: Ttl::from_millis(5_000),
            reply: Box::new(self.note()),
        });
        self.handle.propose_all(proposals);
    }

    fn read(&self) {
        let note = self.note();
        let reply = Box::new(move |read: Result<(&Table, Reading), Unavailable>| {
            read.err().into_iter().for_each(|why| note(Answer::Unavailable(why)));
        });
        self.handle.read(Read { stale: false, deadline: Ttl::from_millis(5_000), reply });
    }

    fn note(&self) -> impl Fn(Answer) + Send + use<> {
        let turned_away = Arc::clone(&self.turned_away);
        move |answer| match answer {
            Answer::Unavailable(Unavailable::Overloaded { retry_after }) => {
                turned_away.lock().unwrap().push(retry_after);
            }
            answer => panic!("nobody can have answered {answer:?}"),
        }
    }

    /// How many were turned away since this was last asked.
    fn count(&self) -> usize {
        let turned_away = std::mem::take(&mut *self.turned_away.lock().unwrap());
        assert!(turned_away.iter().all(|after| *after >= RETRY_AFTER_MIN), "each is told when to come back");
        turned_away.len()
    }
}

/// On a member that follows a leader which answers nothing.
#[test]
fn reads_are_turned_away_before_claims_and_extends_are_never() {
    const ROOM: usize = 100;
    let clock = Arc::new(Set(Mutex::new(Mono(0))));
    let shared = Shared::new(clock, Table::new(0), Window::default()).with_room_for(ROOM);
    let shared = Arc::new(shared);
    let leadership = Leadership { term: 1, leader: Some(2), leads: false };
    let engine = Mute { leadership, ..Mute::default() };
    let asked = Arc::clone(&engine.asked);
    let me = Me { member: 1, life: 1 };
    let mut driver = Driver::new(Arc::clone(&shared), engine, me, SnapshotTrigger::never());
    let flood = Flood { handle: Handle { shared }, turned_away: Arc::default() };
    let a_claim = || Command::Claim(claim());
    // As many frames as may be on their way, and then claims that wait here.
    for _ in 0..4 {
        flood.ask(1, a_claim);
        step(&mut driver);
    }
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()).len(), 4);
    flood.ask(ROOM / 2 - 1, a_claim);
    step(&mut driver);
    assert!(!flood.handle.is_pressed());
    flood.ask(1, a_claim);
    step(&mut driver);
    assert!(flood.handle.is_pressed(), "claims fill half of their room");

    (0..READS_PRESSED_MAX).for_each(|_| flood.read());
    assert_eq!(flood.count(), 0);
    flood.read();
    assert_eq!(flood.count(), 1, "few reads are let in");
    flood.ask(ROOM / 2, a_claim);
    step(&mut driver);
    assert_eq!(flood.count(), 0, "and as many claims as have room");
    flood.ask(7, a_claim);
    assert_eq!(flood.count(), 7, "the others at once, without the driver");

    let token = Token::from_u64(7);
    flood.ask(ROOM, || Command::Extend { token, ttl: Ttl::from_millis(10_000) });
    flood.ask(3, || Command::Release { token });
    asked.lock().unwrap().clear();
    step(&mut driver);
    assert_eq!(flood.count(), 0, "what keeps and frees leases has rooms of its own");
    let frames = std::mem::take(&mut *asked.lock().unwrap());
    let commands = frames.iter().filter_map(|frame| match ask_of(frame).unwrap() {
        Ask::Commands(commands) => Some(commands.len()),
        _ => None,
    });
    assert_eq!(
        commands.collect::<Vec<_>>(),
        [ROOM + 3],
        "and goes to the leader, past the claims that wait there"
    );
}

#[test]
fn members_whose_logs_grow_alike_make_their_snapshots_one_after_the_other() {
    const EVERY: u64 = 64 << 20;
    let mut due_at = Vec::new();
    for member in 1..=3 {
        let written = Arc::new(AtomicU64::new(0));
        let mut trigger = SnapshotTrigger::new(Arc::clone(&written), EVERY, member);
        let mut last = 0;
        for at in (0..=3 * EVERY).step_by(EVERY as usize / 64) {
            written.store(at, Ordering::Relaxed);
            if trigger.take_due() {
                assert!(at - last <= EVERY, "member {member}: at {last}, and then at {at}");
                (due_at, last) = ([due_at, vec![at]].concat(), at);
            }
        }
        assert!(last > 2 * EVERY, "member {member}: the last at {last}");
    }
    due_at.sort_unstable();
    assert!(due_at.len() > 8, "{due_at:?}");
    assert!(due_at.windows(2).all(|two| two[1] - two[0] > EVERY / 8), "{due_at:?}");
}
