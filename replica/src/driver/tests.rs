//! When a driver wants to look again: later than now, wherever it has nothing to do now.

use std::future::{Pending as Never, pending, ready};
use std::sync::Mutex;

use lease::{Batch, Claim, Holder, Instance, Key, Name, Namespace, Seq, Table};

use super::*;
use crate::clock::Clock;
use crate::events::Window;
use crate::log::NoRoom;
use crate::members::{MemberChange, MemberView, Unchanged};
use crate::raft::Asked;

/// Consensus that nobody leads.
struct Leaderless;

impl Engine for Leaderless {
    type Proposing = Never<Proposed>;

    fn leadership(&self) -> Leadership {
        Leadership::default()
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

    fn ask(&self, _: u64, _: Vec<u8>, _: Duration) -> Asked {
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
    let mut driver = Driver::new(Arc::clone(&shared), Leaderless, me, SnapshotTrigger::never());
    let mut step_at = |at: Mono| {
        *clock.0.lock().unwrap() = at;
        let mut step = std::pin::pin!(driver.step());
        match step.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(wake_at) => wake_at,
            Poll::Pending => panic!("this engine keeps nobody waiting"),
        }
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
