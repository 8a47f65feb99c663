//! The one path for every door: what a caller wrote becomes a proposal or a read, and what the replica says becomes a reply.
//!
//! ```text
//! door ── Call ──▶ parse ──▶ Proposal ──▶ replica
//!   ◀─── Reply ◀── word ◀──── Done ◀───────┘
//! ```
//!
//! It is callback-based: a session has thousands of calls in flight on one task, without a future for each. A sink is
//! called exactly once, perhaps before [`Service::submit`] returns, perhaps on the replica's thread: it must be quick.
//! What it is given, a [`Done`], is worded on the door's own task, so that the replica's thread makes no sentences.
//!
//! Who may do what is decided here, by [`crate::identity`], before anything is read or proposed.

mod backend;
mod backup;
mod bulk;
mod by_name;
mod check;
mod done;
mod echo;
#[cfg(test)]
pub(crate) mod fake;
mod introspect;
mod members;
mod namespaces;
mod page;
mod parse;
mod prepare;
mod rights;
mod settings;
mod shown;
#[cfg(test)]
mod tests;
mod time;
mod tokens;
mod word;

use std::path::PathBuf;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use api::{Call, Code, Hello, Problem, Reply, Stale, Step, Welcome};
use lease::{DEADLINE_DEFAULT, DEADLINE_MAX, Key, Revision, Ttl};
use replica::{Answer, Read};

pub(crate) use backend::{Backend, Ticket};
pub(crate) use by_name::ByName;
pub(crate) use done::{Asked, Done, Unfit, Verb};
pub(crate) use echo::{Echo, clean};
pub(crate) use parse::bounds;
use prepare::Draft;
pub(crate) use rights::{not_looked_for, unauthenticated};
pub(crate) use time::retry_after_ms;
pub(crate) use tokens::Wanted;

use crate::admission::Gate;
use crate::identity::{self, Caller, Doorkeeper, Leave, Scope};
use crate::introspection::Workers;

/// How much later than a call's deadline the door answers in the replica's stead. The replica's own answer says more, so
/// it has a moment to come first.
pub(crate) const GUARD_SLACK: Duration = Duration::from_millis(250);

/// How long an acquire that has lasted too long may take to be answered: a grant may be on its way, and the leader is to know.
pub(crate) const TURN_SLACK: Duration = Duration::from_millis(1_000);

/// What every door asks.
pub(crate) struct Service {
    backend: Arc<dyn Backend>,
    welcome: Welcome,
    stopping: AtomicBool,
    first_token: AtomicBool,
    cluster: u128,
    peer_ca: Option<PathBuf>,
    backups: Arc<Gate>,
    workers: Workers,
    pub(crate) doorkeeper: Arc<Doorkeeper>,
}

/// A wait or an acquire that has not been answered.
pub(crate) struct Waiting {
    service: Arc<Service>,
    ticket: Ticket,
    key: Key,
    what: WaitsFor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    /// The lease's being free, in a state of at least this revision where one is named.
    Freedom { after: Option<Revision> },
    /// The caller's turn to hold it.
    Turn,
}

/// A watch. Dropped, it ends.
pub(crate) struct Watching {
    service: Arc<Service>,
    caller: Arc<Caller>,
    ticket: Ticket,
}

/// Of a read: from a state that has all that was answered before.
const NEWEST: bool = false;

impl Service {
    /// The service of the member whose replica `backend` is.
    pub(crate) fn new(backend: Arc<dyn Backend>, cluster: u128, member: u64) -> Service {
        let server = concat!("tenure ", env!("CARGO_PKG_VERSION")).to_owned();
        let welcome = Welcome { version: api::VERSION, server, cluster: format!("{cluster:032x}"), member };
        let backups = Gate::new(backup::BACKUPS_MAX);
        let (stopping, doorkeeper) = (AtomicBool::new(false), Arc::new(Doorkeeper::open(cluster)));
        let first_token = AtomicBool::new(false);
        let workers = Workers::new();
        Service {
            backend,
            welcome,
            stopping,
            first_token,
            cluster,
            peer_ca: None,
            backups,
            workers,
            doorkeeper,
        }
    }

    /// The same, of members that are known to each other by certificates under the CAs in this file.
    pub(crate) fn with_peer_ca(self, peer_ca: Option<PathBuf>) -> Service {
        Service { peer_ca, ..self }
    }

    /// From now on, every new call is answered `stopping`.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Answers a greeting.
    pub(crate) fn hello(&self, hello: &Hello) -> Reply {
        if hello.version == api::VERSION {
            return Reply::Welcome(self.welcome.clone());
        }
        let message = format!("version {} is not spoken here: speak version {}", hello.version, api::VERSION);
        Reply::Error(Problem::new(Code::BadRequest, message).in_field("call.hello.version"))
    }

    /// Begins a call; `sink` is told what came of it. Greetings, waits, acquires, watches and cancels are the doors' own.
    pub(crate) fn submit(&self, caller: &Arc<Caller>, call: Call, sink: impl FnOnce(Done) + Send + 'static) {
        if self.is_stopping() {
            return sink(Done::refused(stopping()));
        }
        let call = rights::narrowed(caller, call);
        let permitted = match rights::asked(&call) {
            Some((verb, scope)) => self.permit(caller, verb, scope),
            None => self.still(caller).map(|()| Leave::default()),
        };
        let sink = match permitted {
            Ok(leave) => rights::noting(tokens::about(leave, &call), sink),
            Err(problem) => return sink(Done::refused(problem)),
        };
        match call {
            Call::Claim(claim) => self.step(caller, Step::Claim(claim), sink),
            Call::Extend(extend) => self.step(caller, Step::Extend(extend), sink),
            Call::Release(release) => self.step(caller, Step::Release(release), sink),
            Call::Bulk(steps) => bulk::begin(self, caller, steps, sink),
            Call::Get(get) => self.get(&get, sink),
            Call::List(list) => self.list(&list, sink),
            Call::Count(count) => self.count(&count, sink),
            Call::Transfer(transfer) => self.propose(caller, prepare::transfer(transfer), sink),
            Call::Revoke(revoke) => self.propose(caller, prepare::revoke(revoke), sink),
            Call::Pin(pin) => self.propose(caller, prepare::pin(pin), sink),
            Call::Unpin(unpin) => self.propose(caller, prepare::unpin(unpin), sink),
            Call::History(history) => self.history(&history, sink),
            Call::Check(check) => self.check(caller, check, sink),
            Call::Members(members) => self.members(members, sink),
            Call::Tokens(tokens) => self.tokens(tokens, sink),
            Call::Namespaces(namespaces) => self.namespaces(namespaces, sink),
            Call::Hello(_) | Call::Wait(_) | Call::Acquire(_) | Call::Watch(_) | Call::Cancel(_) => {
                sink(Done::refused(Problem::new(
                    Code::NotFound,
                    "only a door's own call may greet, wait, acquire, watch or cancel",
                )));
            }
        }
    }

    fn step(&self, caller: &Caller, step: Step, sink: impl FnOnce(Done) + Send + 'static) {
        self.propose(caller, prepare::step(step), sink);
    }

    fn propose(
        &self,
        caller: &Caller,
        prepared: Result<(Asked, Draft), Problem>,
        sink: impl FnOnce(Done) + Send + 'static,
    ) {
        match prepared {
            Ok((asked, draft)) => {
                let asked = asked.seen_by(caller);
                self.backend.propose(draft.only_for(caller.only()).answered(asked, sink));
            }
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    fn get(&self, get: &api::Get, sink: impl FnOnce(Done) + Send + 'static) {
        match parse::key(&get.namespace, &get.name) {
            Ok(key) => self.read(get.stale, sink, move |table, at| {
                let view = table.get(&key).map(Box::new);
                Done::Lease { key, view, at }
            }),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    fn list(&self, list: &api::List, sink: impl FnOnce(Done) + Send + 'static) {
        let asked = || {
            let filter =
                parse::filter(list.namespace.as_deref(), list.prefix.as_deref(), list.holder.as_deref())?;
            let after = list.after.as_deref().map(page::parse).transpose()?;
            Ok((filter, after, page::limit(list.limit)?))
        };
        match asked() {
            Ok((filter, after, limit)) => self.read(list.stale, sink, move |table, at| {
                // One more than the page: whether there is a next one.
                Done::Page { views: table.list(&filter, after.as_ref(), limit + 1), limit, at }
            }),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    fn count(&self, count: &api::Count, sink: impl FnOnce(Done) + Send + 'static) {
        match parse::filter(count.namespace.as_deref(), count.prefix.as_deref(), count.holder.as_deref()) {
            Ok(filter) => self
                .read(count.stale, sink, move |table, at| Done::Counted { held: table.count(&filter), at }),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    fn history(&self, history: &api::History, sink: impl FnOnce(Done) + Send + 'static) {
        let asked = || {
            let namespace = parse::namespace(&history.namespace)?;
            let name = history.name.as_deref().map(parse::name).transpose()?;
            Ok((namespace, name, page::newest(history.limit)?))
        };
        match asked() {
            Ok((namespace, name, limit)) => self.read(NEWEST, sink, move |table, at| Done::Ends {
                ends: table.history(&namespace, name.as_ref(), limit),
                at,
            }),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    /// Whose state a stale answer is read from.
    fn stale(&self) -> Stale {
        let age = self.backend.age();
        Stale { member: age.member, heard_ago_ms: age.heard_ago.map(Ttl::as_millis) }
    }

    fn read(
        &self,
        stale: bool,
        sink: impl FnOnce(Done) + Send + 'static,
        look: impl FnOnce(&lease::Table, replica::Reading) -> Done + Send + 'static,
    ) {
        // Before the state is read: it is no older than what is said of it.
        let from = stale.then(|| self.stale());
        let look = move |table: &lease::Table, at| match from {
            Some(from) => Done::Stale(from, Box::new(look(table, at))),
            None => look(table, at),
        };
        self.backend.read(Read {
            stale,
            deadline: DEADLINE_DEFAULT,
            reply: Box::new(move |table| match table {
                Ok((table, at)) => sink(look(table, at)),
                Err(why) => sink(Done::Unavailable(why)),
            }),
        });
    }

    /// Begins a wait; `sink` is told its end, unless it is given up before. How long it may last is in what comes back.
    ///
    /// # Errors
    /// What is wrong with the call. Then `sink` is not called.
    pub(crate) fn wait(
        self: &Arc<Self>,
        caller: &Caller,
        wait: &api::Wait,
        sink: impl FnOnce(Done) + Send + 'static,
    ) -> Result<(Waiting, Option<Duration>), Problem> {
        if self.is_stopping() {
            return Err(stopping());
        }
        let scope = Scope::Lease { namespace: &wait.namespace, name: &wait.name, holder: None };
        self.permit(caller, identity::Verb::Wait, scope)?;
        let key = parse::key(&wait.namespace, &wait.name)?;
        let timeout = parse::timeout(wait.timeout_ms)?;
        let reply = Box::new(move |waited| sink(Done::Waited(waited)));
        let after = wait.after.map(Revision);
        let ticket = self.backend.wait(key.clone(), after, reply);
        Ok((Waiting { service: Arc::clone(self), ticket, key, what: WaitsFor::Freedom { after } }, timeout))
    }

    /// Begins an acquire; `sink` is told its end, unless it is given up before. How long it may last is in what comes back.
    ///
    /// # Errors
    /// What is wrong with the call. Then `sink` is not called.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        caller: &Caller,
        acquire: api::Acquire,
        sink: impl FnOnce(Done) + Send + 'static,
    ) -> Result<(Waiting, Option<Duration>), Problem> {
        if self.is_stopping() {
            return Err(stopping());
        }
        let api::Acquire { namespace, name, holder, .. } = &acquire;
        let scope = Scope::Lease { namespace, name, holder: Some(holder) };
        let leave = self.permit(caller, identity::Verb::Claim, scope)?;
        let prepared = parse::timeout(acquire.timeout_ms)
            .and_then(|timeout| prepare::acquire(acquire).map(|prepared| (timeout, prepared)));
        let (timeout, (asked, claim)) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => return Err(rights::refused(leave, problem)),
        };
        let sink = rights::noting_acquire(leave, sink);
        let key = claim.key.clone();
        let (service, asks) = (Arc::downgrade(self), key.clone());
        let reply = move |answer| match (answer, service.upgrade()) {
            (Answer::NotItsTurn { .. }, Some(service)) => {
                let problem = service.look(&asks, |view, at| word::not_its_turn(&asks, view, at));
                sink(Done::Reply(Reply::Error(problem)));
            }
            (answer, _) => sink(Done::Answered { asked, answer }),
        };
        let ticket = self.backend.acquire(claim, Box::new(reply));
        Ok((Waiting { service: Arc::clone(self), ticket, key, what: WaitsFor::Turn }, timeout))
    }

    /// Begins a watch; `sink` is told whether it has begun. From then on `wake` is called when there is something to pull.
    ///
    /// # Errors
    /// What is wrong with the call. Then `sink` is not called.
    pub(crate) fn watch(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        watch: &api::Watch,
        wake: replica::Wake,
        sink: impl FnOnce(Done) + Send + 'static,
    ) -> Result<Watching, Problem> {
        if self.is_stopping() {
            return Err(stopping());
        }
        self.permit(
            caller,
            identity::Verb::Watch,
            rights::one_or_all(&watch.namespace, watch.name.as_deref()),
        )?;
        let watched = prepare::watched(watch)?;
        let reply = Box::new(move |begun| sink(Done::Watching(begun)));
        let ticket = self.backend.watch(watched, watch.after.map(Revision), wake, reply);
        Ok(Watching { service: Arc::clone(self), caller: Arc::clone(caller), ticket })
    }
}

impl Watching {
    /// The next events, at most `limit`; whether to pull again, or to wait for the wake.
    ///
    /// # Errors
    /// The watch has ended.
    pub(crate) fn pull(&self, limit: usize) -> Result<(Vec<api::Event>, bool), Problem> {
        self.service.still(&self.caller)?;
        let pulled = self.service.backend.pull(self.ticket, limit);
        let pulled = pulled.map_err(|why| word::unwatchable(why, rand::random()))?;
        let events = pulled.events.iter().filter_map(shown::event_of).collect();
        Ok((events, pulled.more))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.service.backend.unwatch(self.ticket);
    }
}

impl Service {
    fn look(
        &self,
        key: &Key,
        worded: impl Fn(Option<lease::LeaseView>, replica::Reading) -> Problem,
    ) -> Problem {
        let mut problem = None;
        self.backend.look(&mut |table, at| problem = Some(worded(table.get(key), at)));
        problem.unwrap_or_else(|| worded(None, replica::Reading::default()))
    }
}

impl Waiting {
    /// Gives it up, and a place in line with it. What an acquire is answered then goes to its sink.
    pub(crate) fn cancel(&self) {
        match self.what {
            WaitsFor::Freedom { .. } => drop(self.service.backend.cancel(self.ticket)),
            WaitsFor::Turn => self.service.backend.give_up(self.ticket),
        }
    }

    /// The connection is gone: a place in line is kept for a while, so that its holder may come back to it.
    pub(crate) fn leave(&self) {
        match self.what {
            WaitsFor::Freedom { .. } => drop(self.service.backend.cancel(self.ticket)),
            WaitsFor::Turn => self.service.backend.leave(self.ticket),
        }
    }

    /// Gives it up because it has lasted too long, and words the answer: who has the lease still, or that no state here is as new
    /// as it asks for. None for an acquire: what comes of it goes to its sink, at once or soon, and where nothing has come within
    /// [`TURN_SLACK`] it is unknown.
    pub(crate) fn time_out(&self) -> Option<Problem> {
        self.cancel();
        let WaitsFor::Freedom { after } = self.what else { return None };
        Some(self.service.look(&self.key, |view, at| match after.filter(|after| *after > at.revision) {
            Some(after) => word::not_so_far(after, at, rand::random()),
            None => word::still_held(&self.key, view, at),
        }))
    }

    /// Whether [`Waiting::time_out`] leaves the answer to the sink.
    pub(crate) fn is_acquire(&self) -> bool {
        matches!(self.what, WaitsFor::Turn)
    }
}

/// How long a door waits for the answer of `call` before it answers itself.
pub(crate) fn patience(call: &Call) -> Duration {
    let deadline_ms = match call {
        Call::Claim(claim) => claim.deadline_ms,
        Call::Extend(extend) => extend.deadline_ms,
        Call::Release(release) => release.deadline_ms,
        Call::Transfer(transfer) => transfer.deadline_ms,
        Call::Revoke(revoke) => revoke.deadline_ms,
        Call::Pin(pin) => pin.deadline_ms,
        Call::Unpin(unpin) => unpin.deadline_ms,
        Call::Members(members) => members.deadline_ms,
        Call::Tokens(tokens) => tokens.deadline_ms,
        Call::Namespaces(namespaces) => namespaces.deadline_ms,
        // A step that names none has the default, and may be the one that takes longest.
        Call::Bulk(steps) => {
            let default = DEADLINE_DEFAULT.as_millis();
            steps.iter().map(|step| bulk::deadline_ms(step).unwrap_or(default)).max()
        }
        _ => None,
    };
    let deadline_ms =
        deadline_ms.map_or(DEADLINE_DEFAULT.as_millis(), |millis| millis.min(DEADLINE_MAX.as_millis()));
    Duration::from_millis(deadline_ms) + GUARD_SLACK
}

/// What a door answers a call that the replica left without an answer: a read was not made, but a command may have been.
pub(crate) fn unanswered(is_command: bool) -> Problem {
    match is_command {
        true => word::unknown(),
        false => word::overloaded(Ttl::from_millis(200), rand::random()),
    }
}

/// What a call is answered that comes while this member stops.
pub(crate) fn stopping() -> Problem {
    word::stopping(rand::random())
}
