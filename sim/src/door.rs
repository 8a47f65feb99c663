//! The smallest door: api calls become asks of a replica, and its answers api replies, as the server's service does it.

use api::{Call, Code, Problem, Reply};
use lease::{
    Command, DEADLINE_DEFAULT, Heir, Holder, Instance, Key, Name, Namespace, Outcome, Refusal, Seq,
    TTL_DEFAULT, Token, Ttl, Why,
};
use replica::{Answer, HeirMust, Named, Reading, Unavailable, Waited};

/// The leases there are.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// What is put to a replica.
pub(crate) enum Put {
    Command(Command, Option<Named>, HeirMust, Ttl),
    Acquire(lease::Claim, Option<u64>),
    Wait(Key, Option<lease::Revision>, Option<u64>),
    Get(Key),
    Cancel(u64),
    Answered(Reply),
}

/// What a replica says.
pub(crate) enum Told {
    Answer(Answer),
    Waited(Waited),
    Lease(Option<Box<lease::LeaseView>>, Reading),
    Unavailable(Unavailable),
}

/// Words that never change, made once.
#[derive(Clone)]
pub(crate) struct Words {
    pub(crate) keys: Vec<Key>,
    pub(crate) namespace: Namespace,
}

impl Words {
    pub(crate) fn new() -> Words {
        let namespace = parsed(Namespace::parse(api::NAMESPACE_DEFAULT));
        let key = |name: &&str| Key { namespace: namespace.clone(), name: parsed(Name::parse(name)) };
        Words { keys: NAMES.iter().map(key).collect(), namespace }
    }

    pub(crate) fn index(&self, name: &str) -> usize {
        NAMES.iter().position(|known| *known == name).unwrap_or(0)
    }

    fn key(&self, name: &str) -> Key {
        self.keys[self.index(name)].clone()
    }

    /// What `call` asks of the replica.
    pub(crate) fn put(&self, call: Call) -> Put {
        match call {
            Call::Claim(claim) => {
                let deadline = deadline(claim.deadline_ms);
                let claim = self.claim(&claim.name, &claim.holder, claim.instance, claim.seq, claim.ttl_ms);
                Put::Command(Command::Claim(claim), None, HeirMust::Wait, deadline)
            }
            Call::Acquire(acquire) => {
                let claim =
                    self.claim(&acquire.name, &acquire.holder, acquire.instance, acquire.seq, acquire.ttl_ms);
                Put::Acquire(claim, acquire.timeout_ms)
            }
            Call::Extend(extend) => {
                let command =
                    Command::Extend { token: Token::from_u64(extend.token), ttl: ttl(extend.ttl_ms) };
                let named = self.named(&extend.name, extend.instance);
                Put::Command(command, Some(named), HeirMust::Wait, deadline(extend.deadline_ms))
            }
            Call::Release(release) => {
                let command = Command::Release { token: Token::from_u64(release.token) };
                let named = self.named(&release.name, release.instance);
                Put::Command(command, Some(named), HeirMust::Wait, deadline(release.deadline_ms))
            }
            Call::Transfer(transfer) => {
                let to = Heir {
                    holder: holder(&transfer.to),
                    instance: Instance(0),
                    ttl: transfer.ttl_ms.map_or(Ttl::ZERO, Ttl::from_millis),
                    confirm: Ttl::ZERO,
                };
                let heir = if transfer.force { HeirMust::Claim } else { HeirMust::Wait };
                let command = Command::Transfer { token: Token::from_u64(transfer.token), to };
                let named = self.named(&transfer.name, Some(transfer.instance));
                Put::Command(command, Some(named), heir, deadline(transfer.deadline_ms))
            }
            Call::Wait(wait) => {
                Put::Wait(self.key(&wait.name), wait.after.map(lease::Revision), wait.timeout_ms)
            }
            Call::Get(get) => Put::Get(self.key(&get.name)),
            Call::Cancel(cancel) => Put::Cancel(cancel.id),
            _ => Put::Answered(no(Code::NotFound, None)),
        }
    }

    fn claim(
        &self,
        name: &str,
        of: &str,
        instance: Option<u64>,
        seq: Option<u64>,
        ttl_ms: Option<u64>,
    ) -> lease::Claim {
        lease::Claim {
            key: self.key(name),
            holder: holder(of),
            instance: Instance(instance.unwrap_or(0)),
            seq: Seq(seq.unwrap_or(0)),
            ttl: ttl(ttl_ms),
            value: None,
        }
    }

    fn named(&self, name: &str, instance: Option<u64>) -> Named {
        Named { key: self.key(name), instance: instance.map(Instance), holder: None }
    }
}

pub(crate) fn holder(text: &str) -> Holder {
    parsed(Holder::parse(text))
}

pub(crate) fn parsed<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|why| panic!("the simulation's own words are sound: {why}"))
}

fn ttl(ttl_ms: Option<u64>) -> Ttl {
    ttl_ms.map_or(TTL_DEFAULT, Ttl::from_millis)
}

fn deadline(deadline_ms: Option<u64>) -> Ttl {
    deadline_ms.map_or(DEADLINE_DEFAULT, Ttl::from_millis)
}

/// The reply to a call about lease `key`. `transferred` is the token that a transfer handed on.
pub(crate) fn reply(key: usize, transferred: Option<u64>, told: Told) -> Reply {
    match told {
        Told::Answer(answer) => answered(key, transferred, answer),
        Told::Waited(Waited::Free(at)) => Reply::Free(api::Free { revision: at.revision.0 }),
        Told::Waited(Waited::Ahead { .. }) => no(Code::IndexAhead, None),
        Told::Waited(Waited::Unavailable(why)) | Told::Unavailable(why) => unavailable(why),
        Told::Lease(view, at) => Reply::Lease(Box::new(seen(key, view, at))),
    }
}

fn answered(key: usize, transferred: Option<u64>, answer: Answer) -> Reply {
    match answer {
        Answer::Decided { outcome: Outcome::Granted(_), .. } if transferred.is_some() => {
            Reply::Released(api::Released { token: transferred.unwrap_or(0) })
        }
        Answer::Decided { outcome: Outcome::Granted(granted) | Outcome::Extended(granted), .. } => {
            let hold_ms = if granted.confirmed { lease::surely_within(granted.ttl).as_millis() } else { 0 };
            Reply::Granted(api::Grant {
                namespace: api::NAMESPACE_DEFAULT.to_owned(),
                name: NAMES[key].to_owned(),
                token: granted.token.as_u64(),
                ttl_ms: granted.ttl.as_millis(),
                hold_ms,
                extend_after_ms: if granted.confirmed { granted.ttl.as_millis() / 3 } else { 0 },
                confirmed: granted.confirmed,
            })
        }
        Answer::Decided { outcome: Outcome::Released { token }, .. } => {
            Reply::Released(api::Released { token: token.as_u64() })
        }
        Answer::Decided { outcome: Outcome::Refused(refusal), at } => refused(refusal, at),
        Answer::Decided { .. } => Reply::Done,
        Answer::NotYours { .. } => no(Code::NotYours, None),
        Answer::Queued { .. } => no(Code::Queued, Some(100)),
        Answer::NotWaiting { .. } => no(Code::NotWaiting, None),
        Answer::NotItsTurn { .. } => no(Code::StillHeld, None),
        Answer::Replaced { .. } => no(Code::Late, None),
        Answer::Unavailable(why) | Answer::NotBegun(why) => unavailable(why),
        Answer::Unknown => no(Code::Unknown, None),
    }
}

fn refused(refusal: Refusal, at: Reading) -> Reply {
    let code = match &refusal {
        Refusal::Held { .. } => Code::Held,
        Refusal::Cooldown { .. } => Code::Cooldown,
        Refusal::StaleToken { .. } => Code::StaleToken,
        Refusal::Lost { .. } => Code::Lost,
        Refusal::Ending { .. } => Code::Ending,
        Refusal::Late => Code::Late,
        Refusal::Retry => Code::Overloaded,
        Refusal::Ttl { .. } => Code::BadTtl,
        Refusal::Full { .. } => Code::Full,
        Refusal::Version { .. } => Code::Version,
        Refusal::Settings(_) => Code::BadRequest,
        Refusal::NeverGiven { .. } => Code::Lost,
    };
    let mut problem = Problem::new(code, "");
    problem.revision = Some(at.revision.0);
    match refusal {
        Refusal::Held { holder, token, by_you, .. } => {
            problem.holder = Some(holder.as_str().to_owned());
            problem.token = Some(token.as_u64());
            problem.by_you = Some(by_you);
        }
        Refusal::StaleToken { current } => problem.token = Some(current.as_u64()),
        Refusal::Lost { end } => problem.end = end.map(|end| Box::new(ended(end, at))),
        Refusal::Retry => problem.retry_after_ms = Some(50),
        _ => {}
    }
    Reply::Error(problem)
}

fn ended(end: lease::End, at: Reading) -> api::End {
    let why = match end.why {
        Why::Expired => "expired",
        Why::Unconfirmed => "unconfirmed",
        Why::Released => "released",
        Why::Transferred => "transferred",
        Why::Revoked(_) => "revoked",
        Why::Restored => "restored",
    };
    api::End {
        token: end.token.as_u64(),
        holder: end.holder.as_str().to_owned(),
        why: why.to_owned(),
        reason: None,
        ago_ms: end.at.until(at.now).as_millis(),
        remained_ms: end.remained.as_millis(),
    }
}

fn seen(key: usize, view: Option<Box<lease::LeaseView>>, at: Reading) -> api::Lease {
    let grant = view.as_ref().and_then(|view| view.grant.clone());
    api::Lease {
        namespace: api::NAMESPACE_DEFAULT.to_owned(),
        name: NAMES[key].to_owned(),
        held: grant.map(|grant| api::Held {
            holder: grant.holder.as_str().to_owned(),
            token: grant.token.as_u64(),
            ttl_ms: grant.ttl.as_millis(),
            remaining_ms: at.now.until(grant.deadline).as_millis(),
            confirmed: grant.confirmed,
            ending: grant.ending.map(|why| why.as_str().to_owned()),
            ending_heir: None,
            value: None,
        }),
        cooldown: None,
        pins: Vec::new(),
        last_end: view.and_then(|view| view.last_end).map(|end| ended(end, at)),
        revision: at.revision.0,
        stale: None,
    }
}

fn unavailable(why: Unavailable) -> Reply {
    match why {
        Unavailable::Overloaded { retry_after } => no(Code::Overloaded, Some(retry_after.as_millis())),
        Unavailable::NoLeader => no(Code::NoLeader, Some(200)),
        Unavailable::Behind | Unavailable::Unanswered => no(Code::Behind, Some(200)),
        Unavailable::Stopping => no(Code::Stopping, Some(200)),
        Unavailable::DiskFull | Unavailable::DiskStalled => no(Code::DiskFull, Some(200)),
    }
}

pub(crate) fn no(code: Code, retry_after_ms: Option<u64>) -> Reply {
    let mut problem = Problem::new(code, "");
    problem.retry_after_ms = retry_after_ms;
    Reply::Error(problem)
}

/// The name of the lease that a call is about; none of those that clients here do not make.
pub(crate) fn name_of(call: &Call) -> &str {
    match call {
        Call::Claim(call) => &call.name,
        Call::Extend(call) => &call.name,
        Call::Release(call) => &call.name,
        Call::Acquire(call) => &call.name,
        Call::Transfer(call) => &call.name,
        Call::Wait(call) => &call.name,
        Call::Get(call) => &call.name,
        _ => "",
    }
}
