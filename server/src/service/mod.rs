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
//! It omits: who may do what. That comes with identities, and here, before anything is proposed.

mod backend;
mod bulk;
mod done;
mod echo;
#[cfg(test)]
pub(crate) mod fake;
mod page;
mod parse;
#[cfg(test)]
mod tests;
mod time;
mod word;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{Call, Code, Hello, Problem, Reply, Step, Welcome};
use lease::{
    Command, DEADLINE_DEFAULT, DEADLINE_MAX, Filter, Instance, Key, Revision, TTL_DEFAULT, Token, Ttl,
};
use replica::{Named, Proposal, Read, Status};

pub(crate) use backend::{Backend, Ticket};
pub(crate) use done::{Asked, Done, Verb};
pub(crate) use echo::{Echo, clean};
pub(crate) use time::retry_after_ms;

/// How much later than a call's deadline the door answers in the replica's stead. The replica's own answer says more, so
/// it has a moment to come first.
pub(crate) const GUARD_SLACK: Duration = Duration::from_millis(250);

/// What every door asks.
pub(crate) struct Service {
    backend: Arc<dyn Backend>,
    welcome: Welcome,
    stopping: AtomicBool,
}

/// A wait that has not been answered.
pub(crate) struct Waiting {
    service: Arc<Service>,
    ticket: Ticket,
    key: Key,
}

impl Service {
    /// The service of the member whose replica `backend` is.
    pub(crate) fn new(backend: Arc<dyn Backend>, cluster: u128, member: u64) -> Service {
        let server = concat!("tenure ", env!("CARGO_PKG_VERSION")).to_owned();
        let welcome = Welcome { version: api::VERSION, server, cluster: format!("{cluster:032x}"), member };
        Service { backend, welcome, stopping: AtomicBool::new(false) }
    }

    /// From now on, every new call is answered `stopping`.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether this member has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How the member is.
    pub(crate) fn status(&self) -> Status {
        self.backend.status()
    }

    /// Answers a greeting.
    pub(crate) fn hello(&self, hello: &Hello) -> Reply {
        if hello.version == api::VERSION {
            return Reply::Welcome(self.welcome.clone());
        }
        let message = format!("version {} is not spoken here: speak version {}", hello.version, api::VERSION);
        Reply::Error(Problem::new(Code::BadRequest, message).in_field("call.hello.version"))
    }

    /// Begins a call; `sink` is told what came of it. Greetings, waits and cancels are the doors' own.
    pub(crate) fn submit(&self, call: Call, sink: impl FnOnce(Done) + Send + 'static) {
        if self.is_stopping() {
            return sink(Done::refused(stopping()));
        }
        match call {
            Call::Claim(claim) => self.step(Step::Claim(claim), sink),
            Call::Extend(extend) => self.step(Step::Extend(extend), sink),
            Call::Release(release) => self.step(Step::Release(release), sink),
            Call::Bulk(steps) => bulk::begin(self, steps, sink),
            Call::Get(get) => self.get(&get, sink),
            Call::List(list) => self.list(&list, sink),
            Call::Count(count) => self.count(&count, sink),
            Call::Hello(hello) => sink(Done::Reply(self.hello(&hello))),
            Call::Acquire(_)
            | Call::Transfer(_)
            | Call::Revoke(_)
            | Call::Pin(_)
            | Call::Unpin(_)
            | Call::Watch(_)
            | Call::History(_)
            | Call::Check(_) => {
                sink(Done::refused(Problem::new(Code::NotFound, "this member does not serve this call yet")));
            }
            Call::Wait(_) | Call::Cancel(_) => {
                sink(Done::refused(Problem::new(
                    Code::NotFound,
                    "only a session's own call may wait or cancel",
                )));
            }
        }
    }

    fn step(&self, step: Step, sink: impl FnOnce(Done) + Send + 'static) {
        let ttls = self.missing_ttls(std::slice::from_ref(&step));
        match prepare(step, ttls.first().copied().flatten()) {
            Ok((asked, proposal)) => self.backend.propose(proposal.answered(asked, sink)),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    /// For each step that is an extend without a ttl, its grant's present one, where this member knows the grant.
    fn missing_ttls(&self, steps: &[Step]) -> Vec<Option<Ttl>> {
        let missing = |step: &Step| matches!(step, Step::Extend(extend) if extend.ttl_ms.is_none());
        if !steps.iter().any(missing) {
            return Vec::new();
        }
        let mut ttls = vec![None; steps.len()];
        self.backend.look(&mut |table, _| {
            for (ttl, step) in ttls.iter_mut().zip(steps) {
                if let Step::Extend(extend) = step {
                    *ttl = table.grant(Token::from_u64(extend.token)).map(|(_, grant)| grant.ttl);
                }
            }
        });
        ttls
    }

    fn get(&self, get: &api::Get, sink: impl FnOnce(Done) + Send + 'static) {
        match parse::key(&get.namespace, &get.name) {
            Ok(key) => self.read(sink, move |table, at| {
                let view = table.get(&key).map(Box::new);
                Done::Lease { key, view, at }
            }),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    fn list(&self, list: &api::List, sink: impl FnOnce(Done) + Send + 'static) {
        let asked = || {
            let filter = filter(list.namespace.as_deref(), list.prefix.as_deref(), list.holder.as_deref())?;
            let after = list.after.as_deref().map(page::parse).transpose()?;
            Ok((filter, after, page::limit(list.limit)?))
        };
        match asked() {
            Ok((filter, after, limit)) => self.read(sink, move |table, at| {
                // One more than the page: whether there is a next one.
                Done::Page { views: table.list(&filter, after.as_ref(), limit + 1), limit, at }
            }),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    fn count(&self, count: &api::Count, sink: impl FnOnce(Done) + Send + 'static) {
        match filter(count.namespace.as_deref(), count.prefix.as_deref(), count.holder.as_deref()) {
            Ok(filter) => self.read(sink, move |table, at| Done::Counted { held: table.count(&filter), at }),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    fn read(
        &self,
        sink: impl FnOnce(Done) + Send + 'static,
        look: impl FnOnce(&lease::Table, replica::Reading) -> Done + Send + 'static,
    ) {
        self.backend.read(Read {
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
        wait: &api::Wait,
        sink: impl FnOnce(Done) + Send + 'static,
    ) -> Result<(Waiting, Option<Duration>), Problem> {
        if self.is_stopping() {
            return Err(stopping());
        }
        let key = parse::key(&wait.namespace, &wait.name)?;
        let timeout = parse::timeout(wait.timeout_ms)?;
        let reply = Box::new(move |waited| sink(Done::Waited(waited)));
        let ticket = self.backend.wait(key.clone(), wait.after.map(Revision), reply);
        Ok((Waiting { service: Arc::clone(self), ticket, key }, timeout))
    }
}

impl Waiting {
    /// Gives the wait up. False where its answer is on its way.
    pub(crate) fn cancel(&self) -> bool {
        self.service.backend.cancel(self.ticket)
    }

    /// The answer of a wait that lasted too long: who has the lease still.
    pub(crate) fn still_held(&self) -> Problem {
        let mut problem = None;
        self.service.backend.look(&mut |table, at| {
            problem = Some(word::still_held(&self.key, table.get(&self.key), at));
        });
        problem.unwrap_or_else(|| word::still_held(&self.key, None, replica::Reading::default()))
    }
}

/// How long a door waits for the answer of `call` before it answers itself.
pub(crate) fn patience(call: &Call) -> Duration {
    let deadline_ms = match call {
        Call::Claim(claim) => claim.deadline_ms,
        Call::Extend(extend) => extend.deadline_ms,
        Call::Release(release) => release.deadline_ms,
        Call::Bulk(steps) => steps.iter().filter_map(bulk::deadline_ms).max(),
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

/// Whether `call` may change something.
pub(crate) fn is_command(call: &Call) -> bool {
    matches!(call, Call::Claim(_) | Call::Extend(_) | Call::Release(_) | Call::Bulk(_))
}

/// A proposal that does not yet know where its answer goes.
struct Draft {
    command: Command,
    named: Option<Named>,
    deadline: Ttl,
}

impl Draft {
    fn answered(self, asked: Asked, sink: impl FnOnce(Done) + Send + 'static) -> Proposal {
        let reply = Box::new(move |answer| sink(Done::Step { asked, answer }));
        Proposal { command: self.command, named: self.named, deadline: self.deadline, reply }
    }
}

/// From a step as it was written to a proposal. `present` is the ttl of the grant that an extend names.
fn prepare(step: Step, present: Option<Ttl>) -> Result<(Asked, Draft), Problem> {
    match step {
        Step::Claim(claim) => prepare_claim(claim),
        Step::Extend(extend) => {
            // A grant that this member does not know is most likely gone, and the ttl does not matter; where it is only
            // news to this member, the reply says which ttl it has now.
            let ttl = match extend.ttl_ms {
                Some(ttl_ms) => parse::ttl(ttl_ms)?,
                None => present.unwrap_or(TTL_DEFAULT),
            };
            let token = Token::from_u64(extend.token);
            let draft = Draft {
                named: Some(named(&extend.namespace, &extend.name, extend.instance)?),
                deadline: parse::deadline(extend.deadline_ms)?,
                command: Command::Extend { token, ttl },
            };
            Ok((Asked { namespace: extend.namespace, name: extend.name, verb: Verb::Extend(token) }, draft))
        }
        Step::Release(release) => {
            let token = Token::from_u64(release.token);
            let draft = Draft {
                named: Some(named(&release.namespace, &release.name, release.instance)?),
                deadline: parse::deadline(release.deadline_ms)?,
                command: Command::Release { token },
            };
            Ok((
                Asked { namespace: release.namespace, name: release.name, verb: Verb::Release(token) },
                draft,
            ))
        }
    }
}

fn prepare_claim(claim: api::Claim) -> Result<(Asked, Draft), Problem> {
    let (instance, seq) = parse::instance(claim.instance, claim.seq, rand::random)?;
    let command = Command::Claim(lease::Claim {
        key: parse::key(&claim.namespace, &claim.name)?,
        holder: parse::holder(&claim.holder)?,
        instance,
        seq,
        ttl: parse::ttl_or_default(claim.ttl_ms)?,
        value: claim.value.as_deref().map(parse::value).transpose()?,
    });
    let draft = Draft { command, named: None, deadline: parse::deadline(claim.deadline_ms)? };
    Ok((Asked { namespace: claim.namespace, name: claim.name, verb: Verb::Claim }, draft))
}

fn named(namespace: &str, name: &str, instance: Option<u64>) -> Result<Named, Problem> {
    Ok(Named { key: parse::key(namespace, name)?, instance: instance.map(Instance) })
}

fn filter(namespace: Option<&str>, prefix: Option<&str>, holder: Option<&str>) -> Result<Filter, Problem> {
    Ok(Filter {
        namespace: namespace.map(parse::namespace).transpose()?,
        prefix: prefix.map(parse::prefix).transpose()?,
        holder: holder.map(parse::holder).transpose()?,
    })
}
