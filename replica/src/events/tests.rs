use std::sync::atomic::{AtomicUsize, Ordering};

use lease::{Holder, Token, What};

use super::*;

pub(super) fn key(name: &str) -> Key {
    Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse(name).unwrap() }
}

pub(super) fn granted(revision: u64, name: &str) -> Event {
    let what = What::Granted {
        key: key(name),
        holder: Holder::parse("h").unwrap(),
        token: Token::from_u64(revision),
        confirmed: true,
        value: None,
    };
    Event { revision: Revision(revision), what }
}

pub(super) fn small(events: usize) -> Events {
    Events::new(Window { events, age: Ttl::ZERO, bytes: usize::MAX })
}

fn prefix(prefix: &str) -> Watched {
    Watched::Prefix(Namespace::parse("n").unwrap(), prefix.to_owned())
}

pub(super) fn counter() -> (Arc<AtomicUsize>, Wake) {
    let count = Arc::new(AtomicUsize::new(0));
    let wake = Arc::clone(&count);
    (
        count,
        Arc::new(move || {
            wake.fetch_add(1, Ordering::Relaxed);
        }),
    )
}

pub(super) fn wake(wakes: Vec<Wake>) {
    wakes.iter().for_each(|wake| wake());
}

fn revisions(events: &mut Events, id: u64, limit: usize) -> (Vec<u64>, bool) {
    let pulled = events.pull(id, limit).unwrap();
    (pulled.events.iter().map(|event| event.revision.0).collect(), pulled.more)
}

#[test]
fn a_watch_sees_each_of_its_events_once_and_in_order_and_is_woken_once() {
    let mut events = small(100);
    let (woken, waker) = counter();
    assert_eq!(events.watch(1, prefix("db/"), None, waker), Ok(Revision(0)));
    wake(events.take_in(&[granted(1, "cron"), granted(2, "db/a"), granted(3, "db/b")], Mono(1)));
    wake(events.take_in(&[granted(4, "db/c")], Mono(2)));
    assert_eq!(woken.load(Ordering::Relaxed), 1, "it has not pulled yet");
    assert_eq!(revisions(&mut events, 1, 2), (vec![2, 3], true));
    assert_eq!(revisions(&mut events, 1, 2), (vec![4], false));
    assert_eq!(revisions(&mut events, 1, 2), (vec![], false));
    wake(events.take_in(&[granted(5, "cron"), granted(6, "db/a")], Mono(3)));
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    assert_eq!(revisions(&mut events, 1, 2), (vec![6], false));
}

#[test]
fn events_of_others_wake_nobody_and_do_not_cost_a_watch_its_place() {
    let mut events = small(4);
    let (woken, waker) = counter();
    assert_eq!(events.watch(1, Watched::Lease(key("a")), None, waker), Ok(Revision(0)));
    for revision in 1..=20 {
        wake(events.take_in(&[granted(revision, "b")], Mono(revision)));
    }
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    wake(events.take_in(&[granted(21, "a")], Mono(21)));
    assert_eq!(revisions(&mut events, 1, 9), (vec![21], false));
}

#[test]
fn a_watch_from_a_revision_sees_what_came_after_it() {
    let mut events = small(100);
    wake(events.take_in(&[granted(1, "a"), granted(2, "b"), granted(3, "a")], Mono(1)));
    assert_eq!(events.watch(1, Watched::Lease(key("a")), Some(Revision(1)), counter().1), Ok(Revision(1)));
    assert_eq!(revisions(&mut events, 1, 9), (vec![3], false));
    let ahead = events.watch(2, prefix(""), Some(Revision(4)), counter().1);
    assert_eq!(ahead, Err(Unwatchable::Ahead { newest: Revision(3) }));
}

#[test]
fn a_slow_watch_is_told_compacted_and_the_others_do_not_notice() {
    let mut events = small(4);
    assert_eq!(events.watch(1, prefix(""), None, counter().1), Ok(Revision(0)));
    assert_eq!(events.watch(2, prefix(""), None, counter().1), Ok(Revision(0)));
    for revision in 1..=10 {
        wake(events.take_in(&[granted(revision, "a")], Mono(revision)));
        assert_eq!(revisions(&mut events, 2, 9), (vec![revision], false));
    }
    let Err(Unwatchable::Compacted { first }) = events.pull(1, 9) else { panic!("it went on") };
    assert!((5..=7).contains(&first.0), "{first:?}");
    assert_eq!(events.watches(), 1, "it has ended");
    let late = events.watch(3, prefix(""), Some(Revision(1)), counter().1);
    assert_eq!(late, Err(Unwatchable::Compacted { first }));
}

#[test]
fn more_are_kept_while_they_are_young_and_fewer_where_they_are_large() {
    let mut events = Events::new(Window { events: 2, age: Ttl::from_nanos(10), bytes: usize::MAX });
    for revision in 1..=8 {
        events.take_in(&[granted(revision, "a")], Mono(revision));
    }
    assert_eq!(events.first(), Revision(1), "none is old");
    events.take_in(&[granted(9, "a")], Mono(15));
    assert_eq!(events.first(), Revision(5), "those before 5 are older than 10 ns");
    let mut events = Events::new(Window { events: 100, age: Ttl::from_nanos(10), bytes: 210 });
    for revision in 1..=8 {
        events.take_in(&[granted(revision, "a")], Mono(revision));
    }
    assert_eq!(events.first(), Revision(6), "three take 204 bytes");
}

#[test]
fn a_replaced_state_compacts_every_watch() {
    let mut events = small(100);
    let (woken, waker) = counter();
    assert_eq!(events.watch(1, prefix(""), None, waker), Ok(Revision(0)));
    wake(events.restart(Revision(50)));
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert_eq!(events.pull(1, 9), Err(Unwatchable::Compacted { first: Revision(51) }));
    assert!(events.by_prefix.is_empty(), "nothing is left behind");
}
