//! Whether a token is that of a lease's living grant: for resources that fence.
//!
//! Tokens are numbers of the whole cluster, counted up: whoever may ask of one lease could ask of every number. So of a lease that the
//! caller may not see nothing is told here either; its tokens are answered as those that were never given.

use std::sync::Arc;

use api::Check;
use lease::{Command, GrantOf, GrantView, Key, Refusal, Table, Token};

use super::{Asked, Done, NEWEST, Service, Unfit, Verb, parse};
use crate::identity::{self, Caller, Scope, authorize};

impl Service {
    pub(super) fn check(&self, caller: &Arc<Caller>, check: Check, sink: impl FnOnce(Done) + Send + 'static) {
        let key = match parse::key(&check.namespace, &check.name) {
            Ok(key) => key,
            Err(problem) => return sink(Done::refused(problem)),
        };
        let caller = Arc::clone(caller);
        self.read(NEWEST, sink, move |table, at| {
            let token = Token::from_u64(check.token);
            let found = checked(table, &key, token, |other| may_see(&caller, other)).map(Box::new);
            let asked = Asked::of(check.namespace, check.name, Verb::Check(token)).seen_by(&caller);
            Done::Checked { asked, found, at }
        });
    }
}

fn may_see(caller: &Caller, grant: GrantOf<'_>) -> bool {
    let scope = Scope::Lease { namespace: grant.namespace.as_str(), name: grant.name, holder: None };
    authorize(&caller.principal, identity::Verb::Check, scope).is_ok()
}

/// The living grant of `token` on `key`, or why it has none.
fn checked(
    table: &Table,
    key: &Key,
    token: Token,
    may_see: impl Fn(GrantOf<'_>) -> bool,
) -> Result<GrantView, Unfit> {
    let is_hidden = match table.whose(token) {
        Some(grant) if !grant.is_of(key) && may_see(grant) => return Err(Unfit::AnotherLeases(token)),
        Some(grant) => !grant.is_of(key),
        None => false,
    };
    let grant = table.get(key).and_then(|lease| lease.grant);
    Err(Unfit::Refused(match grant {
        Some(grant) if grant.token == token => return Ok(grant),
        Some(grant) if grant.token > token => Refusal::StaleToken { current: grant.token },
        _ if is_hidden => Refusal::Lost { end: None },
        _ => {
            let why = table.refusal(table.now(), &Command::Release { token });
            why.unwrap_or(Refusal::Lost { end: None })
        }
    }))
}
