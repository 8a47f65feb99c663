//! What was applied, believed and promised in a run, and the first promise that was broken.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use api::Call;
use lease::{Applied, Batch, Command, Key, Outcome, Table, Token, What, Why};
use replica::log::LogId;

use super::asks::Standing;
use super::executor::{self, Life, now};
use super::lookout;
use crate::clock::Shown;
use crate::door::Words;
use crate::invariants::{
    Answers, AsModel, Believed, ClockForward, Committed, Invariants, Kept, OneLeader, ReplicasAgree,
    SERVED_WITHIN, Served, Who,
};
use crate::tally::Happened;
use crate::trouble::Trouble;
use crate::{Ran, Trace, Violation};

#[derive(Default)]
struct Judge {
    seed: u64,
    tracing: bool,
    ran: Ran,
    broken: Option<Violation>,
    closed: bool,
    invariants: Invariants,
    replicas_agree: ReplicasAgree,
    clock_forward: ClockForward,
    as_model: AsModel,
    one_leader: OneLeader,
    answers: Answers,
    /// By member, and for the line at the leader under 0.
    served: BTreeMap<u64, Served>,
    trouble: Trouble,
    /// Who waits until a lease is free, and the leases.
    waits: Standing,
    keys: Vec<Key>,
    /// Clients whose clocks run at rates outside rho: what they believe is not judged.
    stray_clients: BTreeSet<usize>,
    granted: u64,
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

/// All that was to be seen was seen.
pub(crate) fn close() {
    JUDGE.with_borrow_mut(|it| it.closed = true);
}

/// Whether the run may end: all was seen, or a promise was broken.
pub(crate) fn is_over() -> bool {
    JUDGE.with_borrow(|it| it.closed || it.broken.is_some())
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

/// The cluster begins with so many voters.
pub(crate) fn voters(voters: u64) {
    JUDGE.with_borrow_mut(|it| it.ran.voters = voters);
}

/// Something happened.
pub(crate) fn count(happened: Happened) {
    JUDGE.with_borrow_mut(|it| it.ran.tally.count(happened));
}

/// Remembers the first promise that was broken.
pub(crate) fn judge(invariant: &'static str, kept: Kept) {
    let Err(what) = kept else { return };
    let at = now();
    JUDGE.with_borrow_mut(|it| {
        if it.tracing {
            let _ = writeln!(it.ran.trace, "{} VIOLATION {invariant}: {what}", Shown(at));
            for open in it.answers.lines() {
                let _ = writeln!(it.ran.trace, "unanswered {open}");
            }
        }
        let seed = it.seed;
        it.broken.get_or_insert(Violation { seed, at, invariant, what });
    });
}

/// The cluster is in trouble until then.
pub(crate) fn trouble(until: u64) {
    let at = now();
    JUDGE.with_borrow_mut(|it| it.trouble.lasts(at, until));
}

/// A member's clock runs at a rate outside rho.
pub(crate) fn member_strays() {
    count(Happened::ClockStrayed);
    JUDGE.with_borrow_mut(|it| it.invariants.strays = true);
}

/// A client's clock does.
pub(crate) fn client_strays(client: usize) {
    count(Happened::ClockStrayed);
    JUDGE.with_borrow_mut(|it| it.stray_clients.insert(client));
}

/// A member has applied an entry: for the first time, or as others before it.
pub(crate) fn applied(member: u64, id: LogId, batch: &Batch, applied: &Applied, table: &Table) {
    say(|| {
        let (now, outcomes) = (table.now(), &applied.outcomes);
        format!("m{member} applies entry {id}: now {now}, {outcomes:?}")
    });
    let at = now();
    let kept = JUDGE.with_borrow_mut(|it| {
        let reads = it.clock_forward.reads(member, id.index, table.now());
        reads.map_err(|what| ("the lease clock never runs back", what))?;
        let is_first = it.replicas_agree.applied(member, id, batch, applied);
        if !is_first.map_err(|what| ("replicas agree", what))? {
            return Ok(());
        }
        tally(&mut it.ran, batch, applied);
        let trouble = it.trouble.so_far(at);
        let committed = Committed { at, term: id.term, by: 0, batch, applied, table, trouble };
        let modelled = it.as_model.committed(&committed);
        modelled.map_err(|what| ("every entry's effects are the naive model's", what))?;
        it.invariants.committed(&committed)
    });
    if let Err((invariant, what)) = kept {
        judge(invariant, Err(what));
    }
}

fn tally(ran: &mut Ran, batch: &Batch, applied: &Applied) {
    ran.tally.count(Happened::Applied);
    for event in &applied.events {
        match &event.what {
            What::Granted { .. } => ran.tally.count(Happened::Granted),
            What::Ended { end, .. } => ran.tally.count(match end.why {
                Why::Expired => Happened::Expired,
                Why::Unconfirmed => Happened::Unconfirmed,
                Why::Transferred => Happened::HandedOn,
                Why::Revoked(_) => Happened::Revoked,
                Why::Released | Why::Restored => Happened::Released,
            }),
            _ => {}
        }
    }
    for (request, outcome) in batch.requests.iter().zip(&applied.outcomes) {
        match (&request.command, outcome) {
            (Command::Extend { .. }, Outcome::Extended(_)) => ran.tally.count(Happened::Extended),
            (Command::Succeed(_), Outcome::Granted(_)) => ran.tally.count(Happened::Succeeded),
            _ => {}
        }
    }
}

/// A member has a state that it did not make itself: from a snapshot that came, or from its disk.
pub(crate) fn restored(member: u64, index: Option<u64>, table: &Table) {
    let kept = JUDGE.with_borrow_mut(|it| {
        it.clock_forward.reads(member, index.unwrap_or(0), table.now())?;
        it.replicas_agree.restored(member, index, table)
    });
    judge("a snapshot or a restart forgets nothing", kept);
}

/// Who waits until a lease is free is counted there.
pub(crate) fn watches_over(waits: Standing) {
    JUDGE.with_borrow_mut(|it| (it.waits, it.keys) = (waits, Words::new().keys));
}

/// A snapshot has come to those who wait at the member of `life`.
pub(crate) fn came_upon(life: Life, table: &Table) {
    JUDGE.with_borrow_mut(|it| {
        for (key, of) in it.keys.iter().enumerate() {
            let waits = it.waits.count(life, key) as u64;
            it.ran.tally.add(Happened::WaitMetSnapshot, waits);
            if table.is_free(of) {
                it.ran.tally.add(Happened::WaitFreedBySnapshot, waits);
            }
        }
    });
}

/// What a client believes from now on.
pub(crate) fn believes(client: usize, beliefs: &[Believed]) {
    let at = now();
    let kept = JUDGE.with_borrow_mut(|it| {
        if it.invariants.strays || it.stray_clients.contains(&client) {
            return Ok(());
        }
        it.invariants.one_believer.believes(client, beliefs);
        it.invariants.one_believer.check(client, at, &it.invariants.ledger)
    });
    judge("one believer", kept);
}

/// A member answers what left at `sent`: the grant stands for `ttl` nanoseconds.
pub(crate) fn granted(token: u64, sent: u64, ttl: u64) {
    JUDGE.with_borrow_mut(|it| {
        it.granted += 1;
        it.invariants.never_early.answered(Token::from_u64(token), sent, ttl);
    });
}

/// How many grants and extends were answered.
pub(crate) fn grants() -> u64 {
    JUDGE.with_borrow(|it| it.granted)
}

/// Somebody was told of a state with so many events; with what was the newest before.
pub(crate) fn heard(revision: u64) -> u64 {
    JUDGE.with_borrow_mut(|it| {
        let before = it.heard;
        it.heard = it.heard.max(revision);
        before
    })
}

/// A client asks its session for something, which ends by then.
pub(crate) fn calls(client: usize, op: u64, by: u64) {
    JUDGE.with_borrow_mut(|it| it.invariants.ends_once.asked(client, op, by));
}

/// It gives it up.
pub(crate) fn abandons(client: usize, op: u64) {
    JUDGE.with_borrow_mut(|it| it.invariants.ends_once.abandoned(client, op));
}

/// It is told.
pub(crate) fn called(client: usize, op: u64) {
    let kept = JUDGE.with_borrow_mut(|it| it.invariants.ends_once.ended(client, op));
    judge("every call ends exactly once", kept);
}

/// A client that is not paused is looked at.
pub(crate) fn look_at_client(client: usize) {
    let at = now();
    let kept = JUDGE.with_borrow_mut(|it| it.invariants.ends_once.look(client, at));
    judge("every call ends exactly once", kept);
}

/// Something is asked of a member.
pub(crate) fn asks(life: Life, what: Call, by: Option<u64>) -> u64 {
    let at = now();
    JUDGE.with_borrow_mut(|it| it.answers.asked(at, life, what, by))
}

/// The member answers it.
pub(crate) fn told(ask: u64) {
    let kept = JUDGE.with_borrow_mut(|it| it.answers.told(ask));
    judge("every ask is answered once", kept);
}

/// The member has dropped it.
pub(crate) fn dropped(ask: u64) {
    let kept = JUDGE.with_borrow_mut(|it| it.answers.dropped(ask, executor::is_alive));
    judge("every ask is answered once", kept);
}

/// Looks at what is due: answers, and grants that should be over.
pub(crate) fn look() {
    let at = now();
    let (told, on_time) = JUDGE.with_borrow_mut(|it| {
        // A deadline is one by the member's clock.
        if it.invariants.strays {
            return (Ok(()), Ok(()));
        }
        let on_time = it.invariants.on_time.look(at, it.trouble.so_far(at));
        (it.answers.look(at, executor::runs_since), on_time)
    });
    judge("every ask is answered once", told);
    judge("late within the bound", on_time);
}

/// A member knows that leader of a term: true where that is news.
pub(crate) fn leads(member: u64, term: u64, leader: u64) -> bool {
    let known = JUDGE.with_borrow_mut(|it| it.one_leader.known(member, term, leader));
    let news = known.as_ref().is_ok_and(|news| *news);
    if news {
        count(Happened::Elected);
        say(|| format!("m{leader} leads term {term}"));
    }
    judge("one leader a term", known.map(drop));
    news
}

/// Whether somebody whom a member has looked at waits there for `key`, which is free in its own table, and since when: whatever
/// freed it has told them, in trouble or not.
pub(crate) fn stands(member: u64, key: usize, waits: Option<u64>) {
    let at = now();
    let kept = JUDGE.with_borrow_mut(|it| {
        it.served.entry(member).or_default().look(key, Who::LookedAt, waits, at, 0, 2 * lookout::EVERY)
    });
    judge("whoever waits is told by what frees the lease", kept);
}

/// Whether `who` waits at a member for `key`, which is free there, and since when, over a network that may take `slow` nanoseconds
/// a frame.
pub(crate) fn waits(member: u64, key: usize, who: Who, waits: Option<u64>, slow: u64) {
    let at = now();
    // Barriers and forwards, one behind the other, each some ways over the network.
    let bound = SERVED_WITHIN + 12 * slow;
    let kept = JUDGE.with_borrow_mut(|it| {
        let calm_since = it.trouble.until();
        let waits = waits.filter(|_| calm_since < at);
        it.served.entry(member).or_default().look(key, who, waits, at, calm_since, bound)
    });
    judge("no free lease keeps anybody waiting", kept);
}
