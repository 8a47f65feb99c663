//! What was applied, believed and promised in a run, and the first promise that was broken.

use std::cell::RefCell;
use std::fmt::Write as _;

use lease::{Applied, Batch, Table, Time, Token};
use replica::log::LogId;

use super::executor::now;
use crate::clock::Shown;
use crate::invariants::{Believed, Committed, Invariants, Kept};
use crate::{Ran, Trace, Violation};

struct Entry {
    id: LogId,
    applied: Applied,
}

#[derive(Default)]
struct Judge {
    seed: u64,
    tracing: bool,
    ran: Ran,
    broken: Option<Violation>,
    invariants: Invariants,
    /// By index: what the first member that applied it made of it.
    entries: std::collections::BTreeMap<u64, Entry>,
    /// The lease clock of each member's table.
    clocks: std::collections::BTreeMap<u64, (u64, Time)>,
    answered: u64,
    /// The newest state that anybody was told of.
    heard: u64,
}

thread_local! {
    static JUDGE: RefCell<Judge> = RefCell::default();
}

/// Another run begins.
pub(crate) fn begin(seed: u64, trace: Trace) {
    JUDGE.set(Judge { seed, tracing: trace == Trace::Kept, ..Judge::default() });
}

/// The run is over.
pub(crate) fn end() -> (Ran, Result<(), Violation>) {
    let judge = JUDGE.take();
    (judge.ran, judge.broken.map_or(Ok(()), Err))
}

/// Whether a promise was broken.
pub(crate) fn is_broken() -> bool {
    JUDGE.with_borrow(|it| it.broken.is_some())
}

/// Writes a line of the trace, where there is one.
pub(crate) fn say(line: impl FnOnce() -> String) {
    let at = now();
    JUDGE.with_borrow_mut(|it| {
        it.ran.events += 1;
        if it.tracing {
            let _ = writeln!(it.ran.trace, "{} {}", Shown(at), line());
        }
    });
}

/// Remembers the first promise that was broken.
pub(crate) fn judge(invariant: &'static str, kept: Kept) {
    let Err(what) = kept else { return };
    let at = now();
    JUDGE.with_borrow_mut(|it| {
        if it.tracing {
            let _ = writeln!(it.ran.trace, "{} VIOLATION {invariant}: {what}", Shown(at));
        }
        let seed = it.seed;
        it.broken.get_or_insert(Violation { seed, at, invariant, what });
    });
}

/// A member has applied an entry: for the first time, or as others before it.
pub(crate) fn applied(member: u64, id: LogId, batch: &Batch, applied: &Applied, table: &Table) {
    say(|| {
        format!(
            "m{member} applies entry {}@{}: now {}, {:?}",
            id.index,
            id.term,
            table.now(),
            applied.outcomes
        )
    });
    let at = now();
    let kept = JUDGE.with_borrow_mut(|it| {
        // A restart reads older entries again.
        let (index, clock) = it.clocks.entry(member).or_default();
        if id.index > *index && table.now() < *clock {
            return Err((
                "the lease clock never runs back",
                format!("m{member} went from {clock} to {}", table.now()),
            ));
        }
        if id.index > *index {
            (*index, *clock) = (id.index, table.now());
        }
        if let Some(first) = it.entries.get(&id.index) {
            return match first.id == id && first.applied == *applied {
                true => Ok(()),
                false => Err((
                    "replicas agree",
                    format!(
                        "m{member} made {applied:?} of entry {id:?}, and it was {:?} as {:?}",
                        first.applied, first.id
                    ),
                )),
            };
        }
        it.entries.insert(id.index, Entry { id, applied: applied.clone() });
        // Whether the cluster is well is looked at when faults have stopped: until then nothing is late.
        let committed = Committed { at, term: id.term, by: 0, batch, applied, table, trouble: at };
        it.invariants.committed(&committed)
    });
    if let Err((invariant, what)) = kept {
        judge(invariant, Err(what));
    }
}

/// What a client believes from now on.
pub(crate) fn believes(client: usize, beliefs: &[Believed]) {
    let at = now();
    let kept = JUDGE.with_borrow_mut(|it| {
        it.invariants.one_believer.believes(client, beliefs);
        it.invariants.one_believer.check(client, at, &it.invariants.ledger)
    });
    judge("one believer", kept);
}

/// A member answers what left at `sent`: the grant stands for `ttl` nanoseconds.
pub(crate) fn granted(token: u64, sent: u64, ttl: u64) {
    JUDGE.with_borrow_mut(|it| {
        it.answered += 1;
        it.invariants.never_early.answered(Token::from_u64(token), sent, ttl);
    });
}

/// How many grants and extends were answered.
pub(crate) fn answered() -> u64 {
    JUDGE.with_borrow(|it| it.answered)
}

/// Somebody was told of a state with so many events; with what was the newest before.
pub(crate) fn heard(revision: u64) -> u64 {
    JUDGE.with_borrow_mut(|it| {
        it.heard = it.heard.max(revision);
        it.heard
    })
}
