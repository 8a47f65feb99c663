//! Who is let in, and what is written down of it: what every door and the service ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::{Code, Problem};
use lease::Token;

use super::audit::{Audit, Entry};
use super::quota::Quotas;
use super::refusals::{LeftOut, Refusals};
use super::seats::{Crowded, Place, Seats};
use super::strangers::{Strangers, TooMany};
use super::{Caller, Denied, Directory, Principal, Scope, Source, Unknown, Verb, authorize};

/// What stands between a door and the service.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    /// Nobody is asked who they are.
    open: bool,
    /// Who comes with which token.
    pub(crate) directory: Directory,
    audit: Option<Audit>,
    quotas: Quotas,
    seats: Seats,
    strangers: Strangers,
    refusals: Refusals,
    /// Of those who were turned away, how many are not written down each by themselves and are to be told of.
    left_out: AtomicU64,
}

/// Why a caller may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// They are not, or no longer, known.
    Unknown,
    /// They are, and may not do that.
    Denied(Denied),
    /// They may, and not so often: when again.
    TooOften(Duration),
    /// They may, and have as much waiting here as one may.
    Crowded(Crowded),
}

impl Doorkeeper {
    /// One that lets everyone in.
    pub(crate) fn open(cluster: u128) -> Doorkeeper {
        Doorkeeper {
            open: true,
            directory: Directory::new(cluster),
            audit: None,
            quotas: Quotas::default(),
            seats: Seats::new(lease::QUEUE_MAX),
            strangers: Strangers::new(Instant::now()),
            refusals: Refusals::new(Instant::now()),
            left_out: AtomicU64::new(0),
        }
    }

    /// One that asks who comes, to the cluster of that id; or, `open`, one that only writes down what is done.
    pub(crate) fn new(cluster: u128, open: bool, audit: Option<Audit>) -> Doorkeeper {
        let mut keeper = Doorkeeper::open(cluster);
        (keeper.open, keeper.audit) = (open, audit);
        keeper
    }

    /// The same, of a member at which so many commands of a kind may wait.
    pub(crate) fn with_room_for(mut self, commands: usize) -> Doorkeeper {
        self.seats = Seats::new(commands);
        self
    }

    /// Whether nobody is asked who they are.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Opens the audit log anew.
    pub(crate) fn reopen_audit(&self) {
        self.audit.iter().for_each(Audit::reopen);
    }

    /// Lets somebody in who is known.
    pub(crate) fn admit(&self, principal: Arc<Principal>, peer: Option<SocketAddr>) -> Caller {
        let seat = self.seats.of(&principal);
        Caller::new(principal, peer).seated(seat)
    }

    /// Whether the cluster may be asked after a token that is not known here. A no is counted, and not written down by itself.
    ///
    /// # Errors
    /// Not now.
    pub(crate) fn may_look_for(&self, peer: Option<SocketAddr>) -> Result<(), TooMany> {
        self.strangers.may_read(peer, Instant::now()).inspect_err(|_| self.leave_out())
    }

    /// Writes down that somebody was not known, and why; or, where too many come, that there was one more.
    pub(crate) fn turned_away(&self, peer: Option<SocketAddr>, why: Unknown) {
        let Some(audit) = &self.audit else { return };
        match self.strangers.may_write(peer, Instant::now()) {
            true => audit.write(Entry::of_unknown(peer, why)),
            false => self.leave_out(),
        }
    }

    fn leave_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes down how many were turned away, or refused something, and not written down, where there were any and it is time to.
    pub(crate) fn tell_left_out(&self) {
        self.tell(&self.refusals.take_when_due(Instant::now()));
    }

    fn tell(&self, refused: &[LeftOut]) {
        let Some(audit) = &self.audit else { return };
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            audit.write(Entry::of_left_out(left_out));
        }
        for LeftOut { of, count } in refused {
            let who = of.as_ref().map(|(name, role, _)| (&**name, *role));
            let outcome = of.as_ref().map_or("refused", |(_, _, outcome)| outcome);
            audit.write(Entry::of_refused(who, outcome, *count));
        }
    }

    /// Once the caller is not known any more.
    pub(crate) async fn forgets(&self, caller: &Caller) {
        loop {
            // Asked for before the look, so that a change in between is not missed.
            let changed = self.directory.changed();
            if !self.knows(caller) {
                return;
            }
            changed.await;
        }
    }

    /// Whether the caller is still who they were when they were let in.
    pub(crate) fn knows(&self, caller: &Caller) -> bool {
        let generation = self.directory.generation();
        if caller.was_seen_in(generation) {
            return true;
        }
        match self.directory.current(&caller.principal) {
            Ok(()) => {
                caller.see_in(generation);
                true
            }
            Err(why) => {
                self.turned_away(caller.peer, why);
                false
            }
        }
    }

    /// Whether the caller may do `verb` to `scope`, now. Every no is written down, or counted where there are very many.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, caller: &Caller, verb: Verb, scope: Scope<'_>) -> Result<(), Barred> {
        if !self.knows(caller) {
            return Err(Barred::Unknown);
        }
        if let Err(denied) = authorize(&caller.principal, verb, scope) {
            self.refuse(caller, verb, scope, "denied");
            return Err(Barred::Denied(denied));
        }
        if let (Verb::Claim, Principal { source: Source::Token(id), claims_per_second: Some(rate), .. }) =
            (verb, &*caller.principal)
            && let Err(again) = self.quotas.take(*id, *rate, Instant::now())
        {
            self.refuse(caller, verb, scope, "over quota");
            return Err(Barred::TooOften(again));
        }
        Ok(())
    }

    /// A place for what keeps or ends a grant, where those are counted.
    ///
    /// # Errors
    /// The caller has as many waiting as one may, which is written down of what would have left a line.
    pub(crate) fn place(
        &self,
        caller: &Caller,
        verb: Verb,
        scope: Scope<'_>,
    ) -> Result<Option<Place>, Barred> {
        let Some(seat) = &caller.seat else { return Ok(None) };
        seat.take(verb).map_err(|crowded| {
            self.crowded_out(caller, verb, scope);
            Barred::Crowded(crowded)
        })
    }

    /// Writes down that there was no room for what would have left a line.
    pub(crate) fn crowded_out(&self, caller: &Caller, verb: Verb, scope: Scope<'_>) {
        if is_noted(verb) {
            self.refuse(caller, verb, scope, "overloaded");
        }
    }

    /// The line of an act that is allowed, where it is to be written once it is known what came of it.
    pub(crate) fn note(self: &Arc<Self>, caller: &Caller, verb: Verb, scope: Scope<'_>) -> Option<Note> {
        let noted = self.audit.is_some() && is_noted(verb);
        noted.then(|| Note {
            keeper: Arc::clone(self),
            principal: Arc::clone(&caller.principal),
            entry: Some(Entry::of(caller, verb, scope)),
        })
    }

    fn refuse(&self, caller: &Caller, verb: Verb, scope: Scope<'_>, outcome: &'static str) {
        self.write(&caller.principal, (Came::Refused(outcome), None), || Entry::of(caller, verb, scope));
    }

    /// Writes a line with what came of it, where nothing was done not too many of them.
    fn write(
        &self,
        principal: &Principal,
        (came, token): (Came, Option<Token>),
        entry: impl FnOnce() -> Entry,
    ) {
        let Some(audit) = &self.audit else { return };
        let outcome = match came {
            Came::Done(outcome) => outcome,
            Came::Refused(outcome) if self.refusals.may_write(principal, outcome, Instant::now()) => outcome,
            Came::Refused(_) => return,
        };
        audit.write(entry().with(outcome, token));
    }
}

impl Drop for Doorkeeper {
    fn drop(&mut self) {
        self.tell(&self.refusals.take(Instant::now()));
    }
}

/// Whether what is asked leaves a line where it is allowed.
fn is_noted(verb: Verb) -> bool {
    verb.changes() && verb != Verb::Extend
}

/// What came of an act, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It was done, or may have been: no line of that is left out.
    Done(&'static str),
    /// It was not.
    Refused(&'static str),
}

impl Came {
    /// Of a call that was answered so.
    pub(crate) fn of(problem: &Problem) -> Came {
        match problem.code {
            Code::Unknown => Came::Done(problem.code.as_str()),
            code => Came::Refused(code.as_str()),
        }
    }
}

/// A line of the audit log that waits for its outcome. Dropped before that, it says that nobody was told of any: the connection was
/// gone, or the replica, and what was asked for may have been done.
pub(crate) struct Note {
    keeper: Arc<Doorkeeper>,
    principal: Arc<Principal>,
    /// None once it is written.
    entry: Option<Entry>,
}

/// What is written of an act whose outcome nobody was told.
const UNANSWERED: &str = "unanswered";

impl Note {
    /// The same, with what is changed.
    pub(crate) fn about(mut self, what: impl ToString) -> Note {
        self.entry = self.entry.take().map(|entry| entry.about(what));
        self
    }

    /// Writes it.
    pub(crate) fn outcome(mut self, came: Came, token: Option<Token>) {
        self.write(came, token);
    }

    fn write(&mut self, came: Came, token: Option<Token>) {
        if let Some(entry) = self.entry.take() {
            self.keeper.write(&self.principal, (came, token), || entry);
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.write(Came::Done(UNANSWERED), None);
    }
}

/// What a call that is let go on takes with it, until it is answered.
#[derive(Default)]
pub(crate) struct Leave {
    /// Its line.
    pub(crate) note: Option<Note>,
    /// Its place among the caller's.
    pub(crate) place: Option<Place>,
}
