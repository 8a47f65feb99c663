//! From a call as it was written to a proposal: what is asked of the table, of whose grant, and for how long its caller waits.

use api::{Code, Problem, Step};
use lease::{Claim, Command, Heir, Holder, Instance, RevokeWhen, Ttl};
use replica::{HeirMust, Named, Proposal, Watched};

use super::{Asked, Done, Verb, parse};

/// A proposal that does not yet know where its answer goes.
pub(super) struct Draft {
    command: Command,
    named: Option<Named>,
    heir: HeirMust,
    deadline: Ttl,
}

type Prepared<T> = Result<(Asked, T), Problem>;

impl Draft {
    fn new(command: Command, deadline_ms: Option<u64>) -> Result<Draft, Problem> {
        Ok(Draft { command, named: None, heir: HeirMust::Wait, deadline: parse::deadline(deadline_ms)? })
    }

    /// Of a grant that the call names by its token.
    fn of(
        asked: &Asked,
        instance: Option<u64>,
        command: Command,
        deadline_ms: Option<u64>,
    ) -> Result<Draft, Problem> {
        let key = parse::key(&asked.namespace, &asked.name)?;
        let named = Named { key, instance: instance.map(Instance), holder: None };
        Ok(Draft { named: Some(named), ..Draft::new(command, deadline_ms)? })
    }

    /// The same, of a caller who may act for that holder alone.
    pub(super) fn only_for(mut self, holder: Option<Holder>) -> Draft {
        self.named.iter_mut().for_each(|named| named.holder.clone_from(&holder));
        self
    }

    pub(super) fn answered(self, asked: Asked, sink: impl FnOnce(Done) + Send + 'static) -> Proposal {
        let Draft { command, named, heir, deadline } = self;
        let reply = Box::new(move |answer| sink(Done::Answered { asked, answer }));
        Proposal { command, named, heir, deadline, reply }
    }
}

/// From a step.
pub(super) fn step(step: Step) -> Prepared<Draft> {
    match step {
        Step::Claim(claim) => self::claim(claim),
        Step::Extend(extend) => {
            // Where none is named, the leader finds the grant's own.
            let ttl = extend.ttl_ms.map_or(Ok(Ttl::ZERO), parse::ttl)?;
            let token = parse::token(extend.token)?;
            let asked = Asked::of(extend.namespace, extend.name, Verb::Extend(token));
            let command = Command::Extend { token, ttl };
            let draft = Draft::of(&asked, extend.instance, command, extend.deadline_ms)?;
            Ok((asked, draft))
        }
        Step::Release(release) => {
            let token = parse::token(release.token)?;
            let asked = Asked::of(release.namespace, release.name, Verb::Release(token));
            let command = Command::Release { token };
            let draft = Draft::of(&asked, release.instance, command, release.deadline_ms)?;
            Ok((asked, draft))
        }
    }
}

fn claim(claim: api::Claim) -> Prepared<Draft> {
    let api::Claim { namespace, name, holder, instance, seq, ttl_ms, value, deadline_ms } = claim;
    let asked = Asked::of(namespace, name, Verb::Claim);
    let claim = claimed(&asked, &holder, instance, seq, ttl_ms, value.as_deref())?;
    let draft = Draft::new(Command::Claim(claim), deadline_ms)?;
    Ok((asked, draft))
}

/// The claim that an acquire begins with.
pub(super) fn acquire(acquire: api::Acquire) -> Prepared<Claim> {
    let api::Acquire { namespace, name, holder, instance, seq, ttl_ms, value, timeout_ms: _ } = acquire;
    let asked = Asked::of(namespace, name, Verb::Claim);
    let claim = claimed(&asked, &holder, instance, seq, ttl_ms, value.as_deref())?;
    Ok((asked, claim))
}

fn claimed(
    asked: &Asked,
    holder: &str,
    instance: Option<u64>,
    seq: Option<u64>,
    ttl_ms: Option<u64>,
    value: Option<&str>,
) -> Result<Claim, Problem> {
    let (instance, seq) = parse::instance(instance, seq, rand::random)?;
    Ok(Claim {
        key: parse::key(&asked.namespace, &asked.name)?,
        holder: parse::holder(holder)?,
        instance,
        seq,
        ttl: parse::ttl_or_default(ttl_ms)?,
        value: value.map(parse::value).transpose()?,
    })
}

pub(super) fn transfer(transfer: api::Transfer) -> Prepared<Draft> {
    let token = parse::token(transfer.token)?;
    let asked = Asked::of(transfer.namespace, transfer.name, Verb::Transfer(token));
    let to = heir("to", &transfer.to, transfer.ttl_ms)?;
    let command = Command::Transfer { token, to };
    let mut draft = Draft::of(&asked, Some(transfer.instance), command, transfer.deadline_ms)?;
    if transfer.force {
        draft.heir = HeirMust::Claim;
    }
    Ok((asked, draft))
}

pub(super) fn revoke(revoke: api::Revoke) -> Prepared<Draft> {
    let token = parse::token(revoke.token)?;
    let asked = Asked::of(revoke.namespace, revoke.name, Verb::Revoke(token));
    let when = match revoke.now {
        true => RevokeWhen::Now,
        false => RevokeWhen::AtDeadline,
    };
    let heir = revoke.heir.as_deref().map(|holder| heir("heir", holder, revoke.heir_ttl_ms)).transpose()?;
    let command = Command::Revoke { token, why: parse::reason(&revoke.why)?, when, heir };
    let draft = Draft::of(&asked, None, command, revoke.deadline_ms)?;
    Ok((asked, draft))
}

pub(super) fn pin(pin: api::Pin) -> Prepared<Draft> {
    let asked = Asked::of(pin.namespace, pin.name, Verb::Pin);
    let key = parse::key(&asked.namespace, &asked.name)?;
    let (entity, why) = (parse::entity(&pin.entity)?, parse::reason(&pin.why)?);
    let draft = Draft::new(Command::Pin { key, entity, why }, pin.deadline_ms)?;
    Ok((asked, draft))
}

pub(super) fn unpin(unpin: api::Unpin) -> Prepared<Draft> {
    let asked = Asked::of(unpin.namespace, unpin.name, Verb::Unpin);
    let key = parse::key(&asked.namespace, &asked.name)?;
    let entity = parse::entity(&unpin.entity)?;
    let draft = Draft::new(Command::Unpin { key, entity }, unpin.deadline_ms)?;
    Ok((asked, draft))
}

/// What a watch is about.
pub(super) fn watched(watch: &api::Watch) -> Result<Watched, Problem> {
    match (&watch.name, &watch.prefix) {
        (Some(_), Some(_)) => {
            let message = "a watch is of one name or of a prefix: give one of the two";
            Err(Problem::new(Code::BadRequest, message).in_field("prefix"))
        }
        (Some(name), None) => Ok(Watched::Lease(parse::key(&watch.namespace, name)?)),
        (None, prefix) => {
            let prefix = prefix.as_deref().map(parse::prefix).transpose()?.unwrap_or_default();
            Ok(Watched::Prefix(parse::namespace(&watch.namespace)?, prefix))
        }
    }
}

/// The leader finds its instance, and its ttl where none is named; how long it has to confirm follows from that.
fn heir(field: &str, holder: &str, ttl_ms: Option<u64>) -> Result<Heir, Problem> {
    let holder = Holder::parse(holder).map_err(|why| parse::bad_holder(field, holder, &why))?;
    let ttl = ttl_ms.map_or(Ok(Ttl::ZERO), parse::ttl)?;
    Ok(Heir { holder, instance: Instance(0), ttl, confirm: Ttl::ZERO })
}
