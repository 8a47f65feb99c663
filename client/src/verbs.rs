//! What a session's caller may ask for beside holding leases: handing them on, an operator's acts, and reads.

use std::time::Duration;

use crate::handle::unexpected;
use crate::machine::Ask;
use crate::{Failure, Grant, LostWhy, Outcome, Revoked, Session, Transfer};

impl Session {
    /// Hands the grant on to another holder in one step. Belief in it ends at this call, for good, whatever is answered;
    /// where it is refused, as when nobody of that name waits in line, the session releases the lease.
    pub async fn transfer(&self, grant: &Grant, transfer: Transfer) -> Outcome<()> {
        grant.cell.end(LostWhy::Released);
        let call = api::Call::Transfer(grant.transfer_call(self.instance(), transfer));
        self.ask(Ask::Call(call), Some(self.deadline)).await.map(|_| ()).into()
    }

    /// As an operator, takes a grant away from whoever holds it.
    pub async fn revoke(&self, revoke: api::Revoke) -> Outcome<Revoked> {
        let reply = self.answer(api::Call::Revoke(revoke)).await;
        let revoked = reply.and_then(|reply| match reply {
            api::Reply::Released(released) => Ok(Revoked::Ended(released)),
            api::Reply::Ending(ending) => Ok(Revoked::Ending(ending)),
            _ => Err(unexpected()),
        });
        revoked.into()
    }

    /// As an operator, keeps whoever holds a lease from expiring.
    pub async fn pin(&self, pin: api::Pin) -> Outcome<()> {
        self.answer(api::Call::Pin(pin)).await.map(|_| ()).into()
    }

    /// Takes a pin away.
    pub async fn unpin(&self, unpin: api::Unpin) -> Outcome<()> {
        self.answer(api::Call::Unpin(unpin)).await.map(|_| ()).into()
    }

    /// Sees one lease.
    pub async fn get(&self, namespace: &str, name: &str) -> Outcome<api::Lease> {
        let call =
            api::Call::Get(api::Get { namespace: namespace.to_owned(), name: name.to_owned(), stale: false });
        self.answer(call).await.and_then(lease).into()
    }

    /// Sees a page of leases.
    pub async fn list(&self, list: api::List) -> Outcome<api::Page> {
        self.answer(api::Call::List(list)).await.and_then(page).into()
    }

    /// Counts the leases that are held.
    pub async fn count(&self, count: api::Count) -> Outcome<api::Counted> {
        self.answer(api::Call::Count(count)).await.and_then(counted).into()
    }

    /// Sees how grants ended, the newest first.
    pub async fn history(&self, history: api::History) -> Outcome<api::Ends> {
        self.answer(api::Call::History(history)).await.and_then(ends).into()
    }

    /// Asks whether a token is that of a lease's living grant, for a resource that fences: refused `stale_token` or `lost`
    /// where it is not.
    pub async fn check(&self, namespace: &str, name: &str, token: u64) -> Outcome<api::Checked> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.answer(api::Call::Check(api::Check { namespace, name, token })).await.and_then(checked).into()
    }

    /// Waits until the lease is free, for at most `timeout` where one is given. `after` is the revision that a refusal
    /// carried: no older state may answer.
    pub async fn wait(
        &self,
        namespace: &str,
        name: &str,
        after: Option<u64>,
        timeout: Option<Duration>,
    ) -> Outcome<api::Free> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let timeout_ms = timeout.map(crate::handle::millis);
        let call = api::Call::Wait(api::Wait { namespace, name, after, timeout_ms });
        let within = timeout.map(|timeout| timeout.saturating_add(crate::handle::WAIT_SLACK));
        self.reply(call, within).await.and_then(free).into()
    }

    async fn answer(&self, call: api::Call) -> Result<api::Reply, Failure> {
        self.reply(call, Some(self.deadline)).await
    }
}

fn free(reply: api::Reply) -> Result<api::Free, Failure> {
    if let api::Reply::Free(free) = reply { Ok(free) } else { Err(unexpected()) }
}

fn lease(reply: api::Reply) -> Result<api::Lease, Failure> {
    if let api::Reply::Lease(lease) = reply { Ok(*lease) } else { Err(unexpected()) }
}

fn page(reply: api::Reply) -> Result<api::Page, Failure> {
    if let api::Reply::Page(page) = reply { Ok(page) } else { Err(unexpected()) }
}

fn counted(reply: api::Reply) -> Result<api::Counted, Failure> {
    if let api::Reply::Counted(counted) = reply { Ok(counted) } else { Err(unexpected()) }
}

fn ends(reply: api::Reply) -> Result<api::Ends, Failure> {
    if let api::Reply::Ends(ends) = reply { Ok(ends) } else { Err(unexpected()) }
}

fn checked(reply: api::Reply) -> Result<api::Checked, Failure> {
    if let api::Reply::Checked(checked) = reply { Ok(checked) } else { Err(unexpected()) }
}
